//! What an administrator does once for the daemon's account: apply its objects, and get its token.

use std::path::Path;
use std::time::Duration;

use http::{Request, StatusCode};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::Secret;
use kube::client::Body;
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::discovery::{self, refusal};
use super::failure::{Failure, of_status, within};
use super::kubeconfig;
use super::timeouts::Timeouts;
use super::{client, object};
use crate::config::Kubeconfig;
use crate::rbac::manifest::Document;

/// How often a Secret is looked at for its token: kube-controller-manager fills it in a moment.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A connection with a kubeconfig that is used once.
pub struct Connection {
    client: Client,
    timeouts: Timeouts,
    /// What it was made of, without what tells who we are.
    pub config: Config,
    /// The version of the API server; empty when it keeps that to itself.
    pub version: String,
}

/// Whether objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The server only says what would come of it.
    DryRun,
    /// They are.
    Write,
}

/// What became of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was not there.
    Created,
    /// It is as it should be now, or was.
    Applied,
}

/// A token.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// What is sent to the server.
    pub token: String,
    /// When it ends, if it does.
    pub expires: Option<Timestamp>,
}

impl Connection {
    /// Connects, and has seen the server answer.
    ///
    /// # Errors
    /// What is wrong with the file, or why the server does not answer.
    pub async fn open(path: &Path, context: Option<&str>) -> Result<Self, String> {
        let timeouts = Timeouts::default();
        let (source, context) = (Kubeconfig::File(path.to_owned()), context.map(str::to_owned));
        let building = tokio::task::spawn_blocking(move || {
            let config = kubeconfig::read(&source, context.as_deref()).config.map_err(|error| error.to_string())?;
            let client = client::build(config.clone(), &timeouts).map_err(|failure| failure.message().to_owned())?;
            Ok::<_, String>((config, client))
        });
        let (config, client) = building.await.map_err(|_| "reading the kubeconfig was aborted".to_owned())??;
        let server = discovery::server(&client, &timeouts).await;
        let server = server.map_err(|failure| match failure {
            Failure::Unauthorized(message) => message,
            other @ (Failure::Unreachable { .. } | Failure::Refused { .. } | Failure::Garbled(_)) => {
                let url = config.cluster_url.to_string();
                format!("the API server at {} cannot be reached: {}", url.trim_end_matches('/'), other.message())
            }
        })?;
        Ok(Self { client, timeouts, config, version: server.version })
    }

    /// The client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// An object as it is now, if it is there.
    ///
    /// # Errors
    /// The refusal of the server.
    pub async fn find(&self, document: &Document) -> Result<Option<Value>, Failure> {
        match self.get(&document.path()).await {
            Ok(found) => Ok(Some(found)),
            Err(failure) if failure.code() == Some(404) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Applies an object. With `force` also where another field manager owns what it says.
    ///
    /// # Errors
    /// The refusal of the server.
    pub async fn apply(&self, document: &Document, mode: Mode, force: bool) -> Result<Applied, Failure> {
        let dry_run = if mode == Mode::DryRun { "&dryRun=All" } else { "" };
        let manager = object::FIELD_MANAGER;
        let path = format!("{}?fieldManager={manager}-join&force={force}{dry_run}", document.path());
        let request = Request::patch(path).header("content-type", "application/apply-patch+yaml");
        let request = request.body(Body::from(document.object.to_string().into_bytes()));
        let request = request.map_err(kube::Error::HttpError)?;
        let exchange = async {
            let answer = self.client.send(request).await?;
            Ok((answer.status(), answer.into_body().collect_bytes().await?))
        };
        let (status, body) = within(self.timeouts.operation, exchange).await?;
        match status {
            StatusCode::CREATED => Ok(Applied::Created),
            _ if status.is_success() => Ok(Applied::Applied),
            _ => Err(of_status(&refusal(status, &body))),
        }
    }

    /// The token in a Secret, once kube-controller-manager has put it there; `None` when it has not for so long.
    ///
    /// # Errors
    /// The refusal of the server.
    pub async fn token_of(&self, secret: &Document, patience: Duration) -> Result<Option<Issued>, Failure> {
        let filled = async {
            loop {
                let found: Secret = self.get(&secret.path()).await?;
                let token = found.data.unwrap_or_default().remove("token").map(|token| token.0).unwrap_or_default();
                if !token.is_empty() {
                    return Ok(Issued { token: String::from_utf8_lossy(&token).into_owned(), expires: None });
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(patience, filled).await.ok().transpose()
    }

    /// A token of the account that ends after `duration`, or sooner if the server wants that.
    ///
    /// # Errors
    /// The refusal of the server.
    pub async fn request_token(&self, account: &Document, duration: Duration) -> Result<Issued, Failure> {
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": duration.as_secs()},
        });
        let answer: TokenRequest = self.post(&format!("{}/token", account.path()), &body).await?;
        let status = answer.status.ok_or_else(|| Failure::Garbled("a TokenRequest without a token".to_owned()))?;
        Ok(Issued { token: status.token, expires: Some(status.expiration_timestamp.0) })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        within(self.timeouts.operation, self.client.request(request)).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(body.to_string().into_bytes()).map_err(kube::Error::HttpError)?;
        within(self.timeouts.operation, self.client.request(request)).await
    }
}
