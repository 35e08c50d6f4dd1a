//! `dyn-prefix withdraw` and `resume`: objects that we keep our hands off until we are told otherwise. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::sync::Arc;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::cluster::entry::read_recorded;
use crate::cluster::{ConnectionState, Managed, Paused, TargetReport, Told};
use crate::config::{Config, Kind, ObjectRef};
use crate::prefix::Interval;
use crate::time::Instant;

use super::coordinator::{ClusterView, Coordinator};
use super::parting::is_same_way;

/// Which objects a person means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Those of this cluster; `None`: of every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// This one, as status names it; `None`: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// A withdrawal under way: in each cluster everything, or one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    object: Option<ObjectRef>,
    /// What the store lists at the beginning, by cluster.
    listed: BTreeMap<String, BTreeSet<ObjectRef>>,
    /// When what failed was to be tried again before anybody asked: what is said until then is no answer.
    stale: BTreeMap<(String, ObjectRef), Instant>,
    /// What has to be released along with the object, by cluster.
    along: BTreeMap<String, BTreeSet<ObjectRef>>,
    /// Whether it is everything of every cluster.
    is_all: bool,
    /// What came of it in clusters that a reload has changed meanwhile.
    released: Vec<String>,
    changed: Vec<Left>,
}

impl Withdrawal {
    /// Whether it concerns this cluster.
    pub(super) fn is_in(&self, cluster: &str) -> bool {
        self.listed.contains_key(cluster)
    }

    /// What has to be released in a cluster where nobody but this withdrawal cares for Services: see [`to_release`].
    pub(super) fn spread(&mut self, cluster: &str, managed: Vec<Managed>) -> Vec<Managed> {
        let released = to_release(managed, self.object.as_ref());
        if self.object.is_some() {
            let objects: BTreeSet<ObjectRef> = released.iter().map(|managed| managed.object.clone()).collect();
            self.listed.entry(cluster.to_owned()).or_default().extend(objects.iter().cloned());
            self.along.insert(cluster.to_owned(), objects);
        }
        released
    }

    /// Whether it concerns this object of such a cluster.
    fn has(&self, cluster: &str, object: &ObjectRef) -> bool {
        let is_along = || self.along.get(cluster).is_some_and(|along| along.contains(object));
        self.object.as_ref().is_none_or(|own| own == object) || is_along()
    }
}

/// What has to be released for `object` to be (`None`: everything): of a pool also the Services that ask, on our behalf,
/// for addresses in what is ours on it. Else they would be left asking for what nobody serves.
pub fn to_release(managed: Vec<Managed>, object: Option<&ObjectRef>) -> Vec<Managed> {
    let Some(object) = object else { return managed };
    let itself = managed.iter().find(|managed| managed.object == *object && object.kind.is_pool());
    let ranges = itself.map(ranges_of).unwrap_or_default();
    let asks = |managed: &Managed| {
        let mut addresses = managed.contributions.values().flatten().filter_map(|text| text.parse::<Ipv6Addr>().ok());
        managed.object.kind == Kind::Service
            && addresses
                .any(|address| ranges.iter().any(|range| range.contains(&Interval::from(Ipv6Net::from(address)))))
    };
    managed.into_iter().filter(|managed| managed.object == *object || asks(managed)).collect()
}

/// What is ours on a pool.
fn ranges_of(pool: &Managed) -> Vec<Interval> {
    let entries = pool.contributions.values().flatten().chain(pool.strays.keys());
    entries.filter_map(|text| Some(read_recorded(text)?.interval())).collect()
}

/// An object that still holds something of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The cluster.
    pub cluster: String,
    /// The object.
    pub object: String,
    /// Why, a full sentence.
    pub why: String,
    /// Whether waiting will not change that.
    pub is_final: bool,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in {}: {}", self.object, self.cluster, self.why)
    }
}

/// Reasons of a target that only a person can change.
const FINAL: [&str; 6] = ["CannotEmpty", "SameCluster", "DryRun", "Forbidden", "OtherWriter", "KindNotInstalled"];

