//! One connection to a cluster, from its credentials to its watches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Validity;
use super::client;
use super::discovery::{self, Server};
use super::expiry;
use super::failure::{Failure, within};
use super::files::{Fingerprint, Readers};
use super::island::{Island, Write};
use super::kubeconfig::{self, Unusable};
use super::mirror::Mirrors;
use super::object::{FIELD_MANAGER, Object, Served};
use super::schema;
use super::timeouts::Timeouts;
use super::watch::{News, Subject, Watches, path};
use crate::clock;
use crate::config::{Cluster, Kind};
use crate::time::Instant;

/// The outcome of trying to connect.
pub(super) struct Attempt {
    /// The files that were read for it; when they change, another attempt may end otherwise.
    pub(super) fingerprint: Fingerprint,
    pub(super) result: Result<Opened, Refusal>,
}

/// A connection that has answered.
pub(super) struct Opened {
    pub(super) url: String,
    pub(super) client: Client,
    pub(super) server: Server,
    pub(super) served: Served,
    pub(super) validity: Option<Validity>,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The kubeconfig cannot be used as it is.
    Misconfigured(Unusable),
    /// The server at this URL does not answer as it should.
    Failed { url: String, failure: Failure },
}

/// Reads the credentials, connects, and asks what is served.
pub(super) async fn open(
    cluster: Arc<Cluster>,
    readers: Readers,
    kinds: BTreeSet<Kind>,
    timeouts: Timeouts,
) -> Attempt {
    let reading = readers.read(move || {
        let credentials = kubeconfig::read(&cluster.kubeconfig, cluster.context.as_deref());
        let built = credentials.config.map_err(Refusal::Misconfigured).and_then(|config| {
            let url = config.cluster_url.to_string();
            let validity = expiry::of(&config, credentials.has_token_file);
            match client::build(config, &timeouts) {
                Ok(client) => Ok((url, validity, client)),
                Err(failure) => Err(Refusal::Failed { url, failure }),
            }
        });
        (credentials.fingerprint, built)
    });
    let Ok((fingerprint, built)) = reading.await else {
        let text = "reading the kubeconfig was aborted".to_owned();
        return Attempt {
            fingerprint: Fingerprint::default(),
            result: Err(Refusal::Misconfigured(Unusable::new(text))),
        };
    };
    let result = match built {
        Ok((url, validity, client)) => match greet(&client, &kinds, &timeouts).await {
            Ok((server, served)) => Ok(Opened { url, client, server, served, validity }),
            Err(failure) => Err(Refusal::Failed { url, failure }),
        },
        Err(refusal) => Err(refusal),
    };
    Attempt { fingerprint, result }
}

async fn greet(client: &Client, kinds: &BTreeSet<Kind>, timeouts: &Timeouts) -> Result<(Server, Served), Failure> {
    // One after the other: they share the connection that the first one makes.
    let server = discovery::server(client, timeouts).await?;
    let served = discovery::served(client, kinds, timeouts).await?;
    Ok((server, served))
}

/// How often a kind is looked for after its definition was seen.
const LOOKS: u32 = 8;

/// A connection in use. Dropping it ends its watches.
pub(super) struct Session {
    pub(super) url: String,
    pub(super) client: Client,
    pub(super) server: Server,
    pub(super) served: Served,
    /// How long the credentials are valid, where that can be known.
    pub(super) validity: Option<Validity>,
    /// The kinds that were asked for when `served` was.
    pub(super) asked: BTreeSet<Kind>,
    pub(super) watches: Watches,
    pub(super) news: mpsc::Receiver<(Subject, News)>,
    pub(super) opened_at: Instant,
    /// The watches that the server refuses at the moment.
    pub(super) refused: BTreeMap<Subject, Failure>,
    /// Kinds whose definition was seen since they were last found, and how often they were looked for in vain.
    defined: BTreeMap<Kind, u32>,
    /// The watches that have listed, or were refused, at least once.
    settled: BTreeSet<Subject>,
    is_ready: bool,
    /// How long the machine had been suspended when the connection was made.
    suspended: Duration,
    timeouts: Timeouts,
}

impl Session {
    pub(super) fn new(opened: Opened, asked: BTreeSet<Kind>, timeouts: &Timeouts, seed: u64, now: Instant) -> Self {
        let (watches, news) = Watches::new(opened.client.clone(), *timeouts, seed);
        Self {
            url: opened.url,
            client: opened.client,
            server: opened.server,
            served: opened.served,
            validity: opened.validity,
            asked,
            watches,
            news,
            opened_at: now,
            refused: BTreeMap::new(),
            defined: BTreeMap::new(),
            settled: BTreeSet::new(),
            is_ready: false,
            suspended: clock::suspended(),
            timeouts: *timeouts,
        }
    }

    /// The watch has listed; its objects are known.
    pub(super) fn listed(&mut self, subject: &Subject) {
        self.refused.remove(subject);
        self.settled.insert(subject.clone());
    }

    /// The server refuses the watch at the moment.
    pub(super) fn refuse(&mut self, subject: &Subject, failure: Failure) {
        self.refused.insert(subject.clone(), failure);
        self.settled.insert(subject.clone());
    }

    /// Ends the watches that the server refuses, so that they begin anew.
    pub(super) fn end_refused_watches(&mut self) {
        self.refused.keys().for_each(|subject| self.watches.end(subject));
    }

    /// There is a definition of a kind, new or changed.
    pub(super) fn defined(&mut self, subject: &Subject) {
        if let Subject::Definition(kind) = subject {
            self.defined.insert(*kind, 0);
        }
    }

