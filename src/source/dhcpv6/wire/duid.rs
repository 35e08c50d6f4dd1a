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

/// Why a text is no DUID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuidText {
    /// A character that has no place in it.
    #[error("{0:?} is no hexadecimal digit")]
    NoDigit(char),
    /// An octet with one digit, or none.
    #[error("{0:?} is not two hexadecimal digits for each octet")]
    HalfAnOctet(String),
    /// Too short or too long.
    #[error(transparent)]
    Length(#[from] InvalidDuid),
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

    /// DUID-LLT: the link-layer address of an interface and the time it was made, in seconds since 2000 (RFC 9915
    /// §11.2).
    ///
    /// # Errors
    /// When the address is too long.
    pub fn link_layer_and_time(hardware_type: u16, time: u32, address: &[u8]) -> Result<Self, InvalidDuid> {
        Self::new(&[&[0, 1], &hardware_type.to_be_bytes()[..], &time.to_be_bytes(), address].concat())
    }

    /// DUID-EN: an identifier of the vendor with this enterprise number (RFC 9915 §11.3).
    ///
    /// # Errors
    /// When the identifier is too long.
    pub fn enterprise(number: u32, identifier: &[u8]) -> Result<Self, InvalidDuid> {
        Self::new(&[&[0, 2], &number.to_be_bytes()[..], identifier].concat())
    }

    /// DUID-LL: the link-layer address of an interface (RFC 9915 §11.4).
    ///
    /// # Errors
    /// When the address is too long.
    pub fn link_layer(hardware_type: u16, address: &[u8]) -> Result<Self, InvalidDuid> {
        Self::new(&[&[0, 3], &hardware_type.to_be_bytes()[..], address].concat())
    }

    /// DUID-UUID (RFC 6355).
    pub fn uuid(uuid: [u8; 16]) -> Self {
        Self([&[0, 4], &uuid[..]].concat())
    }

    /// The DUID written in hexadecimal, two digits for each octet, type included; `:` or `-` may stand between octets.
    ///
    /// # Errors
    /// When it is something else, or too short or too long for a DUID.
    pub fn parse(text: &str) -> Result<Self, InvalidDuidText> {
        let mut octets = Vec::new();
        for group in text.split([':', '-']) {
            if let Some(wrong) = group.chars().find(|c| !c.is_ascii_hexdigit()) {
                return Err(InvalidDuidText::NoDigit(wrong));
            }
            if group.is_empty() || !group.len().is_multiple_of(2) {
                return Err(InvalidDuidText::HalfAnOctet(group.to_owned()));
            }
            let digits: Vec<u32> = group.chars().filter_map(|c| c.to_digit(16)).collect();
            octets.extend(digits.chunks_exact(2).filter_map(|pair| match pair {
                [high, low] => u8::try_from(high << 4 | low).ok(),
                _ => None,
            }));
        }
        Ok(Self::new(&octets)?)
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
