//! Against radvd.

use std::time::Duration;

use dyn_prefix::source::{Cut, SourceState};

use crate::Test;
use crate::lab::{A, B, advertisement, cut, is, preferred, valid, valid_until, with_driver};
use crate::support::{Forged, Forger, LAN, Pair, Radvd, WAN};

pub(crate) const TESTS: &[Test] = &[
    ("radvd_first_prefix", first_prefix),
    ("radvd_two_prefixes", two_prefixes),
    ("radvd_change_with_the_old_one_deprecated_and_listed_first", change_with_old_deprecated_first),
    ("radvd_prefix_vanishes_from_the_configuration", prefix_vanishes),
    ("radvd_stopped_t137", stopped),
    ("radvd_killed_and_restarted_with_only_the_new_prefix", killed_and_restarted),
    ("radvd_corrects_a_forged_zero_lifetime_t138", forged_zero_lifetime),
    ("radvd_link_down_and_up_t135", link_down_and_up),
    ("radvd_interface_deleted_and_recreated", interface_recreated),
    ("radvd_with_accept_ra_0_and_forwarding_t143", kernel_settings),
];

fn prefix(net: &str, preferred: u32, valid: u32) -> String {
    format!("prefix {net} {{ AdvPreferredLifetime {preferred}; AdvValidLifetime {valid}; DeprecatePrefix on; }};")
}

pub(crate) fn live(net: &str) -> String {
    prefix(net, 1200, 3000)
}

fn first_prefix() {
    let pair = Pair::joined();
    let _radvd = Radvd::start(&pair.router, &live(A));
    with_driver(&pair, async |probe| {
        let receiving = |report: &_| is(report, &SourceState::Receiving);
        let report = probe.until("the first prefix", |report| preferred(report, A) && receiving(report)).await;
        assert_eq!(report.offers.len(), 1);
    });
}

fn two_prefixes() {
    let pair = Pair::joined();
    let _radvd = Radvd::start(&pair.router, &(live(A) + &live(B)));
    with_driver(&pair, async |probe| {
        probe.until("both prefixes", |report| preferred(report, A) && preferred(report, B)).await;
    });
}

fn change_with_old_deprecated_first() {
    let pair = Pair::joined();
    let radvd = Radvd::start(&pair.router, &live(A));
    with_driver(&pair, async |probe| {
        probe.until("the old prefix", |report| preferred(report, A)).await;
        radvd.reload(&(prefix(A, 0, 3000) + &live(B)));
        let report = probe.until("the new prefix", |report| preferred(report, B)).await;
        assert_eq!((cut(&report, A), cut(&report, B)), (Some(Cut::Deprecated), None));
        assert!(valid(&report, A));
    });
}

fn prefix_vanishes() {
    let pair = Pair::joined();
    let radvd = Radvd::start(&pair.router, &(live(A) + &live(B)));
    with_driver(&pair, async |probe| {
        probe.until("both prefixes", |report| preferred(report, A) && preferred(report, B)).await;
        radvd.reload(&live(B));
        let report = probe.until("A is no longer preferred", |report| !preferred(report, A)).await;
        assert!(preferred(&report, B) && valid(&report, A), "{report:#?}");
    });
}

fn stopped() {
    let pair = Pair::joined();
    let radvd = Radvd::start(&pair.router, &live(A));
    with_driver(&pair, async |probe| {
        probe.until("the prefix", |report| preferred(report, A)).await;
        radvd.stop();
        let report = probe.until("deprecated", |report| !preferred(report, A)).await;
        assert_eq!(cut(&report, A), Some(Cut::Deprecated));
        assert!(valid(&report, A), "deprecated, not gone");
    });
}

fn killed_and_restarted() {
    let pair = Pair::joined();
    let radvd = Radvd::start(&pair.router, &live(A));
    with_driver(&pair, async |probe| {
        probe.until("the old prefix", |report| preferred(report, A)).await;
        radvd.kill();
        let _radvd = Radvd::start(&pair.router, &live(B));
        let what = "only the new prefix is preferred";
        let replaced =
            probe.within(Duration::from_secs(5), what, |report| preferred(report, B) && !preferred(report, A)).await;
        assert_eq!((cut(&replaced, A), cut(&replaced, B)), (Some(Cut::Unlisted), None));
        assert!(valid(&replaced, A));
    });
}

fn forged_zero_lifetime() {
    let pair = Pair::joined();
    let _radvd = Radvd::start(&pair.router, &live(A));
    with_driver(&pair, async |probe| {
        probe.until("the prefix", |report| preferred(report, A)).await;
        Forger::new(&pair.router, LAN).send(&Forged::proper(advertisement(&[(A, 0, 0)])));
        let gone = |report: &_| !valid(report, A);
        probe.until_without("doubt", gone, |report| cut(report, A) == Some(Cut::Deprecated)).await;
        probe.until_without("corrected by radvd", gone, |report| preferred(report, A)).await;
    });
}

fn link_down_and_up() {
    let pair = Pair::joined();
    let _radvd = Radvd::start(&pair.router, &live(A));
    with_driver(&pair, async |probe| {
        let first = probe.until("the prefix", |report| preferred(report, A)).await;
        pair.router.ip(&format!("link set {LAN} down"));
        let down = probe.until("link down", |report| is(report, &SourceState::LinkDown)).await;
        assert!(preferred(&down, A), "what was announced stays announced");
        pair.router.ip(&format!("link set {LAN} up"));
        probe.until("asked again", |report| is(report, &SourceState::Soliciting)).await;
        let again = probe.until("heard again", |report| is(report, &SourceState::Receiving)).await;
        assert!(valid_until(&again, A) > valid_until(&first, A), "by a new advertisement");
    });
}

fn interface_recreated() {
    let pair = Pair::apart();
    with_driver(&pair, async |probe| {
        probe.until("absent at the start", |report| is(report, &SourceState::InterfaceAbsent)).await;
        pair.join();
        let radvd = Radvd::start(&pair.router, &live(A));
        probe.until("it appears", |report| preferred(report, A)).await;
        pair.part();
        let absent = probe.until("it is deleted", |report| is(report, &SourceState::InterfaceAbsent)).await;
        assert!(preferred(&absent, A));
        radvd.kill();
        // Another index, and for a moment another name.
        pair.host.ip("link add filler type veth peer name other");
        pair.join();
        pair.host.ip(&format!("link set {WAN} down"));
        pair.host.ip(&format!("link set {WAN} name elsewhere"));
        pair.host.ip(&format!("link set elsewhere name {WAN}"));
        pair.host.ip(&format!("link set {WAN} up"));
        let _radvd = Radvd::start(&pair.router, &live(B));
        probe.until("it is back", |report| preferred(report, B) && is(report, &SourceState::Receiving)).await;
    });
}

fn kernel_settings() {
    let pair = Pair::joined();
    pair.host.sysctl(&format!("net/ipv6/conf/{WAN}/accept_ra"), "0");
    pair.host.sysctl("net/ipv6/conf/all/forwarding", "1");
    // The kernel would not even take a prefix of this length for autoconfiguration.
    let wide = "2001:db8:a00::/56";
    let radvd = Radvd::start(&pair.router, &live(wide));
    with_driver(&pair, async |probe| {
        probe.until("accept_ra=0, forwarding=1", |report| preferred(report, wide)).await;
        pair.host.sysctl(&format!("net/ipv6/conf/{WAN}/accept_ra"), "1");
        radvd.reload(&(live(wide) + &live(B)));
        probe.until("accept_ra=1, forwarding=1", |report| preferred(report, B)).await;
    });
}
