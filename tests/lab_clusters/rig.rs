//! The lab that the stories share, and the daemon under test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{ApiServer, AuditEvent, AuditLevel, METALLB_NAMESPACE, Options, Process, wait_for};

/// How long anything may take on a busy machine. What has to be fast says so itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What all stories share: one API server, started when the first of them needs it.
#[derive(Default)]
pub(crate) struct Lab {
    shared: OnceLock<Result<Cluster, String>>,
}

impl Lab {
    /// The API server of all stories that can live beside others: names of objects, DynamicPrefixes and users are
    /// theirs alone.
    pub(crate) fn shared(&self) -> Result<&ApiServer> {
        let started = self.shared.get_or_init(|| Cluster::start().map_err(|error| format!("{error:?}")));
        match started {
            Ok(cluster) => Ok(&cluster.server),
            Err(error) => bail!("the shared API server did not start: {error}"),
        }
    }
}

/// An API server with its directory.
pub(crate) struct Cluster {
    // Dropped in this order: the server before the directory it works in.
    pub(crate) server: ApiServer,
    _directory: TempDir,
}

impl Cluster {
    /// One with every CRD.
    pub(crate) fn start() -> Result<Self> {
        let cluster = Self::bare()?;
        cluster.server.install_cilium_crds(&["v2", "v2alpha1"])?;
        cluster.server.install_metallb_crds()?;
        cluster.server.ensure_namespace(METALLB_NAMESPACE)?;
        Ok(cluster)
    }

    /// One without CRDs.
    pub(crate) fn bare() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let options = Options { audit: Some(AuditLevel::Metadata), ..Options::default() };
        let server = ApiServer::start_with(directory.path(), options)?;
        Ok(Self { server, _directory: directory })
    }
}

/// The kubeconfig of a user of this name who may do everything: the audit log then tells who wrote.
pub(crate) fn full_access(server: &ApiServer, user: &str) -> Result<PathBuf> {
    server.kubeconfig_for(user, &["system:masters"])
}

/// The writes of a user so far, whatever their answer. Kubernetes events are none: what they are about is written before.
pub(crate) fn writes(server: &ApiServer, user: &str) -> Result<Vec<AuditEvent>> {
    Ok(server.audit_of(user)?.into_iter().filter(|event| event.is_write() && !event.is_notice()).collect())
}

/// How often a user wrote the object of this name.
pub(crate) fn writes_to(server: &ApiServer, user: &str, name: &str) -> Result<usize> {
    let is_to = |event: &&AuditEvent| event.raw["objectRef"]["name"] == name;
    Ok(writes(server, user)?.iter().filter(is_to).count())
}

/// How often a user who is not there any more has written the object of this name.
pub(crate) fn all_writes_to(server: &ApiServer, user: &str, name: &str) -> Result<usize> {
    // The audit log has a write only after the answer to it was sent; so it is waited for a later request of ours.
    let later = format!("/api/v1/namespaces/default/configmaps/later-than-{}", server.audit()?.len());
    server.find(&later)?;
    wait_for("the audit log", PATIENCE, || Ok(server.audit()?.iter().any(|event| event.uri == later).then_some(())))?;
    writes_to(server, user, name)
}

/// Waits until a user has written the object of this name so often; more often is an error.
pub(crate) fn expect_writes(server: &ApiServer, user: &str, name: &str, count: usize) -> Result<()> {
    let mut written = 0;
    // The audit log has a write only after the answer to it was sent.
    let reached = wait_for("the audit log", PATIENCE, || {
        written = writes_to(server, user, name)?;
        Ok((written >= count).then_some(()))
    });
    reached.with_context(|| format!("{name} was written {written} times, and {count} are due"))?;
    ensure!(written == count, "{name} was written {written} times, and only {count} were due");
    Ok(())
}

/// A `[[cluster]]` entry. `more` are further keys.
pub(crate) fn cluster(name: &str, kubeconfig: &Path, more: &str) -> String {
    format!("[[cluster]]\nname = \"{name}\"\nkubeconfig = \"{}\"\n{more}\n", kubeconfig.display())
}

