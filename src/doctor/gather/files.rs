//! Who the daemon is, and whose the files are that it reads.

use std::collections::VecDeque;
use std::ffi::{CString, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User};

use super::host::{Daemon, Printed, run};
use crate::doctor::reading::{Account, File, Step};

/// `linux/capability.h`
const DAC_OVERRIDE: u8 = 1;
const DAC_READ_SEARCH: u8 = 2;

/// What the kernel follows at most.
const LINKS: usize = 40;

/// Who the daemon is, else who it would be by its unit; `None`: there is neither.
pub(super) async fn account(daemon: &Daemon) -> Option<Account> {
    let keys = "LoadState,User,Group,SupplementaryGroups,AmbientCapabilities,CapabilityBoundingSet,ProtectHome,\
                PrivateTmp,MainPID";
    let shown = match run("systemctl", &["show", "dyn-prefix.service", &format!("--property={keys}")]).await {
        Printed::Text(text) => text,
        Printed::NotInstalled | Printed::Failed(_) => String::new(),
    };
    let unit = Unit(&shown);
    let Some(process) = daemon.process else { return unit.account() };
    let mut account = of_process(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)?;
    if unit.value("MainPID") == process.to_string() {
        account.hidden = unit.hidden();
    }
    Some(account)
}

/// What `systemctl show` says.
struct Unit<'a>(&'a str);

impl<'a> Unit<'a> {
    fn value(&self, key: &str) -> &'a str {
        let value = |line: &'a str| line.strip_prefix(key)?.strip_prefix('=');
        self.0.lines().find_map(value).unwrap_or_default()
    }

    fn has(&self, key: &str) -> bool {
        let words = self.value(key).to_lowercase();
        words.split_whitespace().any(|word| ["cap_dac_override", "cap_dac_read_search"].contains(&word))
    }

    fn account(&self) -> Option<Account> {
        if self.value("LoadState") != "loaded" {
            return None;
        }
        let user = Some(self.value("User")).filter(|user| !user.is_empty()).unwrap_or("root");
        let user = match user.parse() {
            Ok(number) => User::from_uid(Uid::from_raw(number)).ok()??,
            Err(_) => User::from_name(user).ok()??,
        };
        let group = Some(self.value("Group")).filter(|group| !group.is_empty()).and_then(gid).unwrap_or(user.gid);
        let others = nix::unistd::getgrouplist(&CString::new(user.name.as_str()).ok()?, group).unwrap_or_default();
        let more = self.value("SupplementaryGroups").split_whitespace().filter_map(gid);
        let is_root = user.uid.is_root();
        Some(Account {
            group: group_name(group.as_raw()),
            uid: user.uid.as_raw(),
            gids: others.into_iter().chain(more).chain([group]).map(Gid::as_raw).collect(),
            reads_all: self.has(if is_root { "CapabilityBoundingSet" } else { "AmbientCapabilities" }),
            user: user.name,
            hidden: self.hidden(),
        })
    }

    fn hidden(&self) -> Vec<(&'static str, &'static str)> {
        let home = match self.value("ProtectHome") {
            "yes" | "true" => "ProtectHome=yes",
            "tmpfs" => "ProtectHome=tmpfs",
            _ => "",
        };
        let homes = ["/home", "/root", "/run/user"].into_iter().filter(|_| !home.is_empty());
        let is_apart = ["yes", "true", "connected", "disconnected"].contains(&self.value("PrivateTmp"));
        let temporary = ["/tmp", "/var/tmp"].into_iter().filter(|_| is_apart);
        homes.map(|directory| (directory, home)).chain(temporary.map(|path| (path, "PrivateTmp=yes"))).collect()
    }
}

fn gid(text: &str) -> Option<Gid> {
    match text.parse() {
        Ok(number) => Some(Gid::from_raw(number)),
        Err(_) => Some(Group::from_name(text).ok()??.gid),
    }
}

/// By the text of /proc/PID/status.
fn of_process(status: &str) -> Option<Account> {
    let numbers = |key: &str| -> Option<Vec<u32>> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.split_whitespace().filter_map(|word| word.parse().ok()).collect())
    };
    // Real, effective, saved, of the file system: the last one counts.
    let (uid, gid) = (*numbers("Uid:")?.get(3)?, *numbers("Gid:")?.get(3)?);
    let capabilities = crate::doctor::capability::of_status(status).unwrap_or_default();
    Some(Account {
        user: user_name(uid),
        group: group_name(gid),
        uid,
        gids: numbers("Groups:").unwrap_or_default().into_iter().chain([gid]).collect(),
        reads_all: capabilities & (1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH) != 0,
        hidden: Vec::new(),
    })
}

