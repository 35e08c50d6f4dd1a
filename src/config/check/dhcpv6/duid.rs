//! `duid`

use super::super::super::finding::{At, Report};
use super::super::super::suggest::nearest;
use super::{hexadecimal, not_octets, octets};
use crate::source::dhcpv6::{Duid, DuidSetting};

pub(super) fn duid(text: At<&str>, report: &mut Report<'_>) -> Option<DuidSetting> {
    match text.value {
        "auto" => return Some(DuidSetting::Auto),
        "ll" => return Some(DuidSetting::LinkLayer),
        "llt" => return Some(DuidSetting::LinkLayerTime),
        _ => {}
    }
    let Some(octets) = octets(text.value) else {
        not_octets("invalid-duid", "duid", text, hint(text.value), report);
        return None;
    };
    match Duid::new(&octets) {
        Ok(duid) => {
            form(text, &octets, report);
            Some(DuidSetting::Fixed(duid))
        }
        Err(why) => {
            report.error("invalid-duid", text.span, format!("`duid`: {why}")).hint(hint(""));
            None
        }
    }
}

fn hint(text: &str) -> String {
    if let Some(meant) = nearest(text, ["auto", "ll", "llt"]) {
        return format!("did you mean \"{meant}\"?");
    }
    if text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("en")) {
        return "a DUID-EN in hexadecimal is 00:02, the enterprise number in 4 octets and the identifier, as in \
                \"00:02:00:00:7e:d9:01:23\""
            .to_owned();
    }
    "wanted: \"auto\" (made from the machine-id), \"ll\" or \"llt\" (from the MAC address), or all octets in hexadecimal, \
     type included, as in \"00:03:00:01:02:00:5e:10:00:01\""
        .to_owned()
}

/// Servers take a DUID as it is (RFC 9915 §11), so none is refused for its form; but what looks like none was most
/// probably meant to be another one, and the delegation hangs on it.
fn form(text: At<&str>, octets: &[u8], report: &mut Report<'_>) {
    let length = octets.len();
    let (kind, wanted, fits) = match octets {
        [0, 1, 0, 1, ..] => ("DUID-LLT of an Ethernet interface", "14 octets", length == 14),
        [0, 1, ..] => ("DUID-LLT", "more than 8 octets", length > 8),
        [0, 2, ..] => ("DUID-EN", "more than 6 octets", length > 6),
        [0, 3, 0, 1, ..] => ("DUID-LL of an Ethernet interface", "10 octets", length == 10),
        [0, 3, ..] => ("DUID-LL", "more than 4 octets", length > 4),
        [0, 4, ..] => ("DUID-UUID", "18 octets", length == 18),
        _ => return without_type(text, octets, report),
    };
    if !fits {
        let message = format!("`duid` begins like a {kind}, which has {wanted}, not {length}");
        report.warning("duid-form", text.span, message).hint(AS_IT_IS);
    }
}

const AS_IT_IS: &str = "it is used as it is: compare it with the one that your provider or your former router has";

fn without_type(text: At<&str>, octets: &[u8], report: &mut Report<'_>) {
    let whole = hexadecimal(octets);
    let hint = match octets.len() {
        6 => format!("if it is a MAC address, the DUID-LL of it is \"00:03:00:01:{whole}\""),
        16 => format!("if it is a UUID, the DUID-UUID of it is \"00:04:{whole}\""),
        _ => AS_IT_IS.to_owned(),
    };
    let message = "`duid` begins with none of the types that there are, 00:01 to 00:04";
    report.warning("duid-form", text.span, message).hint(hint);
}
