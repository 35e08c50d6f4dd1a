//! Reads the lease files of other clients, when there is reason to.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;

use super::filed::{Filed, Written, dhclient, dhcpcd};
use crate::clock;
use crate::log::{self, record};

/// Where dhcpcd keeps the last Reply.
const DHCPCD: [&str; 2] = ["var/lib/dhcpcd/IF.lease6", "var/db/dhcpcd/IF.lease6"];
/// Where ISC dhclient keeps its leases: with ifupdown, by itself, on Fedora and its kin.
const DHCLIENT: [&str; 3] =
    ["var/lib/dhcp/dhclient6.IF.leases", "var/lib/dhcp/dhclient6.leases", "var/lib/dhclient/dhclient6.leases"];
/// As much as is read of a file, its end. dhclient begins a new one now and then.
const MOST: u64 = 1 << 20;

/// What tells that a file is another one: its inode, its size, its time to the nanosecond.
pub(super) type Version = (u64, u64, i64, i64);

/// Who writes a file of leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// dhcpcd
    Dhcpcd,
    /// ISC dhclient
    Dhclient,
}

impl Program {
    /// Its name, which is that of the script in `examples/hooks`, too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dhcpcd => "dhcpcd",
            Self::Dhclient => "dhclient",
        }
    }

    /// Where it looks for a hook.
    pub const fn hook(self) -> &'static str {
        match self {
            Self::Dhcpcd => "/etc/dhcpcd.exit-hook",
            Self::Dhclient => "/etc/dhcp/dhclient-exit-hooks.d/dyn-prefix",
        }
    }
}

/// Where the clients on an interface keep their leases, below `root`, which is `/`.
pub fn lease_files(root: &Path, interface: &str) -> Vec<(Program, PathBuf)> {
    let dhcpcd = DHCPCD.iter().map(|path| (Program::Dhcpcd, path));
    let all = dhcpcd.chain(DHCLIENT.iter().map(|path| (Program::Dhclient, path)));
    // Where there is such a name, it is no file of an interface.
    let all = all.filter(|_| !interface.contains('/'));
    all.map(|(program, path)| (program, root.join(path.replace("IF", interface)))).collect()
}

/// The files of the clients on one interface.
#[derive(Debug)]
pub(super) struct Files {
    interface: String,
    all: Vec<Known>,
}

/// One of them.
#[derive(Clone, Debug)]
struct Known {
    path: PathBuf,
    program: Program,
    /// What it was when it was read last.
    version: Option<Version>,
    /// Why it cannot be read, once that was told.
    refused: Option<io::ErrorKind>,
}

impl Files {
    pub(super) fn new(root: &Path, interface: &str) -> Self {
        let new = |(program, path)| Known { path, program, version: None, refused: None };
        Self { interface: interface.to_owned(), all: lease_files(root, interface).into_iter().map(new).collect() }
    }

    /// What the file with the newest lease says, if any of them has changed. One that cannot be read is none: they are of
    /// use where they are there. It is told once.
    pub(super) async fn read(&mut self) -> Option<Vec<Filed>> {
        let (interface, all) = (self.interface.clone(), self.all.clone());
        let reading = tokio::task::spawn_blocking(move || read(&interface, all));
        let Read { all, filed, refused } = reading.await.ok()?;
        self.all = all;
        for (program, path, error) in refused {
            log::emit(&record::lease_file(&self.interface, program.name(), &path, &error));
        }
        filed
    }
}

/// What came of a look.
#[derive(Debug)]
struct Read {
    all: Vec<Known>,
    filed: Option<Vec<Filed>>,
    /// What cannot be read, and was not told yet.
    refused: Vec<Refused>,
}

type Refused = (Program, PathBuf, io::Error);

fn read(interface: &str, mut all: Vec<Known>) -> Read {
    let (mut changed, mut refused) = (false, Vec::new());
    for known in &mut all {
        let version = version(&known.path).unwrap_or_else(|error| {
            refused.extend(known.refuse(error));
            None
        });
        changed |= version.is_some() && version != known.version;
        known.version = version;
    }
    // There is reason to ask with every change of any link of the host.
    let filed = changed.then(|| newest(interface, &mut all, &mut refused)).flatten();
    Read { all, filed, refused }
}

