//! What the programs of the packet filter print, and what follows where they print no rules.

use super::Facts;

/// What was seen of something that only the privileged may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// This text.
    Text(String),
    /// The program for it is not installed.
    NotInstalled,
    /// It could not be seen; why, without a full stop.
    Hidden(String),
}

/// What nft and both kinds of ip6tables say where the kernel does not have what they talk to: no socket for it
/// (EPROTONOSUPPORT), nobody behind the socket (EINVAL of nfnetlink), no table (ENOPROTOOPT).
const NOT_IN_KERNEL: [&str; 4] = [
    "Protocol not supported",
    "Protocol not available",
    "cache initialization failed: Invalid argument",
    "rule set generation id: Invalid argument",
];

impl Seen {
    /// Why there can be no rules of it: the kernel has no such packet filter. Whoever looks as root sees no more.
    pub(super) fn lacking(&self) -> Option<&str> {
        let Self::Hidden(why) = self else { return None };
        NOT_IN_KERNEL.iter().any(|said| why.contains(said)).then_some(why)
    }
}

/// That there can be no rules, if neither program has any.
pub(super) fn no_rules(facts: &Facts, what: &str) -> Option<String> {
    let Facts { interface: name, nft, ip6tables, .. } = facts;
    let is_none = |seen: &Seen| *seen == Seen::NotInstalled || seen.lacking().is_some();
    if !is_none(nft) || !is_none(ip6tables) {
        return None;
    }
    let Some(why) = nft.lacking().or_else(|| ip6tables.lacking()) else {
        return Some(format!(
            "Neither nft nor ip6tables is installed, so probably nothing keeps {what} out on {name}."
        ));
    };
    Some(format!(
        "The kernel of this host has no packet filter for nft and ip6tables to talk to ({why}), so nothing that nft could \
         set keeps {what} out on {name}. If there is to be one, load it: `modprobe nf_tables`. Rules of the older kind, if \
         there are any, are shown by `ip6tables-legacy-save`."
    ))
}
