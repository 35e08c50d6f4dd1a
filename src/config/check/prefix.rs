//! `[[dynamicPrefix]]`

use std::time::Duration;

use ipnet::Ipv6Net;

use super::super::finding::{At, Report, Span};
use super::super::read::Table;
use super::super::{Acquisition, DynamicPrefix, Mode, OnLoss, RouterAdvertisement, ServiceScope, Transition};
use super::dhcpv6;
use super::range::{self, Layout, Part, Room};
use super::{Unique, values};
use crate::prefix::PrefixFilter;

/// A DynamicPrefix of the file.
pub(super) struct Declared<'t> {
    /// What bindings may call it, even when it is in error.
    pub(super) name: Option<&'t str>,
    /// Its ranges and subnets, also those in error.
    pub(super) parts: Vec<Part<'t>>,
    /// What ranges and suffixes have to fit in.
    pub(super) rooms: Vec<Room>,
    /// Its `acquisition.dhcpv6`.
    pub(super) dhcpv6: Option<dhcpv6::Written<'t>>,
    /// The DynamicPrefix, if it can be used.
    pub(super) checked: Option<DynamicPrefix>,
}

pub(super) fn dynamic_prefixes<'t>(root: &Table<'t>, report: &mut Report<'_>) -> Vec<Declared<'t>> {
    let mut names = Unique::new("dynamicPrefix");
    root.tables("dynamicPrefix")
        .iter()
        .map(|table| {
            if let Some(name) = table.text("name") {
                names.claim(name, report);
            }
            dynamic_prefix(table, report)
        })
        .collect()
}

fn dynamic_prefix<'t>(table: &Table<'t>, report: &mut Report<'_>) -> Declared<'t> {
    let written = table.text("name");
    let name = written.and_then(|name| values::label(name, "name", report));
    let sources = table.table("acquisition").map(|table| sources(&table, report)).unwrap_or_default();
    let mut names = Unique::new("entry");
    let layout = sources.layout();
    let ranges: Vec<_> = table
        .tables("addressRanges")
        .iter()
        .map(|table| range::address_range(table, &mut names, &layout, report))
        .collect();
    let subnets: Vec<_> =
        table.tables("subnets").iter().map(|table| range::subnet(table, &mut names, &layout, report)).collect();
    let transition = transition(table, report);
    let (ranges, range_parts): (Vec<_>, Vec<_>) = ranges.into_iter().unzip();
    let (subnets, subnet_parts): (Vec<_>, Vec<_>) = subnets.into_iter().unzip();
    let checked = || {
        Some(DynamicPrefix {
            name: name?,
            acquisition: sources.checked?,
            address_ranges: ranges.into_iter().collect::<Option<_>>()?,
            subnets: subnets.into_iter().collect::<Option<_>>()?,
            transition: transition?,
        })
    };
    Declared {
        name: written.map(|name| name.value),
        parts: range_parts.into_iter().chain(subnet_parts).flatten().collect(),
        checked: checked(),
        dhcpv6: sources.dhcpv6,
        rooms: layout.rooms,
    }
}

/// What is known of the sources.
#[derive(Default)]
struct Sources<'t> {
    dhcpv6: Option<dhcpv6::Written<'t>>,
    fixed: Option<Ipv6Net>,
    /// Whether a Router Advertisement is listened to, and for a delegation of which length (`None`: not known).
    announced: Option<Option<u8>>,
    checked: Option<Acquisition>,
}

