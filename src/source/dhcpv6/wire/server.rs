//! The other side of the wire: what a server writes and reads. For whoever plays one: tests, the fake server, the
//! simulated provider of the demo. The daemon itself has no use for it.
//!
//! A server's message is an [`Incoming`], a client's an [`Outgoing`], so that what one side writes can be compared with
//! what the other reads. What is wrong on purpose goes in by [`option`] and by `extra`.

use dhcproto::v6;
use ipnet::Ipv6Net;

use super::decode::{array, duid, fixed};
use super::option::{
    AFTR_NAME, AUTHENTICATION, CLIENT_ID, ELAPSED_TIME, IA_ADDRESS, IA_NA, IA_PD, IA_PREFIX, INF_MAX_RT,
    INFORMATION_REFRESH_TIME, OPTION_REQUEST, Options, PD_EXCLUDE, PREFERENCE, RAPID_COMMIT, RECONFIGURE_ACCEPT,
    RECONFIGURE_MESSAGE, SERVER_ID, SOL_MAX_RT, STATUS_CODE, Tlv,
};
use super::scan::scan;
use super::{
    Authentication, ClientMessage, IaAddress, IaNa, IaPd, IaPrefix, Incoming, Malformed, Outgoing, Rkap, ServerMessage,
    Status, auth, exclude,
};
use crate::source::dhcpv6::{RawOption, RawOptionMessages};

/// Writes a message of a server, and `extra` (code and content) after its other options. [`Incoming::oddities`] have
/// no place in it.
///
/// The options are not in ascending order: nobody may count on that.
pub fn encode(message: &Incoming, extra: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut options = vec![
        message.server_id.as_ref().map(|id| option(SERVER_ID, id.as_bytes())),
        message.client_id.as_ref().map(|id| option(CLIENT_ID, id.as_bytes())),
        message.reconfigure.map(|kind| option(RECONFIGURE_MESSAGE, &[kind.into()])),
        (message.preference != 0).then(|| option(PREFERENCE, &[message.preference])),
        status(&message.status),
        message.rapid_commit.then(|| option(RAPID_COMMIT, &[])),
        message.reconfigure_accept.then(|| option(RECONFIGURE_ACCEPT, &[])),
    ];
    options.extend(message.delegations.iter().map(delegation).map(Some));
    options.extend(message.addresses.iter().map(addresses).map(Some));
    options.extend([
        message.sol_max_rt.map(|seconds| option(SOL_MAX_RT, &seconds.to_be_bytes())),
        message.inf_max_rt.map(|seconds| option(INF_MAX_RT, &seconds.to_be_bytes())),
        message.refresh_time.map(|seconds| option(INFORMATION_REFRESH_TIME, &seconds.to_be_bytes())),
        message.aftr_name.as_ref().map(|name| option(AFTR_NAME, name)),
        message.authentication.as_ref().map(authentication),
    ]);
    options.extend(extra.iter().map(|(code, data)| Some(option(*code, data))));
    let kind: u8 = match message.kind {
        ServerMessage::Advertise => 2,
        ServerMessage::Reply => 7,
        ServerMessage::Reconfigure => 10,
    };
    let [x0, x1, x2] = message.transaction_id;
    let head = vec![kind, x0, x1, x2];
    std::iter::once(head).chain(options.into_iter().flatten()).collect::<Vec<_>>().concat()
}

/// One option: code, length, content. Its length field holds 65535 at most; more content makes a malformed option.
pub fn option(code: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    [&code.to_be_bytes()[..], &length.to_be_bytes(), data].concat()
}

/// An Authentication option for a Reconfigure, to be signed with [`sign`].
pub const fn unsigned(replay: u64) -> Authentication {
    Authentication::rkap(replay, Rkap::Digest([0; 16]))
}

/// Puts the digest into the Authentication option of a Reconfigure (RFC 9915 §20.4.2); whether there is one to put it
/// into.
pub fn sign(datagram: &mut [u8], key: &[u8; 16]) -> bool {
    auth::sign(datagram, key)
}

