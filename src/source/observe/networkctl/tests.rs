//! With scripts in place of `networkctl`: how it is run, not what it says.

use std::fs;
use std::process::Command;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER: &str = r#"{"Index":3,"DHCPv6Client":{"Prefixes":[
    {"Prefix":[32,1,13,184,0,10,0,0,0,0,0,0,0,0,0,0],"PrefixLength":64}]}}"#;
const WITH_CLIENT: &str = "ADMIN_STATE=configured\nDHCP6_CLIENT_DUID=DUID-EN/Vendor:0000ab11241c1ade9141bcd2\n";

/// A host on which the program is this script, and wan has the index 3.
fn host(script: &str, state: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for path in ["usr/bin", "run/systemd/netif/links"] {
        fs::create_dir_all(root.path().join(path)).unwrap();
    }
    // Written by somebody else: what a child of another test has open for writing cannot be run.
    let mut write = Command::new("sh");
    write.args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", script]);
    assert!(write.arg(root.path().join(PROGRAMS[0])).status().unwrap().success());
    renew(root.path(), state);
    root
}

/// As networkd does it.
fn renew(root: &Path, state: &str) {
    let states = root.join(STATE);
    fs::write(root.join("new"), state).unwrap();
    fs::rename(root.join("new"), states.join("3")).unwrap();
}

async fn next(networkctl: &mut Networkctl) -> Option<Vec<Filed>> {
    timeout(PATIENCE, networkctl.next()).await.expect("it says something")
}

/// What there is to tell after it was asked for the first time, and why there is nothing.
async fn first(script: &str) -> (Option<Vec<Filed>>, Option<String>) {
    let root = host(script, WITH_CLIENT);
    let mut networkctl = Networkctl::new(root.path(), "wan");
    networkctl.look(Some(3));
    assert!(networkctl.asking.is_some(), "it is asked");
    (next(&mut networkctl).await, networkctl.failure)
}

#[tokio::test]
async fn it_is_run_without_a_shell_and_without_an_environment() {
    let script = format!("printf '%s|' \"$@\" > \"${{0%/*}}/ran\"; env >> \"${{0%/*}}/ran\"; echo '{ANSWER}'");
    let root = host(&script, WITH_CLIENT);
    let mut networkctl = Networkctl::new(root.path(), "$(id)");
    networkctl.look(Some(3));
    let described = next(&mut networkctl).await.unwrap();
    assert_eq!(described[0].prefix.to_string(), "2001:db8:a::/64");
    let ran = fs::read_to_string(root.path().join("usr/bin/ran")).unwrap();
    let (arguments, environment) = ran.rsplit_once('|').unwrap();
    assert_eq!(arguments, "--json=short|--no-pager|status|--|$(id)");
    // The shell that runs the script sets the rest.
    let set: Vec<&str> =
        environment.lines().filter(|line| !["PWD=", "_=", "SHLVL="].iter().any(|own| line.starts_with(own))).collect();
    assert_eq!(set, ["LC_ALL=C"]);
}

#[tokio::test]
async fn without_a_client_of_networkd_it_is_not_run_until_there_is_one() {
    let root = host(&format!("echo '{ANSWER}'"), "ADMIN_STATE=unmanaged\n");
    let mut networkctl = Networkctl::new(root.path(), "wan");
    for ifindex in [None, Some(3), Some(4), Some(3)] {
        networkctl.look(ifindex);
        assert!(networkctl.asking.is_none() && networkctl.poll_timeout().is_none(), "{ifindex:?}");
    }
    renew(root.path(), WITH_CLIENT);
    assert_eq!(next(&mut networkctl).await, None, "the state is another one");
    networkctl.look(Some(3));
    assert_eq!(next(&mut networkctl).await.map(|described| described.len()), Some(1));
}

#[tokio::test]
async fn one_that_fails_or_floods_or_is_not_there_says_nothing_and_is_asked_again_later() {
    let (described, why) = first("echo 'Failed to connect to bus: No such file' >&2; exit 1").await;
    assert_eq!(described, None);
    assert_eq!(why.unwrap(), "networkctl ended with exit status: 1: Failed to connect to bus: No such file");
    let (described, why) = first("yes").await;
    assert_eq!(described, None);
    assert_eq!(why.unwrap(), "networkctl prints more than 1048576 octets");
    let (described, why) = first("echo nonsense").await;
    assert_eq!(described, None);
    assert!(why.unwrap().starts_with("the answer of networkctl cannot be used"));
    let root = host("", WITH_CLIENT);
    fs::remove_file(root.path().join(PROGRAMS[0])).unwrap();
    let mut networkctl = Networkctl::new(root.path(), "wan");
    networkctl.look(Some(3));
    assert_eq!(next(&mut networkctl).await, None);
    assert_eq!(networkctl.failure.as_deref(), Some("the program networkctl is not installed"));
    networkctl.look(Some(3));
    assert!(networkctl.asking.is_none(), "not at once");
    assert!(networkctl.poll_timeout().is_some());
}

#[tokio::test]
async fn one_that_hangs_is_ended() {
    let (described, why) = first("exec sleep 1000").await;
    assert_eq!(described, None);
    assert_eq!(why.unwrap(), "networkctl does not answer within 5 s");
}
