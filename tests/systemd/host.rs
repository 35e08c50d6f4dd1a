//! Hooks and files inside the sandbox of the unit, without and with the drop-ins of the examples.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::guest::{Guest, SOON, UNIT, wait};
use super::netns::on_path;

pub(crate) const TESTS: &[super::Test] = &[
    ("a_hook_and_a_file_work_inside_the_sandbox_and_over_a_restart", inside),
    ("a_drop_in_lets_a_hook_change_routes", routes),
    ("a_drop_in_lets_a_file_stand_elsewhere", elsewhere),
];

/// Those that run nft in there.
pub(crate) const WITH_NFT: &[super::Test] =
    &[("the_nftables_example_works_inside_the_sandbox_and_its_set_stays_over_a_stop", nftables)];

const PREFIX: &str = r#"
[[dynamicPrefix]]
name = "home"
acquisition.static.prefix = "2001:db8:1::/56"
"#;

const HOOK: &str = r#"
[[hook]]
name = "follow"
command = ["/bin/sh", "-c", """
echo $(id -un) $DYN_PREFIX_EVENT $DYN_PREFIX_CURRENT $(grep CapEff: /proc/self/status) >> /run/dyn-prefix/runs
sed -n 's/.*"currentPrefix":"\\([^"]*\\)".*/stdin has \\1/p' >> /run/dyn-prefix/runs
touch /etc/nowhere 2>> /run/dyn-prefix/runs
true"""]

[[file]]
path = "/run/dyn-prefix/names"
text = "${*home.all+::2} www\n"
reload = ["/bin/cp", "/run/dyn-prefix/names", "/run/dyn-prefix/reloaded"]
"#;

fn is_done(guest: &Guest) -> bool {
    guest.run(&["dyn-prefix", "status", "--output", "json"]).1.matches("\"synced\": true").count() == 2
}

fn until(guest: &Guest, what: &str, wish: impl Fn() -> bool) {
    let found = wait(SOON, || wish().then_some(()));
    assert!(found.is_some(), "{what}: {}", guest.run(&["dyn-prefix", "status"]).1);
}

fn inside(guest: &Guest) {
    let mut journal = guest.fresh(&format!("{PREFIX}{HOOK}"));
    guest.start();
    until(guest, "hook and file", || is_done(guest));
    // CAP_NET_BIND_SERVICE and CAP_NET_RAW, and no more.
    let run = "dyn-prefix start 2001:db8:1::/56 CapEff: 0000000000002400\nstdin has 2001:db8:1::/56\n\
               touch: cannot touch '/etc/nowhere': Read-only file system\n";
    assert_eq!(guest.done(&["cat", "/run/dyn-prefix/runs"]), run);
    assert_eq!(guest.done(&["cat", "/run/dyn-prefix/reloaded"]), "2001:db8:1::2 www\n");
    let file = ["stat", "-c", "%a %U %i", "/run/dyn-prefix/names"];
    let before = guest.done(&file);
    assert!(before.starts_with("644 dyn-prefix "), "{before}");
    let ran = journal.says("The hook follow ran for home (start) in ");
    assert_eq!((&ran["DYN_PREFIX_NAME"], &ran["DYN_PREFIX_TARGET"]), (&"home".into(), &"hook/follow".into()));
    guest.done(&["systemctl", "restart", UNIT]);
    until(guest, "hook and file", || is_done(guest));
    assert_eq!(guest.done(&file), before, "the same file, over the restart");
    assert_eq!(guest.done(&["cat", "/run/dyn-prefix/runs"]), run.repeat(2));
    // A packet filter may include it whenever it is loaded.
    guest.done(&["systemctl", "stop", UNIT]);
    assert_eq!(guest.done(&file), before, "the same file, over a stop");
    guest.done(&["systemctl", "start", UNIT]);
    until(guest, "hook and file", || is_done(guest));
    assert_eq!(guest.done(&["cat", "/run/dyn-prefix/reloaded"]), "2001:db8:1::2 www\n");
}

fn with_drop_in(guest: &Guest, text: &str) {
    guest.write("/etc/systemd/system/dyn-prefix.service.d/test.conf", text);
    guest.done(&["systemctl", "daemon-reload"]);
    guest.done(&["systemctl", "restart", UNIT]);
}

