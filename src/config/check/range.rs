//! `addressRanges` and `subnets` of a DynamicPrefix, and whether they fit into it.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use toml::de::DeValue;

use super::super::finding::{At, Report, Severity, quoted};
use super::super::read::{Table, unsigned};
use super::super::{AddressRange, Place, Subnet};
use super::{Unique, values};
use crate::prefix::Interval;

/// A range or subnet of the file.
pub(super) struct Part<'t> {
    pub(super) name: &'t str,
    /// The list it is in: the key of the file.
    pub(super) list: &'static str,
    /// Its addresses, counted from the start of the prefix; none when it is in error.
    pub(super) intervals: Vec<Interval>,
}

/// What becomes of a range or subnet that does not fit.
const LEFT_OUT: &str = "this entry is left out and what refers to it keeps what it has";

/// A prefix that ranges have to fit in, as far as it is known before there is one.
pub(super) struct Room {
    length: u8,
    why: String,
    certainty: Certainty,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// No prefix can be larger: the file is wrong.
    Always,
    /// The file says how large it is: the entry will be in error. Its neighbours are not, so the file can be used.
    AsWritten,
    /// It usually is no larger.
    Usually,
    /// So much is asked for, and the server may give more or less.
    Asked,
    /// It usually is no larger, and is used only while there is no delegation.
    Fallback,
}

impl Room {
    /// A prefix of the length that the file says it has.
    pub(super) const fn as_written(length: u8, why: String) -> Self {
        Self { length, why, certainty: Certainty::AsWritten }
    }

    /// A /32 is what a provider gets, not what a customer gets.
    pub(super) fn largest() -> Self {
        Self { length: 32, why: "no line has a shorter prefix".to_owned(), certainty: Certainty::Always }
    }

    /// A delegation of the length that is asked for.
    pub(super) const fn asked(length: u8, why: String) -> Self {
        Self { length, why, certainty: Certainty::Asked }
    }

    /// RFC 4862 §5.5.3 makes addresses only from a prefix that fits the interface identifier of 64 bits.
    pub(super) fn on_link(is_fallback: bool) -> Self {
        let why = "what routers announce is nearly always a /64".to_owned();
        Self { length: 64, why, certainty: if is_fallback { Certainty::Fallback } else { Certainty::Usually } }
    }

    fn holds(&self, address: u128) -> bool {
        address.checked_shr(128 - u32::from(self.length)).is_none_or(|beyond| beyond == 0)
    }

    fn severity(&self) -> Severity {
        match self.certainty {
            Certainty::Always => Severity::Error,
            Certainty::AsWritten | Certainty::Usually | Certainty::Asked => Severity::Warning,
            Certainty::Fallback => Severity::Note,
        }
    }

    fn code(&self) -> &'static str {
        match self.certainty {
            Certainty::Always | Certainty::AsWritten => "outside-prefix",
            Certainty::Asked => "outside-requested",
            Certainty::Usually | Certainty::Fallback => "outside-on-link",
        }
    }

    /// `consequence`: what becomes of an entry that does not fit.
    fn hint(&self, hint: String, consequence: &str) -> String {
        match self.certainty {
            Certainty::Always => hint,
            Certainty::AsWritten => {
                format!("{hint}; as it is, {consequence}")
            }
            Certainty::Usually => {
                format!(
                    "{hint}; if that /64 is part of a larger prefix, say so with routerAdvertisement.delegatedPrefixLength"
                )
            }
            Certainty::Asked => {
                format!("{hint}; if the server delegates just what is asked for, {consequence}")
            }
            Certainty::Fallback => {
                format!(
                    "right for a delegation; while there is none and a Router Advertisement stands in, {consequence}"
                )
            }
        }
    }
}

/// What ranges and subnets are carved from.
pub(super) struct Layout {
    pub(super) rooms: Vec<Room>,
    /// The prefix itself, if it is written in the file.
    pub(super) fixed: Option<Ipv6Net>,
}

pub(super) fn address_range<'t>(
    table: &Table<'t>,
    names: &mut Unique<'t>,
    layout: &Layout,
    report: &mut Report<'_>,
) -> (Option<AddressRange>, Option<Part<'t>>) {
    let (name, written) = name(table, names, report);
    let start = end_of_range(table, "start", &layout.rooms, report);
    let end = end_of_range(table, "end", &layout.rooms, report);
    let interval = start.zip(end).and_then(|(start, end)| ordered(start, end, report));
    let checked =
        name.zip(interval).map(|(name, interval)| AddressRange { name, start: interval.first(), end: interval.last() });
    let part = written.map(|name| Part { name, list: "addressRanges", intervals: interval.into_iter().collect() });
    (checked, part)
}

fn name<'t>(table: &Table<'t>, names: &mut Unique<'t>, report: &mut Report<'_>) -> (Option<String>, Option<&'t str>) {
    let Some(written) = table.text("name") else {
        return (None, None);
    };
    names.claim(written, report);
    (values::label(written, "name", report), Some(written.value))
}

