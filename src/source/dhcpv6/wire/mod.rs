//! DHCPv6 messages as values (RFC 9915 §8, §21): the only place that knows bytes, and the only one that knows dhcproto.
//!
//! dhcproto 0.15 reads a message with a malformed option as one that is short, panics on some and overflows the stack
//! on others. Every datagram is therefore looked over first (`scan`): lengths, depth, exact sizes, duplicates. It also
//! sorts the options of a message and scrambles those of one kind, so it gets one option at a time.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

mod asked;
mod auth;
mod decode;
mod duid;
mod encode;
mod exclude;
mod option;
mod scan;
pub mod server;
mod text;

pub use asked::{Asked, decode_asked};
pub use auth::{Authentication, Rkap, verify};
pub use decode::{Malformed, decode};
pub use duid::{Duid, InvalidDuid, InvalidDuidText};
pub use encode::{Outgoing, TooLong, encode};

/// The messages that clients send (RFC 9915 §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientMessage {
    /// SOLICIT (1)
    Solicit,
    /// REQUEST (3)
    Request,
    /// CONFIRM (4)
    Confirm,
    /// RENEW (5)
    Renew,
    /// REBIND (6)
    Rebind,
    /// RELEASE (8)
    Release,
    /// INFORMATION-REQUEST (11)
    InformationRequest,
}

impl From<ClientMessage> for u8 {
    fn from(message: ClientMessage) -> Self {
        match message {
            ClientMessage::Solicit => 1,
            ClientMessage::Request => 3,
            ClientMessage::Confirm => 4,
            ClientMessage::Renew => 5,
            ClientMessage::Rebind => 6,
            ClientMessage::Release => 8,
            ClientMessage::InformationRequest => 11,
        }
    }
}

/// The messages that servers send to clients (RFC 9915 §7.3). All others are refused by [`decode()`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerMessage {
    /// ADVERTISE (2)
    Advertise,
    /// REPLY (7)
    Reply,
    /// RECONFIGURE (10)
    Reconfigure,
}

/// The transaction-id of an exchange (RFC 9915 §16.1).
pub type TransactionId = [u8; 3];

/// A message from a server. Options that a client has no use for are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// What it is.
    pub kind: ServerMessage,
    /// The exchange it belongs to.
    pub transaction_id: TransactionId,
    /// OPTION_CLIENTID
    pub client_id: Option<Duid>,
    /// OPTION_SERVERID
    pub server_id: Option<Duid>,
    /// OPTION_PREFERENCE; 0 when absent.
    pub preference: u8,
    /// OPTION_STATUS_CODE of the message; Success when absent.
    pub status: Status,
    /// OPTION_RAPID_COMMIT
    pub rapid_commit: bool,
    /// OPTION_RECONF_ACCEPT
    pub reconfigure_accept: bool,
    /// OPTION_RECONF_MSG: which message is asked for (only Renew, Rebind, InformationRequest).
    pub reconfigure: Option<ClientMessage>,
    /// OPTION_AUTH
    pub authentication: Option<Authentication>,
    /// OPTION_SOL_MAX_RT in seconds, as sent (RFC 9915 §21.24).
    pub sol_max_rt: Option<u32>,
    /// OPTION_INF_MAX_RT in seconds, as sent (RFC 9915 §21.25).
    pub inf_max_rt: Option<u32>,
    /// OPTION_INFORMATION_REFRESH_TIME in seconds, as sent (RFC 9915 §21.23).
    pub refresh_time: Option<u32>,
    /// OPTION_AFTR_NAME, DNS encoded (RFC 6334).
    pub aftr_name: Option<Vec<u8>>,
    /// Every OPTION_IA_PD, in no order that means anything.
    pub delegations: Vec<IaPd>,
    /// Every OPTION_IA_NA.
    pub addresses: Vec<IaNa>,
    /// What was left out although it was meant for us: a sentence each, made safe for a log.
    pub oddities: Vec<String>,
}

