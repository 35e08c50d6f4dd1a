//! The client of an interface, shared by all DynamicPrefixes that name it: what they say of it has to agree.

use std::collections::BTreeMap;

use super::super::super::Dhcpv6;
use super::super::super::finding::{Report, Span, quoted};
use super::Written;

/// A setting of a client as a whole: its key, and whether two DynamicPrefixes agree on it.
type Shared = (&'static str, fn(&Dhcpv6, &Dhcpv6) -> bool);

const SHARED: &[Shared] = &[
    ("duid", |a, b| a.duid == b.duid),
    ("rapidCommit", |a, b| a.rapid_commit == b.rapid_commit),
    ("reconfigure", |a, b| a.reconfigure == b.reconfigure),
    ("requireRouterAdvertisement", |a, b| a.require_router_advertisement == b.require_router_advertisement),
    ("requestAddress", |a, b| a.request_address == b.request_address),
    ("rawOptions", |a, b| a.raw_options == b.raw_options),
    ("priority", |a, b| a.priority == b.priority),
    ("takeOver", |a, b| a.take_over == b.take_over),
];

/// What one DynamicPrefix says.
struct Member<'a, 't> {
    name: Option<&'t str>,
    written: &'a Written<'t>,
    checked: &'a Dhcpv6,
}

impl Member<'_, '_> {
    /// Where a key is written, or the table when it is not.
    fn place(&self, key: &str) -> Span {
        self.written.table.value(key).map_or(self.written.table.span, |value| value.span)
    }

    /// For "that of …".
    fn described(&self, key: &str, report: &Report<'_>) -> String {
        let line = report.line(self.place(key));
        match self.name {
            Some(name) => format!("DynamicPrefix {} at line {line}", quoted(name)),
            None => format!("the DynamicPrefix at line {line}"),
        }
    }
}

/// Compares what the DynamicPrefixes on each interface say of the client there.
pub(in super::super) fn clients<'a, 't: 'a>(
    prefixes: impl Iterator<Item = (Option<&'t str>, &'a Written<'t>)>,
    report: &mut Report<'_>,
) {
    let mut interfaces: BTreeMap<&str, Vec<Member<'_, '_>>> = BTreeMap::new();
    for (name, written) in prefixes {
        if let Some(checked) = &written.checked {
            let members = interfaces.entry(checked.interface.as_str()).or_default();
            members.push(Member { name, written, checked });
        }
    }
    for (interface, members) in &interfaces {
        let Some((first, others)) = members.split_first() else { continue };
        for other in others {
            agree(interface, first, other, report);
        }
        identities(interface, members, report);
        size(interface, members, report);
    }
}

fn agree(interface: &str, first: &Member<'_, '_>, other: &Member<'_, '_>, report: &mut Report<'_>) {
    for (key, agree) in SHARED {
        if agree(first.checked, other.checked) {
            continue;
        }
        let span = other.place(key);
        let here = if other.written.table.has(key) { "" } else { "is not written here: its default " };
        let message = format!("`{key}` {here}differs from that of {}", first.described(key, report));
        report.error("client-differs", span, message).hint(format!(
            "one client on {interface} asks for the prefixes of both: write `{key}` in both, with the same value"
        ));
    }
}

/// RFC 9915 §12: an IAID tells one IA_PD of a client from another.
fn identities(interface: &str, members: &[Member<'_, '_>], report: &mut Report<'_>) {
    let mut seen: BTreeMap<u32, &Member<'_, '_>> = BTreeMap::new();
    for member in members {
        let Some(iaid) = member.checked.iaid else { continue };
        let Some(first) = seen.get(&iaid) else {
            seen.insert(iaid, member);
            continue;
        };
        let message = format!("iaid = {iaid} is taken on {interface} by {}", first.described("iaid", report));
        report
            .error("duplicate-iaid", member.place("iaid"), message)
            .hint("give one of the two another number, or remove `iaid`: one is made from the name and kept");
    }
}

/// RFC 8200 §5: what fits into a packet on every IPv6 link, without the headers of IPv6 and UDP.
const MOST_OCTETS: usize = 1232;

/// Code and length of an option.
const HEADER: usize = 4;

/// All that the client wants stands in every message (RFC 9915 §18.2.2), and no message is fragmented.
fn size(interface: &str, members: &[Member<'_, '_>], report: &mut Report<'_>) {
    let Some((first, last)) = members.first().zip(members.last()) else { return };
    let octets = message_size(first.checked, members.len());
    if octets <= MOST_OCTETS {
        return;
    }
    let count = members.len();
    let raw = raw_size(first.checked);
    let message = match count {
        1 => format!("a message of the client on {interface} could have {octets} octets"),
        _ => format!("a message of the client on {interface} could have {octets} octets, for {count} DynamicPrefixes"),
    };
    let hint = if raw > MOST_OCTETS / 2 {
        format!("{MOST_OCTETS} fit into a packet on every link: shorten `rawOptions`, which take {raw} of them")
    } else {
        format!(
            "{MOST_OCTETS} fit into a packet on every link: ask for one prefix, and carve it with `subnets` of one \
             DynamicPrefix"
        )
    };
    report.error("message-size", last.written.table.span, message).hint(hint);
}

/// How many octets a Renew has at most, with one prefix in each IA_PD.
fn message_size(settings: &Dhcpv6, delegations: usize) -> usize {
    // RFC 9915 §11.1: a DUID has at most 130 octets, and the server's is not known; the DUIDs that we make have 18.
    let duid = settings.duid.fixed().map_or(18, |duid| duid.as_bytes().len());
    let identifiers = HEADER + duid + HEADER + 130;
    // Elapsed Time, Rapid Commit, Reconfigure Accept, and an Option Request with eight codes.
    let others = HEADER + 2 + HEADER + HEADER + HEADER + 16;
    // §21.4, §21.6: IAID, T1, T2, and an address with its lifetimes.
    let address = if settings.request_address { HEADER + 12 + HEADER + 24 } else { 0 };
    // §21.21, §21.22: IAID, T1, T2, and a prefix with its lifetimes.
    let delegation = HEADER + 12 + HEADER + 25;
    4 + identifiers + others + address + raw_size(settings) + delegations * delegation
}

fn raw_size(settings: &Dhcpv6) -> usize {
    settings.raw_options.iter().map(|option| HEADER + option.data.len()).sum()
}
