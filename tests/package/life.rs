//! A package from its installation to its end, on a machine that had nothing before.

use serde_json::Value;

use super::Lab;
use super::guest::{Guest, UNIT};
use super::household::{self, ADVERTISED, DELEGATED, Household};
use super::journal::Journal;

const README: &str = include_str!("../../README.md");

pub(crate) const TESTS: &[super::Test] = &[
    ("an_installed_package_is_ready_and_idle", idle),
    ("autopkgtest_passes", autopkgtest),
    ("every_example_can_be_used", examples),
    ("the_readme_leads_to_a_filled_pool", readme),
    ("killed_or_hanging_it_is_started_again_and_goes_on", recovery),
    ("an_upgrade_restarts_once_and_keeps_the_state", upgrade),
    ("removing_keeps_state_and_configuration_and_purging_does_not", removal),
];

/// Only the package: nothing of it is there from a former test.
pub(crate) fn install(guest: &Guest) -> Journal {
    guest.run(&["dpkg", "--purge", "dyn-prefix"]);
    guest.done(&["rm", "-rf", "/etc/dyn-prefix", "/etc/systemd/system/dyn-prefix.service.d"]);
    guest.run(&["systemctl", "reset-failed", UNIT]);
    let journal = Journal::follow(guest);
    guest.done(&["dpkg", "--install", "/srv/first.deb"]);
    journal
}

fn idle(lab: &Lab) {
    let guest = &lab.debian;
    let mut journal = install(guest);
    let is = ["ActiveState", "SubState", "UnitFileState", "NRestarts"];
    assert_eq!(guest.shown(is), ["active", "running", "enabled", "0"]);
    let status = guest.show("StatusText");
    assert!(status.starts_with("idle: add a [[dynamicPrefix]]"), "{status}");
    journal.says("/etc/dyn-prefix.toml:1:1: note: no prefix is followed");
    assert!(guest.done(&["dyn-prefix", "check"]).ends_with("/etc/dyn-prefix.toml: can be used\n"));
    let user = guest.done(&["getent", "passwd", "dyn-prefix"]);
    assert!(user.trim().ends_with(":/var/lib/dyn-prefix:/usr/sbin/nologin"), "{user}");
    let modes =
        guest.done(&["stat", "-c", "%a %U %G", "/etc/dyn-prefix", "/etc/dyn-prefix.toml", "/var/lib/dyn-prefix"]);
    assert_eq!(modes, "750 root dyn-prefix\n644 root root\n700 dyn-prefix dyn-prefix\n");
}

/// What debian/tests/control names, as autopkgtest would run it.
fn autopkgtest(lab: &Lab) {
    let guest = &lab.debian;
    let _journal = install(guest);
    guest.write("/srv/idle", include_str!("../../debian/tests/idle"));
    guest.done(&["env", "AUTOPKGTEST_TMP=/tmp", "sh", "/srv/idle"]);
}

/// As they are, with the templates where they belong.
fn examples(lab: &Lab) {
    const EXAMPLES: &str = "/usr/share/doc/dyn-prefix/examples";
    let guest = &lab.debian;
    let _journal = install(guest);
    guest.done(&["sh", "-c", &format!("install -m 644 -t /etc/dyn-prefix {EXAMPLES}/host/*.in")]);
    let found = guest.done(&["find", EXAMPLES, "-name", "*.toml"]);
    assert!(found.lines().count() >= 10, "{found}");
    for file in found.lines() {
        // What this machine does not have, as a kubeconfig, is a warning.
        let said = guest.done(&["dyn-prefix", "check", file]);
        assert!(said.contains(": can be used"), "{said}");
    }
    guest.done(&["sh", "-c", "rm /etc/dyn-prefix/*.in"]);
}

fn readme(lab: &Lab) {
    let guest = &lab.debian;
    let mut journal = install(guest);
    household::with(guest, |home| {
        home.configure(&Household::readme());
        guest.done(&["dyn-prefix", "check"]);
        guest.done(&["systemctl", "reload", UNIT]);
        home.until_pool_holds(ADVERTISED);
        journal.says(&format!("home-ipv6: {ADVERTISED} is the prefix (router-advertisement on eth0, generation 1)"));
        journal.says("CiliumLoadBalancerIPPool/ipv6-pool now holds");
        // systemd hears of it a moment after the journal.
        guest.until("StatusText", |text| text.ends_with("targets in sync"));
        as_the_readme_shows(guest);
        // A wrong file leaves the former one in use.
        let pid = guest.show("MainPID");
        home.configure(&Household::readme().replace("home-ipv6/loadbalancers", "home-ipv6/wrong"));
        assert!(!guest.run(&["systemctl", "reload", UNIT]).0);
        journal.says("was read again and refused; the former configuration stays in use");
        assert_eq!(guest.shown(["ActiveState", "MainPID"]), ["active", &pid]);
        // A delegation besides: it counts more than what is advertised.
        home.configure(&Household::readme_with_delegation());
        guest.done(&["systemctl", "reload", UNIT]);
        home.until_pool_holds(DELEGATED);
        journal.says(&format!("home-ipv6: {DELEGATED} takes the place of {ADVERTISED}"));
        // What somebody takes out by hand comes back.
        home.empty_the_pool();
        home.until_pool_holds(DELEGATED);
        assert_eq!(guest.shown(["MainPID", "NRestarts"]), [pid.as_str(), "0"]);
    });
}