impl Coordinator {
    /// Keeps our hands off everything in `scope` from now on, which releases what is ours there.
    ///
    /// # Errors
    /// When the scope names nothing that there is; a sentence that says what there is.
    pub fn withdraw(&mut self, scope: &Scope) -> Result<Withdrawal, String> {
        let object = read_target(scope)?;
        let mut clusters = self.clusters_in(scope)?;
        if let Some(object) = &object {
            clusters.retain(|cluster| self.knows(cluster, object));
            if clusters.is_empty() {
                return Err(no_target(object, self.leftover_with(object)));
            }
        }
        let mut withdrawal = Withdrawal {
            is_all: scope.cluster.is_none() && object.is_none(),
            object: object.clone(),
            listed: BTreeMap::new(),
            stale: BTreeMap::new(),
            along: BTreeMap::new(),
            released: Vec::new(),
            changed: Vec::new(),
        };
        withdrawal.listed =
            clusters.iter().map(|cluster| (cluster.clone(), self.listed(cluster, &withdrawal))).collect();
        withdrawal.stale = clusters.iter().flat_map(|cluster| self.refusals(cluster)).collect();
        for cluster in clusters {
            self.ask(&cluster, object.as_ref());
            let paused = &mut self.told_mut(&cluster).paused;
            match &object {
                Some(object) => drop(paused.objects.insert(object.clone())),
                None => *paused = Paused { everything: true, ..Paused::default() },
            }
        }
        self.dirty = true;
        Ok(withdrawal)
    }

    /// Takes everything in `scope` back into care; says what that was, a sentence each.
    ///
    /// # Errors
    /// When the scope names nothing that there is, or more than the scope is paused.
    pub fn resume(&mut self, scope: &Scope) -> Result<Vec<String>, String> {
        let object = read_target(scope)?;
        let mut done = Vec::new();
        for cluster in self.clusters_in(scope)? {
            let Some(told) = self.told.get(&cluster).filter(|told| !told.paused.is_empty()) else { continue };
            match &object {
                Some(object) if told.paused.everything => {
                    return Err(format!(
                        "all of {cluster} is withdrawn, not {object} alone; `dyn-prefix resume --cluster {cluster}` \
                         takes all of it back"
                    ));
                }
                Some(object) => {
                    if self.told_mut(&cluster).paused.objects.remove(object) {
                        self.ask(&cluster, Some(object));
                        done.push(format!("{object} in {cluster} is cared for again."));
                    }
                }
                None => {
                    self.ask(&cluster, None);
                    let paused = std::mem::take(&mut self.told_mut(&cluster).paused);
                    let what = if paused.everything { "Everything".to_owned() } else { names(&paused.objects) };
                    done.push(format!("{what} in {cluster} is cared for again."));
                }
            }
        }
        if done.is_empty() {
            done.push(self.cared_for(scope, object.as_ref())?);
        }
        self.dirty = true;
        Ok(done)
    }

    /// Says that nothing in a scope is paused: who asks again need not know whether he was heard the first time.
    fn cared_for(&self, scope: &Scope, object: Option<&ObjectRef>) -> Result<String, String> {
        let what = match (object, &scope.cluster) {
            (Some(object), _) if !self.clusters_in(scope)?.iter().any(|cluster| self.knows(cluster, object)) => {
                return Err(no_target(object, self.leftover_with(object)));
            }
            (Some(object), _) => format!("{object} is not withdrawn"),
            (None, Some(cluster)) => format!("Nothing of {cluster} is withdrawn"),
            (None, None) => "Nothing is withdrawn".to_owned(),
        };
        Ok(what + ": there is nothing to take back.")
    }

    /// What of a withdrawal has left its objects, a sentence each.
    pub fn withdrawn(&self, withdrawal: &Withdrawal) -> Vec<String> {
        let gone = withdrawal.listed.keys().flat_map(|cluster| self.gone_from(cluster, withdrawal));
        withdrawal.released.iter().cloned().chain(gone).collect()
    }

    /// What of a withdrawal has left its objects in one cluster, a sentence each.
    fn gone_from(&self, cluster: &str, withdrawal: &Withdrawal) -> Vec<String> {
        let now = self.listed(cluster, withdrawal);
        let gone = withdrawal.listed.get(cluster).into_iter().flat_map(|objects| objects.difference(&now));
        let given_up = self.clusters.get(cluster).map(|view| &view.given_up);
        let sentence = |object: &ObjectRef| match given_up.and_then(|given_up| given_up.get(object)) {
            Some(id) => format!(
                "{object} in {cluster}: not written, as another daemon ({id:?}) manages it: what was ours on it is that \
                 one's now. This one has forgotten it."
            ),
            None => format!("{object} in {cluster}: released."),
        };
        gone.map(sentence).collect()
    }

