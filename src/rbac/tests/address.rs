//! Addresses of API servers that will not do.

use std::net::IpAddr;

use crate::rbac::server::{Address, warnings};

fn warned(host: &str, addresses: &[&str]) -> Vec<String> {
    let addresses = addresses.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect();
    let prefixes = [("home".to_owned(), "2001:db8:a::/56".parse().unwrap())];
    warnings(&Address { host: host.to_owned(), addresses }, &prefixes)
}

#[test]
fn one_that_stays_is_nothing_to_warn_of() {
    for (host, addresses) in [
        ("192.0.2.1", &["192.0.2.1"][..]),
        ("fd00::1", &["fd00::1"]),
        ("api.example", &["192.0.2.1", "2001:db8:b::1"]),
        ("2001:db8:a:100::1", &["2001:db8:a:100::1"]),
        ("unknown.example", &[]),
    ] {
        assert_eq!(warned(host, addresses), [""; 0], "{host}");
    }
}

#[test]
fn this_machine_itself() {
    for (host, addresses) in [
        ("127.0.0.1", &["127.0.0.1"][..]),
        ("localhost", &["::1", "127.0.0.1"]),
        ("localhost", &[]),
        ("::1", &["::1"]),
        ("::ffff:127.0.0.1", &["::ffff:127.0.0.1"]),
        ("0.0.0.0", &["0.0.0.0"]),
        ("kubernetes", &["127.0.1.1"]),
    ] {
        let [warning] = warned(host, addresses).try_into().expect(host);
        assert!(warning.contains(host) && warning.contains("--server"), "{warning}");
    }
}

#[test]
fn one_inside_the_prefix_that_it_is_to_be_told_of() {
    let [warning] = warned("2001:db8:a:1::5", &["2001:db8:a:1::5"]).try_into().expect("one");
    assert!(warning.starts_with("The API server address 2001:db8:a:1::5 lies in 2001:db8:a::/56, "), "{warning}");
    let [warning] = warned("api.example", &["192.0.2.1", "2001:db8:a:ff::5"]).try_into().expect("one");
    assert!(
        warning.starts_with("The API server api.example has the address 2001:db8:a:ff::5, which lies in "),
        "{warning}"
    );
    assert!(warning.contains("\"home\"") && warning.contains("--server"), "{warning}");
}
