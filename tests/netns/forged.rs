//! Against made-up packets.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dyn_prefix::source::{SourceReport, SourceState};

use rustix::thread::CapabilitySet;

use crate::Test;
use crate::lab::{A, B, advertisement, cut, is, preferred, with_driver};
use crate::support::{Forged, Forger, LAN, Pair, ROUTER, Solicitations, WAN};

pub(crate) const TESTS: &[Test] = &[
    ("malformed_advertisements_are_not_heard_t118_to_t123_t139", malformed),
    ("unknown_options_are_skipped_t174", unknown_options),
    ("a_flood_changes_nothing_t138", flood),
    ("packets_of_other_interfaces_are_not_heard_t174", other_interfaces),
    ("a_prefix_is_heard_at_once_and_refreshed", heard_at_once),
    ("a_missing_capability_is_told_and_survived", missing_capability),
    ("silence_after_three_solicitations_t135", silence),
];

const BAD: &str = "2001:db8:bad::/64";

fn bad() -> Forged {
    Forged::proper(advertisement(&[(BAD, 1200, 3000)]))
}

/// An advertisement whose one option has length 0.
fn option_of_length_0() -> Vec<u8> {
    let mut message = advertisement(&[(BAD, 1200, 3000)]);
    message.extend([200, 0, 0, 0, 0, 0, 0, 0]);
    message
}

fn with_code_1() -> Vec<u8> {
    let mut message = advertisement(&[(BAD, 1200, 3000)]);
    message[1] = 1;
    message
}

fn is_bad(report: &SourceReport) -> bool {
    let bad = BAD.parse().expect("a prefix");
    report.offers.iter().any(|offer| offer.prefix == bad)
}

fn malformed() {
    let global = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    let table = [
        ("T-118 global source", Forged { source: global, ..bad() }),
        ("T-119 hop limit 254", Forged { hop_limit: 254, ..bad() }),
        ("T-120 bad checksum", Forged { bad_checksum: true, ..bad() }),
        ("T-121 code 1", Forged { message: with_code_1(), ..bad() }),
        ("T-122 8 octets", Forged { message: advertisement(&[])[..8].to_vec(), ..bad() }),
        ("T-123 option length 0", Forged { message: option_of_length_0(), ..bad() }),
        ("T-139 two fragments", Forged { fragments: Some(2), ..bad() }),
        ("T-139 one fragment", Forged { fragments: Some(1), ..bad() }),
    ];
    let pair = Pair::joined();
    with_driver(&pair, async |probe| {
        probe.until("soliciting", |report| is(report, &SourceState::Soliciting)).await;
        let forger = Forger::new(&pair.router, LAN);
        for (number, (what, forged)) in table.into_iter().enumerate() {
            forger.send(&forged);
            // Packets keep their order: once this one is heard, the one before it was dropped.
            let sentinel = format!("2001:db8:{number:x}::/64");
            forger.send(&Forged::proper(advertisement(&[(&sentinel, 1200, 3000)])));
            probe.until_without(what, is_bad, |report| preferred(report, &sentinel)).await;
        }
        // The counterpart: what the malformed ones differ in is what makes them bad.
        forger.send(&bad());
        probe.until("a proper one", is_bad).await;
    });
}

fn unknown_options() {
    let pair = Pair::joined();
    with_driver(&pair, async |probe| {
        probe.until("soliciting", |report| is(report, &SourceState::Soliciting)).await;
        let mut message = advertisement(&[]);
        message.extend([200, 1, 1, 2, 3, 4, 5, 6]);
        message.extend(&advertisement(&[(A, 1200, 3000)])[16..]);
        message.extend([253, 2]);
        message.extend([0xff; 14]);
        Forger::new(&pair.router, LAN).send(&Forged::proper(message));
        probe.until("the prefix between unknown options", |report| preferred(report, A)).await;
    });
}

