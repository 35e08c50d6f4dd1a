//! `withdraw` and `resume`: what is said must hold, for the next thing that a person does is to remove the state.

use std::fs;

use nix::sys::signal::Signal;

use super::home::{FIXED, Home};

/// What a daemon stored that had a pool in a cluster which the configuration does not have any more.
const LEFT: &str = r#"{"version": 1, "savedAt": "2026-01-04T10:00:00Z", "dynamicPrefixes": {}, "managed": {"gone": [
    {"kind": "CiliumLoadBalancerIPPool", "namespace": null, "name": "pool", "uid": "u1",
     "contributions": {"pool": ["cidr=2001:db8::/64"]}}]}}"#;

/// A configuration with a stored state, and no daemon.
fn stored(state: &str) -> Home {
    let home = Home::new(FIXED);
    fs::create_dir(home.path().join("state")).unwrap();
    home.write("state/state.json", state);
    home
}

#[test]
fn what_is_left_in_a_removed_cluster_is_no_nothing() {
    let home = stored(LEFT);
    for arguments in [&["withdraw", "--dry-run"][..], &["withdraw"]] {
        let outcome = home.ask(arguments);
        assert_eq!(outcome.code, Some(3), "{outcome:?}");
        assert!(!outcome.stdout.contains("Nothing of ours"), "{outcome:?}");
        for part in
            ["the cluster gone is not in the configuration", "CiliumLoadBalancerIPPool/pool", "put its [[cluster]]"]
        {
            assert!(outcome.stderr.contains(part), "{outcome:?}");
        }
    }
}

/// Who names the cluster hears what is there, with and without a daemon; who names one that never was, what there is.
#[test]
fn who_names_a_removed_cluster_hears_what_is_left_there() {
    let home = stored(&LEFT.replace("\"name\": \"pool\"", "\"name\": \"old\""));
    let hears = |arguments: &[&str]| {
        let outcome = home.ask(arguments);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        for part in [
            "the cluster gone is not in the configuration any more",
            "entries of ours are left on CiliumLoadBalancerIPPool/old",
            "put its [[cluster]] back",
            "`dyn-prefix withdraw --cluster NAME`",
            "by hand",
            "dynamic-prefix.io/managed-",
        ] {
            assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
        }
    };
    let pool = "CiliumLoadBalancerIPPool/old";
    let commands: [&[&str]; 3] = [
        &["withdraw", "--cluster", "gone"],
        &["withdraw", pool, "--cluster", "gone"],
        &["resume", "--cluster", "gone"],
    ];
    let dry: [&[&str]; 2] = [&["withdraw", "--dry-run", "--cluster", "gone"], &["withdraw", "--dry-run", pool]];
    commands.into_iter().chain(dry).for_each(hears);
    let never = home.ask(&["withdraw", "--dry-run", "CiliumLoadBalancerIPPool/never"]);
    assert_eq!((never.code, never.stdout.as_str()), (Some(1), ""), "{never:?}");
    assert!(never.stderr.contains("is no target of this daemon"), "{never:?}");
    for arguments in [&["withdraw", "--cluster", "never"][..], &["withdraw", "--dry-run", "--cluster", "never"]] {
        let outcome = home.ask(arguments);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert!(
            outcome.stderr.contains("there is no cluster \"never\" in the configuration; it has lab"),
            "{outcome:?}"
        );
    }
    let _daemon = home.start();
    commands.into_iter().chain([&["withdraw", pool][..]]).for_each(hears);
}

#[test]
fn a_state_that_cannot_be_read_stays_where_it_is() {
    for text in ["{", &LEFT.replace("\"version\": 1", "\"version\": 99")] {
        let home = stored(text);
        for arguments in [&["withdraw"][..], &["withdraw"], &["withdraw", "--dry-run"], &["resume"]] {
            let outcome = home.ask(arguments);
            assert_eq!(outcome.code, Some(1), "{outcome:?}");
            assert!(outcome.stderr.contains("cannot read the stored state DIR/state/state.json"), "{outcome:?}");
            assert_eq!(fs::read_to_string(home.path().join("state/state.json")).unwrap(), text);
        }
    }
}

#[test]
fn without_a_record_it_is_said_and_nothing_is_made() {
    let home = Home::new(FIXED);
    for (arguments, code) in [(&["withdraw", "--dry-run"][..], 0), (&["withdraw"][..], 0), (&["resume"][..], 1)] {
        let outcome = home.ask(arguments);
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        let text = outcome.stdout + &outcome.stderr;
        assert!(text.contains("There is no record of anything of ours in the state directory DIR/state"), "{text}");
        assert!(!text.contains("not after a restart either"), "{text}");
        assert!(!home.path().join("state").exists());
    }
}

/// The daemon dies at the very moment at which the person has read the answer.
#[test]
fn what_was_answered_is_on_disk() {
    let home = Home::new(FIXED);
    for (command, is_paused) in [("withdraw", true), ("resume", false)] {
        let mut daemon = home.start();
        let outcome = home.ask(&[command]);
        daemon.signal(Signal::SIGKILL);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        daemon.ended();
        let state = fs::read_to_string(home.path().join("state/state.json")).unwrap();
        assert_eq!(state.contains("\"everything\": true"), is_paused, "{command}: {state}");
    }
}
