//! Watches: what an API server tells of our kinds, each object cut to what we need as it arrives.
//!
//! One task per watch. It lists, follows, renews and relists on its own, and reports what the driver must know. A
//! failure of the path ends it: the driver then makes a new connection with new watches.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use kube::Client;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

mod subject;

pub use subject::Subject;

use super::backoff::Backoff;
use super::failure::{Failure, of_status, within};
use super::mirror::DEFINITION;
use super::object::{Object, qualified, resource};
use super::schema::{LABEL, Schema};
use super::timeouts::Timeouts;
use crate::clock;
use crate::config::{Kind, ObjectRef};
use crate::log::{self, record};
use crate::time::Instant;

/// What a watch has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// Everything there is.
    Listed(Vec<Object>),
    /// An object is new or changed.
    Changed(Box<Object>),
    /// An object is gone.
    Deleted(ObjectRef),
    /// The definition of a kind is there or has changed, and this is what it tells of its schema.
    Defined(Schema),
    /// The request was refused; the watch tries again later.
    Refused(Failure),
    /// Nothing answers, or the credentials are refused; the watch has ended.
    Lost(Failure),
}

/// The watches of one connection. Dropping it ends them.
pub struct Watches {
    client: Client,
    timeouts: Timeouts,
    seed: u64,
    sender: mpsc::Sender<(Subject, News)>,
    running: BTreeMap<Subject, Running>,
}

struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watches {
    /// No watches yet, and the channel on which their news will come.
    pub fn new(client: Client, timeouts: Timeouts, seed: u64) -> (Self, mpsc::Receiver<(Subject, News)>) {
        let (sender, receiver) = mpsc::channel(64);
        (Self { client, timeouts, seed, sender, running: BTreeMap::new() }, receiver)
    }

    /// Ends the watches that are not in `subjects`, starts those that are missing.
    pub fn set(&mut self, subjects: BTreeSet<Subject>) {
        self.running.retain(|subject, _| subjects.contains(subject));
        for subject in subjects {
            if self.running.contains_key(&subject) {
                continue;
            }
            let watch = Watch {
                client: self.client.clone(),
                request: request(&subject),
                subject: subject.clone(),
                timeouts: self.timeouts,
                backoff: Backoff::new(&self.timeouts, self.seed),
                selects_type: true,
                held: None,
                sender: self.sender.clone(),
            };
            self.running.insert(subject, Running(tokio::spawn(watch.run()).abort_handle()));
        }
    }

    /// Ends one. Another one is started by [`Self::set`].
    pub fn end(&mut self, subject: &Subject) {
        self.running.remove(subject);
    }

    /// The watches that run.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.running.keys()
    }

    /// Whether this watch is (still) wanted; news of others is stale.
    pub fn contains(&self, subject: &Subject) -> bool {
        self.running.contains_key(subject)
    }
}

fn request(subject: &Subject) -> Request {
    Request::new(match subject {
        Subject::Kind { kind, version } => path(*kind, version, None),
        Subject::Named { object, version } => path(object.kind, version, object.namespace.as_deref()),
        Subject::Definition(_) | Subject::OwnDefinition => {
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned()
        }
    })
}

/// The path of a collection, in one namespace or in all.
pub fn path(kind: Kind, version: &str, namespace: Option<&str>) -> String {
    let (group, version, plural) = resource(kind, version);
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    match namespace {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{plural}"),
    }
}

struct Watch {
    client: Client,
    request: Request,
    subject: Subject,
    timeouts: Timeouts,
    backoff: Backoff,
    /// Whether the server is asked for Services of type LoadBalancer only; Kubernetes before 1.31 cannot.
    selects_type: bool,
    /// What was listed and is not told yet.
    held: Option<News>,
    sender: mpsc::Sender<(Subject, News)>,
}

/// Why a watch is over.
enum End {
    /// Its time is up, or the connection was closed: go on from this resource version.
    Renew(String),
    /// The server no longer knows that resource version (410): list again.
    Expired,
    Failed(Failure),
    /// Nobody listens any more.
    Unheard,
}

/// A page of a list. Small pages, so that a large cluster never lies in memory as a whole.
#[derive(Deserialize)]
struct Page {
    metadata: PageMetadata,
    /// Null in an empty PartialObjectMetadataList.
    items: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    r#continue: Option<String>,
}

const PAGE: u32 = 100;

/// `spec.type` of the Services that we care for.
const LOAD_BALANCER: &str = "LoadBalancer";