    /// Ends a withdrawal in those clusters that `new` does not have any more, or not by the same kubeconfig: what the
    /// store lists by their names from then on does not tell what became of it.
    pub(super) fn leave_changed(&self, withdrawal: &mut Withdrawal, new: &Config) {
        let is_same = |name: &String| {
            let former = self.config.clusters.iter().find(|cluster| cluster.name == *name);
            let new = new.clusters.iter().find(|cluster| cluster.name == *name);
            former.zip(new).is_some_and(|(former, new)| is_same_way(former, new))
        };
        let changed: Vec<String> = withdrawal.listed.keys().filter(|name| !is_same(name)).cloned().collect();
        for cluster in changed {
            let why = "a reload removed, renamed or re-pointed the cluster meanwhile; `dyn-prefix status` tells what is \
                       left there, and `dyn-prefix withdraw` again takes it out.";
            let left = |object: ObjectRef| Left {
                cluster: cluster.clone(),
                object: object.to_string(),
                why: why.to_owned(),
                is_final: true,
            };
            withdrawal.changed.extend(self.listed(&cluster, withdrawal).into_iter().map(left));
            withdrawal.released.extend(self.gone_from(&cluster, withdrawal));
            withdrawal.listed.remove(&cluster);
        }
    }

    /// What of a withdrawal has not left its objects.
    pub fn not_withdrawn(&self, withdrawal: &Withdrawal) -> Vec<Left> {
        let left = withdrawal.listed.keys().flat_map(|cluster| {
            let view = self.clusters.get(cluster);
            let now = self.listed(cluster, withdrawal).into_iter();
            let mirrors = self.published.get(cluster).filter(|_| withdrawal.object.is_none());
            let is_dry = self.config.clusters.iter().any(|known| known.name == *cluster && known.dry_run);
            let mirrors = mirrors.into_iter().flat_map(BTreeMap::keys);
            let mirrors = mirrors.map(move |name| mirror(cluster, name, view, is_dry));
            let left = move |object: ObjectRef| {
                let at = view.and_then(|view| view.targets.get(&object)).and_then(|report| report.retry_at);
                let left = left(cluster, &object, view);
                let is_stale = at.is_some() && withdrawal.stale.get(&(cluster.clone(), object)) == at.as_ref();
                Left { is_final: left.is_final && !is_stale, ..left }
            };
            now.map(left).chain(mirrors)
        });
        let parting = self.on_their_way_out().filter(|_| withdrawal.is_all);
        withdrawal.changed.iter().cloned().chain(left).chain(parting).collect()
    }

    /// What of ours is where no withdrawal gets at it, a sentence each.
    pub(super) fn out_of_reach(&self, withdrawal: &Withdrawal) -> Vec<String> {
        if withdrawal.is_all { self.leftovers() } else { Vec::new() }
    }

    /// What was withdrawn, by cluster, for the store.
    pub(super) fn paused(&self) -> impl Iterator<Item = (&String, &Paused)> {
        self.told.iter().map(|(cluster, told)| (cluster, &told.paused)).filter(|(_, paused)| !paused.is_empty())
    }

    /// Whether nothing of ours is to be in a cluster.
    pub(super) fn is_let_go(&self, cluster: &str) -> bool {
        self.told.get(cluster).is_some_and(|told| told.paused.everything) || self.is_parting(cluster)
    }

    /// What a person told us about a cluster, to be changed.
    pub(super) fn told_mut(&mut self, cluster: &str) -> &mut Told {
        Arc::make_mut(self.told.entry(cluster.to_owned()).or_default())
    }

    /// A person wants something done to an object of a cluster, or to all of them: it is tried at once.
    pub(super) fn ask(&mut self, cluster: &str, object: Option<&ObjectRef>) {
        *self.told_mut(cluster).asked.entry(object.cloned()).or_default() += 1;
    }

    /// When what failed in a cluster is tried again.
    fn refusals(&self, cluster: &str) -> impl Iterator<Item = ((String, ObjectRef), Instant)> {
        let targets = self.clusters.get(cluster).into_iter().flat_map(|view| view.targets.values());
        targets.filter_map(move |target| Some(((cluster.to_owned(), target.object.clone()), target.retry_at?)))
    }

    /// The clusters of a scope.
    pub(super) fn clusters_in(&self, scope: &Scope) -> Result<Vec<String>, String> {
        let names: Vec<String> = self.config.clusters.iter().map(|cluster| cluster.name.clone()).collect();
        match &scope.cluster {
            None => Ok(names),
            Some(name) if names.contains(name) => Ok(vec![name.clone()]),
            Some(name) => Err(no_cluster(name, &self.config, self.leftover_of(name))),
        }
    }

