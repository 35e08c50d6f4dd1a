//! The daemon as a process of its own, and what it tells about itself.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::Process;
use crate::netns::Namespace;

/// How long to wait for what should happen at once; a busy machine may take its time.
pub(crate) const SOON: Duration = Duration::from_secs(15);

const PROGRAM: &str = env!("CARGO_BIN_EXE_dyn-prefix");

/// A running daemon; it is killed with the value.
pub(crate) struct Daemon<'a> {
    namespace: &'a Namespace,
    process: Process,
    config: PathBuf,
    watch: Watch,
    /// When the lease that was waited for last was granted.
    granted: Option<String>,
}

/// A `status --watch` that runs.
struct Watch {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<Value>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl<'a> Daemon<'a> {
    /// Starts it with a configuration, and waits until it is ready and watched.
    pub(crate) fn start(namespace: &'a Namespace, config: &Path) -> Result<Self> {
        let socket = config.with_extension("notify");
        if socket.exists() {
            std::fs::remove_file(&socket)?;
        }
        let notify = UnixDatagram::bind(&socket)?;
        let mut command = namespace.command(PROGRAM);
        command.arg("run").arg("--config").arg(config).env("NOTIFY_SOCKET", &socket);
        command.arg("--record").arg(config.with_extension("record"));
        for variable in ["JOURNAL_STREAM", "STATE_DIRECTORY", "WATCHDOG_USEC", "DYN_PREFIX_LOG"] {
            command.env_remove(variable);
        }
        let mut process = Process::spawn("dyn-prefix", &mut command, &config.with_extension("log"))?;
        wait_ready(&notify, &mut process)?;
        let watch = Watch::start(namespace, config)?;
        Ok(Self { namespace, process, config: config.to_owned(), watch, granted: None })
    }

    /// Waits until the status is as wanted. The latest one counts, even if it came before.
    pub(crate) fn until(&mut self, what: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(last) = self.watch.seen.last().filter(|status| wanted(status)) {
                return Ok(last.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.watch.lines.recv_timeout(left) {
                Ok(line) => self.watch.seen.push(serde_json::from_str(&line).with_context(|| line)?),
                Err(RecvTimeoutError::Disconnected) => bail!("{what}: the daemon has stopped"),
                Err(RecvTimeoutError::Timeout) => {
                    let states: Vec<_> = self.watch.seen.iter().map(state).collect();
                    let last = self.watch.seen.last().map_or_else(String::new, brief);
                    bail!("{what}: not within {limit:?}; after {states:?} the status is {last}")
                }
            }
        }
    }

    /// Waits for the prefix `wanted` to be the current one, delegated.
    pub(crate) fn until_bound(&mut self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let status = self.until("a delegated prefix", limit, |status| is_bound(status, &wanted))?;
        self.granted = granted_at(&status);
        Ok(current(&status).unwrap_or_default().to_owned())
    }

    /// Waits until the lease of this prefix was granted again, later than the last one that was waited for, or than the
    /// one that was remembered.
    pub(crate) fn until_extended(&mut self, limit: Duration, prefix: &str) -> Result<()> {
        let known = self.granted.clone().or_else(|| self.watch.seen.iter().find_map(granted_at));
        let extended = |status: &Value| is_bound(status, |found| found == prefix) && granted_at(status) > known;
        let status = self.until(&format!("the lease of {prefix} is extended"), limit, extended)?;
        self.granted = granted_at(&status);
        Ok(())
    }

    /// Waits for a state of the client.
    pub(crate) fn until_state(&mut self, wanted: &str, limit: Duration) -> Result<Value> {
        self.until(wanted, limit, |status| state(status) == wanted)
    }

    /// Every status since the start, as far as they were waited for, and what has come since.
    pub(crate) fn seen(&mut self) -> Result<&[Value]> {
        while let Ok(line) = self.watch.lines.try_recv() {
            self.watch.seen.push(serde_json::from_str(&line).with_context(|| line)?);
        }
        Ok(&self.watch.seen)
    }

    /// Fails unless every status that shows a prefix shows this one, and none loses it again.
    pub(crate) fn expect_always(&mut self, prefix: &str) -> Result<()> {
        let shown: Vec<Option<String>> = self.seen()?.iter().map(|status| current(status).map(str::to_owned)).collect();
        let from = shown.iter().position(Option::is_some).unwrap_or(shown.len());
        ensure!(shown[from..].iter().all(|shown| shown.as_deref() == Some(prefix)), "not always {prefix}: {shown:?}");
        Ok(())
    }

    /// A command for people: the exit status, and what it prints.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.namespace.command(PROGRAM).args(words).arg("--config").arg(&self.config).output()?;
        let text = String::from_utf8(output.stdout)? + &String::from_utf8(output.stderr)?;
        Ok((output.status.code(), text))
    }

    /// Waits for a line with all of `parts` in its log.
    pub(crate) fn wait_log(&mut self, parts: &[&str]) -> Result<String> {
        self.process.wait_log(0, parts, SOON)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Stops it as systemd would. It has to end within five seconds, and well.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        let status = self.process.wait_exit(Duration::from_secs(5))?;
        ensure!(status.success(), "{status}: {}", self.process.log_tail(10));
        Ok(())
    }

    /// Kills it: the power went out.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.process.kill()
    }
}

fn wait_ready(notify: &UnixDatagram, process: &mut Process) -> Result<()> {
    let deadline = Instant::now() + SOON;
    let mut message = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        notify.set_read_timeout(Some(left))?;
        match notify.recv(&mut message) {
            Ok(length) if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == "READY=1") => {
                return Ok(());
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                process.check_alive()?;
                return Err(error).with_context(|| format!("no READY=1; {}", process.log_tail(10)));
            }
        }
    }
}

impl Watch {
    fn start(namespace: &Namespace, config: &Path) -> Result<Self> {
        let mut command = namespace.command(PROGRAM);
        command.args(["status", "--watch", "--output", "json", "--config"]).arg(config);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stream = child.stdout.take().context("a pipe")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stream).lines().map_while(Result::ok);
            lines.map(|line| sender.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        Ok(Self { child, lines, seen: Vec::new() })
    }
}

/// The source `dhcpv6-pd` of a status.
pub(crate) fn source(status: &Value) -> &Value {
    let sources = status["sources"].as_array().map_or(&[][..], Vec::as_slice);
    sources.iter().find(|source| source["kind"] == "dhcpv6-pd").unwrap_or(&Value::Null)
}

/// What the client is doing.
pub(crate) fn state(status: &Value) -> &str {
    source(status)["state"].as_str().unwrap_or_default()
}

/// The current prefix of the first DynamicPrefix.
pub(crate) fn current(status: &Value) -> Option<&str> {
    status["dynamicPrefixes"][0]["currentPrefix"].as_str()
}

/// Whether such a prefix is in use, and delegated.
fn is_bound(status: &Value, wanted: impl Fn(&str) -> bool) -> bool {
    let delegated = status["dynamicPrefixes"][0]["prefixSource"] == "dhcpv6-pd";
    delegated && current(status).is_some_and(wanted) && state(status) == "bound"
}

/// When the first delegation was granted or extended last. Such times sort as text.
fn granted_at(status: &Value) -> Option<String> {
    source(status)["lease"]["delegations"][0]["receivedAt"].as_str().map(str::to_owned)
}

/// What matters here of a status.
fn brief(status: &Value) -> String {
    let mut text = format!("{:#}", source(status));
    for prefix in status["dynamicPrefixes"].as_array().into_iter().flatten() {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{prefix:#}");
    }
    text
}
