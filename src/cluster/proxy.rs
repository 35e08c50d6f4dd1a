//! The way to an API server by the proxy that a kubeconfig names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};

use crate::dial::{self, Dialer};

/// Through `proxy`, which is reached by `tcp`, or with TLS by `https`.
///
/// # Errors
/// A kind of proxy that is not known.
pub(super) fn through(proxy: &Uri, tcp: HttpConnector, https: HttpsConnector<HttpConnector>) -> Result<Dialer, String> {
    match proxy.scheme_str() {
        Some("http") => Ok(dial::boxed(tunnel(proxy, dial::direct(tcp)))),
        Some("https") => Ok(dial::boxed(tunnel(proxy, dial::boxed(https)))),
        Some("socks5") => Ok(dial::boxed(socks(proxy, dial::direct(tcp)))),
        _ => Err(format!(
            "its proxy-url, which names {}, is of no kind that is known: write http, https or socks5 before ://",
            // Who we are to it may be in the URL.
            proxy.authority().map_or("nothing", |authority| authority.as_str().rsplit('@').next().unwrap_or_default())
        )),
    }
}

fn tunnel(proxy: &Uri, to_proxy: Dialer) -> Tunnel<Dialer> {
    let tunnel = Tunnel::new(proxy.clone(), to_proxy);
    match authorization(proxy) {
        Some(header) => tunnel.with_auth(header),
        None => tunnel,
    }
}

fn socks(proxy: &Uri, to_proxy: Dialer) -> SocksV5<Dialer> {
    let socks = SocksV5::new(proxy.clone(), to_proxy);
    let Some(user) = user(proxy) else { return socks };
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let text = |part: &str| String::from_utf8_lossy(&decoded(part)).into_owned();
    socks.with_auth(text(name), text(password))
}

fn user(proxy: &Uri) -> Option<&str> {
    proxy.authority()?.as_str().rsplit_once('@').map(|(user, _)| user)
}

/// Who we are to the proxy, if its URL says so.
fn authorization(proxy: &Uri) -> Option<HeaderValue> {
    let user = user(proxy)?;
    HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(decoded(user)))).ok()
}

/// Percent-encoding undone (RFC 3986 §2.1); what is none stays.
fn decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let octet = digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        match octet.filter(|_| first == b'%') {
            Some(octet) => {
                decoded.push(octet);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(first);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_says_of_the_user_goes_to_the_proxy() {
        // echo -n 'user:p@ss%zz%' | base64
        for (url, expected) in [
            ("http://user:p%40ss%zz%@proxy.example:3128", Some("Basic dXNlcjpwQHNzJXp6JQ==")),
            ("http://user@proxy.example", Some("Basic dXNlcg==")),
            ("http://proxy.example:3128", None),
        ] {
            let header = authorization(&url.parse().unwrap());
            assert_eq!(header.as_ref().map(|header| header.to_str().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn what_is_a_proxy() {
        let https = || {
            let roots = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
            HttpsConnector::from((HttpConnector::new(), roots.with_no_client_auth()))
        };
        for (url, is_known) in [
            ("http://proxy.example:3128", true),
            ("https://proxy.example:3128", true),
            ("socks5://proxy.example:1080", true),
            ("socks4://proxy.example:1080", false),
        ] {
            let through = through(&url.parse().unwrap(), HttpConnector::new(), https());
            assert_eq!(through.is_ok(), is_known, "{url}");
        }
        let forgotten = "user:s3cret@proxy.example:3128".parse().unwrap();
        let Err(why) = through(&forgotten, HttpConnector::new(), https()) else { panic!("it has no scheme") };
        assert!(why.contains("which names proxy.example:3128, is of no kind") && !why.contains("s3cret"), "{why}");
    }
}
