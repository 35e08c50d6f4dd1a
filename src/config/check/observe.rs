//! `acquisition.observe` beside `acquisition.dhcpv6`: on one interface there is one DHCPv6 client, ours or another.

use std::collections::BTreeMap;

use super::super::finding::{Report, quoted};
use super::super::read::Table;

/// Compares what all DynamicPrefixes say of the interfaces that they name.
pub(super) fn contradictions(root: &Table<'_>, report: &mut Report<'_>) {
    let acquisitions: Vec<Table<'_>> =
        root.tables("dynamicPrefix").iter().filter_map(|prefix| prefix.table("acquisition")).collect();
    let mut ours = BTreeMap::new();
    for client in acquisitions.iter().filter_map(|table| table.table("dhcpv6")?.text("interface")) {
        ours.entry(client.value).or_insert(client.span);
    }
    for observed in acquisitions.iter().filter_map(|table| table.table("observe")?.text("interface")) {
        let Some(client) = ours.get(observed.value) else { continue };
        let (name, line) = (quoted(observed.value), report.line(*client));
        let message =
            format!("the client on {name} is ours, by acquisition.dhcpv6 at line {line}: there is none to observe");
        report.error("observes-own-client", observed.span, message).hint(
            "there is one DHCPv6 client on an interface: keep `observe` where another program runs it, and `dhcpv6` where \
             none does",
        );
    }
}
