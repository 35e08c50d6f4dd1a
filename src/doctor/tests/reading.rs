//! Whether the daemon may read its files.

use super::provoked;
use crate::doctor::reading::{Account, File, Step, check};
use crate::doctor::{Check, Finding, Level};

pub(super) const TESTS: &[fn()] = &[
    a_kubeconfig_that_root_copied,
    what_lets_the_daemon_read,
    a_directory_on_the_way,
    what_the_unit_hides,
    an_access_control_list,
    the_configuration_itself,
];

const PATH: &str = "/etc/dyn-prefix/home.kubeconfig";

pub(super) fn daemon() -> Account {
    Account {
        user: "dyn-prefix".to_owned(),
        group: "dyn-prefix".to_owned(),
        uid: 990,
        gids: [990].into(),
        ..Account::default()
    }
}

pub(super) fn step(path: &str, owner: u32, group: u32, mode: u32) -> Step {
    let named = |number: u32| {
        let name = match number {
            0 => "root",
            990 => "dyn-prefix",
            _ => "alice",
        };
        (number, name.to_owned())
    };
    Step { path: path.into(), owner: named(owner), group: named(group), mode, has_list: false }
}

/// A file of this owner, group and mode, in the directory that the package makes.
fn file(owner: u32, group: u32, mode: u32) -> File {
    let steps = [step("/", 0, 0, 0o755), step("/etc", 0, 0, 0o755), step("/etc/dyn-prefix", 0, 990, 0o750)];
    let steps = steps.into_iter().chain([step(PATH, owner, group, mode)]).collect();
    File { path: PATH.into(), steps, ..File::default() }
}

fn of(account: &Account, file: File) -> Vec<Finding> {
    check(Check::Credentials, account, &[file])
}

#[test]
fn a_kubeconfig_that_root_copied() {
    let found = of(&daemon(), file(0, 0, 0o600));
    let text = provoked(&found, Check::Credentials, Level::Error, "belongs to root:root and has the mode 0600.");
    assert!(
        text.starts_with(&format!("The daemon, which runs as the user dyn-prefix, cannot read {PATH}: ")),
        "{text}"
    );
    assert!(text.contains(&format!("`chgrp dyn-prefix {PATH} && chmod 0640 {PATH}`")), "{text}");
    let found = of(&daemon(), file(0, 990, 0o600));
    let text = provoked(&found, Check::Credentials, Level::Error, "belongs to root:dyn-prefix");
    assert!(text.contains(&format!("Run `chmod 0640 {PATH}`")), "{text}");
    // The first that one is decides: the owner may have less than all others.
    let found = of(&daemon(), file(990, 0, 0o044));
    provoked(&found, Check::Credentials, Level::Error, &format!("Run `chmod u+r {PATH}`"));
    assert_eq!(of(&daemon(), file(0, 990, 0o604)).len(), 1);
}

#[test]
fn what_lets_the_daemon_read() {
    for (owner, group, mode) in [(0, 990, 0o640), (990, 0, 0o400), (0, 0, 0o644), (1000, 1000, 0o004)] {
        assert_eq!(of(&daemon(), file(owner, group, mode)), [], "{owner}:{group} {mode:o}");
    }
    let root = Account { uid: 0, gids: [0].into(), ..daemon() };
    assert_eq!(of(&root, file(0, 0, 0o600)), []);
    assert_eq!(of(&root, file(1000, 1000, 0o600)).len(), 1, "root without capabilities is like any other user");
    assert_eq!(of(&Account { reads_all: true, ..root }, file(1000, 1000, 0o600)), []);
}

#[test]
fn a_directory_on_the_way() {
    let through = |directory: Step| {
        let path = directory.path.join("k");
        let steps = vec![step("/", 0, 0, 0o755), directory, step(path.to_str().unwrap(), 0, 0, 0o644)];
        of(&daemon(), File { path, steps, ..File::default() })
    };
    let found = through(step("/opt/keys", 0, 0, 0o700));
    let text = provoked(&found, Check::Credentials, Level::Error, "the directory /opt/keys belongs to root:root");
    assert!(text.contains("`chgrp dyn-prefix /opt/keys && chmod g+x /opt/keys`"), "{text}");
    let found = through(step("/opt/alice", 1000, 1000, 0o700));
    let text = provoked(&found, Check::Credentials, Level::Error, "the directory /opt/alice belongs to alice:alice");
    assert!(text.contains("`install -m 0640 -g dyn-prefix /opt/alice/k /etc/dyn-prefix/k`"), "{text}");
    assert_eq!(through(step("/opt/keys", 0, 0, 0o711)), []);
}

#[test]
fn what_the_unit_hides() {
    let hidden = vec![("/home", "ProtectHome=yes"), ("/run/user", "ProtectHome=yes")];
    // Also for one who may read everything that he sees.
    let account = Account { hidden, reads_all: true, ..daemon() };
    let steps = vec![step("/", 0, 0, 0o755), step("/run/user", 0, 0, 0o755), step("/run/user/k", 0, 0, 0o644)];
    let found = of(&account, File { path: "/etc/link".into(), steps, ..File::default() });
    let text =
        provoked(&found, Check::Credentials, Level::Error, "its unit hides /run/user from it (ProtectHome=yes).");
    assert!(text.contains("`install -m 0640 -g dyn-prefix /run/user/k /etc/dyn-prefix/k`"), "{text}");
    assert_eq!(of(&account, file(0, 0, 0o600)), []);
}

#[test]
fn an_access_control_list() {
    let mut listed = file(0, 0, 0o640);
    listed.steps[3].has_list = true;
    let found = of(&daemon(), listed.clone());
    provoked(&found, Check::Credentials, Level::Unseen, &format!("`runuser -u dyn-prefix -- head -c0 {PATH}`"));
    assert_eq!(of(&Account { reads_all: true, ..daemon() }, listed), []);
}

/// Nobody watches it, and a unit that could not read it at its start is not started again.
#[test]
fn the_configuration_itself() {
    let path = "/etc/dyn-prefix.toml";
    let steps = |mode| vec![step("/", 0, 0, 0o755), step("/etc", 0, 0, 0o755), step(path, 0, 0, mode)];
    let found =
        check(Check::Configuration, &daemon(), &[File { path: path.into(), steps: steps(0o600), ..File::default() }]);
    let text = provoked(&found, Check::Configuration, Level::Error, "has the mode 0600.");
    assert!(text.contains(&format!("`chgrp dyn-prefix {path} && chmod 0640 {path}`")), "{text}");
    assert!(text.contains("then `systemctl reload-or-restart dyn-prefix`"), "{text}");
    assert!(!text.contains("notices it"), "{text}");
    let hidden = Account { hidden: vec![("/srv", "InaccessiblePaths=/srv")], ..daemon() };
    let home = File {
        path: "/srv/dyn-prefix/my.toml".into(),
        steps: vec![step("/srv", 0, 0, 0o755), step("/srv/dyn-prefix/my.toml", 0, 0, 0o644)],
        ..File::default()
    };
    let found = check(Check::Configuration, &hidden, &[home]);
    let text = provoked(&found, Check::Configuration, Level::Error, "its unit hides /srv from it");
    assert!(text.contains("`install -m 0640 -g dyn-prefix /srv/dyn-prefix/my.toml /etc/dyn-prefix.toml`"), "{text}");
}