impl Incoming {
    /// A message without any option.
    pub fn new(kind: ServerMessage, transaction_id: TransactionId) -> Self {
        Self {
            kind,
            transaction_id,
            client_id: None,
            server_id: None,
            preference: 0,
            status: Status::default(),
            rapid_commit: false,
            reconfigure_accept: false,
            reconfigure: None,
            authentication: None,
            sol_max_rt: None,
            inf_max_rt: None,
            refresh_time: None,
            aftr_name: None,
            delegations: Vec::new(),
            addresses: Vec::new(),
            oddities: Vec::new(),
        }
    }
}

/// OPTION_IA_PD (RFC 9915 §21.21).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IaPd {
    /// IAID
    pub iaid: u32,
    /// T1 in seconds, as sent.
    pub t1: u32,
    /// T2 in seconds, as sent.
    pub t2: u32,
    /// The status inside it; Success when absent.
    pub status: Status,
    /// Every OPTION_IAPREFIX, in no order that means anything.
    pub prefixes: Vec<IaPrefix>,
}

/// OPTION_IAPREFIX (RFC 9915 §21.22).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IaPrefix {
    /// The prefix, host bits cleared (some servers send them). Its length is 0 to 128; longer ones are left out.
    pub prefix: Ipv6Net,
    /// The preferred lifetime in seconds, as sent.
    pub preferred: u32,
    /// The valid lifetime in seconds, as sent.
    pub valid: u32,
    /// The status inside it; Success when absent.
    pub status: Status,
    /// OPTION_PD_EXCLUDE (RFC 6603), if it is right.
    pub excluded: Option<Ipv6Net>,
}

/// OPTION_IA_NA (RFC 9915 §21.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IaNa {
    /// IAID
    pub iaid: u32,
    /// T1 in seconds, as sent.
    pub t1: u32,
    /// T2 in seconds, as sent.
    pub t2: u32,
    /// The status inside it; Success when absent.
    pub status: Status,
    /// Every OPTION_IAADDR.
    pub addresses: Vec<IaAddress>,
}

/// OPTION_IAADDR (RFC 9915 §21.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IaAddress {
    /// The address.
    pub address: Ipv6Addr,
    /// The preferred lifetime in seconds, as sent.
    pub preferred: u32,
    /// The valid lifetime in seconds, as sent.
    pub valid: u32,
    /// The status inside it; Success when absent.
    pub status: Status,
}

/// OPTION_STATUS_CODE (RFC 9915 §21.13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The code.
    pub code: StatusCode,
    /// The text, made safe for a log: at most 200 characters, none of them a control character.
    pub text: String,
}

/// The status codes of RFC 9915 §21.13.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StatusCode {
    /// 0, or no status at all.
    #[default]
    Success,
    /// 1
    UnspecFail,
    /// 2
    NoAddrsAvail,
    /// 3
    NoBinding,
    /// 4
    NotOnLink,
    /// 5, obsolete since RFC 9915.
    UseMulticast,
    /// 6
    NoPrefixAvail,
    /// Any other: to be taken as UnspecFail.
    Other(u16),
}

impl From<u16> for StatusCode {
    fn from(code: u16) -> Self {
        match code {
            0 => Self::Success,
            1 => Self::UnspecFail,
            2 => Self::NoAddrsAvail,
            3 => Self::NoBinding,
            4 => Self::NotOnLink,
            5 => Self::UseMulticast,
            6 => Self::NoPrefixAvail,
            other => Self::Other(other),
        }
    }
}

impl From<StatusCode> for u16 {
    fn from(code: StatusCode) -> Self {
        match code {
            StatusCode::Success => 0,
            StatusCode::UnspecFail => 1,
            StatusCode::NoAddrsAvail => 2,
            StatusCode::NoBinding => 3,
            StatusCode::NotOnLink => 4,
            StatusCode::UseMulticast => 5,
            StatusCode::NoPrefixAvail => 6,
            StatusCode::Other(other) => other,
        }
    }
}

#[cfg(test)]
mod tests;
