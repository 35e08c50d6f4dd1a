//! What each test gets: two namespaces, everything that goes over the link, and a place for a daemon.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ClientMessage;
use tempfile::TempDir;

use super::capture::Capture;
use super::daemon::Daemon;
use super::servers::{Kind, Pool, Server, wait_for_link_local};
use super::{replayed, rules};
use crate::netns::{LAN, Pair, WAN};

/// The name of the DynamicPrefix.
pub(crate) const NAME: &str = "home";

/// Two namespaces and a link.
pub(crate) struct Scene {
    /// The namespaces.
    pub(crate) pair: Pair,
    /// What goes over the link.
    pub(crate) link: Capture,
    dir: TempDir,
}

/// What a test says about its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// All of it is ours, and has no Release.
    Ours,
    /// All of it is ours, with a Release.
    Releases,
    /// Other clients are there.
    Foreign,
    /// All of it is another client's, which is observed.
    Observed,
}

impl Scene {
    /// No link yet.
    pub(crate) fn apart() -> Result<Self> {
        let pair = Pair::apart();
        let link = Capture::start(&pair.router)?;
        Ok(Self { pair, link, dir: tempfile::tempdir()? })
    }

    /// Brings the link up: a veth pair.
    pub(crate) fn join(&self) -> Result<()> {
        self.pair.join();
        self.router_is_ready()
    }

    /// Gives the router its address on the link, and waits until it can be used.
    pub(crate) fn router_is_ready(&self) -> Result<()> {
        self.pair.router.ip(&format!("addr add 2001:db8:100::1/64 dev {LAN} nodad"));
        wait_for_link_local(&self.pair.router, LAN)
    }

    /// Brings the link up and starts a server.
    pub(crate) fn server(&self, kind: Kind, pool: &Pool) -> Result<Server<'_>> {
        self.join()?;
        self.server_beside(kind, pool)
    }

    /// Starts a server on a link that is up.
    pub(crate) fn server_beside(&self, kind: Kind, pool: &Pool) -> Result<Server<'_>> {
        Server::start(kind, &self.pair.router, pool)
    }

    /// Where a file of the test is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the configuration of the daemon: one DynamicPrefix, with more keys of `acquisition.dhcpv6`.
    pub(crate) fn configure(&self, dhcpv6: &str) -> Result<PathBuf> {
        self.configure_all(&[(NAME, dhcpv6)], "")
    }

    /// Writes the configuration of the daemon: DynamicPrefixes with more keys of `acquisition.dhcpv6`, then other lines
    /// of the last one.
    pub(crate) fn configure_all(&self, prefixes: &[(&str, &str)], more: &str) -> Result<PathBuf> {
        let (state, socket) = (self.path("state"), self.path("control.sock"));
        let mut text = format!("[daemon]\nid = \"interop\"\nstateDirectory = {state:?}\ncontrolSocket = {socket:?}\n");
        for (name, dhcpv6) in prefixes {
            text += &format!(
                "\n[[dynamicPrefix]]\nname = \"{name}\"\nsubnets = [{{ name = \"lan\", index = 1, prefixLength = 64 }}]\n\
                 acquisition.dhcpv6 = {{ interface = \"{WAN}\"{}{dhcpv6} }}\n",
                if dhcpv6.is_empty() { "" } else { ", " }
            );
        }
        text += more;
        let path = self.path("dyn-prefix.toml");
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts the daemon, for the first time or again, with the configuration that was written last.
    pub(crate) fn daemon(&self) -> Result<Daemon<'_>> {
        Daemon::start(&self.pair.host, &self.path("dyn-prefix.toml"))
    }

    /// Writes the configuration and starts the daemon.
    pub(crate) fn start(&self, dhcpv6: &str) -> Result<Daemon<'_>> {
        self.configure(dhcpv6)?;
        self.daemon()
    }

    /// Runs a test, and looks at everything that was sent.
    pub(crate) fn run(&self, test: impl FnOnce(&Self) -> Result<()>, traffic: Traffic) -> Result<()> {
        test(self).and_then(|()| self.check(traffic)).with_context(|| self.story())
    }

    fn check(&self, traffic: Traffic) -> Result<()> {
        match traffic {
            Traffic::Foreign => return Ok(()),
            Traffic::Observed => return replayed::expect_the_same_journal(self),
            Traffic::Ours | Traffic::Releases => {}
        }
        replayed::expect_the_same(self)?;
        let releases = self.link.kinds(0).contains(&ClientMessage::Release);
        ensure!(releases == (traffic == Traffic::Releases), "a Release was sent: {releases}");
        let complaints = rules::complaints(&self.link.all());
        ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
        Ok(())
    }

    /// What happened, for whoever has to find out why a test failed.
    fn story(&self) -> String {
        let mut text = format!("on the link:\n{}", self.link.transcript());
        for name in ["dyn-prefix.log", "client.log"] {
            if let Ok(log) = std::fs::read(self.path(name)) {
                text += &format!("{name}:\n{}", String::from_utf8_lossy(&log));
            }
        }
        text
    }
}
