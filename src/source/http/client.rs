//! Asks a service once: one request, by IPv6 only, with a limit for everything that the other side decides.

use std::error::Error as StdError;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use kube::client::Body;
use rustls::{ClientConfig, RootCertStore};

use super::answer;
use super::asker::Failure;
use crate::dial;

/// How long all of it may take.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long the connections to the addresses of the service may take together.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may be, in octets: a page around the address, at most.
const LONGEST: usize = 16 * 1024;
/// How many redirections are followed: from http to https, and to another name.
const REDIRECTIONS: usize = 2;

/// Whom to trust: the certificates of this host. They are read when they are needed first, and again after a failure.
pub type Trust = Option<Arc<ClientConfig>>;

/// Asks `url`, and says which address it answered.
pub async fn ask(url: &str, mut trust: Trust) -> (Result<std::net::Ipv6Addr, Failure>, Trust) {
    let asking = tokio::time::timeout(PATIENCE, fetch(url, &mut trust));
    let answer = match asking.await {
        Ok(Ok(body)) => answer::read(&body).map_err(|unusable| failure(format!("the answer {unusable}"))),
        Ok(Err(failure)) => Err(failure),
        Err(_elapsed) => Err(failure(format!("there was no whole answer within {} s", PATIENCE.as_secs()))),
    };
    let trust = trust.filter(|_| answer.is_ok());
    (answer, trust)
}

fn failure(why: String) -> Failure {
    Failure { why, retry_after: None }
}

async fn fetch(url: &str, trust: &mut Trust) -> Result<Bytes, Failure> {
    // The configuration was checked.
    let mut uri: Uri = url.parse().map_err(|error| failure(format!("it cannot be parsed: {error}")))?;
    for _ in 0..=REDIRECTIONS {
        let response = get(&uri, trust).await?;
        if response.status().is_success() {
            return read(response).await;
        }
        uri = follow(&uri, response.status(), response.headers())?;
    }
    Err(failure(format!("it redirects more than {REDIRECTIONS} times")))
}

async fn get(uri: &Uri, trust: &mut Trust) -> Result<Response<Incoming>, Failure> {
    let host = uri.host().unwrap_or_default();
    if host.parse::<Ipv4Addr>().is_ok() {
        return Err(failure(format!("its host is the IPv4 address {host}, and it is asked by IPv6 only")));
    }
    let tls = if uri.scheme_str() == Some("https") { verifying(trust).await? } else { distrusting() };
    let mut tcp = HttpConnector::new_with_resolver(tower::service_fn(resolve));
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT));
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    let connector = connector.wrap_connector(dial::direct(tcp));
    let client = dial::client(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0), connector, PATIENCE);
    let request = Request::get(uri)
        .header(ACCEPT, "text/plain, application/json")
        .header(USER_AGENT, concat!("dyn-prefix/", env!("CARGO_PKG_VERSION")))
        .body(Body::empty())
        .map_err(|error| failure(format!("no request can be made of it: {error}")))?;
    client.request(request).await.map_err(|error| failure(chain(&error)))
}

/// A service that is reached by IPv4 cannot know an IPv6 address of this host.
async fn resolve(name: Name) -> io::Result<std::vec::IntoIter<SocketAddr>> {
    let all = tokio::net::lookup_host((name.as_str(), 0)).await;
    let all = all.map_err(|error| io::Error::other(format!("the name {name} cannot be resolved: {error}")))?;
    let sixes = |address: &SocketAddr| matches!(address, SocketAddr::V6(six) if six.ip().to_ipv4_mapped().is_none());
    let sixes: Vec<SocketAddr> = all.filter(sixes).collect();
    if sixes.is_empty() {
        return Err(io::Error::other(format!("{name} has no IPv6 address (AAAA), and it is asked by IPv6 only")));
    }
    Ok(sixes.into_iter())
}

