//! DUIDs (RFC 9915 §11): opaque, compared for equality only.

use std::fmt;

/// A DHCP Unique Identifier: its type (2 octets) and 1 to 128 octets more.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duid(Vec<u8>);

/// Why octets are no DUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a DUID has 3 to 130 octets, not {length}")]
pub struct InvalidDuid {
    /// How many octets there are.
    pub length: usize,
}

impl Duid {
    /// The DUID with these octets, type included.
    ///
    /// # Errors
    /// When there are fewer than 3 or more than 130.
    pub fn new(octets: &[u8]) -> Result<Self, InvalidDuid> {
        if (3..=130).contains(&octets.len()) {
            Ok(Self(octets.to_vec()))
        } else {
            Err(InvalidDuid { length: octets.len() })
        }
    }

    /// All octets, type included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Duid {
    /// In hexadecimal, two digits for each octet, without separators.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Duid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
