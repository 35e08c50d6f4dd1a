//! Whom a request means. Pure.
//!
//! A page of the web can have the browser of somebody on this host ask a name that its author lets point to 127.0.0.1 (DNS
//! rebinding), and read the answer. Such a request comes over the loopback interface with that name as Host. Prometheus,
//! curl and probes ask for an address or for localhost.

use std::net::IpAddr;

/// The names of the loopback interface: those of RFC 6761 §6.3, and of /etc/hosts as distributions write it.
const LOCAL: [&str; 5] = ["localhost", "localhost.localdomain", "localhost6", "ip6-localhost", "ip6-loopback"];

/// Whether a request with this Host, which may have a port, means the loopback interface or an address.
pub fn is_local(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        // The colons of an IPv6 address are inside of brackets.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit())) {
        return false;
    }
    if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return address.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6());
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    LOCAL.contains(&name.as_str())
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|it| it.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_the_names_of_the_loopback_interface_are_local() {
        for host in [
            "localhost",
            "localhost:9478",
            "LocalHost.:9478",
            "a.localhost",
            "ip6-localhost:80",
            "127.0.0.1",
            "127.0.0.1:9478",
            "192.0.2.1:9478",
            "[::1]",
            "[::1]:9478",
            "[2001:db8::1]:1",
        ] {
            assert!(is_local(host), "{host}");
        }
    }

    #[test]
    fn names_that_somebody_else_may_give_out_are_not() {
        for host in [
            "",
            "x",
            "rebind.example:9478",
            "localhost.example",
            "notlocalhost",
            "127.0.0.1.example",
            "127.0.0.1:x",
            "[x]:1",
            "[127.0.0.1]",
            "::1",
            "localhost:1:2",
            "a@localhost:b",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