impl Sources<'_> {
    /// The prefixes that every range has to fit in. At least one is sure.
    fn rooms(&self) -> Vec<Room> {
        let fixed = self
            .fixed
            .filter(|net| net.prefix_len() > 0)
            .map(|net| Room::as_written(net.prefix_len(), format!("the static prefix {net}")));
        let delegated = self
            .announced
            .flatten()
            .map(|length| Room::as_written(length, format!("delegatedPrefixLength = {length}")));
        let asked = self.dhcpv6.as_ref().and_then(dhcpv6::Written::asked_length);
        let asked = asked.map(|(length, key)| Room::asked(length, format!("{key} asks for a /{length}")));
        let is_fallback = self.dhcpv6.is_some();
        let on_link = matches!(self.announced, Some(None)).then(|| Room::on_link(is_fallback));
        let mut rooms: Vec<Room> = fixed.into_iter().chain(delegated).collect();
        if rooms.is_empty() {
            rooms.push(Room::largest());
        }
        rooms.extend(asked);
        rooms.extend(on_link);
        rooms
    }

    fn layout(&self) -> Layout {
        Layout { rooms: self.rooms(), fixed: self.fixed }
    }
}

fn sources<'t>(table: &Table<'t>, report: &mut Report<'_>) -> Sources<'t> {
    let dhcpv6 = table.table("dhcpv6").map(|table| dhcpv6::dhcpv6(&table, report));
    let announced = table.table("routerAdvertisement");
    let is_on = |table: &Table<'_>| table.boolean("enabled").is_none_or(|enabled| enabled.value);
    let router_advertisement = announced.map(|table| router_advertisement(&table, report));
    let fixed_text = table.table("static").and_then(|table| table.text("prefix"));
    let fixed = fixed_text.and_then(|text| values::network(text, "prefix", report).map(|net| text.with(net)));
    let filter = filter(table, report);
    if let (Some(fixed), Some(filter)) = (&fixed, &filter) {
        accept(fixed, filter, report);
    }
    if let (Some(written), Some(filter)) = (&dhcpv6, &filter) {
        accept_hint(written, filter, report);
    }
    let is_listening = announced.as_ref().is_some_and(is_on);
    // A source that was reported for itself is still a source that was meant.
    let is_meant =
        table.has("static") || table.has("dhcpv6") || announced.is_none() && table.has("routerAdvertisement");
    if !is_listening && !is_meant {
        no_source(table.span, announced.is_some(), report);
    }
    let checked = || {
        Some(Acquisition {
            dhcpv6: match &dhcpv6 {
                Some(written) => Some(written.checked.clone()?),
                None if table.has("dhcpv6") => return None,
                None => None,
            },
            router_advertisement: match router_advertisement {
                Some(checked) => Some(checked?).filter(|_| is_listening),
                None => None,
            },
            fixed: if table.has("static") { Some(fixed?.value) } else { None },
            filter: filter?,
        })
    };
    Sources {
        fixed: fixed.map(|fixed| fixed.value),
        announced: announced
            .filter(|_| is_listening)
            .filter(|table| !table.has("delegatedPrefixLength") || delegated(table).is_some())
            .map(|table| delegated(&table)),
        checked: checked(),
        dhcpv6,
    }
}

fn no_source(span: Span, is_off: bool, report: &mut Report<'_>) {
    let why = if is_off { "its only source has enabled = false" } else { "it has no source" };
    report.error("no-source", span, format!("this DynamicPrefix can never have a prefix: {why}")).hint(
        "add acquisition.dhcpv6 = { interface = \"…\" }, acquisition.routerAdvertisement = { interface = \"…\" } or \
             acquisition.static = { prefix = \"…\" }",
    );
}

fn router_advertisement(table: &Table<'_>, report: &mut Report<'_>) -> Option<RouterAdvertisement> {
    let interface = table.text("interface").and_then(|name| values::interface(name, report));
    let routers: Option<Vec<_>> = match table.texts("routers") {
        Some(routers) => {
            // Every router is looked at, also after a wrong one.
            let routers: Vec<_> = routers.into_iter().map(|text| router(text, report)).collect();
            routers.into_iter().collect()
        }
        None => (!table.has("routers")).then(Vec::new),
    };
    Some(RouterAdvertisement { interface: interface?, delegated_prefix_length: delegated(table), routers: routers? })
}

fn delegated(table: &Table<'_>) -> Option<u8> {
    table.integer("delegatedPrefixLength").map(|length| length.value)
}

