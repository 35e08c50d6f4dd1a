//! `acquisition.dhcpv6`: what is asked for one DynamicPrefix. What concerns the client that several of them share is in
//! [`client`].

use ipnet::Ipv6Net;

use super::super::Dhcpv6;
use super::super::finding::{At, Report, quoted};
use super::super::read::Table;
use super::{optional, values};
use crate::source::dhcpv6::DuidSetting;

pub(super) mod client;
mod duid;
mod raw_option;

/// `acquisition.dhcpv6` of a DynamicPrefix.
pub(super) struct Written<'t> {
    pub(super) table: Table<'t>,
    /// What it asks for, if it can be used.
    pub(super) checked: Option<Dhcpv6>,
}

impl Written<'_> {
    /// The length that is asked for, and the key that says so. The server may delegate another.
    pub(super) fn asked_length(&self) -> Option<(u8, &'static str)> {
        let requested =
            self.table.integer("requestedPrefixLength").map(|length| (length.value, "requestedPrefixLength"));
        let hint = self.checked.as_ref().and_then(|checked| checked.prefix_hint);
        requested.or_else(|| hint.map(|hint| (hint.prefix_len(), "prefixHint")))
    }
}

pub(super) fn dhcpv6<'t>(table: &Table<'t>, report: &mut Report<'_>) -> Written<'t> {
    let interface = table.text("interface").and_then(|name| values::interface(name, report));
    let requested = table.integer::<u8>("requestedPrefixLength").map(|length| length.value);
    let prefix_hint = optional(table, "prefixHint", report, |text, report| hint(text, requested, report));
    let duid = optional(table, "duid", report, duid::duid);
    let raw_options = raw_option::raw_options(table, report);
    rights(table, report);
    let is_on = |key| table.boolean(key).is_some_and(|on| on.value);
    let checked = || {
        Some(Dhcpv6 {
            interface: interface?,
            requested_prefix_length: requested,
            prefix_hint: prefix_hint?,
            duid: duid?.unwrap_or(DuidSetting::Auto),
            iaid: table.integer("iaid").map(|iaid| iaid.value),
            rapid_commit: is_on("rapidCommit"),
            reconfigure: is_on("reconfigure"),
            require_router_advertisement: is_on("requireRouterAdvertisement"),
            request_address: is_on("requestAddress"),
            raw_options: raw_options?,
            priority: table.integer("priority").map(|priority| priority.value),
            take_over: is_on("takeOver"),
            unreachable_route: is_on("unreachableRoute"),
        })
    };
    Written { table: *table, checked: checked() }
}

fn hint(text: At<&str>, requested: Option<u8>, report: &mut Report<'_>) -> Option<Ipv6Net> {
    let net = values::network(text, "prefixHint", report)?;
    let length = net.prefix_len();
    let (message, hint) = if net.network().is_unspecified() {
        let message = format!("`prefixHint`: {net} names no prefix");
        let wish = format!("for a length alone write requestedPrefixLength = {}", length.clamp(1, 64));
        (message, format!("{wish}; else write the prefix that you had before"))
    } else if !(1..=64).contains(&length) {
        let message = format!("`prefixHint`: what is delegated has a length of 1 to 64, not {length}");
        (message, "write the whole prefix that you had, not a part of it".to_owned())
    } else if let Some(requested) = requested.filter(|requested| *requested != length) {
        let message = format!("`prefixHint` is a /{length}, and requestedPrefixLength = {requested}");
        (message, "one IA_PD asks for one length: make them agree, or keep only `prefixHint`".to_owned())
    } else {
        return Some(net);
    };
    report.error("prefix-hint", text.span, message).hint(hint);
    None
}

/// What the unit as it is installed does not allow.
fn rights(table: &Table<'_>, report: &mut Report<'_>) {
    const CAPABILITY: &str = "CAP_NET_ADMIN";
    let priority = table.integer::<u32>("priority").filter(|priority| priority.value > 6);
    let priority = priority.map(|priority| (priority.span, format!("priority = {}", priority.value)));
    let route = table.boolean("unreachableRoute").filter(|route| route.value);
    let route = route.map(|route| (route.span, "unreachableRoute = true".to_owned()));
    for (span, written) in priority.into_iter().chain(route) {
        report.note("needs-right", span, format!("{written} needs the capability {CAPABILITY}")).hint(format!(
            "unless the unit grants it: `systemctl edit dyn-prefix`, and below [Service] add \
             AmbientCapabilities={CAPABILITY} and CapabilityBoundingSet={CAPABILITY}"
        ));
    }
}

/// The octets of a text in hexadecimal, in groups of whole octets with `:`, `-` or a space between them, or in one.
fn octets(text: &str) -> Option<Vec<u8>> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    if text.is_empty() {
        return Some(Vec::new());
    }
    let digits = |group: &str| {
        let digits: Option<Vec<u8>> =
            group.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        let digits = digits.filter(|digits| !digits.is_empty() && digits.len().is_multiple_of(2))?;
        Some(
            digits
                .chunks_exact(2)
                .map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit))
                .collect::<Vec<u8>>(),
        )
    };
    let groups: Option<Vec<_>> = text.split([':', '-', ' ']).map(digits).collect();
    groups.map(|groups| groups.concat())
}

/// How [`octets`] may be written, for a hint.
const HEXADECIMAL: &str = "two hexadecimal digits for each octet, as in \"00:1f:a0\" or \"001fa0\"";

/// Octets as they are suggested in a hint.
fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

/// Reports a text that [`octets`] does not read.
fn not_octets(code: &'static str, key: &str, text: At<&str>, hint: String, report: &mut Report<'_>) {
    report.error(code, text.span, format!("`{key}` cannot be {}", quoted(text.value))).hint(hint);
}
