//! Runs a command: no shell, a clean environment, an end in time.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::decide::Run;
use super::{Done, Failure, write};

/// What is read from a command without a variable of that name in the environment of the daemon.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a command that was told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// How much of what a command prints is kept.
const KEPT: usize = 4096;

/// How many of its last lines are told.
const TOLD: usize = 5;

/// How a command ended.
enum Ending {
    Exited(io::Result<ExitStatus>),
    TimedOut,
    Stopped,
}

/// Runs a command to its end, at most for its time; `stop` ends it, too.
///
/// # Errors
/// When it cannot be started, is ended, or does not end with status 0.
pub async fn run(run: Run, stop: CancellationToken) -> Result<Done, Failure> {
    let program = run.command.first().cloned().unwrap_or_default();
    let (mut child, output) = start(&run).await.map_err(|error| not_started(&program, &error))?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let until = Instant::now() + run.timeout;
    let mut tail = Tail::default();
    let stdin = child.stdin.take();
    let ending = {
        let feed = async {
            if let Some(mut stdin) = stdin {
                // Who does not read it has no use for it.
                let _unread = stdin.write_all(&run.input).await;
            }
            std::future::pending::<()>().await
        };
        tokio::select! {
            biased;
            exited = child.wait() => Ending::Exited(exited),
            () = stop.cancelled() => Ending::Stopped,
            () = sleep_until(until) => Ending::TimedOut,
            () = feed => Ending::Stopped,
            () = tail.follow(&output) => Ending::Stopped,
        }
    };
    if !matches!(ending, Ending::Exited(_)) {
        end(&mut child, group).await;
    }
    tail.take_rest(&output);
    let result = judge(ending, &program, run.timeout, &tail);
    if result.is_ok()
        && let Some(path) = &run.reloads
    {
        write::forget_reload(path.clone()).await;
    }
    result
}

/// Starting a program waits until the kernel has read its beginning, and a file system may hang: it is done beside
/// everything else.
async fn start(run: &Run) -> io::Result<(Child, pipe::Receiver)> {
    let (command, variables) = (run.command.clone(), run.variables.clone());
    let starting = tokio::task::spawn_blocking(move || spawn(&command, variables));
    let (child, output) = starting.await.map_err(io::Error::other)??;
    Ok((child, pipe::Receiver::from_owned_fd(output)?))
}

fn spawn(command: &[String], variables: Vec<(String, String)>) -> io::Result<(Child, OwnedFd)> {
    let [program, arguments @ ..] = command else { return Err(io::ErrorKind::InvalidInput.into()) };
    let (output, print) = io::pipe()?;
    let inherited = ["PATH", "LANG"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .envs(inherited)
        .envs(variables)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(print.try_clone()?)
        .stderr(print)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        // The kernel speaks of a permission.
        .map_err(|error| if Path::new(program).is_dir() { io::ErrorKind::IsADirectory.into() } else { error })?;
    Ok((child, output.into()))
}

/// Ends a command and all that it started.
async fn end(child: &mut Child, group: Option<Pid>) {
    let Some(group) = group else { return };
    let _gone = kill_process_group(group, Signal::TERM);
    let _late = timeout(GRACE, child.wait()).await;
    // Also what the program left behind, and what does not listen.
    let _gone = kill_process_group(group, Signal::KILL);
    let _status = child.wait().await;
}

fn not_started(program: &str, error: &io::Error) -> Failure {
    let advice = if error.kind() == io::ErrorKind::NotFound {
        "; is it installed, and is the interpreter there that its first line names?"
    } else if error.raw_os_error() == Some(nix::libc::ENOEXEC) {
        "; a script has to begin with a line that names its interpreter (#!/bin/sh), and a program has to be made for this \
         kind of machine."
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "; the user of the daemon has to be able to read and execute it."
    } else if error.kind() == io::ErrorKind::IsADirectory {
        "; name a program in it."
    } else {
        "."
    };
    let message = format!("{program} cannot be started: {}{advice}", plain(error));
    Failure { reason: Failure::NOT_STARTED, message }
}

/// Without the number.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn judge(ending: Ending, program: &str, limit: Duration, tail: &Tail) -> Result<Done, Failure> {
    let (reason, what) = match ending {
        Ending::Exited(Ok(status)) if status.success() => return Ok(Done::Ran),
        Ending::Exited(Ok(status)) => (Failure::FAILED, format!("{program} ended with {}", ended_with(status))),
        Ending::Exited(Err(error)) => (Failure::FAILED, format!("{program} could not be waited for: {error}")),
        Ending::TimedOut => {
            let seconds = limit.as_secs_f64();
            (Failure::TIMED_OUT, format!("{program} did not end within {seconds} s and was ended"))
        }
        Ending::Stopped => (Failure::FAILED, format!("{program} was ended because the daemon stops")),
    };
    let said = tail.lines();
    let message = if said.is_empty() {
        format!("{what}; it printed nothing.")
    } else {
        format!("{what}: {said}{}", right(&said))
    };
    Err(Failure { reason, message })
}

/// What helps where a command says that it lacks a right: the unit leaves the daemon few.
fn right(said: &str) -> &'static str {
    if said.contains("Operation not permitted") {
        " (to change packet filters or routes takes CAP_NET_ADMIN, which the drop-in examples/host/nft.conf gives)"
    } else {
        ""
    }
}

fn ended_with(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// The end of what a command prints. All of it is read, so that no command waits for a reader.
#[derive(Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    /// Reads for as long as the command runs.
    async fn follow(&mut self, output: &pipe::Receiver) {
        let mut buffer = [0; KEPT];
        while output.readable().await.is_ok() {
            match output.try_read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.take(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        // Its outputs are closed, and it goes on.
        std::future::pending().await
    }

    /// Reads what is there. What a program leaves behind may print for ever and is not waited for.
    fn take_rest(&mut self, output: &pipe::Receiver) {
        let mut buffer = [0; KEPT];
        for _ in 0..64 {
            // Not `try_read`: what the runtime has not heard of yet, that does not see.
            match rustix::io::read(output, &mut buffer) {
                Ok(length) if length > 0 => self.take(&buffer[..length]),
                Ok(_) | Err(_) => break,
            }
        }
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let excess = self.bytes.len().saturating_sub(KEPT);
        self.bytes.drain(..excess);
    }

    /// How much is kept.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The last lines in one, without what a terminal would act on.
    pub(super) fn lines(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(TOLD)..].join(" | ");
        last.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
    }
}
