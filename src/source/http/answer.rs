//! What a service answers: text with one IPv6 address in it, or JSON. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

/// Where services put the address in a JSON object, without regard to case, `_` and `-`; the values of other keys may
/// hold addresses of something else (the service's own, or a DNS server's).
const KEYS: [&str; 14] = [
    "ip",
    "ipv6",
    "ip6",
    "ipaddr",
    "ipaddress",
    "ipv6address",
    "address",
    "addr",
    "origin",
    "query",
    "clientip",
    "yourip",
    "myip",
    "remoteaddr",
];
/// How much of an answer that cannot be used is shown.
const SHOWN: usize = 60;

/// Why an answer says nothing of a prefix; follows "the answer".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Nothing, or only white space.
    #[error("is empty")]
    Empty,
    /// Its octets are no UTF-8.
    #[error("is no text")]
    NoText,
    /// There is no address in it.
    #[error("has no IPv6 address in it, but {0}")]
    NoAddress(String),
    /// Something that people are to click on.
    #[error("is a web page with links, forms or scripts, as a network shows it that wants a login first: {0}")]
    Page(String),
    /// A JSON object that has none of the usual keys.
    #[error("is a JSON object without a key that usually has the address, such as \"ip\" or \"address\": {0}")]
    NoKey(String),
    /// The service sees this host by IPv4, or answers the IPv4 address beside it.
    #[error(
        "is the IPv4 address {0}: `url` has to name a service that answers an IPv6 address when it is asked by IPv6"
    )]
    Ipv4(Ipv4Addr),
    /// Which one is meant nobody can know.
    #[error("has several IPv6 addresses in it, {0} and {1} among them, and which one is meant cannot be known")]
    Several(Ipv6Addr, Ipv6Addr),
    /// No prefix of it could be routed to this host.
    #[error("is {0}, which is no address that hosts elsewhere could reach")]
    NotRouted(Ipv6Addr),
}

/// The address in an answer.
///
/// # Errors
/// Says why there is none.
pub fn read(body: &[u8]) -> Result<Ipv6Addr, Unusable> {
    let text = std::str::from_utf8(body).map_err(|_| Unusable::NoText)?.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(Unusable::Empty);
    }
    let found = match serde_json::from_str(text) {
        Ok(Value::Object(object)) => {
            let usual = object.iter().filter(|(key, _)| is_usual(key));
            let usual: Vec<&Value> = usual.map(|(_, value)| value).collect();
            if usual.is_empty() {
                return Err(Unusable::NoKey(shown(text)));
            }
            usual.into_iter().flat_map(texts).flat_map(addresses).collect()
        }
        Ok(value @ (Value::String(_) | Value::Array(_))) => texts(&value).into_iter().flat_map(addresses).collect(),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_)) | Err(_) if !is_page(text) => addresses(text).collect(),
        _ if is_busy(text) => return Err(Unusable::Page(shown(text))),
        _ => outside_of_tags(text).flat_map(addresses).collect(),
    };
    choose(&found, text)
}

fn choose(found: &BTreeSet<IpAddr>, text: &str) -> Result<Ipv6Addr, Unusable> {
    let mut sixes =
        found.iter().filter_map(|address| if let IpAddr::V6(address) = address { Some(*address) } else { None });
    let mut fours =
        found.iter().filter_map(|address| if let IpAddr::V4(address) = address { Some(*address) } else { None });
    match (sixes.next(), sixes.next(), fours.next()) {
        (Some(one), Some(other), _) => Err(Unusable::Several(one, other)),
        (Some(one), None, _) if can_be_routed(one) => Ok(one),
        (Some(one), None, _) => Err(Unusable::NotRouted(one)),
        (None, _, Some(four)) => Err(Unusable::Ipv4(four)),
        (None, _, None) => Err(Unusable::NoAddress(shown(text))),
    }
}

fn is_usual(key: &str) -> bool {
    let plain: String = key.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect();
    KEYS.contains(&plain.as_str())
}

/// The texts of a value: itself, or those that a list has.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

