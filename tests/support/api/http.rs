//! Requests and answers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::fault::Action;
use super::store::{Change, Key, Refused};
use super::{Inner, State};

/// Answers a request; `None`: the connection is to be closed.
pub(super) async fn answer(state: &Arc<State>, request: Request<Incoming>, is_http2: bool) -> Option<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.ok()?;
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().replace("%3D", "=").replace("%2C", ",");
    let token = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let target = Target::parse(&path);
    let verb = match (&parts.method, &target) {
        (&Method::PATCH, _) => "patch",
        (_, Some(target)) if target.name.is_none() && parameter(&query, "watch").is_some() => "watch",
        (_, Some(target)) if target.name.is_none() => "list",
        _ => "get",
    };
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let logged = super::Request { verb, path: path.clone(), query: query.clone(), body: body.clone(), is_http2 };
    state.change(|inner| inner.requests.push(logged));
    if let Some(refusal) = fault(state, verb, &path, &query).await? {
        return Some(refusal);
    }
    if !state.lock().is_authenticated(token.as_deref()) {
        return Some(status(401, "Unauthorized", "Unauthorized"));
    }
    Some(match target {
        None => discovery(&state.lock(), &path),
        Some(target) if !state.lock().serves(&target) => not_found("the server could not find the requested resource"),
        Some(target) => match verb {
            "patch" => patch(state, &target, &query, &body),
            "watch" => watch(state.clone(), target, &query),
            "list" => list(&state.lock(), &target, &query),
            _ => get(&state.lock(), &target),
        },
    })
}

/// Meets the request with the newest fault that is for it. `None`: drop the connection.
async fn fault(state: &State, verb: &str, path: &str, query: &str) -> Option<Option<Response<Body>>> {
    let action = {
        let mut inner = state.lock();
        let met = inner.faults.iter_mut().rev().find(|fault| fault.meets(verb, path, query));
        met.map(|fault| {
            fault.times = fault.times.map(|times| times - 1);
            fault.action.clone()
        })
    };
    match action {
        None => {}
        Some(Action::Status(code, message)) => return Some(Some(status(code, "", message))),
        Some(Action::Delay(time)) => tokio::time::sleep(time).await,
        Some(Action::Drop) => return None,
        Some(Action::Hang) => {
            let mut changed = state.changed.subscribe();
            let hangs = |state: &State| state.lock().faults.iter().any(|fault| fault.meets(verb, path, query));
            while hangs(state) {
                changed.changed().await.ok()?;
            }
        }
    }
    Some(None)
}

/// `/apis/GROUP/VERSION[/namespaces/NS]/PLURAL[/NAME]`, or `/api/VERSION…` of the core group.
#[derive(Clone, Debug)]
struct Target {
    version: String,
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
}

impl Target {
    fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let plural = *rest.first()?;
        let (version, resource) = match group {
            "" => (version.to_owned(), plural.to_owned()),
            group => (format!("{group}/{version}"), format!("{plural}.{group}")),
        };
        Some(Self { version, resource, namespace, name: rest.get(1).map(|name| (*name).to_owned()) })
    }

    fn key(&self) -> Key {
        Key::new(&self.resource, self.namespace.as_deref(), self.name.as_deref().unwrap_or_default())
    }
}

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

impl Inner {
    fn is_authenticated(&self, header: Option<&str>) -> bool {
        let token = header.and_then(|header| header.strip_prefix("Bearer "));
        self.tokens.as_ref().is_none_or(|tokens| token.is_some_and(|token| tokens.contains(token)))
    }

    /// Plural, kind and namespaced of every resource in a group version; the groups and versions there are.
    fn resources(&self) -> impl Iterator<Item = (String, &Value)> {
        let definitions = self.store.list(DEFINITIONS, None).map(|(_, definition)| &definition["spec"]);
        definitions.flat_map(|spec| {
            let group = spec["group"].as_str().unwrap_or_default();
            let versions = spec["versions"].as_array().into_iter().flatten();
            versions.map(move |version| (format!("{group}/{}", version["name"].as_str().unwrap_or_default()), spec))
        })
    }

    fn serves(&self, target: &Target) -> bool {
        target.resource == DEFINITIONS
            || (target.resource.as_str(), target.version.as_str()) == ("services", "v1")
            || self.resources().any(|(version, spec)| {
                let plural = spec["names"]["plural"].as_str().unwrap_or_default();
                let group = spec["group"].as_str().unwrap_or_default();
                version == target.version && target.resource == format!("{plural}.{group}")
            })
    }
}

fn discovery(inner: &Inner, path: &str) -> Response<Body> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => json_body(&json!({
            "major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "", "goVersion": "", "compiler": "gc", "platform": "linux/amd64"
        })),
        ["apis", group] => {
            let versions: std::collections::BTreeSet<String> = inner
                .resources()
                .map(|(version, _)| version)
                .filter(|version| version.starts_with(&format!("{group}/")))
                .collect();
            if versions.is_empty() {
                return not_found("the server could not find the requested resource");
            }
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| json!({"groupVersion": version, "version": version.rsplit('/').next()}))
                .collect();
            json_body(&json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": versions}))
        }
        ["apis", group, version] => {
            let wanted = format!("{group}/{version}");
            let served = inner.resources().filter(|(version, _)| *version == wanted).map(|(_, spec)| {
                json!({"name": spec["names"]["plural"], "kind": spec["names"]["kind"], "singularName": "",
                    "namespaced": spec["scope"] == "Namespaced", "verbs": ["get", "list", "watch", "patch"]})
            });
            let served: Vec<Value> = served.collect();
            if served.is_empty() {
                return not_found("the server could not find the requested resource");
            }
            json_body(&json!({"kind": "APIResourceList", "groupVersion": wanted, "resources": served}))
        }
        _ => not_found("the server could not find the requested resource"),
    }
}

