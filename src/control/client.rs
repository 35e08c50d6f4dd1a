//! The client's side of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::{MAX_LINE, Request, Response, describe};

/// How long a `reload` or `status` may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a `dhcp-release`, `withdraw` or `take-over` may take: clusters let go of the prefix first, and the server may be silent.
const RELEASE_PATIENCE: Duration = Duration::from_secs(60);

/// How long a `report` may take: a script of another DHCPv6 client waits for it, and the client for the script.
const REPORT_PATIENCE: Duration = Duration::from_secs(3);

/// Why the daemon did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Nobody listens there.
    #[error("dyn-prefix is not running: nobody listens on {0}")]
    NotRunning(String),
    /// Somebody listens, and it did not work.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// A connection to the running daemon, with a request sent.
#[derive(Debug)]
pub struct Connection {
    lines: BufReader<UnixStream>,
}

impl Connection {
    /// Connects and sends `request`.
    ///
    /// # Errors
    /// [`Failure::NotRunning`] when nobody listens.
    pub fn open(path: &Path, request: Request) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path).map_err(|error| connect_failure(path, error))?;
        let prepared = || -> anyhow::Result<UnixStream> {
            stream.set_read_timeout(patience(&request))?;
            stream.set_write_timeout(patience(&request))?;
            let mut line = serde_json::to_vec(&request)?;
            line.push(b'\n');
            match (&stream).write_all(&line) {
                // It has said why it hung up.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                outcome => outcome?,
            }
            Ok(stream)
        };
        let stream = prepared().with_context(|| format!("cannot ask {}", describe(path)))?;
        Ok(Self { lines: BufReader::new(stream) })
    }

    /// The process id of the daemon; `None` when it is in another PID namespace.
    pub fn process(&self) -> Option<u32> {
        let peer = rustix::net::sockopt::socket_peercred(self.lines.get_ref()).ok()?;
        u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
    }

    /// The next answer; `None` when the daemon has closed the connection.
    ///
    /// # Errors
    /// When the daemon does not answer in time, or answers something else.
    pub fn next_response(&mut self) -> anyhow::Result<Option<Response>> {
        let mut line = Vec::new();
        self.lines
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .context("the daemon does not answer on its control socket")?;
        if line.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&line).map(Some).context("the daemon's answer is not understood (another version?)")
    }
}

/// How long its answer may take; `None`: for ever.
const fn patience(request: &Request) -> Option<Duration> {
    match request {
        Request::Watch => None,
        Request::DhcpRelease { .. } | Request::Withdraw { .. } | Request::TakeOver { .. } => Some(RELEASE_PATIENCE),
        Request::Status | Request::Reload | Request::Resume { .. } => Some(PATIENCE),
        Request::Report { .. } | Request::TakeUpReports => Some(REPORT_PATIENCE),
    }
}

fn connect_failure(path: &Path, error: io::Error) -> Failure {
    let kind = error.kind();
    if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
        return Failure::NotRunning(describe(path));
    }
    if kind == io::ErrorKind::PermissionDenied {
        return Failure::Other(anyhow::anyhow!(
            "no permission for {}; run this as root or as a member of the group dyn-prefix",
            describe(path)
        ));
    }
    Failure::Other(anyhow::Error::new(error).context(format!("cannot connect to {}", describe(path))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Report;

    /// A DHCPv6 client that waits for its script neither renews nor answers a Reconfigure.
    #[test]
    fn a_script_of_another_client_does_not_wait_long() {
        let prefix = "2001:db8::/56".parse().unwrap();
        let report =
            Report { name: "home".to_owned(), prefix, preferred: None, valid: None, excluded: Vec::new(), gone: false };
        assert!(patience(&Request::Report { report }).is_some_and(|limit| limit <= Duration::from_secs(3)));
        assert_eq!(patience(&Request::Watch), None);
    }
}
