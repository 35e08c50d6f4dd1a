//! Looks a datagram over before dhcproto sees it.
//!
//! Options that clients have a use for are checked for their size and for being there once; all others are skipped by
//! their length, whatever is in them.

use super::Malformed;
use super::option::{
    AFTR_NAME, AUTHENTICATION, CLIENT_ID, ELAPSED_TIME, IA_ADDRESS, IA_NA, IA_PD, IA_PREFIX, IA_TA, INF_MAX_RT,
    INFORMATION_REFRESH_TIME, MESSAGE_HEADER, OPTION_REQUEST, Options, PD_EXCLUDE, PREFERENCE, RAPID_COMMIT,
    RECONFIGURE_ACCEPT, RECONFIGURE_MESSAGE, SERVER_ID, SERVER_UNICAST, SOL_MAX_RT, STATUS_CODE, Tlv, VENDOR_CLASS,
    VENDOR_OPTIONS,
};

/// The longest datagram that is read. A message of more than a few hundred octets is rare.
pub(super) const LONGEST: usize = 4096;

/// Message, IA, IA Prefix or IA Address: nothing that is defined goes deeper.
const DEEPEST: usize = 3;

#[derive(Clone, Copy)]
enum Size {
    Exactly(usize),
    AtLeast(usize),
    Between(usize, usize),
    /// Codes of two octets each.
    Pairs,
}

impl Size {
    const fn fits(self, length: usize) -> bool {
        match self {
            Self::Exactly(size) => length == size,
            Self::AtLeast(least) => length >= least,
            Self::Between(least, most) => least <= length && length <= most,
            Self::Pairs => length.is_multiple_of(2),
        }
    }
}

/// How long an option may be, and whether it may be there once only (in the message, or in the option it is in).
struct Rule {
    code: u16,
    size: Size,
    once: bool,
}

const fn once(code: u16, size: Size) -> Rule {
    Rule { code, size, once: true }
}

const fn many(code: u16, size: Size) -> Rule {
    Rule { code, size, once: false }
}

/// A DUID has a type and 1 to 128 octets (RFC 9915 §11.1).
const DUID: Size = Size::Between(3, 130);

const RULES: [Rule; 23] = [
    once(CLIENT_ID, DUID),
    once(SERVER_ID, DUID),
    many(IA_NA, Size::AtLeast(12)),
    many(IA_TA, Size::AtLeast(4)),
    many(IA_ADDRESS, Size::AtLeast(24)),
    once(OPTION_REQUEST, Size::Pairs),
    once(PREFERENCE, Size::Exactly(1)),
    once(ELAPSED_TIME, Size::Exactly(2)),
    once(AUTHENTICATION, Size::AtLeast(11)),
    once(SERVER_UNICAST, Size::Exactly(16)),
    once(STATUS_CODE, Size::AtLeast(2)),
    once(RAPID_COMMIT, Size::Exactly(0)),
    many(VENDOR_CLASS, Size::AtLeast(4)),
    many(VENDOR_OPTIONS, Size::AtLeast(4)),
    once(RECONFIGURE_MESSAGE, Size::Exactly(1)),
    once(RECONFIGURE_ACCEPT, Size::Exactly(0)),
    many(IA_PD, Size::AtLeast(12)),
    many(IA_PREFIX, Size::AtLeast(25)),
    once(INFORMATION_REFRESH_TIME, Size::Exactly(4)),
    once(AFTR_NAME, Size::AtLeast(0)),
    once(PD_EXCLUDE, Size::AtLeast(0)),
    once(SOL_MAX_RT, Size::Exactly(4)),
    once(INF_MAX_RT, Size::Exactly(4)),
];

/// Whether every option of the datagram, at every level, is whole, of a possible size, and not there too often.
pub(super) fn scan(datagram: &[u8]) -> Result<(), Malformed> {
    if datagram.len() < MESSAGE_HEADER {
        return Err(Malformed::Short(datagram.len()));
    }
    if datagram.len() > LONGEST {
        return Err(Malformed::Long(datagram.len()));
    }
    level(Options::of_message(datagram), 1)
}

/// The options of one level, and those inside them.
fn level(options: Options<'_>, depth: usize) -> Result<(), Malformed> {
    let mut seen = [false; RULES.len()];
    for option in options {
        let option = option?;
        if depth > DEEPEST {
            return Err(Malformed::Deep { code: option.code, at: option.at });
        }
        check(&option, &mut seen)?;
        level(option.options(), depth + 1)?;
    }
    Ok(())
}

fn check(option: &Tlv<'_>, seen: &mut [bool; RULES.len()]) -> Result<(), Malformed> {
    let Tlv { code, at, data } = *option;
    if code == 0 {
        return Err(Malformed::Reserved { at });
    }
    let Some((rule, seen)) = RULES.iter().zip(seen).find(|(rule, _)| rule.code == code) else {
        return Ok(());
    };
    if !rule.size.fits(data.len()) {
        return Err(Malformed::Size { code, at, length: data.len() });
    }
    if rule.once && std::mem::replace(seen, true) {
        return Err(Malformed::Repeated { code, at });
    }
    Ok(())
}
