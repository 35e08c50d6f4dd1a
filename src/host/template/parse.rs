//! Reads templates.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::{Field, Line, Piece, Place, Reference, Template};

/// The DynamicPrefixes there are, each with the names of its ranges and subnets.
pub type Names<'n> = BTreeMap<&'n str, Vec<&'n str>>;

/// Something that is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, in bytes of the text.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// The fields of a DynamicPrefix.
const OF_PREFIX: [(&str, Field); 4] =
    [("current", Field::Current), ("draining", Field::Draining), ("all", Field::All), ("state", Field::State)];

/// The fields of a range or subnet.
const OF_PART: [(&str, Field); 5] = [
    ("cidrs", Field::Current),
    ("draining", Field::Draining),
    ("all", Field::All),
    ("start", Field::Start),
    ("end", Field::End),
];

pub(super) fn template(text: &str, names: &Names<'_>) -> Result<Template, Vec<Fault>> {
    let (mut lines, mut faults, mut start) = (Vec::new(), Vec::new(), 0);
    for text in text.split_inclusive('\n') {
        lines.push(line(text, start, names, &mut faults));
        start += text.len();
    }
    if faults.is_empty() { Ok(Template { lines, fault: None }) } else { Err(faults) }
}

/// Reads one line, which begins at `start` of the text.
fn line(text: &str, start: usize, names: &Names<'_>, faults: &mut Vec<Fault>) -> Line {
    let (mut pieces, mut plain, mut at) = (Vec::new(), String::new(), 0);
    let mut each: Option<Place> = None;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("$${") {
            plain.push_str("${");
            at += 3;
        } else if let Some(inside) = rest.strip_prefix("${") {
            let Some(length) = inside.find('}') else {
                let place = start + at..start + text.trim_end().len();
                faults.push(fault(
                    place,
                    "this ${ has no end".to_owned(),
                    "close it with } on its line; $${ is a ${ that means nothing",
                ));
                break;
            };
            let place = start + at..start + at + length + 3;
            match reference(&inside[..length], names) {
                Ok(reference) => {
                    if reference.is_each && each.replace(place.clone()).is_some() {
                        faults.push(fault(
                            place,
                            "a line can stand once for each of one thing, and this is the second ${* in it".to_owned(),
                            "leave out the * of one of the two, or write two lines",
                        ));
                    }
                    pieces.extend((!plain.is_empty()).then(|| Piece::Text(std::mem::take(&mut plain))));
                    pieces.push(Piece::Reference(reference));
                }
                Err((message, hint)) => faults.push(Fault { place, message, hint }),
            }
            at += length + 3;
        } else {
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let length = rest[first..].find('$').map_or(rest.len(), |next| first + next);
            plain.push_str(&rest[..length]);
            at += length;
        }
    }
    pieces.extend((!plain.is_empty()).then_some(Piece::Text(plain)));
    Line { pieces }
}

fn fault(place: Place, message: String, hint: &str) -> Fault {
    Fault { place, message, hint: hint.to_owned() }
}

/// What stands between the braces, or what is wrong with it and what to do.
fn reference(inside: &str, names: &Names<'_>) -> Result<Reference, (String, String)> {
    let written = format!("${{{inside}}}");
    let (is_each, rest) = inside.strip_prefix('*').map_or((false, inside), |rest| (true, rest));
    let (rest, suffix) = rest.split_once('+').map_or((rest, None), |(rest, suffix)| (rest, Some(suffix)));
    let form =
        "write ${NAME.current}, ${NAME/RANGE.cidrs}, or ${NAME.current+::2} for an address; see dyn-prefix.toml(5)";
    let Some((what, field)) = rest.rsplit_once('.') else {
        return Err((format!("{written} does not say what of it is wanted"), form.to_owned()));
    };
    let (name, part) = what.split_once('/').map_or((what, None), |(name, part)| (name, Some(part)));
    let parts = names.get(name).ok_or_else(|| {
        let there_are = enumerated(names.keys().copied());
        (format!("{written}: there is no dynamicPrefix \"{name}\""), there_are)
    })?;
    if let Some(part) = part.filter(|part| !parts.contains(part)) {
        let message = format!("{written}: the dynamicPrefix \"{name}\" has no range or subnet \"{part}\"");
        return Err((message, enumerated(parts.iter().copied())));
    }
    let fields: &[(&str, Field)] = if part.is_some() { &OF_PART } else { &OF_PREFIX };
    let Some((_, found)) = fields.iter().find(|(known, _)| *known == field) else {
        let whose = if part.is_some() { "a range or subnet" } else { "a dynamicPrefix" };
        let there_are = enumerated(fields.iter().map(|(known, _)| *known));
        return Err((format!("{written}: {whose} has no \"{field}\""), there_are));
    };
    let is_address = part.is_none() && *found != Field::State;
    let suffix = suffix.map(|suffix| host_part(&written, suffix, is_address)).transpose()?;
    let (dynamic_prefix, part) = (name.to_owned(), part.map(str::to_owned));
    Ok(Reference { written, is_each, dynamic_prefix, part, field: *found, suffix })
}

fn host_part(written: &str, suffix: &str, is_address: bool) -> Result<Ipv6Addr, (String, String)> {
    if !is_address {
        let message = format!("{written}: only a prefix and a host part are an address");
        return Err((
            message,
            "write ${NAME.current+::2}; the host part is counted from the start of the prefix".to_owned(),
        ));
    }
    suffix.parse().map_err(|_| {
        let message = format!("{written}: \"{suffix}\" is no host part of an address");
        (message, "write it as in ${NAME.current+::2}".to_owned())
    })
}

fn enumerated<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "there is none at all".to_owned() } else { format!("there are: {}", names.join(", ")) }
}
