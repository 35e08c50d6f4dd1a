//! The daemon and who asks it, with a cluster that is not there.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::home::{FIXED, Home, socket};

const NO_PREFIX: &str =
    "[daemon]\nid = \"test\"\nstateDirectory = \"DIR/state\"\ncontrolSocket = \"DIR/control.sock\"\n";

fn is_away(status: &serde_json::Value) -> bool {
    status["clusters"][0]["state"] == "misconfigured" && status["targets"].as_array().is_some_and(|all| all.len() == 2)
}

#[test]
fn status_of_a_daemon_whose_cluster_is_away_exits_3() {
    let home = Home::new(FIXED);
    let daemon = home.start();
    daemon.until("the cluster is away", is_away);
    let outcome = home.ask(&["status"]);
    let expected = "\
dyn-prefix VERSION as test: home 2001:db8:1::/56; 0 of 2 targets in sync; not connected: lab
sources
  static  configured
home  2001:db8:1::/56 from static, generation 1
  lb   2001:db8:1:0:f000:: - 2001:db8:1:0:f000::ffff
  web  2001:db8:1:4::/64, 2001:db8:1:5::/64, 2001:db8:1:7::/64
clusters
  lab  misconfigured: KubeconfigUnusable: Cannot read the kubeconfig DIR/kubeconfig: No such file or directory \
(os error 2). `dyn-prefix join lab --admin-kubeconfig FILE` makes an account in the cluster and writes that file; FILE is the \
kubeconfig of an administrator. (next attempt at TIME)
targets in lab
  CiliumLoadBalancerIPPool/pool  Waiting: The API server has not been asked yet.
  CiliumCIDRGroup/group          Waiting: The API server has not been asked yet.
"
    .replace("VERSION", env!("CARGO_PKG_VERSION"));
    assert_eq!((outcome.code, outcome.stdout, outcome.stderr.as_str()), (Some(3), expected, ""));
}

#[test]
fn history_tells_what_was_and_plan_without_a_prefix_starts_from_it() {
    let home = Home::new(FIXED);
    let mut daemon = home.start();
    home.configure(&FIXED.replace("2001:db8:1::/56", "2001:db8:2::/56"));
    let reload = home.ask(&["reload"]);
    assert_eq!((reload.code, reload.stdout.as_str()), (Some(0), ""));
    let history = home.ask(&["history"]);
    let expected = "home  now 2001:db8:2::/56\n  \
                    2001:db8:1::/56  draining until TIME (Replaced)  in use from TIME to TIME\n";
    assert_eq!((history.code, history.stdout.as_str()), (Some(0), expected));
    let json: serde_json::Value = serde_json::from_str(&home.ask(&["history", "--output", "json"]).stdout).unwrap();
    assert_eq!(json["home"][0]["prefix"], "2001:db8:1::/56");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    let plan = home.ask(&["plan"]);
    assert_eq!(plan.code, Some(0));
    for part in ["home  2001:db8:2::/56 from static, generation 2", "2001:db8:1::/56  draining until TIME (Replaced)"] {
        assert!(plan.stdout.contains(part), "{part}: {}", plan.stdout);
    }
    let again = home.start();
    let status = again.until("what was stored", is_away);
    assert_eq!(status["dynamicPrefixes"][0]["generation"], 2);
    assert_eq!(status["dynamicPrefixes"][0]["history"][0]["state"], "draining");
}

#[test]
fn a_file_without_a_prefix_is_ready_and_idle_and_says_what_to_edit() {
    let home = Home::new(NO_PREFIX);
    let mut daemon = home.start();
    let status = daemon.until_noted("STATUS=");
    assert!(status.contains("idle") && status.contains("[[dynamicPrefix]]"), "{status}");
    daemon.until_logged("c.toml:1:1: note: no prefix is followed");
    daemon.until_logged("add a [[cluster]] and a [[dynamicPrefix]] to this file, then `systemctl reload dyn-prefix`");
    let outcome = home.ask(&["status"]);
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stdout.contains("idle"), "{}", outcome.stdout);
    assert_eq!(home.ask(&["history"]).stdout, "no [[dynamicPrefix]] in the configuration\n");
}

#[test]
fn the_supervisor_is_told_the_prefix_the_targets_and_the_stop() {
    let home = Home::new(FIXED);
    let mut daemon = home.start();
    let status = daemon.until_noted("STATUS=home 2001:db8:1::/56; 0 of 2 targets in sync");
    assert!(status.ends_with("; not connected: lab"), "{status}");
    daemon.signal(Signal::SIGINT);
    daemon.until_noted("STOPPING=1");
    daemon.until_logged("Stopping on SIGINT. What is published stays");
    assert_eq!(daemon.ended(), Some(0));
    assert!(!socket(&home).exists(), "the socket goes with the daemon");
}

