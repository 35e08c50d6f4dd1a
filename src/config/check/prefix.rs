//! `[[dynamicPrefix]]`

use std::time::Duration;

use super::super::finding::Report;
use super::super::read::Table;
use super::super::{DynamicPrefix, Mode, OnLoss, ServiceScope, Transition};
use super::acquisition::{self, sources};
use super::dhcpv6;
use super::range::{self, Part, Room};
use super::{Unique, values};

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
    let sources = match table.text("acquisition") {
        Some(text) => acquisition::short(text, report),
        None => table.table("acquisition").map(|table| sources(&table, report)).unwrap_or_default(),
    };
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
