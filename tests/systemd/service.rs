//! What systemd sees of the daemon, and what the daemon may do inside its sandbox.

use std::time::{Duration, Instant};

use dyn_prefix::source::ra::packet::{Advertisement, PrefixInformation};
use serde_json::Value;

use super::guest::{Guest, UNIT};
use super::netns::{Forged, Forger, LAN, Namespace, WAN};

pub(crate) const TESTS: &[super::Test] = &[
    ("the_unit_is_in_order", the_unit_is_in_order),
    ("start_waits_until_it_is_ready_and_the_status_line_tells", start_waits_until_it_is_ready),
    ("an_unedited_file_is_active_and_idle", an_unedited_file_is_active_and_idle),
    ("a_configuration_error_exits_78_and_is_not_started_again", a_configuration_error_exits_78),
    ("a_good_reload_takes_the_new_configuration_into_use", a_good_reload),
    ("a_bad_reload_fails_and_the_service_runs_on", a_bad_reload),
    ("the_watchdog_kills_a_daemon_that_hangs", the_watchdog),
    ("a_daemon_that_dies_is_started_again_however_often", a_daemon_that_dies),
    ("stop_takes_less_than_five_seconds", stop),
    ("the_journal_has_the_fields_to_filter_by", the_journal),
    ("state_survives_a_restart", state_survives),
    ("directories_are_made_with_their_modes", directories),
    ("a_router_advertisement_is_heard_inside_the_sandbox", a_router_advertisement),
];

const STARTED: &str = concat!("dyn-prefix ", env!("CARGO_PKG_VERSION"), " started with /etc/dyn-prefix.toml");

const FIXED: &str = r#"
[[cluster]]
name = "lab"
kubeconfig = "/etc/dyn-prefix/lab.kubeconfig"

[[dynamicPrefix]]
name = "home"
acquisition.static.prefix = "2001:db8:1::/56"
subnets = [{ name = "web", index = 5, prefixLength = 64 }]

[[binding]]
prefixRef = "home/web"
target = "CiliumLoadBalancerIPPool/pool"
"#;

const HEARD: &str = r#"
[[cluster]]
name = "lab"
kubeconfig = "/etc/dyn-prefix/lab.kubeconfig"

[[dynamicPrefix]]
name = "home"
acquisition.routerAdvertisement = { interface = "wan" }
subnets = [{ name = "web", index = 0, prefixLength = 112 }]
"#;

fn rotated() -> String {
    FIXED.replace("2001:db8:1::/56", "2001:db8:2::/56")
}

fn the_unit_is_in_order(guest: &Guest) {
    // The manual page comes with a package.
    let (success, said) = guest.run(&["systemd-analyze", "verify", "--man=no", &format!("/lib/systemd/system/{UNIT}")]);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("dyn-prefix")).collect();
    assert!(success && ours.is_empty(), "{said}");
    let properties = ["Type", "Restart", "RestartPreventExitStatus", "StartLimitIntervalUSec"];
    assert_eq!(guest.shown(properties), ["notify", "always", "78", "0"]);
}

fn start_waits_until_it_is_ready(guest: &Guest) {
    let _journal = guest.fresh(FIXED);
    guest.start();
    assert_eq!(guest.shown(["ActiveState", "SubState", "WatchdogUSec"]), ["active", "running", "1min"]);
    // It came with READY.
    let status = guest.show("StatusText");
    assert!(status.starts_with("home 2001:db8:1::/56; 0 of "), "{status}");
    let status = guest.until("StatusText", |status| status.contains("of 1 targets in sync"));
    assert_eq!(status, "home 2001:db8:1::/56; 0 of 1 targets in sync; not connected: lab");
    let said = guest.run(&["dyn-prefix", "status"]).1;
    assert!(said.contains("home  2001:db8:1::/56 from static, generation 1\n  web  2001:db8:1:5::/64\n"), "{said}");
}

fn an_unedited_file_is_active_and_idle(guest: &Guest) {
    for unedited in ["", "# Everything here is a comment.\n# [[cluster]]\n"] {
        let mut journal = guest.fresh(unedited);
        guest.start();
        assert_eq!(guest.shown(["ActiveState", "SubState"]), ["active", "running"]);
        let status = guest.show("StatusText");
        assert!(status.starts_with("idle: add a [[dynamicPrefix]]"), "{status}");
        journal.says("/etc/dyn-prefix.toml:1:1: note: no prefix is followed");
        guest.done(&["dyn-prefix", "status"]);
    }
    // And that is all it takes.
    guest.configure(FIXED);
    guest.done(&["systemctl", "reload", UNIT]);
    guest.until("StatusText", |status| status.starts_with("home 2001:db8:1::/56; "));
}

