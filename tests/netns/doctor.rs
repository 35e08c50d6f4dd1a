//! `dyn-prefix doctor` and `dyn-prefix init` on a real kernel: what they gather is what is there. What they make of it
//! has its tests beside the checks.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use dyn_prefix::doctor::firewall::{Arriving, Fate, Packet, nft, walk};
use dyn_prefix::source::ra::packet::parse;
use dyn_prefix::source::ra::socket::Socket;
use serde_json::Value;

use crate::Test;
use crate::dhcpv6::holder::Holder;
use crate::dhcpv6::lab::{link_local, on_host};
use crate::lab::{A, SOON, advertisement};
use crate::radvd::live;
use crate::support::{Forged, Forger, LAN, Namespace, Pair, ROUTER, Radvd, WAN};

mod init;
mod sources;
mod stored;
mod tables;

pub(crate) use init::{BESIDE_DNSMASQ, BESIDE_KEA};
pub(crate) use tables::{WITH_IP6TABLES, missing as missing_ip6tables};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dyn-prefix");

pub(crate) const TESTS: &[Test] = &[
    ("doctor: an interface that is missing, down, or without IPv6", interface),
    ("doctor: who holds UDP port 546 and which client runs", port),
    ("doctor: a host whose address lies in a range", neighbour),
    ("doctor: without privileges it says what it could not see", unprivileged),
    ("doctor: without the daemon it goes by what that stored", stored::stored),
    ("doctor: the addresses of an interface that give a prefix", sources::addresses),
    ("doctor: a service is asked once for the address", sources::service),
    ("doctor: what auto comes to, before and after the daemon has chosen", sources::auto),
    ("doctor: hooks that cannot be run and files that cannot be written", sources::actions),
    ("init: nothing is heard, no interface is up, another client holds the port", init::quiet),
];
pub(crate) const WITH_RADVD: &[Test] = &[
    ("doctor: Router Advertisements are heard live, also beside a daemon", heard),
    ("init: a host on the link, a router, and a host without privileges", init::init),
];
pub(crate) const WITH_NFT: &[Test] = &[
    ("doctor: the packet filter does what the walk through its rules says", firewall),
    ("doctor: a packet filter that drops the answers is named", named),
];

/// A configuration, whose directory lives as long as this.
struct File {
    path: PathBuf,
    directory: tempfile::TempDir,
}

fn file(acquisition: &str) -> File {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    let text = format!(
        "[daemon]\nid = \"netns\"\nstateDirectory = \"{}\"\ncontrolSocket = \"{}\"\n\n[[dynamicPrefix]]\nname = \
         \"home\"\n{acquisition}\nsubnets = [{{ name = \"lb\", index = 0, prefixLength = 72 }}]\n",
        at("state"),
        at("control.sock")
    );
    let path = directory.path().join("dyn-prefix.toml");
    std::fs::write(&path, text).expect("a configuration");
    File { path, directory }
}

fn dhcpv6() -> File {
    file(&format!("acquisition.dhcpv6 = {{ interface = \"{WAN}\" }}"))
}

fn router_advertisement() -> File {
    file(&format!("acquisition.routerAdvertisement = {{ interface = \"{WAN}\" }}"))
}

/// What it finds on the interface, and its exit status.
fn examine(command: &mut Command, file: &File) -> (Vec<Value>, i32) {
    let output = command.args(["doctor", "--output", "json", "--config"]).arg(&file.path).output().expect("it runs");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let sections = report["sections"].as_array().expect("sections");
    let findings = sections.iter().flat_map(|section| section["findings"].as_array().expect("findings"));
    (findings.cloned().collect(), output.status.code().expect("it is not killed"))
}

fn doctor(namespace: &Namespace, file: &File) -> Vec<Value> {
    let (found, code) = examine(&mut namespace.command(PROGRAM), file);
    // The daemon does not run, and there is no cluster.
    assert_eq!(code, 3, "{found:#?}");
    found
}

