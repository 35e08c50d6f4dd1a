//! A small Kubernetes API server inside the process: discovery, list, watch, get and merge patch for Services and for
//! objects of CustomResourceDefinitions, with every fault a test can ask for.
//!
//! It follows the API conventions as far as a client can tell: resource versions, 409 for a stale one, 410 for one
//! that is compacted, field selectors on the name and on a Service's type, RBAC, pages. It validates no schema.

#![expect(clippy::expect_used, reason = "what fails here fails the test that asked for it")]

mod fault;
mod http;
mod serve;
mod store;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use fault::{Action, Fault};
pub(crate) use serve::Certificate;
pub(crate) use store::Key;

/// A request as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The RBAC verb: get, list, watch or patch.
    pub(crate) verb: &'static str,
    pub(crate) path: String,
    pub(crate) query: String,
    /// The body, Null when there is none.
    pub(crate) body: Value,
    pub(crate) is_http2: bool,
}

/// The server. Dropping it closes everything.
#[derive(Debug)]
pub(crate) struct Api {
    state: Arc<State>,
    address: SocketAddr,
    certificate: Option<Certificate>,
    listening: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct State {
    inner: Mutex<Inner>,
    /// Bumped at every change of anything; carries the newest resource version.
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    store: store::Store,
    faults: Vec<Fault>,
    /// Bearer tokens that are accepted; `None`: everybody is.
    tokens: Option<BTreeSet<String>>,
    requests: Vec<Request>,
    /// Watches of a former epoch end.
    epoch: u64,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics while it holds the lock")
    }

    /// Changes something and wakes whoever waits for it.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let (outcome, version) = {
            let mut inner = self.lock();
            let outcome = change(&mut inner);
            (outcome, inner.store.version())
        };
        self.changed.send_replace(version);
        outcome
    }
}

impl Api {
    /// Listens on a free port of 127.0.0.1, in the clear (HTTP/1.1).
    pub(crate) async fn start() -> Self {
        Self::new(None).await
    }

    /// The same with TLS; HTTP/2 is offered.
    pub(crate) async fn start_tls(certificate: Certificate) -> Self {
        Self::new(Some(certificate)).await
    }

    async fn new(certificate: Option<Certificate>) -> Self {
        let state = Arc::new(State { inner: Mutex::default(), changed: watch::Sender::new(0) });
        let (address, task) = serve::listen(state.clone(), "127.0.0.1:0", certificate).await;
        Self { state, address, certificate, listening: Mutex::new(Some(task)) }
    }

    /// Closes the port and every connection.
    pub(crate) fn close(&self) {
        if let Some(task) = self.listening.lock().expect("never held over a panic").take() {
            task.abort();
        }
    }

    /// Listens again, on the same port.
    pub(crate) async fn reopen(&self) {
        let former = self.listening.lock().expect("never held over a panic").take();
        if let Some(task) = former {
            task.abort();
            let _cancelled = task.await; // only then the port is free
        }
        let (_, task) = serve::listen(self.state.clone(), &self.address.to_string(), self.certificate).await;
        *self.listening.lock().expect("never held over a panic") = Some(task);
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// A kubeconfig for this server whose only context is "test", with a user of these properties (YAML in braces).
    pub(crate) fn kubeconfig(&self, cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: \"{}\"{cluster}}}}}]\n\
             users: [{{name: tester, user: {{{user}}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: tester}}}}]\n",
            self.url()
        )
    }

    /// Serves a kind in these versions, as a CustomResourceDefinition would.
    pub(crate) fn define(&self, kind: &str, versions: &[&str]) {
        self.define_with(kind, versions, &json!({}));
    }

    /// The same with labels of the definition.
    pub(crate) fn define_with(&self, kind: &str, versions: &[&str], labels: &Value) {
        let (group, plural, scope) = match kind {
            "CiliumLoadBalancerIPPool" => ("cilium.io", "ciliumloadbalancerippools", "Cluster"),
            "CiliumCIDRGroup" => ("cilium.io", "ciliumcidrgroups", "Cluster"),
            "IPAddressPool" => ("metallb.io", "ipaddresspools", "Namespaced"),
            "DynamicPrefix" => ("dyn-prefix.io", "dynamicprefixes", "Cluster"),
            other => panic!("no kind of ours: {other}"),
        };
        let served: Vec<Value> = versions.iter().map(|name| json!({"name": name, "served": true})).collect();
        self.put(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}"), "labels": labels},
            "spec": {"group": group, "scope": scope, "names": {"plural": plural, "kind": kind}, "versions": served}
        }));
        self.end_watches(); // the API server ends the watches of a resource whose definition changes
    }

    /// Creates an object or replaces its spec, labels and annotations, as another client would.
    pub(crate) fn put(&self, object: Value) -> Value {
        self.state.change(|inner| inner.store.put(object, "kubectl"))
    }

    pub(crate) fn delete(&self, key: &Key) {
        self.state.change(|inner| inner.store.delete(key));
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        self.state.lock().store.get(key).cloned()
    }

    /// Adds a fault; the newest that matches a request counts.
    pub(crate) fn fault(&self, fault: Fault) {
        self.state.change(|inner| inner.faults.push(fault));
    }

    /// Requests that hang go on.
    pub(crate) fn clear_faults(&self) {
        self.state.change(|inner| inner.faults.clear());
    }

    /// Only these bearer tokens are accepted from now on, on connections that exist, too.
    pub(crate) fn accept_tokens(&self, tokens: &[&str]) {
        let tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
        self.state.change(|inner| inner.tokens = Some(tokens));
    }

    /// Ends every watch in the regular way.
    pub(crate) fn end_watches(&self) {
        self.state.change(|inner| inner.epoch += 1);
    }

    /// Forgets the past: watches from a former resource version get 410, those that run end so.
    pub(crate) fn compact(&self) {
        self.state.change(|inner| inner.store.compact());
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().requests.clone()
    }

    pub(crate) fn forget_requests(&self) {
        self.state.lock().requests.clear();
    }

    /// How many requests with this verb had `part` in their path or query.
    pub(crate) fn count(&self, verb: &str, part: &str) -> usize {
        let matches =
            |request: &&Request| request.verb == verb && (request.path.contains(part) || request.query.contains(part));
        self.state.lock().requests.iter().filter(matches).count()
    }

    /// Waits until the server is as wished: looked at anew after every request and every change.
    pub(crate) async fn until(&self, wish: impl Fn(&Self) -> bool) {
        let mut changed = self.state.changed.subscribe();
        while !wish(self) {
            changed.changed().await.expect("the state holds the sender");
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.close();
    }
}
