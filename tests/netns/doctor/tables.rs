//! The real ip6tables, of both kinds: what doctor says is what the kernel does.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{advertisement_arrives, answer_arrives, dhcpv6, examine, expect};
use crate::Test;
use crate::dhcpv6::lab::link_local;
use crate::support::{Namespace, Pair, on_path};

pub(crate) const WITH_IP6TABLES: &[Test] = &[
    ("doctor: ip6tables on nftables does what is said of it", || filters("ip6tables-nft")),
    ("doctor: ip6tables of old does what is said of it", || filters("ip6tables-legacy")),
];

/// Rules, and what is said of answers of DHCPv6 servers and of Router Advertisements.
const RULES: [(&str, [&str; 2]); 3] = [
    (include_str!("../../../src/doctor/firewall/tests/server.ip6tables"), ["error", "ok"]),
    (include_str!("../../../src/doctor/firewall/tests/opened.ip6tables"), ["ok", "ok"]),
    (include_str!("../../../src/doctor/firewall/tests/limited.ip6tables"), ["warning", "warning"]),
];
const EMPTY: &str = "*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n";

fn restore(namespace: &Namespace, kind: &str, rules: &str) {
    let mut command = namespace.command(&format!("{kind}-restore"));
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), rules.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{rules}{}", String::from_utf8_lossy(&output.stderr));
}

/// With `ip6tables-save` of this kind.
fn said(namespace: &Namespace, kind: &str) -> Vec<Value> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = on_path(&format!("{kind}-save")).expect("it is on PATH");
    std::os::unix::fs::symlink(program, directory.path().join("ip6tables-save")).expect("a link");
    let path = std::env::var("PATH").expect("a PATH");
    let mut command: Command = namespace.command(super::PROGRAM);
    command.env("PATH", format!("{}:{path}", directory.path().display()));
    examine(&mut command, &dhcpv6()).0
}

fn filters(kind: &str) {
    let pair = Pair::joined();
    let own = pair.host.inside(link_local);
    for (rules, [dhcpv6, router]) in RULES {
        restore(&pair.host, kind, EMPTY);
        restore(&pair.host, kind, rules);
        let found = said(&pair.host, kind);
        expect(&found, "firewall-dhcpv6", dhcpv6, "answers of DHCPv6 servers (UDP port 546)");
        expect(&found, "firewall-router-advertisement", router, "Router Advertisements (ICMPv6 type 134)");
        if dhcpv6 != "warning" {
            assert_eq!(answer_arrives(&pair, own), dhcpv6 == "ok", "an answer of a server:\n{rules}");
            assert_eq!(advertisement_arrives(&pair), router == "ok", "a Router Advertisement:\n{rules}");
        }
    }
}

/// What of it is not on PATH.
pub(crate) fn missing() -> Option<String> {
    let programs = ["ip6tables-nft-save", "ip6tables-nft-restore", "ip6tables-legacy-save", "ip6tables-legacy-restore"];
    let missing = programs.into_iter().find(|program| on_path(program).is_none())?;
    Some(format!("{} is not on PATH (Debian package iptables)", Path::new(missing).display()))
}