fn end_of_range(table: &Table<'_>, key: &str, rooms: &[Room], report: &mut Report<'_>) -> Option<At<Ipv6Addr>> {
    let text = table.text(key)?;
    let address = values::address(text, "invalid-address", key, "\"::f000:0:0:0\"", report)?;
    fits(text.with(address), key, rooms, LEFT_OUT, report).then(|| text.with(address))
}

/// Reports a host part with bits of the prefix in it; whether it can be used.
pub(super) fn fits(host: At<Ipv6Addr>, key: &str, rooms: &[Room], consequence: &str, report: &mut Report<'_>) -> bool {
    let Some(room) = rooms.iter().find(|room| !room.holds(host.value.to_bits())) else {
        return true;
    };
    let highest = u128::MAX.checked_shr(room.length.into()).map_or(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from_bits);
    let message = format!(
        "`{key}`: {} has bits among the first {}, which come from the prefix ({})",
        values::shown(host.value),
        room.length,
        room.why
    );
    let hint = format!("write only the host part, from :: to {}", values::shown(highest));
    report.add(room.severity(), room.code(), host.span, message).hint(room.hint(hint, consequence));
    room.severity() != Severity::Error
}

fn ordered(start: At<Ipv6Addr>, end: At<Ipv6Addr>, report: &mut Report<'_>) -> Option<Interval> {
    let interval = Interval::new(start.value, end.value);
    if interval.is_none() {
        report
            .error(
                "empty-range",
                end.span,
                format!("the range ends at {} before it starts at {}", end.value, start.value),
            )
            .hint("both ends belong to the range: `start` is the lower one");
    }
    interval
}

pub(super) fn subnet<'t>(
    table: &Table<'t>,
    names: &mut Unique<'t>,
    layout: &Layout,
    report: &mut Report<'_>,
) -> (Option<Subnet>, Option<Part<'t>>) {
    let (name, written) = name(table, names, report);
    let length = table.integer::<u8>("prefixLength");
    let place = place(table, length, layout, report);
    let fits = length.zip(place.as_ref()).is_some_and(|(length, place)| fit(length, place, layout, report));
    let intervals = match (length, &place) {
        (Some(length), Some(place)) if fits => {
            if let Place::Offset(offset) = place.value {
                explain_offset(place.with(offset), length.value, layout, report);
            }
            intervals(&place.value, length.value)
        }
        _ => Vec::new(),
    };
    let part = written.map(|name| Part { name, list: "subnets", intervals });
    let checked = || Some(Subnet { name: name?, place: place?.value, prefix_length: length?.value });
    (checked().filter(|_| fits), part)
}

/// How many addresses a subnet has; the lengths of the key table begin at 1.
fn size(length: u8) -> u128 {
    1_u128.checked_shl(128_u32.saturating_sub(length.into())).unwrap_or(u128::MAX)
}

fn starts(place: &Place, length: u8) -> Vec<Option<u128>> {
    match place {
        Place::Offset(offset) => vec![Some(*offset)],
        Place::Index(indexes) => indexes.iter().map(|index| index.checked_mul(size(length))).collect(),
    }
}

fn intervals(place: &Place, length: u8) -> Vec<Interval> {
    starts(place, length)
        .into_iter()
        .filter_map(|start| {
            let first = start?;
            Interval::new(Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(first.checked_add(size(length) - 1)?))
        })
        .collect()
}

fn place(table: &Table<'_>, length: Option<At<u8>>, layout: &Layout, report: &mut Report<'_>) -> Option<At<Place>> {
    match (table.value("offset"), table.has("index")) {
        (Some(offset), true) => {
            report
                .error("offset-and-index", offset.span, "`offset` and `index` both say where the subnet is")
                .hint("keep `index` (the Nth subnet of this length) or `offset` (a distance in addresses)");
            None
        }
        (Some(value), false) => {
            let offset = value.with(offset(value, report)?);
            let Some(length) = length else {
                return Some(offset.with(Place::Offset(offset.value)));
            };
            is_aligned(offset, length.value, layout, report).then(|| offset.with(Place::Offset(offset.value)))
        }
        (None, true) => index(table, report),
        // As in the operators: the first one.
        (None, false) => Some(At::new(Place::Index(vec![0]), table.span)),
    }
}

fn index(table: &Table<'_>, report: &mut Report<'_>) -> Option<At<Place>> {
    let list = table.integers("index")?;
    if list.value.is_empty() {
        report
            .error("wrong-value", list.span, "`index` is an empty list: the subnet would have no addresses")
            .hint("write the number of the subnet, from 0");
        return None;
    }
    let mut seen = BTreeSet::new();
    let mut indexes = Vec::new();
    for integer in &list.value {
        let Some(index) = unsigned(integer.value) else {
            report
                .error("wrong-value", integer.span, format!("`index` cannot be {}", integer.value))
                .hint("indexes count the subnets of this length from 0");
            continue;
        };
        if !seen.insert(index) {
            report.error("wrong-value", integer.span, format!("`index` has {index} twice")).hint("write each once");
        }
        indexes.push(index);
    }
    (indexes.len() == list.value.len() && seen.len() == indexes.len()).then(|| list.with(Place::Index(indexes)))
}

