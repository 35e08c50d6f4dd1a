//! Options as octets, one after the other: code, length, content (RFC 9915 §21.1).

use super::Malformed;

pub(super) const CLIENT_ID: u16 = 1;
pub(super) const SERVER_ID: u16 = 2;
pub(super) const IA_NA: u16 = 3;
pub(super) const IA_TA: u16 = 4;
pub(super) const IA_ADDRESS: u16 = 5;
pub(super) const OPTION_REQUEST: u16 = 6;
pub(super) const PREFERENCE: u16 = 7;
pub(super) const ELAPSED_TIME: u16 = 8;
pub(super) const AUTHENTICATION: u16 = 11;
pub(super) const SERVER_UNICAST: u16 = 12;
pub(super) const STATUS_CODE: u16 = 13;
pub(super) const RAPID_COMMIT: u16 = 14;
pub(super) const VENDOR_CLASS: u16 = 16;
pub(super) const VENDOR_OPTIONS: u16 = 17;
pub(super) const RECONFIGURE_MESSAGE: u16 = 19;
pub(super) const RECONFIGURE_ACCEPT: u16 = 20;
pub(super) const IA_PD: u16 = 25;
pub(super) const IA_PREFIX: u16 = 26;
pub(super) const INFORMATION_REFRESH_TIME: u16 = 32;
pub(super) const AFTR_NAME: u16 = 64;
pub(super) const PD_EXCLUDE: u16 = 67;
pub(super) const SOL_MAX_RT: u16 = 82;
pub(super) const INF_MAX_RT: u16 = 83;

/// Message type and transaction-id (RFC 9915 §8).
pub(super) const MESSAGE_HEADER: usize = 4;
/// Code and length of an option.
pub(super) const OPTION_HEADER: usize = 4;

/// One option of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tlv<'a> {
    pub(super) code: u16,
    /// Where its header begins, in octets from the start of the datagram.
    pub(super) at: usize,
    /// What follows its header.
    pub(super) data: &'a [u8],
}

impl<'a> Tlv<'a> {
    /// The fixed part of the content, for an option that holds other options. The contents of vendor options (17) and
    /// relayed messages (9) are not looked at: nobody here reads them.
    pub(super) const fn fixed_part(code: u16) -> Option<usize> {
        match code {
            IA_NA | IA_PD => Some(12),
            IA_TA => Some(4),
            IA_ADDRESS => Some(24),
            IA_PREFIX => Some(25),
            _ => None,
        }
    }

    /// The options inside it: none when it is of a kind that holds none, or too short.
    pub(super) fn options(&self) -> Options<'a> {
        let fixed = Self::fixed_part(self.code).unwrap_or(self.data.len());
        Options { rest: self.data.get(fixed..).unwrap_or_default(), at: self.at + OPTION_HEADER + fixed }
    }
}

/// The options of a message or of an option, in order; ends after the first that is cut short.
#[derive(Clone, Debug)]
pub(super) struct Options<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Options<'a> {
    /// The options of a message.
    pub(super) fn of_message(datagram: &'a [u8]) -> Self {
        Self { rest: datagram.get(MESSAGE_HEADER..).unwrap_or_default(), at: MESSAGE_HEADER }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<Tlv<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return None;
        }
        let Some(([c0, c1, l0, l1], content)) = rest.split_first_chunk::<OPTION_HEADER>() else {
            return Some(Err(Malformed::LeftOver { at, octets: rest.len() }));
        };
        let code = u16::from_be_bytes([*c0, *c1]);
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let Some((data, rest)) = content.split_at_checked(length) else {
            return Some(Err(Malformed::PastEnd { code, at, length, left: content.len() }));
        };
        self.rest = rest;
        self.at = at + OPTION_HEADER + length;
        Some(Ok(Tlv { code, at, data }))
    }
}