fn expect(found: &[Value], check: &str, level: &str, says: &str) {
    let is_it = |finding: &&Value| finding["check"] == check && finding["level"] == level;
    let said = found.iter().filter(is_it).any(|finding| finding["message"].as_str().unwrap_or_default().contains(says));
    assert!(said, "{check} {level} {says:?} is not in {found:#?}");
}

fn interface() {
    let pair = Pair::apart();
    let file = dhcpv6();
    expect(&doctor(&pair.host, &file), "interface", "error", "There is no interface wan; there are: none.");
    pair.join();
    pair.host.ip(&format!("link set {WAN} down"));
    expect(&doctor(&pair.host, &file), "interface", "error", "down or without a carrier");
    pair.host.ip(&format!("link set {WAN} up"));
    pair.host.inside(link_local);
    pair.host.sysctl(&format!("net/ipv6/conf/{WAN}/disable_ipv6"), "1");
    expect(&doctor(&pair.host, &file), "link-local", "error", "IPv6 is switched off on wan");
    pair.host.sysctl(&format!("net/ipv6/conf/{WAN}/disable_ipv6"), "0");
    pair.host.sysctl(&format!("net/ipv6/conf/{WAN}/accept_ra"), "1");
    pair.host.sysctl("net/ipv6/conf/all/forwarding", "1");
    pair.host.inside(link_local);
    let found = doctor(&pair.host, &file);
    expect(&found, "accept-ra", "warning", "accept_ra = 1, forwarding = 1");
    expect(&found, "link-local", "ok", "has the link-local address fe80::");
    expect(&found, "router-advertisement", "note", "No Router Advertisement was heard on wan within 5s");
    pair.host.ip(&format!("-6 route add default via {ROUTER} dev {WAN}"));
    expect(&doctor(&pair.host, &file), "accept-ra", "ok", "there is a default route by it");
}

fn port() {
    let pair = Pair::joined();
    let file = dhcpv6();
    pair.host.inside(link_local);
    let found = doctor(&pair.host, &file);
    expect(&found, "dhcpv6-port", "ok", "UDP port 546 on wan is free");
    expect(&found, "other-client", "ok", "No other DHCPv6 client");
    let holder = Holder::start(&pair.host, "odhcp6c");
    let found = doctor(&pair.host, &file);
    expect(&found, "dhcpv6-port", "error", &format!("(process {}", holder.pid()));
    drop(holder);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = directory.path().join("odhcp6c");
    let holder = Holder::pretend(&pair.host, &program, &[WAN]);
    expect(&doctor(&pair.host, &file), "other-client", "error", &format!("odhcp6c (process {})", holder.pid()));
}

/// A daemon on a configuration; it is killed with the value.
struct Daemon(std::process::Child);

