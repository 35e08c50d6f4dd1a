//! The daemon's side of the control socket.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::seats::Seats;
use super::{MAX_REQUEST, Request, Response, describe};
use crate::accept::Acceptor;

/// How long a client may take to send its request, or to read a line.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// What others hear who want something done.
const FOR_ROOT: &str = "this changes something, which only root may do; members of the group dyn-prefix may ask for \
                        status and history";

/// A request on its way to the coordinator, with the place for its answer.
pub type Asked = (Request, oneshot::Sender<Response>);

/// The bound socket; its file goes with it.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Binds the socket with mode 0660; a socket that a dead daemon left behind is replaced.
    ///
    /// # Errors
    /// When somebody answers on it already, or it cannot be made.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            anyhow::bail!("another program answers on {}; is dyn-prefix running already?", describe(path));
        }
        let bind = || -> anyhow::Result<UnixListener> {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory)?;
            }
            // Made under another name first, so that nobody ever meets it with a wider mode.
            let new = path.with_extension("new");
            drop(fs::remove_file(&new));
            let listener = UnixListener::bind(&new)?;
            fs::set_permissions(&new, fs::Permissions::from_mode(0o660))?;
            fs::rename(&new, path)?;
            Ok(listener)
        };
        let listener = bind().with_context(|| format!("cannot open {}", describe(path)))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves clients until `cancel`. `changed` counts up whenever the status may have changed.
    ///
    /// # Errors
    /// None: what goes wrong with a connection concerns nobody else.
    pub async fn run(
        self,
        asked: mpsc::Sender<Asked>,
        changed: watch::Receiver<u64>,
        cancel: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut seats = Seats::new(rustix::process::geteuid().as_raw());
        let mut acceptor = Acceptor::new("the control socket");
        let mut clients = tokio::task::JoinSet::new();
        let mut users = HashMap::new();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                Some(ended) = clients.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    if let Some(user) = users.remove(&id) {
                        seats.leave(user);
                    }
                }
                (stream, _) = acceptor.next(|context| self.listener.poll_accept(context)) => {
                    // Who has gone again already.
                    let Ok(user) = stream.peer_cred().map(|peer| peer.uid()) else { continue };
                    match seats.take(user) {
                        Ok(()) => {
                            let client = clients.spawn(serve(stream, user, asked.clone(), changed.clone()));
                            users.insert(client.id(), user);
                        }
                        Err(message) => turn_away(&stream, message),
                    }
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already, or not ours to remove: either way there is nothing to do.
        drop(fs::remove_file(&self.path));
    }
}

/// Says why there is no seat, without waiting for anything: an empty queue has room for a line.
fn turn_away(stream: &UnixStream, message: String) {
    if let Ok(mut line) = serde_json::to_vec(&Response::Error { message }) {
        line.push(b'\n');
        // Who went away meanwhile need not hear it.
        drop(stream.try_write(&line));
    }
}

/// Serves one client. What goes wrong with it ends it, and concerns nobody else.
async fn serve(stream: UnixStream, user: u32, asked: mpsc::Sender<Asked>, mut changed: watch::Receiver<u64>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader.take(MAX_REQUEST));
    let mut line = String::new();
    match tokio::time::timeout(CLIENT_PATIENCE, reader.read_line(&mut line)).await {
        Ok(Ok(length)) if length > 0 => {}
        _ => return,
    }
    let request: Request = match serde_json::from_str(&line) {
        Ok(request) => request,
        Err(error) => {
            let message = format!("the request is not understood: {error}");
            send(&mut writer, &Response::Error { message }).await;
            return;
        }
    };
    let own = rustix::process::geteuid().as_raw();
    if !may(&request, user, own) {
        send(&mut writer, &Response::Error { message: FOR_ROOT.to_owned() }).await;
        return;
    }
    changed.mark_unchanged();
    loop {
        let single = if request == Request::Watch { Request::Status } else { request.clone() };
        let (answer, answered) = oneshot::channel();
        if asked.send((single, answer)).await.is_err() {
            return;
        }
        let Ok(response) = answered.await else { return };
        if !send(&mut writer, &response).await || request != Request::Watch {
            return;
        }
        tokio::select! {
            result = changed.changed() => if result.is_err() { return },
            // A client that hangs up ends the watch; it has nothing more to say.
            _ = reader.fill_buf() => return,
        }
    }
}

/// Whether a user may make this request of a daemon that runs as the user `own`.
fn may(request: &Request, user: u32, own: u32) -> bool {
    request.only_asks() || user == 0 || user == own
}