fn a_configuration_error_exits_78(guest: &Guest) {
    let mut journal = guest.fresh(&FIXED.replace("prefixLength = 64", "prefixLength = 129"));
    let expected = ["failed", "failed", "78", "0"];
    let is = ["ActiveState", "SubState", "ExecMainStatus", "NRestarts"];
    assert!(!guest.run(&["systemctl", "start", UNIT]).0);
    assert_eq!(guest.shown(is), expected);
    let finding = journal.says("/etc/dyn-prefix.toml:9:");
    assert_eq!(finding["PRIORITY"], "3");
    let mut journal = guest.fresh(FIXED);
    guest.remove_config();
    assert!(!guest.run(&["systemctl", "start", UNIT]).0);
    assert_eq!(guest.shown(is), expected);
    journal.says("the configuration cannot be read");
}

fn a_good_reload(guest: &Guest) {
    let _journal = guest.fresh(FIXED);
    guest.start();
    let pid = guest.show("MainPID");
    guest.configure(&rotated());
    guest.done(&["systemctl", "reload", UNIT]);
    let status = guest.until("StatusText", |status| status.starts_with("home 2001:db8:2::/56; "));
    assert!(!status.contains("refused"), "{status}");
    assert_eq!(guest.show("MainPID"), pid);
}

fn a_bad_reload(guest: &Guest) {
    let mut journal = guest.fresh(FIXED);
    guest.start();
    let pid = guest.show("MainPID");
    for wrong in [rotated().replace("home/web", "home/bew"), "no TOML".to_owned()] {
        guest.configure(&wrong);
        assert!(!guest.run(&["systemctl", "reload", UNIT]).0);
        assert_eq!(guest.shown(["ActiveState", "SubState", "MainPID"]), ["active", "running", &pid]);
        let status = guest.until("StatusText", |status| status.contains("refused"));
        assert!(status.starts_with("home 2001:db8:1::/56; "), "{status}");
        let refused = journal.says("was read again and refused; the former configuration stays in use");
        assert_eq!(refused["PRIORITY"], "3");
    }
    guest.configure(&rotated());
    guest.done(&["systemctl", "reload", UNIT]);
    guest.until("StatusText", |status| status.starts_with("home 2001:db8:2::/56; "));
    journal.says("the new configuration is in use");
    // The command that reloads writes to the journal, too.
    assert!(!journal.has_said("the new configuration was refused"), "it is told once");
}

fn the_watchdog(guest: &Guest) {
    let mut journal = guest.fresh(FIXED);
    // The minute of the unit is long for a test; the daemon takes it from systemd, whatever it is.
    guest.write("/etc/systemd/system/dyn-prefix.service.d/watchdog.conf", "[Service]\nWatchdogSec=4\n");
    guest.done(&["systemctl", "daemon-reload"]);
    guest.start();
    journal.says(STARTED);
    let pid = guest.show("MainPID");
    // It lives longer than the time-out as long as it turns.
    let first = guest.show("WatchdogTimestampMonotonic");
    guest.until("WatchdogTimestampMonotonic", |latest| latest != first);
    assert_eq!(guest.shown(["MainPID", "NRestarts"]), [pid.as_str(), "0"]);
    guest.done(&["systemctl", "kill", "-s", "STOP", "--kill-who=main", UNIT]);
    journal.says("Watchdog timeout");
    journal.says(STARTED);
    guest.until("ActiveState", |state| state == "active");
    assert_ne!(guest.show("MainPID"), pid);
    assert_eq!(guest.show("NRestarts"), "1");
}

/// More often than systemd's own limit of five starts in ten seconds.
fn a_daemon_that_dies(guest: &Guest) {
    let mut journal = guest.fresh(FIXED);
    guest.start();
    journal.says(STARTED);
    for died in 1..=6 {
        guest.done(&["systemctl", "kill", "-s", "KILL", "--kill-who=main", UNIT]);
        journal.says(STARTED);
        guest.until("ActiveState", |state| state == "active");
        assert_eq!(guest.show("NRestarts"), died.to_string());
    }
}

#[expect(clippy::disallowed_methods, reason = "measures how long a stop takes")]
fn stop(guest: &Guest) {
    let mut journal = guest.fresh(FIXED);
    guest.start();
    let told = Instant::now();
    guest.done(&["systemctl", "stop", UNIT]);
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert_eq!(guest.shown(["ActiveState", "Result", "ExecMainStatus"]), ["inactive", "success", "0"]);
    journal.says("Stopping on SIGTERM. What is published stays: nothing is withdrawn from any cluster.");
}

fn field<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry[name].as_str().unwrap_or("absent")
}

