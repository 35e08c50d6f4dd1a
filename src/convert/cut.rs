//! Ranges and subnets: what the operators make of a prefix, and how the same is written here.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::Draft;
use super::fields::Fields;
use super::page::{self, Page};

/// The prefix that comments show a result in.
const SAMPLE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x1234, 0, 0, 0, 0, 0);

/// What `offset` of a subnet counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offset {
    /// The API group dynamic-prefix.io.
    Subnets,
    /// The older group.
    Addresses,
}

/// Of a prefix of `length`, the bits of a host part that the operators cut off: theirs are those of the prefix.
pub(super) fn beyond(address: Ipv6Addr, length: u8) -> u128 {
    let host = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
    address.to_bits() & !host
}

/// The smallest network around both: what the operators wrote into CIDR groups.
pub(super) fn around(first: Ipv6Addr, last: Ipv6Addr) -> Option<Ipv6Net> {
    let common = (first.to_bits() ^ last.to_bits()).leading_zeros();
    Ipv6Net::new(first, u8::try_from(common).ok()?).ok().map(|network| network.trunc())
}

/// A subnet of the sample prefix, if it lies in it.
fn sample(length: u8, distance: u128, prefix_length: u8) -> Option<String> {
    let base = Ipv6Net::new(SAMPLE, length).ok()?.trunc();
    let first = base.network().to_bits().checked_add(distance)?;
    let subnet = Ipv6Net::new(Ipv6Addr::from_bits(first), prefix_length).ok()?;
    base.contains(&subnet).then(|| format!("{subnet} of {base}"))
}

/// Writes `[[dynamicPrefix.addressRanges]]`; its name, and the network around it.
pub(super) fn range(mut fields: Fields, length: u8, draft: &mut Draft, page: &mut Page) -> Option<(String, String)> {
    let line = fields.line();
    let name = fields.need_text("name", draft);
    let start = end_of_range(&mut fields, "start", draft);
    let end = end_of_range(&mut fields, "end", draft);
    let (name, start, end) = (name?, start?, end?);
    page.blank();
    page.line("[[dynamicPrefix.addressRanges]]");
    if beyond(start, length) != 0 || beyond(end, length) != 0 {
        page.comment(&format!(
            "The operator cut off what {start} and {end} have beyond a host part of {} bits, without a word; here that \
             would be an error.",
            128 - length
        ));
    }
    let cut = |address: Ipv6Addr| Ipv6Addr::from_bits(address.to_bits() ^ beyond(address, length));
    let (start, end) = (cut(start), cut(end));
    if start > end {
        draft.problem(line, format!("the range {name} ends before it starts: {start} is after {end}"));
        return None;
    }
    page.entry("name", &page::text(&name));
    page.entry("start", &page::text(&host_part(start)));
    page.entry("end", &page::text(&host_part(end)));
    fields.rest(page);
    Some((name, around(start, end)?.to_string()))
}

/// Without the dotted quad that ::ffff:0:2 would get.
fn host_part(address: Ipv6Addr) -> String {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => format!("::ffff:{high:x}:{low:x}"),
        _ => address.to_string(),
    }
}

fn end_of_range(fields: &mut Fields, key: &str, draft: &mut Draft) -> Option<Ipv6Addr> {
    let line = fields.line();
    let written = fields.need_text(key, draft)?;
    match written.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            let name = fields.name(key);
            draft.problem(line, format!("{name} is \"{written}\", and should be a host part like ::f000:0:0:0"));
            None
        }
    }
}

/// Writes `[[dynamicPrefix.subnets]]`; its name.
pub(super) fn subnet(
    mut fields: Fields,
    length: u8,
    unit: Offset,
    draft: &mut Draft,
    page: &mut Page,
) -> Option<String> {
    let line = fields.line();
    let name = fields.need_text("name", draft);
    let (offset, at) = fields.take_integer("offset", draft).unwrap_or((0, line));
    let Some((prefix_length, _)) = fields.take_integer("prefixLength", draft) else {
        draft.problem(line, format!("{} is missing", fields.name("prefixLength")));
        return None;
    };
    let name = name?;
    let Some(prefix_length) = u8::try_from(prefix_length).ok().filter(|length| (1..=128).contains(length)) else {
        draft.problem(line, format!("prefixLength of the subnet {name} is {prefix_length}, and should be 1 to 128"));
        return None;
    };
    let Some(offset) = u128::try_from(offset).ok() else {
        draft.problem(at, format!("offset of the subnet {name} is {offset}, and cannot be negative"));
        return None;
    };
    let size = 1_u128.checked_shl(128 - u32::from(prefix_length))?;
    page.blank();
    page.line("[[dynamicPrefix.subnets]]");
    page.entry("name", &page::text(&name));
    match unit {
        Offset::Subnets => counted(offset, size, (length, prefix_length), page),
        Offset::Addresses if !offset.is_multiple_of(size) => {
            let nearest = offset - offset % size;
            let message = format!(
                "offset of the subnet {name} counts addresses in this API group, and {offset} is no multiple of the \
                 {size} that a /{prefix_length} has; the nearest are {nearest} and {}",
                nearest.saturating_add(size)
            );
            draft.problem(at, message);
            return None;
        }
        Offset::Addresses => {
            tell(length, Some(offset), prefix_length, "offset counted addresses there, and does here", page);
            // An integer of TOML has 64 bits.
            let number = i64::try_from(offset).map(|offset| offset.to_string());
            page.entry("offset", &number.unwrap_or_else(|_| page::text(&offset.to_string())));
        }
    }
    page.entry("prefixLength", &prefix_length.to_string());
    if let Some(mut bgp) = fields.take_table("bgp") {
        if bgp.take_boolean("advertise", draft) == Some(true) {
            page.comment(&format!(
                "bgp.advertise (line {}): no CiliumBGPAdvertisement is made. Write one yourself, with a selector of the \
                 Services; it does not depend on the prefix.",
                bgp.line()
            ));
        }
        bgp.rest(page);
    }
    fields.rest(page);
    Some(name)
}

/// `offset` that counted subnets is `index` here.
fn counted(offset: u128, size: u128, (length, prefix_length): (u8, u8), page: &mut Page) {
    let what =
        format!("offset = {offset} counted subnets there; here `offset` would count addresses, and it is `index`");
    tell(length, offset.checked_mul(size), prefix_length, &what, page);
    page.entry("index", &offset.to_string());
}

fn tell(length: u8, distance: Option<u128>, prefix_length: u8, what: &str, page: &mut Page) {
    match distance.and_then(|distance| sample(length, distance, prefix_length)) {
        Some(subnet) => page.comment(&format!("{what}. Both times it is {subnet}.")),
        None => page.comment(&format!("{what}. It does not fit into a /{length}, neither there nor here.")),
    }
}