    fn knows(&self, cluster: &str, object: &ObjectRef) -> bool {
        self.clusters.get(cluster).is_some_and(|view| view.targets.contains_key(object))
            || self.managed_in(cluster).is_some_and(|managed| managed.contains_key(object))
            || self.told.get(cluster).is_some_and(|told| told.paused.objects.contains(object))
            || self.config.bindings.iter().any(|it| it.cluster == cluster && it.target == *object)
    }

    /// What of a withdrawal the store lists.
    fn listed(&self, cluster: &str, withdrawal: &Withdrawal) -> BTreeSet<ObjectRef> {
        let managed = self.managed_in(cluster).into_iter().flat_map(BTreeMap::keys);
        managed.filter(|object| withdrawal.has(cluster, object)).cloned().collect()
    }
}

/// The object that a scope names.
///
/// # Errors
/// When it names none that there can be.
pub(super) fn read_target(scope: &Scope) -> Result<Option<ObjectRef>, String> {
    scope.target.as_ref().map(|text| text.parse()).transpose()
}

/// For who cannot let us do it.
const BY_HAND: &str = ". Or do it by hand: take out of each object (`kubectl edit`) what its annotations \
                       dynamic-prefix.io/managed-* list, and then these annotations; delete the objects of kind \
                       DynamicPrefix";

/// Says that the configuration has no cluster of this name, and what of ours is left where there was one.
pub fn no_cluster(name: &str, config: &Config, left: Option<String>) -> String {
    if let Some(left) = left {
        return format!("{left}{BY_HAND}");
    }
    let names: Vec<String> = config.clusters.iter().map(|cluster| cluster.name.clone()).collect();
    format!("there is no cluster \"{name}\" in the configuration; it has {}", list(&names))
}

/// Why nothing can be done about an object; `left`: what is left in a cluster that has gone and had it.
pub fn no_target(object: &ObjectRef, left: Option<String>) -> String {
    let left = left.map(|left| format!("{left}{BY_HAND}"));
    left.unwrap_or_else(|| format!("{object} is no target of this daemon; `dyn-prefix status` lists them"))
}

/// What keeps something of ours on an object.
pub(super) fn left(cluster: &str, object: &ObjectRef, view: Option<&ClusterView>) -> Left {
    let health = view.and_then(|view| view.health.as_ref());
    let is_connected = health.is_some_and(|health| health.state == ConnectionState::Connected);
    let report = view.and_then(|view| view.targets.get(object));
    let (why, is_final) = match (is_connected, report) {
        (false, _) => (away(health), false),
        (true, None) => ("it has not been read yet.".to_owned(), false),
        (true, Some(report)) => (of_report(report), FINAL.contains(&report.reason.as_str())),
    };
    Left { cluster: cluster.to_owned(), object: object.to_string(), why, is_final }
}

/// An object by which a cluster shows a DynamicPrefix (`publishStatus`), on its way out.
pub(super) fn mirror(cluster: &str, name: &str, view: Option<&ClusterView>, is_dry: bool) -> Left {
    let stuck = view.and_then(|view| view.stuck.get(name));
    let (why, is_final) = match stuck {
        _ if is_dry => ("DryRun Nothing is deleted in a cluster with dryRun = true.".to_owned(), true),
        _ if !view.is_some_and(ClusterView::is_connected) => (away(view.and_then(|view| view.health.as_ref())), false),
        Some(why) => (why.clone(), true),
        None => ("it has not been deleted yet.".to_owned(), false),
    };
    Left { cluster: cluster.to_owned(), object: format!("DynamicPrefix/{name}"), why, is_final }
}

fn away(health: Option<&crate::cluster::Health>) -> String {
    let reason = health.and_then(|health| health.reason.as_ref()).map(|(_, message)| format!(" ({message})"));
    format!("the cluster is not connected{}; it is released as soon as it is.", reason.unwrap_or_default())
}

fn of_report(report: &TargetReport) -> String {
    match &report.message {
        Some(message) => format!("{} {message}", report.reason),
        None => format!("it is on its way ({}).", report.reason),
    }
}

/// The objects of a cluster by name.
pub(super) fn by_name(objects: &BTreeMap<ObjectRef, Managed>) -> String {
    names(&objects.keys().cloned().collect())
}

fn names(objects: &BTreeSet<ObjectRef>) -> String {
    list(&objects.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// A list for a sentence.
pub(super) fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
