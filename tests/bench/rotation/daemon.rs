//! The release binary as a process, and what it costs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::lab::Process;

/// How much memory a process has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// VmRSS
    pub(crate) resident: u64,
    /// RssAnon: without what is mapped from files.
    pub(crate) anonymous: u64,
    /// VmHWM: the most it ever had.
    pub(crate) peak: u64,
}

/// A running daemon. It is killed with the value.
pub(crate) struct Daemon {
    process: Process,
    config: PathBuf,
    /// When it was started.
    pub(crate) started: Instant,
}

impl Daemon {
    /// Starts one in the network namespace of the calling thread, with this configuration in `dir`.
    pub(crate) fn start(program: &Path, dir: &Path, configuration: &str) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let config = dir.join("dyn-prefix.toml");
        std::fs::write(&config, configuration)?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(&config).env_remove("NOTIFY_SOCKET").env_remove("JOURNAL_STREAM");
        let started = Instant::now();
        let process = Process::spawn("dyn-prefix", &mut command, &dir.join("log"))?;
        Ok(Self { process, config, started })
    }

    /// Gives it another configuration, and waits until it has taken that into use.
    pub(crate) fn reload(&mut self, configuration: &str) -> Result<()> {
        std::fs::write(&self.config, configuration)?;
        let from = self.process.log_text().len();
        self.process.signal(Signal::SIGHUP)?;
        self.process.wait_log(from, &["again", "in use"], Duration::from_secs(10)).map(drop)
    }

    /// Where it keeps everything.
    pub(crate) fn dir(&self) -> Result<&Path> {
        self.config.parent().context("the configuration has a directory")
    }

    /// An error with the end of its log when it has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        self.process.check_alive()
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        self.process.log_tail(15)
    }

    /// The processor time that all its threads have used, those that have ended included.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let pid = Pid::from_raw(i32::try_from(self.process.pid())?);
        Ok(clock_gettime(clock_getcpuclockid(pid)?)?.into())
    }

    /// Its memory, in bytes.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let path = format!("/proc/{}/status", self.process.pid());
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let bytes = |key: &str| -> Result<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
            Ok(number.with_context(|| format!("{path} has no {key}"))?.parse::<u64>()? * 1024)
        };
        Ok(Memory { resident: bytes("VmRSS")?, anonymous: bytes("RssAnon")?, peak: bytes("VmHWM")? })
    }
}
