//! `report`: what another DHCPv6 client was delegated, told to the daemon.

use nix::sys::signal::Signal;
use serde_json::Value;

use super::home::{Daemon, Home};

/// A prefix that is observed where nothing can be seen.
const OBSERVED: &str = r#"[daemon]
id = "test"
stateDirectory = "DIR/state"
controlSocket = "DIR/control.sock"

[[dynamicPrefix]]
name = "home"
acquisition.observe = { interface = "none0" }
subnets = [{ name = "web", index = 4, prefixLength = 64 }]

[[dynamicPrefix]]
name = "fixed"
acquisition.static.prefix = "2001:db8:f::/56"
"#;

const A: &str = "2001:db8:a00::/56";
const B: &str = "2001:db8:b00::/56";

/// What is said, with exit status 0 and nothing on standard error.
fn said(home: &Home, arguments: &[&str]) -> String {
    let outcome = home.ask(&[&["report", "home"], arguments].concat());
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    outcome.stdout
}

fn refused(home: &Home, arguments: &[&str]) -> String {
    let outcome = home.ask(&[&["report"], arguments].concat());
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{arguments:?}: {}", outcome.stderr);
    outcome.stderr
}

fn status(daemon: &Daemon<'_>) -> Value {
    daemon.until("a status", |_| true)
}

#[test]
fn a_report_is_in_use_when_it_is_answered_and_after_a_restart() {
    let home = Home::new(OBSERVED);
    let mut daemon = home.start();
    let answer = said(&home, &[A, "--preferred", "1800", "--valid", "3600", "--excluded", "2001:db8:a00:ff::/64"]);
    assert!(
        answer.starts_with(&format!("home: {A} is in use from observed on none0, preferred for 1"))
            && answer.contains(" s and valid for 3"),
        "{answer}"
    );
    let seen = status(&daemon);
    assert_eq!(seen["dynamicPrefixes"][0]["currentPrefix"], A);
    assert_eq!(seen["dynamicPrefixes"][0]["prefixSource"], "observed");
    assert_eq!(seen["dynamicPrefixes"][0]["subnets"][0]["cidr"], "2001:db8:a00:4::/64");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    let again = home.start();
    let seen = status(&again);
    assert_eq!(seen["dynamicPrefixes"][0]["currentPrefix"], A);
    assert_eq!(seen["dynamicPrefixes"][0]["generation"], 1);
    assert_eq!(
        said(&home, &[A, "--gone"]),
        format!("home: {A} is gone; the targets keep it until there is another (transition.onLoss).\n")
    );
}

/// What was said to live for ever does, whatever else is reported (Q13): a client may hold several. When it is gone,
/// nobody routes it any more: it does not drain.
#[test]
fn a_second_report_ends_no_infinite_lifetime_and_the_same_one_changes_nothing() {
    let home = Home::new(OBSERVED);
    let daemon = home.start();
    let first = format!("home: {A} is in use from observed on none0, preferred for ever and valid for ever.\n");
    assert_eq!(said(&home, &[A]), first);
    let state = home.path().join("state/state.json");
    daemon.until("it is stored", |_| std::fs::read_to_string(&state).is_ok_and(|text| text.contains(A)));
    let before = std::fs::metadata(&state).unwrap();
    let seen = status(&daemon);
    for again in [&[A][..], &[A, "--valid", "infinity"], &[A, "--preferred", "4294967295", "--valid", "infinity"]] {
        assert_eq!(said(&home, again), first);
    }
    assert_eq!(status(&daemon)["dynamicPrefixes"], seen["dynamicPrefixes"]);
    let second = said(&home, &[B, "--preferred", "60", "--valid", "120"]);
    assert_eq!(second, format!("home: {B} is known; {A} from observed on none0 is in use.\n"));
    let gone = said(&home, &[A, "--gone"]);
    assert!(gone.starts_with(&format!("home: {A} is gone; {B} from observed on none0 is in use")), "{gone}");
    let seen = status(&daemon);
    assert_eq!(seen["dynamicPrefixes"][0]["currentPrefix"], B);
    assert_eq!(seen["dynamicPrefixes"][0]["history"][0]["prefix"], A);
    assert_eq!(seen["dynamicPrefixes"][0]["history"][0]["state"], "expired");
    use std::os::unix::fs::MetadataExt as _;
    // Only the replacement was written; each save is a file of its own.
    daemon.until("the replacement is stored", |_| std::fs::read_to_string(&state).is_ok_and(|text| text.contains(B)));
    assert_ne!(std::fs::metadata(&state).unwrap().ino(), before.ino());
}

