//! What a failed request means, and what to do about it.
//!
//! A failure of the path (nothing answered) concerns the whole cluster; a refusal (an HTTP status) concerns the one
//! request, except 401, which concerns the credentials.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, Error as TlsError};

use super::authorization::Unauthenticated;
use super::island::WriteError;

/// Why a request got no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing answered: the path, the TLS handshake or the server.
    Unreachable {
        /// A CamelCase word for `reason`.
        reason: &'static str,
        /// What happened, and where there is a remedy, the remedy.
        message: String,
    },
    /// 401, or credentials that cannot be made.
    Unauthorized(String),
    /// Any other status that is not a success.
    Refused {
        /// The HTTP status code.
        code: u16,
        /// The server's own words.
        message: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// An answer that no Kubernetes API server gives.
    Garbled(String),
}

/// The reason word of a request that took too long. It may be the path, but also a slow admission webhook.
pub const TIMED_OUT: &str = "TimedOut";

/// Longest text of a server that we repeat: a proxy may answer with a whole page.
const LONGEST_MESSAGE: usize = 500;

impl Failure {
    /// No answer within `limit`.
    pub fn timed_out(limit: Duration) -> Self {
        Self::Unreachable { reason: TIMED_OUT, message: format!("no answer within {limit:?}") }
    }

    /// Whether the connection itself is at fault, so that nothing else can work on it either.
    pub fn is_of_connection(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unauthorized(_))
    }

    /// Whether nothing was heard in time, neither yes nor no.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Unreachable { reason: TIMED_OUT, .. })
    }

    /// The HTTP status code, if the server gave one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Unauthorized(_) => Some(401),
            Self::Refused { code, .. } => Some(*code),
            Self::Unreachable { .. } | Self::Garbled(_) => None,
        }
    }

    /// What happened, in words.
    pub fn message(&self) -> &str {
        match self {
            Self::Unreachable { message, .. }
            | Self::Unauthorized(message)
            | Self::Refused { message, .. }
            | Self::Garbled(message) => message,
        }
    }

    /// The failure of a write, as the decider distinguishes them.
    pub fn into_write_error(self) -> WriteError {
        match self {
            Self::Unreachable { message, .. } => WriteError::Unreachable(message),
            Self::Unauthorized(message) => WriteError::Unauthorized(message),
            Self::Garbled(message) => WriteError::Busy { message, retry_after: None },
            Self::Refused { code, message, retry_after } => refused_write(code, message, retry_after),
        }
    }
}

/// An admission webhook speaks with any status code it likes, so its two sentences are recognised first
/// (k8s.io/apiserver admission/plugin/webhook/errors): a denial is final for this content, a webhook that cannot be
/// called is somebody else's outage.
fn refused_write(code: u16, message: String, retry_after: Option<Duration>) -> WriteError {
    if message.contains("admission webhook") && message.contains("denied the request") {
        return WriteError::Invalid(message);
    }
    if message.contains("failed calling webhook") || message.contains("failed to call webhook") {
        return WriteError::Webhook(message);
    }
    match code {
        404 => WriteError::NotFound,
        403 => WriteError::Forbidden(message),
        409 => WriteError::Conflict,
        408 | 429 | 500.. => WriteError::Busy { message, retry_after },
        _ => WriteError::Invalid(message),
    }
}

impl From<&kube::Error> for Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are failures on the way")]
    fn from(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => of_status(status),
            kube::Error::SerdeError(error) => Self::Garbled(format!(
                "the answer is not what a Kubernetes API server sends ({error}); is the server URL of the kubeconfig right?"
            )),
            other => of_transport(other),
        }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self::from(&error)
    }
}

/// The failure that a `Status` object tells, as an answer or as an event of a watch.
pub fn of_status(status: &kube::core::Status) -> Failure {
    let words = if status.message.is_empty() { &status.reason } else { &status.message };
    let message = shorten(words);
    if status.code == 401 {
        return Failure::Unauthorized(format!(
            "the API server does not accept the credentials of the kubeconfig ({message}); renew the token or certificate"
        ));
    }
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    let retry_after = (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)));
    Failure::Refused { code: status.code, message, retry_after }
}

fn of_transport(error: &(dyn StdError + 'static)) -> Failure {
    if let Some(why) = causes(error).find_map(|cause| cause.downcast_ref::<Unauthenticated>()) {
        return Failure::Unauthorized(format!("the kubeconfig gives no credentials: {why}"));
    }
    let known = causes(error).find_map(|cause| {
        let tls = cause.downcast_ref::<TlsError>().map(of_tls);
        tls.or_else(|| cause.downcast_ref::<io::Error>().and_then(of_io))
    });
    let (reason, message) = known.unwrap_or_else(|| ("ConnectionLost", chain(error)));
    Failure::Unreachable { reason, message }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds variants at will")]
fn of_tls(error: &TlsError) -> (&'static str, String) {
    let (reason, hint) = match error {
        TlsError::InvalidCertificate(error) => of_certificate(error),
        TlsError::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => ("ClientCertificateRefused", "the server refuses the client certificate of the kubeconfig; renew it"),
        TlsError::InvalidMessage(_) => ("NotTls", "the server does not speak TLS on this port; check the server URL"),
        _ => ("TlsFailed", "the TLS handshake failed"),
    };
    (reason, format!("{hint} ({error})"))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds variants at will")]
fn of_certificate(error: &CertificateError) -> (&'static str, &'static str) {
    match error {
        CertificateError::UnknownIssuer => (
            "UnknownCertificateAuthority",
            "the server's certificate is not signed by the certificate-authority of the kubeconfig; fetch a new kubeconfig",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            "CertificateNameMismatch",
            "the server's certificate is for other names than the server URL; correct the URL or set tls-server-name",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("CertificateExpired", "the server's certificate has expired; renew it, or correct this machine's clock")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("CertificateNotValidYet", "the server's certificate is not valid yet; check this machine's clock")
        }
        _ => ("CertificateInvalid", "the server's certificate cannot be verified"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "std adds variants at will")]
fn of_io(error: &io::Error) -> Option<(&'static str, String)> {
    if error.get_ref().is_some_and(|inner| inner.is::<TlsError>()) {
        return None; // the next cause says it better
    }
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => "ConnectionRefused",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "NoRoute",
        io::ErrorKind::TimedOut => TIMED_OUT,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            "ConnectionReset"
        }
        _ if error.to_string().contains("failed to lookup address") => "NameNotResolved",
        _ => return None,
    };
    Some((reason, error.to_string()))
}

/// An error and what lies under it. `io::Error` passes over the error it holds in `source`, so it is unwrapped here.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        held.map(|held| held as &(dyn StdError + 'static)).or_else(|| error.source())
    })
}

/// The texts of an error and its causes, each once.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in causes(error).map(ToString::to_string) {
        if !texts.last().is_some_and(|last| last.contains(&text)) {
            texts.push(text);
        }
    }
    shorten(&texts.join(": "))
}

pub(super) fn shorten(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Waits for `request`, but not longer than `limit`.
///
/// # Errors
/// Those of the request, or [`TIMED_OUT`].
pub async fn within<T>(limit: Duration, request: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_elapsed) => Err(Failure::timed_out(limit)),
    }
}

#[cfg(test)]
mod tests;
