//! The directory: who leaves, who takes, and what lies there that is no report.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn spool(&self) -> Spool {
        Spool::make(&self.path("control.sock")).unwrap()
    }

    fn leave(&self, report: Report, seconds: i64) -> Left {
        self.spool().leave(report, at(seconds)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn reports(taken_up: &[TakenUp]) -> Vec<Report> {
    taken_up.iter().map(|taken_up| taken_up.entry.as_ref().unwrap().report().clone()).collect()
}

const FILE: &str = "control.sock.report.home.2001:db8:a00::-56";
const Q: &str = "2001:db8:b00::/56";

#[test]
fn what_was_left_is_taken_up_in_its_order_and_stays_until_it_is_removed() {
    let place = Place::new();
    place.leave(report(P, Some(60), Some(120)), 10);
    place.leave(report(Q, None, None), 11);
    let left = place.leave(report(P, None, None), 12);
    assert_eq!((left.path, left.dropped), (place.path(FILE), 0));
    assert_eq!(fs::metadata(place.path(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.spool().count(), 2);
    let spool = place.spool();
    let taken_up = spool.take_up(&[], at(20)).unwrap();
    assert_eq!(reports(&taken_up), [report(Q, None, None), report(P, Some(58), Some(118))]);
    // Whoever looks again meanwhile knows them; a daemon that was killed does not.
    let known: Vec<&str> = taken_up.iter().map(|one| one.file.as_str()).collect();
    assert!(spool.take_up(&known, at(21)).unwrap().is_empty());
    assert_eq!(reports(&place.spool().take_up(&[], at(21)).unwrap()), reports(&taken_up));
    assert_eq!(spool.count(), 2);
    taken_up.iter().for_each(|one| spool.remove(one).unwrap());
    assert!(place.names().is_empty());
    assert!(spool.take_up(&[], at(22)).unwrap().is_empty());
}

/// One that comes while its predecessor is being handled is not removed with that.
#[test]
fn a_later_one_is_not_removed_with_an_earlier_one() {
    let place = Place::new();
    place.leave(report(P, None, None), 10);
    let spool = place.spool();
    let first = spool.take_up(&[], at(20)).unwrap();
    place.leave(gone(P), 21);
    spool.remove(&first[0]).unwrap();
    let second = spool.take_up(&[], at(22)).unwrap();
    assert_eq!(reports(&second), [gone(P)]);
}

#[test]
fn where_there_is_no_room_the_oldest_goes() {
    let place = Place::new();
    let prefix = |number: i64| format!("2001:db8:{number:x}::/48");
    place.leave(report(&prefix(1), None, None), 1);
    // One that has run out goes before an older one.
    place.leave(report(&prefix(2), Some(5), Some(5)), 2);
    for number in 3..=32 {
        assert_eq!(place.leave(report(&prefix(number), None, None), number).dropped, 0, "{number}");
    }
    assert_eq!(place.leave(gone(&prefix(9)), 40).dropped, 0, "it takes the place of its like");
    let held = || {
        let taken = reports(&place.spool().take_up(&["nothing"], at(99)).unwrap());
        taken.into_iter().map(|report| report.prefix.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(place.leave(report(&prefix(33), None, None), 41).dropped, 1);
    assert_eq!(place.leave(report(&prefix(34), None, None), 42).dropped, 1);
    let held = held();
    assert_eq!(held.len(), MOST);
    assert!(!held.contains(&prefix(2)) && !held.contains(&prefix(1)) && held.contains(&prefix(3)), "{held:?}");
    // What a daemon has taken up is nobody's to drop.
    let error = place.spool().leave(report(&prefix(35), None, None), at(43)).unwrap_err();
    assert!(format!("{error:#}").contains("has 32 reports already"), "{error:#}");
}

/// The directory belongs to another user than root, and root writes there.
#[test]
fn nothing_is_written_or_read_through_a_link() {
    let place = Place::new();
    let victim = place.path("victim");
    fs::write(&victim, "mine").unwrap();
    let new = entry::while_written(FILE, std::process::id());
    for link in [FILE, new.as_str()] {
        symlink(&victim, place.path(link)).unwrap();
    }
    place.leave(report(P, Some(60), Some(120)), 10);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    assert!(fs::symlink_metadata(place.path(FILE)).unwrap().is_file());
    assert_eq!(place.names(), [FILE, "victim"]);
    // Nor is the directory one that a link leads to.
    symlink(place.directory.path(), place.path("elsewhere")).unwrap();
    assert!(Spool::make(&place.path("elsewhere/control.sock")).is_err());
    assert!(Spool::open(&place.path("elsewhere/control.sock")).is_err());
}

#[test]
fn what_is_no_report_is_told_and_not_waited_for() {
    let place = Place::new();
    let file = |name: &str| FILE.replace("home", name);
    fs::write(place.path(&file("damaged")), "{").unwrap();
    symlink(place.path("nowhere"), place.path(&file("link"))).unwrap();
    fs::write(place.path(&file("large")), vec![b' '; 100_000]).unwrap();
    fs::write(place.path(&file("open")), said(report(P, None, None), 5).encode().unwrap()).unwrap();
    fs::set_permissions(place.path(&file("open")), fs::Permissions::from_mode(0o622)).unwrap();
    nix::unistd::mkfifo(&place.path(&file("pipe")), nix::sys::stat::Mode::S_IRWXU).unwrap();
    place.leave(report(P, None, None), 10);
    let spool = place.spool();
    let taken_up = spool.take_up(&[], at(20)).unwrap();
    let said: Vec<(&str, &str)> = taken_up
        .iter()
        .filter_map(|one| Some((one.file.split('.').nth(3)?, one.entry.as_ref().err()?.as_str())))
        .collect();
    let why = |name: &str| said.iter().find(|(of, _)| *of == name).unwrap_or_else(|| panic!("{name}: {said:?}")).1;
    assert!(why("damaged").starts_with("it ends in the middle of a line"));
    assert_eq!(why("large"), "it is longer than 4096 bytes");
    assert_eq!(why("open"), "others may write it (mode 622)");
    for name in ["link", "pipe"] {
        assert!(why(name).ends_with("is not a regular file; remove it"), "{}", why(name));
    }
    assert_eq!((said.len(), taken_up.len()), (5, 6));
    taken_up.iter().for_each(|one| spool.remove(one).unwrap());
    assert!(place.names().is_empty());
}

#[test]
fn what_belongs_to_another_user_is_not_believed() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    let left = place.leave(report(P, None, None), 10);
    std::os::unix::fs::chown(&left.path, Some(65534), None).unwrap();
    let taken_up = place.spool().take_up(&[], at(20)).unwrap();
    let why = taken_up[0].entry.as_ref().unwrap_err();
    assert_eq!(why, "it belongs to the user 65534, who may not report anything");
}

/// Root writes, and the daemon's user has to be able to read and to remove.
#[test]
fn what_root_leaves_belongs_to_the_owner_of_the_directory() {
    use std::os::unix::fs::MetadataExt as _;
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let place = Place::new();
    std::os::unix::fs::chown(place.directory.path(), Some(65534), Some(65534)).unwrap();
    place.leave(report(P, Some(60), Some(120)), 10);
    let left = place.leave(report(P, None, None), 20);
    let its = fs::metadata(&left.path).unwrap();
    assert_eq!((its.uid(), its.gid()), (65534, 65534));
    let line = fs::read(&left.path).unwrap();
    assert_eq!(Entry::decode(&line).unwrap().report().valid, Some(110), "its own former one is read");
}

#[test]
fn a_directory_that_is_not_there_is_made_by_who_leaves_something() {
    let place = Place::new();
    let socket = place.path("run/control.sock");
    assert!(Spool::open(&socket).unwrap().is_none());
    Spool::make(&socket).unwrap().leave(report(P, None, None), at(5)).unwrap();
    assert_eq!(fs::metadata(place.path("run")).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(Spool::open(&socket).unwrap().unwrap().count(), 1);
    // Not the one that it is to be in.
    assert!(Spool::make(&place.path("a/b/control.sock")).is_err());
}

/// What is in memory is of this boot; elsewhere it has to be told.
#[test]
fn the_boot_is_told_where_files_outlive_it() {
    let place = Place::new();
    let told = place.spool().boot();
    assert!(told.is_none() || told == identity::boot_id());
    let memory = Spool::make(Path::new("/dev/shm/control.sock")).unwrap();
    assert_eq!(memory.boot(), None);
    let disk = Spool::make(Path::new("/proc/control.sock")).unwrap();
    assert_eq!(disk.boot(), identity::boot_id());
}