/// Absence is not loss (Q13): a prefix that is told without lifetimes keeps those that it had.
#[test]
fn what_is_not_said_stays_as_it_was() {
    let home = Home::new(OBSERVED);
    let daemon = home.start();
    said(&home, &[A, "--preferred", "1800", "--valid", "3600"]);
    let before = status(&daemon);
    let answer = said(&home, &[A]);
    assert!(answer.contains("preferred for 1") && answer.contains("valid for 3"), "{answer}");
    let after = status(&daemon);
    for field in ["preferredUntil", "validUntil", "currentPrefix"] {
        assert_eq!(after["dynamicPrefixes"][0][field], before["dynamicPrefixes"][0][field]);
    }
    // A valid lifetime of 0 ends it (RFC 9915 §18.2.10.1).
    let end = said(&home, &[A, "--preferred", "0", "--valid", "0"]);
    assert_eq!(end, format!("home: {A} is gone; the targets keep it until there is another (transition.onLoss).\n"));
    let unknown = said(&home, &[B, "--gone"]);
    assert_eq!(unknown, format!("home: {B} is gone; {A} from observed on none0 is in use.\n"));
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let home = Home::new(OBSERVED);
    let daemon = home.start();
    let cases = [
        (&["office", A][..], "there is no dynamicPrefix \"office\"; there are: home, fixed"),
        (&["fixed", A], "fixed has no acquisition.observe, so nobody is told of what another DHCPv6 client holds"),
        (
            &["home", "2001:db8:a00::1/56"],
            "2001:db8:a00::1/56 is an address in a prefix; the prefix is 2001:db8:a00::/56",
        ),
        (
            &["home", A, "--preferred", "infinity", "--valid", "60"],
            "the preferred lifetime (infinity) cannot be longer than the valid one (60 s)",
        ),
        (
            &["home", A, "--excluded", "2001:db8:b00::/64"],
            "2001:db8:b00::/64 cannot be excluded from 2001:db8:a00::/56",
        ),
    ];
    for (arguments, sentence) in cases {
        let error = refused(&home, arguments);
        assert!(error.starts_with(&format!("dyn-prefix: {sentence}")), "{arguments:?}: {error}");
    }
    let usage = [&["home", "nonsense"][..], &["home", A, "--valid", "soon"], &["home", A, "--gone", "--valid", "1"]];
    for arguments in usage {
        assert_eq!(home.ask(&[&["report"], arguments].concat()).code, Some(2), "{arguments:?}");
    }
    // It is no failure that a client holds a unique local prefix beside: its script reports all that it has.
    let local = said(&home, &["fd00:1::/56"]);
    assert!(local.starts_with("home: fd00:1::/56 is not used: it is not global unicast (2000::/3)"), "{local}");
    assert!(status(&daemon)["dynamicPrefixes"][0]["currentPrefix"].is_null(), "nothing was taken");
}

#[test]
fn only_root_may_report() {
    let home = Home::new(OBSERVED);
    let _daemon = home.start();
    if nix::unistd::geteuid().is_root() {
        assert_eq!(home.ask_as_nobody(&["report", "home", A]).code, Some(1));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().flatten().filter(|file| is_report(&file.path())).count(), 0);
    }
}

fn is_report(path: &std::path::Path) -> bool {
    path.to_string_lossy().contains(".report.")
}
