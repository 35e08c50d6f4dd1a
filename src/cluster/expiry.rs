//! When the credentials of a kubeconfig end: what the client certificate and the token say of themselves. Nothing is
//! verified, for nothing is decided by it; it is for people, so that they are not surprised.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kube::Config;
use kube::config::AuthInfo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;

use super::Validity;

/// The validity of those that somebody has to be told of first, as far as it can be read. What an exec plugin gives is
/// renewed by it.
///
/// `has_token_file`: the token comes from a file, whose name is no longer in `config`.
pub fn of(config: &Config, has_token_file: bool) -> Option<Validity> {
    let user = &config.auth_info;
    let token = user.token.as_ref().and_then(|token| of_token(token.expose_secret()));
    let token = token.map(|token| Validity { is_renewed: has_token_file, ..token });
    let is_renewed = user.client_certificate_data.is_none();
    let certificate = certificate(user).and_then(|pem| of_pem(&pem));
    let certificate = certificate.map(|certificate| Validity { is_renewed, ..certificate });
    token.into_iter().chain(certificate).min_by_key(|validity| validity.until)
}

fn certificate(user: &AuthInfo) -> Option<Vec<u8>> {
    match (&user.client_certificate_data, &user.client_certificate) {
        (Some(data), _) => STANDARD.decode(data.trim()).ok(),
        (None, Some(file)) => std::fs::read(file).ok(),
        (None, None) => None,
    }
}

/// The validity of the first certificate, which is the client's own; those that follow are of authorities.
fn of_pem(pem: &[u8]) -> Option<Validity> {
    of_certificate(&CertificateDer::from_pem_slice(pem).ok()?)
}

/// notBefore and notAfter of a certificate (RFC 5280 §4.1).
fn of_certificate(der: &[u8]) -> Option<Validity> {
    const EXPLICIT_VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(der)?;
    let (_, to_be_signed, _) = element(certificate)?;
    let (tag, _, after) = element(to_be_signed)?;
    let mut rest = if tag == EXPLICIT_VERSION { after } else { to_be_signed };
    // serialNumber, signature, issuer
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (tag, not_before, rest) = element(validity)?;
    let from = time(tag, not_before);
    let (tag, not_after, _) = element(rest)?;
    Some(Validity { from, until: time(tag, not_after)?, is_renewed: false })
}

/// The first element of DER: its tag, its content, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// UTCTime or GeneralizedTime, as RFC 5280 §4.1.2.5 restricts them.
fn time(tag: u8, text: &[u8]) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year: i16 = digits[..2].parse().ok()?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[2 * at..2 * at + 2].parse::<i8>().ok();
    let time = DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The claims iat and exp of a JSON Web Token (RFC 7519 §4.1); `None` for any other token.
fn of_token(token: &str) -> Option<Validity> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let claim = |name: &str| Timestamp::from_second(claims.get(name)?.as_i64()?).ok();
    Some(Validity { from: claim("iat"), until: claim("exp")?, is_renewed: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate() {
        let good = include_bytes!("../../tests/support/api/tls/good.pem");
        let expired = include_bytes!("../../tests/support/api/tls/expired.pem");
        // As `openssl x509 -noout -enddate` prints them.
        assert_eq!(of_pem(good).unwrap().until.to_string(), "2126-10-28T11:12:40Z");
        assert_eq!(of_pem(expired).unwrap().until.to_string(), "2026-11-20T11:12:40Z");
    }

    #[test]
    fn a_certificate_that_is_cut_or_changed_is_no_reason_to_panic() {
        let der = CertificateDer::from_pem_slice(include_bytes!("../../tests/support/api/tls/good.pem")).unwrap();
        for length in 0..der.len() {
            let _whatever = of_certificate(&der[..length]);
            let mut changed = der.to_vec();
            changed[length] ^= 0xff;
            let _whatever = of_certificate(&changed);
        }
        assert_eq!(of_certificate(&der[..40]), None);
    }

    #[test]
    fn both_forms_of_time() {
        let text = |tag, text: &str| time(tag, str::as_bytes(text)).map(|time| time.to_string());
        assert_eq!(text(0x17, "491231235959Z").as_deref(), Some("2049-12-31T23:59:59Z"));
        assert_eq!(text(0x17, "500101000000Z").as_deref(), Some("1950-01-01T00:00:00Z"));
        assert_eq!(text(0x18, "20500101000000Z").as_deref(), Some("2050-01-01T00:00:00Z"));
        for (tag, wrong) in
            [(0x17, "20500101000000Z"), (0x18, "2050010100000éZ"), (0x18, "20501301000000Z"), (0x17, "Z")]
        {
            assert_eq!(text(tag, wrong), None, "{wrong}");
        }
    }

    /// Only what is in a file of its own is renewed by a machine.
    #[test]
    fn who_renews_what() {
        let warned = |user: AuthInfo, has_token_file| {
            let mut config = Config::new("https://api.example".parse().unwrap());
            config.auth_info = user;
            of(&config, has_token_file).unwrap().warn_from().to_string()
        };
        // {"alg":"none"} . {"iat":1767517200,"exp":1767520800}: an hour, until 2026-01-04T10:00:00Z.
        let token = "eyJhbGciOiJub25lIn0.eyJpYXQiOjE3Njc1MTcyMDAsImV4cCI6MTc2NzUyMDgwMH0.x".to_owned();
        let token = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        assert_eq!(warned(token.clone(), false), "2025-12-21T10:00:00Z", "from the start");
        assert_eq!(warned(token, true), "2026-01-04T09:54:00Z", "in its last tenth");
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/api/tls/expired.pem");
        let pem = std::fs::read(file).unwrap();
        let inline = AuthInfo { client_certificate_data: Some(STANDARD.encode(&pem)), ..AuthInfo::default() };
        assert_eq!(warned(inline, false), "2026-11-06T11:12:40Z", "14 days before its end");
        let own = AuthInfo { client_certificate: Some(file.to_owned()), ..AuthInfo::default() };
        let validity = of_pem(&pem).unwrap();
        let renewed = Validity { is_renewed: true, ..validity };
        assert_eq!(warned(own, false), renewed.warn_from().to_string());
        assert_ne!(renewed.warn_from(), validity.warn_from(), "it lasts no fortnight");
    }

    #[test]
    fn the_end_of_a_token() {
        // {"alg":"none"} . {"exp":1767520800,"sub":"system:serviceaccount:kube-system:dyn-prefix"}
        let claims = "eyJleHAiOjE3Njc1MjA4MDAsInN1YiI6InN5c3RlbTpzZXJ2aWNlYWNjb3VudDprdWJlLXN5c3RlbTpkeW4tcHJlZml4In0";
        let end = of_token(&format!("eyJhbGciOiJub25lIn0.{claims}.x"));
        assert_eq!(end.unwrap().until.to_string(), "2026-01-04T10:00:00Z");
        for other in ["", "abcdef.0123456789abcdef", "a.b.c", "a.e30.c", "a.eyJleHAiOiJ4In0.c"] {
            assert_eq!(of_token(other), None, "{other}");
        }
    }
}
