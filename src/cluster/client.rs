//! A Kubernetes client for an unreliable path.
//!
//! kube's own transport speaks only HTTP/1.1, sets no keep-alive and has no time-out for an answer: on a path that
//! died silently a request hangs for a quarter of an hour. Here all watches and patches share one HTTP/2 connection
//! that is kept warm and checked by PINGs, so that a write pays no handshake and a dead path is noticed without one.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use http::Uri;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client as HyperClient};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use tokio::net::TcpStream;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt as _};

use super::failure::{Failure, chain};
use super::timeouts::Timeouts;

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Connecting = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

/// Builds a client; connects nothing yet. Blocks while an exec plugin runs.
///
/// # Errors
/// Certificates, keys or an exec plugin that cannot be used ([`Failure::Unauthorized`]).
pub fn build(config: Config, timeouts: &Timeouts) -> Result<Client, Failure> {
    let built = if config.proxy_url.is_some() || config.auth_info.exec.is_some() {
        by_kube(config, timeouts)
    } else {
        by_us(&config, timeouts)
    };
    built.map_err(|error| Failure::Unauthorized(format!("no client can be made of the kubeconfig: {}", chain(&error))))
}

/// kube's stack, for what it does not expose: tunnels through proxies, and how long the certificate of an exec plugin
/// is valid. It speaks HTTP/1.1 and notices a dead path only by its time-outs.
fn by_kube(mut config: Config, timeouts: &Timeouts) -> kube::Result<Client> {
    config.connect_timeout = Some(timeouts.connect);
    config.read_timeout = Some(timeouts.watch + timeouts.watch_grace);
    config.write_timeout = Some(timeouts.operation);
    config.reset_reader_on_write = true;
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config)?.build())
}

fn by_us(config: &Config, timeouts: &Timeouts) -> kube::Result<Client> {
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http_client(timeouts).build::<_, Body>(connector(config, timeouts)?));
    Ok(Client::new(service, config.default_namespace.clone()))
}

fn http_client(timeouts: &Timeouts) -> Builder {
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

fn connector(
    config: &Config,
    timeouts: &Timeouts,
) -> kube::Result<impl Service<Uri, Response = Stream, Error = io::Error, Future = Connecting> + Clone + use<>> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_or_http();
    let builder = match &config.tls_server_name {
        None => builder,
        Some(name) => {
            let invalid = |error| kube::Error::Service(Box::new(error));
            builder.with_server_name_resolver(FixedServerNameResolver::new(name.clone().try_into().map_err(invalid)?))
        }
    };
    let https = builder.enable_all_versions().wrap_connector(tcp(timeouts));
    Ok(within(timeouts.connect, https))
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

/// Limits DNS and the TLS handshake too: a frozen server still accepts TCP connections.
fn within<S>(
    limit: Duration,
    connector: S,
) -> impl Service<Uri, Response = Stream, Error = io::Error, Future = Connecting> + Clone
where
    S: Service<Uri, Response = Stream, Error = BoxError, Future: Send> + Clone + Send + 'static,
{
    tower::service_fn(move |uri: Uri| -> Connecting {
        let connecting = connector.clone().oneshot(uri);
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(io::Error::other),
                Err(_elapsed) => {
                    let text = format!("no connection within {limit:?}");
                    Err(io::Error::new(io::ErrorKind::TimedOut, text))
                }
            }
        })
    })
}
