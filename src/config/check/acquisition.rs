//! `[dynamicPrefix.acquisition]`

use std::time::Duration;

use ipnet::Ipv6Net;

use super::super::finding::{At, Report, Span, quoted};
use super::super::read::{Table, choose};
use super::super::{Acquisition, Auto, Http, InterfaceAddresses, Observe, RouterAdvertisement};
use super::range::{Layout, Room};
use super::{dhcpv6, values};
use crate::prefix::PrefixFilter;

/// What is known of the sources.
#[derive(Default)]
pub(super) struct Sources<'t> {
    pub(super) dhcpv6: Option<dhcpv6::Written<'t>>,
    fixed: Option<Ipv6Net>,
    /// Whether a Router Advertisement is listened to, and for a delegation of which length (`None`: not known).
    announced: Option<Option<u8>>,
    /// The lengths that are written with other sources, each with how the file says it.
    written: Vec<(u8, String)>,
    /// The source is chosen later.
    is_auto: bool,
    /// Another client's delegation is observed.
    observes: bool,
    pub(super) checked: Option<Acquisition>,
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
        let is_fallback = self.dhcpv6.is_some() || self.observes || self.is_auto;
        let on_link = (self.is_auto || matches!(self.announced, Some(None))).then(|| Room::on_link(is_fallback));
        let written = self.written.iter().map(|(length, why)| Room::as_written(*length, why.clone()));
        let mut rooms: Vec<Room> = fixed.into_iter().chain(delegated).chain(written).collect();
        if rooms.is_empty() {
            rooms.push(Room::largest());
        }
        rooms.extend(asked);
        rooms.extend(on_link);
        rooms
    }

    pub(super) fn layout(&self) -> Layout {
        Layout { rooms: self.rooms(), fixed: self.fixed }
    }
}

/// `acquisition` as text, which is short for a table with one source.
pub(super) fn short(text: At<&str>, report: &mut Report<'_>) -> Sources<'static> {
    let auto = choose("acquisition", &["auto"], text, report).map(|_| Auto::default());
    let checked = auto.map(|auto| Acquisition { auto: Some(auto), ..Acquisition::default() });
    Sources { is_auto: true, checked, ..Sources::default() }
}

pub(super) fn sources<'t>(table: &Table<'t>, report: &mut Report<'_>) -> Sources<'t> {
    let auto = table.table("auto").map(|auto| self::auto(table, &auto, report));
    let dhcpv6 = table.table("dhcpv6").map(|table| dhcpv6::dhcpv6(&table, report));
    let announced = table.table("routerAdvertisement");
    let is_on = |table: &Table<'_>| table.boolean("enabled").is_none_or(|enabled| enabled.value);
    let router_advertisement = announced.map(|table| router_advertisement(&table, report));
    let observe = table.table("observe").map(|table| observe(&table, report));
    let interface = table.table("interface").map(|table| interface(&table, report));
    let http = table.table("http").map(|table| http(&table, report));
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
    let others = ["static", "dhcpv6", "observe", "interface", "http", "auto"];
    let is_meant = others.iter().any(|key| table.has(key)) || announced.is_none() && table.has("routerAdvertisement");
    if !is_listening && !is_meant {
        no_source(table.span, announced.is_some(), report);
    }
    let mut lengths = Vec::new();
    if let Some(length) = interface.as_ref().and_then(|checked| checked.as_ref()?.delegated_prefix_length) {
        lengths.push((length, format!("delegatedPrefixLength = {length} of the interface")));
    }
    if let Some(length) = http.as_ref().and_then(|checked| Some(checked.as_ref()?.prefix_length)) {
        lengths.push((length, format!("prefixLength = {length} of acquisition.http")));
    }
    let checked = || {
        Some(Acquisition {
            dhcpv6: match &dhcpv6 {
                Some(written) => Some(written.checked.clone()?),
                None if table.has("dhcpv6") => return None,
                None => None,
            },
            observe: written(table, "observe", observe)?,
            router_advertisement: match router_advertisement {
                Some(checked) => Some(checked?).filter(|_| is_listening),
                None => None,
            },
            interface: written(table, "interface", interface)?,
            http: written(table, "http", http)?,
            fixed: if table.has("static") { Some(fixed?.value) } else { None },
            auto: written(table, "auto", auto)?,
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
        written: lengths,
        is_auto: table.has("auto"),
        observes: table.has("observe"),
        dhcpv6,
    }
}

/// A source that may be absent; `None`: it is in error.
fn written<T>(table: &Table<'_>, key: &str, checked: Option<Option<T>>) -> Option<Option<T>> {
    match checked {
        Some(checked) => checked.map(Some),
        None => (!table.has(key)).then_some(None),
    }
}

/// One that is written beside it leaves nothing to choose.
fn auto(acquisition: &Table<'_>, table: &Table<'_>, report: &mut Report<'_>) -> Option<Auto> {
    let chosen = ["dhcpv6", "observe", "routerAdvertisement"];
    let beside = chosen.into_iter().find(|key| acquisition.has(key));
    if let Some(key) = beside {
        report
            .error(
                "auto-beside-source",
                table.span,
                format!("`auto` chooses the source, and `{key}` is written beside it"),
            )
            .hint("keep one of the two; interface, http and static may stand beside `auto`");
    }
    let interface = match table.text("interface") {
        Some(name) => Some(values::interface(name, report)?),
        None if table.has("interface") => return None,
        None => None,
    };
    beside.is_none().then_some(Auto { interface, ..Auto::default() })
}

fn observe(table: &Table<'_>, report: &mut Report<'_>) -> Option<Observe> {
    let interface = table.text("interface").and_then(|name| values::interface(name, report))?;
    Some(Observe { interface })
}

fn interface(table: &Table<'_>, report: &mut Report<'_>) -> Option<InterfaceAddresses> {
    let name = table.text("name").and_then(|name| values::interface(name, report))?;
    Some(InterfaceAddresses { name, delegated_prefix_length: delegated(table) })
}

fn http(table: &Table<'_>, report: &mut Report<'_>) -> Option<Http> {
    let url = table.text("url").and_then(|url| self::url(url, report));
    let prefix_length = table.integer("prefixLength")?.value;
    let seconds = table.integer("intervalSeconds").map_or(60, |seconds| seconds.value);
    Some(Http { url: url?, prefix_length, interval: Duration::from_secs(seconds) })
}

/// What can be asked by HTTP.
fn url(text: At<&str>, report: &mut Report<'_>) -> Option<String> {
    let parsed = text.value.parse::<http::Uri>().ok();
    let is_good = |uri: &http::Uri| {
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && !has_user
    };
    if parsed.as_ref().is_some_and(is_good) {
        return Some(text.value.to_owned());
    }
    report
        .error("invalid-url", text.span, format!("`url` cannot be {}", quoted(text.value)))
        .hint("wanted: http:// or https://, a host without user and password, and a path, as in \"https://v6.example.net/ip\"");
    None
}

fn no_source(span: Span, is_off: bool, report: &mut Report<'_>) {
    let why = if is_off { "its only source has enabled = false" } else { "it has no source" };
    report.error("no-source", span, format!("this DynamicPrefix can never have a prefix: {why}")).hint(
        "add acquisition.dhcpv6 = { interface = \"…\" }, acquisition.observe = { interface = \"…\" } where another DHCPv6 \
             client runs, acquisition.routerAdvertisement = { interface = \"…\" } or acquisition.static = { prefix = \"…\" }",
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
