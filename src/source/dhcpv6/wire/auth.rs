//! OPTION_AUTH and the Reconfigure Key Authentication Protocol (RFC 9915 §20.4, §21.11).

use dhcproto::Decodable;
use dhcproto::v6;
use hmac::Hmac;
use hmac::KeyInit;
use hmac::Mac;
use md5::Md5;

use super::Malformed;
use super::option::{AUTHENTICATION, OPTION_HEADER, Options, Tlv};

/// protocol: RKAP.
pub(super) const RECONFIGURE_KEY: u8 = 3;
/// algorithm: HMAC-MD5, the only one RKAP has.
pub(super) const HMAC_MD5: u8 = 1;
/// RDM: a counter that only grows.
pub(super) const COUNTER: u8 = 0;
/// Types of RKAP's authentication information.
pub(super) const KEY: u8 = 1;
pub(super) const DIGEST: u8 = 2;

/// protocol, algorithm, RDM and replay detection, before the authentication information.
const BEFORE_INFORMATION: usize = 11;

/// OPTION_AUTH as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// protocol; 3 is RKAP.
    pub protocol: u8,
    /// algorithm; 1 is HMAC-MD5.
    pub algorithm: u8,
    /// RDM; 0 is a monotonically increasing counter.
    pub rdm: u8,
    /// The replay detection value.
    pub replay: u64,
    /// The authentication information, if it is RKAP's (protocol 3, algorithm 1, RDM 0, and of the right length).
    pub rkap: Option<Rkap>,
}

/// The authentication information of RKAP (RFC 9915 §20.4.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rkap {
    /// Type 1: the key, in a Reply.
    Key([u8; 16]),
    /// Type 2: the HMAC-MD5 of a Reconfigure.
    Digest([u8; 16]),
}

impl std::fmt::Debug for Rkap {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(_) => f.write_str("Key(…)"),
            Self::Digest(digest) => f.debug_tuple("Digest").field(digest).finish(),
        }
    }
}

impl Authentication {
    /// RKAP's option with this replay detection value.
    pub const fn rkap(replay: u64, rkap: Rkap) -> Self {
        Self { protocol: RECONFIGURE_KEY, algorithm: HMAC_MD5, rdm: COUNTER, replay, rkap: Some(rkap) }
    }
}

pub(super) fn read(option: &Tlv<'_>) -> Result<Authentication, Malformed> {
    let unreadable = Malformed::Unreadable { code: option.code, at: option.at };
    if option.data.len() < BEFORE_INFORMATION {
        return Err(unreadable);
    }
    let v6::Authentication { proto, algo, rdm, replay_detection, info } =
        v6::Authentication::decode(&mut dhcproto::Decoder::new(option.data)).map_err(|_| unreadable)?;
    let rkap = match (proto, algo, rdm) {
        (RECONFIGURE_KEY, HMAC_MD5, COUNTER) => information(&info),
        _ => None,
    };
    Ok(Authentication { protocol: proto, algorithm: algo, rdm, replay: replay_detection, rkap })
}

fn information(octets: &[u8]) -> Option<Rkap> {
    let (&kind, value) = octets.split_first()?;
    let value = value.try_into().ok()?;
    match kind {
        KEY => Some(Rkap::Key(value)),
        DIGEST => Some(Rkap::Digest(value)),
        _ => None,
    }
}

/// Whether the digest in the Authentication option of `datagram` is the HMAC-MD5 of the datagram as it was received,
/// with the 16 octets of the digest taken as zero. In constant time.
pub fn verify(datagram: &[u8], key: &[u8; 16]) -> bool {
    let verified = parts(datagram).and_then(|(before, digest, after)| {
        let mac = mac(before, after, key)?;
        Some(mac.verify_slice(digest).is_ok())
    });
    verified.unwrap_or(false)
}

/// Puts the right digest into the Authentication option of a Reconfigure, for servers; whether there is one.
pub(super) fn sign(datagram: &mut [u8], key: &[u8; 16]) -> bool {
    let signature = parts(datagram).and_then(|(before, _, after)| {
        let digest = mac(before, after, key)?.finalize().into_bytes();
        Some((before.len(), digest))
    });
    let Some((at, digest)) = signature else { return false };
    for (octet, new) in datagram.iter_mut().skip(at).zip(digest) {
        *octet = new;
    }
    true
}

/// What is before the digest, the digest, and what is after it. `None` unless there is one Authentication option, with
/// a digest of RKAP.
fn parts(datagram: &[u8]) -> Option<(&[u8], &[u8; 16], &[u8])> {
    let mut options =
        Options::of_message(datagram).map_while(Result::ok).filter(|option| option.code == AUTHENTICATION);
    let (option, None) = (options.next()?, options.next()) else { return None };
    read(&option).ok()?.rkap.filter(|rkap| matches!(rkap, Rkap::Digest(_)))?;
    // One more for the type of the information.
    let (before, rest) = datagram.split_at_checked(option.at + OPTION_HEADER + BEFORE_INFORMATION + 1)?;
    let (digest, after) = rest.split_first_chunk()?;
    Some((before, digest, after))
}

fn mac(before: &[u8], after: &[u8], key: &[u8; 16]) -> Option<Hmac<Md5>> {
    let mac = <Hmac<Md5> as KeyInit>::new_from_slice(key).ok()?;
    Some(mac.chain_update(before).chain_update([0; 16]).chain_update(after))
}