fn delegation(ia: &IaPd) -> Vec<u8> {
    let prefixes = ia.prefixes.iter().map(prefix);
    option(
        IA_PD,
        &[times(ia.iaid, ia.t1, ia.t2), status(&ia.status).unwrap_or_default(), prefixes.collect::<Vec<_>>().concat()]
            .concat(),
    )
}

fn prefix(prefix: &IaPrefix) -> Vec<u8> {
    let mut data = [prefix.preferred.to_be_bytes(), prefix.valid.to_be_bytes()].concat();
    data.push(prefix.prefix.prefix_len());
    data.extend(prefix.prefix.addr().octets());
    data.extend(status(&prefix.status).unwrap_or_default());
    data.extend(
        prefix.excluded.map(|net| option(PD_EXCLUDE, &exclude::encode(prefix.prefix, net))).unwrap_or_default(),
    );
    option(IA_PREFIX, &data)
}

fn addresses(ia: &IaNa) -> Vec<u8> {
    let addresses = ia.addresses.iter().map(address);
    option(
        IA_NA,
        &[times(ia.iaid, ia.t1, ia.t2), status(&ia.status).unwrap_or_default(), addresses.collect::<Vec<_>>().concat()]
            .concat(),
    )
}

fn address(address: &IaAddress) -> Vec<u8> {
    let mut data = address.address.octets().to_vec();
    data.extend(address.preferred.to_be_bytes());
    data.extend(address.valid.to_be_bytes());
    data.extend(status(&address.status).unwrap_or_default());
    option(IA_ADDRESS, &data)
}

fn times(iaid: u32, t1: u32, t2: u32) -> Vec<u8> {
    [iaid.to_be_bytes(), t1.to_be_bytes(), t2.to_be_bytes()].concat()
}

/// None for a Success that says nothing, as most servers do it.
fn status(status: &Status) -> Option<Vec<u8>> {
    let code = u16::from(status.code).to_be_bytes();
    (*status != Status::default()).then(|| option(STATUS_CODE, &[&code[..], status.text.as_bytes()].concat()))
}

fn authentication(authentication: &Authentication) -> Vec<u8> {
    let mut data = vec![authentication.protocol, authentication.algorithm, authentication.rdm];
    data.extend(authentication.replay.to_be_bytes());
    match authentication.rkap {
        Some(Rkap::Key(key)) => data.extend(std::iter::once(auth::KEY).chain(key)),
        Some(Rkap::Digest(digest)) => data.extend(std::iter::once(auth::DIGEST).chain(digest)),
        None => {}
    }
    option(AUTHENTICATION, &data)
}

/// Why a server would not understand a client's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its octets are wrong.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// No message that this client sends.
    #[error("its message type {0} is none that the client sends")]
    Type(u8),
    /// An option that every message must have.
    #[error("it has no option {0}")]
    Missing(u16),
    /// A T1, T2 or lifetime that is not zero.
    #[error("option {code} at octet {at} has a T1, T2 or lifetime, which are the server's to choose")]
    Lifetime {
        /// Which option.
        code: u16,
        /// Where it begins.
        at: usize,
    },
    /// An option in an IA that clients do not put there.
    #[error("option {code} at octet {at} is in the wrong place")]
    Misplaced {
        /// Which option.
        code: u16,
        /// Where it begins.
        at: usize,
    },
    /// A prefix length above 128.
    #[error("a prefix length of {0}")]
    PrefixLength(u8),
}

