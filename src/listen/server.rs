//! The HTTP server.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Question, host};
use crate::accept::Acceptor;
use crate::metrics::process::{Files, Process};
use crate::metrics::{self, Snapshot};

/// How many connections are kept. One more takes the place of the oldest: a scrape is over in milliseconds, so the
/// oldest is one that dawdles.
pub const MAX_CONNECTIONS: usize = 64;

/// How old a status may be that is given to the next who asks.
pub const FRESH: Duration = Duration::from_millis(250);

/// How long a connection may take until its request is there.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection may take in all.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(15);

/// How long the daemon's loop may take to answer before it counts as stuck.
const LOOP_PATIENCE: Duration = Duration::from_secs(5);

/// The longest head of a request, in bytes: the least that hyper can be told.
const MAX_HEAD: usize = 8192;

/// How many headers a request may have.
const MAX_HEADERS: usize = 64;

/// The bound socket.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
}

impl Server {
    /// Binds the socket. Has to be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the address is in use, is none of this host, or may not be bound.
    pub fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let bind = || -> io::Result<TcpListener> {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let listener = bind().map_err(|error| {
            let advice = advice(&error, address);
            anyhow::anyhow!("cannot listen on {address} (daemon.listen): {error}; {advice}")
        })?;
        Ok(Self { listener })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.listener.local_addr().context("the socket has no address")
    }

    /// Serves until `cancel`.
    ///
    /// # Errors
    /// None: what goes wrong with a connection concerns nobody else.
    pub async fn run(self, asked: mpsc::Sender<Question>, cancel: CancellationToken) -> anyhow::Result<()> {
        let is_local = self.listener.local_addr().is_ok_and(|address| address.ip().to_canonical().is_loopback());
        let desk = Arc::new(Desk { asked, is_local, last: Mutex::new(None) });
        let mut acceptor = Acceptor::new("`listen` of [daemon]");
        let mut connections = JoinSet::new();
        let mut by_age: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                Some(_) = connections.join_next() => by_age.retain(|connection| !connection.is_finished()),
                (stream, _) = acceptor.next(|context| self.listener.poll_accept(context)) => {
                    while by_age.len() >= MAX_CONNECTIONS && let Some(oldest) = by_age.pop_front() {
                        oldest.abort();
                    }
                    by_age.push_back(connections.spawn(serve(stream, Arc::clone(&desk))));
                }
            }
        }
    }
}

fn advice(error: &io::Error, address: SocketAddr) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others speak for themselves")]
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another program has it (`ss -ltnp sport = :{}` names it): choose another port", address.port())
        }
        io::ErrorKind::AddrNotAvailable => {
            "this host does not have the address, or not yet (`ip address` lists those it has)".to_owned()
        }
        io::ErrorKind::PermissionDenied => "a port below 1024 needs CAP_NET_BIND_SERVICE".to_owned(),
        _ => "see the key `listen` of [daemon]".to_owned(),
    }
}

/// Serves one connection: one request, in limited time.
async fn serve(stream: TcpStream, desk: Arc<Desk>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_PATIENCE)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whether it was too slow, broke off or sent nonsense: it is its own loss.
    drop(tokio::time::timeout(CONNECTION_PATIENCE, connection).await);
}

type Answer = Response<Full<Bytes>>;

/// Where all connections ask.
struct Desk {
    asked: mpsc::Sender<Question>,
    /// Whether only this host reaches it.
    is_local: bool,
    /// What was asked for last. Who asks holds the lock, so that the others get the same.
    last: Mutex<Option<(Instant, Arc<Snapshot>)>>,
}

impl Desk {
    async fn answer<B>(&self, request: &Request<B>) -> Answer {
        let named = request.headers().get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
        if self.is_local && !named.chain(request.uri().authority().map(Authority::as_str)).all(host::is_local) {
            return text(
                StatusCode::MISDIRECTED_REQUEST,
                "ask for localhost, 127.0.0.1 or [::1] here: see daemon.listen\n",
            );
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "there is nothing but GET here\n");
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        let answer = match request.uri().path() {
            "/" => Some(text(StatusCode::OK, "dyn-prefix: /metrics /status /healthz /readyz\n")),
            "/healthz" => self.alive().await,
            "/readyz" => self.snapshot().await.map(|snapshot| readyz(&snapshot)),
            "/status" => self.snapshot().await.and_then(|snapshot| status(&snapshot)),
            "/metrics" => self
                .snapshot()
                .await
                .map(|snapshot| typed(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(&snapshot, &process()))),
            _ => Some(text(StatusCode::NOT_FOUND, "there are /metrics, /status, /healthz and /readyz here\n")),
        };
        answer.unwrap_or_else(|| text(StatusCode::SERVICE_UNAVAILABLE, "the daemon's loop does not answer\n"))
    }

    /// `None`: the loop does not turn.
    async fn alive(&self) -> Option<Answer> {
        self.ask(Question::Alive).await.map(|()| text(StatusCode::OK, "ok\n"))
    }

    async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let mut last = self.last.lock().await;
        if let Some((taken, snapshot)) = &*last
            && taken.elapsed() < FRESH
        {
            return Some(Arc::clone(snapshot));
        }
        let snapshot: Arc<Snapshot> = Arc::from(self.ask(Question::Snapshot).await?);
        *last = Some((Instant::now(), Arc::clone(&snapshot)));
        Some(snapshot)
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.asked.send(question(answer)).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(LOOP_PATIENCE, asking).await.ok()?
    }
}

fn readyz(snapshot: &Snapshot) -> Answer {
    let summary = snapshot.status.summary();
    if snapshot.is_ready {
        return text(StatusCode::OK, &format!("ready: {summary}\n"));
    }
    text(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready, a source has not spoken yet: {summary}\n"))
}

fn status(snapshot: &Snapshot) -> Option<Answer> {
    let mut json = serde_json::to_string(&snapshot.status).ok()?;
    json.push('\n');
    Some(typed(StatusCode::OK, "application/json", json))
}

fn text(status: StatusCode, body: &str) -> Answer {
    typed(status, "text/plain; charset=utf-8", body.to_owned())
}

fn typed(status: StatusCode, media: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// What the kernel says of this process. These files are made when they are read, and never wait for a disk.
fn process() -> Process {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    // The directory is open while it is read.
    let open = std::fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1));
    Process::parse(&Files {
        stat: &read("/proc/self/stat"),
        system: &read("/proc/stat"),
        limits: &read("/proc/self/limits"),
        open_fds: open.and_then(|open| u64::try_from(open).ok()),
        ticks_per_second: rustix::param::clock_ticks_per_second(),
        page_size: u64::try_from(rustix::param::page_size()).unwrap_or_default(),
    })
}