#[test]
fn a_missing_or_wrong_file_ends_run_with_78() {
    let home = Home::new("[[cluster]]\n");
    let wrong = home.ask(&["run"]);
    assert_eq!(wrong.code, Some(78));
    assert!(wrong.stderr.starts_with("error: c.toml:1:1: error: "), "{}", wrong.stderr);
    let missing = home.run(&["run", "--config", "other.toml"]);
    assert_eq!(missing.code, Some(78));
    assert!(missing.stderr.starts_with("error: other.toml: error: the configuration cannot be read"), "{missing:?}");
}

#[test]
fn the_control_socket_is_for_root_and_the_group() {
    let home = Home::new(FIXED);
    let _daemon = home.start();
    let mode = std::fs::metadata(socket(&home)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let state = std::fs::metadata(home.path().join("state")).unwrap().permissions().mode();
    assert_eq!(state & 0o007, 0, "nobody else reads what is stored");
    if nix::unistd::geteuid().is_root() {
        let outcome = home.ask_as_nobody(&["status"]);
        let expected = "dyn-prefix: no permission for the control socket DIR/control.sock (daemon.controlSocket); run \
                        this as root or as a member of the group dyn-prefix\n";
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), expected));
    }
}

#[test]
fn a_second_daemon_is_refused_and_leaves_the_first_alone() {
    let home = Home::new(FIXED);
    let daemon = home.start();
    let second = home.ask(&["run"]);
    assert_eq!(second.code, Some(1));
    let line = second.stderr.lines().last().unwrap();
    assert!(line.starts_with("error: the state directory DIR/state is in use by another dyn-prefix"), "{line}");
    // The same socket, another state directory.
    home.configure(&FIXED.replace("DIR/state", "DIR/state2"));
    let third = home.ask(&["run"]);
    assert_eq!(third.code, Some(1));
    assert!(
        third.stderr.contains("another program answers on the control socket DIR/control.sock"),
        "{}",
        third.stderr
    );
    daemon.until("the first still answers", is_away);
}

#[test]
fn a_refused_reload_exits_78_shows_in_the_status_and_leaves_the_old_configuration_in_use() {
    let home = Home::new(FIXED);
    let mut daemon = home.start();
    home.configure(&FIXED.replace("2001:db8:1::/56", "2001:db8:2::/56").replace("home/lb", "home/bl"));
    let outcome = home.ask(&["reload"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(78), ""));
    let mut lines = outcome.stderr.lines();
    assert!(lines.any(|line| line.starts_with("c.toml:18:13: error: ")), "{}", outcome.stderr);
    assert_eq!(lines.last(), Some("the new configuration was refused; the former one stays in use"));
    let status = daemon.until("the old prefix, and why", |status| !status["daemon"]["reloadErrors"][0].is_null());
    assert_eq!(status["dynamicPrefixes"][0]["currentPrefix"], "2001:db8:1::/56");
    assert!(status["daemon"]["reloadErrors"].to_string().contains("c.toml:18:13"), "{status}");
    assert!(daemon.until_noted("STATUS=").contains("2001:db8:1::/56"));
    daemon.until_logged("c.toml was read again and refused; the former configuration stays in use");
    assert!(home.ask(&["status"]).stdout.contains("reload refused: c.toml:18:13: error: "));
    home.configure(&FIXED.replace("2001:db8:1::/56", "2001:db8:2::/56"));
    assert_eq!(home.ask(&["reload"]).code, Some(0));
    let status = daemon.until("the new prefix", |status| status["daemon"]["reloadErrors"][0].is_null());
    assert_eq!(status["dynamicPrefixes"][0]["currentPrefix"], "2001:db8:2::/56");
}

/// Opening a FIFO waits for somebody who writes.
#[test]
fn a_fifo_in_place_of_the_configuration_is_refused_and_holds_nothing_up() {
    let home = Home::new(FIXED);
    let mut daemon = home.start();
    let path = home.path().join("c.toml");
    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("it is no regular file");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    let started = home.ask(&["run"]);
    assert!(started.code == Some(78) && started.stderr.contains("a regular file is needed"), "{started:?}");
}