async fn send(writer: &mut (impl tokio::io::AsyncWrite + Unpin), response: &Response) -> bool {
    let Ok(mut line) = serde_json::to_vec(response) else { return false };
    line.push(b'\n');
    matches!(tokio::time::timeout(CLIENT_PATIENCE, writer.write_all(&line)).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::super::client::{Connection, Failure};
    use super::super::{Report, seats};
    use super::*;

    struct Daemon {
        path: PathBuf,
        changed: watch::Sender<u64>,
        cancel: CancellationToken,
        _directory: tempfile::TempDir,
    }

    impl Drop for Daemon {
        fn drop(&mut self) {
            self.cancel.cancel();
        }
    }

    /// A server whose coordinator answers every reload with the number of requests so far.
    fn daemon() -> Daemon {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sub").join("control.sock");
        let server = Server::bind(&path).unwrap();
        let (asked, mut questions) = mpsc::channel::<Asked>(4);
        let (changed, changes) = watch::channel(0);
        let cancel = CancellationToken::new();
        tokio::spawn(server.run(asked, changes, cancel.clone()));
        tokio::spawn(async move {
            let mut count = 0;
            while let Some((request, answer)) = questions.recv().await {
                count += 1;
                drop(answer.send(Response::Refused { findings: vec![format!("{request:?} {count}")] }));
            }
        });
        Daemon { path, changed, cancel, _directory: directory }
    }

    fn refused(text: &str) -> Option<Response> {
        Some(Response::Refused { findings: vec![text.to_owned()] })
    }

    async fn ask(path: &Path, request: Request) -> Option<Response> {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || Connection::open(&path, request).unwrap().next_response().unwrap())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_request_is_answered_and_the_socket_is_for_the_group() {
        let daemon = daemon();
        assert_eq!(ask(&daemon.path, Request::Reload).await, refused("Reload 1"));
        let mode = fs::metadata(&daemon.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
    }

    #[test]
    fn the_group_may_ask_and_root_and_the_daemon_itself_may_do() {
        let release = Request::DhcpRelease { name: "home".to_owned() };
        let report = Request::Report {
            report: Report {
                name: "home".to_owned(),
                prefix: "2001:db8::/56".parse().unwrap(),
                preferred: None,
                valid: None,
                excluded: Vec::new(),
                gone: false,
            },
        };
        for request in [Request::Reload, release, report, Request::TakeUpReports] {
            assert_eq!([0, 998, 1000].map(|user| may(&request, user, 998)), [true, true, false], "{request:?}");
        }
        for request in [Request::Status, Request::Watch] {
            assert_eq!([0, 998, 1000].map(|user| may(&request, user, 998)), [true; 3], "{request:?}");
        }
    }

    #[tokio::test]
    async fn a_watch_gets_a_line_now_and_after_every_change() {
        let daemon = daemon();
        let path = daemon.path.clone();
        let (first, got_first) = oneshot::channel();
        let watcher = tokio::task::spawn_blocking(move || {
            let mut connection = Connection::open(&path, Request::Watch).unwrap();
            first.send(connection.next_response().unwrap()).unwrap();
            connection.next_response().unwrap()
        });
        assert_eq!(got_first.await.unwrap(), refused("Status 1"));
        daemon.changed.send(1).unwrap();
        assert_eq!(watcher.await.unwrap(), refused("Status 2"));
    }

    /// More than anybody has seats; who is too many hears it, and each end makes room.
    #[tokio::test]
    async fn who_has_no_seat_is_told_so_at_once() {
        let daemon = daemon();
        let path = daemon.path.clone();
        tokio::task::spawn_blocking({
            let path = path.clone();
            move || {
                let watch = || Connection::open(&path, Request::Watch).unwrap();
                let mut seated: Vec<_> = (0..seats::OF_ROOT).map(|_| watch()).collect();
                for connection in &mut seated {
                    assert!(matches!(connection.next_response().unwrap(), Some(Response::Refused { .. })));
                }
                for _ in 0..40 {
                    let Some(Response::Error { message }) = watch().next_response().unwrap() else { panic!() };
                    assert!(message.contains("connections to the control socket"), "{message}");
                }
                drop(seated);
            }
        })
        .await
        .unwrap();
        // The ends are noticed before or after this one comes.
        while !matches!(ask(&path, Request::Reload).await, Some(Response::Refused { .. })) {}
    }

    #[tokio::test]
    async fn what_is_not_understood_is_said() {
        let daemon = daemon();
        let mut stream = UnixStream::connect(&daemon.path).await.unwrap();
        stream.write_all(b"{\"command\": \"explode\"}\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("not understood"), "{answer}");
    }

    #[tokio::test]
    async fn a_live_socket_is_not_taken_over_and_a_dead_one_is() {
        let daemon = daemon();
        let error = Server::bind(&daemon.path).unwrap_err().to_string();
        assert!(error.contains("running already"), "{error}");
        let dead = daemon.path.with_file_name("dead.sock");
        drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
        assert!(dead.exists());
        Server::bind(&dead).unwrap();
    }

    #[test]
    fn nobody_there_is_not_running() {
        let directory = tempfile::tempdir().unwrap();
        let failure = Connection::open(&directory.path().join("no.sock"), Request::Status).unwrap_err();
        assert!(matches!(failure, Failure::NotRunning(_)), "{failure}");
    }
}
