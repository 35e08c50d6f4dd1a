//! `dyn-prefix init`: what it prints passes `check`, and `plan` makes ranges of it.

use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use super::{Daemon, File, PROGRAM, powerless};
use crate::Test;
use crate::dhcpv6::holder::Holder;
use crate::dhcpv6::lab::link_local;
use crate::lab::A;
use crate::radvd::live;
use crate::support::{LAN, Namespace, Pair, ROUTER, Radvd, WAN};

pub(crate) const BESIDE_DNSMASQ: &[Test] = &[("init: dnsmasq announces the prefix of the link", beside_dnsmasq)];
pub(crate) const BESIDE_KEA: &[Test] =
    &[("init: what it prints beside Kea and radvd is delegated a prefix", beside_kea)];

/// The file, which passes `check`, and of which `plan` makes a range.
fn initialised(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.arg("init").output().expect("it runs");
    let text = String::from_utf8(stdout).expect("UTF-8");
    assert!(status.success(), "{text}{}", String::from_utf8_lossy(&stderr));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("dyn-prefix.toml");
    std::fs::write(&path, &text).expect("a file");
    let check = Command::new(PROGRAM).arg("check").arg(&path).output().expect("it runs");
    assert!(check.status.success(), "{check:?}\n{text}");
    assert_eq!(planned(&path, "2001:db8:1200::/56"), planned_of(&text), "{text}");
    text
}

/// The range that `plan` makes.
fn planned(path: &std::path::Path, prefix: &str) -> String {
    let mut plan = Command::new(PROGRAM);
    let output = plan.args(["plan", "--output", "json", "--prefix", prefix, "--config"]).arg(path).output();
    let output = output.expect("it runs");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let home = &status["dynamicPrefixes"][0];
    assert_eq!(home["errors"], json!([]), "{status:#}");
    let (range, subnet) = (&home["addressRanges"][0], &home["subnets"][0]["cidr"]);
    subnet.as_str().map_or_else(|| format!("{}-{}", range["start"], range["end"]).replace('"', ""), str::to_owned)
}

/// Of a /56: its second /64 for the edge router, a part of its first for a host on the link.
fn planned_of(text: &str) -> &'static str {
    if text.contains("\nacquisition.dhcpv6") {
        "2001:db8:1200:1::/64"
    } else {
        "2001:db8:1200:0:f000::-2001:db8:1200:0:f000::ffff"
    }
}

pub(super) fn init() {
    let pair = Pair::joined();
    pair.host.inside(link_local);
    let text = initialised(&mut powerless(&pair.host));
    assert!(text.contains("Nobody could listen"), "{text}");
    assert!(text.contains("wan, which is the only one that is up."), "{text}");
    let text = initialised(&mut pair.host.command(PROGRAM));
    assert!(text.contains("acquisition.dhcpv6 = { interface = \"wan\""), "no router is heard: {text}");

    let _radvd = Radvd::start(&pair.router, &live(A));
    let text = initialised(&mut pair.host.command(PROGRAM));
    assert!(text.contains(&format!("The router {ROUTER} announces {A}.")), "{text}");
    assert!(text.contains("\nacquisition.routerAdvertisement = { interface = \"wan\" }"), "{text}");
    assert!(!text.contains("\nacquisition.dhcpv6"), "{text}");
    pair.host.sysctl("net/ipv6/conf/all/forwarding", "1");
    let text = initialised(&mut pair.host.command(PROGRAM));
    assert!(text.contains("\nacquisition.dhcpv6 = { interface = \"wan\""), "a router asks: {text}");
}

