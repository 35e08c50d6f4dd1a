//! What concerns one cluster. Everything is read, and nothing written: the only POST is the question for rights.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroupList;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

use super::{files, in_time};
use crate::cluster::failure::{Failure, within};
use crate::cluster::kubeconfig::Unusable;
use crate::cluster::object::{Object, qualified};
use crate::cluster::schema::{self, Schema};
use crate::cluster::timeouts::Timeouts;
use crate::cluster::watch::path;
use crate::cluster::{access, client, discovery, expiry, kubeconfig, mirror};
use crate::config::{Cluster, Config, Discovery, Kind, Kubeconfig};
use crate::doctor::cluster::{Announcer, Connection, Facts, Seen};
use crate::doctor::reading::{Account, File};
use crate::rbac;

/// How long reading the credentials may take.
const READ: Duration = Duration::from_secs(3);
/// How long a cluster may take from there on.
const LOOK: Duration = Duration::from_secs(7);

/// Short ones: whoever examines wants an answer.
fn timeouts() -> Timeouts {
    Timeouts { connect: Duration::from_secs(3), operation: Duration::from_secs(5), ..Timeouts::default() }
}

/// What the facts of all clusters have in common.
pub(super) struct Common {
    pub(super) daemon_id: String,
    pub(super) prefixes: Vec<(String, ipnet::Ipv6Net)>,
    pub(super) unknown: Vec<String>,
    pub(super) now: Timestamp,
    pub(super) account: Option<Account>,
}

/// Looks at a cluster.
pub(super) async fn facts(config: &Config, cluster: &Cluster, common: &Common) -> Facts {
    let drains = config.dynamic_prefixes.iter().map(|prefix| prefix.transition.drain_period);
    let drain_seconds = drains.collect::<Option<Vec<_>>>().and_then(|drains| drains.into_iter().max());
    let (files, connection) = connection(config, cluster).await;
    Facts {
        cluster: cluster.clone(),
        bindings: config.bindings.iter().filter(|binding| binding.cluster == cluster.name).cloned().collect(),
        services: config.services.iter().filter(|service| service.cluster == cluster.name).cloned().collect(),
        daemon_id: common.daemon_id.clone(),
        prefixes: common.prefixes.clone(),
        unknown: common.unknown.clone(),
        drain_seconds: drain_seconds.map(|drain| drain.as_secs()),
        now: common.now,
        account: common.account.clone(),
        files,
        connection,
    }
}

async fn connection(config: &Config, cluster: &Cluster) -> (Vec<File>, Connection) {
    let (source, context) = (cluster.kubeconfig.clone(), cluster.context.clone());
    let building = tokio::task::spawn_blocking(move || build(&source, context.as_deref()));
    let unusable = |why: &str| (Vec::new(), Connection::Unusable(Unusable::new(why.to_owned())));
    let (files, built) = match in_time(READ, building).await {
        Some(Ok(built)) => built,
        Some(Err(_)) => return unusable("reading the kubeconfig was aborted"),
        None => return unusable("reading the kubeconfig, or its exec plugin, takes too long"),
    };
    let (url, validity, client) = match built {
        Ok(built) => built,
        Err(text) => return (files, Connection::Unusable(text)),
    };
    let client = match client {
        Ok(client) => client,
        Err(failure) => {
            return (files, Connection::Made { url, addresses: Vec::new(), validity, answer: Err(failure) });
        }
    };
    let look = Look { client, cluster, config, timeouts: timeouts() };
    let looking = in_time(LOOK, look.look());
    let (addresses, answer) = tokio::join!(addresses(&url), looking);
    let answer = answer.unwrap_or_else(|| Err(Failure::timed_out(LOOK)));
    (files, Connection::Made { url, addresses, validity, answer })
}

type Built = (String, Option<crate::cluster::Validity>, Result<Client, Failure>);

fn build(source: &Kubeconfig, context: Option<&str>) -> (Vec<File>, Result<Built, Unusable>) {
    let read = kubeconfig::read(source, context);
    let files = files::files(read.fingerprint.files());
    let built = read.config.map(|config| {
        let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let validity = expiry::of(&config, read.has_token_file);
        (url, validity, client::build(config, &timeouts()))
    });
    (files, built)
}

/// The addresses of the server's host; none where its name cannot be resolved, which the connection tells.
async fn addresses(url: &str) -> Vec<IpAddr> {
    let Ok(url) = url.parse::<http::Uri>() else { return Vec::new() };
    let Some(host) = url.host() else { return Vec::new() };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = url.port_u16().unwrap_or(443);
    match in_time(Duration::from_secs(4), tokio::net::lookup_host((host, port))).await {
        Some(Ok(found)) => found.map(|address| address.ip()).collect::<BTreeSet<_>>().into_iter().collect(),
        Some(Err(_)) | None => Vec::new(),
    }
}

