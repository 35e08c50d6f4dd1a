//! From a datagram to an [`Incoming`].

use std::net::Ipv6Addr;

use dhcproto::Decodable;
use dhcproto::v6;
use ipnet::Ipv6Net;

use super::option::{
    AFTR_NAME, AUTHENTICATION, CLIENT_ID, IA_ADDRESS, IA_NA, IA_PD, IA_PREFIX, INF_MAX_RT, INFORMATION_REFRESH_TIME,
    Options, PD_EXCLUDE, PREFERENCE, RAPID_COMMIT, RECONFIGURE_ACCEPT, RECONFIGURE_MESSAGE, SERVER_ID, SOL_MAX_RT,
    STATUS_CODE, Tlv,
};
use super::scan::scan;
use super::{
    ClientMessage, Duid, IaAddress, IaNa, IaPd, IaPrefix, Incoming, ServerMessage, Status, StatusCode, auth, exclude,
    text,
};

/// Why a datagram is dropped as a whole. Positions count octets from the start of the datagram.
///
/// There are as many values as there are positions: who tells a reason only once goes by its
/// [`discriminant`](std::mem::discriminant).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Not even a header.
    #[error("it has {0} octets, not even a header")]
    Short(usize),
    /// More than any server has to say.
    #[error("it has {0} octets, more than the 4096 that are read")]
    Long(usize),
    /// One of the messages that clients send (RFC 9915 §16).
    #[error("its message type {0} is one that clients send")]
    FromClient(u8),
    /// One of the messages that servers send, where a client's was looked for.
    #[error("its message type {0} is one that servers send")]
    FromServer(u8),
    /// A message between relay agents and servers.
    #[error("its message type {0} is one for relay agents")]
    ForRelay(u8),
    /// A message that clients know nothing of.
    #[error("clients do not know its message type {0}")]
    UnknownType(u8),
    /// Fewer octets than an option header has, after the last option.
    #[error("the last {octets} octets, from octet {at} on, are no option")]
    LeftOver {
        /// Where they begin.
        at: usize,
        /// How many there are.
        octets: usize,
    },
    /// An option that goes on after the end of what it is in.
    #[error("option {code} at octet {at} claims {length} octets where {left} are left")]
    PastEnd {
        /// Which option.
        code: u16,
        /// Where it begins.
        at: usize,
        /// The length it gives.
        length: usize,
        /// What there is.
        left: usize,
    },
    /// Options in options in options.
    #[error("option {code} at octet {at} is in the fourth level of options; there are three")]
    Deep {
        /// Which option.
        code: u16,
        /// Where it begins.
        at: usize,
    },
    /// An option of a length that it cannot have.
    #[error("option {code} at octet {at} cannot be {length} octets long")]
    Size {
        /// Which option.
        code: u16,
        /// Where it begins.
        at: usize,
        /// Its length.
        length: usize,
    },
    /// An option that may be there once, a second time in one place.
    #[error("option {code} is there twice, again at octet {at}")]
    Repeated {
        /// Which option.
        code: u16,
        /// Where the second begins.
        at: usize,
    },
    /// Option code 0, which is reserved.
    #[error("there is an option 0 at octet {at}; 0 is no option")]
    Reserved {
        /// Where it begins.
        at: usize,
    },
    /// An option that passed every check and yet cannot be read.
    #[error("option {code} at octet {at} cannot be read")]
    Unreadable {
        /// Which option.
        code: u16,
        /// Where it begins.
        at: usize,
    },
}

/// Reads a datagram from a server.
///
/// # Errors
/// When it is malformed anywhere, or is a message that clients do not get; a wrong value inside an option that
/// concerns only that option is an oddity instead.
pub fn decode(datagram: &[u8]) -> Result<Incoming, Malformed> {
    let &[kind, x0, x1, x2, ..] = datagram else {
        return Err(Malformed::Short(datagram.len()));
    };
    let kind = server_message(kind)?;
    scan(datagram)?;
    let mut incoming = Incoming::new(kind, [x0, x1, x2]);
    for option in Options::of_message(datagram) {
        incoming.take(&option?)?;
    }
    Ok(incoming)
}

