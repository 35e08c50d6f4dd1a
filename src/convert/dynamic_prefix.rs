//! DynamicPrefix objects, of dynamic-prefix.io and of the older group network.reith.cloud.

use std::collections::BTreeMap;

use super::cut::{self, Offset};
use super::fields::Fields;
use super::page::{self, Page};
use super::yaml::Node;
use super::{Draft, Known, spec_of};

/// What the operators of dynamic-prefix.io ask for when nothing is said.
const ASKED_BY_DEFAULT: i128 = 56;

pub(super) fn convert(draft: &mut Draft, document: Node) {
    let line = document.line;
    let api_version = document.get("apiVersion").and_then(Node::text).unwrap_or_default().to_owned();
    let unit = if api_version.starts_with("network.reith.cloud/") { Offset::Addresses } else { Offset::Subnets };
    let mut page = Page::default();
    let Some((written, mut spec)) = spec_of(document, draft, &mut page) else { return };
    let name = page::name(&written);
    page.comment(&format!("DynamicPrefix/{written} of {api_version} (line {line})."));
    if name != written {
        page.comment(&format!("A name has a-z, 0-9 and - here: annotations that say {written} have to say {name}."));
    }
    page.line("[[dynamicPrefix]]");
    page.entry("name", &page::text(&name));
    let length = acquisition(&mut spec, unit, draft, &mut page);
    let mut known = Known { name, ..Known::default() };
    known.ranges = ranges(&mut spec, length, draft, &mut page);
    for subnet in spec.take_tables("subnets", draft) {
        known.subnets.extend(cut::subnet(subnet, length, unit, draft, &mut page));
    }
    known.is_ha = transition(&mut spec, unit, draft, &mut page);
    spec.rest(&mut page);
    page.blank();
    draft.prefixes.append(page);
    if draft.known.insert(written.clone(), known).is_some() {
        draft.problem(line, format!("DynamicPrefix/{written} is there twice"));
    }
}

fn ranges(spec: &mut Fields, length: u8, draft: &mut Draft, page: &mut Page) -> BTreeMap<String, String> {
    let tables = spec.take_tables("addressRanges", draft);
    tables.into_iter().filter_map(|range| cut::range(range, length, draft, page)).collect()
}

/// The length of prefix that the operator would have had.
fn acquisition(spec: &mut Fields, unit: Offset, draft: &mut Draft, page: &mut Page) -> u8 {
    let line = spec.line();
    let Some(mut acquisition) = spec.take_table("acquisition") else {
        draft.problem(line, "spec.acquisition is missing: where does the prefix come from?");
        return 64;
    };
    let delegated = acquisition.take_table("dhcpv6pd").or_else(|| acquisition.take_table("dhcpv6"));
    let advertised = acquisition.take_table("routerAdvertisement");
    if delegated.is_none() && advertised.is_none() {
        draft.problem(acquisition.line(), "spec.acquisition has neither dhcpv6pd nor routerAdvertisement");
    }
    let length = delegated.map_or(64, |table| dhcpv6(table, unit, draft, page));
    if let Some(mut table) = advertised {
        page.blank();
        page.line("[dynamicPrefix.acquisition.routerAdvertisement]");
        if let Some(interface) = table.need_text("interface", draft) {
            page.entry("interface", &page::text(&interface));
        }
        if let Some(enabled) = table.take_boolean("enabled", draft) {
            page.entry("enabled", &enabled.to_string());
        }
        table.rest(page);
    }
    if let Some(mut filter) = acquisition.take_table("prefixFilter") {
        page.blank();
        page.line("[dynamicPrefix.acquisition.prefixFilter]");
        if let Some(required) = filter.take_boolean("requireGlobalUnicast", draft) {
            page.entry("requireGlobalUnicast", &required.to_string());
        }
        filter.rest(page);
    }
    acquisition.rest(page);
    length
}

fn dhcpv6(mut table: Fields, unit: Offset, draft: &mut Draft, page: &mut Page) -> u8 {
    page.blank();
    page.line("[dynamicPrefix.acquisition.dhcpv6]");
    if let Some(interface) = table.need_text("interface", draft) {
        page.entry("interface", &page::text(&interface));
    }
    let asked = table.take_integer("requestedPrefixLength", draft);
    if asked.is_none() && unit == Offset::Subnets {
        page.comment("The operator asks for a /56 when nothing is said.");
    }
    let (asked, line) = asked.unwrap_or((ASKED_BY_DEFAULT, table.line()));
    let length = u8::try_from(asked).ok().filter(|length| (1..=64).contains(length));
    if length.is_none() {
        draft.problem(line, format!("requestedPrefixLength is {asked}, and should be 1 to 64"));
    }
    page.entry("requestedPrefixLength", &asked.to_string());
    match table.take_text("duid", draft) {
        Some(duid) => page.entry("duid", &page::text(&duid)),
        None => page.comment(
            "Who asks is somebody else for the server, which may delegate another prefix at first. The operator's DUID was \
             made from the MAC address, as duid = \"ll\" is; its IAID was the index of the interface.",
        ),
    }
    table.rest(page);
    length.unwrap_or(64)
}

/// Whether the mode is ha.
fn transition(spec: &mut Fields, unit: Offset, draft: &mut Draft, page: &mut Page) -> bool {
    let mut table = spec.take_table("transition").unwrap_or_else(|| Fields::nothing("spec.transition", spec.line()));
    page.blank();
    page.line("[dynamicPrefix.transition]");
    let mode = table.take_text("mode", draft);
    let is_ha = mode.as_deref() == Some("ha");
    if let Some(mode) = mode {
        page.entry("mode", &page::text(&mode));
    }
    if is_ha {
        page.comment(
            "Services with the annotation dynamic-prefix.io/name move, as they should have there: the new address is on \
             the Service before DNS names it.",
        );
    }
    if let Some((most, _)) = table.take_integer("maxPrefixHistory", draft) {
        page.entry("maxPrefixHistory", &most.to_string());
    }
    match table.take("drainPeriodMinutes") {
        Some(minutes) => match (minutes.integer(), minutes.text()) {
            (Some(number), _) => page.entry("drainPeriodMinutes", &number.to_string()),
            (None, Some(word)) => page.entry("drainPeriodMinutes", &page::text(word)),
            (None, None) => draft.problem(minutes.line, "drainPeriodMinutes should be a number of minutes"),
        },
        None if unit == Offset::Subnets => page.comment(
            "The operator kept an old prefix until there were more than maxPrefixHistory newer ones, however long that was, \
             and wrote the oldest one first. Here it goes after an hour, or when it is known to be dead, and the newest \
             comes first. As long as before: drainPeriodMinutes = \"none\".",
        ),
        None => {}
    }
    table.rest(page);
    is_ha
}
