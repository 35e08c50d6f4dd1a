//! A point-to-point interface without a MAC address, as PPP makes them. A kernel without PPP has TUN devices: socat holds
//! one and passes its packets on to a socket of the test.

use std::net::Ipv6Addr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Stdio};

use dyn_prefix::source::SourceState;

use super::lab::{Probe, SOLICIT, SOON, memory, on_host, settings};
use crate::Test;
use crate::support::{Namespace, WAN};

pub(super) const TESTS: &[Test] =
    &[("t169_a_tun_device_that_is_made_anew_keeps_the_identity", a_tun_device_that_is_made_anew)];

/// A TUN device that is up as long as the value lives.
struct Tun {
    socat: Child,
    packets: UnixDatagram,
}

impl Tun {
    fn start(host: &Namespace, directory: &Path, number: u32) -> Self {
        let (ours, theirs) = (directory.join(format!("test{number}")), directory.join(format!("socat{number}")));
        let packets = UnixDatagram::bind(&ours).expect("a socket");
        packets.set_nonblocking(true).expect("O_NONBLOCK");
        let socat = host
            .command("socat")
            .arg(format!("TUN,tun-name={WAN},iff-no-pi,iff-up"))
            .arg(format!("UNIX-SENDTO:{},bind={}", ours.display(), theirs.display()))
            .stdin(Stdio::null())
            .spawn()
            .expect("socat");
        Self { socat, packets }
    }

    /// The next DHCPv6 message: an IPv6 packet with UDP to port 547, whose source and payload this is.
    async fn next(&self) -> (Ipv6Addr, Vec<u8>) {
        let packets = tokio::net::UnixDatagram::from_std(self.packets.try_clone().expect("a descriptor"));
        let packets = packets.expect("a runtime");
        let mut packet = [0; 2048];
        loop {
            let received = tokio::time::timeout(SOON, packets.recv(&mut packet)).await;
            let length = received.expect("the client sends something").expect("a packet");
            // RFC 8200 §3: next header at 6, source at 8, destination at 24; RFC 768: the ports.
            if length > 48 && packet[6] == 17 && packet[40..44] == [0x02, 0x22, 0x02, 0x23] {
                assert_eq!(packet[7], 1, "the hop limit");
                assert_eq!(packet[24..40], Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2).octets());
                let source: [u8; 16] = packet[8..24].try_into().expect("16 octets");
                return (source.into(), packet[48..length].to_vec());
            }
        }
    }
}

impl Drop for Tun {
    fn drop(&mut self) {
        drop(self.socat.kill());
        drop(self.socat.wait());
    }
}

fn a_tun_device_that_is_made_anew() {
    let host = Namespace::new("host");
    let directory = tempfile::tempdir().expect("a directory");
    on_host(&host, async || {
        let mut probe = Probe::start(settings(), memory(), None);
        probe.until("nothing is there", |report| report.state == SourceState::InterfaceAbsent).await;
        let tun = Tun::start(&host, directory.path(), 1);
        let (source, first) = tun.next().await;
        assert!(source.is_unicast_link_local());
        let before = nix::net::if_::if_nametoindex(WAN).expect("the interface exists");
        drop(tun);
        probe.until("it is gone", |report| report.state == SourceState::InterfaceAbsent).await;
        host.ip("link add between type veth peer name beyond");
        let tun = Tun::start(&host, directory.path(), 2);
        let (_, second) = tun.next().await;
        assert_ne!(nix::net::if_::if_nametoindex(WAN).expect("the interface exists"), before);
        assert_eq!((first[0], second[0]), (SOLICIT, SOLICIT));
        // Option 1 with the DUID, and option 25 with the IAID.
        let duid = [&[0, 1, 0, 18, 0, 4][..], &[7; 16]].concat();
        let iaid = [0, 25, 0, 12, 1, 2, 3, 4];
        for message in [&first, &second] {
            assert!(message.windows(duid.len()).any(|part| part == duid), "{message:?}");
            assert!(message.windows(iaid.len()).any(|part| part == iaid), "{message:?}");
        }
    });
}