fn user_name(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

fn group_name(gid: u32) -> String {
    Group::from_gid(Gid::from_raw(gid)).ok().flatten().map_or_else(|| gid.to_string(), |group| group.name)
}

/// The files that are there and can be looked at. What systemd hands to a unit is out of its hands otherwise.
pub(super) fn files<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Vec<File> {
    let paths = paths.into_iter().filter(|path| !path.starts_with("/run/credentials"));
    paths.filter_map(|path| Some(File { path: path.clone(), steps: steps(path)? })).collect()
}

/// The way to a file; `None`: it cannot be looked at, or is not there.
fn steps(path: &Path) -> Option<Vec<Step>> {
    let words = |path: &Path| path.components().map(|part| part.as_os_str().to_owned()).collect::<VecDeque<OsString>>();
    let mut rest = words(&std::path::absolute(path).ok()?);
    let mut at = PathBuf::new();
    let mut steps: Vec<Step> = Vec::new();
    let mut links = 0;
    while let Some(word) = rest.pop_front() {
        if Path::new(&word).components().next() == Some(Component::ParentDir) {
            at.pop();
            continue;
        }
        let next = at.join(&word);
        let metadata = fs::symlink_metadata(&next).ok()?;
        if metadata.is_symlink() {
            links += 1;
            let target = fs::read_link(&next).ok().filter(|_| links <= LINKS)?;
            rest = words(&target).into_iter().chain(rest).collect();
            continue; // an absolute one starts anew: its first word replaces the way so far
        }
        at = next;
        steps.retain(|step| step.path != at);
        steps.push(Step {
            path: at.clone(),
            owner: (metadata.uid(), user_name(metadata.uid())),
            group: (metadata.gid(), group_name(metadata.gid())),
            mode: metadata.mode() & 0o777,
            has_list: rustix::fs::getxattr(&at, "system.posix_acl_access", &mut [0_u8; 0]).is_ok_and(|size| size > 0),
        });
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const SHOWN: &str = "LoadState=loaded\nUser=root\nGroup=\nSupplementaryGroups=\nProtectHome=yes\nPrivateTmp=no\n\
                         AmbientCapabilities=\nMainPID=0\n";

    #[test]
    fn the_way_to_a_file_leads_by_its_links() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/closed")).unwrap();
        fs::write(root.join("a/closed/k"), "").unwrap();
        fs::set_permissions(root.join("a/closed"), fs::Permissions::from_mode(0o710)).unwrap();
        fs::set_permissions(root.join("a/closed/k"), fs::Permissions::from_mode(0o604)).unwrap();
        symlink("a/closed", root.join("data")).unwrap();
        symlink(root.join("data/../closed/k"), root.join("k")).unwrap();
        let path = root.join("k");
        let found = files([&path, &root.join("none"), &PathBuf::from("/run/credentials/x/home")]);
        assert_eq!(found.len(), 1, "what is not there has no owner: {found:?}");
        let way: Vec<(&Path, u32)> = found[0].steps.iter().map(|step| (step.path.as_path(), step.mode)).collect();
        let end = (root.join("a/closed"), root.join("a/closed/k"));
        assert_eq!(way[way.len() - 2..], [(end.0.as_path(), 0o710), (end.1.as_path(), 0o604)]);
        assert_eq!(way[0].0, Path::new("/"));
        assert_eq!(found[0].path, path);
    }

    #[test]
    fn the_account_of_a_process_and_of_a_unit() {
        let status =
            "Name:\tx\nUid:\t0\t0\t0\t4000001\nGid:\t0\t0\t0\t4000002\nGroups:\t7 8\nCapEff:\t0000000000000004\n";
        let account = of_process(status).unwrap();
        assert_eq!((account.uid, account.user.as_str(), account.group.as_str()), (4_000_001, "4000001", "4000002"));
        assert_eq!((account.gids, account.reads_all), ([7, 8, 4_000_002].into(), true));
        assert!(!of_process(&status.replace("04\n", "01\n")).unwrap().reads_all);

        let bound = format!("{SHOWN}CapabilityBoundingSet=cap_chown cap_dac_override\n");
        let account = Unit(&bound).account().unwrap();
        assert_eq!((account.uid, account.group.as_str(), account.reads_all), (0, "root", true));
        let homes = ["/home", "/root", "/run/user"].map(|path| (path, "ProtectHome=yes"));
        assert_eq!(account.hidden, homes);
        let less = Unit("LoadState=loaded\nCapabilityBoundingSet=cap_net_raw\nPrivateTmp=yes\n").account().unwrap();
        assert!(!less.reads_all);
        assert_eq!(less.hidden, ["/tmp", "/var/tmp"].map(|path| (path, "PrivateTmp=yes")));
        assert_eq!(Unit("LoadState=not-found\n").account(), None);
    }
}
