//! Hooks and files behind a real router's words: the nftables example filters what a real kernel forwards, before, while
//! and after the prefix changes.

use std::net::{Ipv6Addr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;

use crate::Test;
use crate::dhcpv6::lab::link_local;
use crate::lab::{A, B, SOON, advertisement};
use crate::support::{Forged, Forger, LAN, Namespace, Pair, WAN, on_path};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dyn-prefix");

pub(crate) const WITH_NFT: &[Test] = &[
    ("host: a packet filter and a hook follow the prefix that a router announces", packet_filter),
    ("host: the rules and the file of the README do to packets what it says", recipes),
    ("host: an nftables set takes a prefix that lies in another one", nested),
];

pub(crate) const TESTS: &[Test] =
    &[("host: a full disk and a mounted file are told, and it is written when there is room", no_room)];

const README: &str = include_str!("../../README.md");

pub(crate) const WITH_UNBOUND: &[Test] = &[("host: unbound answers with what the example writes", names)];

/// How long a packet may be on its way before it counts as dropped.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// The load balancers have the second /72 of the /64.
const CONFIG: &str = r#"[daemon]
id = "netns"
stateDirectory = "DIR/state"
controlSocket = "DIR/control.sock"

[[dynamicPrefix]]
name = "home-ipv6"
acquisition.routerAdvertisement = { interface = "wan" }
subnets = [{ name = "loadbalancers", index = 1, prefixLength = 72 }]

[[hook]]
command = ["/bin/sh", "-c", "echo $DYN_PREFIX_EVENT $DYN_PREFIX_CURRENT $DYN_PREFIX_PREVIOUS >> DIR/runs"]

[[file]]
path = "DIR/prefix.nft"
template = "DIR/prefix.nft.in"
reload = ["NFT", "--file", "DIR/prefix.nft"]
"#;

/// A directory with the example, whose paths are those of this test.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a temporary directory"));
        files.write("c.toml", CONFIG);
        files.write("prefix.nft.in", include_str!("../../examples/host/prefix.nft.in"));
        let filter = include_str!("../../examples/host/filter.nft").replace("ppp0", WAN);
        files.write("filter.nft", &filter.replace("/run/dyn-prefix", "DIR"));
        files
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let nft = on_path("nft").expect("nft is there").display().to_string();
        let text = text.replace("DIR", &self.0.path().display().to_string()).replace("NFT", &nft);
        std::fs::write(self.at(name), text).expect("a file");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap_or_default()
    }
}

/// A running daemon; it is killed with the value.
struct Daemon<'a> {
    running: Killed,
    host: &'a Namespace,
    config: PathBuf,
}

impl<'a> Daemon<'a> {
    fn start(host: &'a Namespace, files: &Files) -> Self {
        let mut command = host.command(PROGRAM);
        command.args(["run", "--config"]).arg(files.at("c.toml"));
        Self::started(command, host, files)
    }

    fn started(mut command: Command, host: &'a Namespace, files: &Files) -> Self {
        let config = files.at("c.toml");
        command.env_remove("JOURNAL_STREAM").env_remove("NOTIFY_SOCKET");
        let log = std::fs::File::create(files.at("log")).expect("a log");
        Self { running: Killed(command.stderr(log).spawn().expect("it starts")), host, config }
    }

    /// Waits until the status is as wanted.
    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        let until = dyn_prefix::clock::now() + SOON;
        loop {
            let mut command = self.host.command(PROGRAM);
            let output = command.args(["status", "--output", "json", "--config"]).arg(&self.config).output();
            let status: Value = serde_json::from_slice(&output.expect("it runs").stdout).unwrap_or_default();
            if wanted(&status) {
                return;
            }
            assert!(dyn_prefix::clock::now() < until, "{what}: {status:#}");
        }
    }

    /// Waits until hook and file have followed to this prefix.
    fn until_at(&self, prefix: &str) {
        let is_done = |list: &Value| list.as_array().is_none_or(|all| all.iter().all(|one| one["synced"] == true));
        self.until(prefix, |status| {
            let current = &status["dynamicPrefixes"][0]["currentPrefix"];
            current == prefix && is_done(&status["hooks"]) && is_done(&status["files"])
        });
    }
}

