//! `suffix` of a Service: a host part, counted from the start of the prefix, inside the range that is referred to.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::super::finding::{At, Report, quoted};
use super::super::read::Table;
use super::super::suggest::enumerated;
use super::reference::Resolved;
use super::{optional, range, values};
use crate::prefix::Interval;

/// `None` when it is there and wrong. Without a `reference` only its form is looked at.
pub(super) fn suffix(
    table: &Table<'_>,
    reference: Option<&Resolved<'_>>,
    report: &mut Report<'_>,
) -> Option<Option<At<Ipv6Addr>>> {
    let check = |text: At<&str>, report: &mut Report<'_>| {
        let address = values::address(text, "invalid-address", "suffix", "\"::f000:0:0:2\"", report)?;
        let suffix = text.with(address);
        reference.is_none_or(|reference| is_inside(suffix, reference, report)).then_some(suffix)
    };
    optional(table, "suffix", report, check)
}

fn is_inside(suffix: At<Ipv6Addr>, reference: &Resolved<'_>, report: &mut Report<'_>) -> bool {
    if reference.ranges.is_empty() {
        let consequence = "the Service keeps what it has";
        return range::fits(suffix, "suffix", reference.rooms, consequence, report);
    }
    let intervals: Vec<Interval> = reference.ranges.iter().flat_map(|range| &range.intervals).copied().collect();
    // Of a range in error nothing is known.
    let is_known = reference.ranges.iter().all(|range| !range.intervals.is_empty());
    if !is_known || holds(&intervals, suffix.value.to_bits()) {
        return true;
    }
    let names: Vec<String> =
        reference.ranges.iter().map(|range| format!("{}/{}", reference.prefix, range.name)).collect();
    let names = enumerated(names.iter().map(String::as_str));
    let mut message = format!("`suffix`: {} lies outside {names}", values::shown(suffix.value));
    if let [only] = intervals.as_slice() {
        message += &format!(", which is {} to {}", values::shown(only.first()), values::shown(only.last()));
    }
    report.error("outside-range", suffix.span, message).hint(hint(suffix.value.to_bits(), &intervals));
    false
}

fn holds(intervals: &[Interval], host: u128) -> bool {
    intervals.iter().any(|interval| interval.contains(&Interval::from(Ipv6Net::from(Ipv6Addr::from_bits(host)))))
}

fn hint(suffix: u128, intervals: &[Interval]) -> String {
    if let Some(host) = without_prefix(suffix, intervals) {
        return format!("did you mean {}? The prefix is put in front of it", written(host));
    }
    let nearest = nearest(suffix, intervals);
    match from_range(suffix, intervals) {
        Some(host) => {
            let meant = written(host);
            format!("did you mean {meant}? It counts from the start of the prefix, not of the range; {nearest}")
        }
        None => nearest,
    }
}

fn written(host: u128) -> String {
    quoted(&values::shown(Ipv6Addr::from_bits(host)))
}

/// What is left of a whole address when the bits that no right value has are taken away.
fn without_prefix(suffix: u128, intervals: &[Interval]) -> Option<u128> {
    let highest = intervals.iter().map(|interval| interval.last().to_bits()).max()?;
    let host = suffix & u128::MAX.checked_shr(highest.leading_zeros()).unwrap_or_default();
    holds(intervals, host).then_some(host)
}

/// The address at this distance from the start of the range.
fn from_range(suffix: u128, intervals: &[Interval]) -> Option<u128> {
    let first = intervals.first()?;
    let host = first.first().to_bits().checked_add(suffix)?;
    (suffix > 0 && holds(&[*first], host)).then_some(host)
}

/// The right values next to a wrong one.
fn nearest(suffix: u128, intervals: &[Interval]) -> String {
    let below = intervals.iter().map(|interval| interval.last().to_bits()).filter(|last| *last < suffix).max();
    let above = intervals.iter().map(|interval| interval.first().to_bits()).filter(|first| *first > suffix).min();
    match (below, above) {
        (Some(below), Some(above)) => {
            format!("the nearest right values are {} and {}", written(below), written(above))
        }
        (one, other) => {
            let values: Vec<String> = one.into_iter().chain(other).map(written).collect();
            format!("the nearest right value is {}", values.concat())
        }
    }
}
