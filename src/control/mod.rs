//! The control socket: how `status`, `history`, `reload`, `withdraw` and others reach the running daemon.
//!
//! A Unix stream socket, mode 0660: its group may ask, root and the daemon's own user may tell it to do something, too.
//! A client sends one line of JSON, `{"command": "status"}`, and gets one line back; `{"command": "watch"}` gets a status
//! line now and after every change, until either side goes away.

use std::path::Path;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::daemon::pause::Scope;
use crate::status::Status;

pub mod client;
pub mod seats;
pub mod server;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// The status, once.
    Status,
    /// The status, now and after every change.
    Watch,
    /// Read the configuration again; answered when it is in use or refused.
    Reload,
    /// Give the delegation of a DynamicPrefix back to the DHCPv6 server; answered when that is done.
    DhcpRelease {
        /// The DynamicPrefix.
        name: String,
    },
    /// Take what is ours out of objects and leave them alone; answered when that is done.
    Withdraw {
        /// Which objects.
        scope: Scope,
    },
    /// Care again for what was withdrawn.
    Resume {
        /// Which objects.
        scope: Scope,
    },
    /// Take objects over from another daemon; answered when they are ours.
    TakeOver {
        /// Which objects.
        scope: Scope,
        /// Also when the other daemon seems to run.
        force: bool,
    },
    /// Tell what another DHCPv6 client on this host was delegated; answered when it is known what follows.
    Report {
        /// What is said.
        report: Report,
    },
    /// Look for reports that wait since nobody listened ([`crate::spool`]); answered when they are taken.
    TakeUpReports,
}

/// What a person, or a hook script of another DHCPv6 client, says of a delegation. What is absent says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The DynamicPrefix it is for.
    pub name: String,
    /// The prefix, as it was written.
    pub prefix: Ipv6Net,
    /// The preferred lifetime in seconds; 4294967295: for ever.
    pub preferred: Option<u32>,
    /// The valid lifetime in the same way.
    pub valid: Option<u32>,
    /// Parts that no range may touch.
    #[serde(default)]
    pub excluded: Vec<Ipv6Net>,
    /// It is delegated no longer.
    #[serde(default)]
    pub gone: bool,
}

impl Request {
    /// Whether it only asks. Members of the socket's group may do no more than that.
    pub fn only_asks(&self) -> bool {
        match self {
            Self::Status | Self::Watch => true,
            Self::Reload
            | Self::DhcpRelease { .. }
            | Self::Withdraw { .. }
            | Self::Resume { .. }
            | Self::TakeOver { .. }
            | Self::Report { .. }
            | Self::TakeUpReports => false,
        }
    }
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Response {
    /// To `status` and `watch`.
    Status {
        /// Everything there is to know.
        status: Box<Status>,
    },
    /// The new configuration is in use.
    Reloaded {
        /// Warnings about it, one line each.
        findings: Vec<String>,
    },
    /// The new configuration was refused; the former one stays in use.
    Refused {
        /// Why, one finding each.
        findings: Vec<String>,
    },
    /// The delegation was given back.
    Released {
        /// What was done, a sentence each.
        done: Vec<String>,
    },
    /// To `withdraw`, `resume`, `take-over`, `report` and `take-up-reports`.
    Handled {
        /// What was done, a sentence each.
        done: Vec<String>,
        /// What could not be, or not yet, a sentence each.
        left: Vec<String>,
    },
    /// The request was not understood, or could not be answered.
    Error {
        /// Why.
        message: String,
    },
}

/// Where the control socket is when the configuration does not say.
pub const DEFAULT_SOCKET: &str = "/run/dyn-prefix/control.sock";

/// The longest line that is read from either side, in bytes: a status of 1000 targets takes about 1 MB.
const MAX_LINE: u64 = 64 << 20;

/// The longest request, in bytes.
const MAX_REQUEST: u64 = 4096;

fn describe(path: &Path) -> String {
    format!("the control socket {} (daemon.controlSocket)", path.display())
}