pub(super) fn quiet() {
    let pair = Pair::apart();
    let text = initialised(&mut pair.host.command(PROGRAM));
    assert!(text.contains("no interface of this host is up"), "{text}");
    pair.join();
    pair.host.inside(link_local);
    let text = initialised(&mut pair.host.command(PROGRAM));
    assert!(text.contains("No Router Advertisement was heard on wan."), "{text}");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let _client = Holder::pretend(&pair.host, &directory.path().join("odhcp6c"), &[WAN]);
    let text = initialised(&mut pair.host.command(PROGRAM));
    assert!(text.contains("odhcp6c (process") && !text.contains("\nacquisition.dhcpv6"), "{text}");
    assert!(text.contains("\nacquisition.observe = { interface = \"wan\" }"), "{text}");
    assert!(!text.contains("in place of"), "what is written already is not to be written: {text}");
}

/// Ends with the value.
struct Server(Child);

impl Server {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn beside_dnsmasq() {
    let pair = Pair::joined();
    pair.host.inside(link_local);
    pair.router.ip(&format!("address add 2001:db8:a::1/64 dev {LAN} nodad"));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut dnsmasq = pair.router.command("dnsmasq");
    dnsmasq.args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--enable-ra", "--user=root"]);
    dnsmasq.args([&format!("--interface={LAN}"), "--dhcp-range=2001:db8:a::,ra-only,64,1h"]);
    dnsmasq.arg(format!("--pid-file={}", directory.path().join("pid").display()));
    dnsmasq.arg(format!("--dhcp-leasefile={}", directory.path().join("leases").display()));
    let _dnsmasq = Server::start(&mut dnsmasq);
    let text = initialised(&mut pair.host.command(PROGRAM));
    assert!(text.contains("announces 2001:db8:a::/64."), "{text}");
    assert!(text.contains("\nacquisition.routerAdvertisement"), "{text}");
}

/// A Kea that delegates /60s of 2001:db8:a::/48.
fn kea(router: &Namespace, directory: &std::path::Path) -> Server {
    let at = |name: &str| directory.join(name).display().to_string();
    let config = json!({"Dhcp6": {
        "interfaces-config": {"interfaces": [LAN]},
        "lease-database": {"type": "memfile", "lfc-interval": 0, "name": at("leases.csv")},
        "server-id": {"type": "EN", "enterprise-id": 32473, "identifier": "01020304", "persist": false},
        "valid-lifetime": 3600, "preferred-lifetime": 1800,
        "subnet6": [{"id": 1, "subnet": "2001:db8:100::/64", "interface": LAN,
            "pd-pools": [{"prefix": "2001:db8:a::", "prefix-len": 48, "delegated-len": 60}]}],
    }});
    std::fs::write(at("kea.json"), config.to_string()).expect("a configuration");
    let mut kea = router.command("kea-dhcp6");
    kea.args(["-c", &at("kea.json")]).env("KEA_LOCKFILE_DIR", directory).env("KEA_PIDFILE_DIR", directory);
    Server::start(&mut kea)
}

/// The file that is printed for an edge router, as it is: a delegation arrives.
fn beside_kea() {
    let pair = Pair::joined();
    pair.host.inside(link_local);
    pair.host.sysctl("net/ipv6/conf/all/forwarding", "1");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let _kea = kea(&pair.router, directory.path());
    let _radvd = Radvd::start(&pair.router, &live(A));
    let text = initialised(&mut pair.host.command(PROGRAM));
    let at = |name: &str| directory.path().join(name).display().to_string();
    let daemon =
        format!("[daemon]\nstateDirectory = \"{}\"\ncontrolSocket = \"{}\"\n", at("state"), at("control.sock"));
    let path = directory.path().join("dyn-prefix.toml");
    std::fs::write(&path, daemon + &text).expect("a file");
    let file = File { path, directory };
    let _daemon = Daemon::start(&pair.host, &file, |status| {
        let home = &status["dynamicPrefixes"][0];
        let is_delegated = home["prefixSource"] == "dhcpv6-pd";
        is_delegated && home["subnets"][0]["cidr"].as_str().is_some_and(|cidr| cidr.starts_with("2001:db8:a:"))
    });
}
