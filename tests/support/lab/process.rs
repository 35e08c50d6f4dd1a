//! A program of the lab as a child process: its log, its signals, and its certain end.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait_for;

/// A running child with its output in a file. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    guard: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with stdin closed and its output appended to `log`.
    pub(crate) fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("cannot open {}", log.display()))?;
        let errors = output.try_clone()?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        match guard(child.id()) {
            Ok(guard) => Ok(Self { name: name.to_owned(), child, guard, log: log.to_owned() }),
            Err(error) => {
                drop(child.kill());
                Err(error.context(format!("cannot watch over {name}")))
            }
        }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where the output goes.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// What the process has written so far.
    pub(crate) fn log_text(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// An error with the end of the log when the process has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        bail!("{} ended ({status}); the end of {}:\n{}", self.name, self.log.display(), self.log_tail(15));
    }

    /// The last lines of the log.
    pub(crate) fn log_tail(&self, lines: usize) -> String {
        let text = self.log_text();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Waits until a line of the log, from byte `from` on, contains all of `parts`; gives that line.
    pub(crate) fn wait_log(&mut self, from: usize, parts: &[&str], limit: Duration) -> Result<String> {
        let what = format!("{}: no log line with {parts:?}", self.name);
        let found = wait_for(&what, limit, || {
            let text = self.log_text();
            let new = text.get(from..).unwrap_or_default();
            let line = new.lines().find(|line| parts.iter().all(|part| line.contains(part)));
            match line {
                Some(line) => Ok(Some(Ok(line.to_owned()))),
                None => Ok(self.check_alive().err().map(Err)),
            }
        });
        found.with_context(|| format!("the end of its log:\n{}", self.log_tail(10)))?
    }

    /// Waits until it has ended by itself; gives its exit status.
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let ended = wait_for(&what, limit, || Ok(self.child.try_wait()?));
        ended.with_context(|| format!("the end of its log:\n{}", self.log_tail(10)))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid())?);
        kill(pid, signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Stops it where it is, with its sockets open (SIGSTOP).
    pub(crate) fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets a frozen one go on (SIGCONT).
    pub(crate) fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Kills it (SIGKILL) and waits for its end; once it has ended, nothing.
    pub(crate) fn kill(&mut self) -> Result<()> {
        if let Some(mut pipe) = self.guard.stdin.take() {
            // The guard must not kill a pid that may soon belong to somebody else.
            drop(pipe.write_all(b"done\n"));
            drop(pipe);
            self.guard.wait()?;
        }
        if self.child.try_wait()?.is_none() {
            self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
            self.child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

/// A shell that kills `pid` when its stdin closes without a word, as it does whenever the test process dies.
fn guard(pid: u32) -> Result<Child> {
    let child = Command::new("sh")
        .args(["-c", "read -r word || kill -9 \"$0\""])
        .arg(pid.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(child)
}