/// Of a file that is there. Most of them are of programs that are not.
///
/// # Errors
/// When nobody can tell whether it is.
pub(super) fn version(path: &Path) -> io::Result<Option<Version>> {
    match std::fs::metadata(path) {
        Ok(file) => {
            let version = || (file.ino(), file.size(), file.mtime(), file.mtime_nsec());
            Ok(file.is_file().then(version))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn newest(interface: &str, all: &mut [Known], refused: &mut Vec<Refused>) -> Option<Vec<Filed>> {
    let mut newest: Option<Vec<Filed>> = None;
    for known in all {
        let Some((_, _, modified, _)) = known.version else { continue };
        let octets = match content(&known.path) {
            Ok(octets) => octets,
            Err(error) => {
                refused.extend(known.refuse(error));
                // Its mode may be another one the next time.
                known.version = None;
                continue;
            }
        };
        known.refused = None;
        let written = match known.program {
            Program::Dhcpcd => dhcpcd::parse(&octets),
            Program::Dhclient => dhclient::parse(&String::from_utf8_lossy(&octets), interface),
        };
        let filed = aged(written, modified);
        let youngest = |filed: &[Filed]| filed.iter().map(|filed| filed.age).min();
        if youngest(&filed).is_some_and(|age| newest.as_deref().and_then(youngest).is_none_or(|known| age < known)) {
            newest = Some(filed);
        }
    }
    newest
}

impl Known {
    /// It cannot be read: what is to be told of it, unless that was.
    fn refuse(&mut self, error: io::Error) -> Option<Refused> {
        let is_known = self.refused.replace(error.kind()) == Some(error.kind());
        (!is_known).then(|| (self.program, self.path.clone(), error))
    }
}

fn aged(written: Vec<Written>, modified: i64) -> Vec<Filed> {
    let wall = clock::epoch().wall_now().as_second();
    written.into_iter().filter_map(|written| written.aged(modified, wall)).collect()
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    // Whatever stands there, opening it must not wait.
    let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    // dhclient adds to the end.
    let before = file.metadata()?.size().saturating_sub(MOST);
    file.seek(SeekFrom::Start(before))?;
    let mut octets = Vec::new();
    file.take(MOST).read_to_end(&mut octets)?;
    if before > 0 {
        let line = octets.iter().position(|octet| *octet == b'\n').map_or(octets.len(), |end| end + 1);
        octets.drain(..line);
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// Reads what is there for `wan`, if it has changed; by itself, without a runtime.
    fn look(files: &mut Files) -> Option<Vec<String>> {
        let Read { all, filed, refused } = read("wan", files.all.clone());
        assert!(refused.is_empty(), "{refused:?}");
        files.all = all;
        filed.map(|filed| filed.iter().map(|filed| filed.prefix.to_string()).collect())
    }

    fn lease(prefix: &str) -> String {
        format!(
            "lease6 {{\n  interface \"wan\";\n  ia-pd \"a{{\" {{\n    iaprefix {prefix} {{\n      starts 1700000000;\n      \
             preferred-life 4294967295;\n      max-life 4294967295;\n    }}\n  }}\n}}\n"
        )
    }

    #[test]
    fn the_end_of_a_long_file_counts_and_only_what_has_changed_is_read() {
        let root = tempfile::tempdir().unwrap();
        let mut files = Files::new(root.path(), "wan");
        assert_eq!(look(&mut files), None, "there is none");
        let path = root.path().join("var/lib/dhcp/dhclient6.leases");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut text = String::new();
        while text.len() <= 2 * usize::try_from(MOST).unwrap() {
            // Leases of different lengths, so that the cut lies anywhere.
            write!(text, "{}", lease(&format!("2001:db8:{:x}::/56", text.len() % 0xffff))).unwrap();
        }
        text += &lease("2001:db8:a::/56");
        std::fs::write(&path, &text).unwrap();
        assert_eq!(look(&mut files), Some(vec!["2001:db8:a::/56".to_owned()]));
        assert_eq!(look(&mut files), None);
        for cut in (0..200).step_by(9) {
            std::fs::write(&path, &text[cut..]).unwrap();
            assert_eq!(look(&mut files), Some(vec!["2001:db8:a::/56".to_owned()]), "{cut}");
        }
    }

    #[test]
    fn what_could_not_be_read_is_read_the_next_time() {
        let files = Files::new(Path::new("/nowhere"), "wan");
        let mut all = files.all;
        // Whoever runs the tests may read everything that is there.
        all.iter_mut().for_each(|known| known.version = Some((1, 1, 1, 1)));
        assert_eq!(newest("wan", &mut all, &mut Vec::new()), None);
        assert!(all.iter().all(|known| known.version.is_none()), "{all:?}");
    }

    /// What cannot be read is told when that begins, and again when it could be read in between.
    #[test]
    fn a_file_that_cannot_be_read_is_told_once() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("var/lib/dhcpcd/wan.lease6");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Whoever runs the tests may read everything that has permissions: so it is a link to itself.
        let refuse = || std::os::unix::fs::symlink(&path, &path).unwrap();
        let permit = |text: &str| {
            drop(std::fs::remove_file(&path));
            std::fs::write(&path, text).unwrap();
        };
        let mut files = Files::new(root.path(), "wan");
        let mut told = || {
            let Read { all, refused, .. } = read("wan", files.all.clone());
            files.all = all;
            let one = |(_, path, error): Refused| (path, error.raw_os_error());
            refused.into_iter().map(one).collect::<Vec<_>>()
        };
        assert_eq!(told(), [], "it is not there");
        let expected = [(path.clone(), Some(libc::ELOOP))];
        refuse();
        assert_eq!(told(), expected);
        assert_eq!(told(), []);
        permit("x");
        assert_eq!(told(), []);
        std::fs::remove_file(&path).unwrap();
        refuse();
        assert_eq!(told(), expected);
    }
}
