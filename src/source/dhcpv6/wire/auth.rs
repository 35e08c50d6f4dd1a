//! OPTION_AUTH and the Reconfigure Key Authentication Protocol (RFC 9915 §20.4, §21.11).

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
    /// The authentication information, if it is RKAP's.
    pub rkap: Option<Rkap>,
}

/// The authentication information of RKAP (RFC 9915 §20.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rkap {
    /// Type 1: the key, in a Reply.
    Key([u8; 16]),
    /// Type 2: the HMAC-MD5 of a Reconfigure.
    Digest([u8; 16]),
}

/// Whether the digest in the Authentication option of `datagram` is the HMAC-MD5 of the datagram as it was received,
/// with the 16 octets of the digest taken as zero. In constant time.
pub fn verify(datagram: &[u8], key: &[u8; 16]) -> bool {
    let _ = (datagram, key);
    false
}
