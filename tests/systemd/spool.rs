//! A hook that runs before the unit does, as at boot.

use std::path::Path;

use serde_json::Value;

use super::guest::Guest;

pub(crate) const TESTS: &[super::Test] = &[
    ("a_hook_that_runs_before_the_unit_is_heard", before_the_unit),
    ("a_hook_that_runs_before_there_is_a_runtime_directory_is_heard", without_a_directory),
];

const OBSERVES: &str = "[[dynamicPrefix]]\nname = \"home\"\nacquisition.observe = { interface = \"none0\" }\n";

const A: &str = "2001:db8:a00::/56";
const B: &str = "2001:db8:b00::/56";
const HOOK: &str = "/etc/dyn-prefix-hook";

/// What dhclient's script does with its exit hook.
fn hook(guest: &Guest, variables: &[&str]) {
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hooks/dhclient");
    guest.copy(&hook, HOOK);
    let said = guest.done(&[&["env"], variables, &["sh", "-c", &format!(". {HOOK}")]].concat());
    assert_eq!(said, "", "a client's log has no place for it");
}

fn bound(guest: &Guest, prefix: &str) {
    let prefix = format!("new_ip6_prefix={prefix}");
    hook(guest, &["reason=BOUND6", &prefix, "new_preferred_life=600", "new_max_life=900"]);
}

/// Starts the unit. Whatever is ordered after it finds this prefix.
fn starts_with(guest: &Guest, prefix: &str) {
    guest.start();
    let status: Value =
        serde_json::from_str(&guest.run(&["dyn-prefix", "status", "--output", "json"]).1).expect("JSON");
    let home = &status["dynamicPrefixes"][0];
    let said = guest.run(&["journalctl", "-u", super::guest::UNIT, "-n", "20", "-o", "cat"]).1;
    assert_eq!((&home["currentPrefix"], &home["prefixSource"]), (&prefix.into(), &"observed".into()), "{said}");
    assert_eq!(waiting(guest), "");
}

fn waiting(guest: &Guest) -> String {
    guest.done(&["find", "/run/dyn-prefix", "-name", "*.report.*", "-printf", "%f %u %m\n"])
}

fn owner(guest: &Guest) -> String {
    guest.done(&["stat", "-c", "%a %U %G", "/run/dyn-prefix"]).trim().to_owned()
}

fn before_the_unit(guest: &Guest) {
    let mut journal = guest.fresh(OBSERVES);
    // As at boot.
    guest.done(&["systemd-tmpfiles", "--create", "dyn-prefix.conf"]);
    assert_eq!(owner(guest), "755 dyn-prefix dyn-prefix");
    bound(guest, A);
    assert_eq!(waiting(guest), "control.sock.report.home.2001:db8:a00::-56 dyn-prefix 600\n");
    let found = guest.run(&["dyn-prefix", "doctor"]).1;
    assert!(found.contains("A report waits for the daemon in /run/dyn-prefix."), "{found}");
    starts_with(guest, A);
    journal.says("A report was taken that waited for");
    // The directory outlives the unit, and with it what is said meanwhile.
    guest.done(&["systemctl", "stop", super::guest::UNIT]);
    hook(guest, &["reason=EXPIRE6", &format!("old_ip6_prefix={A}")]);
    bound(guest, B);
    starts_with(guest, B);
}

fn without_a_directory(guest: &Guest) {
    let _journal = guest.fresh(OBSERVES);
    guest.done(&["test", "!", "-e", "/run/dyn-prefix"]);
    bound(guest, A);
    assert_eq!(owner(guest), "755 root root");
    starts_with(guest, A);
    assert_eq!(owner(guest), "755 dyn-prefix dyn-prefix");
}