struct Look<'a> {
    client: Client,
    cluster: &'a Cluster,
    config: &'a Config,
    timeouts: Timeouts,
}

impl Look<'_> {
    async fn look(&self) -> Result<Box<Seen>, Failure> {
        let version = discovery::server(&self.client, &self.timeouts).await?.version;
        let kinds = self.kinds();
        let served = discovery::served(&self.client, &kinds, &self.timeouts).await?;
        let lists = served.iter().map(|(kind, version)| async move { (*kind, self.list(*kind, version).await) });
        let (date, groups, mirrors, rights, lists, schema, announcers, external_dns) = tokio::join!(
            self.date(),
            self.groups(),
            self.mirrors(),
            self.rights(),
            futures_util::future::join_all(lists),
            self.schema(served.contains_key(&schema::ASKED)),
            self.announcers(),
            self.external_dns(),
        );
        let mut seen =
            Seen { version, date, groups, mirrors, schema, announcers, external_dns, served, ..Seen::default() };
        seen.rights = Some(rights);
        for (kind, items) in lists {
            if let (Kind::Service, Ok(items)) = (kind, &items) {
                seen.services.clone_from(items);
            }
            if let (Kind::IPAddressPool, Ok(items)) = (kind, &items) {
                seen.metallb_pools.clone_from(items);
            }
            let read = |items: Vec<Value>| {
                items.iter().filter_map(|item| Object::from_json(kind, item).ok()).filter(Object::is_in_scope).collect()
            };
            seen.objects.insert(kind, items.map(read));
        }
        Ok(Box::new(seen))
    }

    fn kinds(&self) -> BTreeSet<Kind> {
        let bound = self.config.bindings.iter().filter(|binding| binding.cluster == self.cluster.name);
        let bound = bound.map(|binding| binding.target.kind);
        let discovered = (self.cluster.discovery != Discovery::Off).then_some(Kind::TARGETS).into_iter().flatten();
        bound.chain(discovered).chain([Kind::Service]).collect()
    }

    async fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        within(self.timeouts.operation, self.client.request(request)).await
    }

    /// What the server's clock says, by the header of an answer.
    async fn date(&self) -> Option<Timestamp> {
        let request = Request::get("/version").body(Body::empty()).ok()?;
        let answer = within(self.timeouts.operation, self.client.send(request)).await.ok()?;
        let date = answer.headers().get(http::header::DATE)?.to_str().ok()?;
        jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp())
    }

    async fn groups(&self) -> Result<BTreeSet<String>, String> {
        let list = self.get("/apis").await.map_err(|failure| failure.message().to_owned())?;
        let list: APIGroupList =
            serde_json::from_value(list).map_err(|error| format!("the answer to /apis is not understood: {error}"))?;
        Ok(list.groups.into_iter().map(|group| group.name).collect())
    }

    /// Everybody may ask which kinds there are, and few for their definitions.
    async fn mirrors(&self) -> Option<Result<bool, String>> {
        if !self.cluster.publish_status {
            return None;
        }
        Some(match self.get(&format!("/apis/{}", mirror::API_VERSION)).await {
            Ok(list) => Ok(names(&list, "dynamicprefixes")),
            Err(failure) if failure.code() == Some(404) => Ok(false),
            Err(failure) => Err(failure.message().to_owned()),
        })
    }

    async fn rights(&self) -> Result<(usize, Vec<access::Missing>), String> {
        let needs = rbac::needs(self.config, self.cluster);
        let count = needs.iter().map(|need| need.verbs.len() * need.names.len().max(1)).sum();
        let missing = access::missing(&self.client, &needs, &self.timeouts).await;
        missing.map(|missing| (count, missing)).map_err(|failure| failure.message().to_owned())
    }

    /// All objects of a kind, or those that the file names where that is all that is allowed.
    async fn list(&self, kind: Kind, version: &str) -> Result<Vec<Value>, String> {
        let path = path(kind, version, None);
        let selector = if kind == Kind::Service { "?fieldSelector=spec.type%3DLoadBalancer" } else { "" };
        let mut answer = self.get(&format!("{path}{selector}")).await;
        if answer.as_ref().is_err_and(|failure| failure.code() == Some(400)) {
            answer = self.get(&path).await; // Kubernetes before 1.31
        }
        match answer {
            Ok(list) => Ok(items(&list)),
            Err(failure) if failure.code() == Some(403) => {
                self.named(kind, version).await.ok_or_else(|| failure.message().to_owned())
            }
            Err(failure) => Err(failure.message().to_owned()),
        }
    }

    /// `None`: not even those can be read.
    async fn named(&self, kind: Kind, version: &str) -> Option<Vec<Value>> {
        let bound = self.config.bindings.iter().filter(|binding| binding.cluster == self.cluster.name);
        let names = bound.map(|binding| &binding.target).filter(|target| target.kind == kind);
        let mut found = Vec::new();
        let mut is_allowed = false;
        for target in names {
            let path = path(kind, version, target.namespace.as_deref());
            let list = self.get(&format!("{path}?fieldSelector=metadata.name%3D{}", target.name)).await.ok()?;
            found.extend(items(&list));
            is_allowed = true;
        }
        is_allowed.then_some(found)
    }

    async fn schema(&self, is_served: bool) -> Option<Schema> {
        if !is_served {
            return None;
        }
        // The account may list this one by its name, and not get it.
        let name = qualified(schema::ASKED);
        let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        Some(match self.get(&format!("{path}?fieldSelector=metadata.name%3D{name}")).await {
            Ok(list) => {
                let definition = items(&list).into_iter().next().unwrap_or_default();
                Schema::of_label(definition["metadata"]["labels"][schema::LABEL].as_str())
            }
            Err(failure) if failure.code() == Some(403) => Schema::Forbidden(failure.message().to_owned()),
            Err(failure) => Schema::Unreadable(failure.message().to_owned()),
        })
    }

    async fn announcers(&self) -> BTreeMap<Announcer, Result<Vec<Value>, String>> {
        let read = Announcer::ALL.map(|kind| async move { Some((kind, self.announcer(kind).await?)) });
        futures_util::future::join_all(read).await.into_iter().flatten().collect()
    }

    /// `None`: it is not served.
    async fn announcer(&self, kind: Announcer) -> Option<Result<Vec<Value>, String>> {
        let (group, versions, plural) = kind.resource();
        for version in versions {
            match self.get(&format!("/apis/{group}/{version}/{plural}")).await {
                Ok(list) => return Some(Ok(items(&list))),
                Err(failure) if failure.code() == Some(404) => {}
                // Whether it is there is said to everybody, also to those who may not read it.
                Err(failure) if self.lacks(group, version, plural).await => drop(failure),
                Err(failure) => return Some(Err(failure.message().to_owned())),
            }
        }
        None
    }

    /// Whether the server says that it has no such resource.
    async fn lacks(&self, group: &str, version: &str, plural: &str) -> bool {
        match self.get(&format!("/apis/{group}/{version}")).await {
            Ok(list) => !names(&list, plural),
            Err(failure) => failure.code() == Some(404),
        }
    }

    async fn external_dns(&self) -> Result<Vec<Value>, String> {
        let selectors =
            ["labelSelector=app.kubernetes.io%2Fname%3Dexternal-dns", "fieldSelector=metadata.name%3Dexternal-dns"];
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        for selector in selectors {
            let list = self.get(&format!("/apis/apps/v1/deployments?{selector}")).await;
            let list = list.map_err(|failure| failure.message().to_owned())?;
            found.extend(items(&list).into_iter().map(|item| (item["metadata"]["uid"].to_string(), item)));
        }
        Ok(found.into_values().collect())
    }
}