    /// Takes in what the cluster serves. When to look again, if there are definitions of kinds that it does not serve:
    /// the API server tells of a definition first and serves it a moment later. One that stays away is of a version that
    /// we do not know, and changes first.
    pub(super) fn found(&mut self, served: &Served) -> Option<Duration> {
        self.served.clone_from(served);
        self.defined.retain(|kind, attempts| !served.contains_key(kind) && *attempts < LOOKS);
        let pause =
            |attempts: &u32| (self.timeouts.backoff / 4).saturating_mul(1 << attempts).min(self.timeouts.backoff_max);
        let pause = self.defined.values().map(pause).min();
        self.defined.values_mut().for_each(|attempts| *attempts += 1);
        pause
    }

    /// Turns true, once, when every watch has listed: before that, a write would be made of what a former connection
    /// saw, and most likely refused as a conflict. Kinds that are not served are not waited for.
    pub(super) fn becomes_ready(&mut self) -> bool {
        let is_missing = |subject: &Subject| match subject {
            Subject::Definition(kind) => !self.served.contains_key(kind),
            Subject::OwnDefinition => true,
            Subject::Kind { .. } | Subject::Named { .. } => false,
        };
        let is_settled = |subject: &Subject| is_missing(subject) || self.settled.contains(subject);
        if self.is_ready || !self.watches.subjects().all(is_settled) {
            return false;
        }
        self.is_ready = true;
        true
    }

    /// Whether objects may be written.
    pub(super) const fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether the machine slept since the connection was made. The other side has most likely forgotten it.
    pub(super) fn was_suspended(&self) -> bool {
        clock::suspended().saturating_sub(self.suspended) > Duration::from_secs(5)
    }

    /// Runs exactly the watches that the island and the mirrors need now.
    pub(super) fn watch(&mut self, island: &Island, mirrors: &Mirrors) {
        let (mut subjects, mut given_up) = (BTreeSet::new(), BTreeSet::new());
        subjects.extend(mirrors.lacks_kind().then_some(Subject::OwnDefinition));
        for kind in island.kinds() {
            let Some(version) = self.served.get(&kind) else {
                if self.asked.contains(&kind) {
                    subjects.insert(Subject::Definition(kind));
                }
                continue;
            };
            let subject = Subject::Kind { kind, version: version.clone() };
            let is_forbidden = self.is_forbidden(&subject);
            if is_forbidden {
                let named = island.named(kind).into_iter();
                subjects.extend(named.map(|object| Subject::Named { object, version: version.clone() }));
            }
            // Permission may be granted later. Where names are all that counts, it would bring nothing new: to ask once
            // for each connection is enough, for one watch is less than one for each name.
            let is_needed = !is_forbidden || island.looks_for(kind);
            if is_needed {
                subjects.insert(subject)
            } else {
                given_up.insert(subject)
            };
        }
        let asks_schema = self.served.contains_key(&schema::ASKED) && island.has_target(schema::ASKED);
        subjects.extend(asks_schema.then_some(Subject::Definition(schema::ASKED)));
        self.refused.retain(|subject, _| subjects.contains(subject) || given_up.contains(subject));
        self.watches.set(subjects);
    }

    /// Whether Cilium's version is not watched, which only a pool of ours would change.
    pub(super) fn lacks_schema(&self) -> bool {
        self.served.contains_key(&schema::ASKED) && !self.watches.contains(&Subject::Definition(schema::ASKED))
    }

    pub(super) fn is_forbidden(&self, subject: &Subject) -> bool {
        self.refused.get(subject).is_some_and(|failure| failure.code() == Some(403))
    }

    /// When to look for missing kinds, if no watch of their definitions will tell.
    pub(super) fn rediscover_after(&self, island: &Island) -> Option<Duration> {
        let missing: Vec<Kind> = island.kinds().into_iter().filter(|kind| !self.served.contains_key(kind)).collect();
        if missing.iter().any(|kind| !self.asked.contains(kind)) {
            return Some(Duration::ZERO);
        }
        let unseen = |kind: &&Kind| self.refused.contains_key(&Subject::Definition(**kind));
        let unseen: Vec<Kind> = missing.iter().filter(unseen).copied().collect();
        if unseen.is_empty() {
            return None;
        }
        let needed = unseen.iter().any(|kind| !island.named(*kind).is_empty());
        Some(if needed { self.timeouts.rediscover_needed } else { self.timeouts.rediscover })
    }

    /// When the client should be replaced: a while before its certificate ends (exec plugins).
    pub(super) fn renew_at(&self) -> Option<Instant> {
        let until = (*self.client.valid_until())?;
        let end = clock::epoch().instant(until);
        let whole = end.saturating_since(self.opened_at);
        Some((end - Duration::from_secs(60)).max(self.opened_at + whole / 2))
    }
}

/// Sends a patch and reads the object from the answer.
pub(super) async fn send(client: Client, write: Write, limit: Duration) -> Result<Object, Failure> {
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let kind = write.object.kind;
    let request = Request::new(path(kind, &write.version, write.object.namespace.as_deref()));
    let patch = Patch::Merge(&write.patch);
    let request = request.patch(&write.object.name, &parameters, &patch).map_err(kube::Error::BuildRequest)?;
    let answer: Value = within(limit, client.request(request)).await?;
    Object::from_json(kind, &answer).map_err(Failure::Garbled)
}

impl Refusal {
    /// Whether waiting for the server will not help, but new credentials will.
    pub(super) fn is_of_credentials(&self) -> bool {
        matches!(self, Self::Misconfigured(_) | Self::Failed { failure: Failure::Unauthorized(_), .. })
    }
}
