//! Who we are to an API server: what the user of a kubeconfig shows with every request, and when connections are made.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use jiff::Timestamp;
use kube::config::{AuthInfo, AuthProviderConfig, ExecConfig};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;

use super::exec::{self, Given};
use crate::clock;

/// How long before its end a token is renewed.
const EARLY: Duration = Duration::from_secs(60);

/// All that a kubeconfig says of its user, or an exec plugin for it.
pub(super) struct Credentials {
    pub(super) authorization: Authorization,
    /// The certificate of the exec plugin and its key, both PEM.
    pub(super) certificate: Option<(String, SecretString)>,
    /// When that certificate ends.
    pub(super) valid_until: Option<Timestamp>,
}

/// The header `Authorization`.
#[derive(Clone)]
pub(super) enum Authorization {
    /// There is none: a certificate, or an anonymous user.
    Without,
    Fixed(HeaderValue),
    Renewed(Arc<Renewed>),
}

/// A token that an exec plugin makes anew.
pub(super) struct Renewed {
    plugin: ExecConfig,
    current: Mutex<(HeaderValue, Timestamp)>,
}

/// There are no credentials to ask with.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unauthenticated(pub(super) String);

impl Credentials {
    /// Of the user of a kubeconfig, whose token file has been read. Blocks while an exec plugin runs.
    pub(super) fn of(user: &AuthInfo) -> Result<Self, Unauthenticated> {
        if let Some(provider) = &user.auth_provider {
            return bearer(id_token(provider)?).map(Self::fixed);
        }
        if let (Some(name), Some(password)) = (&user.username, &user.password) {
            let both = STANDARD.encode(format!("{name}:{}", password.expose_secret()));
            return header(&format!("Basic {both}")).map(Self::fixed);
        }
        if let Some(token) = &user.token {
            return bearer(token.expose_secret()).map(Self::fixed);
        }
        user.exec.as_ref().map_or(Ok(Self::new(Authorization::Without)), Self::of_plugin)
    }

    fn of_plugin(plugin: &ExecConfig) -> Result<Self, Unauthenticated> {
        let Given { token, certificate, until } = exec::run(plugin).map_err(Unauthenticated)?;
        let shown = token.map(|token| bearer(token.expose_secret())).transpose()?;
        let authorization = match (shown, until) {
            (None, _) => Authorization::Without,
            (Some(header), Some(until)) if certificate.is_none() => {
                let current = Mutex::new((header, until));
                Authorization::Renewed(Arc::new(Renewed { plugin: plugin.clone(), current }))
            }
            (Some(header), _) => Authorization::Fixed(header), // with a certificate, the whole client is made anew
        };
        let valid_until = until.filter(|_| certificate.is_some());
        Ok(Self { authorization, certificate, valid_until })
    }

    const fn fixed(header: HeaderValue) -> Self {
        Self::new(Authorization::Fixed(header))
    }

    const fn new(authorization: Authorization) -> Self {
        Self { authorization, certificate: None, valid_until: None }
    }
}

impl Authorization {
    /// What to show now.
    pub(super) async fn header(&self) -> Result<Option<HeaderValue>, Unauthenticated> {
        match self {
            Self::Without => Ok(None),
            Self::Fixed(header) => Ok(Some(header.clone())),
            Self::Renewed(token) => token.header().await.map(Some),
        }
    }
}

impl Renewed {
    async fn header(self: &Arc<Self>) -> Result<HeaderValue, Unauthenticated> {
        let this = Arc::clone(self);
        // By itself: whoever waits for it may give up before the plugin ends, and the next one wants what it gives.
        let renewing = tokio::spawn(async move { this.current_header().await });
        let ran = renewing.await;
        ran.unwrap_or_else(|error| Err(Unauthenticated(format!("its exec plugin cannot be run: {error}"))))
    }

    async fn current_header(self: Arc<Self>) -> Result<HeaderValue, Unauthenticated> {
        let mut current = self.current.lock().await; // who comes next waits for the same token
        let epoch = clock::epoch();
        let end = epoch.instant(current.1);
        if epoch.now() + EARLY >= end {
            match self.renewed().await {
                Ok(renewed) => *current = renewed,
                // The former one is good for a while yet.
                Err(_) if clock::now() < end => {}
                Err(error) => return Err(error),
            }
        }
        Ok(current.0.clone())
    }

    async fn renewed(self: &Arc<Self>) -> Result<(HeaderValue, Timestamp), Unauthenticated> {
        let this = Arc::clone(self);
        let ran = tokio::task::spawn_blocking(move || exec::run(&this.plugin)).await;
        let given = ran.map_err(|error| Unauthenticated(format!("its exec plugin cannot be run: {error}")))?;
        let Given { token, until, .. } = given.map_err(Unauthenticated)?;
        let (Some(token), Some(until)) = (token, until) else {
            let text = "its exec plugin gave a token with an expirationTimestamp before, and none now";
            return Err(Unauthenticated(text.to_owned()));
        };
        Ok((bearer(token.expose_secret())?, until))
    }
}

/// What is left of the authentication providers of old: a token that lies in the kubeconfig itself.
fn id_token(provider: &AuthProviderConfig) -> Result<&str, Unauthenticated> {
    let token = provider.config.get("id-token").filter(|_| matches!(provider.name.as_str(), "oidc" | "gcp"));
    token.map(String::as_str).ok_or_else(|| {
        Unauthenticated(format!(
            "its auth-provider \"{}\" gives no id-token, and no other one is known; use an exec plugin (kubelogin, \
             gke-gcloud-auth-plugin) or a token",
            provider.name
        ))
    })
}

fn bearer(token: &str) -> Result<HeaderValue, Unauthenticated> {
    header(&format!("Bearer {token}"))
}

fn header(text: &str) -> Result<HeaderValue, Unauthenticated> {
    let unusable = |_| Unauthenticated("its token or password has characters that no header may have".to_owned());
    let mut header = HeaderValue::try_from(text).map_err(unusable)?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests;