fn flood() {
    let pair = Pair::joined();
    with_driver(&pair, async |probe| {
        probe.until("soliciting", |report| is(report, &SourceState::Soliciting)).await;
        let forger = Forger::new(&pair.router, LAN);
        forger.send(&Forged::proper(advertisement(&[(A, 1200, 3000)])));
        probe.until("the established prefix", |report| preferred(report, A)).await;
        for number in 0..5000_u16 {
            // Not more sources: the neighbour table of the kernel, shared by all namespaces, would overflow.
            let source = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xbad, 0, 0, number % 100);
            let prefix = format!("2001:db8:{number:x}:bad::/64");
            forger.send(&Forged { source, ..Forged::proper(advertisement(&[(&prefix, 1200, 3000)])) });
            // Let the driver have its turn: it shares this thread.
            tokio::task::yield_now().await;
        }
        forger.send(&Forged::proper(advertisement(&[(A, 0, 3000), (B, 1200, 3000)])));
        let report =
            probe.until_without("a change after the flood", exceeds_limits, |report| preferred(report, B)).await;
        assert!(!preferred(&report, A));
    });
}

/// Eight routers of sixteen prefixes are kept, and the established one is among them.
fn exceeds_limits(report: &SourceReport) -> bool {
    let routers: BTreeSet<_> = report.offers.iter().map(|offer| offer.router).collect();
    routers.len() > 8 || report.offers.len() > 8 * 16 || !routers.contains(&Some(ROUTER))
}

fn other_interfaces() {
    let pair = Pair::joined();
    // A second interface of the host, on which somebody sends all the time.
    pair.host.ip("link add noisy type veth peer name noise");
    pair.host.ip("link set noisy up");
    pair.host.ip("link set noise up");
    let noise = Forger::new(&pair.host, "noise");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                noise.send(&bad());
            }
        });
        let _stop = StopAtEnd(&stop);
        with_driver(&pair, async |probe| {
            probe.until("soliciting", |report| is(report, &SourceState::Soliciting)).await;
            Forger::new(&pair.router, LAN).send(&Forged::proper(advertisement(&[(A, 1200, 3000)])));
            probe.until_without("the prefix of the right interface", is_bad, |report| preferred(report, A)).await;
        });
    });
}

/// Ends the noise also when the test panics.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn heard_at_once() {
    let pair = Pair::joined();
    with_driver(&pair, async |probe| {
        probe.until("soliciting", |report| is(report, &SourceState::Soliciting)).await;
        let forger = Forger::new(&pair.router, LAN);
        let mut before = None;
        for lifetime in [1200, 1300, 1400] {
            forger.send(&Forged::proper(advertisement(&[(A, lifetime, 3000)])));
            let refreshed = |report: &SourceReport| Some(report) != before.as_ref() && preferred(report, A);
            let report = probe.until("a refresh", refreshed).await;
            assert_eq!(cut(&report, A), None);
            before = Some(report);
        }
    });
}

fn set_cap_net_raw(effective: bool) {
    let mut sets = rustix::thread::capabilities(None).expect("capget");
    sets.effective.set(CapabilitySet::NET_RAW, effective);
    rustix::thread::set_capabilities(None, sets).expect("capset");
}

fn missing_capability() {
    let pair = Pair::joined();
    // The driver runs on this thread, and capabilities belong to threads.
    with_driver(&pair, async |probe| {
        set_cap_net_raw(false);
        let failed = probe.until("failed", |report| matches!(report.state, SourceState::Failed(_))).await;
        assert!(matches!(&failed.state, SourceState::Failed(text) if text.contains("CAP_NET_RAW")), "{failed:?}");
        set_cap_net_raw(true);
        // One that lasts: of a link that goes down and comes up between two looks nothing is seen.
        pair.host.ip(&format!("addr add fe80::77/64 dev {WAN} nodad"));
        probe.until("opened at the next link event", |report| is(report, &SourceState::Soliciting)).await;
        Forger::new(&pair.router, LAN).send(&Forged::proper(advertisement(&[(A, 1200, 3000)])));
        probe.until("the prefix", |report| preferred(report, A)).await;
    });
}

fn silence() {
    let pair = Pair::apart();
    // The kernel solicits on its own account where it takes advertisements itself.
    pair.host.sysctl("net/ipv6/conf/default/accept_ra", "0");
    with_driver(&pair, async |probe| {
        pair.join();
        let solicitations = Solicitations::listen(&pair.router, LAN);
        probe.until("soliciting", |report| is(report, &SourceState::Soliciting)).await;
        let limit = Duration::from_secs(20);
        probe.within(limit, "silent", |report| is(report, &SourceState::Silent)).await;
        let hop_limits = solicitations.hop_limits();
        // The first one may have been sent before we listened.
        assert!(hop_limits == [255; 3] || hop_limits == [255; 2], "{hop_limits:?}");
    });
}
