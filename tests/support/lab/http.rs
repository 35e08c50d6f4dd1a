//! A blocking HTTPS client for one API server: one kept connection, whole answers, and watch streams.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

type Connection = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What a client shows to the API server.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// Nothing: `system:anonymous`.
    Anonymous,
    /// A bearer token.
    Token(String),
    /// A client certificate and its key, as PEM files.
    Certificate(PathBuf, PathBuf),
}

/// A client of one API server.
#[derive(Debug)]
pub(crate) struct Client {
    address: SocketAddr,
    config: Arc<ClientConfig>,
    token: Option<String>,
    kept: Mutex<Option<Connection>>,
}

/// An answer: its status and its body, a string when it is no JSON.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Value,
}

impl Response {
    /// Whether the status is 2xx.
    pub(crate) fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Client {
    /// A client that trusts the authority in the PEM file `ca`. Nothing is sent yet.
    pub(crate) fn new(address: SocketAddr, ca: &Path, credentials: &Credentials) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).with_context(|| format!("cannot read {}", ca.display()))?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(roots);
        let config = match credentials {
            Credentials::Certificate(certificate, key) => {
                let chain = vec![CertificateDer::from_pem_file(certificate)?];
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?
            }
            Credentials::Anonymous | Credentials::Token(_) => builder.with_no_client_auth(),
        };
        let token = if let Credentials::Token(token) = credentials { Some(token.clone()) } else { None };
        Ok(Self { address, config: Arc::new(config), token, kept: Mutex::new(None) })
    }

    /// Sends a request and reads its answer, whatever the status. `content` is the body with its type.
    pub(crate) fn request(&self, method: &str, path: &str, content: Option<(&str, &[u8])>) -> Result<Response> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut old) = kept.take() {
            match self.exchange(&mut old, method, path, content) {
                Ok(response) => {
                    *kept = Some(old);
                    return Ok(response);
                }
                // The server closed the idle connection; a second try is on a new one.
                Err(error) if closed_early(&error) => {}
                Err(error) => return Err(error).with_context(|| format!("{method} {path}")),
            }
        }
        let mut new = self.connect().with_context(|| format!("{method} {path}"))?;
        let response = self.exchange(&mut new, method, path, content).with_context(|| format!("{method} {path}"))?;
        *kept = Some(new);
        Ok(response)
    }

    /// Starts a watch on a list path; a query of its own is kept. It has begun when this returns. The receiver gets
    /// each event (`{"type": …, "object": …}`) with the instant it was read, and is closed when the stream ends.
    pub(crate) fn watch(&self, path: &str) -> Result<Receiver<(Instant, Value)>> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{joint}watch=1");
        let mut connection = self.connect()?;
        self.send(&mut connection, "GET", &path, None)?;
        let head = Head::read(&mut connection)?;
        let mut body = BufReader::new(Body { left: head.framing, source: connection });
        if head.status != 200 {
            let mut text = String::new();
            body.read_to_string(&mut text)?;
            bail!("watch {path}: status {}: {text}", head.status);
        }
        body.get_ref().source.get_ref().sock.set_read_timeout(None)?;
        let (sender, receiver) = channel();
        std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
            let mut line = String::new();
            while matches!(body.read_line(&mut line), Ok(count) if count > 0) {
                let Ok(event) = serde_json::from_str(&line) else { break };
                if sender.send((Instant::now(), event)).is_err() {
                    break;
                }
                line.clear();
            }
        })?;
        Ok(receiver)
    }

    fn connect(&self) -> Result<Connection> {
        let socket = TcpStream::connect_timeout(&self.address, ANSWER_LIMIT)
            .with_context(|| format!("cannot connect to {}", self.address))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_LIMIT))?;
        let name = ServerName::from(self.address.ip());
        let session = ClientConnection::new(Arc::clone(&self.config), name)?;
        Ok(BufReader::new(StreamOwned::new(session, socket)))
    }

    fn exchange(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        content: Option<(&str, &[u8])>,
    ) -> Result<Response> {
        self.send(connection, method, path, content)?;
        let head = Head::read(connection)?;
        let mut bytes = Vec::new();
        Body { left: head.framing, source: connection }.read_to_end(&mut bytes)?;
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Response { status: head.status, body })
    }

    fn send(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        content: Option<(&str, &[u8])>,
    ) -> Result<()> {
        // A query that only tables have asks for one, as `kubectl get` does.
        let of_table = if path.contains("includeObject=") { ";as=Table;v=v1;g=meta.k8s.io" } else { "" };
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json{of_table}\r\n", self.address);
        if let Some(token) = &self.token {
            write!(head, "Authorization: Bearer {token}\r\n")?;
        }
        let (kind, body) = content.unwrap_or_default();
        if content.is_some() {
            write!(head, "Content-Type: {kind}\r\n")?;
        }
        write!(head, "User-Agent: lab\r\nContent-Length: {}\r\n\r\n", body.len())?;
        let stream = connection.get_mut();
        stream.write_all(&[head.as_bytes(), body].concat())?;
        stream.flush()?;
        Ok(())
    }
}

/// Whether a request failed in the way it does on a connection that the server had closed before.
fn closed_early(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(
        kind,
        Some(
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
        )
    )
}

/// How long a body is.
#[derive(Clone, Copy, Debug)]
enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks; so many bytes of the present one are left.
    Chunked(u64),
    /// The last chunk was read.
    Done,
}

/// The status line and what matters of the header.
struct Head {
    status: u16,
    framing: Framing,
}

impl Head {
    fn read(source: &mut impl BufRead) -> Result<Self> {
        let line = read_line(source)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("no HTTP status line: {line:?}"))?;
        let mut framing = Framing::Length(0);
        loop {
            let line = read_line(source)?.to_ascii_lowercase();
            match line.split_once(':') {
                None => break,
                Some(("content-length", value)) => framing = Framing::Length(value.trim().parse()?),
                Some(("transfer-encoding", value)) => {
                    ensure!(value.trim() == "chunked", "transfer-encoding {value}");
                    framing = Framing::Chunked(0);
                }
                Some(_) => {}
            }
        }
        Ok(Self { status, framing })
    }
}

/// A line without its end; the end of the stream is an error.
fn read_line(source: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if source.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// A body as a plain stream of bytes.
struct Body<S> {
    left: Framing,
    source: S,
}

impl<S: BufRead> Read for Body<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Framing::Chunked(0) = self.left {
            let line = read_line(&mut self.source)?;
            let size = u64::from_str_radix(line.split(';').next().unwrap_or_default(), 16);
            let size = size.map_err(|_| io::Error::new(ErrorKind::InvalidData, format!("chunk size {line:?}")))?;
            self.left = Framing::Chunked(size);
            if size == 0 {
                self.left = Framing::Done;
                read_line(&mut self.source)?;
            }
        }
        let (Framing::Length(left) | Framing::Chunked(left)) = self.left else { return Ok(0) };
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let rest = left - count as u64;
        self.left = match self.left {
            Framing::Chunked(_) if rest == 0 => {
                read_line(&mut self.source)?;
                Framing::Chunked(0)
            }
            Framing::Chunked(_) => Framing::Chunked(rest),
            Framing::Length(_) | Framing::Done => Framing::Length(rest),
        };
        Ok(count)
    }
}
