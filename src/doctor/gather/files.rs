//! Who the daemon is, and whose the files are that it reads.

use std::collections::VecDeque;
use std::ffi::{CString, OsString};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use nix::unistd::{Gid, Group, Uid, User};

use super::host::{Daemon, Printed, run};
use crate::config::Config;
use crate::config::file::open_regular;
use crate::doctor::actions::Flaw;
use crate::doctor::reading::{Account, File, Purpose, Step};
use crate::doctor::{Check, actions, lease};
use crate::source::observe::lease_files;

/// `linux/capability.h`
const DAC_OVERRIDE: u8 = 1;
const DAC_READ_SEARCH: u8 = 2;

/// What the kernel follows at most.
const LINKS: usize = 40;

/// Who the daemon is, else who it would be by its unit; `None`: there is neither.
pub(super) async fn account(daemon: &Daemon) -> Option<Account> {
    let keys = "LoadState,User,Group,SupplementaryGroups,AmbientCapabilities,CapabilityBoundingSet,ProtectHome,\
                PrivateTmp,ProtectSystem,ReadWritePaths,ReadOnlyPaths,RuntimeDirectory,StateDirectory,MainPID";
    let shown = match run("systemctl", &["show", "dyn-prefix.service", &format!("--property={keys}")]).await {
        Printed::Text(text) => text,
        Printed::NotInstalled | Printed::Failed(_) => String::new(),
    };
    let unit = Unit(&shown);
    let Some(process) = daemon.process else { return unit.account() };
    let mut account = of_process(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)?;
    if unit.value("MainPID") == process.to_string() {
        account.hidden = unit.hidden();
        (account.sealed, account.writable) = (unit.sealed(), unit.writable());
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

    fn has(&self, key: &str, capabilities: &[&str]) -> bool {
        let words = self.value(key).to_lowercase();
        words.split_whitespace().any(|word| capabilities.contains(&word))
    }

    /// A list of paths, without what says how they are meant.
    fn paths(&self, key: &str) -> impl Iterator<Item = PathBuf> + 'a {
        self.value(key).split_whitespace().map(|path| PathBuf::from(path.trim_start_matches(['-', '+'])))
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
        let capabilities = if user.uid.is_root() { "CapabilityBoundingSet" } else { "AmbientCapabilities" };
        Some(Account {
            group: group_name(group.as_raw()),
            uid: user.uid.as_raw(),
            gids: others.into_iter().chain(more).chain([group]).map(Gid::as_raw).collect(),
            reads_all: self.has(capabilities, &["cap_dac_override", "cap_dac_read_search"]),
            writes_all: self.has(capabilities, &["cap_dac_override"]),
            user: user.name,
            hidden: self.hidden(),
            sealed: self.sealed(),
            writable: self.writable(),
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

    /// systemd.exec(5), ProtectSystem= and ReadOnlyPaths=
    fn sealed(&self) -> Vec<(PathBuf, String)> {
        let level = self.value("ProtectSystem");
        let directories: &[&str] = match level {
            "strict" => &["/"],
            "full" => &["/usr", "/boot", "/efi", "/etc"],
            "yes" | "true" => &["/usr", "/boot", "/efi"],
            _ => &[],
        };
        let system = directories.iter().map(|path| (PathBuf::from(path), format!("ProtectSystem={level}")));
        let named = self.paths("ReadOnlyPaths").map(|path| (path.clone(), format!("ReadOnlyPaths={}", path.display())));
        system.chain(named).collect()
    }

    fn writable(&self) -> Vec<PathBuf> {
        let own = |key, parent: &'static str| self.paths(key).map(move |name| Path::new(parent).join(name));
        let free = ["/dev", "/proc", "/sys"].map(PathBuf::from);
        let own = own("RuntimeDirectory", "/run").chain(own("StateDirectory", "/var/lib"));
        self.paths("ReadWritePaths").chain(own).chain(free).collect()
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
        writes_all: capabilities & 1 << DAC_OVERRIDE != 0,
        ..Account::default()
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
    paths.filter_map(|path| Some(File { path: path.clone(), purpose: Purpose::Read, steps: steps(path)? })).collect()
}

/// When a file got the content that it has.
pub(super) fn changed(path: &Path) -> Option<Timestamp> {
    Timestamp::try_from(fs::metadata(path).ok()?.modified().ok()?).ok()
}

/// The files in which a DHCPv6 client on the interface keeps its leases.
pub(super) fn leases(interface: &str, root: &Path, account: Option<Account>, client: Option<String>) -> lease::Facts {
    let all = lease_files(root, interface);
    let there = all.into_iter().filter_map(|(program, path)| Some((program, files([&path]).pop()?)));
    lease::Facts { interface: interface.to_owned(), account, client, files: there.collect() }
}

/// What is run and written on this host.
pub(super) fn actions(config: &Config, account: Option<Account>) -> actions::Facts {
    let hooks = config.hooks.iter().map(|hook| command(Check::Hook, format!("the hook {}", hook.name), &hook.command));
    let reloads = config.files.iter().filter_map(|file| {
        Some(command(Check::File, format!("the file {}", file.path.display()), file.reload.as_ref()?))
    });
    let files = config.files.iter().map(|file| actions::Target {
        path: file.path.clone(),
        file: file.path.parent().and_then(steps).map(|steps| File {
            path: file.path.clone(),
            purpose: Purpose::Replace,
            steps,
        }),
        template: files(&file.template_path).pop(),
    });
    actions::Facts { account, commands: hooks.chain(reloads).collect(), files: files.collect() }
}

fn command(check: Check, of: String, words: &[String]) -> actions::Command {
    let program = words.first().map(PathBuf::from).unwrap_or_default();
    let mut start = Vec::new();
    // What may not be read may be run, and is no script.
    drop(open_regular(&program).and_then(|file| file.take(START).read_to_end(&mut start)));
    let purpose = Purpose::Run { is_script: start.starts_with(b"#!") };
    let file = steps(&program).map(|steps| File { path: program.clone(), purpose, steps });
    let flaw = if program.is_dir() { Some(Flaw::Directory) } else { flaw(&start) };
    actions::Command { check, of, program, file, flaw }
}

/// As much of a program as the kernel reads for its first line (BINPRM_BUF_SIZE).
const START: u64 = 256;

/// What is wrong with a program that begins so.
fn flaw(start: &[u8]) -> Option<Flaw> {
    let Some(line) = start.strip_prefix(b"#!") else {
        let is_text =
            !start.is_empty() && start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        return is_text.then_some(Flaw::NoInterpreter);
    };
    let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    // As the kernel sees it: of a file with the line ends of DOS, the carriage return is of the name.
    let interpreter = PathBuf::from(line.trim_start_matches([' ', '\t']).split([' ', '\t']).next()?);
    (!interpreter.try_exists().unwrap_or(true)).then_some(Flaw::Interpreter(interpreter))
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

    /// The settings of the unit as it is shipped, with a drop-in.
    #[test]
    fn where_a_unit_lets_one_write() {
        let shown = "ProtectSystem=strict\nReadWritePaths=-/etc/nft.d /srv/x\nReadOnlyPaths=/srv/x/y\n\
                     RuntimeDirectory=dyn-prefix\nStateDirectory=dyn-prefix\n";
        let unit = Unit(shown);
        let sealed = [("/", "ProtectSystem=strict"), ("/srv/x/y", "ReadOnlyPaths=/srv/x/y")];
        assert_eq!(unit.sealed(), sealed.map(|(path, setting)| (PathBuf::from(path), setting.to_owned())));
        let writable: Vec<PathBuf> = unit.writable();
        let expected = ["/etc/nft.d", "/srv/x", "/run/dyn-prefix", "/var/lib/dyn-prefix", "/dev", "/proc", "/sys"];
        assert_eq!(writable, expected.map(PathBuf::from));
        let places: Vec<PathBuf> = Unit("ProtectSystem=full\n").sealed().into_iter().map(|(path, _)| path).collect();
        assert_eq!(places, ["/usr", "/boot", "/efi", "/etc"].map(PathBuf::from));
        assert_eq!(Unit("ProtectSystem=no\n").sealed(), []);
    }

    fn place(path: &Path) -> String {
        path.display().to_string()
    }

    #[test]
    fn what_is_run_and_written_is_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let put = |name: &str, text: &str, mode: u32| {
            fs::write(root.join(name), text).unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        put("hook", "#!/bin/sh\n", 0o755);
        put("program", "\x7fELF", 0o700);
        for (start, expected) in [
            ("#!/bin/sh -e\n", None),
            ("#! /bin/sh", None),
            ("\x7fELF\u{2}", None),
            ("", None),
            ("#!/nonexistent/sh -e\n", Some(Flaw::Interpreter("/nonexistent/sh".into()))),
            ("echo\n", Some(Flaw::NoInterpreter)),
        ] {
            assert_eq!(flaw(start.as_bytes()), expected, "{start:?}");
        }
        assert_eq!(command(Check::Hook, String::new(), &[place(&root)]).flaw, Some(Flaw::Directory));
        put("set.in", "nothing in it\n", 0o600);
        let place = place(&root);
        let text = format!(
            "[[dynamicPrefix]]\nname = \"home\"\nacquisition.static.prefix = \"2001:db8::/56\"\n\
             [[hook]]\nname = \"router\"\ncommand = [\"{place}/hook\", \"x\"]\n\
             [[file]]\npath = \"{place}/set\"\ntemplate = \"{place}/set.in\"\nreload = [\"{place}/program\"]\n\
             [[file]]\npath = \"{place}/none/set\"\ntext = \"x\"\n"
        );
        let config = Config::parse_here(&text, Path::new("f.toml")).config.unwrap();
        let facts = actions(&config, None);
        let [hook, reload] = facts.commands.as_slice() else { panic!("{facts:?}") };
        assert_eq!((hook.check, hook.of.as_str()), (Check::Hook, "the hook router"));
        assert_eq!((reload.check, reload.of.clone()), (Check::File, format!("the file {place}/set")));
        let seen = |command: &actions::Command| {
            let file = command.file.as_ref().unwrap();
            (file.purpose, file.steps.last().unwrap().mode)
        };
        assert_eq!((&hook.flaw, &reload.flaw), (&None, &None));
        assert_eq!(seen(hook), (Purpose::Run { is_script: true }, 0o755));
        assert_eq!(seen(reload), (Purpose::Run { is_script: false }, 0o700));
        let [set, none] = facts.files.as_slice() else { panic!("{facts:?}") };
        let directory = set.file.as_ref().unwrap();
        assert_eq!((directory.purpose, &directory.steps.last().unwrap().path), (Purpose::Replace, &root));
        assert_eq!(set.template.as_ref().unwrap().path, root.join("set.in"));
        assert_eq!((&none.file, &none.template), (&None, &None));
    }
}