fn the_journal(guest: &Guest) {
    let mut journal = guest.fresh(FIXED);
    guest.start();
    let started = journal.says(STARTED);
    let expected = ["6", "dyn-prefix", "dfd6f26fad1f499b9b29760499cb020d", UNIT];
    let names = ["PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE_ID", "_SYSTEMD_UNIT"];
    assert_eq!(names.map(|name| field(&started, name)), expected);
    let acquired = journal.says("home: 2001:db8:1::/56 is the prefix (static, generation 1)");
    let names = ["PRIORITY", "MESSAGE_ID", "DYN_PREFIX_NAME", "DYN_PREFIX_CURRENT", "DYN_PREFIX_SOURCE"];
    let expected = ["6", "7408a194788d4ed693f2ed06877498ae", "home", "2001:db8:1::/56", "static"];
    assert_eq!(names.map(|name| field(&acquired, name)), expected);
    assert!(acquired.get("DYN_PREFIX_PREVIOUS").is_none(), "there is none: {acquired}");
    let away = journal.says("lab: Cannot read the kubeconfig /etc/dyn-prefix/lab.kubeconfig");
    let expected = ["4", "eee83721b58c48e585b08cc952f4f365", "lab"];
    assert_eq!(["PRIORITY", "MESSAGE_ID", "DYN_PREFIX_CLUSTER"].map(|name| field(&away, name)), expected);
    guest.configure(&rotated());
    guest.done(&["systemctl", "reload", UNIT]);
    let rotated = journal.says("home: 2001:db8:2::/56 takes the place of 2001:db8:1::/56");
    let expected = ["2001:db8:2::/56", "2001:db8:1::/56"];
    assert_eq!(["DYN_PREFIX_CURRENT", "DYN_PREFIX_PREVIOUS"].map(|name| field(&rotated, name)), expected);
    let found = guest.done(&["journalctl", "-u", UNIT, "-o", "cat", "DYN_PREFIX_PREVIOUS=2001:db8:1::/56"]);
    assert!(found.lines().all(|line| line.contains("takes the place of 2001:db8:1::/56")), "{found}");
    assert!(!found.trim().is_empty());
    let status = journal.until("the status block", |entry| {
        field(entry, "MESSAGE_ID") == "93158ff203a54225b7b5c1805b777892"
            && field(entry, "MESSAGE").contains("\nhome  2001:db8:2::/56 from static, generation 2")
    });
    assert_eq!(field(&status, "PRIORITY"), "6");
}

fn state_survives(guest: &Guest) {
    let _journal = guest.fresh(FIXED);
    guest.start();
    guest.configure(&rotated());
    guest.done(&["systemctl", "reload", UNIT]);
    guest.done(&["systemctl", "restart", UNIT]);
    let history = guest.done(&["dyn-prefix", "history"]);
    assert!(history.starts_with("home  now 2001:db8:2::/56\n  2001:db8:1::/56  draining until "), "{history}");
    let status = guest.run(&["dyn-prefix", "status"]).1;
    assert!(status.contains("home  2001:db8:2::/56 from static, generation 2\n"), "{status}");
}

fn directories(guest: &Guest) {
    let _journal = guest.fresh(FIXED);
    guest.start();
    let modes = guest.done(&["stat", "-c", "%a %U %F %n", "/run/dyn-prefix", "/run/dyn-prefix/control.sock"]);
    assert_eq!(modes, "755 dyn-prefix directory /run/dyn-prefix\n660 dyn-prefix socket /run/dyn-prefix/control.sock\n");
    let kubeconfigs = guest.done(&["stat", "-c", "%a %U %G", "/etc/dyn-prefix"]);
    assert_eq!(kubeconfigs, "750 root dyn-prefix\n");
    assert_eq!(guest.done(&["stat", "-c", "%a %U", "/var/lib/dyn-prefix"]), "700 dyn-prefix\n");
    guest.done(&["systemctl", "stop", UNIT]);
    guest.done(&["test", "-f", "/var/lib/dyn-prefix/state.json"]);
    // The directory stays for the files that follow the prefixes.
    assert_eq!(guest.done(&["find", "/run/dyn-prefix"]), "/run/dyn-prefix\n");
}

fn a_router_advertisement(guest: &Guest) {
    let mut journal = guest.fresh(HEARD);
    guest.start();
    assert!(guest.show("StatusText").starts_with("home waits for a prefix; "));
    journal.says("The interface wan does not exist; waiting for it to appear.");
    let router = Namespace::new("router");
    let pid = guest.pid;
    router.ip(&format!("link add {LAN} address 02:00:00:00:00:01 type veth peer name {WAN} netns {pid}"));
    router.ip(&format!("link set {LAN} up"));
    guest.done(&["ip", "link", "set", WAN, "up"]);
    journal.says("Asking for Router Advertisements on wan.");
    let prefix = PrefixInformation {
        prefix: "2001:db8:5::/64".parse().expect("a prefix"),
        on_link: true,
        autonomous: true,
        pd_preferred: false,
        preferred: 1800,
        valid: 3600,
    };
    let advertisement = Advertisement {
        router: std::net::Ipv6Addr::UNSPECIFIED,
        router_lifetime: 1800,
        managed: false,
        other: false,
        prefixes: vec![prefix],
        ignored: Vec::new(),
    };
    Forger::new(&router, LAN).send(&Forged::proper(advertisement.encode()));
    let acquired = journal.says("home: 2001:db8:5::/64 is the prefix");
    assert_eq!(field(&acquired, "DYN_PREFIX_SOURCE"), "router-advertisement on wan");
    guest.until("StatusText", |status| status.starts_with("home 2001:db8:5::/64; "));
    assert_eq!(guest.show("NRestarts"), "0");
    router.ip(&format!("link del {LAN}"));
}
