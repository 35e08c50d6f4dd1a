//! `doctor` and `init` as a user runs them, without privileges and without a network of their own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use serde_json::Value;

use super::home::{FIXED, Home};

/// The findings of a check.
fn of_check<'a>(report: &'a Value, check: &str) -> Vec<(&'a str, &'a str)> {
    let sections = report["sections"].as_array().expect("sections");
    let findings = sections.iter().flat_map(|section| section["findings"].as_array().expect("findings"));
    let of_check = findings.filter(|finding| finding["check"] == check);
    of_check
        .map(|finding| (finding["level"].as_str().expect("a level"), finding["message"].as_str().expect("a message")))
        .collect()
}

#[test]
fn a_configuration_that_cannot_be_used_is_78() {
    let home = Home::new(&FIXED.replace("/56", "/129"));
    let outcome = home.ask(&["doctor"]);
    assert_eq!(outcome.code, Some(78), "{}", outcome.stderr);
    assert!(outcome.stdout.starts_with("host\n  error "), "{}", outcome.stdout);
    assert!(outcome.stdout.ends_with("Errors: 1, warnings: 0.\n"), "{}", outcome.stdout);
}

#[test]
fn a_daemon_that_is_not_there_and_one_that_is_silent() {
    let home = Home::new(FIXED);
    let report = |home: &Home| -> Value {
        let outcome = home.ask(&["doctor", "--output", "json"]);
        assert_eq!(outcome.code, Some(3), "{}{}", outcome.stdout, outcome.stderr);
        serde_json::from_str(&outcome.stdout).expect("JSON")
    };
    let found = report(&home);
    assert_eq!(found["schemaVersion"], 1);
    assert_eq!(of_check(&found, "daemon"), [("warning", "The daemon is not running.")]);

    let socket = home.path().join("control.sock");
    let _listener = UnixListener::bind(socket).expect("a socket");
    let found = report(&home);
    let said = of_check(&found, "daemon");
    assert!(matches!(said[..], [("unseen", message)] if message.contains("does not answer in time")), "{said:?}");
}

#[test]
fn init_prints_what_check_accepts_and_writes_nothing() {
    let home = Home::new(FIXED);
    let printed = home.run(&["init", "--interface", "not-there", "--kubeconfig", "/nowhere/k"]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(printed.stdout.contains("not-there, as was asked for; there is no such interface"), "{}", printed.stdout);
    let own = "\nkubeconfig = \"/etc/dyn-prefix/home.kubeconfig\"\n";
    assert!(printed.stdout.contains(own) && printed.stdout.contains("with /nowhere/k."), "{}", printed.stdout);
    home.configure(&printed.stdout);
    let plan = home.ask(&["plan", "--prefix", "2001:db8::/56"]);
    assert_eq!(plan.code, Some(0), "{}", plan.stderr);
}

/// The whole table of what a user without any right sees is the text, too.
#[test]
fn nobody_is_told_what_could_not_be_seen() {
    let home = Home::new(&FIXED.replace("static.prefix = \"2001:db8:1::/56\"", "dhcpv6 = { interface = \"lo\" }"));
    let outcome = home.ask_as_nobody(&["doctor"]);
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    let says = |line: &str| assert!(outcome.stdout.contains(line), "{line:?} is not in {}", outcome.stdout);
    says("\ninterface lo\n  ok       lo is there and up.\n");
    says("\n  unseen   Nobody could listen to Router Advertisements on lo: it takes the capability CAP_NET_RAW.\n");
    says("\n           -> Run this as root, or as a user with CAP_NET_RAW.\n");
    says("\ncluster lab\n  error    Cannot read the kubeconfig ");
    says("; could not be seen: ");
}

/// As `cp` by root leaves it: root reads what the daemon does not.
#[test]
fn a_kubeconfig_that_the_daemon_may_not_read() {
    let home = Home::new(FIXED);
    home.write(
        "kubeconfig",
        "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters:\n- name: x\n  cluster: {server: \"https://127.0.0.1:1\"}\n\
         users:\n- name: x\n  user: {token: t}\ncontexts:\n- name: x\n  context: {cluster: x, user: x}\n",
    );
    let path = home.path().join("kubeconfig");
    let is_root = nix::unistd::geteuid().is_root();
    let mode = |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("a mode");
    mode(if is_root { 0o600 } else { 0 });
    let _daemon = home.start_as_nobody();
    let outcome = home.ask(&["doctor"]);
    let says = |line: &str| assert!(outcome.stdout.contains(line), "{line:?} is not in {}", outcome.stdout);
    says(" cannot read DIR/kubeconfig: it belongs to ");
    says(if is_root {
        " && chmod 0640 DIR/kubeconfig`; the daemon notices it.\n"
    } else {
        "`chmod u+r DIR/kubeconfig`"
    });
    assert!(!outcome.stdout.contains("The credentials can be used"), "{}", outcome.stdout);
    mode(0o644);
    let outcome = home.ask(&["doctor"]);
    assert!(outcome.stdout.contains("ok       The credentials can be used"), "{}", outcome.stdout);
}
