//! A service that says which address asks it, or something else that it is told to say; by HTTP or HTTPS.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What it does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// 200 with this body.
    Body(String),
    /// This status, with these header lines and no body.
    Status(&'static str, String),
    /// It never says anything.
    Silence,
    /// It begins to answer, and says one more octet each second.
    Drip,
    /// It closes the connection in the middle of the answer.
    Half,
}

impl Answer {
    /// 200 with this text.
    pub(crate) fn body(text: &str) -> Self {
        Self::Body(text.to_owned())
    }
}

/// A running service; it ends with the process.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    address: SocketAddr,
    scheme: &'static str,
    said: Arc<Mutex<Said>>,
}

#[derive(Debug)]
struct Said {
    answer: Answer,
    /// The first line of each request.
    requests: Vec<String>,
}

impl Service {
    /// On a port of ::1 in the network namespace of the thread that calls it.
    pub(crate) fn start(answer: Answer) -> Self {
        Self::listen(answer, None)
    }

    /// The same by HTTPS, with `server.crt` and `server.key` of a directory.
    pub(crate) fn start_tls(answer: Answer, dir: &Path) -> Self {
        let certificate = CertificateDer::from_pem_file(dir.join("server.crt")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
        Self::listen(answer, Some(Arc::new(config.expect("they belong together"))))
    }

    fn listen(answer: Answer, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("[::1]:0").expect("a port of ::1");
        let address = listener.local_addr().expect("it has an address");
        let said = Arc::new(Mutex::new(Said { answer, requests: Vec::new() }));
        let service = Self { address, scheme: if tls.is_some() { "https" } else { "http" }, said: Arc::clone(&said) };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (said, tls) = (Arc::clone(&said), tls.clone());
                // Whoever asks may go away at any time.
                std::thread::spawn(move || drop(serve(stream, tls, &said)));
            }
        });
        service
    }

    /// Where it is asked, with this path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on it answers something else.
    pub(crate) fn say(&self, answer: Answer) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).answer = answer;
    }

    /// The first line of each request that it was sent.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }
}

fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, said: &Mutex<Said>) -> io::Result<()> {
    match tls {
        None => answer(BufReader::new(stream), said),
        Some(config) => {
            let connection = ServerConnection::new(config).map_err(io::Error::other)?;
            answer(BufReader::new(StreamOwned::new(connection, stream)), said)
        }
    }
}

fn answer<S: Read + Write>(mut stream: BufReader<S>, said: &Mutex<Said>) -> io::Result<()> {
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if stream.read_line(&mut request)? == 0 {
            return Ok(());
        }
    }
    let answer = {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.requests.push(request.lines().next().unwrap_or_default().to_owned());
        said.answer.clone()
    };
    let out = stream.get_mut();
    match answer {
        Answer::Body(body) => write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?,
        Answer::Status(status, headers) => write!(out, "HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\n\r\n")?,
        Answer::Silence => pause(Duration::from_secs(120)),
        Answer::Drip => {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")?;
            for _ in 0..120 {
                out.write_all(b"2")?;
                out.flush()?;
                pause(Duration::from_secs(1));
            }
        }
        Answer::Half => write!(out, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n2001:db8::1")?,
    }
    out.flush()
}

/// How slow it is, and no test waits for it.
fn pause(time: Duration) {
    let (_never, nothing) = std::sync::mpsc::channel::<()>();
    let _ = nothing.recv_timeout(time);
}
