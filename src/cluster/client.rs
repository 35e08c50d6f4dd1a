//! A Kubernetes client for an unreliable path.
//!
//! kube's own transport speaks only HTTP/1.1, sets no keep-alive and has no time-out for an answer: on a path that
//! died silently a request hangs for a quarter of an hour. Here all watches and patches share one HTTP/2 connection
//! that is kept warm and checked by PINGs, so that a write pays no handshake and a dead path is noticed without one.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_rustls::builderstates::WantsProtocols1;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client as HyperClient};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use rustls::ClientConfig;
use tower::{BoxError, Service, ServiceBuilder};

use super::authorization::{Authorization, Credentials};
use super::failure::{Failure, chain};
use super::timeouts::Timeouts;
use super::{proxy, tls};
use crate::dial::{self, HttpClient};

/// Builds a client; connects nothing yet. Blocks while an exec plugin runs.
///
/// # Errors
/// Certificates, keys or an exec plugin that cannot be used ([`Failure::Unauthorized`]).
pub fn build(config: Config, timeouts: &Timeouts) -> Result<Client, Failure> {
    let built = attempt(&config, timeouts);
    built.map_err(|why| Failure::Unauthorized(format!("no client can be made of the kubeconfig: {why}")))
}

fn attempt(config: &Config, timeouts: &Timeouts) -> Result<Client, String> {
    let credentials = Credentials::of(&config.auth_info).map_err(|error| error.to_string())?;
    let tls = tls::client_config(config, credentials.certificate.as_ref())?;
    let client = http_client(config, tls, timeouts)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(config.extra_headers_layer().map_err(|error| chain(&error))?)
        .service(authorized(client, credentials.authorization));
    let client = ClientBuilder::new(service, config.default_namespace.clone());
    Ok(client.with_valid_until(credentials.valid_until).build())
}

fn http_client(config: &Config, tls: ClientConfig, timeouts: &Timeouts) -> Result<HttpClient, String> {
    let tcp = tcp(timeouts);
    let dialer = match &config.proxy_url {
        None => dial::direct(tcp),
        Some(proxy) => {
            let https = https(config, tls.clone())?.enable_http1().wrap_connector(tcp.clone());
            proxy::through(proxy, tcp, https)?
        }
    };
    let connector = https(config, tls)?.enable_all_versions().wrap_connector(dialer);
    Ok(dial::client(&builder(timeouts), connector, timeouts.connect))
}

fn https(config: &Config, tls: ClientConfig) -> Result<HttpsConnectorBuilder<WantsProtocols1>, String> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    let Some(name) = &config.tls_server_name else { return Ok(builder) };
    let invalid = |error| format!("its tls-server-name \"{name}\" is no name of a server: {error}");
    Ok(builder.with_server_name_resolver(FixedServerNameResolver::new(name.clone().try_into().map_err(invalid)?)))
}

fn builder(timeouts: &Timeouts) -> Builder {
    let mut builder = HyperClient::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(None)
        .http2_keep_alive_interval(timeouts.ping_interval)
        .http2_keep_alive_timeout(timeouts.ping_timeout)
        .http2_keep_alive_while_idle(true);
    builder
}

fn tcp(timeouts: &Timeouts) -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(timeouts.connect));
    connector.set_keepalive(Some(Duration::from_secs(15)));
    connector.set_keepalive_interval(Some(Duration::from_secs(15)));
    connector.set_keepalive_retries(Some(3));
    connector.set_tcp_user_timeout(Some(timeouts.tcp_user));
    connector
}

/// Says with every request who we are.
fn authorized(
    client: HttpClient,
    authorization: Authorization,
) -> impl Service<Request<Body>, Response = Response<Incoming>, Error = BoxError, Future: Send> + Clone + Send + 'static
{
    tower::service_fn(move |mut request: Request<Body>| {
        let (client, authorization) = (client.clone(), authorization.clone());
        async move {
            if let Some(header) = authorization.header().await? {
                request.headers_mut().insert(AUTHORIZATION, header);
            }
            Ok(client.request(request).await?)
        }
    })
}