impl Watch {
    async fn run(mut self) {
        loop {
            let end = match self.list().await {
                Ok((version, listed)) => {
                    self.held = Some(listed);
                    // Pools must not wait for Services that are listed and may not be watched: nobody tells how they do.
                    if self.kind() != Some(Kind::Service) && self.tell_held().await.is_err() {
                        return;
                    }
                    self.follow(version).await
                }
                Err(failure) => End::Failed(failure),
            };
            let failure = match end {
                End::Unheard => return,
                End::Expired | End::Renew(_) => continue,
                End::Failed(failure) if self.is_about_type(&failure) => {
                    self.selects_type = false;
                    continue;
                }
                End::Failed(failure) => failure,
            };
            let wait = self.pause(&failure);
            if failure.is_of_connection() {
                let _nobody_listens = self.tell(News::Lost(failure)).await;
                return;
            }
            if self.tell(News::Refused(failure)).await.is_err() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn list(&self) -> Result<(String, News), Failure> {
        let mut objects = Vec::new();
        let mut parameters = ListParams { limit: Some(PAGE), field_selector: self.selector(), ..ListParams::default() };
        let mut defined = None;
        loop {
            let request = self.list_request(&parameters).map_err(kube::Error::BuildRequest)?;
            let page: Page = within(self.timeouts.operation, self.client.request(request)).await?;
            let items = page.items.unwrap_or_default();
            defined = defined.or_else(|| items.first().map(schema));
            objects.extend(items.iter().filter(|item| self.is_in_scope(item)).filter_map(|item| self.cut(item)));
            match page.metadata.r#continue.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok((page.metadata.resource_version, self.listed(objects, defined))),
            }
        }
    }

    fn listed(&self, objects: Vec<Object>, defined: Option<Schema>) -> News {
        match defined.filter(|_| self.subject.is_definition()) {
            Some(schema) => News::Defined(schema),
            None => News::Listed(objects),
        }
    }

    /// Follows changes from `version` on, renewing the watch when its time is up.
    async fn follow(&mut self, mut version: String) -> End {
        loop {
            match self.watch(version).await {
                End::Renew(reached) => version = reached,
                end @ (End::Expired | End::Failed(_) | End::Unheard) => return end,
            }
        }
    }

    async fn watch(&mut self, mut version: String) -> End {
        let seconds = u32::try_from(self.timeouts.watch.as_secs()).unwrap_or(u32::MAX);
        let parameters =
            WatchParams { timeout: Some(seconds), field_selector: self.selector(), ..WatchParams::default() };
        let request = match self.watch_request(&parameters, &version) {
            Ok(request) => request,
            Err(error) => return End::Failed(kube::Error::BuildRequest(error).into()),
        };
        let opening = self.client.request_events::<Value>(request);
        let events = match within(self.timeouts.operation, opening).await {
            Ok(events) => events,
            Err(failure) if failure.code() == Some(410) => {
                self.breathe(clock::now()).await;
                return End::Expired;
            }
            Err(failure) => return End::Failed(failure),
        };
        if self.tell_held().await.is_err() {
            return End::Unheard;
        }
        let begun = clock::now();
        let mut events = pin!(events);
        let silence = self.timeouts.watch + self.timeouts.watch_grace;
        loop {
            let event = match tokio::time::timeout(silence, events.try_next()).await {
                Ok(Ok(Some(event))) => event,
                // A stream that broke is begun again; whether the path is broken, too, shows then.
                Ok(Ok(None) | Err(_)) => {
                    self.breathe(begun).await;
                    return End::Renew(version);
                }
                Err(_elapsed) => return End::Failed(Failure::timed_out(silence)),
            };
            if let WatchEvent::Error(status) = &event {
                if status.code != 410 {
                    return End::Failed(of_status(status));
                }
                self.breathe(begun).await;
                return End::Expired;
            }
            if let Some(reached) = reached(&event) {
                version = reached;
            }
            if let Some(news) = self.news(event)
                && self.tell(news).await.is_err()
            {
                return End::Unheard;
            }
        }
    }

    /// A server that ends each watch at once must not be asked in a tight loop.
    async fn breathe(&mut self, begun: Instant) {
        if clock::now().saturating_since(begun) >= self.timeouts.backoff {
            self.backoff.reset();
        } else {
            tokio::time::sleep(self.backoff.next_pause()).await;
        }
    }

    fn news(&self, event: WatchEvent<Value>) -> Option<News> {
        let is_definition = self.subject.is_definition();
        match event {
            WatchEvent::Added(value) | WatchEvent::Modified(value) if is_definition => {
                Some(News::Defined(schema(&value)))
            }
            WatchEvent::Deleted(_) if is_definition => Some(News::Listed(Vec::new())),
            WatchEvent::Added(value) | WatchEvent::Modified(value) if self.is_in_scope(&value) => {
                self.cut(&value).map(Box::new).map(News::Changed)
            }
            WatchEvent::Added(value) | WatchEvent::Modified(value) | WatchEvent::Deleted(value) => {
                self.cut(&value).map(|object| News::Deleted(object.reference))
            }
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => None,
        }
    }

    /// A Service of another type has no addresses of a pool: for us it is not there. The server knows the field
    /// selector; one that does not sends them all.
    fn is_in_scope(&self, value: &Value) -> bool {
        self.kind() != Some(Kind::Service) || value["spec"]["type"] == LOAD_BALANCER
    }

    /// Whether the server complains of the field selector that asks for Services of one type.
    fn is_about_type(&self, failure: &Failure) -> bool {
        let is_asked = self.selects_type && self.kind() == Some(Kind::Service);
        is_asked && failure.code() == Some(400) && failure.message().contains("spec.type")
    }

    fn kind(&self) -> Option<Kind> {
        match &self.subject {
            Subject::Kind { kind, .. } => Some(*kind),
            Subject::Named { object, .. } => Some(object.kind),
            Subject::Definition(_) | Subject::OwnDefinition => None,
        }
    }

    /// An object that we cannot read is left alone, as if it were not there.
    fn cut(&self, value: &Value) -> Option<Object> {
        let kind = self.kind()?;
        let cut = Object::from_json(kind, value);
        cut.inspect_err(|error| log::emit(&record::unreadable(kind.as_str(), &error.to_string()))).ok()
    }

    fn selector(&self) -> Option<String> {
        let name = match &self.subject {
            Subject::Kind { .. } => None,
            Subject::Named { object, .. } => Some(format!("metadata.name={}", object.name)),
            Subject::Definition(kind) => Some(format!("metadata.name={}", qualified(*kind))),
            Subject::OwnDefinition => Some(format!("metadata.name={DEFINITION}")),
        };
        let selects_type = self.selects_type && self.kind() == Some(Kind::Service);
        let of_type = selects_type.then(|| format!("spec.type={LOAD_BALANCER}"));
        let terms: Vec<String> = name.into_iter().chain(of_type).collect();
        (!terms.is_empty()).then(|| terms.join(","))
    }

    /// A CustomResourceDefinition is large, and that it exists is all we need: its metadata only.
    fn list_request(&self, parameters: &ListParams) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
        if self.subject.is_definition() {
            self.request.list_metadata(parameters)
        } else {
            self.request.list(parameters)
        }
    }