fn get(inner: &Inner, target: &Target) -> Response<Body> {
    match inner.store.get(&target.key()) {
        Some(object) => json_body(&at_version(object, target)),
        None => not_found(&format!("{} \"{}\" not found", target.resource, target.key().name)),
    }
}

fn list(inner: &Inner, target: &Target, query: &str) -> Response<Body> {
    let objects = inner.store.list(&target.resource, target.namespace.as_deref());
    let objects = objects.filter(|(_, object)| selected(query, object)).map(|(_, object)| at_version(object, target));
    let start = parameter(query, "continue").and_then(|token| token.parse().ok()).unwrap_or(0);
    let limit = parameter(query, "limit").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
    let mut objects: Vec<Value> = objects.skip(start).collect();
    let next = (objects.len() > limit).then(|| (start + limit).to_string());
    objects.truncate(limit);
    let metadata = json!({"resourceVersion": inner.store.version().to_string(), "continue": next});
    // An empty list of metadata only, as definitions are asked for, has no items but null (seen on 1.36.3).
    let is_null = objects.is_empty() && target.resource == DEFINITIONS;
    let items = if is_null { Value::Null } else { Value::Array(objects) };
    json_body(&json!({"kind": "List", "apiVersion": target.version, "metadata": metadata, "items": items}))
}

fn patch(state: &State, target: &Target, query: &str, body: &Value) -> Response<Body> {
    let manager = parameter(query, "fieldManager").unwrap_or("unknown");
    let dry_run = parameter(query, "dryRun").is_some();
    match state.change(|inner| inner.store.patch(&target.key(), body, manager, dry_run)) {
        Ok(object) => json_body(&at_version(&object, target)),
        Err(Refused::NotFound) => not_found(&format!("{} \"{}\" not found", target.resource, target.key().name)),
        Err(Refused::Conflict) => status(
            409,
            "Conflict",
            "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version",
        ),
    }
}

/// A watch under way.
struct Watch {
    state: Arc<State>,
    target: Target,
    query: String,
    version: u64,
    epoch: u64,
    until: Instant,
    is_over: bool,
}

fn watch(state: Arc<State>, target: Target, query: &str) -> Response<Body> {
    let version = parameter(query, "resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    let seconds = parameter(query, "timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(1800);
    let until = Instant::now() + Duration::from_secs(seconds);
    let epoch = state.lock().epoch;
    if state.lock().store.since(version).is_none() {
        return status(410, "Expired", "too old resource version");
    }
    let watch = Watch { state, target, query: query.to_owned(), version, epoch, until, is_over: false };
    Response::new(Body::from_stream(stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(line)), watch))
    })))
}

impl Watch {
    /// The next lines; `None` when the watch is over.
    async fn next(&mut self) -> Option<String> {
        let mut changed = self.state.changed.subscribe();
        loop {
            if self.is_over {
                return None; // after the last lines
            }
            if let Some(lines) = self.lines() {
                return Some(lines);
            }
            if self.is_over {
                return None;
            }
            self.is_over = timeout_at(self.until, changed.changed()).await.map_or(true, |changed| changed.is_err());
        }
    }

    fn lines(&mut self) -> Option<String> {
        let inner = self.state.lock();
        let Some(changes) = inner.store.since(self.version) else {
            self.is_over = true;
            let status = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired",
                "message": "too old resource version"});
            return Some(format!("{}\n", json!({"type": "ERROR", "object": status})));
        };
        let ours = |change: &&Change| {
            let namespace = self.target.namespace.as_ref();
            change.key.resource == self.target.resource
                && (namespace.is_none() || namespace == change.key.namespace.as_ref())
        };
        let line = |change: &Change| {
            let (event, object) = change.event(|object| selected(&self.query, object))?;
            Some(format!("{}\n", json!({"type": event, "object": at_version(&object, &self.target)})))
        };
        let lines: String = changes.filter(ours).filter_map(line).collect();
        self.version = inner.store.version();
        self.is_over = inner.epoch != self.epoch;
        (!lines.is_empty()).then_some(lines)
    }
}

fn selected(query: &str, object: &Value) -> bool {
    let terms = parameter(query, "fieldSelector").into_iter().flat_map(|selector| selector.split(','));
    terms.filter_map(|term| term.split_once('=')).all(|(field, wanted)| match field {
        "metadata.name" => object["metadata"]["name"] == wanted,
        "spec.type" => object["spec"]["type"] == wanted,
        other => panic!("no field selector of ours: {other}"),
    })
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn at_version(object: &Value, target: &Target) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = json!(target.version);
    object
}

fn not_found(message: &str) -> Response<Body> {
    status(404, "NotFound", message)
}

fn status(code: u16, reason: &str, message: &str) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message});
    let mut response = json_body(&body);
    *response.status_mut() = hyper::StatusCode::from_u16(code).expect("a status code");
    response
}

fn json_body(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    response
}