/// The trust store of the operating system, as for a cluster whose kubeconfig names no authority.
async fn verifying(trust: &mut Trust) -> Result<ClientConfig, Failure> {
    if let Some(known) = trust {
        return Ok(ClientConfig::clone(known));
    }
    let read = tokio::task::spawn_blocking(dial::trust_of_host).await;
    let config = read.map_err(|error| error.to_string()).and_then(|read| read.map_err(|error| error.to_string()));
    let config = config.map_err(|why| {
        failure(format!("the certificates that this host trusts cannot be read: {why}; install ca-certificates"))
    })?;
    *trust = Some(Arc::new(config.clone()));
    Ok(config)
}

/// For http, where there is nobody to trust.
fn distrusting() -> ClientConfig {
    ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}

/// Where to ask instead.
fn follow(from: &Uri, status: StatusCode, headers: &HeaderMap) -> Result<Uri, Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        let retry_after = text(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        return Err(Failure { why: format!("the server answered {status}"), retry_after });
    }
    let wrong = || failure(format!("the server answered {status} without a place to ask that could be used"));
    let target: Uri = text(LOCATION).and_then(|location| location.parse().ok()).ok_or_else(wrong)?;
    let mut parts = target.into_parts();
    if parts.authority.is_none() {
        let is_path = parts.path_and_query.as_ref().is_some_and(|path| path.as_str().starts_with('/'));
        parts.authority = from.authority().cloned().filter(|_| is_path);
        parts.scheme = from.scheme().cloned();
    }
    let target = Uri::from_parts(parts).map_err(|_| wrong())?;
    match target.scheme_str() {
        Some("http") if from.scheme_str() == Some("https") => {
            Err(failure("the server redirects from https to http, which is not followed".to_owned()))
        }
        Some("http" | "https") if target.host().is_some_and(|host| !host.is_empty()) => Ok(target),
        _ => Err(wrong()),
    }
}

async fn read(response: Response<Incoming>) -> Result<Bytes, Failure> {
    match Limited::new(response.into_body(), LONGEST).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(failure(format!(
            "the answer is longer than {} KiB; `url` has to name a service that answers the address alone",
            LONGEST / 1024
        ))),
        Err(error) => Err(failure(format!("the answer broke off: {error}"))),
    }
}

/// The texts of the causes, without what only wraps them.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    let mut texts: Vec<String> = Vec::new();
    for text in causes.map(ToString::to_string).filter(|text| !text.starts_with("client error (")) {
        if let Some(last) = texts.last_mut().filter(|last| text.contains(last.as_str())) {
            *last = text;
        } else if !texts.last().is_some_and(|last| last.contains(&text)) {
            texts.push(text);
        }
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(from: &str, status: u16, headers: &[(http::HeaderName, &str)]) -> Result<String, Failure> {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value"))).collect();
        let status = StatusCode::from_u16(status).expect("a status");
        follow(&from.parse().expect("a URL"), status, &headers).map(|uri| uri.to_string())
    }

    #[test]
    fn a_redirection_leads_to_another_place_and_never_away_from_https() {
        for (from, location, expected) in [
            ("http://a.example/ip", "https://a.example/ip", Some("https://a.example/ip")),
            ("https://a.example/ip?x=1", "/v6", Some("https://a.example/v6")),
            ("http://a.example/ip", "http://b.example/", Some("http://b.example/")),
            ("https://a.example/ip", "http://a.example/ip", None),
            ("https://a.example/ip", "v6", None),
            ("https://a.example/ip", "ftp://a.example/ip", None),
            ("https://a.example/ip", "", None),
        ] {
            let target = redirect(from, 302, &[(LOCATION, location)]);
            assert_eq!(target.as_deref().ok(), expected, "{from} to {location}: {target:?}");
        }
        assert!(redirect("https://a.example/ip", 302, &[]).is_err());
    }

    #[test]
    fn an_error_of_the_server_is_told_and_how_long_it_wants_to_be_left_alone() {
        let failed = redirect("https://a.example/ip", 503, &[(RETRY_AFTER, "120")]).expect_err("no redirection");
        assert_eq!(failed.why, "the server answered 503 Service Unavailable");
        assert_eq!(failed.retry_after, Some(Duration::from_secs(120)));
        for wrong in ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", ""] {
            let failed = redirect("https://a.example/ip", 429, &[(RETRY_AFTER, wrong)]).expect_err("no redirection");
            assert_eq!(failed.retry_after, None, "{wrong}");
        }
    }
}
