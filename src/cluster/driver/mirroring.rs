//! Requests beside the writes: about objects of kind DynamicPrefix, and Kubernetes events.

use std::time::Duration;

use http::{Method, header};
use kube::Client;
use serde_json::{Value, json};

use super::Mirrored;
use crate::cluster::failure::{Failure, within};
use crate::cluster::mirror::{API_VERSION, Request};
use crate::cluster::notice::Post;
use crate::cluster::object::FIELD_MANAGER;

/// The media type of server-side apply. JSON is YAML.
const APPLY: &str = "application/apply-patch+yaml";

/// Sends one and reads the answer.
pub(super) async fn send(client: Client, request: Request, limit: Duration) -> Mirrored {
    let answer = exchange(client, &request, limit).await;
    (request, answer)
}

async fn exchange(client: Client, request: &Request, limit: Duration) -> Result<Value, Failure> {
    let path = format!("/apis/{API_VERSION}/dynamicprefixes/{}", request.name());
    // The objects are ours alone: what somebody else has put into our fields is put right.
    let apply = format!("?fieldManager={FIELD_MANAGER}&force=true");
    let (method, uri, body) = match request {
        Request::Get(_) => (Method::GET, path, None),
        Request::Apply(_, object) => (Method::PATCH, path + &apply, Some((APPLY, object.clone()))),
        Request::ApplyStatus(_, object) => (Method::PATCH, path + "/status" + &apply, Some((APPLY, object.clone()))),
        Request::Delete(_, uid) => {
            let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
            (Method::DELETE, path, Some(("application/json", options)))
        }
    };
    call(&client, method, uri, body, limit).await
}

/// Sends a Kubernetes event.
pub(super) async fn post(client: Client, post: Post, limit: Duration) -> Result<(), Failure> {
    let (method, media) = if post.is_patch {
        (Method::PATCH, "application/merge-patch+json")
    } else {
        (Method::POST, "application/json")
    };
    call(&client, method, post.path, Some((media, post.body)), limit).await.map(drop)
}

async fn call(
    client: &Client,
    method: Method,
    uri: String,
    body: Option<(&str, Value)>,
    limit: Duration,
) -> Result<Value, Failure> {
    let mut request = http::Request::builder().method(method).uri(uri);
    if let Some((media, _)) = &body {
        request = request.header(header::CONTENT_TYPE, *media);
    }
    let body = body.map(|(_, body)| body.to_string().into_bytes()).unwrap_or_default();
    let request = request.body(body).map_err(kube::Error::HttpError)?;
    within(limit, client.request(request)).await
}