fn server_message(kind: u8) -> Result<ServerMessage, Malformed> {
    match kind {
        2 => Ok(ServerMessage::Advertise),
        7 => Ok(ServerMessage::Reply),
        10 => Ok(ServerMessage::Reconfigure),
        1 | 3..=6 | 8 | 9 | 11 => Err(Malformed::FromClient(kind)),
        12 | 13 => Err(Malformed::ForRelay(kind)),
        _ => Err(Malformed::UnknownType(kind)),
    }
}

impl Incoming {
    fn take(&mut self, option: &Tlv<'_>) -> Result<(), Malformed> {
        match option.code {
            CLIENT_ID => self.client_id = Some(duid(option)?),
            SERVER_ID => self.server_id = Some(duid(option)?),
            PREFERENCE => self.preference = octet(option)?,
            STATUS_CODE => self.status = status(option)?,
            RAPID_COMMIT => self.rapid_commit = true,
            RECONFIGURE_ACCEPT => self.reconfigure_accept = true,
            RECONFIGURE_MESSAGE => self.take_reconfigure(octet(option)?),
            AUTHENTICATION => self.authentication = Some(auth::read(option)?),
            SOL_MAX_RT => self.sol_max_rt = Some(seconds(option)?),
            INF_MAX_RT => self.inf_max_rt = Some(seconds(option)?),
            INFORMATION_REFRESH_TIME => self.refresh_time = Some(seconds(option)?),
            AFTR_NAME => self.take_aftr_name(option.data),
            IA_PD => self.take_delegation(option)?,
            IA_NA => self.take_addresses(option)?,
            IA_PREFIX | IA_ADDRESS => self.odd(format!("option {} is in no IA and was left out", option.code)),
            _ => {}
        }
        Ok(())
    }

    fn take_reconfigure(&mut self, kind: u8) {
        match kind {
            5 => self.reconfigure = Some(ClientMessage::Renew),
            6 => self.reconfigure = Some(ClientMessage::Rebind),
            11 => self.reconfigure = Some(ClientMessage::InformationRequest),
            _ => self.odd(format!("the Reconfigure asks for message type {kind}, which it cannot")),
        }
    }

    fn take_aftr_name(&mut self, name: &[u8]) {
        if is_domain_name(name) {
            self.aftr_name = Some(name.to_vec());
        } else {
            self.odd("the AFTR name is no domain name and was left out".to_owned());
        }
    }

    fn take_delegation(&mut self, option: &Tlv<'_>) -> Result<(), Malformed> {
        let v6::IAPD { id, t1, t2, .. } = fixed(option)?;
        let mut ia = IaPd { iaid: id, t1, t2, status: Status::default(), prefixes: Vec::new() };
        for inner in option.options() {
            let inner = inner?;
            match inner.code {
                IA_PREFIX => ia.prefixes.extend(self.prefix(&inner)?),
                STATUS_CODE => ia.status = status(&inner)?,
                _ => {}
            }
        }
        self.delegations.push(ia);
        Ok(())
    }

    /// `None`, and an oddity, when it is no prefix.
    fn prefix(&mut self, option: &Tlv<'_>) -> Result<Option<IaPrefix>, Malformed> {
        let read: v6::IAPrefix = fixed(option)?;
        let Ok(prefix) = Ipv6Net::new(read.prefix_ip, read.prefix_len) else {
            self.odd(format!("prefix {}/{} was left out: lengths end at 128", read.prefix_ip, read.prefix_len));
            return Ok(None);
        };
        let prefix = prefix.trunc();
        let (mut status, mut excluded) = (Status::default(), None);
        for inner in option.options() {
            let inner = inner?;
            match inner.code {
                STATUS_CODE => status = self::status(&inner)?,
                PD_EXCLUDE => match exclude::decode(prefix, inner.data) {
                    Ok(net) => excluded = Some(net),
                    Err(wrong) => self.odd(format!("what {prefix} excludes was left out: {wrong}")),
                },
                _ => {}
            }
        }
        let (preferred, valid) = (read.preferred_lifetime, read.valid_lifetime);
        Ok(Some(IaPrefix { prefix, preferred, valid, status, excluded }))
    }

