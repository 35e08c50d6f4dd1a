//! The listener and its connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{State, http};

/// Which certificate to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certificate {
    /// For 127.0.0.1, signed by [`Certificate::CA`].
    Good,
    /// For another name.
    OtherName,
    Expired,
}

impl Certificate {
    /// What a kubeconfig needs as certificate-authority to trust the server.
    pub(crate) const CA: &str = include_str!("tls/ca.pem");
    /// An authority that has signed nothing.
    pub(crate) const OTHER_CA: &str = include_str!("tls/other-ca.pem");

    fn pem(self) -> &'static str {
        match self {
            Self::Good => include_str!("tls/good.pem"),
            Self::OtherName => include_str!("tls/other-name.pem"),
            Self::Expired => include_str!("tls/expired.pem"),
        }
    }

    fn acceptor(self) -> TlsAcceptor {
        let chain = CertificateDer::from_pem_slice(self.pem().as_bytes()).expect("a certificate of ours");
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).expect("a key of ours");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![chain], key);
        let mut config = config.expect("they belong together");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// Listens; aborting the task closes the port and every connection.
pub(super) async fn listen(
    state: Arc<State>,
    address: &str,
    certificate: Option<Certificate>,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(address).await.expect("a port on 127.0.0.1");
    let address = listener.local_addr().expect("it is bound");
    let acceptor = certificate.map(Certificate::acceptor);
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(state.clone(), stream, acceptor.clone()));
            while connections.try_join_next().is_some() {}
        }
    });
    (address, task)
}

async fn connection(state: Arc<State>, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
    let _tests_do_not_depend_on_it = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else { return answer(state, stream, false).await };
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    answer(state, stream, is_http2).await;
}

async fn answer<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(state: Arc<State>, stream: S, is_http2: bool) {
    let service = service_fn(move |request| {
        let state = state.clone();
        async move { http::answer(&state, request, is_http2).await.ok_or_else(|| io::Error::other("dropped on request")) }
    });
    let stream = TokioIo::new(stream);
    if is_http2 {
        let builder = http2::Builder::new(TokioExecutor::new());
        let _closed = builder.serve_connection(stream, service).await;
    } else {
        let _closed = http1::Builder::new().timer(TokioTimer::new()).serve_connection(stream, service).await;
    }
}