/// A namespace behind the host, which routes to it, with all addresses of the prefixes.
fn behind(pair: &Pair) -> Namespace {
    let (inner, host) = (Namespace::new("inner"), &pair.host);
    host.sysctl("net/ipv6/conf/all/forwarding", "1");
    host.ip(&format!("link add inside type veth peer name outside netns {}", inner.name));
    host.ip("link set inside up");
    inner.ip("link set outside up");
    host.ip("address add fd00:1::1/64 dev inside");
    inner.ip("address add fd00:1::2/64 dev outside");
    // Local to it, however many they are.
    inner.ip("-6 route add local 2001:db8::/32 dev lo");
    inner.ip("-6 route add default via fd00:1::1");
    host.ip("-6 route add 2001:db8::/32 via fd00:1::2");
    host.ip(&format!("address add fd00:2::2/64 dev {WAN}"));
    pair.router.ip(&format!("address add fd00:2::1/64 dev {LAN}"));
    pair.router.ip("-6 route add 2001:db8::/32 via fd00:2::2");
    inner
}

fn listen(namespace: &Namespace, port: u16) -> TcpListener {
    namespace.inside(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).expect("a listener"))
}

/// Whether the router can connect.
fn passes(pair: &Pair, address: &str, port: u16) -> bool {
    let address = SocketAddrV6::new(address.parse().expect("an address"), port, 0, 0);
    pair.router.inside(|| TcpStream::connect_timeout(&address.into(), ON_ITS_WAY).is_ok())
}

