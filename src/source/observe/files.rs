//! Reads the lease files of other clients, when there is reason to.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc;

use super::filed::{Filed, Written, dhclient, dhcpcd};
use crate::clock;

/// Where dhcpcd keeps the last Reply.
const DHCPCD: [&str; 2] = ["var/lib/dhcpcd/IF.lease6", "var/db/dhcpcd/IF.lease6"];
/// Where ISC dhclient keeps its leases: with ifupdown, by itself, on Fedora and its kin.
const DHCLIENT: [&str; 3] =
    ["var/lib/dhcp/dhclient6.IF.leases", "var/lib/dhcp/dhclient6.leases", "var/lib/dhclient/dhclient6.leases"];
/// As much as is read of a file, its end. dhclient begins a new one now and then.
const MOST: u64 = 1 << 20;

/// What tells that a file is another one: its inode, its size, its time to the nanosecond.
pub(super) type Version = (u64, u64, i64, i64);

/// The files of the clients on one interface.
#[derive(Debug)]
pub(super) struct Files {
    interface: String,
    /// With what each was when it was read last.
    all: Vec<(PathBuf, Kind, Option<Version>)>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Dhcpcd,
    Dhclient,
}

impl Files {
    pub(super) fn new(root: &Path, interface: &str) -> Self {
        let dhcpcd = DHCPCD.iter().map(|path| (path, Kind::Dhcpcd));
        let all = dhcpcd.chain(DHCLIENT.iter().map(|path| (path, Kind::Dhclient)));
        // Where there is such a name, it is no file of an interface.
        let all = all.filter(|_| !interface.contains('/'));
        let all = all.map(|(path, kind)| (root.join(path.replace("IF", interface)), kind, None));
        Self { interface: interface.to_owned(), all: all.collect() }
    }

    /// What the file with the newest lease says, if any of them has changed. One that cannot be read is none: they are of
    /// use where they are there.
    pub(super) async fn read(&mut self) -> Option<Vec<Filed>> {
        let (interface, all) = (self.interface.clone(), self.all.clone());
        let reading = tokio::task::spawn_blocking(move || read(&interface, all));
        let (all, filed) = reading.await.ok()?;
        self.all = all;
        filed
    }
}

type Read = (Vec<(PathBuf, Kind, Option<Version>)>, Option<Vec<Filed>>);

fn read(interface: &str, mut all: Vec<(PathBuf, Kind, Option<Version>)>) -> Read {
    let mut changed = false;
    for (path, _, known) in &mut all {
        let version = version(path);
        changed |= version.is_some() && version != *known;
        *known = version;
    }
    // There is reason to ask with every change of any link of the host.
    let newest = changed.then(|| newest(interface, &mut all)).flatten();
    (all, newest)
}

/// Of a file that is there.
pub(super) fn version(path: &Path) -> Option<Version> {
    let file = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

fn newest(interface: &str, all: &mut [(PathBuf, Kind, Option<Version>)]) -> Option<Vec<Filed>> {
    let mut newest: Option<Vec<Filed>> = None;
    for (path, kind, version) in all {
        let Some((_, _, modified, _)) = *version else { continue };
        let octets = match content(path) {
            Ok(octets) => octets,
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "Cannot read what a DHCPv6 client has written down.");
                // It may be readable the next time.
                *version = None;
                continue;
            }
        };
        let written = match kind {
            Kind::Dhcpcd => dhcpcd::parse(&octets),
            Kind::Dhclient => dhclient::parse(&String::from_utf8_lossy(&octets), interface),
        };
        let filed = aged(written, modified);
        let youngest = |filed: &[Filed]| filed.iter().map(|filed| filed.age).min();
        if youngest(&filed).is_some_and(|age| newest.as_deref().and_then(youngest).is_none_or(|known| age < known)) {
            newest = Some(filed);
        }
    }
    newest
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
        let (all, filed) = read("wan", files.all.clone());
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
    fn what_could_not_be_read_is_read_when_it_can() {
        let root = tempfile::tempdir().unwrap();
        let mut files = Files::new(root.path(), "wan");
        let path = root.path().join("var/lib/dhcp/dhclient6.leases");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, lease("2001:db8:a::/56")).unwrap();
        // Whoever may read everything fails at this, too.
        let mut all = files.all.clone();
        for (path, _, version) in &mut all {
            path.push("nothing-below-a-file");
            *version = Some((1, 1, 1, 1));
        }
        assert_eq!(newest("wan", &mut all), None);
        assert!(all.iter().all(|(_, _, version)| version.is_none()), "{all:?}");
        assert_eq!(look(&mut files), Some(vec!["2001:db8:a::/56".to_owned()]));
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
}
