//! A point-to-point link as PPP makes one, on kernels that have no PPP: two TUN devices.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use nix::net::if_::if_nametoindex;

use super::daemon::SOON;
use crate::lab::{Process, wait_for};
use crate::netns::{LAN, Namespace, WAN};

/// One end of a point-to-point link: a TUN device, whose packets a process carries as datagrams. The device goes with
/// the process.
pub(crate) struct End {
    _process: Process,
}

impl End {
    /// Makes the device `name` with this link-local address, and brings it up.
    pub(crate) fn up(namespace: &Namespace, name: &str, address: &str, relay: &Relay) -> Result<Self> {
        let own = relay.directory.join(format!("{name}.end"));
        if own.exists() {
            fs::remove_file(&own)?;
        }
        let to = relay.directory.join(name);
        let mut command = namespace.command("socat");
        command.args(["-b", "65535", &format!("TUN,tun-name={name},tun-type=tun,iff-no-pi")]);
        command.arg(format!("UNIX-SENDTO:{},bind={}", to.display(), own.display()));
        let mut process = Process::spawn("socat", &mut command, &relay.directory.join(format!("{name}.log")))?;
        wait_for(&format!("the device {name}"), SOON, || {
            process.check_alive()?;
            let there = namespace.inside(|| if_nametoindex(name).is_ok());
            Ok((there && own.exists()).then_some(()))
        })?;
        // As IPv6CP does: the two ends agree on their link-local addresses (RFC 5072 §4.1).
        namespace.ip(&format!("link set {name} addrgenmode none"));
        namespace.ip(&format!("addr add {address}/64 dev {name} nodad"));
        namespace.ip(&format!("link set {name} up"));
        Ok(Self { _process: process })
    }
}

/// Carries packets between two ends, whether they are there or not.
pub(crate) struct Relay {
    directory: PathBuf,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Relay {
    /// Begins, with its sockets in this directory.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let [wan, lan] = [WAN, LAN].map(|name| UnixDatagram::bind(directory.join(name)));
        let (wan, lan) = (wan?, lan?);
        let mut threads = Vec::new();
        // An end only listens to the socket that it sends to.
        for (from, by, to) in [(wan.try_clone()?, lan.try_clone()?, LAN), (lan, wan, WAN)] {
            from.set_read_timeout(Some(Duration::from_millis(100)))?;
            let (to, over) = (directory.join(format!("{to}.end")), Arc::clone(&over));
            threads.push(std::thread::spawn(move || {
                let mut packet = [0; 65_536];
                while !over.load(Ordering::Relaxed) {
                    let Ok(length) = from.recv(&mut packet) else { continue };
                    // A packet to somebody who is not there is lost, as on every link.
                    drop(by.send_to(&packet[..length], &to));
                }
            }));
        }
        Ok(Self { directory: directory.to_owned(), over, threads })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic of it was seen as packets that never came.
            drop(thread.join());
        }
    }
}
