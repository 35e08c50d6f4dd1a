//! What each story works with.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::dhcpv6::wire::{ClientMessage, Incoming, ServerMessage};
use serde_json::Value;

use crate::daemon::PROGRAM;
use crate::interop::capture::Seen;
use crate::interop::daemon::{Daemon, SOON};
use crate::interop::scene::{NAME, Scene};

use super::home::{Home, Objects};
use super::relay::Relay;

/// What is delegated first, and what later.
pub(super) const A: &str = "2001:db8:8000::";
pub(super) const B: &str = "2001:db8:9000::";

/// The cluster of a story that has one.
pub(super) const CLUSTER: &str = "site";

/// A link with a daemon at one end, and the way from there to the API server. The story itself is told in the API
/// server's namespace.
pub(super) struct Story<'a> {
    name: &'static str,
    pub(super) scene: &'a Scene,
    pub(super) home: &'a Home,
    pub(super) relay: Relay,
}

/// A Reply that delegates, and when it was on the link.
pub(super) struct Granted {
    pub(super) prefix: String,
    pub(super) reply: Incoming,
    pub(super) at: Instant,
    /// The place behind it.
    pub(super) next: usize,
}

impl<'a> Story<'a> {
    pub(super) fn new(name: &'static str, scene: &'a Scene, home: &'a Home) -> Result<Self> {
        let relay = Relay::start(&scene.pair.host, &home.namespace, home.api.address())?;
        Ok(Self { name, scene, home, relay })
    }

    /// Creates the objects of one cluster, and writes a configuration that fills them from the delegation, with more
    /// lines of the DynamicPrefix.
    pub(super) fn configure(&self, more: &str) -> Result<Objects> {
        let mut objects = self.configure_clusters(&[CLUSTER], more)?;
        objects.pop().context("one for each cluster")
    }

    /// The same with several clusters, each with objects of its own. They are of one API server, under two names.
    pub(super) fn configure_clusters(&self, clusters: &[&str], more: &str) -> Result<Vec<Objects>> {
        let mut text = format!(
            r#"
addressRanges = [
  {{ name = "lb", start = "::f000:0:0:0", end = "::f000:0:0:ffff" }},
  {{ name = "metallb", start = "::f001:0:0:0", end = "::f001:0:0:ffff" }},
]
{more}
"#
        );
        let kubeconfig = self.scene.path("kubeconfig");
        let mut all = Vec::new();
        for cluster in clusters {
            let objects = Objects::create(&self.home.api, &format!("{}-{cluster}", self.name))?;
            write!(text, "\n[[cluster]]\nname = \"{cluster}\"\nkubeconfig = {kubeconfig:?}\n")?;
            text += &objects.bindings(cluster, NAME);
            all.push(objects);
        }
        let config = self.scene.configure_all(&[(NAME, "")], &text)?;
        // They ask for the same, and share the account.
        for cluster in clusters {
            self.home.api.make_account(PROGRAM, &config, cluster, &self.account(), &kubeconfig)?;
        }
        Ok(all)
    }

    /// Waits for a Reply that delegates, from a place on the link on, and for the daemon to use what it says.
    pub(super) fn granted(&self, daemon: &mut Daemon<'_>, from: usize) -> Result<Granted> {
        let granted = self.reply(from)?;
        daemon.until_bound(SOON, |prefix| prefix == granted.prefix)?;
        Ok(granted)
    }

    /// Waits for a Reply that delegates one prefix, whatever else it says.
    pub(super) fn reply(&self, from: usize) -> Result<Granted> {
        let delegates = |seen: &Seen| {
            seen.server().is_some_and(|reply| reply.kind == ServerMessage::Reply && !valid_prefixes(reply).is_empty())
        };
        let (seen, next) = self.scene.link.wait("a Reply that delegates", from, SOON * 3, delegates)?;
        let reply = seen.server().cloned().context("of a server")?;
        let [prefix] = &valid_prefixes(&reply)[..] else { anyhow::bail!("one prefix: {reply:?}") };
        Ok(Granted { prefix: prefix.clone(), at: seen.at, next, reply: reply.clone() })
    }

    /// Waits until every object is as the daemon wants it, and the lease is one that the server gave to this daemon.
    pub(super) fn settled(&self, daemon: &mut Daemon<'_>) -> Result<Value> {
        daemon.until("every target is synced", SOON, |status| {
            let targets = status["targets"].as_array().map_or(&[][..], Vec::as_slice);
            let clusters = status["clusters"].as_array().map_or(&[][..], Vec::as_slice);
            let connected = clusters.iter().all(|cluster| cluster["state"] == "connected");
            let synced = targets.iter().all(|target| target["synced"] == true && target["reason"] == "Synced");
            connected && synced && !clusters.is_empty() && targets.len() == 3 * clusters.len()
        })
    }

    /// The name of the daemon's account.
    pub(super) fn account(&self) -> String {
        self.name.replace('_', "-")
    }

    /// What the daemon has written so far.
    pub(super) fn writes(&self) -> Result<Vec<String>> {
        self.home.writes(&self.account())
    }

    /// What the daemon has asked of the API server so far, but for what keeps the connection alive.
    pub(super) fn requests(&self) -> Result<Vec<String>> {
        self.home.requests(&self.account())
    }

    /// Fails if the client has sent a message of this kind since a place on the link.
    pub(super) fn expect_none(&self, kind: ClientMessage, from: usize) -> Result<()> {
        let kinds = self.scene.link.kinds(from);
        ensure!(!kinds.contains(&kind), "{kind:?} among {kinds:?}");
        Ok(())
    }
}

/// The prefixes that a Reply leaves to us.
fn valid_prefixes(reply: &Incoming) -> Vec<String> {
    let prefixes = reply.delegations.iter().flat_map(|ia| &ia.prefixes);
    prefixes.filter(|prefix| prefix.valid > 0).map(|prefix| prefix.prefix.to_string()).collect()
}

/// Fails unless a Reply ends `prefix`: a valid lifetime of 0 (RFC 9915 §18.2.10.1).
pub(super) fn expect_end(reply: &Incoming, prefix: &str) -> Result<()> {
    let mut prefixes = reply.delegations.iter().flat_map(|ia| &ia.prefixes);
    let ended = prefixes.any(|found| found.valid == 0 && found.prefix.to_string() == prefix);
    ensure!(ended, "{prefix} at 0: {reply:?}");
    Ok(())
}