fn router(text: At<&str>, report: &mut Report<'_>) -> Option<std::net::Ipv6Addr> {
    let address = values::address(text, "invalid-router", "routers", "\"fe80::1\"", report)?;
    if address.is_unicast_link_local() {
        return Some(address);
    }
    // RFC 4861 §6.1.2: the source of a Router Advertisement is link-local, or it is discarded.
    report
        .error("invalid-router", text.span, format!("`routers`: {address} is not link-local (fe80::/10)"))
        .hint("routers speak from their link-local address: see `ip -6 route show default`, after \"via\"");
    None
}

fn filter(table: &Table<'_>, report: &mut Report<'_>) -> Option<PrefixFilter> {
    let Some(table) = table.table("prefixFilter") else {
        return (!table.has("prefixFilter")).then(PrefixFilter::default);
    };
    let allow: Vec<_> = table
        .texts("allow")
        .unwrap_or_default()
        .into_iter()
        .map(|text| values::network(text, "allow", report))
        .collect();
    let require_global_unicast = table.boolean("requireGlobalUnicast").is_none_or(|require| require.value);
    Some(PrefixFilter { require_global_unicast, allow: allow.into_iter().collect::<Option<_>>()? })
}

fn accept(fixed: &At<Ipv6Net>, filter: &PrefixFilter, report: &mut Report<'_>) {
    if let Err(rejection) = filter.check(fixed.value) {
        report
            .error(
                "refused-prefix",
                fixed.span,
                format!("the static prefix {} would never be used: {rejection}", fixed.value),
            )
            .hint("change the prefix or acquisition.prefixFilter");
    }
}

/// What the server delegates may pass the filter all the same.
fn accept_hint(written: &dhcpv6::Written<'_>, filter: &PrefixFilter, report: &mut Report<'_>) {
    let hint = written.checked.as_ref().and_then(|checked| checked.prefix_hint);
    let (Some(hint), Some(place)) = (hint, written.table.text("prefixHint")) else { return };
    if let Err(rejection) = filter.check(hint) {
        report
            .warning("refused-prefix", place.span, format!("{hint} is asked for, and would not be used: {rejection}"))
            .hint("change `prefixHint` or acquisition.prefixFilter");
    }
}

/// The values are right or absent: the key table has the limits. `None` when one was reported.
fn transition(table: &Table<'_>, report: &mut Report<'_>) -> Option<Transition> {
    let default = Transition::default();
    let Some(table) = table.table("transition") else {
        return (!table.has("transition")).then_some(default);
    };
    let mode = match table.text("mode").map(|text| text.value) {
        Some("ha") => Mode::Ha,
        _ => default.mode,
    };
    let services = services(&table, mode, report);
    let keep_dead = table.has("drainPeriodMinutes");
    let drain_period = match table.integer::<u64>("drainPeriodMinutes") {
        Some(minutes) => Some(Duration::from_secs(minutes.value.saturating_mul(60))),
        None if table.text("drainPeriodMinutes").is_some() => None,
        None => default.drain_period,
    };
    let max_prefix_history = table.integer("maxPrefixHistory").map_or(default.max_prefix_history, |most| most.value);
    let on_loss = match table.text("onLoss").map(|text| text.value) {
        Some("withdraw") => OnLoss::Withdraw,
        _ => default.on_loss,
    };
    Some(Transition { mode, services, drain_period, keep_dead, max_prefix_history, on_loss })
}

fn services(table: &Table<'_>, mode: Mode, report: &mut Report<'_>) -> ServiceScope {
    let Some(text) = table.text("services").filter(|text| text.value == "all") else {
        return ServiceScope::Annotated;
    };
    if mode == Mode::Simple {
        report
            .warning("without-effect", text.span, "services = \"all\" acts in mode ha only, and this is mode simple")
            .hint("write mode = \"ha\", or leave `services` out");
    }
    ServiceScope::All
}