/// Reads a message of a client. All options that [`Outgoing`] has no field for are in its `raw_options`.
///
/// # Errors
/// When it is malformed, or is not as RFC 9915 §18.2 wants it: without client identifier or elapsed time, or with
/// lifetimes.
pub fn decode_client(datagram: &[u8]) -> Result<Outgoing, Refused> {
    scan(datagram)?;
    let &[kind, x0, x1, x2, ..] = datagram else {
        return Err(Malformed::Short(datagram.len()).into());
    };
    let options = Options::of_message(datagram).collect::<Result<Vec<_>, _>>()?;
    let find = |code| options.iter().find(|option| option.code == code);
    let need = |code| find(code).ok_or(Refused::Missing(code));
    let mut message = Outgoing {
        kind: client_message(kind)?,
        transaction_id: [x0, x1, x2],
        client_id: duid(need(CLIENT_ID)?)?,
        server_id: find(SERVER_ID).map(duid).transpose()?,
        elapsed: u16::from_be_bytes(array(need(ELAPSED_TIME)?)?),
        option_request: find(OPTION_REQUEST).map(codes).unwrap_or_default(),
        rapid_commit: find(RAPID_COMMIT).is_some(),
        reconfigure_accept: find(RECONFIGURE_ACCEPT).is_some(),
        delegations: Vec::new(),
        addresses: Vec::new(),
        raw_options: Vec::new(),
    };
    for option in &options {
        match option.code {
            CLIENT_ID | SERVER_ID | ELAPSED_TIME | OPTION_REQUEST | RAPID_COMMIT | RECONFIGURE_ACCEPT => {}
            IA_PD => message.delegations.push(asked_delegation(option)?),
            IA_NA => message.addresses.push(asked_addresses(option)?),
            code => message.raw_options.push(RawOption {
                code,
                data: option.data.to_vec(),
                messages: RawOptionMessages::All,
            }),
        }
    }
    Ok(message)
}

fn client_message(kind: u8) -> Result<ClientMessage, Refused> {
    match kind {
        1 => Ok(ClientMessage::Solicit),
        3 => Ok(ClientMessage::Request),
        4 => Ok(ClientMessage::Confirm),
        5 => Ok(ClientMessage::Renew),
        6 => Ok(ClientMessage::Rebind),
        8 => Ok(ClientMessage::Release),
        11 => Ok(ClientMessage::InformationRequest),
        _ => Err(Refused::Type(kind)),
    }
}

fn codes(option: &Tlv<'_>) -> Vec<u16> {
    option.data.as_chunks().0.iter().map(|code| u16::from_be_bytes(*code)).collect()
}

fn asked_delegation(option: &Tlv<'_>) -> Result<(u32, Vec<Ipv6Net>), Refused> {
    let v6::IAPD { id, t1, t2, .. } = fixed(option)?;
    zero(option, t1, t2)?;
    let prefixes = option.options().map(|inner| {
        let inner = expect(inner?, IA_PREFIX)?;
        let read: v6::IAPrefix = fixed(&inner)?;
        zero(&inner, read.preferred_lifetime, read.valid_lifetime)?;
        Ipv6Net::new(read.prefix_ip, read.prefix_len).map_err(|_| Refused::PrefixLength(read.prefix_len))
    });
    Ok((id, prefixes.collect::<Result<_, Refused>>()?))
}

fn asked_addresses(option: &Tlv<'_>) -> Result<(u32, Vec<std::net::Ipv6Addr>), Refused> {
    let v6::IANA { id, t1, t2, .. } = fixed(option)?;
    zero(option, t1, t2)?;
    let addresses = option.options().map(|inner| {
        let inner = expect(inner?, IA_ADDRESS)?;
        let read: v6::IAAddr = fixed(&inner)?;
        zero(&inner, read.preferred_life, read.valid_life)?;
        Ok(read.addr)
    });
    Ok((id, addresses.collect::<Result<_, Refused>>()?))
}

fn expect(option: Tlv<'_>, code: u16) -> Result<Tlv<'_>, Refused> {
    // Nothing goes into what a client asks for, either.
    match option.options().next() {
        None if option.code == code => Ok(option),
        _ => Err(Refused::Misplaced { code: option.code, at: option.at }),
    }
}

fn zero(option: &Tlv<'_>, first: u32, second: u32) -> Result<(), Refused> {
    if first == 0 && second == 0 { Ok(()) } else { Err(Refused::Lifetime { code: option.code, at: option.at }) }
}
