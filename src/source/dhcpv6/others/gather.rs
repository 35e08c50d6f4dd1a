//! Reads the facts from the files of this host. Everything here works without privileges; what cannot be read is left
//! out.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::network_manager::{self, Device};
use super::networkd::{self, Network};
use super::{Facts, Process};
use crate::source::dhcpv6::owner::{self, Owner};
use crate::source::dhcpv6::socket::CLIENT_PORT;

/// Where NetworkManager keeps connection profiles.
const PROFILES: [&str; 3] = [
    "run/NetworkManager/system-connections",
    "etc/NetworkManager/system-connections",
    "usr/lib/NetworkManager/system-connections",
];

/// What is known about an interface. `root` is `/`.
pub fn gather(interface: &str, ifindex: u32, root: &Path) -> Facts {
    let managed = is_the_hosts_own_namespace(root);
    Facts {
        interface: interface.to_owned(),
        interfaces: names(&root.join("proc/thread-self/net/dev_snmp6")).collect(),
        networkd: if managed { network(root, ifindex) } else { None },
        network_manager: if managed { device(root, ifindex) } else { None },
        processes: processes(root),
        dhcpcd_conf: fs::read_to_string(root.join("etc/dhcpcd.conf")).ok(),
        owners: owners(ifindex, root),
    }
}

/// Who holds the port of the client in a way that is in ours.
pub(in crate::source::dhcpv6) fn owners(ifindex: u32, root: &Path) -> Vec<Owner> {
    let holders = owner::holders(CLIENT_PORT).unwrap_or_else(|error| {
        tracing::debug!(%error, "Cannot ask the kernel who holds UDP port 546.");
        Vec::new()
    });
    let in_the_way = holders.iter().filter(|holder| holder.is_in_the_way(ifindex));
    in_the_way.map(|holder| owner::identify(holder, root)).collect()
}

/// systemd-networkd and NetworkManager of this host manage the interfaces of process 1's network namespace; their files
/// go by interface index, which means another interface in every namespace.
pub fn is_the_hosts_own_namespace(root: &Path) -> bool {
    let first = namespace(&root.join("proc/1"));
    first.is_none() || first == namespace(&root.join("proc/thread-self"))
}

/// Something that tells one network namespace of a process from another. The link /proc/PID/ns/net would, too, but only
/// the privileged may read those of others; the inode numbers below /proc/PID/net are everybody's to see.
fn namespace(process: &Path) -> Option<u64> {
    fs::metadata(process.join("net/dev")).ok().map(|file| file.ino())
}

fn network(root: &Path, ifindex: u32) -> Option<Network> {
    let text = fs::read_to_string(root.join(format!("run/systemd/netif/links/{ifindex}"))).ok()?;
    let (admin_state, paths) = networkd::parse_link(&text);
    let read = |path: String| {
        let text = fs::read_to_string(root.join(path.trim_start_matches('/'))).ok();
        (path, text)
    };
    Some(Network { admin_state, files: paths.into_iter().map(read).collect() })
}

fn device(root: &Path, ifindex: u32) -> Option<Device> {
    let text = fs::read_to_string(root.join(format!("run/NetworkManager/devices/{ifindex}"))).ok()?;
    let device = network_manager::parse_device(&text);
    let ipv6_method = device.connection.as_deref().and_then(|uuid| {
        let profiles = PROFILES.iter().flat_map(|directory| files(&root.join(directory)));
        profiles
            .filter_map(|path| fs::read_to_string(path).ok())
            .find_map(|profile| network_manager::parse_method(&profile, uuid))
    });
    Some(Device { ipv6_method, ..device })
}

/// The running DHCPv6 clients in this network namespace.
fn processes(root: &Path) -> Vec<Process> {
    let proc = root.join("proc");
    let own = namespace(&proc.join("thread-self"));
    let read = |pid: u32| {
        let directory = proc.join(pid.to_string());
        let line = fs::read(directory.join("cmdline")).ok()?;
        let arguments = line.split(|octet| *octet == 0).filter(|argument| !argument.is_empty());
        let arguments = arguments.map(|argument| String::from_utf8_lossy(argument).into_owned()).collect();
        let process = Process { pid, arguments };
        process.program()?;
        // One whose namespace cannot be told has just ended, or is hidden from us.
        (own.is_none() || namespace(&directory) == own).then_some(process)
    };
    names(&proc).filter_map(|name| name.parse().ok()).filter_map(read).collect()
}

fn names(directory: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

fn files(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}