    fn take_addresses(&mut self, option: &Tlv<'_>) -> Result<(), Malformed> {
        let v6::IANA { id, t1, t2, .. } = fixed(option)?;
        let mut ia = IaNa { iaid: id, t1, t2, status: Status::default(), addresses: Vec::new() };
        for inner in option.options() {
            let inner = inner?;
            match inner.code {
                IA_ADDRESS => ia.addresses.push(address(&inner)?),
                STATUS_CODE => ia.status = status(&inner)?,
                _ => {}
            }
        }
        self.addresses.push(ia);
        Ok(())
    }

    /// A datagram may hold a hundred oddities; nobody reads that many.
    fn odd(&mut self, sentence: String) {
        const MOST: usize = 8;
        if self.oddities.len() < MOST {
            self.oddities.push(sentence);
        }
    }
}

fn address(option: &Tlv<'_>) -> Result<IaAddress, Malformed> {
    let v6::IAAddr { addr, preferred_life, valid_life, .. } = fixed(option)?;
    let address: Ipv6Addr = addr;
    let mut status = Status::default();
    for inner in option.options() {
        let inner = inner?;
        if inner.code == STATUS_CODE {
            status = self::status(&inner)?;
        }
    }
    Ok(IaAddress { address, preferred: preferred_life, valid: valid_life, status })
}

/// Lets dhcproto read the fixed part of an option that holds others. It gets none of those: it would read on until the
/// first it cannot read, and say nothing of the rest.
pub(super) fn fixed<T: Decodable>(option: &Tlv<'_>) -> Result<T, Malformed> {
    let unreadable = Malformed::Unreadable { code: option.code, at: option.at };
    let length = Tlv::fixed_part(option.code).ok_or(unreadable)?;
    let octets = option.data.get(..length).ok_or(unreadable)?;
    T::decode(&mut dhcproto::Decoder::new(octets)).map_err(|_| unreadable)
}

/// All of an option that holds no others, of a size that the scan has checked.
pub(super) fn array<const N: usize>(option: &Tlv<'_>) -> Result<[u8; N], Malformed> {
    option.data.try_into().map_err(|_| Malformed::Unreadable { code: option.code, at: option.at })
}

fn octet(option: &Tlv<'_>) -> Result<u8, Malformed> {
    array(option).map(u8::from_be_bytes)
}

fn seconds(option: &Tlv<'_>) -> Result<u32, Malformed> {
    array(option).map(u32::from_be_bytes)
}

pub(super) fn duid(option: &Tlv<'_>) -> Result<Duid, Malformed> {
    Duid::new(option.data).map_err(|_| Malformed::Unreadable { code: option.code, at: option.at })
}

/// Read by hand: dhcproto wants UTF-8 in the text and drops the rest of the message otherwise.
fn status(option: &Tlv<'_>) -> Result<Status, Malformed> {
    let Some((code, message)) = option.data.split_first_chunk() else {
        return Err(Malformed::Unreadable { code: option.code, at: option.at });
    };
    Ok(Status { code: StatusCode::from(u16::from_be_bytes(*code)), text: text::safe(message) })
}

/// Whether `name` is one domain name as in the DNS, uncompressed and with the root at its end (RFC 9915 §10), but not
/// the root itself, which has no tunnel endpoint (RFC 6334 §3).
fn is_domain_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let Some((&length, label)) = rest.split_first() {
        if length == 0 {
            return label.is_empty() && name.len() > 1 && name.len() <= 255;
        }
        match label.get(usize::from(length)..) {
            Some(next) if length <= 63 => rest = next,
            _ => return false,
        }
    }
    false
}
