//! Whether the daemon may read, run and write the files that it is given. Doctor is mostly run by root, who may do it all,
//! and the daemon by a user of its own: a kubeconfig that root copied to its place is the commonest mistake of an
//! installation.

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
    /// Whether it has one to write it, too.
    pub writes_all: bool,
    /// The directories that its unit keeps from it, each with the setting that does.
    pub hidden: Vec<(&'static str, &'static str)>,
    /// Those that its unit lets it read only, each with the setting that does.
    pub sealed: Vec<(PathBuf, String)>,
    /// Those among them that it may write to all the same.
    pub writable: Vec<PathBuf>,
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

/// What a file is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// It is read.
    #[default]
    Read,
    /// It is run.
    Run {
        /// By an interpreter, which has to read it.
        is_script: bool,
    },
    /// It is replaced: another file is made in its directory, and given its name.
    Replace,
}

/// A file that is there; of one that is replaced, its directory is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// As the configuration names it.
    pub path: PathBuf,
    /// What it is for.
    pub purpose: Purpose,
    /// The directories on the way to it, from the root, also those that symbolic links lead by; it comes last, unless it
    /// is replaced.
    pub steps: Vec<Step>,
}

/// What a directory or a file must let one do: the bit of `other`.
const SEARCH: u32 = 0o1;
const WRITE: u32 = 0o2;
const READ: u32 = 0o4;

impl Purpose {
    const fn needs(self) -> u32 {
        match self {
            Self::Read => READ,
            Self::Run { is_script: false } => SEARCH,
            Self::Run { is_script: true } => READ | SEARCH,
            Self::Replace => WRITE | SEARCH,
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run { .. } => "run",
            Self::Replace => "write",
        }
    }
}

/// Says of each file why the daemon cannot do with it what it is for; nothing of one with which it can.
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
        return Some(Finding::error(check, subject, message, elsewhere(check, account, file)));
    }
    let verb = file.purpose.verb();
    let needs = |step: &Step| if step == target { file.purpose.needs() } else { SEARCH };
    let is_directory = |step: &Step| step != target || file.purpose == Purpose::Replace;
    let (unclear, barred): (Vec<&Step>, Vec<&Step>) = file
        .steps
        .iter()
        .filter(|step| account.by_capability(step, is_directory(step)) & needs(step) != needs(step))
        .filter(|step| step.has_list || !account.may(step, needs(step)))
        .partition(|step| step.has_list);
    let Some(first) = barred.first() else {
        let list = unclear.first()?.path.display();
        let message =
            format!("{list} has an access control list: whether the daemon can {verb} {path} could not be seen.");
        return Some(Finding::unseen(check, subject, message, &trial(account, file)));
    };
    let (owner, group, mode) = (&first.owner.1, &first.group.1, first.mode);
    let is_it = *first == target && file.purpose != Purpose::Replace;
    let what = if is_it { "it".to_owned() } else { format!("the directory {}", first.path.display()) };
    let message = format!("{who} cannot {verb} {path}: {what} belongs to {owner}:{group} and has the mode {mode:04o}.");
    // What is in a directory of somebody else is for him to open.
    let is_private = |step: &&Step| *step != target && step.owner.0 != 0 && step.owner.0 != account.uid;
    if barred.iter().any(is_private) {
        return Some(Finding::error(check, subject, message, elsewhere(check, account, file)));
    }
    if file.purpose == Purpose::Replace && barred.contains(&target) && !account.is_for(target) {
        return Some(Finding::error(check, subject, message, WITHIN));
    }
    let commands: Vec<String> = barred.iter().flat_map(|step| account.opens(step, needs(step))).collect();
    let advice = format!("Run `{}`; {}.", commands.join(" && "), afterwards(check, file.purpose));
    Some(Finding::error(check, subject, message, advice))
}

/// How to find out what an access control list means.
fn trial(account: &Account, file: &File) -> String {
    let (user, path) = (&account.user, file.path.display());
    match file.purpose {
        Purpose::Read => format!("Try it: `runuser -u {user} -- head -c0 {path}`."),
        Purpose::Run { .. } => format!("Try it: `runuser -u {user} -- test -x {path}`."),
        Purpose::Replace => {
            let directory = file.path.parent().unwrap_or(&file.path).display();
            format!("Try it: `runuser -u {user} -- test -w {directory}`.")
        }
    }
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

    /// What it may do whatever the permissions say.
    fn by_capability(&self, step: &Step, is_directory: bool) -> u32 {
        // Nobody runs a file that is nobody's to run.
        let search = if is_directory || step.mode & 0o111 != 0 { SEARCH } else { 0 };
        match self {
            Self { writes_all: true, .. } => READ | WRITE | search,
            Self { reads_all: true, .. } if is_directory => READ | SEARCH,
            Self { reads_all: true, .. } => READ,
            _ => 0,
        }
    }

    /// Whether a directory was made for it, so that it may be let write to it. Who may write to a directory of the system,
    /// or to that of its own configuration, may replace everything there.
    pub(super) fn is_for(&self, directory: &Step) -> bool {
        let is_its = (directory.owner.0 != 0 && directory.owner.0 == self.uid)
            || (directory.group.0 != 0 && self.gids.contains(&directory.group.0));
        is_its && directory.path != Path::new("/etc/dyn-prefix")
    }

    /// The commands that let it, and nobody else who is not in its group.
    fn opens(&self, step: &Step, needed: u32) -> Vec<String> {
        let path = step.path.display();
        let letters: String = [(READ, 'r'), (WRITE, 'w'), (SEARCH, 'x')]
            .iter()
            .filter(|(bit, _)| needed & bit != 0)
            .map(|(_, c)| c)
            .collect();
        if step.owner.0 == self.uid {
            return vec![format!("chmod u+{letters} {path}")];
        }
        let mode = if needed == READ { "0640".to_owned() } else { format!("g+{letters}") };
        let gives = (!self.gids.contains(&step.group.0)).then(|| format!("chgrp {} {path}", self.group));
        gives.into_iter().chain([format!("chmod {mode} {path}")]).collect()
    }
}

/// What follows once the daemon may.
fn afterwards(check: Check, purpose: Purpose) -> &'static str {
    match (check, purpose) {
        // Nobody watches it, and a unit that could not read it at its start is not started again.
        (Check::Configuration, _) | (Check::File, Purpose::Read) => "then `systemctl reload-or-restart dyn-prefix`",
        (Check::Hook | Check::File, _) => "the daemon tries it again by itself",
        _ => "the daemon notices it",
    }
}

fn elsewhere(check: Check, account: &Account, file: &File) -> String {
    let group = &account.group;
    let from = file.steps.last().map_or(&file.path, |target| &target.path);
    if check == Check::Configuration {
        let path = from.display();
        return format!("Put it where the unit looks: `install -m 0640 -g {group} {path} /etc/dyn-prefix.toml`.");
    }
    let name = from.file_name().map(Path::new).unwrap_or(from).display();
    let mode = match file.purpose {
        Purpose::Read => "0640",
        Purpose::Run { .. } => "0750",
        Purpose::Replace => return WITHIN.to_owned(),
    };
    format!(
        "Put it where the daemon looks, and name it there: `install -m {mode} -g {group} {} /etc/dyn-prefix/{name}`.",
        from.display()
    )
}

/// Where files can be written without further rights.
pub(super) const WITHIN: &str = "Write it below /run/dyn-prefix, and have its readers include or link it from there.";
