//! From a datagram to an [`Incoming`].

use super::Incoming;

/// Why a datagram is dropped as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Not even a header.
    #[error("it has {0} octets")]
    Short(usize),
}

/// Reads a datagram from a server.
///
/// # Errors
/// When it is malformed anywhere, or is a message that clients do not get; a wrong value inside an option that
/// concerns only that option is an oddity instead.
pub fn decode(datagram: &[u8]) -> Result<Incoming, Malformed> {
    Err(Malformed::Short(datagram.len()))
}