fn offset(value: At<&DeValue<'_>>, report: &mut Report<'_>) -> Option<u128> {
    let (written, number) = match value.value {
        DeValue::Integer(integer) => (integer.to_string(), unsigned(integer)),
        DeValue::String(text) => (quoted(text), offset_text(text)),
        // Reported as a wrong type.
        DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            return None;
        }
    };
    if number.is_none() {
        report
            .error("wrong-value", value.span, format!("`offset` cannot be {written}"))
            .hint("wanted: a number of addresses from 0, as in 65536, 0x10000, \"0x1_0000\" or \"::1:0\"");
    }
    number
}

fn offset_text(text: &str) -> Option<u128> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(address.to_bits());
    }
    // from_str_radix takes a sign; a distance has none.
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    let (digits, radix) = digits.strip_prefix("0x").map_or((digits.as_str(), 10), |digits| (digits, 16));
    if digits.starts_with('+') { None } else { u128::from_str_radix(digits, radix).ok() }
}

fn is_aligned(offset: At<u128>, length: u8, layout: &Layout, report: &mut Report<'_>) -> bool {
    let size = size(length);
    let index = offset.value / size;
    if offset.value.is_multiple_of(size) {
        return true;
    }
    let below = format!("{:#x} (index = {index})", index * size);
    let nearest = match (index + 1).checked_mul(size) {
        Some(above) => format!("the nearest right values are {below} and {above:#x} (index = {})", index + 1),
        None => format!("the nearest right value is {below}"),
    };
    let message =
        format!("offset = {:#x} is no multiple of {size:#x}, the number of addresses in a /{length}", offset.value);
    let hint = match counted(offset.value, length, layout) {
        Some(counted) => format!("{nearest}; {counted}"),
        None => nearest,
    };
    report.error("misaligned-offset", offset.span, message).hint(hint);
    false
}

/// The in-cluster operators count subnets under the key `offset`: whoever comes from there means an index.
fn counted(offset: u128, length: u8, layout: &Layout) -> Option<String> {
    let last = offset.checked_mul(size(length))?.checked_add(size(length) - 1)?;
    // Nothing is to be suggested that would be refused.
    let is_possible = offset > 0 && size(length) > 1 && layout.rooms.iter().all(|room| room.holds(last));
    is_possible.then(|| {
        format!("the in-cluster operators count subnets under this key: if that was meant, write index = {offset}")
    })
}

fn explain_offset(offset: At<u128>, length: u8, layout: &Layout, report: &mut Report<'_>) {
    let base = layout.fixed.map_or(0, |net| net.network().to_bits());
    let of = if layout.fixed.is_some() { "" } else { " of the prefix" };
    let subnet = Ipv6Addr::from_bits(base | offset.value);
    let index = offset.value / size(length);
    let message = format!(
        "offset = {:#x} counts addresses: the subnet is {subnet}/{length}{of}, the same as index = {index}",
        offset.value
    );
    let found = report.note("offset-unit", offset.span, message);
    if let Some(counted) = counted(offset.value, length, layout) {
        found.hint(counted);
    }
}

/// Reports a subnet that lies outside the prefix; whether it can be used.
fn fit(length: At<u8>, place: &At<Place>, layout: &Layout, report: &mut Report<'_>) -> bool {
    let last = |start: Option<u128>| start.and_then(|start| start.checked_add(size(length.value) - 1));
    let holds = |room: &Room| {
        length.value >= room.length
            && starts(&place.value, length.value)
                .into_iter()
                .all(|start| last(start).is_some_and(|last| room.holds(last)))
    };
    let Some(room) = layout.rooms.iter().find(|room| !holds(room)) else {
        return true;
    };
    if length.value < room.length {
        too_large(length, room, report);
    } else {
        outside(place, length.value, room, report);
    }
    room.severity() != Severity::Error
}

fn too_large(length: At<u8>, room: &Room, report: &mut Report<'_>) {
    let message = format!("a /{} does not fit into the prefix, a /{} ({})", length.value, room.length, room.why);
    let hint = format!("`prefixLength` can be {} to 128", room.length);
    report.add(room.severity(), room.code(), length.span, message).hint(room.hint(hint, LEFT_OUT));
}

fn outside(place: &At<Place>, length: u8, room: &Room, report: &mut Report<'_>) {
    // The subnet is not larger than the room, so it fits in at least once.
    let most = 1_u128.checked_shl(u32::from(length - room.length)).map_or(u128::MAX, |count| count - 1);
    let message = format!("the subnet lies outside the prefix, a /{} ({})", room.length, room.why);
    let hint = match place.value {
        Place::Offset(_) => {
            format!("`offset` of a /{length} in it is at most {:#x}", most.saturating_mul(size(length)))
        }
        Place::Index(_) if most == 0 => format!("there is one /{length} in it, index = 0"),
        Place::Index(_) => format!("`index` of a /{length} in it is 0 to {most}"),
    };
    report.add(room.severity(), room.code(), place.span, message).hint(room.hint(hint, LEFT_OUT));
}
