//! From a datagram of somebody else's client to what it asks for.
//!
//! Read as strictly as a server's message, with the same scan before it; but what clients may do and ours does not
//! (lifetimes in what they ask for, a Solicit without an elapsed time) is no reason to refuse it.

use dhcproto::v6;
use ipnet::Ipv6Net;

use super::decode::{duid, fixed};
use super::option::{CLIENT_ID, IA_PD, IA_PREFIX, Options, RAPID_COMMIT, SERVER_ID, Tlv};
use super::scan::scan;
use super::{ClientMessage, Duid, Malformed, TransactionId};

/// What a client asks its servers, as far as it concerns delegated prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it is; `None`: a Decline, which is about addresses only.
    pub kind: Option<ClientMessage>,
    /// The exchange it belongs to.
    pub transaction_id: TransactionId,
    /// OPTION_CLIENTID
    pub client_id: Option<Duid>,
    /// OPTION_SERVERID
    pub server_id: Option<Duid>,
    /// OPTION_RAPID_COMMIT
    pub rapid_commit: bool,
    /// Every OPTION_IA_PD: IAID and the prefixes in it, host bits cleared. Those longer than 128 bits are left out.
    pub delegations: Vec<(u32, Vec<Ipv6Net>)>,
}

/// Reads a datagram from a client.
///
/// # Errors
/// When it is malformed anywhere, or is no message of a client to servers.
pub fn decode_asked(datagram: &[u8]) -> Result<Asked, Malformed> {
    let &[kind, x0, x1, x2, ..] = datagram else {
        return Err(Malformed::Short(datagram.len()));
    };
    let kind = client_message(kind)?;
    scan(datagram)?;
    let mut asked = Asked {
        kind,
        transaction_id: [x0, x1, x2],
        client_id: None,
        server_id: None,
        rapid_commit: false,
        delegations: Vec::new(),
    };
    for option in Options::of_message(datagram) {
        let option = option?;
        match option.code {
            CLIENT_ID => asked.client_id = Some(duid(&option)?),
            SERVER_ID => asked.server_id = Some(duid(&option)?),
            RAPID_COMMIT => asked.rapid_commit = true,
            IA_PD => asked.delegations.push(delegation(&option)?),
            _ => {}
        }
    }
    Ok(asked)
}

fn client_message(kind: u8) -> Result<Option<ClientMessage>, Malformed> {
    match kind {
        1 => Ok(Some(ClientMessage::Solicit)),
        3 => Ok(Some(ClientMessage::Request)),
        4 => Ok(Some(ClientMessage::Confirm)),
        5 => Ok(Some(ClientMessage::Renew)),
        6 => Ok(Some(ClientMessage::Rebind)),
        8 => Ok(Some(ClientMessage::Release)),
        9 => Ok(None),
        11 => Ok(Some(ClientMessage::InformationRequest)),
        2 | 7 | 10 => Err(Malformed::FromServer(kind)),
        12 | 13 => Err(Malformed::ForRelay(kind)),
        _ => Err(Malformed::UnknownType(kind)),
    }
}

fn delegation(option: &Tlv<'_>) -> Result<(u32, Vec<Ipv6Net>), Malformed> {
    let v6::IAPD { id, .. } = fixed(option)?;
    let mut prefixes = Vec::new();
    for inner in option.options() {
        let inner = inner?;
        if inner.code == IA_PREFIX {
            let read: v6::IAPrefix = fixed(&inner)?;
            prefixes.extend(Ipv6Net::new(read.prefix_ip, read.prefix_len).map(|net| net.trunc()));
        }
    }
    Ok((id, prefixes))
}
