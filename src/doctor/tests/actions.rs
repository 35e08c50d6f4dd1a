//! What is run and written on this host.

use std::path::Path;

use super::provoked;
use super::reading::{daemon, step};
use crate::doctor::actions::{Command, Facts, Flaw, Target, check};
use crate::doctor::reading::{Account, File, Purpose, Step};
use crate::doctor::{Check, Finding, Level};

pub(super) const TESTS: &[fn()] = &[
    a_hook_that_can_be_run,
    a_hook_that_cannot,
    what_is_no_program_can_be_run_by_nobody,
    the_directory_of_a_file,
    what_the_unit_lets_only_read,
    templates_are_read_by_the_daemon,
    nobody_knows_the_user,
];

const WITHIN: &str = "Write it below /run/dyn-prefix, and have its readers include or link it from there.";

fn file(path: &str, purpose: Purpose, last: Step) -> File {
    File { path: path.into(), purpose, steps: vec![step("/", 0, 0, 0o755), step("/etc", 0, 0, 0o755), last] }
}

fn hook(account: Option<Account>, file: Option<File>) -> Vec<Finding> {
    let command = Command {
        check: Check::Hook,
        of: "the hook router".to_owned(),
        program: "/etc/changed".into(),
        file,
        flaw: None,
    };
    check(&Facts { account, commands: vec![command], files: Vec::new() })
}

fn program(mode: u32, is_script: bool) -> Option<File> {
    Some(file("/etc/changed", Purpose::Run { is_script }, step("/etc/changed", 0, 0, mode)))
}

#[test]
fn a_hook_that_can_be_run() {
    let text = "The user dyn-prefix can run /etc/changed of the hook router.";
    for (mode, is_script) in [(0o755, true), (0o711, false)] {
        provoked(&hook(Some(daemon()), program(mode, is_script)), Check::Hook, Level::Ok, text);
    }
    let able = Account { writes_all: true, reads_all: true, ..daemon() };
    provoked(&hook(Some(able), program(0o700, true)), Check::Hook, Level::Ok, text);
}

#[test]
fn a_hook_that_cannot() {
    let found = hook(Some(daemon()), program(0o644, true));
    let text = provoked(&found, Check::Hook, Level::Error, "cannot run /etc/changed: it belongs to root:root and has");
    assert!(text.contains("`chgrp dyn-prefix /etc/changed && chmod g+rx /etc/changed`"), "{text}");
    assert!(text.contains("the daemon tries it again by itself"), "{text}");
    // An interpreter has to read what it runs.
    provoked(&hook(Some(daemon()), program(0o711, true)), Check::Hook, Level::Error, "has the mode 0711.");
    // To read everything is not to run everything, and nobody runs what is nobody's to run.
    let reader = Account { reads_all: true, ..daemon() };
    provoked(&hook(Some(reader), program(0o700, false)), Check::Hook, Level::Error, "has the mode 0700.");
    let able = Account { writes_all: true, reads_all: true, ..daemon() };
    provoked(&hook(Some(able), program(0o644, false)), Check::Hook, Level::Error, "has the mode 0644.");
    provoked(&hook(Some(daemon()), None), Check::Hook, Level::Error, "of the hook router is not there");

    let hidden = Account { hidden: vec![("/etc", "InaccessiblePaths=/etc")], ..daemon() };
    let text = provoked(&hook(Some(hidden), program(0o755, false)), Check::Hook, Level::Error, "hides /etc from it");
    assert!(text.contains("`install -m 0750 -g dyn-prefix /etc/changed /etc/dyn-prefix/changed`"), "{text}");
    let mut listed = program(0o700, false);
    listed.as_mut().unwrap().steps[2].has_list = true;
    let found = hook(Some(daemon()), listed);
    provoked(&found, Check::Hook, Level::Unseen, "`runuser -u dyn-prefix -- test -x /etc/changed`");
}

#[test]
fn what_is_no_program_can_be_run_by_nobody() {
    let of = |flaw| {
        let of = "the hook router".to_owned();
        let (program, file) = ("/etc/changed".into(), program(0o755, true));
        let command = Command { check: Check::Hook, of, program, file, flaw: Some(flaw) };
        check(&Facts { account: Some(daemon()), commands: vec![command], files: Vec::new() })
    };
    provoked(
        &of(Flaw::Directory),
        Check::Hook,
        Level::Error,
        "of the hook router is a directory. Name a program in it.",
    );
    let text = "has no line that names its interpreter. Let it begin with #!/bin/sh.";
    provoked(&of(Flaw::NoInterpreter), Check::Hook, Level::Error, text);
    let text = "is a script for /opt/sh, which is not there. Install that, or correct the first line of the script.";
    provoked(&of(Flaw::Interpreter("/opt/sh".into())), Check::Hook, Level::Error, text);
}

fn written(account: Option<Account>, directory: Option<Step>, template: Option<File>) -> Vec<Finding> {
    let path = Path::new("/etc/nft.d/set");
    let file = directory.map(|directory| file("/etc/nft.d/set", Purpose::Replace, directory));
    let target = Target { path: path.to_owned(), file, template };
    check(&Facts { account, commands: Vec::new(), files: vec![target] })
}

