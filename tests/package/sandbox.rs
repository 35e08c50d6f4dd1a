//! What the unit of the package leaves the daemon, and what credential plugins of a kubeconfig can do with that.

use serde_json::json;

use super::Lab;
use super::guest::{Guest, UNIT};
use super::household::{self, ADVERTISED, DELEGATED, Household};
use super::life::install;

pub(crate) const TESTS: &[super::Test] = &[
    ("the_exposure_is_at_most_1_5", exposure),
    ("the_process_has_two_capabilities_and_a_filter", process),
    ("members_of_the_group_may_ask_and_no_more", group),
    ("a_kubeconfig_comes_in_as_a_credential", credential),
    ("a_credential_plugin_has_the_network_and_its_home", plugin),
    ("the_unreachable_route_needs_the_drop_in", unreachable_route),
];

const DROP_IN: &str = "/etc/systemd/system/dyn-prefix.service.d/local.conf";

fn exposure(lab: &Lab) {
    let guest = &lab.debian;
    let _journal = install(guest);
    let (within, said) = guest.run(&["systemd-analyze", "security", "--no-pager", "--threshold=15", UNIT]);
    assert!(within && said.contains("Overall exposure level for dyn-prefix.service: 1."), "{said}");
}

fn process(lab: &Lab) {
    let guest = &lab.debian;
    let _journal = install(guest);
    let pid = guest.show("MainPID");
    let status = guest.done(&["cat", &format!("/proc/{pid}/status")]);
    let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim();
    // CAP_NET_BIND_SERVICE is number 10, CAP_NET_RAW number 13.
    let rights = format!("{:016x}", (1 << 10) | (1 << 13));
    for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapAmb:"] {
        assert_eq!(value(set), rights, "{set}\n{status}");
    }
    assert_eq!((value("NoNewPrivs:"), value("Seccomp:")), ("1", "2"), "{status}");
    let user = guest.done(&["id", "--user", "dyn-prefix"]);
    assert!(value("Uid:").split_whitespace().all(|id| id == user.trim()) && user.trim() != "0", "{status}");
}

/// As the user `reader`, who is a member of the group or not.
fn as_reader(guest: &Guest, groups: &str, words: &[&str]) -> (bool, String) {
    let options = format!("--groups={groups}");
    guest.run(&[&["setpriv", "--reuid=nobody", "--regid=nogroup", &options], words].concat())
}

fn group(lab: &Lab) {
    let guest = &lab.debian;
    let _journal = install(guest);
    let (_, said) = as_reader(guest, "nogroup", &["dyn-prefix", "status"]);
    assert!(said.contains("run this as root or as a member of the group dyn-prefix"), "{said}");
    let (done, said) = as_reader(guest, "dyn-prefix", &["dyn-prefix", "status"]);
    assert!(done, "{said}");
    let (done, said) = as_reader(guest, "dyn-prefix", &["dyn-prefix", "reload"]);
    assert!(!done && said.contains("only root may"), "{said}");
    guest.done(&["dyn-prefix", "reload"]);
}

/// Restarts the service with this in its drop-in.
fn with_drop_in(guest: &Guest, text: &str) {
    guest.write(DROP_IN, text);
    guest.done(&["systemctl", "daemon-reload"]);
    guest.done(&["systemctl", "restart", UNIT]);
}

fn credential(lab: &Lab) {
    let guest = &lab.debian;
    let _journal = install(guest);
    household::with(guest, |home| {
        guest.write("/srv/only-root.kubeconfig", &home.kubeconfig(&json!({"token": home.token()})));
        guest.done(&["chmod", "600", "/srv/only-root.kubeconfig"]);
        guest.done(&["rm", "/etc/dyn-prefix/home.kubeconfig"]);
        let named = Household::readme().replace("/etc/dyn-prefix/home.kubeconfig", "${CREDENTIALS_DIRECTORY}/home");
        home.configure(&named);
        with_drop_in(guest, "[Service]\nLoadCredential=home:/srv/only-root.kubeconfig\n");
        home.until_pool_holds(ADVERTISED);
    });
}

/// Prints the token only when everything around it is as documented: it may write to its home and to /tmp, reach the
/// network and run other programs; it may write nowhere else and sees no home of others.
const PLUGIN: &str = r#"#!/bin/bash
set -e
[ "$HOME" = /var/lib/dyn-prefix ]
mkdir -p "$HOME/.kube/cache" && date >"$HOME/.kube/cache/plugin"
(cd /tmp && date >plugin)
if touch /etc/dyn-prefix/plugin 2>/dev/null || ls /root 2>/dev/null; then exit 1; fi
[ "$(id -un)" = dyn-prefix ]
exec 3<>/dev/tcp/127.0.0.1/PORT
printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$(cat /etc/dyn-prefix/plugin.token)"
"#;

fn plugin(lab: &Lab) {
    let guest = &lab.debian;
    let _journal = install(guest);
    household::with(guest, |home| {
        let script = PLUGIN.replace("PORT", &home.port());
        guest.write("/usr/local/bin/plugin", &script);
        guest.done(&["chmod", "755", "/usr/local/bin/plugin"]);
        home.install("plugin.token", &home.token());
        let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "plugin",
            "interactiveMode": "Never"});
        home.install("home.kubeconfig", &home.kubeconfig(&json!({"exec": exec})));
        home.configure(&Household::readme());
        guest.done(&["systemctl", "restart", UNIT]);
        home.until_pool_holds(ADVERTISED);
        guest.done(&["test", "-s", "/var/lib/dyn-prefix/.kube/cache/plugin"]);
        assert!(!guest.done(&["ls", "/tmp"]).contains("plugin"), "its /tmp is its own");
    });
}

fn unreachable_route(lab: &Lab) {
    let guest = &lab.debian;
    let mut journal = install(guest);
    let unit = include_str!("../../systemd/unreachable-route.conf");
    household::with(guest, |home| {
        let text = Household::readme_with_delegation();
        let text = text.replace("requestedPrefixLength = 60", "requestedPrefixLength = 60, unreachableRoute = true");
        home.configure(&text);
        let routes = || guest.done(&["ip", "-6", "route", "show", "type", "unreachable"]);
        guest.done(&["systemctl", "restart", UNIT]);
        home.until_pool_holds(DELEGATED);
        journal.says("CAP_NET_ADMIN");
        assert!(!routes().contains(DELEGATED), "without the right");
        with_drop_in(guest, unit);
        let route = super::guest::wait(super::guest::SOON, || routes().contains(DELEGATED).then_some(()));
        assert!(route.is_some(), "{}", routes());
    });
}