/// What the README shows of `systemctl status` and of the journal is what they say, but for what differs from one machine
/// to the next.
fn as_the_readme_shows(guest: &Guest) {
    let start = README.find("<!-- journal -->").expect("what the journal says");
    let shown = README[start..].split("```").nth(1).expect("a block").trim_start_matches("text\n");
    let status = guest.run(&["systemctl", "status", "--no-pager", "--full", UNIT]).1;
    let said = status + &guest.done(&["journalctl", "-u", UNIT, "--no-pager", "-o", "cat"]);
    let said = plain(&said);
    let sentences: Vec<String> = shown.replace("\n   ", " ").lines().map(plain).collect();
    assert!(sentences.len() > 5, "{shown}");
    for sentence in sentences {
        assert!(said.contains(&sentence), "the README shows what is not said: {sentence}\n{said}");
    }
}

/// The words of a text, without times, process ids and versions.
fn plain(text: &str) -> String {
    let word = |word: &str| {
        let core = word.trim_end_matches([',', '.', ':', ';']);
        let is_time = core.ends_with('Z') && core.contains('T');
        let is_version =
            core.strip_prefix('v').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
        if is_time || is_version || core.parse::<u32>().is_ok() { "…".to_owned() } else { word.to_owned() }
    };
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// A daemon that runs with the README's file and has filled the pool.
fn running(home: &Household<'_>) {
    home.configure(&Household::readme_with_delegation());
    home.guest.done(&["systemctl", "restart", UNIT]);
    home.until_pool_holds(DELEGATED);
}

fn recovery(lab: &Lab) {
    let guest = &lab.debian;
    let mut journal = install(guest);
    // The minute of the unit is long for a test.
    guest.write("/etc/systemd/system/dyn-prefix.service.d/watchdog.conf", "[Service]\nWatchdogSec=4\n");
    guest.done(&["systemctl", "daemon-reload"]);
    household::with(guest, |home| {
        running(home);
        for (signal, restarts) in [("KILL", "1"), ("STOP", "2")] {
            let pid = guest.show("MainPID");
            guest.done(&["systemctl", "kill", "-s", signal, "--kill-who=main", UNIT]);
            if signal == "STOP" {
                journal.says("Watchdog timeout");
            }
            guest.until("NRestarts", |count| count == restarts);
            guest.until("ActiveState", |state| state == "active");
            assert_ne!(guest.show("MainPID"), pid);
            home.empty_the_pool();
            home.until_pool_holds(DELEGATED);
        }
        // A death between a write and saving the state costs nothing: it is the same prefix.
        assert_eq!(generation(guest), 1);
    });
}

/// The generation of the one DynamicPrefix.
fn generation(guest: &Guest) -> u64 {
    let (_, text) = guest.run(&["dyn-prefix", "status", "--output", "json"]);
    let status: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    status["dynamicPrefixes"][0]["generation"].as_u64().unwrap_or_default()
}

fn starts(guest: &Guest) -> usize {
    let told = guest.done(&["journalctl", "-u", UNIT, "-o", "cat", "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf"]);
    told.lines().filter(|line| line.starts_with("Started ")).count()
}

fn upgrade(lab: &Lab) {
    let guest = &lab.debian;
    let _journal = install(guest);
    household::with(guest, |home| {
        running(home);
        let (pid, before) = (guest.show("MainPID"), starts(guest));
        let state = guest.done(&["stat", "-c", "%i", "/var/lib/dyn-prefix"]);
        // The edited conffile is no question: it never changes.
        let said = guest.done(&["dpkg", "--install", "/srv/next.deb"]);
        assert!(!said.contains("onfiguration file"), "{said}");
        guest.until("ActiveState", |state| state == "active");
        assert_eq!(starts(guest), before + 1, "one restart");
        assert_ne!(guest.show("MainPID"), pid);
        assert_eq!(guest.show("NRestarts"), "0");
        assert_eq!(guest.done(&["stat", "-c", "%i", "/var/lib/dyn-prefix"]), state);
        assert_eq!(generation(guest), 1, "the prefix is the one it had");
        home.empty_the_pool();
        home.until_pool_holds(DELEGATED);
    });
}

fn removal(lab: &Lab) {
    let guest = &lab.debian;
    let _journal = install(guest);
    household::with(guest, |home| {
        running(home);
        guest.done(&["dpkg", "--remove", "dyn-prefix"]);
        assert_eq!(guest.show("ActiveState"), "inactive");
        for path in ["/var/lib/dyn-prefix/state.json", "/etc/dyn-prefix.toml", "/etc/dyn-prefix/home.kubeconfig"] {
            guest.done(&["test", "-f", path]);
        }
        guest.done(&["test", "!", "-e", "/usr/bin/dyn-prefix"]);
        // What it wrote stays: withdrawing is a command of its own.
        home.until_pool_holds(DELEGATED);
        // Installed again it goes on where it was.
        guest.done(&["dpkg", "--install", "/srv/first.deb"]);
        assert_eq!(generation(guest), 1);
        let said = guest.done(&["dpkg", "--purge", "dyn-prefix"]);
        assert!(said.contains("/etc/dyn-prefix is not empty and is kept"), "{said}");
        for path in ["/var/lib/dyn-prefix", "/run/dyn-prefix", "/etc/dyn-prefix.toml"] {
            guest.done(&["test", "!", "-e", path]);
        }
        guest.done(&["test", "-f", "/etc/dyn-prefix/home.kubeconfig"]);
    });
    guest.done(&["rm", "-r", "/etc/dyn-prefix"]);
    guest.done(&["dpkg", "--install", "/srv/first.deb"]);
    guest.done(&["dpkg", "--purge", "dyn-prefix"]);
    guest.done(&["test", "!", "-e", "/etc/dyn-prefix"]);
    assert!(!guest.run(&["systemctl", "cat", UNIT]).0, "nothing is left of the unit");
}