fn is_page(text: &str) -> bool {
    let start = text.to_ascii_lowercase();
    start.starts_with('<') || ["<html", "<body", "<head"].iter().any(|tag| start.contains(tag))
}

/// Whether a page does more than to show an address.
fn is_busy(page: &str) -> bool {
    let page = page.to_ascii_lowercase();
    ["://", "href", "src=", "<form", "<input", "<script", "<iframe", "http-equiv"]
        .iter()
        .any(|sign| page.contains(sign))
}

/// What a page shows.
fn outside_of_tags(page: &str) -> impl Iterator<Item = &str> {
    page.split('<').map(|part| part.split_once('>').map_or(part, |(_tag, text)| text))
}

/// The addresses among the words of a text. A word counts as a whole, so that no part of a page is taken for one; and
/// whose address is in a URL is not known.
fn addresses(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    let is_around = |c: char| c.is_whitespace() || "\"'`".contains(c);
    let is_between = |c: char| "<>(),;=[]{}|".contains(c);
    let words = text.split(is_around).filter(|word| !word.contains("://")).flat_map(move |word| word.split(is_between));
    words.filter_map(|word| word.trim_end_matches('.').parse::<IpAddr>().ok()).map(canonical)
}

/// An IPv4 address that is written as an IPv6 one is none.
fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Unique local ones are left to the filter.
fn can_be_routed(address: Ipv6Addr) -> bool {
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || address.is_unicast_link_local())
}

