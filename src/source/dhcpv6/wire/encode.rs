//! From an [`Outgoing`] to a datagram.

use std::net::Ipv6Addr;

use dhcproto::Encodable;
use dhcproto::v6::{self, DhcpOption, DhcpOptions, OptionCode, UnknownOption};
use ipnet::Ipv6Net;

use super::option::{CLIENT_ID, MESSAGE_HEADER, OPTION_HEADER, SERVER_ID};
use super::{ClientMessage, Duid, TransactionId};
use crate::source::dhcpv6::RawOption;

/// A message from us to the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// What it is.
    pub kind: ClientMessage,
    /// The exchange it belongs to.
    pub transaction_id: TransactionId,
    /// OPTION_CLIENTID
    pub client_id: Duid,
    /// OPTION_SERVERID
    pub server_id: Option<Duid>,
    /// OPTION_ELAPSED_TIME, in hundredths of a second.
    pub elapsed: u16,
    /// The codes of OPTION_ORO; no option when empty.
    pub option_request: Vec<u16>,
    /// OPTION_RAPID_COMMIT
    pub rapid_commit: bool,
    /// OPTION_RECONF_ACCEPT
    pub reconfigure_accept: bool,
    /// OPTION_IA_PD, T1 and T2 zero: IAID and every OPTION_IAPREFIX, lifetimes zero.
    pub delegations: Vec<(u32, Vec<Ipv6Net>)>,
    /// OPTION_IA_NA, T1 and T2 zero: IAID and every OPTION_IAADDR, lifetimes zero.
    pub addresses: Vec<(u32, Vec<Ipv6Addr>)>,
    /// Appended as they are.
    pub raw_options: Vec<RawOption>,
}

/// A message that would not fit into one packet of the smallest IPv6 MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message would have {0} octets; 1232 fit into a packet on every IPv6 link (RFC 8200 §5)")]
pub struct TooLong(pub usize);

/// IPv6's smallest MTU without the headers of IPv6 and UDP (RFC 8200 §5).
const LONGEST: usize = 1280 - 40 - 8;

/// Writes a message. Its options come in the order of [`Outgoing`]'s fields.
///
/// # Errors
/// When it would have more than 1232 octets: nothing is ever shortened.
pub fn encode(message: &Outgoing) -> Result<Vec<u8>, TooLong> {
    // Before dhcproto casts the length of an option to 16 bits.
    let length = length(message);
    if length > LONGEST {
        return Err(TooLong(length));
    }
    let mut datagram = Vec::with_capacity(length);
    datagram.push(message.kind.into());
    datagram.extend(message.transaction_id);
    for option in options(message) {
        // Each for itself, as dhcproto sorts lists. It fails for domain names only, and there are none here.
        datagram.extend(option.to_vec().map_err(|_| TooLong(length))?);
    }
    Ok(datagram)
}

fn length(message: &Outgoing) -> usize {
    let option = |content: usize| OPTION_HEADER + content;
    let duid = |duid: &Duid| option(duid.as_bytes().len());
    let ia = |leases: usize, lease: usize| option(12 + leases * option(lease));
    let request = message.option_request.len() * 2;
    [
        MESSAGE_HEADER,
        duid(&message.client_id),
        message.server_id.as_ref().map_or(0, duid),
        option(2),
        if request == 0 { 0 } else { option(request) },
        if message.rapid_commit { option(0) } else { 0 },
        if message.reconfigure_accept { option(0) } else { 0 },
        message.delegations.iter().map(|(_, prefixes)| ia(prefixes.len(), 25)).sum(),
        message.addresses.iter().map(|(_, addresses)| ia(addresses.len(), 24)).sum(),
        message.raw_options.iter().map(|raw| option(raw.data.len())).sum(),
    ]
    .into_iter()
    .fold(0, usize::saturating_add)
}

fn options(message: &Outgoing) -> impl Iterator<Item = DhcpOption> {
    let request = message.option_request.iter().map(|code| OptionCode::from(*code)).collect::<Vec<_>>();
    let head = [
        Some(raw(CLIENT_ID, message.client_id.as_bytes())),
        message.server_id.as_ref().map(|id| raw(SERVER_ID, id.as_bytes())),
        Some(DhcpOption::ElapsedTime(message.elapsed)),
        (!request.is_empty()).then_some(DhcpOption::ORO(v6::ORO { opts: request })),
        message.rapid_commit.then_some(DhcpOption::RapidCommit),
        message.reconfigure_accept.then_some(DhcpOption::ReconfAccept),
    ];
    let delegations = message.delegations.iter().map(|(iaid, prefixes)| {
        DhcpOption::IAPD(v6::IAPD { id: *iaid, t1: 0, t2: 0, opts: in_order(prefixes.iter().map(prefix)) })
    });
    let addresses = message.addresses.iter().map(|(iaid, addresses)| {
        DhcpOption::IANA(v6::IANA { id: *iaid, t1: 0, t2: 0, opts: in_order(addresses.iter().map(address)) })
    });
    let raws = message.raw_options.iter().map(|option| raw(option.code, &option.data));
    head.into_iter().flatten().chain(delegations).chain(addresses).chain(raws)
}

/// dhcproto writes User Class and Vendor Class wrongly and knows few DUIDs, so it gets their octets.
fn raw(code: u16, data: &[u8]) -> DhcpOption {
    DhcpOption::Unknown(UnknownOption::new(OptionCode::from(code), data.to_vec()))
}

/// Lifetimes are the server's to choose (RFC 9915 §21.22).
fn prefix(prefix: &Ipv6Net) -> DhcpOption {
    DhcpOption::IAPrefix(v6::IAPrefix {
        preferred_lifetime: 0,
        valid_lifetime: 0,
        prefix_len: prefix.prefix_len(),
        prefix_ip: prefix.addr(),
        opts: DhcpOptions::new(),
    })
}

fn address(address: &Ipv6Addr) -> DhcpOption {
    DhcpOption::IAAddr(v6::IAAddr { addr: *address, preferred_life: 0, valid_life: 0, opts: DhcpOptions::new() })
}

/// `insert` puts an option before those of the same code.
fn in_order(options: impl DoubleEndedIterator<Item = DhcpOption>) -> DhcpOptions {
    let mut list = DhcpOptions::new();
    options.rev().for_each(|option| list.insert(option));
    list
}
