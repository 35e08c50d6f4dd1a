//! How an HTTP server is reached. Whatever lies between, it ends in one type of client, which is large and so exists
//! once.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use http::Uri;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::TokioIo;
use kube::client::Body;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt as _};

/// A connection to the server, or to a proxy before it: plain, or with TLS to a proxy.
pub type Hop = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Makes such connections.
pub type Dialer = BoxCloneSyncService<Uri, Hop, io::Error>;

/// The client, whichever way its connections take.
pub type HttpClient = Client<BoxCloneSyncService<Uri, Stream, io::Error>, Body>;

type Stream = MaybeHttpsStream<Hop>;
type Connecting = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

/// Whoever has a certificate of an authority that this host trusts is taken for the server that it names.
///
/// # Errors
/// The host trusts nobody.
pub fn trust_of_host() -> io::Result<ClientConfig> {
    Ok(ClientConfig::builder().with_native_roots()?.with_no_client_auth())
}

/// To the server itself.
pub fn direct<R>(tcp: HttpConnector<R>) -> Dialer
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>, Error: Into<BoxError>, Future: Send + 'static>,
    R: Clone + Send + Sync + 'static,
{
    boxed(tcp.map_response(MaybeHttpsStream::Http))
}

/// By what makes a connection in whichever way.
pub fn boxed<S>(connector: S) -> Dialer
where
    S: Service<Uri, Response = Hop, Error: Into<BoxError>, Future: Send + 'static> + Clone + Send + Sync + 'static,
{
    Dialer::new(connector.map_err(io::Error::other))
}

/// A client that has its connections within `limit`, DNS and the TLS handshake included: a frozen server still accepts
/// TCP connections.
pub fn client(builder: &Builder, connector: HttpsConnector<Dialer>, limit: Duration) -> HttpClient {
    builder.build(BoxCloneSyncService::new(tower::service_fn(move |uri: Uri| -> Connecting {
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
    })))
}