/// The beginning of an answer, fit for one line.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_text(text: &str) -> Result<String, String> {
        read(text.as_bytes()).map(|address| address.to_string()).map_err(|why| why.to_string())
    }

    /// metallb-dyn6 reads `https://api6.my-ip.io/ip.json`; the others are what such services answer.
    #[test]
    fn the_answers_of_usual_services() {
        for text in [
            "2001:db8:dead:beef:123:123:123:123",
            "2001:db8:dead:beef:123:123:123:123\n",
            "\u{feff}  2001:DB8:dead:beef:0123:123:123:123\r\n",
            r#""2001:db8:dead:beef:123:123:123:123""#,
            r#"["2001:db8:dead:beef:123:123:123:123"]"#,
            r#"{"ip":"2001:db8:dead:beef:123:123:123:123"}"#,
            r#"{"success":true,"ip":"2001:db8:dead:beef:123:123:123:123","type":"IPv6"}"#,
            r#"{"ip_addr": "2001:db8:dead:beef:123:123:123:123", "remote_host": "unavailable", "port": 4711}"#,
            r#"{"origin": "2001:db8:dead:beef:123:123:123:123"}"#,
            r#"{"IpAddress": "2001:db8:dead:beef:123:123:123:123", "server": "2001:db8:1::53"}"#,
            "fl=1f1\nh=example.net\nip=2001:db8:dead:beef:123:123:123:123\nts=1700000000.1\nloc=DE\n",
            "<html><body>Current IP Address: 2001:db8:dead:beef:123:123:123:123</body></html>",
            "Your address is [2001:db8:dead:beef:123:123:123:123].",
        ] {
            assert_eq!(read_text(text), Ok("2001:db8:dead:beef:123:123:123:123".to_owned()), "{text}");
        }
    }

    #[test]
    fn the_same_address_twice_is_one() {
        let text = r#"{"ip": "2001:db8::1", "query": "2001:db8:0::1", "address": "2001:db8::1"}"#;
        assert_eq!(read_text(text), Ok("2001:db8::1".to_owned()));
        assert_eq!(read_text("192.0.2.9 2001:db8::1"), Ok("2001:db8::1".to_owned()), "IPv4 beside it does no harm");
    }

    #[test]
    fn an_ipv4_address_has_a_sentence_of_its_own() {
        let expected = "is the IPv4 address 192.0.2.9: `url` has to name a service that answers an IPv6 address when it \
                        is asked by IPv6";
        for text in ["192.0.2.9\n", "::ffff:192.0.2.9", r#"{"ip":"192.0.2.9"}"#] {
            assert_eq!(read_text(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        for (text, expected) in [
            ("", "is empty"),
            (" \r\n", "is empty"),
            (
                "2001:db8::1 2001:db8::2",
                "has several IPv6 addresses in it, 2001:db8::1 and 2001:db8::2 among them, and which one is meant cannot be known",
            ),
            (
                r#"{"ip":["2001:db8::1","2001:db8::2"]}"#,
                "has several IPv6 addresses in it, 2001:db8::1 and 2001:db8::2 among them, and which one is meant cannot be known",
            ),
            ("fe80::1", "is fe80::1, which is no address that hosts elsewhere could reach"),
            ("::1", "is ::1, which is no address that hosts elsewhere could reach"),
            ("hello\tworld", "has no IPv6 address in it, but `hello world`"),
            ("12", "has no IPv6 address in it, but `12`"),
            (r#"{"ip":null}"#, "has no IPv6 address in it, but `{\"ip\":null}`"),
            (
                r#"{"dns":"2001:db8::53"}"#,
                "is a JSON object without a key that usually has the address, such as \"ip\" or \"address\": \
                 `{\"dns\":\"2001:db8::53\"}`",
            ),
        ] {
            assert_eq!(read_text(text), Err(expected.to_owned()), "{text}");
        }
        assert_eq!(read(&[0xff, 0xfe]), Err(Unusable::NoText));
    }

    #[test]
    fn no_part_of_a_page_is_taken_for_an_address() {
        let page = "<!doctype html><style>a::before{content:\"\"} li::after{}</style><p>Please log in at 10:00:00</p>";
        assert!(matches!(read(page.as_bytes()), Err(Unusable::NoAddress(_))), "{:?}", read(page.as_bytes()));
    }

    /// What a network that wants a login first answers instead of the service.
    #[test]
    fn an_address_in_a_url_or_on_a_portal_is_not_of_this_host() {
        for text in [
            "See http://[2001:db8:ffff::1]/login",
            "\"http://[2001:db8:ffff::1]:8080/\"",
            "<url=http://[2001:db8:ffff::1]/>",
            r#"{"ip":"http://[2001:db8:ffff::1]/"}"#,
            r#"["http://[2001:db8:ffff::1]/"]"#,
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}: {:?}", read(text.as_bytes()));
        }
        for page in [
            "<html><head><meta http-equiv=refresh content='0;url=//[2001:db8:ffff::1]/'></head></html>",
            "<!DOCTYPE html><p>Device 2001:db8:ffff::2 is not registered. <a href=\"/login\">Log in</a></p>",
            "<HTML><FORM action=/login><input name=ip value=2001:db8:ffff::2></FORM>2001:db8:ffff::2</HTML>",
            "<html><script>var ip = '2001:db8:ffff::2';</script></html>",
        ] {
            assert!(matches!(read(page.as_bytes()), Err(Unusable::Page(_))), "{page}: {:?}", read(page.as_bytes()));
        }
        let hidden = "<html><body data-gateway=\"2001:db8:ffff::1\">Welcome</body></html>";
        assert!(matches!(read(hidden.as_bytes()), Err(Unusable::NoAddress(_))));
        assert_eq!(read_text("2001:db8::1 (see https://[2001:db8:ffff::1]/)"), Ok("2001:db8::1".to_owned()));
    }

    #[test]
    fn a_long_answer_is_not_shown_whole() {
        let Err(Unusable::NoAddress(shown)) = read("x".repeat(5000).as_bytes()) else { panic!("no address") };
        assert_eq!(shown.chars().count(), SHOWN + 3);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(read(&body));
        }

        #[test]
        fn every_routed_address_is_read_back(bits in 1_u128.., json: bool) {
            let address = Ipv6Addr::from_bits(bits);
            prop_assume!(can_be_routed(address) && address.to_ipv4_mapped().is_none());
            let text = if json { format!("{{\"ip\":\"{address}\"}}") } else { format!("{address}\n") };
            prop_assert_eq!(read(text.as_bytes()), Ok(address));
        }
    }
}
