//! What is run and written on this host: whether the daemon can (`[[hook]]`, `[[file]]`).

use std::path::{Path, PathBuf};

use super::reading::{self, Account, File, WITHIN};
use super::{Check, Finding};

/// A program that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// [`Check::Hook`] or [`Check::File`].
    pub check: Check,
    /// Of whom: `the hook NAME` or `the file PATH`.
    pub of: String,
    /// As the configuration names it.
    pub program: PathBuf,
    /// It, for [`reading::Purpose::Run`]; `None`: it is not there, or may not be looked at.
    pub file: Option<File>,
    /// Why nobody at all could run it.
    pub flaw: Option<Flaw>,
}

/// What makes a file no program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is a directory.
    Directory,
    /// It is a text that names no interpreter.
    NoInterpreter,
    /// The interpreter that its first line names is not there.
    Interpreter(PathBuf),
}

/// A file that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its path.
    pub path: PathBuf,
    /// It, for [`reading::Purpose::Replace`]; `None`: its directory is not there, or may not be looked at.
    pub file: Option<File>,
    /// What its template is read from.
    pub template: Option<File>,
}

/// What is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Who the daemon is; `None`: nobody knows.
    pub account: Option<Account>,
    /// What is run.
    pub commands: Vec<Command>,
    /// What is written.
    pub files: Vec<Target>,
}

/// Looks at all of it.
pub fn check(facts: &Facts) -> Vec<Finding> {
    let commands = facts.commands.iter().flat_map(|command| runs(facts.account.as_ref(), command));
    let files = facts.files.iter().flat_map(|file| writes(facts.account.as_ref(), file));
    commands.chain(files).collect()
}

fn runs(account: Option<&Account>, command: &Command) -> Vec<Finding> {
    let Command { check, of, program, file, flaw } = command;
    let (shown, subject) = (program.display(), of.trim_start_matches("the "));
    let Some(file) = file else {
        let message = format!("The program {shown} of {of} is not there, or cannot be seen from here.");
        let advice = "Install it, or correct the path. Who may not look into its directory runs this as root.";
        return vec![Finding::error(*check, subject, message, advice)];
    };
    if let Some(flaw) = flaw {
        let (what, advice) = match flaw {
            Flaw::Directory => ("is a directory".to_owned(), "Name a program in it."),
            Flaw::NoInterpreter => {
                ("has no line that names its interpreter".to_owned(), "Let it begin with #!/bin/sh.")
            }
            Flaw::Interpreter(name) => (
                format!("is a script for {}, which is not there", name.to_string_lossy().escape_debug()),
                "Install that, or correct the first line of the script.",
            ),
        };
        return vec![Finding::error(*check, subject, format!("The program {shown} of {of} {what}."), advice)];
    }
    let Some(account) = account else {
        let message = format!("Whether the daemon can run {shown} of {of} could not be seen: nobody knows its user.");
        return vec![Finding::unseen(*check, subject, message, UNKNOWN)];
    };
    let found = reading::check(*check, account, std::slice::from_ref(file));
    if !found.is_empty() {
        return found;
    }
    vec![Finding::ok(*check, subject, format!("The user {} can run {shown} of {of}.", account.user))]
}

const UNKNOWN: &str = "Look again while the daemon runs.";

fn writes(account: Option<&Account>, target: &Target) -> Vec<Finding> {
    let (shown, subject) = (target.path.display(), format!("file {}", target.path.display()));
    let directory = target.path.parent().unwrap_or(&target.path);
    let made = account.is_some_and(|account| account.writable.iter().any(|made| directory == made));
    let Some(file) = &target.file else {
        // The unit makes its own directories when it is started.
        if made {
            return Vec::new();
        }
        let message = format!(
            "The directory {} of the file {shown} is not there, or cannot be seen from here.",
            directory.display()
        );
        let group = account.map_or("dyn-prefix", |account| account.group.as_str());
        let advice = format!("Make it: `install -d -g {group} -m 2775 {}`.", directory.display());
        return vec![Finding::error(Check::File, subject, message, advice)];
    };
    let Some(account) = account else {
        let message = format!("Whether the daemon can write {shown} could not be seen: nobody knows its user.");
        return vec![Finding::unseen(Check::File, subject, message, UNKNOWN)];
    };
    let files: Vec<File> = target.template.iter().chain([file]).cloned().collect();
    let mut found: Vec<Finding> = sealed(account, file, &subject).into_iter().collect();
    found.extend(reading::check(Check::File, account, &files));
    if found.is_empty() {
        found.push(Finding::ok(Check::File, subject, format!("The user {} can write {shown}.", account.user)));
    }
    found
}

/// Whether the unit keeps the directory from the daemon: the rule for the longest path decides.
fn sealed(account: &Account, file: &File, subject: &str) -> Option<Finding> {
    let target = file.steps.last()?;
    let directory = &target.path;
    let longest = |paths: &mut dyn Iterator<Item = &Path>| {
        paths.filter(|path| directory.starts_with(path)).map(|path| path.components().count()).max()
    };
    let (_, setting) = account
        .sealed
        .iter()
        .filter(|(path, _)| directory.starts_with(path))
        .max_by_key(|(path, _)| path.components().count())?;
    let closed = longest(&mut account.sealed.iter().map(|(path, _)| path.as_path()));
    let open = longest(&mut account.writable.iter().map(PathBuf::as_path));
    if open >= closed {
        return None;
    }
    let is_for_it = account.is_for(target);
    let directory = directory.display();
    let message =
        format!("The daemon cannot write {}: its unit lets it only read {directory} ({setting}).", file.path.display());
    if !is_for_it {
        return Some(Finding::error(Check::File, subject, message, WITHIN));
    }
    let advice = format!(
        "{WITHIN} Or run `systemctl edit dyn-prefix`, write `[Service]` and `ReadWritePaths={directory}` on a line each, and \
         restart dyn-prefix."
    );
    Some(Finding::error(Check::File, subject, message, advice))
}