impl Daemon {
    /// Starts one and waits until its status is as wanted.
    fn start(namespace: &Namespace, file: &File, wanted: impl Fn(&Value) -> bool) -> Self {
        let mut command = namespace.command(PROGRAM);
        command.args(["run", "--config"]).arg(&file.path).env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        let log = std::fs::File::create(file.directory.path().join("log")).expect("a log");
        let daemon = Self(command.stderr(log).spawn().expect("it starts"));
        let until = dyn_prefix::clock::now() + SOON;
        loop {
            let mut status = namespace.command(PROGRAM);
            let output = status.args(["status", "--output", "json", "--config"]).arg(&file.path).output();
            let status: Value = serde_json::from_slice(&output.expect("it runs").stdout).unwrap_or_default();
            if wanted(&status) {
                return daemon;
            }
            assert!(dyn_prefix::clock::now() < until, "the daemon is not so far: {status:#}");
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// No cluster can be asked, so that it stays a suspicion; who is no Service has its tests beside the check.
fn neighbour() {
    let pair = Pair::joined();
    pair.host.inside(link_local);
    let mut file = file("acquisition.static.prefix = \"2001:db8:a::/56\"");
    let text = std::fs::read_to_string(&file.path).expect("the file");
    let kubeconfig = file.directory.path().join("kubeconfig");
    let cluster = format!("[[cluster]]\nkubeconfig = \"{}\"\n", kubeconfig.display());
    let binding = "[[binding]]\nprefixRef = \"home/lb\"\ntarget = \"CiliumLoadBalancerIPPool/pool\"\n";
    file.path = file.directory.path().join("bound.toml");
    std::fs::write(&file.path, text + &cluster + binding).expect("a configuration");
    let has_range = |status: &Value| status["targets"][0]["boundPrefixes"][0] == "2001:db8:a::/72";
    let _daemon = Daemon::start(&pair.host, &file, has_range);
    pair.host.ip(&format!("-6 neighbour add 2001:db8:a::5 lladdr 02:00:00:00:00:07 dev {WAN} nud reachable"));
    pair.host.ip(&format!("-6 neighbour add 2001:db8:a:1::5 lladdr 02:00:00:00:00:07 dev {WAN} nud reachable"));
    let found = doctor(&pair.host, &file);
    expect(&found, "neighbour", "note", "2001:db8:a::5 answers on wan and lies in the range of the pool pool");
    let neighbours = found.iter().filter(|finding| finding["check"] == "neighbour").count();
    assert_eq!(neighbours, 1, "{found:#?}");
    expect(&found, "credentials", "error", "Cannot read the kubeconfig");
}

/// As root without any capability: the files can be read, and that is all.
fn powerless(namespace: &Namespace) -> Command {
    let mut command = namespace.command("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", PROGRAM]);
    command
}

fn unprivileged() {
    let pair = Pair::joined();
    pair.host.inside(link_local);
    let (found, code) = examine(&mut powerless(&pair.host), &dhcpv6());
    assert_eq!(code, 3, "{found:#?}");
    expect(&found, "interface", "ok", "wan is there and up");
    expect(&found, "dhcpv6-port", "ok", "is free");
    expect(&found, "router-advertisement", "unseen", "CAP_NET_RAW");
    expect(&found, "capability", "unseen", "CAP_NET_BIND_SERVICE");
}

fn heard() {
    let pair = Pair::joined();
    pair.host.inside(link_local);
    let radvd = Radvd::start(&pair.router, &live(A));
    let file = router_advertisement();
    let says = format!("The router {ROUTER} announces {A} (preferred for 1200 s, valid for 3000 s)");
    expect(&doctor(&pair.host, &file), "router-advertisement", "ok", &says);

    let receives = |status: &Value| status["sources"][0]["state"] == "receiving";
    let daemon = Daemon::start(&pair.host, &file, receives);
    let (found, _) = examine(&mut pair.host.command(PROGRAM), &file);
    expect(&found, "router-advertisement", "ok", &says);
    expect(&found, "daemon", "ok", "The daemon runs");
    expect(&found, "capability", "ok", &format!("(process {})", daemon.0.id()));
    let (found, _) = examine(&mut powerless(&pair.host), &file);
    expect(&found, "router-advertisement", "ok", "The daemon hears");
    drop(radvd);
}

/// Rules, and whether they let in answers of DHCPv6 servers and Router Advertisements; `None`: that cannot be said.
const RULES: [(&str, [Option<bool>; 2]); 6] = [
    (include_str!("../../src/doctor/firewall/tests/server.nft"), [Some(false), Some(true)]),
    (include_str!("../../src/doctor/firewall/tests/opened.nft"), [Some(true), Some(true)]),
    (include_str!("../../src/doctor/firewall/tests/refused.nft"), [Some(false), Some(false)]),
    (include_str!("../../src/doctor/firewall/tests/elsewhere.nft"), [Some(false), Some(false)]),
    (include_str!("../../src/doctor/firewall/tests/limited.nft"), [None, None]),
    (include_str!("../../src/doctor/firewall/tests/guarded.nft"), [None, None]),
];

fn load(namespace: &Namespace, rules: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("rules");
    std::fs::write(&path, format!("flush ruleset\n{rules}")).expect("rules");
    let output = namespace.command("nft").arg("-f").arg(&path).output().expect("nft runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Both packets through the kernel, beside what the walk says.
fn firewall() {
    let pair = Pair::joined();
    let own = pair.host.inside(link_local);
    for (rules, expected) in RULES {
        load(&pair.host, rules);
        let printed = pair.host.command("nft").args(["--json", "list", "ruleset"]).output().expect("nft runs");
        let printed = String::from_utf8(printed.stdout).expect("UTF-8");
        let fate = |packet| {
            let arriving = Arriving { packet, interface: WAN, own: Some(own) };
            match walk(&nft::chains(&printed, "", &arriving).expect("what nft prints")) {
                Fate::Passes => Some(true),
                Fate::Dropped(_) => Some(false),
                Fate::MayDrop(_) | Fate::MayPass { .. } => None,
            }
        };
        assert_eq!([Packet::Dhcpv6, Packet::RouterAdvertisement].map(fate), expected, "{rules}");
        if let [Some(dhcpv6), Some(router)] = expected {
            assert_eq!(answer_arrives(&pair, own), dhcpv6, "an answer of a server:\n{rules}");
            assert_eq!(advertisement_arrives(&pair), router, "a Router Advertisement:\n{rules}");
        }
    }
}

/// How long a packet may be on its way before it counts as dropped.
const ON_ITS_WAY: Duration = Duration::from_secs(1);

fn answer_arrives(pair: &Pair, own: Ipv6Addr) -> bool {
    let client = pair.host.inside(|| {
        let index = nix::net::if_::if_nametoindex(WAN).expect("the interface exists");
        UdpSocket::bind(SocketAddrV6::new(own, 546, 0, index)).expect("port 546")
    });
    client.set_read_timeout(Some(ON_ITS_WAY)).expect("a time-out");
    pair.router.inside(|| {
        let index = nix::net::if_::if_nametoindex(LAN).expect("the interface exists");
        let server = UdpSocket::bind(SocketAddrV6::new(ROUTER, 547, 0, index)).expect("port 547");
        server.send_to(b"answer", SocketAddrV6::new(own, 546, 0, index)).expect("sent");
    });
    client.recv_from(&mut [0; 16]).is_ok()
}

fn advertisement_arrives(pair: &Pair) -> bool {
    let mut arrives = false;
    on_host(&pair.host, async || {
        let cancel = tokio_util::sync::CancellationToken::new();
        let (links, mut watched) = dyn_prefix::source::link::channel();
        tokio::spawn(dyn_prefix::source::link::run(links, cancel.clone()));
        let links = watched.wait_for(|links| links.is_loaded()).await.expect("the interfaces").clone();
        let mut socket = Socket::open(WAN, &links.get(WAN).expect("the interface")).expect("a socket");
        Forger::new(&pair.router, LAN).send(&Forged::proper(advertisement(&[(A, 600, 1200)])));
        let readable = tokio::time::timeout(ON_ITS_WAY, socket.readable()).await;
        let packet = socket.try_receive().expect("no error");
        arrives = readable.is_ok() && packet.is_some_and(|packet| parse(&packet).is_ok());
        cancel.cancel();
    });
    arrives
}

fn named() {
    let pair = Pair::joined();
    pair.host.inside(link_local);
    load(&pair.host, RULES[0].0);
    let found = doctor(&pair.host, &dhcpv6());
    expect(&found, "firewall-dhcpv6", "error", "by the policy of the chain inet filter input");
    expect(&found, "firewall-router-advertisement", "ok", "lets Router Advertisements");
    let (found, _) = examine(&mut powerless(&pair.host), &dhcpv6());
    expect(&found, "firewall-dhcpv6", "unseen", "nft: ");
    load(&pair.host, RULES[1].0);
    expect(&doctor(&pair.host, &dhcpv6()), "firewall-dhcpv6", "ok", "lets answers");
}