fn load(host: &Namespace, path: &Path) {
    let mut flush: Command = host.command("nft");
    assert!(flush.args(["flush", "ruleset"]).status().expect("nft runs").success());
    let output = host.command("nft").arg("--file").arg(path).output().expect("nft runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn packet_filter() {
    let (pair, files) = (Pair::joined(), Files::new());
    pair.host.inside(link_local);
    let inner = behind(&pair);
    let _listeners = [80, 25].map(|port| listen(&inner, port));
    assert!(passes(&pair, "2001:db8:a:0:100::5", 80), "before there is a filter");
    load(&pair.host, &files.at("filter.nft"));
    let fates = |prefix: &str| {
        let of = |host: &str, port| passes(&pair, &format!("2001:db8:{prefix}:0:{host}"), port);
        // In the set; beside it; the host part that needs no set; another one.
        [of("100::5", 80), of("200::5", 80), of("0:0:0:1234", 25), of("0:0:0:1235", 25)]
    };
    assert_eq!(fates("a"), [false, false, true, false], "before there is a prefix");

    let daemon = Daemon::start(&pair.host, &files);
    daemon.until("it listens", |status| status["sources"][0]["state"] == "soliciting");
    let forger = Forger::new(&pair.router, LAN);
    forger.send(&Forged::proper(advertisement(&[(A, 600, 1200)])));
    daemon.until_at(A);
    assert_eq!(fates("a"), [true, false, true, false]);
    assert_eq!(fates("b"), [false, false, true, false]);

    forger.send(&Forged::proper(advertisement(&[(A, 0, 1200), (B, 600, 1200)])));
    daemon.until_at(B);
    assert_eq!(fates("b"), [true, false, true, false]);
    assert_eq!(fates("a"), [true, false, true, false], "it drains");
    assert_eq!(files.read("runs"), format!("start {A}\nacquired {B} {A}\n"));
    // Whoever loads the filter anew finds what was written last.
    load(&pair.host, &files.at("filter.nft"));
    assert_eq!(fates("b"), [true, false, true, false]);
}

/// The Nth fenced block of a language in the README.
fn nth(language: &str, number: usize) -> String {
    let blocks = README.split(&format!("```{language}\n")).nth(number).expect("there are so many");
    blocks.split("```").next().expect("its end").to_owned()
}

fn recipes() {
    let (pair, files) = (Pair::joined(), Files::new());
    pair.host.inside(link_local);
    let inner = behind(&pair);
    let _listener = listen(&inner, 443);
    let here = |text: &str| text.replace("/run/dyn-prefix", "DIR").replace("/usr/sbin/nft", "NFT");
    let config = nth("toml", 1).replace("/etc/dyn-prefix", "DIR").replace("eth0", WAN);
    let daemon = "[daemon]\nid = \"netns\"\nstateDirectory = \"DIR/state\"\ncontrolSocket = \"DIR/control.sock\"\n\n";
    files.write("c.toml", &format!("{daemon}{config}{}", here(&nth("toml", 2))));
    let mut rules = "add table inet home
add set inet home loadbalancers { type ipv6_addr; flags interval; auto-merge; }
add chain inet home forward { type filter hook forward priority filter; policy drop; }
add rule inet home forward ct state established,related accept\n"
        .to_owned();
    for rule in nth("nft", 1).lines() {
        rules.push_str(&format!("add rule inet home forward {}\n", rule.replace("ppp0", WAN)));
    }
    files.write("rules.nft", &rules);
    load(&pair.host, &files.at("rules.nft"));
    let fates = |prefix: &str| {
        let of = |host: &str| passes(&pair, &format!("2001:db8:{prefix}:0:{host}"), 443);
        // In the range, beside it; the host part that the second rule names, another one.
        [of("f000::5"), of("e000::5"), of("1:2:3:4"), of("1:2:3:5")]
    };
    assert_eq!(fates("a"), [false, false, true, false], "the second rule needs no prefix");
    let daemon = Daemon::start(&pair.host, &files);
    daemon.until("it listens", |status| status["sources"][0]["state"] == "soliciting");
    let forger = Forger::new(&pair.router, LAN);
    forger.send(&Forged::proper(advertisement(&[(A, 600, 1200)])));
    daemon.until_at(A);
    assert_eq!((fates("a"), fates("b")), ([true, false, true, false], [false, false, true, false]));
    forger.send(&Forged::proper(advertisement(&[(A, 0, 1200), (B, 600, 1200)])));
    daemon.until_at(B);
    assert_eq!((fates("a"), fates("b")), ([true, false, true, false], [true, false, true, false]));
}

/// A provider that delegates a /60 of the /56 that it delegated before: both are in the set while the /56 drains.
fn nested() {
    let (host, files) = (Namespace::new("sets"), Files::new());
    let template = include_str!("../../examples/host/prefix.nft.in").replace("/loadbalancers.all", ".all");
    files.write("prefix.nft.in", &template);
    let filter = |prefixes: &[&str]| {
        let mut plan = Command::new(PROGRAM);
        plan.args(["plan", "--output", "json", "--config"]).arg(files.at("c.toml"));
        plan.args(prefixes.iter().flat_map(|prefix| ["--prefix", prefix]));
        let plan: Value = serde_json::from_slice(&plan.output().expect("it runs").stdout).expect("a plan");
        files.write("prefix.nft", plan["files"][0]["content"].as_str().expect("a text"));
        let output = host.command("nft").arg("--file").arg(files.at("prefix.nft")).output().expect("nft runs");
        assert!(output.status.success(), "{prefixes:?}: {}", String::from_utf8_lossy(&output.stderr));
        let listed = host.command("nft").args(["list", "set", "inet", "home", "loadbalancers"]).output();
        String::from_utf8(listed.expect("nft runs").stdout).expect("text")
    };
    let has = |listed: &str, wanted: &str| assert!(listed.contains(&format!("elements = {{ {wanted} }}")), "{listed}");
    has(&filter(&["2001:db8:a::/56"]), "2001:db8:a::/56");
    has(&filter(&["2001:db8:a::/60", "2001:db8:a::/56"]), "2001:db8:a::/56");
    has(&filter(&["2001:db8:a::/60"]), "2001:db8:a::/60");
}

/// A text of 16 KiB for a file system of 64 that is full, and for a file that is a mount of its own.
fn no_room() {
    let (host, files) = (Namespace::new("files"), Files::new());
    let file =
        |path: &str| format!("[[file]]\npath = \"DIR/{path}\"\ntext = \"${{home.current}}{}\"\n", "x".repeat(1 << 14));
    let (start, _) = CONFIG.split_once("[[dynamicPrefix]]").expect("a prefix");
    let prefix = "[[dynamicPrefix]]\nname = \"home\"\nacquisition.static.prefix = \"2001:db8:1::/56\"\n";
    files.write("c.toml", &format!("{start}{prefix}{}{}{}", file("full/set"), file("mounted"), file("plain")));
    std::fs::create_dir(files.at("full")).expect("a directory");
    files.write("mounted", "as it was");
    files.write(
        "start",
        "set -e
mount -t tmpfs -o size=64k none DIR/full
echo as it was > DIR/full/set
head -c 65536 /dev/zero > DIR/full/rest || true
mount --bind DIR/mounted DIR/mounted
exec \"$1\" run --config DIR/c.toml\n",
    );
    let mut command = host.command("unshare");
    command.args(["--mount", "sh"]).arg(files.at("start")).arg(PROGRAM);
    let daemon = Daemon::started(command, &host, &files);
    let says = |status: &Value, number: usize, words: &str| {
        let file = &status["files"][number];
        file["reason"] == "NotWritten" && file["message"].as_str().is_some_and(|message| message.contains(words))
    };
    daemon.until("each says why", |status| {
        let busy = "Device or resource busy; a file that is mounted by itself";
        says(status, 0, "No space left on device; make room")
            && says(status, 1, busy)
            && status["files"][2]["synced"] == true
    });
    // As the daemon sees it.
    let seen = PathBuf::from(format!("/proc/{}/root", daemon.running.0.id()));
    let at = |name: &str| seen.join(files.at(name).strip_prefix("/").expect("an absolute path"));
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(at("full")).expect("a directory");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(std::fs::read_to_string(at("full/set")).expect("it is there"), "as it was\n");
    assert_eq!(std::fs::read_to_string(at("mounted")).expect("it is there"), "as it was");
    std::fs::remove_file(at("full/rest")).expect("it is there");
    daemon.until("there is room", |status| status["files"][0]["synced"] == true);
    assert_eq!(names(), ["set"], "nothing is left beside it");
}

/// A question for the address of a name, as it goes over the wire.
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a short label"));
        message.extend_from_slice(label.as_bytes());
    }
    // The root; AAAA, IN.
    message.extend_from_slice(&[0, 0, 28, 0, 1]);
    message
}