    fn watch_request(
        &self,
        parameters: &WatchParams,
        version: &str,
    ) -> Result<http::Request<Vec<u8>>, kube::core::request::Error> {
        if self.subject.is_definition() {
            self.request.watch_metadata(parameters, version)
        } else {
            self.request.watch(parameters, version)
        }
    }

    fn pause(&mut self, failure: &Failure) -> Duration {
        match failure.code() {
            Some(403) => self.timeouts.refused,
            _ => self.backoff.next_pause(),
        }
    }

    async fn tell_held(&mut self) -> Result<(), mpsc::error::SendError<(Subject, News)>> {
        let Some(listed) = self.held.take() else { return Ok(()) };
        self.tell(listed).await
    }

    async fn tell(&self, news: News) -> Result<(), mpsc::error::SendError<(Subject, News)>> {
        self.sender.send((self.subject.clone(), news)).await
    }
}

/// What a CustomResourceDefinition tells of its schema.
fn schema(definition: &Value) -> Schema {
    Schema::of_label(definition["metadata"]["labels"][LABEL].as_str())
}

fn reached(event: &WatchEvent<Value>) -> Option<String> {
    match event {
        WatchEvent::Added(value) | WatchEvent::Modified(value) | WatchEvent::Deleted(value) => {
            value.pointer("/metadata/resourceVersion").and_then(Value::as_str).map(ToOwned::to_owned)
        }
        WatchEvent::Bookmark(bookmark) => Some(bookmark.metadata.resource_version.clone()),
        WatchEvent::Error(_) => None,
    }
}

#[cfg(test)]
mod tests;
