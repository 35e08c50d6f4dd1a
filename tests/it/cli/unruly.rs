//! Hooks and files that go wrong in every way there is, beside a cluster that must not notice.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::cluster::{Served, only_the_group};
use super::home::Home;

/// What goes wrong, and the word for it.
const UNRULY: [(&str, &str, &str); 7] = [
    ("hangs", r#"["/bin/sh", "-c", "trap '' TERM; echo $$ > DIR/hangs; while :; do sleep 0.1; done"]"#, "Running"),
    ("late", r#"["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]"#, "TimedOut"),
    ("floods", r#"["/bin/sh", "-c", "yes; yes >&2"]"#, "TimedOut"),
    (
        "leaves",
        r#"["/bin/sh", "-c", "(while echo flood; do :; done) & (while echo flood >&2; do :; done) &"]"#,
        "Synced",
    ),
    ("wrong", r#"["/bin/sh", "-c", "exit 3"]"#, "Failed"),
    ("missing", r#"["/nonexistent/program"]"#, "NotStarted"),
    ("directory", r#"["/etc"]"#, "NotStarted"),
];

fn config() -> String {
    let hook = |(name, command, _): &(&str, &str, &str)| {
        let timeout = if *name == "hangs" { 3600 } else { 1 };
        format!("\n[[hook]]\nname = \"{name}\"\ncommand = {command}\ntimeoutSeconds = {timeout}\n")
    };
    only_the_group() + &UNRULY.iter().map(hook).collect::<String>()
}

/// The reason of each hook.
fn reasons(status: &Value) -> Vec<(&str, &str)> {
    let hooks = status["hooks"].as_array().map_or(&[][..], Vec::as_slice);
    hooks.iter().filter_map(|hook| Some((hook["name"].as_str()?, hook["reason"].as_str()?))).collect()
}

fn holds(status: &Value, cidr: &str) -> bool {
    let target = &status["targets"][0];
    target["synced"] == true && target["boundPrefixes"].as_array().is_some_and(|all| all.iter().any(|one| one == cidr))
}

#[test]
fn no_hook_holds_up_a_cluster_another_hook_or_the_end_of_the_daemon() {
    let served = Served::start();
    let home = served.home(&config());
    let mut daemon = home.start();
    let wanted: Vec<(&str, &str)> = UNRULY.iter().map(|(name, _, reason)| (*name, *reason)).collect();
    daemon.until("each has come to what it comes to", |status| {
        // One that is tried again runs for a moment.
        let is_wanted = |(now, wanted): (&(&str, &str), &(&str, &str))| now == wanted;
        reasons(status).len() == wanted.len() && reasons(status).iter().zip(&wanted).all(is_wanted)
    });
    daemon.until("the cluster has the first prefix", |status| holds(status, "2001:db8:1:4::/64"));
    home.configure(&config().replace("2001:db8:1::/56", "2001:db8:2::/56"));
    assert_eq!(home.ask(&["reload"]).code, Some(0));
    let status = daemon.until("the cluster has the second one", |status| holds(status, "2001:db8:2:4::/64"));
    assert_eq!(reasons(&status)[0], ("hangs", "Running"), "it is not waited for");
    assert_eq!(home.ask(&["status"]).code, Some(3), "but told of");
    let pid = fs::read_to_string(home.path().join("hangs")).unwrap();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    assert!(!fs::exists(format!("/proc/{}", pid.trim())).unwrap(), "it ends with the daemon");
}

/// Files of this process cannot grow beyond 3 KiB, which is what a full disk is to whoever writes.
#[test]
fn what_has_no_room_stays_as_it_was_and_the_rest_is_written() {
    let file = |name: &str, text: &str| format!("\n[[file]]\npath = \"DIR/{name}\"\ntext = \"{text}\"\n");
    let large = "x".repeat(8192);
    let home = Home::new(&format!(
        "[daemon]\nid = \"test\"\nstateDirectory = \"DIR/state\"\ncontrolSocket = \"DIR/control.sock\"\n\n\
         [[dynamicPrefix]]\nname = \"home\"\nacquisition.static.prefix = \"2001:db8:1::/56\"\n{}{}",
        file("large", &large),
        file("small", "${home.current}"),
    ));
    home.write("large", "as it was");
    let mut daemon = home.start_with_small_files(&[]);
    daemon.until_logged("DIR/large stays as it is: DIR/large cannot be written: File too large");
    daemon.until("the other one", |status| status["files"][1]["reason"] == "Synced");
    assert_eq!(fs::read_to_string(home.path().join("small")).unwrap(), "2001:db8:1::/56");
    assert_eq!(fs::read_to_string(home.path().join("large")).unwrap(), "as it was");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    let left = fs::read_dir(home.path()).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let left: Vec<String> = left.filter(|name| name.contains("dyn-prefix-new")).collect();
    assert!(left.is_empty(), "{left:?}");
}
