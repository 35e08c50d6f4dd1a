//! Asks an API server whether the account may do what it needs to (SelfSubjectAccessReview, which everybody may).

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Request;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube::Client;
use serde_json::json;

use super::failure::{Failure, within};
use super::timeouts::Timeouts;
use crate::rbac::Need;

/// Questions under way at the same time.
const AT_ONCE: usize = 8;

/// A right that the account does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The need that it is a part of.
    pub need: Need,
    /// What it may not do.
    pub verb: &'static str,
    /// With which object; `None`: with all.
    pub name: Option<String>,
    /// What the server says of it, if anything.
    pub reason: Option<String>,
}

impl Missing {
    /// What it is about, without the verb.
    pub fn object(&self) -> String {
        let Need { place, group, resource, .. } = &self.need;
        let group = if group.is_empty() { String::new() } else { format!(".{group}") };
        let name = self.name.as_ref().map_or_else(|| "of any name".to_owned(), |name| format!("\"{name}\""));
        let place = match place.namespace() {
            Some(namespace) => format!("in the namespace {namespace}"),
            None => "in the whole cluster".to_owned(),
        };
        format!("{resource}{group} {name} {place}")
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.object())
    }
}

/// The rights among `needs` that the account of this client does not have, in their order.
///
/// # Errors
/// Those of the requests.
pub async fn missing(client: &Client, needs: &[Need], timeouts: &Timeouts) -> Result<Vec<Missing>, Failure> {
    let questions = needs.iter().flat_map(|need| {
        let names: Vec<_> =
            if need.names.is_empty() { vec![None] } else { need.names.iter().cloned().map(Some).collect() };
        names.into_iter().flat_map(move |name| need.verbs.iter().map(move |verb| (need, *verb, name.clone())))
    });
    let answers = questions.map(|(need, verb, name)| ask(client, need, verb, name, timeouts));
    let answers: Vec<Option<Missing>> = stream::iter(answers).buffered(AT_ONCE).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

async fn ask(
    client: &Client,
    need: &Need,
    verb: &'static str,
    name: Option<String>,
    timeouts: &Timeouts,
) -> Result<Option<Missing>, Failure> {
    let attributes = json!({
        "group": need.group, "resource": need.resource, "verb": verb,
        "name": name, "namespace": need.place.namespace(),
    });
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    });
    let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
    let request = request.header("content-type", "application/json").body(review.to_string().into_bytes());
    let request = request.map_err(kube::Error::HttpError)?;
    let answer: SelfSubjectAccessReview = within(timeouts.operation, client.request(request)).await?;
    let status = answer.status.unwrap_or_default();
    let reason = status.reason.or(status.evaluation_error).filter(|reason| !reason.is_empty());
    Ok((!status.allowed).then(|| Missing { need: need.clone(), verb, name, reason }))
}
