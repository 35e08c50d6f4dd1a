//! DHCPv6 servers of other people, in the router's namespace.

use std::fs::{self, File};
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::lab::{Process, wait_for};
use crate::netns::{LAN, Namespace};

mod config;

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// The programs, as Debian has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Kea 2.2
    Kea,
    /// ISC dhcpd 4.4
    Isc,
    /// dnsmasq, which delegates nothing
    Dnsmasq,
    /// dibbler-server 1.0
    Dibbler,
    /// dhcp6s of wide-dhcpv6
    Wide,
}

impl Kind {
    /// Its program.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Kea => "kea-dhcp6",
            Self::Isc => "dhcpd",
            Self::Dnsmasq => "dnsmasq",
            Self::Dibbler => "dibbler-server",
            Self::Wide => "dhcp6s",
        }
    }
}

/// What a server delegates.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    /// The first octets of what is delegated: 2001:db8:X000::/40, of which [`Self::prefixes`] are the first.
    pub(crate) base: Ipv6Addr,
    /// The length of what is delegated.
    pub(crate) length: u8,
    /// How many prefixes there are: 0, 1, or 256 of them for any other number.
    pub(crate) prefixes: u32,
    /// The seconds of T1, T2, preferred and valid lifetime.
    pub(crate) times: [u32; 4],
    /// What the delegating router keeps of a prefix (RFC 6603). Kea only, and only of a single prefix.
    pub(crate) excluded: Option<&'static str>,
    /// Whether the two-message exchange is allowed. Kea and ISC only.
    pub(crate) rapid_commit: bool,
    /// The last octet of the DUID of the server. Kea, ISC and dnsmasq only; the others make their own.
    pub(crate) server: u8,
}

impl Pool {
    /// /56 prefixes from this address on, with times that fit into a test.
    pub(crate) fn from(base: &str) -> Self {
        Self {
            base: base.parse().expect("an address"),
            length: 56,
            prefixes: 256,
            times: [6, 10, 16, 20],
            excluded: None,
            rapid_commit: false,
            server: 1,
        }
    }

    /// The same with nothing to delegate.
    pub(crate) fn empty(self) -> Self {
        Self { prefixes: 0, ..self }
    }

    /// The same with other seconds of T1, T2, preferred and valid lifetime.
    pub(crate) fn with_times(self, times: [u32; 4]) -> Self {
        Self { times, ..self }
    }
}

/// The DUID that the configuration of wide-dhcpv6 knows: it serves no other client.
pub(crate) const KNOWN_CLIENT: &str = "00030001020000000002";

/// A server with its own state; it is killed with the value.
pub(crate) struct Server<'a> {
    kind: Kind,
    namespace: &'a Namespace,
    directory: TempDir,
    process: Option<Process>,
}

impl<'a> Server<'a> {
    /// Starts one, and waits until it listens.
    pub(crate) fn start(kind: Kind, namespace: &'a Namespace, pool: &Pool) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut server = Self { kind, namespace, directory, process: None };
        server.forget()?;
        server.again(pool)?;
        Ok(server)
    }

    /// Starts one that was stopped, with what it remembers.
    pub(crate) fn again(&mut self, pool: &Pool) -> Result<()> {
        ensure!(self.process.is_none(), "{:?} was not stopped", self.kind);
        wait_for(&format!("port 547 is free for {:?}", self.kind), PATIENCE, || {
            Ok((!port_is_bound(self.namespace, 547)?).then_some(()))
        })?;
        let words = config::write_for(self.kind, self.directory.path(), pool)?;
        let mut command = self.command(&words);
        let log = self.directory.path().join("log/server");
        let mut process = Process::spawn(self.kind.program(), &mut command, &log)?;
        let ready = wait_for(&format!("{:?} listens", self.kind), PATIENCE, || {
            process.check_alive()?;
            Ok(port_is_bound(self.namespace, 547)?.then_some(()))
        });
        ready.with_context(|| process.log_tail(15))?;
        self.process = Some(process);
        Ok(())
    }

    /// The program with its own /var/lib and /var/log, and for dibbler /etc: it knows no other places.
    fn command(&self, words: &[String]) -> Command {
        let mut script =
            String::from("mount --bind \"$1/lib\" /var/lib && mount --bind \"$1/log\" /var/log || exit 1\n");
        if self.kind == Kind::Dibbler {
            script += "mount --bind \"$1/etc\" /etc || exit 1\n";
        }
        script += "shift; exec \"$@\"";
        let mut command = self.namespace.command("sh");
        command.args(["-c", &script, "sh"]).arg(self.directory.path()).arg(self.kind.program()).args(words);
        command.env("KEA_PIDFILE_DIR", self.directory.path()).env("KEA_LOCKFILE_DIR", self.directory.path());
        command
    }

    /// Ends it as its service manager would.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the server runs")?;
        process.signal(Signal::SIGTERM)?;
        process.wait_exit(PATIENCE)?;
        Ok(())
    }

    /// Ends it, forgets every lease, and starts it again.
    pub(crate) fn wipe(&mut self, pool: &Pool) -> Result<()> {
        self.stop()?;
        self.forget()?;
        self.again(pool)
    }

    fn forget(&self) -> Result<()> {
        let state = self.directory.path().join("lib");
        if state.exists() {
            fs::remove_dir_all(state)?;
        }
        for name in ["etc/dibbler", "lib/dibbler", "lib/dhcpv6", "lib/kea", "log/dibbler"] {
            fs::create_dir_all(self.directory.path().join(name))?;
        }
        Ok(())
    }

    /// Stops it where it is: it hears, and answers when it is thawed.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.process.as_ref().context("the server runs")?.freeze()
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.process.as_ref().context("the server runs")?.thaw()
    }
}

/// Whether a socket in the namespace is bound to this UDP port.
pub(crate) fn port_is_bound(namespace: &Namespace, port: u16) -> Result<bool> {
    let table = namespace.inside(|| fs::read_to_string("/proc/thread-self/net/udp6"))?;
    let wanted = format!(":{port:04X}");
    Ok(table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).any(|local| local.ends_with(&wanted)))
}

/// Waits until an interface has a link-local address that may be used.
pub(crate) fn wait_for_link_local(namespace: &Namespace, interface: &str) -> Result<()> {
    const TENTATIVE: u8 = 0x40;
    wait_for(&format!("{interface} has a link-local address"), PATIENCE, || {
        let table = namespace.inside(|| fs::read_to_string("/proc/thread-self/net/if_inet6"))?;
        let usable = |line: &str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let flags = fields.get(4).and_then(|flags| u8::from_str_radix(flags, 16).ok());
            line.starts_with("fe80") && fields.last() == Some(&interface) && flags.is_some_and(|f| f & TENTATIVE == 0)
        };
        Ok(table.lines().any(usable).then_some(()))
    })
}

/// Where a program is, if it is on PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

fn write(directory: &Path, name: &str, text: &str) -> Result<String> {
    let path = directory.join(name);
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path.display().to_string())
}

/// An empty file, unless there is one.
fn touch(directory: &Path, name: &str) -> Result<String> {
    let path = directory.join(name);
    File::options().create(true).append(true).open(&path).with_context(|| path.display().to_string())?;
    Ok(path.display().to_string())
}

/// The interface that all of them serve.
const INTERFACE: &str = LAN;