/// A `[[dynamicPrefix]]` entry with the range `lb`, the subnet `web`, the same for MetalLB (two controllers must not
/// hand out the same addresses), and these keys of `transition`.
pub(crate) fn dynamic_prefix(name: &str, transition: &str) -> String {
    format!(
        r#"
[[dynamicPrefix]]
name = "{name}"
acquisition.static.prefix = "{PLACEHOLDER}"
addressRanges = [
  {{ name = "lb", start = "::f000:0:0:1", end = "::f000:0:0:6" }},
  {{ name = "metallb-lb", start = "::f000:0:0:11", end = "::f000:0:0:16" }},
]
subnets = [
  {{ name = "web", index = 5, prefixLength = 64 }},
  {{ name = "metallb-web", index = 6, prefixLength = 64 }},
]
transition = {{ {transition} }}
"#
    )
}

/// The /56 of a letter.
pub(crate) fn prefix(letter: char) -> String {
    format!("2001:db8:{letter}::/56")
}

const PLACEHOLDER: &str = "@PREFIX@";

/// A running daemon with its configuration, state and log.
pub(crate) struct Daemon {
    process: Process,
    id: String,
    template: String,
    letter: char,
    directory: TempDir,
    pod: Option<Pod>,
}

/// Where a daemon finds what the kubelet gives to a pod.
#[derive(Clone)]
pub(crate) struct Pod {
    /// What is mounted at /var/run/secrets/kubernetes.io/serviceaccount.
    pub(crate) account: PathBuf,
    /// KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT.
    pub(crate) server: std::net::SocketAddr,
}

impl Daemon {
    /// Starts one with this id on the prefix of a letter. The template is everything but `[daemon]`.
    pub(crate) fn start(id: &str, letter: char, template: &str) -> Result<Self> {
        Self::start_in(None, id, letter, template)
    }

    /// The same as a pod would.
    pub(crate) fn start_in(pod: Option<Pod>, id: &str, letter: char, template: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        write_config(directory.path(), id, template, letter)?;
        let process = launch(directory.path(), pod.as_ref())?;
        Ok(Self { process, id: id.to_owned(), template: template.to_owned(), letter, directory, pod })
    }

    /// Takes another prefix into use, and waits for the daemon to have done that.
    pub(crate) fn rotate(&mut self, letter: char) -> Result<()> {
        self.letter = letter;
        self.reload()
    }

    /// Takes another configuration into use.
    pub(crate) fn edit(&mut self, template: &str) -> Result<()> {
        template.clone_into(&mut self.template);
        self.reload()
    }

    /// `dyn-prefix reload`, after the file was written anew.
    pub(crate) fn reload(&self) -> Result<()> {
        write_config(self.directory.path(), &self.id, &self.template, self.letter)?;
        let output = self.command("reload", &[])?;
        ensure!(output.status.success(), "dyn-prefix reload: {output:?}");
        Ok(())
    }

    /// Sets configuration and prefix for the next start.
    pub(crate) fn prepare(&mut self, letter: char, template: &str) -> Result<()> {
        template.clone_into(&mut self.template);
        self.letter = letter;
        write_config(self.directory.path(), &self.id, template, letter)
    }

