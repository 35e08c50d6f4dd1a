//! Whether the daemon may read the files that it is given. Doctor is mostly run by root, who may read them all, and the
//! daemon by a user of its own: a kubeconfig that root copied to its place is the commonest mistake of an installation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Check, Finding};

/// Who the daemon is for the files of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The name of its user, or the number of one without a name.
    pub user: String,
    /// The same of its group.
    pub group: String,
    /// The number of its user.
    pub uid: u32,
    /// The numbers of all its groups.
    pub gids: BTreeSet<u32>,
    /// Whether it has a capability to read whatever there is.
    pub reads_all: bool,
    /// The directories that its unit keeps from it, each with the setting that does.
    pub hidden: Vec<(&'static str, &'static str)>,
}

/// Who owns a file or a directory, and what that lets whom do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Where it is, without symbolic links.
    pub path: PathBuf,
    /// Its owner: the number and, if there is one, the name.
    pub owner: (u32, String),
    /// Its group.
    pub group: (u32, String),
    /// The permissions: the lowest nine bits.
    pub mode: u32,
    /// Whether an access control list says more than these.
    pub has_list: bool,
}

/// A file that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// As the configuration names it.
    pub path: PathBuf,
    /// The directories on the way to it, from the root, also those that symbolic links lead by; it comes last.
    pub steps: Vec<Step>,
}

/// What a directory or a file must let one do: the bit of `other`.
const SEARCH: u32 = 0o1;
const READ: u32 = 0o4;

/// Says of each file why the daemon cannot read it; nothing of one that it can.
pub fn check(check: Check, account: &Account, files: &[File]) -> Vec<Finding> {
    files.iter().filter_map(|file| one(check, account, file)).collect()
}

fn one(check: Check, account: &Account, file: &File) -> Option<Finding> {
    let (path, subject) = (file.path.display(), file.path.display().to_string());
    let who = format!("The daemon, which runs as the user {},", account.user);
    let target = file.steps.last()?;
    let is_hidden = |directory: &str| file.steps.iter().any(|step| step.path.starts_with(directory));
    if let Some((directory, setting)) = account.hidden.iter().find(|(directory, _)| is_hidden(directory)) {
        let message = format!("{who} does not see {path}: its unit hides {directory} from it ({setting}).");
        return Some(Finding::error(check, subject, message, elsewhere(check, account, target)));
    }
    if account.reads_all {
        return None;
    }
    let needs = |step: &Step| if step == target { READ } else { SEARCH };
    let (unclear, barred): (Vec<&Step>, Vec<&Step>) = file
        .steps
        .iter()
        .filter(|step| step.has_list || !account.may(step, needs(step)))
        .partition(|step| step.has_list);
    let Some(first) = barred.first() else {
        let list = unclear.first()?.path.display();
        let message =
            format!("{list} has an access control list: whether the daemon can read {path} could not be seen.");
        let advice = format!("Try it: `runuser -u {} -- head -c0 {path}`.", account.user);
        return Some(Finding::unseen(check, subject, message, &advice));
    };
    let (owner, group, mode) = (&first.owner.1, &first.group.1, first.mode);
    let what = if *first == target { "it".to_owned() } else { format!("the directory {}", first.path.display()) };
    let message = format!("{who} cannot read {path}: {what} belongs to {owner}:{group} and has the mode {mode:04o}.");
    // What is in a directory of somebody else is for him to open.
    let is_private = |step: &&Step| *step != target && step.owner.0 != 0 && step.owner.0 != account.uid;
    if barred.iter().any(is_private) {
        return Some(Finding::error(check, subject, message, elsewhere(check, account, target)));
    }
    let commands: Vec<String> = barred.iter().flat_map(|step| account.opens(step, needs(step))).collect();
    let advice = format!("Run `{}`; {}.", commands.join(" && "), afterwards(check));
    Some(Finding::error(check, subject, message, advice))
}

impl Account {
    /// The first of owner, group and others that it is decides, as in the kernel.
    fn may(&self, step: &Step, needed: u32) -> bool {
        let shift = match step {
            _ if step.owner.0 == self.uid => 6,
            _ if self.gids.contains(&step.group.0) => 3,
            _ => 0,
        };
        step.mode >> shift & needed == needed
    }

    /// The commands that let it, and nobody else who is not in its group.
    fn opens(&self, step: &Step, needed: u32) -> Vec<String> {
        let path = step.path.display();
        let letter = if needed == READ { "r" } else { "x" };
        if step.owner.0 == self.uid {
            return vec![format!("chmod u+{letter} {path}")];
        }
        let mode = if needed == READ { "0640".to_owned() } else { format!("g+{letter}") };
        let gives = (!self.gids.contains(&step.group.0)).then(|| format!("chgrp {} {path}", self.group));
        gives.into_iter().chain([format!("chmod {mode} {path}")]).collect()
    }
}

/// What follows once the daemon may read the file.
fn afterwards(check: Check) -> &'static str {
    // Nobody watches it, and a unit that could not read it at its start is not started again.
    let is_watched = check != Check::Configuration;
    if is_watched { "the daemon notices it" } else { "then `systemctl reload-or-restart dyn-prefix`" }
}

fn elsewhere(check: Check, account: &Account, file: &Step) -> String {
    let group = &account.group;
    if check == Check::Configuration {
        let path = file.path.display();
        return format!("Put it where the unit looks: `install -m 0640 -g {group} {path} /etc/dyn-prefix.toml`.");
    }
    let name = file.path.file_name().map(Path::new).unwrap_or(&file.path).display();
    format!(
        "Put it where the daemon looks, and name it there: `install -m 0640 -g {group} {} /etc/dyn-prefix/{name}`.",
        file.path.display()
    )
}
