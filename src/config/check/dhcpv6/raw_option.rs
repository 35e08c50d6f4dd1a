//! `rawOptions`

use super::super::super::finding::{At, Report};
use super::super::super::read::Table;
use super::{HEXADECIMAL, hexadecimal, not_octets, octets};
use crate::source::dhcpv6::{RawOption, RawOptionMessages};

/// `rawOptions`, in file order; `None` when one was reported.
pub(super) fn raw_options(table: &Table<'_>, report: &mut Report<'_>) -> Option<Vec<RawOption>> {
    let mut seen: Vec<(u16, usize)> = Vec::new();
    let tables = table.tables("rawOptions");
    // Every one is looked at, also after a wrong one.
    let options: Vec<_> = tables
        .iter()
        .map(|table| {
            if let Some(code) = table.integer::<u16>("code") {
                once(code, &mut seen, report);
            }
            raw_option(table, report)
        })
        .collect();
    options.into_iter().collect()
}

/// RFC 9915 §24: these two may be there for several enterprises; every other option at most once.
fn once(code: At<u16>, seen: &mut Vec<(u16, usize)>, report: &mut Report<'_>) {
    match seen.iter().find(|(first, _)| *first == code.value && !matches!(code.value, 16 | 17)) {
        Some((_, line)) => report
            .warning("raw-option-form", code.span, format!("option {} is there already, at line {line}", code.value))
            .hint("servers may drop a message that has an option twice: keep one of the two"),
        None => seen.push((code.value, report.line(code.span))),
    }
}

fn raw_option(table: &Table<'_>, report: &mut Report<'_>) -> Option<RawOption> {
    let code = table.integer::<u16>("code").filter(|code| is_free(*code, report));
    let data = content(table, report);
    let messages = match table.text("messages").map(|messages| messages.value) {
        Some("establishing") => RawOptionMessages::Establishing,
        _ => RawOptionMessages::All,
    };
    let (code, data) = (code?, data?);
    form(code.value, &data, report);
    Some(RawOption { code: code.value, data: data.value, messages })
}

fn content(table: &Table<'_>, report: &mut Report<'_>) -> Option<At<Vec<u8>>> {
    match (table.text("hex"), table.text("text")) {
        (Some(_), Some(text)) => {
            report
                .error("raw-option", text.span, "`hex` and `text` both say what the option holds")
                .hint("keep one of them");
            None
        }
        (Some(hex), None) => {
            let found = octets(hex.value);
            if found.is_none() {
                not_octets("raw-option", "hex", hex, format!("wanted: {HEXADECIMAL}"), report);
            }
            found.map(|octets| hex.with(octets))
        }
        (None, Some(text)) => Some(text.with(text.value.as_bytes().to_vec())),
        // One of a wrong type was reported.
        (None, None) if table.has("hex") || table.has("text") => None,
        (None, None) => {
            report
                .error("raw-option", table.span, "nothing says what the option holds")
                .hint("add hex = \"…\" or text = \"…\"; hex = \"\" sends an option without content");
            None
        }
    }
}

/// Whether the code is not one that the client sends itself, or that no client may send.
fn is_free(code: At<u16>, report: &mut Report<'_>) -> bool {
    let Some((_, name, hint)) = TAKEN.iter().find(|(taken, ..)| *taken == code.value) else {
        return true;
    };
    report
        .error("raw-option", code.span, format!("`rawOptions` cannot have option {}, {name}", code.value))
        .hint(format!("remove it; {hint}"));
    false
}

const BY_SERVERS: &str = "only servers send it";
const BY_RELAYS: &str = "only relays send it";

/// RFC 9915 §21 and §24: what the client builds itself, and what a message of a client cannot have at its top.
const TAKEN: &[(u16, &str, &str)] = &[
    (1, "the Client Identifier", "`duid` says what it is"),
    (2, "the Server Identifier", "the client sends that of the server it has chosen"),
    (3, "IA_NA", "requestAddress = true asks for an address"),
    (4, "IA_TA", "RFC 9915 has made it obsolete"),
    (5, "IA Address", "it stands inside an IA_NA: requestAddress = true asks for an address"),
    (6, "the Option Request", "the client asks for the options that it can use"),
    (7, "the Preference", BY_SERVERS),
    (8, "the Elapsed Time", "the client counts it"),
    (9, "the Relay Message", BY_RELAYS),
    (12, "Server Unicast", BY_SERVERS),
    (13, "the Status Code", BY_SERVERS),
    (14, "Rapid Commit", "rapidCommit = true sends it"),
    (18, "the Interface-Id", BY_RELAYS),
    (19, "the Reconfigure Message", BY_SERVERS),
    (20, "Reconfigure Accept", "reconfigure = true sends it"),
    (25, "IA_PD", "requestedPrefixLength, prefixHint and iaid say what it asks for"),
    (26, "IA Prefix", "it stands inside an IA_PD: `prefixHint` says what it holds"),
];

/// RFC 9915 §21.15 to §21.17: those that providers ask for are lists with lengths, which a text alone is not.
fn form(code: u16, data: &At<Vec<u8>>, report: &mut Report<'_>) {
    let content = &data.value;
    let (fits, name, rule) = match code {
        15 => (is_list(content, 0), "User Class", "items, each with its length in 2 octets before it"),
        16 => (
            content.get(4..).is_some_and(|items| is_list(items, 0)),
            "Vendor Class",
            "an enterprise number in 4 octets, and items, each with its length in 2 octets before it",
        ),
        17 => (
            content.get(4..).is_some_and(|options| options.is_empty() || is_list(options, 2)),
            "Vendor-specific Information",
            "an enterprise number in 4 octets, and options, each with its code and length in 2 octets each",
        ),
        _ => return,
    };
    if fits {
        return;
    }
    let found = report.warning(
        "raw-option-form",
        data.span,
        format!("option {code}, {name}, is {rule}: this content is not, and servers may drop the message"),
    );
    // More would not be read in a hint.
    let item = u8::try_from(content.len()).ok().filter(|length| code == 15 && (1..=64).contains(length));
    match item {
        Some(length) => found.hint(format!("as one item it is hex = \"00:{length:02x}:{}\"", hexadecimal(content))),
        None => found.hint("write it with `hex`, lengths included, as your provider or a capture has it"),
    }
}

/// Whether these are items, one at least, each with a length in 2 octets, and `before` octets before that.
fn is_list(mut rest: &[u8], before: usize) -> bool {
    let start = rest.len();
    while let Some(&[high, low]) = rest.get(before..before + 2) {
        let Some(next) = rest.get(before + 2 + usize::from(u16::from_be_bytes([high, low]))..) else {
            return false;
        };
        rest = next;
    }
    rest.is_empty() && start > 0
}