fn directory(owner: u32, group: u32, mode: u32) -> Option<Step> {
    Some(step("/etc/nft.d", owner, group, mode))
}

#[test]
fn the_directory_of_a_file() {
    let found = written(Some(daemon()), directory(0, 990, 0o775), None);
    provoked(&found, Check::File, Level::Ok, "The user dyn-prefix can write /etc/nft.d/set.");
    let found = written(Some(daemon()), directory(0, 0, 0o755), None);
    let text = "cannot write /etc/nft.d/set: the directory /etc/nft.d belongs to root:root and has the mode 0755.";
    let text = provoked(&found, Check::File, Level::Error, text);
    // Whoever may write there may replace what others have there.
    assert!(text.contains(WITHIN) && !text.contains("chgrp") && !text.contains("chmod"), "{text}");
    // One that was made for it, and cannot be written to yet.
    let found = written(Some(daemon()), directory(0, 990, 0o755), None);
    let text = provoked(&found, Check::File, Level::Error, "belongs to root:dyn-prefix and has the mode 0755.");
    assert!(text.contains("Run `chmod g+wx /etc/nft.d`;"), "{text}");
    // That of its own configuration and credentials is for reading.
    let found = written(Some(daemon()), Some(step("/etc/dyn-prefix", 0, 990, 0o750)), None);
    let text = provoked(&found, Check::File, Level::Error, "the directory /etc/dyn-prefix belongs to root:dyn-prefix");
    assert!(text.contains(WITHIN) && !text.contains("chmod"), "{text}");
    let reader = Account { reads_all: true, ..daemon() };
    assert_eq!(written(Some(reader), directory(0, 0, 0o755), None)[0].level, Level::Error);
    let found = written(Some(daemon()), None, None);
    let text =
        provoked(&found, Check::File, Level::Error, "The directory /etc/nft.d of the file /etc/nft.d/set is not");
    assert!(text.contains("`install -d -g dyn-prefix -m 2775 /etc/nft.d`"), "{text}");
    let maker = Account { writable: vec!["/etc/nft.d".into()], ..daemon() };
    assert_eq!(written(Some(maker), None, None), [], "the unit makes it");
    let mut listed = directory(0, 0, 0o755).unwrap();
    listed.has_list = true;
    let found = written(Some(daemon()), Some(listed), None);
    provoked(&found, Check::File, Level::Unseen, "`runuser -u dyn-prefix -- test -w /etc/nft.d`");
}

#[test]
fn what_the_unit_lets_only_read() {
    let strict = |writable: &[&str]| Account {
        sealed: vec![("/".into(), "ProtectSystem=strict".to_owned())],
        writable: writable.iter().map(Into::into).collect(),
        ..daemon()
    };
    let open = || directory(0, 990, 0o775);
    let found = written(Some(strict(&["/run/dyn-prefix", "/etc/nft"])), open(), None);
    let text = "The daemon cannot write /etc/nft.d/set: its unit lets it only read /etc/nft.d (ProtectSystem=strict).";
    let text = provoked(&found, Check::File, Level::Error, text);
    assert!(text.contains("Write it below /run/dyn-prefix") && text.contains("`ReadWritePaths=/etc/nft.d`"), "{text}");
    // One of the system is not opened to it.
    let found = written(Some(strict(&["/run/dyn-prefix"])), Some(step("/etc", 0, 0, 0o755)), None);
    let text = provoked(&found, Check::File, Level::Error, "its unit lets it only read /etc (ProtectSystem=strict).");
    assert!(text.contains(WITHIN) && !text.contains("ReadWritePaths"), "{text}");
    for writable in ["/etc/nft.d", "/etc"] {
        provoked(&written(Some(strict(&[writable])), open(), None), Check::File, Level::Ok, "can write");
    }
    let mut narrow = strict(&["/etc"]);
    narrow.sealed.push(("/etc/nft.d".into(), "ReadOnlyPaths=/etc/nft.d".to_owned()));
    let found = written(Some(narrow), open(), None);
    provoked(&found, Check::File, Level::Error, "(ReadOnlyPaths=/etc/nft.d)");
    let hidden = Account { hidden: vec![("/etc", "InaccessiblePaths=/etc")], ..daemon() };
    let found = written(Some(hidden), open(), None);
    provoked(&found, Check::File, Level::Error, "and have its readers include or link it from there.");
}

#[test]
fn templates_are_read_by_the_daemon() {
    let template = Some(file("/etc/set.in", Purpose::Read, step("/etc/set.in", 0, 0, 0o600)));
    let found = written(Some(daemon()), directory(0, 990, 0o775), template);
    let text = provoked(&found, Check::File, Level::Error, "cannot read /etc/set.in: it belongs to root:root");
    assert!(text.contains("then `systemctl reload-or-restart dyn-prefix`"), "{text}");
}

#[test]
fn nobody_knows_the_user() {
    provoked(&hook(None, program(0o755, true)), Check::Hook, Level::Unseen, "nobody knows its user.");
    let found = written(None, directory(0, 990, 0o775), None);
    provoked(&found, Check::File, Level::Unseen, "Whether the daemon can write /etc/nft.d/set could not be seen");
}
