//! Reads the lease files of other clients, when there is reason to.

use std::fs::File;
use std::io::{self, Read as _};
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
/// As much as is read of a file. dhclient begins a new one now and then.
const MOST: u64 = 1 << 20;

/// What tells that a file is another one: its inode, its size, its time to the nanosecond.
type Version = (u64, u64, i64, i64);

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
    let mut newest: Option<Vec<Filed>> = None;
    for (path, kind, known) in &mut all {
        let version = std::fs::metadata(&*path)
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|file| (file.ino(), file.size(), file.mtime(), file.mtime_nsec()));
        changed |= version.is_some() && version != *known;
        *known = version;
        let Some((_, _, modified, _)) = version else { continue };
        let octets = match content(path) {
            Ok(octets) => octets,
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "Cannot read what a DHCPv6 client has written down.");
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
    (all, newest.filter(|_| changed))
}

fn aged(written: Vec<Written>, modified: i64) -> Vec<Filed> {
    let wall = clock::epoch().wall_now().as_second();
    written.into_iter().filter_map(|written| written.aged(modified, wall)).collect()
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    // Whatever stands there, opening it must not wait.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut octets = Vec::new();
    file.take(MOST).read_to_end(&mut octets)?;
    Ok(octets)
}