/// The daemon is asked where it listens, not where the file would put the default.
#[test]
fn a_file_that_is_no_toml_any_more_is_refused_like_any_other() {
    let home = Home::new(FIXED);
    let _daemon = home.start();
    home.configure(&format!("{FIXED}\nthis is = no TOML\n"));
    let outcome = home.ask(&["reload"]);
    assert_eq!(outcome.code, Some(78), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("error: not valid TOML"), "{}", outcome.stderr);
    assert_eq!(home.ask(&["status"]).code, Some(3));
}

#[test]
fn what_only_a_restart_can_change_is_refused() {
    let home = Home::new(FIXED);
    let mut daemon = home.start();
    home.configure(&FIXED.replace("DIR/state", "DIR/elsewhere"));
    let outcome = home.ask(&["reload"]);
    assert_eq!(outcome.code, Some(78));
    let expected = "c.toml:3:1: error: daemon.stateDirectory cannot change while the daemon runs; restart it (systemctl \
                    restart dyn-prefix)";
    assert!(outcome.stderr.lines().any(|line| line == expected), "{}", outcome.stderr);
    assert!(!home.path().join("elsewhere").exists());
    // Who asks by the new socket finds nobody there; a signal reaches the daemon.
    home.configure(&FIXED.replace("DIR/control.sock", "DIR/other.sock"));
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("c.toml:4:1: error: daemon.controlSocket cannot change while the daemon runs");
    assert!(!home.path().join("other.sock").exists());
    // A key that is gone has no place any more.
    home.configure(&FIXED.replace("id = \"test\"\n", ""));
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("c.toml: error: daemon.id cannot change while the daemon runs");
}

#[test]
fn a_hangup_is_a_reload() {
    let home = Home::new(FIXED);
    let mut daemon = home.start();
    home.configure(&FIXED.replace("2001:db8:1::/56", "2001:db8:2::/56"));
    daemon.signal(Signal::SIGHUP);
    let message = "home: 2001:db8:2::/56 takes the place of 2001:db8:1::/56 (static, generation 2)";
    daemon.until_logged(message);
    daemon.until_logged("Read c.toml again; the new configuration is in use.");
    daemon.until_noted("STATUS=home 2001:db8:2::/56");
}

#[test]
fn watch_prints_the_status_now_and_after_every_change_until_the_daemon_stops() {
    let home = Home::new(FIXED);
    let daemon = home.start();
    daemon.until("all is quiet", is_away);
    let mut watch = daemon.watch(&["--output", "json"]);
    let parsed = |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap();
    assert_eq!(parsed(watch.next("now"))["dynamicPrefixes"][0]["currentPrefix"], "2001:db8:1::/56");
    home.configure(&FIXED.replace("2001:db8:1::/56", "2001:db8:2::/56"));
    assert_eq!(home.ask(&["reload"]).code, Some(0));
    while parsed(watch.next("the change"))["dynamicPrefixes"][0]["currentPrefix"] != "2001:db8:2::/56" {}
    daemon.signal(Signal::SIGTERM);
    assert_eq!(watch.ended(), (Some(4), "dyn-prefix has stopped\n".to_owned()));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let home = Home::new(FIXED);
    let daemon = home.start();
    daemon.until("all is quiet", is_away);
    for command in [&["status"][..], &["status", "--output", "json"]] {
        let outcome = home.ask_unheard(command);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(3), ""), "{command:?}");
    }
    for command in [&["plan"][..], &["history"], &["status", "--watch"]] {
        let outcome = home.ask_unheard(command);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{command:?}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "measures how long a stop takes")]
fn a_stop_takes_less_than_five_seconds_also_while_a_watch_runs() {
    let home = Home::new(FIXED);
    let mut daemon = home.start();
    let _watch = daemon.watch(&[]);
    daemon.until("all is quiet", is_away);
    let told = Instant::now();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
}

#[test]
fn what_is_not_delegated_cannot_be_given_back() {
    let home = Home::new(FIXED);
    assert_eq!(home.ask(&["dhcp-release", "home"]).code, Some(4), "nobody runs");
    let daemon = home.start();
    daemon.until("the prefix", |status| status["dynamicPrefixes"][0]["currentPrefix"] == "2001:db8:1::/56");
    for (name, part) in [("home", "home has no acquisition.dhcpv6"), ("house", "there is no dynamicPrefix \"house\"")] {
        let outcome = home.ask(&["dhcp-release", name]);
        assert_eq!(outcome.code, Some(1));
        assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
    }
    daemon.until("it is untouched", |status| status["dynamicPrefixes"][0]["currentPrefix"] == "2001:db8:1::/56");
}