    /// Stops it by SIGTERM and waits for its end.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        // check_alive is an error once it has ended: what is waited for here.
        wait_for("the daemon's end after SIGTERM", PATIENCE, || Ok(self.process.check_alive().err().map(drop)))
    }

    /// Starts it again after [`Daemon::stop`].
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.process = launch(self.directory.path(), self.pod.as_ref())?;
        Ok(())
    }

    /// `dyn-prefix status --output json`, with its exit status.
    pub(crate) fn status(&self) -> Result<(i32, Value)> {
        let output = self.command("status", &["--output", "json"])?;
        let code = output.status.code().context("dyn-prefix status was killed")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let status = serde_json::from_str(&text).with_context(|| format!("dyn-prefix status: {output:?}"))?;
        Ok((code, status))
    }

    /// Waits until the target of this name in the status is right; gives it.
    pub(crate) fn wait_target(&self, name: &str, is_right: impl Fn(&Value) -> bool) -> Result<Value> {
        self.wait_entry("targets", name, PATIENCE, is_right)
    }

    /// The same with the reason in the status as all that counts.
    pub(crate) fn wait_reason(&self, name: &str, reason: &str) -> Result<Value> {
        let found = self.wait_target(name, |target| target["reason"] == reason);
        found.with_context(|| format!("the target {name} has to become {reason}"))
    }

    /// Waits until the cluster of this name in the status is right; gives it.
    pub(crate) fn wait_cluster(&self, name: &str, is_right: impl Fn(&Value) -> bool) -> Result<Value> {
        self.wait_entry("clusters", name, Duration::from_secs(60), is_right)
    }

    fn wait_entry(&self, list: &str, name: &str, limit: Duration, is_right: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let found = wait_for(&format!("{list} {name} in the status"), limit, || {
            last = self.status()?.1;
            let mut entries = last[list].as_array().into_iter().flatten();
            Ok(entries.find(|entry| entry["name"] == name && is_right(entry)).cloned())
        });
        found.with_context(|| format!("the status is {last:#}\nthe log:\n{}", self.process.log_tail(40)))
    }

    /// Waits until the log has a line with all of `parts`; gives it.
    pub(crate) fn wait_log(&mut self, parts: &[&str]) -> Result<String> {
        self.process.wait_log(0, parts, PATIENCE)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.process.log_text()
    }

    /// Runs a command with the configuration of this daemon.
    pub(crate) fn command(&self, command: &str, more: &[&str]) -> Result<Output> {
        let config = self.directory.path().join("dyn-prefix.toml");
        let mut whole = Command::new(env!("CARGO_BIN_EXE_dyn-prefix"));
        whole.arg(command).arg("--config").arg(config).args(more);
        whole.output().with_context(|| format!("cannot run dyn-prefix {command}"))
    }
}

/// Writes a configuration as a daemon of this id has it, and runs a command that reads it.
pub(crate) fn offline(id: &str, template: &str, arguments: &[&str]) -> Result<Output> {
    let directory = tempfile::tempdir()?;
    write_config(directory.path(), id, template, 'a')?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_dyn-prefix"));
    command.args(arguments).arg("--config").arg(directory.path().join("dyn-prefix.toml"));
    command.output().with_context(|| format!("cannot run dyn-prefix {arguments:?}"))
}

fn write_config(directory: &Path, id: &str, template: &str, letter: char) -> Result<()> {
    let [state, socket] = ["state", "control.sock"].map(|name| directory.join(name));
    let daemon = format!(
        "[daemon]\nid = \"{id}\"\nstateDirectory = \"{}\"\ncontrolSocket = \"{}\"\n\n",
        state.display(),
        socket.display()
    );
    let whole = daemon + &template.replace(PLACEHOLDER, &prefix(letter));
    // Never half a file, whenever the daemon reads it.
    let new = directory.join("dyn-prefix.toml.new");
    std::fs::write(&new, whole)?;
    std::fs::rename(new, directory.join("dyn-prefix.toml")).context("cannot write the configuration")
}

/// The beginning of a command in a mount namespace that has the files of a pod.
fn in_pod(pod: &Pod) -> Command {
    let script = "mount -t tmpfs tmpfs /run; path=/run/secrets/kubernetes.io/serviceaccount; mkdir -p $path; \
                  mount --bind \"$1\" $path; shift; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", script, "sh"]).arg(&pod.account);
    command.arg(env!("CARGO_BIN_EXE_dyn-prefix"));
    command.env("KUBERNETES_SERVICE_HOST", pod.server.ip().to_string());
    command.env("KUBERNETES_SERVICE_PORT", pod.server.port().to_string());
    command
}

fn launch(directory: &Path, pod: Option<&Pod>) -> Result<Process> {
    let socket = directory.join("control.sock");
    let outside = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dyn-prefix"));
        command.env_remove("KUBERNETES_SERVICE_HOST");
        command
    };
    let mut command = pod.map_or_else(outside, in_pod);
    command.arg("run").arg("--config").arg(directory.join("dyn-prefix.toml"));
    command.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET").env_remove("STATE_DIRECTORY");
    let mut process = Process::spawn("dyn-prefix", &mut command, &directory.join("log"))?;
    wait_for("the control socket", PATIENCE, || match process.check_alive() {
        Ok(()) => Ok(std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(Ok(()))),
        Err(error) => Ok(Some(Err(error))),
    })??;
    Ok(process)
}