/// Whether a list of resources has this one.
fn names(list: &Value, plural: &str) -> bool {
    list["resources"].as_array().into_iter().flatten().any(|resource| resource["name"] == plural)
}

fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().cloned().unwrap_or_default()
}

/// Every cluster of the configuration, at the same time.
pub(super) async fn all(config: &Arc<Config>, common: &Common) -> Vec<Facts> {
    let looks = config.clusters.iter().map(|cluster| facts(config, cluster, common));
    futures_util::future::join_all(looks).await
}

/// The addresses of all Services; `None`: one cluster could not tell.
pub(super) fn services(clusters: &[Facts]) -> Option<BTreeSet<std::net::Ipv6Addr>> {
    let mut addresses = BTreeSet::new();
    for facts in clusters {
        let Connection::Made { answer: Ok(seen), .. } = &facts.connection else { return None };
        if !matches!(seen.objects.get(&Kind::Service), Some(Ok(_))) {
            return None;
        }
        let all = seen.services.iter().flat_map(crate::doctor::cluster::addresses);
        addresses
            .extend(all.filter_map(|address| if let IpAddr::V6(address) = address { Some(address) } else { None }));
    }
    Some(addresses)
}

/// What could be read of a cluster.
pub(super) fn objects<'a>(clusters: &'a [Facts], name: &str) -> Vec<&'a Object> {
    let facts = clusters.iter().find(|facts| facts.cluster.name == name);
    let Some(Connection::Made { answer: Ok(seen), .. }) = facts.map(|facts| &facts.connection) else {
        return Vec::new();
    };
    seen.objects.values().filter_map(|objects| objects.as_ref().ok()).flatten().collect()
}
