//! A link, and a daemon that observes on an interface of the host.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv6Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{Process, http_get, wait_for};
use crate::netns::{Namespace, Pair};

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// An interface of the host on which nothing happens.
pub(crate) const QUIET: &str = "quiet";
/// Of `/metrics`, in the host's namespace.
const PORT: u16 = 9478;

/// The namespaces, joined.
pub(crate) fn link() -> Pair {
    let pair = Pair::joined();
    pair.host.ip(&format!("link add {QUIET} type veth peer name other"));
    pair.host.ip(&format!("link set {QUIET} up"));
    pair.host.ip("link set other up");
    pair
}

/// The link-local address of an interface of this thread's namespace, once there is one.
pub(crate) fn link_local(interface: &str) -> Result<Ipv6Addr> {
    wait_for(&format!("the link-local address of {interface}"), LIMIT, || {
        let text = std::fs::read_to_string("/proc/thread-self/net/if_inet6")?;
        let own = text.lines().filter(|line| line.ends_with(&format!(" {interface}")));
        let own = own.filter_map(|line| u128::from_str_radix(line.split(' ').next()?, 16).ok()).map(Ipv6Addr::from);
        Ok(own.into_iter().find(Ipv6Addr::is_unicast_link_local))
    })
}

/// How many packets an interface has taken in and sent.
pub(crate) fn passed(host: &Namespace, interface: &str) -> Result<u64> {
    let text = host.inside(|| std::fs::read_to_string("/proc/thread-self/net/dev"))?;
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{interface}:")));
    let counts: Vec<u64> =
        line.context("the interface")?.split_whitespace().filter_map(|count| count.parse().ok()).collect();
    let [_, received, ..] = counts[..] else { bail!("{text}") };
    Ok(received + counts.get(9).context("packets that were sent")?)
}

/// A daemon at work. It is killed with the value.
pub(crate) struct Daemon<'a> {
    host: &'a Namespace,
    pub(crate) process: Process,
    socket: PathBuf,
    _directory: TempDir,
}

impl<'a> Daemon<'a> {
    /// Starts one that observes on an interface, and waits until it does.
    pub(crate) fn start(host: &'a Namespace, program: &Path, interface: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let at = directory.path().display();
        let config = directory.path().join("dyn-prefix.toml");
        let text = format!(
            "[daemon]\nid = \"bench\"\nstateDirectory = \"{at}/state\"\ncontrolSocket = \"{at}/control.sock\"\n\
             listen = \"127.0.0.1:{PORT}\"\n[[dynamicPrefix]]\nname = \"bench\"\n\
             subnets = [{{ name = \"lan\", index = 1, prefixLength = 64 }}]\n\
             acquisition.observe = {{ interface = \"{interface}\" }}\n"
        );
        std::fs::write(&config, text)?;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &host.name]).arg(program).arg("run").arg("--config").arg(&config);
        for variable in ["JOURNAL_STREAM", "STATE_DIRECTORY", "WATCHDOG_USEC", "DYN_PREFIX_LOG", "NOTIFY_SOCKET"] {
            command.env_remove(variable);
        }
        let mut process = Process::spawn("dyn-prefix", &mut command, &directory.path().join("log"))?;
        let socket = directory.path().join("control.sock");
        wait_for("the control socket", LIMIT, || {
            process.check_alive()?;
            Ok(UnixStream::connect(&socket).ok())
        })?;
        let daemon = Self { host, process, socket, _directory: directory };
        daemon.until("the observer", |status| status["sources"][0]["state"] == "soliciting")?;
        Ok(daemon)
    }

    /// Asks for the status again and again until it is as wanted; when that answer came. A `watch` would say it up to 250 ms
    /// later, because watchers are told no more often.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Instant> {
        let end = Instant::now() + LIMIT;
        loop {
            let status = ask(&self.socket)?;
            let at = Instant::now();
            if wanted(&status) {
                return Ok(at);
            }
            if at > end {
                bail!("{what}: not within {LIMIT:?}; last {status:#}; {}", self.process.log_tail(15));
            }
        }
    }

    /// How many packets the observer was given.
    pub(crate) fn given(&self) -> Result<u64> {
        let (_, text) = self.host.inside(|| http_get(PORT, "/metrics"))?;
        let sample = |line: &str| line.starts_with("dyn_prefix_source_packets_total{source=\"observed\"");
        let line = text.lines().find(|line| sample(line)).context("the counter of the observer")?;
        Ok(line.rsplit(' ').next().context("a value")?.parse()?)
    }
}

/// The status now.
fn ask(socket: &Path) -> Result<Value> {
    let mut stream = UnixStream::connect(socket).context("the control socket")?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"{\"command\": \"status\"}\n")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let mut answer: Value = serde_json::from_str(&line).with_context(|| line)?;
    Ok(answer["status"].take())
}
