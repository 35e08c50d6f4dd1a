//! How a record spells times, octets and MAC addresses.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NANOS: u64 = 1_000_000_000;

/// A span of time: seconds with up to nine decimals, as text, because a JSON number has too few digits for both a year
/// and a nanosecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_secs())?;
        let decimals = format!("{:09}", self.0.subsec_nanos());
        let decimals = decimals.trim_end_matches('0');
        if decimals.is_empty() { Ok(()) } else { write!(f, ".{decimals}") }
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no number of seconds like \"12.5\", with at most nine decimals");
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > 9 {
            return Err(wrong());
        }
        let seconds: u64 = whole.parse().map_err(|_| wrong())?;
        let nanos: u32 = format!("{decimals:0<9}").parse().map_err(|_| wrong())?;
        // What an `Instant` can hold.
        if seconds > i64::MAX.unsigned_abs() / NANOS - 1 {
            return Err(wrong());
        }
        Ok(Self(Duration::new(seconds, nanos)))
    }
}

/// Octets, in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hex(pub Vec<u8>);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl FromStr for Hex {
    type Err = String;

    /// Blanks may stand between octets.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "octets are written as pairs of hexadecimal digits".to_owned();
        let digits: Vec<u32> = text
            .chars()
            .filter(|letter| *letter != ' ')
            .map(|letter| letter.to_digit(16).ok_or_else(wrong))
            .collect::<Result<_, String>>()?;
        let (pairs, rest) = digits.as_chunks::<2>();
        let octet = |[high, low]: &[u32; 2]| u8::try_from(high * 16 + low).map_err(|_| wrong());
        if rest.is_empty() { Ok(Self(pairs.iter().map(octet).collect::<Result<_, String>>()?)) } else { Err(wrong()) }
    }
}

/// A MAC address, in its usual spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let octets: Option<Vec<u8>> = text.split(':').map(|octet| u8::from_str_radix(octet, 16).ok()).collect();
        let octets = octets.and_then(|octets| octets.try_into().ok());
        octets.map(Self).ok_or_else(|| format!("`{text}` is no MAC address like 02:00:00:00:00:01"))
    }
}

/// All of them are text in JSON.
macro_rules! as_text {
    ($($kind:ty),*) => {$(
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(Seconds, Hex, Mac);
