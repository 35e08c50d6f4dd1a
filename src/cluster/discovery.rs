//! Which of our kinds a cluster serves, and in which version.

use std::collections::{BTreeMap, BTreeSet};

use http::{Request, StatusCode, Version};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList};
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::de::DeserializeOwned;

use super::failure::{Failure, of_status, within};
use super::object::{Served, resource};
use super::timeouts::Timeouts;
use crate::config::Kind;

/// The versions of a group that we can write, best first. Cilium serves its pools as v2 since 1.18 and as v2alpha1
/// since 1.13; the schemas are the same.
fn versions(group: &str) -> &'static [&'static str] {
    match group {
        "cilium.io" => &["v2", "v2alpha1"],
        _ => &["v1beta1"],
    }
}

/// What the API server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// `gitVersion`, for instance "v1.36.3".
    pub version: String,
    /// Whether it speaks HTTP/2 with us; such a connection needs no requests to stay open.
    pub is_http2: bool,
}

/// GET /version: the cheapest request there is, so also the probe whether the server answers.
///
/// # Errors
/// Those of the request.
pub async fn server(client: &Client, timeouts: &Timeouts) -> Result<Server, Failure> {
    let request = Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
    let exchange = async {
        let answer = client.send(request).await?;
        Ok((answer.version(), answer.status(), answer.into_body().collect_bytes().await?))
    };
    let (protocol, status, body) = within(timeouts.operation, exchange).await?;
    let version = match status {
        StatusCode::OK => serde_json::from_slice::<Info>(&body).map_err(kube::Error::SerdeError)?.git_version,
        // It keeps its version to itself, but it answers, and that is what counts.
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => String::new(),
        _ => return Err(of_status(&refusal(status, &body))),
    };
    Ok(Server { version, is_http2: protocol == Version::HTTP_2 })
}

/// What an answer that is not a success says.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> Status {
    let text = || Status::failure(&String::from_utf8_lossy(body), "");
    serde_json::from_slice(body).unwrap_or_else(|_| text()).with_code(status.as_u16())
}

/// The version to use for each of `kinds` that the cluster serves.
///
/// # Errors
/// Those of the requests; that a group or kind is missing is not an error.
pub async fn served(client: &Client, kinds: &BTreeSet<Kind>, timeouts: &Timeouts) -> Result<Served, Failure> {
    let mut groups: BTreeMap<&'static str, Vec<Kind>> = BTreeMap::new();
    for kind in kinds.iter().filter(|kind| **kind != Kind::Service) {
        groups.entry(resource(*kind, "").0).or_default().push(*kind);
    }
    let lookups = groups.iter().map(|(group, kinds)| served_of_group(client, group, kinds, timeouts));
    let found = futures_util::future::try_join_all(lookups).await?;
    // Every cluster has Services, and since Kubernetes 1.0 in this one version.
    let services = kinds.get(&Kind::Service).map(|kind| (*kind, "v1".to_owned()));
    Ok(found.into_iter().flatten().chain(services).collect())
}

async fn served_of_group(client: &Client, group: &str, kinds: &[Kind], timeouts: &Timeouts) -> Result<Served, Failure> {
    let mut served = Served::new();
    let Some(APIGroup { versions: offered, .. }) = found(get(client, &format!("/apis/{group}"), timeouts).await)?
    else {
        return Ok(served);
    };
    let offered: BTreeSet<String> = offered.into_iter().map(|offered| offered.version).collect();
    for version in versions(group).iter().filter(|version| offered.contains(**version)) {
        if kinds.iter().all(|kind| served.contains_key(kind)) {
            break;
        }
        let path = format!("/apis/{group}/{version}");
        let Some(APIResourceList { resources, .. }) = found(get(client, &path, timeouts).await)? else { continue };
        let names: BTreeSet<&str> = resources.iter().map(|resource| resource.name.as_str()).collect();
        for kind in kinds.iter().filter(|kind| names.contains(resource(**kind, version).2)) {
            served.entry(*kind).or_insert_with(|| (*version).to_owned());
        }
    }
    Ok(served)
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str, timeouts: &Timeouts) -> Result<T, Failure> {
    let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    within(timeouts.operation, client.request(request)).await
}

fn found<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Err(failure) if failure.code() == Some(404) => Ok(None),
        other => other.map(Some),
    }
}
