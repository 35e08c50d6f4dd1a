//! What can be wrong on this host and in its clusters, and how to mend it: `dyn-prefix doctor`.
//!
//! The checks are pure: facts in, findings out. [`gather`] reads the facts, without changing anything: it opens no port
//! and writes no object, so that it may run beside the daemon. What acquisition.http names is asked once.
//!
//! | section | checks |
//! |---|---|
//! | host | [`daemon`], [`reading`], [`prefixes`], [`clock`], [`capability`], [`choice`], [`service`], [`actions`], [`routes`] |
//! | interface | [`interface`], [`addresses`], [`port`], [`lease`], [`firewall`], [`router`] |
//! | cluster | [`cluster`]; it asks for no right that the daemon needs not, and says what it could not see without |

use serde::Serialize;

pub mod actions;
pub mod addresses;
pub mod capability;
pub mod choice;
pub mod clock;
pub mod cluster;
pub mod daemon;
pub mod firewall;
pub mod gather;
pub mod interface;
pub mod lease;
pub mod port;
pub mod prefixes;
pub mod reading;
pub mod router;
pub mod routes;
pub mod service;

#[cfg(test)]
mod tests;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// As it should be, with something to know.
    Note,
    /// It could not be looked at; the message says why.
    Unseen,
    /// Something does not work as well as it could, or will not one day.
    Warning,
    /// Something does not work.
    Error,
}

impl Level {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Unseen => "unseen",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What was found by one look at one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check it is of; stable.
    pub check: Check,
    /// How bad it is.
    pub level: Level,
    /// What was looked at: an interface, an object, a program.
    pub subject: String,
    /// What was seen: a full sentence.
    pub message: String,
    /// What to do about it: full sentences.
    pub advice: Option<String>,
}

/// The checks, by the word that programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The configuration file.
    Configuration,
    /// Whether the daemon runs, and what it says of itself.
    Daemon,
    /// Which prefixes are known, and who told them.
    Prefix,
    /// The capabilities that its sources need.
    Capability,
    /// Whether packet sockets may be opened.
    PacketSocket,
    /// Whether the time is right.
    Clock,
    /// What `acquisition = "auto"` comes to.
    Choice,
    /// Whether a service says which address this host has.
    AddressService,
    /// Whether the command of a hook can be run.
    Hook,
    /// Whether a file can be written, and its command run.
    File,
    /// Whether the interface is there and up.
    Interface,
    /// Whether it has an address to send from.
    LinkLocal,
    /// Whether the kernel takes its default route from Router Advertisements.
    AcceptRa,
    /// Whether its addresses give a prefix.
    Address,
    /// Who holds UDP port 546.
    Dhcpv6Port,
    /// Other DHCPv6 clients that run or are configured.
    OtherClient,
    /// Whether the leases that another client has written down can be read.
    LeaseFile,
    /// Whether answers of DHCPv6 servers pass the packet filter.
    FirewallDhcpv6,
    /// Whether Router Advertisements do.
    FirewallRouterAdvertisement,
    /// The Router Advertisements that are heard.
    RouterAdvertisement,
    /// Whether packets to unused parts of a delegation go round in circles.
    ForwardingLoop,
    /// Hosts whose addresses lie in a range, and which are no Service.
    Neighbour,
    /// The kubeconfig, and when what is in it ends.
    Credentials,
    /// Whether the API server answers, and by TLS.
    ApiServer,
    /// Its version.
    ServerVersion,
    /// Its clock beside ours.
    ServerClock,
    /// Whether the way to it depends on the prefix.
    ServerAddress,
    /// The kinds that are written, and the versions served.
    Kind,
    /// Which Cilium there is.
    CiliumVersion,
    /// The rights of the account.
    Permission,
    /// The objects that the configuration names.
    Target,
    /// Who else writes them.
    OtherWriter,
    /// Whether Argo CD or Flux would take back what is written.
    GitOps,
    /// What the controller of a pool says about it.
    Pool,
    /// Who tells the network of the addresses.
    Announcement,
    /// Which annotations external-dns is spoken to by.
    ExternalDns,
    /// How long DNS is remembered.
    DnsTtl,
}

impl Finding {
    /// All is well.
    pub fn ok(check: Check, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, subject: subject.into(), message: message.into(), advice: None }
    }

    /// Something to know.
    pub fn note(check: Check, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::ok(check, subject, message) }
    }

    /// It could not be looked at; `advice`: how it could.
    pub fn unseen(check: Check, subject: impl Into<String>, message: impl Into<String>, advice: &str) -> Self {
        Self { level: Level::Unseen, ..Self::error(check, subject, message, advice) }
    }

    /// It does not work well.
    pub fn warning(
        check: Check,
        subject: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { level: Level::Warning, ..Self::error(check, subject, message, advice) }
    }

    /// It does not work.
    pub fn error(
        check: Check,
        subject: impl Into<String>,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let advice = Some(advice.into()).filter(|advice: &String| !advice.is_empty());
        Self { advice, level: Level::Error, ..Self::ok(check, subject, message) }
    }
}

/// Findings about one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// `host`, `interface NAME` or `cluster NAME`.
    pub place: String,
    /// In the order of the checks.
    pub findings: Vec<Finding>,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this shape: fields are only ever added.
    pub schema_version: u32,
    /// The host, then its interfaces, then the clusters.
    pub sections: Vec<Section>,
}

impl Report {
    /// Of these sections.
    pub const fn new(sections: Vec<Section>) -> Self {
        Self { schema_version: 1, sections }
    }

    /// How many findings there are of a level.
    pub fn count(&self, level: Level) -> usize {
        self.sections.iter().flat_map(|section| &section.findings).filter(|finding| finding.level == level).count()
    }

    /// Whether nothing is wrong, as far as could be seen.
    pub fn is_healthy(&self) -> bool {
        self.count(Level::Warning) + self.count(Level::Error) == 0
    }
}