/// The address that the server on port 5353 has for a name; it may not listen yet.
fn address_of(name: &str) -> Option<Ipv6Addr> {
    let until = dyn_prefix::clock::now() + SOON;
    let (socket, question) = (UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("a socket"), question(name));
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    socket.connect((Ipv6Addr::LOCALHOST, 5353)).expect("an address");
    let mut answer = [0; 512];
    loop {
        let asked = socket.send(&question).and_then(|_| socket.recv(&mut answer));
        assert!(dyn_prefix::clock::now() < until, "unbound does not answer: {asked:?}");
        let Ok(length) = asked else { continue };
        // One answer at most, and its address is the end of the message.
        let address: Option<[u8; 16]> = answer[..length].last_chunk().copied();
        return address.filter(|_| answer[7] == 1).map(Ipv6Addr::from);
    }
}

fn names() {
    let (host, directory) = (Namespace::new("names"), tempfile::tempdir().expect("a temporary directory"));
    let at = |name: &str| directory.path().join(name).display().to_string();
    let here = |text: &str| text.replace("/etc/dyn-prefix", &at("")).replace("/run/dyn-prefix", &at("run"));
    std::fs::write(at("hosts.conf.in"), include_str!("../../examples/host/hosts.conf.in")).expect("a template");
    std::fs::write(at("c.toml"), here(include_str!("../../examples/host/unbound.toml"))).expect("a configuration");
    std::fs::create_dir(at("run")).expect("a directory");
    let server = format!(
        "server:\n interface: ::1\n port: 5353\n username: \"\"\n chroot: \"\"\n pidfile: \"\"\n use-syslog: no\n \
         directory: \"{}\"\n do-not-query-localhost: yes\n{}",
        at(""),
        here("include: \"/run/dyn-prefix/*.conf\"\n"),
    );
    std::fs::write(at("unbound.conf"), server).expect("a configuration");
    let asked = ["nas.home.example", "www.home.example"];
    let answers = |prefix: Option<&str>| {
        if let Some(prefix) = prefix {
            let mut plan = Command::new(PROGRAM);
            plan.args(["plan", "--output", "json", "--config", &at("c.toml"), "--prefix", prefix]);
            let plan: Value = serde_json::from_slice(&plan.output().expect("it runs").stdout).expect("a plan");
            std::fs::write(at("run/hosts.conf"), plan["files"][0]["content"].as_str().expect("a text"))
                .expect("written");
        }
        let mut unbound = host.command("unbound");
        let log = std::fs::File::create(at("log")).expect("a log");
        let _unbound = Killed(unbound.args(["-d", "-c", &at("unbound.conf")]).stderr(log).spawn().expect("it starts"));
        asked.map(|name| host.inside(|| address_of(name)))
    };
    assert_eq!(answers(None), [None, None], "a pattern that finds nothing is no error");
    let both = |addresses: [&str; 2]| addresses.map(|address| Some(address.parse().expect("an address")));
    assert_eq!(answers(Some("2001:db8:a::/56")), both(["2001:db8:a:5::2", "2001:db8:a:0:f000::2"]));
    assert_eq!(answers(Some("2001:db8:b::/56")), both(["2001:db8:b:5::2", "2001:db8:b:0:f000::2"]));
}

/// A process that is killed with the value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