fn routes(guest: &Guest) {
    let route = "command = [\"/bin/ip\", \"-6\", \"route\", \"replace\", \"unreachable\", \"2001:db8:ff::/48\"]";
    let mut journal = guest.fresh(&format!("{PREFIX}[[hook]]\n{route}\n"));
    guest.start();
    // Not being allowed to, ip gives up its capabilities, which the sandbox does not allow, and says nothing of that.
    journal.says("The hook ip did not run well for home (start): /bin/ip ended with status ");
    assert!(!guest.run(&["dyn-prefix", "status"]).0, "it is degraded");
    with_drop_in(guest, include_str!("../../examples/host/nft.conf"));
    journal.says("The hook ip ran for home (start) in ");
    guest.done(&["dyn-prefix", "status"]);
    assert!(guest.done(&["ip", "-6", "route", "show", "type", "unreachable"]).contains("2001:db8:ff::/48"));
    guest.done(&["ip", "-6", "route", "del", "unreachable", "2001:db8:ff::/48"]);
}

fn elsewhere(guest: &Guest) {
    let file = "[[file]]\npath = \"/etc/unbound/prefix.d/names\"\ntext = \"${home.current}\"\n";
    let mut journal = guest.fresh(&format!("{PREFIX}{file}"));
    guest.done(&["install", "-d", "-g", "dyn-prefix", "-m", "2775", "/etc/unbound/prefix.d"]);
    guest.start();
    journal
        .says("/etc/unbound/prefix.d/names cannot be written: Read-only file system; the unit lets the daemon write");
    with_drop_in(guest, include_str!("../../examples/host/write-elsewhere.conf"));
    journal.says("Wrote /etc/unbound/prefix.d/names.");
    assert_eq!(guest.done(&["cat", "/etc/unbound/prefix.d/names"]), "2001:db8:1::/56");
}

/// Puts nft into the guest, with the libraries that it has loaded here: the guest is of the same release.
fn install_nft(guest: &Guest) {
    let program = on_path("nft").expect("nft is there");
    let mut nft = Command::new(program).arg("--interactive").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    let nft = nft.as_mut().expect("nft runs");
    let process = format!("/proc/{}", nft.id());
    let maps = wait(SOON, || {
        let maps = fs::read_to_string(format!("{process}/maps")).ok()?;
        // The last one that it opens.
        maps.contains("libmd.so").then_some(maps)
    });
    let exe = fs::read_link(format!("{process}/exe")).expect("a program");
    guest.copy(&exe, "/usr/sbin/nft");
    let maps = maps.expect("its libraries are loaded");
    let libraries = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    for library in libraries.filter(|path| path.to_string_lossy().contains(".so")) {
        let name = library.file_name().expect("a file").to_string_lossy();
        if !["libc.so", "ld-linux"].iter().any(|known| name.starts_with(known)) {
            guest.copy(library, &format!("/usr/local/lib/{name}"));
        }
    }
    drop(nft.stdin.take());
    nft.wait().expect("it ends");
    guest.done(&["ldconfig"]);
}

fn nftables(guest: &Guest) {
    install_nft(guest);
    let config = include_str!("../../examples/host/nftables.toml");
    let asks = "acquisition.dhcpv6 = { interface = \"ppp0\", requestedPrefixLength = 56 }";
    assert!(config.contains(asks), "{config}");
    let mut journal = guest.fresh(&config.replace(asks, "acquisition.static.prefix = \"2001:db8:1::/56\""));
    guest.write("/etc/dyn-prefix/prefix.nft.in", include_str!("../../examples/host/prefix.nft.in"));
    guest.write("/etc/nftables.conf", include_str!("../../examples/host/filter.nft"));
    guest.done(&["nft", "--file", "/etc/nftables.conf"]);
    guest.start();
    journal.says("/run/dyn-prefix/prefix.nft is written, but its reload command did not run well: /usr/sbin/nft ended");
    with_drop_in(guest, include_str!("../../examples/host/nft.conf"));
    journal.says("The reload command of /run/dyn-prefix/prefix.nft ran in ");
    let set = || guest.done(&["nft", "list", "set", "inet", "home", "loadbalancers"]);
    assert!(set().contains("elements = { 2001:db8:1:5::/64 }"), "{}", set());
    guest.done(&["dyn-prefix", "status"]);
    guest.done(&["systemctl", "stop", UNIT]);
    assert!(set().contains("elements = { 2001:db8:1:5::/64 }"), "{}", set());
    // Whoever loads the filter anew has it, too.
    guest.done(&["nft", "flush", "ruleset"]);
    guest.done(&["nft", "--file", "/etc/nftables.conf"]);
    assert!(set().contains("elements = { 2001:db8:1:5::/64 }"), "{}", set());
    guest.done(&["nft", "flush", "ruleset"]);
}
