//! The daemon: a process of its own, this very program under the name `dyn-prefix`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use dyn_prefix::clock;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::AS_DYN_PREFIX;
use super::prefixes::CONFIGURATION;
use super::support::api::{Api, Certificate};
use super::timeline::{Event, Who};

/// How long it may take to stop (the unit gives it 10 s).
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The daemon and its directory. It is killed with the value.
pub(crate) struct Daemon {
    child: Option<Child>,
    directory: TempDir,
    /// What it logs.
    pub(crate) lines: mpsc::UnboundedReceiver<Event>,
    lines_tx: Option<mpsc::UnboundedSender<Event>>,
}

impl Daemon {
    /// Writes its configuration.
    pub(crate) fn prepare(api: &Api) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("dyn-prefix-demo-")
            .tempdir()
            .context("cannot make a temporary directory")?;
        fs::write(directory.path().join("ca.pem"), Certificate::CA)?;
        let kubeconfig = api.kubeconfig(", certificate-authority: ca.pem", "token: demo");
        fs::write(directory.path().join("home.kubeconfig"), kubeconfig)?;
        fs::write(config(directory.path()), configuration(directory.path()))?;
        let (lines_tx, lines) = mpsc::unbounded_channel();
        Ok(Self { child: None, directory, lines, lines_tx: Some(lines_tx) })
    }

    /// Starts it.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let mut command = command(self.directory.path(), "run")?;
        let mut child = command.stderr(Stdio::piped()).spawn().context("cannot start the daemon")?;
        let mut stderr = BufReader::new(child.stderr.take().context("no standard error")?).lines();
        let lines = self.lines_tx.take().context("it was started before")?;
        tokio::spawn(async move {
            while let Ok(Some(text)) = stderr.next_line().await {
                // After the end nobody reads them.
                drop(lines.send(Event { at: clock::now(), who: Who::Daemon, text, delegates: false }));
            }
        });
        self.child = Some(child);
        Ok(())
    }

    /// What `dyn-prefix status` prints, and its exit status.
    pub(crate) async fn status(&self) -> anyhow::Result<(String, ExitStatus)> {
        let output = command(self.directory.path(), "status")?.output().await?;
        Ok((String::from_utf8_lossy(&output.stdout).into_owned(), output.status))
    }

    /// Stops it as systemd does, and returns how it ended.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let child = self.child.as_mut().context("the daemon was not started")?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("the daemon has ended")?;
        kill_process(pid, Signal::TERM)?;
        let ended = tokio::time::timeout(STOP_PATIENCE, child.wait()).await;
        Ok(ended.with_context(|| format!("the daemon has not stopped within {STOP_PATIENCE:?}"))??)
    }
}

fn config(directory: &Path) -> PathBuf {
    directory.join("dyn-prefix.toml")
}

fn configuration(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "[daemon]\nid = \"demo\"\nstateDirectory = \"{directory}/state\"\ncontrolSocket = \"{directory}/control.sock\"\n\n\
         [[cluster]]\nname = \"home\"\nkubeconfig = \"{directory}/home.kubeconfig\"\n\n{CONFIGURATION}"
    )
}

/// `dyn-prefix SUBCOMMAND --config …`, without what the environment would change about it (a proxy, systemd).
fn command(directory: &Path, subcommand: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([AS_DYN_PREFIX, subcommand, "--config"]).arg(config(directory));
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}
