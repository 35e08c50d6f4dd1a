//! The daemon as a process of its own.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::{Process, wait_for};
use crate::pool::SOON;
use crate::rig::Scene;

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_dyn-prefix");

/// A running daemon; it is killed with the value.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// The process; its log has that of former daemons of the same test in front.
    pub(crate) process: Process,
    config: PathBuf,
    notify: UnixDatagram,
    log_from: usize,
    /// When it was started.
    pub(crate) started: Instant,
}

impl Daemon {
    /// Starts it with a configuration.
    pub(crate) fn start(scene: &Scene<'_>, config: &Path) -> Result<Self> {
        Self::start_with(scene, config, &[])
    }

    /// The same with more in its environment.
    pub(crate) fn start_with(scene: &Scene<'_>, config: &Path, environment: &[(&str, &Path)]) -> Result<Self> {
        let socket = config.with_extension("notify");
        if socket.exists() {
            std::fs::remove_file(&socket)?;
        }
        let notify = UnixDatagram::bind(&socket)?;
        let log = scene.dir().join("log");
        let log_from = std::fs::read(&log).map_or(0, |text| text.len());
        let mut command = Command::new(PROGRAM);
        command.arg("run").arg("--config").arg(config).env("NOTIFY_SOCKET", &socket);
        command.envs(environment.iter().copied());
        for variable in ["JOURNAL_STREAM", "STATE_DIRECTORY", "WATCHDOG_USEC", "DYN_PREFIX_LOG"] {
            command.env_remove(variable);
        }
        let process = Process::spawn("dyn-prefix", &mut command, &log)?;
        Ok(Self { process, config: config.to_owned(), notify, log_from, started: Instant::now() })
    }

    /// Waits until it has told its supervisor that it is ready.
    pub(crate) fn wait_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + SOON;
        let mut message = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.notify.set_read_timeout(Some(left))?;
            match self.notify.recv(&mut message) {
                Ok(length) if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == "READY=1") => {
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => {
                    self.process.check_alive()?;
                    return Err(error).with_context(|| format!("no READY=1; {}", self.process.log_tail(10)));
                }
            }
        }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.process.log_text().split_off(self.log_from)
    }

    /// Waits for a line with all of `parts` in its log.
    pub(crate) fn wait_log(&mut self, parts: &[&str]) -> Result<String> {
        self.process.wait_log(self.log_from, parts, SOON)
    }

    /// `dyn-prefix status`: the exit status, and what it says.
    pub(crate) fn status(&self) -> Result<(Option<i32>, Value)> {
        let (code, text) = self.ask(&["status", "--output", "json"])?;
        Ok((code, serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))?))
    }

    /// A command for people: the exit status, and what it prints.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let output = Command::new(PROGRAM).args(words).arg("--config").arg(&self.config).output()?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(
            !text.is_empty(),
            "dyn-prefix {words:?} said nothing ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok((output.status.code(), text))
    }

    /// Waits until `dyn-prefix status` exits with `code` and shows something `wanted`.
    pub(crate) fn wait_status(&self, what: &str, code: i32, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = None;
        let found = wait_for(what, SOON, || {
            let (exit, status) = self.status()?;
            let found = (exit == Some(code) && wanted(&status)).then(|| status.clone());
            last = Some((exit, status));
            Ok(found)
        });
        found.with_context(|| last.map_or_else(String::new, |(exit, status)| format!("exit {exit:?}: {status:#}")))
    }

    /// Waits until all is well and `wanted`.
    ///
    /// No Cilium operator runs here, so nobody tells that a pool was seen; as long as status says so of a pool, it
    /// counts as not well. Apart from that the exit status has to be 0.
    pub(crate) fn wait_well(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = None;
        let found = wait_for(what, SOON, || {
            let (exit, status) = self.status()?;
            let targets = status["targets"].as_array().map_or(&[][..], Vec::as_slice);
            let synced = targets.iter().all(|target| target["synced"] == true && target["reason"] == "Synced");
            let unseen = targets.iter().any(|target| target["observed"] == false);
            let well = synced
                && targets.len() == 3
                && acquired(&status) == ("True", "Acquired")
                && status["clusters"][0]["state"] == "connected"
                && exit == Some(if unseen { 3 } else { 0 });
            let found = (well && wanted(&status)).then(|| status.clone());
            last = Some((exit, status));
            Ok(found)
        });
        found.with_context(|| last.map_or_else(String::new, |(exit, status)| format!("exit {exit:?}: {status:#}")))
    }

    /// Stops it as systemd would. It has to end within five seconds, and well.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        let status = self.process.wait_exit(Duration::from_secs(5))?;
        ensure!(status.success(), "{status}: {}", self.process.log_tail(10));
        let log = self.log();
        ensure!(log.contains("Stopping on SIGTERM") && log.contains("nothing is withdrawn"), "{log}");
        Ok(())
    }

    /// Kills it: the power went out.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Fails if the log lacks any of `phrases`, or has one of them before the one that is named before it.
    pub(crate) fn expect_log(&self, phrases: &[&str]) -> Result<()> {
        let log = self.log();
        let mut rest = log.as_str();
        for phrase in phrases {
            let Some(at) = rest.find(phrase) else { bail!("{phrase:?} is missing, or not in its place, in\n{log}") };
            rest = &rest[at..];
        }
        Ok(())
    }
}

/// The one DynamicPrefix of a status.
pub(crate) fn prefix(status: &Value) -> &Value {
    &status["dynamicPrefixes"][0]
}

/// The condition PrefixAcquired of a status: its status and reason.
pub(crate) fn acquired(status: &Value) -> (&str, &str) {
    let conditions = prefix(status)["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let found = conditions.iter().find(|condition| condition["type"] == "PrefixAcquired");
    found.map_or(("", ""), |condition| {
        (condition["status"].as_str().unwrap_or_default(), condition["reason"].as_str().unwrap_or_default())
    })
}

/// The state of the one source of a status.
pub(crate) fn source_state(status: &Value) -> &str {
    status["sources"][0]["state"].as_str().unwrap_or_default()
}

/// The status of the target of a kind.
pub(crate) fn target<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let targets = status["targets"].as_array().map_or(&[][..], Vec::as_slice);
    targets.iter().find(|target| target["kind"] == kind).unwrap_or(&Value::Null)
}
