//! The addresses of an interface, as the kernel has them.

use std::fmt::Write as _;
use std::time::Duration;

use dyn_prefix::prefix::PrefixFilter;
use dyn_prefix::record::Recorder;
use dyn_prefix::source::interface::{self, Interest, Settings};
use dyn_prefix::source::{Cut, Offer, SourceReport, SourceState, link};
use dyn_prefix::time::Deadline;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Test;
use crate::lab::{A, B, Reports, SOON};
use crate::support::{LAN, Namespace, Pair, WAN};

pub(crate) const TESTS: &[Test] = &[
    ("addresses_added_changed_deprecated_and_removed", life),
    ("addresses_a_then_b_then_a_again", there_and_back),
    ("addresses_run_out_in_the_kernel", run_out),
    ("addresses_of_an_interface_that_goes_down_and_up", down_and_up),
    ("addresses_of_an_interface_that_is_deleted_and_made_anew", made_anew),
    ("addresses_that_somebody_else_has", duplicate),
    ("addresses_that_somebody_else_has_since_the_link_was_away", duplicate_later),
    ("addresses_after_a_burst_that_the_kernel_had_no_room_for", burst),
    ("links_after_a_burst_that_the_kernel_had_no_room_for", burst_of_links),
];

/// A namespace with the bridge of a LAN, or what stands for one.
fn lan() -> Namespace {
    let host = Namespace::new("host");
    make(&host);
    host
}

fn make(host: &Namespace) {
    host.ip("link add br-lan type veth peer name port");
    host.ip("link set port up");
    host.ip("link set br-lan up");
}

/// Runs `test` inside a namespace, with a driver on an interface of it.
fn with_driver(host: &Namespace, name: &str, test: impl AsyncFnOnce(&mut Reports) + Send) {
    host.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let cancel = CancellationToken::new();
            let (links, watched) = link::channel();
            tokio::spawn(link::run(links, cancel.clone()));
            let interest =
                Interest { name: "home".to_owned(), filter: PrefixFilter::default(), delegated_length: None };
            let settings = Settings { interface: name.to_owned(), interests: vec![interest] };
            let (_held, settings) = watch::channel(settings);
            let (sender, reports) = mpsc::channel(1);
            tokio::spawn(interface::run(settings, Vec::new(), watched, sender, Recorder::default(), cancel.clone()));
            test(&mut Reports::new(reports)).await;
            cancel.cancel();
        });
    });
}

fn offer<'a>(report: &'a SourceReport, prefix: &str) -> Option<&'a Offer> {
    report.offers.iter().find(|offer| offer.prefix.to_string() == prefix)
}

/// There, and with this cut.
fn is(report: &SourceReport, prefix: &str, cut: Option<Cut>) -> bool {
    offer(report, prefix).is_some_and(|offer| offer.cut == cut)
}

/// Seconds that are left of a lifetime.
fn left(deadline: Deadline) -> Option<u64> {
    deadline.remaining(dyn_prefix::clock::now()).map(|left| left.as_secs())
}

fn life() {
    let host = lan();
    host.ip("addr add 2001:db8:a::1/64 dev br-lan valid_lft 3000 preferred_lft 1200");
    with_driver(&host, "br-lan", async |probe| {
        let report = probe.until("A, which was there before", |report| is(report, A, None)).await;
        let first = offer(&report, A).expect("it is there");
        let lifetimes = (left(first.preferred_until), left(first.valid_until));
        assert!(matches!(lifetimes, (Some(1180..=1200), Some(2980..=3000))), "{lifetimes:?}");
        assert_eq!((report.state, report.offers.len()), (SourceState::Receiving, 1), "no link-local one");
        host.ip("addr change 2001:db8:a::1/64 dev br-lan valid_lft forever preferred_lft forever");
        probe.until("for ever", |report| offer(report, A).is_some_and(|it| it.valid_until == Deadline::Never)).await;
        host.ip("addr change 2001:db8:a::1/64 dev br-lan valid_lft forever preferred_lft 0");
        probe.until("A is deprecated", |report| is(report, A, Some(Cut::Deprecated))).await;
        host.ip("addr add 2001:db8:b::1/64 dev br-lan");
        probe.until("B", |report| is(report, B, None)).await;
        host.ip("addr del 2001:db8:a::1/64 dev br-lan");
        let report = probe.until("A is gone", |report| is(report, A, Some(Cut::Withdrawn))).await;
        assert!(is(&report, B, None), "{report:#?}");
        host.ip("addr del 2001:db8:b::1/64 dev br-lan");
        let report = probe.within(2 * SOON, "B is gone", |report| is(report, B, Some(Cut::Withdrawn))).await;
        assert_eq!(report.state, SourceState::NoAddress);
    });
}

fn there_and_back() {
    let host = lan();
    with_driver(&host, "br-lan", async |probe| {
        for (old, new) in [("c", "a"), ("a", "b"), ("b", "a")] {
            let (old, new) = (format!("2001:db8:{old}::"), format!("2001:db8:{new}::"));
            host.ip(&format!("addr replace {new}1/64 dev br-lan valid_lft 3000 preferred_lft 1200"));
            host.ip(&format!("addr replace {old}1/64 dev br-lan valid_lft 3000 preferred_lft 0"));
            let (old, new) = (format!("{old}/64"), format!("{new}/64"));
            probe
                .until(&format!("{new} instead of {old}"), |report| {
                    is(report, &new, None) && is(report, &old, Some(Cut::Deprecated))
                })
                .await;
        }
    });
}

fn run_out() {
    let host = lan();
    host.ip("addr add 2001:db8:b::1/64 dev br-lan");
    with_driver(&host, "br-lan", async |probe| {
        host.ip("addr add 2001:db8:a::1/64 dev br-lan valid_lft 4 preferred_lft 2");
        probe.until("A", |report| is(report, A, None)).await;
        probe.until("the kernel deprecates A", |report| is(report, A, Some(Cut::Deprecated))).await;
        let report = probe.until("the kernel removes A", |report| is(report, A, Some(Cut::Withdrawn))).await;
        assert!(offer(&report, A).is_some_and(|offer| left(offer.valid_until) == Some(0)), "{report:#?}");
    });
}

fn down_and_up() {
    let host = lan();
    host.ip("addr add 2001:db8:a::1/64 dev br-lan");
    with_driver(&host, "br-lan", async |probe| {
        let lost = |report: &SourceReport| offer(report, A).is_some_and(|offer| offer.cut.is_some());
        probe.until("A", |report| is(report, A, None)).await;
        host.ip("link set br-lan down");
        probe.until_without("down", lost, |report| report.state == SourceState::LinkDown).await;
        host.ip("link set br-lan up");
        probe.until_without("up", lost, |report| report.state == SourceState::AwaitingAddress).await;
        // Longer than it takes to believe that an address was removed.
        let limit = interface::table::PATIENCE + SOON;
        let silent = |report: &SourceReport| !lost(report) && report.state == SourceState::NoAddress;
        let report = probe.within(limit, "nobody brings it back", silent).await;
        assert!(is(&report, A, None), "{report:#?}");
        host.ip("addr add 2001:db8:a::1/64 dev br-lan");
        probe.until_without("back", lost, |report| report.state == SourceState::Receiving).await;
    });
}

fn made_anew() {
    let host = lan();
    host.ip("addr add 2001:db8:a::1/64 dev br-lan");
    with_driver(&host, "br-lan", async |probe| {
        probe.until("A", |report| is(report, A, None)).await;
        host.ip("link del br-lan");
        let report = probe.until("absent", |report| report.state == SourceState::InterfaceAbsent).await;
        assert!(is(&report, A, None), "{report:#?}");
        make(&host);
        host.ip("addr add 2001:db8:b::1/64 dev br-lan");
        probe.until("B alone", |report| is(report, A, Some(Cut::Withdrawn)) && is(report, B, None)).await;
        host.ip("link set br-lan name former");
        probe.until("renamed away", |report| report.state == SourceState::InterfaceAbsent).await;
        host.ip("link set former name br-lan");
        probe.until("and back", |report| report.state == SourceState::Receiving && is(report, B, None)).await;
    });
}

/// Whose hosts look for duplicates.
fn careful_pair() -> Pair {
    let pair = Pair::apart();
    for scope in ["all", "default"] {
        pair.host.sysctl(&format!("net/ipv6/conf/{scope}/accept_dad"), "1");
        pair.host.sysctl(&format!("net/ipv6/conf/{scope}/dad_transmits"), "1");
    }
    pair.join();
    pair
}

/// The router has the address already: duplicate address detection fails (RFC 4862 §5.4).
fn duplicate() {
    let pair = careful_pair();
    pair.router.ip(&format!("addr add 2001:db8:a::1/64 dev {LAN}"));
    with_driver(&pair.host, WAN, async |probe| {
        probe.until("up", |report| report.state == SourceState::AwaitingAddress).await;
        pair.host.ip(&format!("addr add 2001:db8:a::1/64 dev {WAN}"));
        pair.host.ip(&format!("addr add 2001:db8:b::1/64 dev {WAN}"));
        // Both are looked for in the same second; that of B passes.
        let report = probe.until("B", |report| is(report, B, None)).await;
        let shown = pair.host.command("ip").args(["-6", "addr", "show", "dev", WAN, "tentative"]).output();
        let shown = String::from_utf8(shown.expect("ip runs").stdout).expect("text");
        assert!(!shown.contains("2001:db8:b::1"), "offered while it is tentative: {shown}");
        assert_eq!(offer(&report, A), None);
        tokio::time::timeout(SOON, failed(&pair.host)).await.expect("the kernel finds the duplicate");
        assert!(probe.next(Duration::from_millis(300)).await.is_none_or(|report| offer(&report, A).is_none()));
    });
}

/// Whoever numbers the interface gives it the same address again, which the router has meanwhile: the kernel takes it away.
fn duplicate_later() {
    let pair = careful_pair();
    with_driver(&pair.host, WAN, async |probe| {
        pair.host.ip(&format!("addr add 2001:db8:a::1/64 dev {WAN} valid_lft 3000 preferred_lft 1200"));
        probe.until("A", |report| is(report, A, None)).await;
        pair.router.ip(&format!("addr add 2001:db8:a::1/64 dev {LAN} nodad"));
        pair.host.ip(&format!("link set {WAN} down"));
        probe.until("down", |report| report.state == SourceState::LinkDown).await;
        pair.host.ip(&format!("link set {WAN} up"));
        probe.until("up", |report| report.state == SourceState::AwaitingAddress).await;
        pair.host.ip(&format!("addr add 2001:db8:a::1/64 dev {WAN} valid_lft 9000 preferred_lft 6000"));
        let longer = |report: &SourceReport| offer(report, A).and_then(|offer| left(offer.valid_until)) > Some(8000);
        let report = probe.until("the new lifetimes", longer).await;
        assert!(is(&report, A, None), "{report:#?}");
        tokio::time::timeout(SOON, taken_away(&pair.host)).await.expect("the kernel finds the duplicate");
        let report = probe.next(Duration::from_millis(300)).await.unwrap_or(report);
        let concludes = report.next_wake.is_some_and(|(_, why)| why == "believe-removal");
        assert!(is(&report, A, None) && longer(&report) && !concludes, "{report:#?}");
    });
}

/// Waits until the kernel has taken the address away.
async fn taken_away(host: &Namespace) {
    while shown(host).contains("2001:db8:a::1") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until the kernel says that somebody else has the address.
async fn failed(host: &Namespace) {
    loop {
        let shown = host.command("ip").args(["-6", "addr", "show", "dev", WAN, "dadfailed"]).output();
        if String::from_utf8_lossy(&shown.expect("ip runs").stdout).contains("2001:db8:a::1") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The addresses of the uplink.
fn shown(host: &Namespace) -> String {
    let shown = host.command("ip").args(["-6", "addr", "show", "dev", WAN]).output();
    String::from_utf8(shown.expect("ip runs").stdout).expect("text")
}

/// Three thousand addresses that come and go, and B in the place of A; nobody reads from netlink sockets meanwhile,
/// because it blocks the one thread that there is.
fn change_at_once(host: &Namespace) {
    let mut batch = String::new();
    for word in ["add", "del"] {
        for number in 0..3000 {
            let _ = writeln!(batch, "addr {word} 2001:db8:c:{number:x}::1/64 dev br-lan nodad");
        }
    }
    batch.push_str("addr add 2001:db8:b::1/64 dev br-lan\naddr del 2001:db8:a::1/64 dev br-lan\n");
    let file = std::env::temp_dir().join(format!("{}-batch", host.name));
    std::fs::write(&file, batch).expect("it can be written");
    let status = host.command("ip").arg("-batch").arg(&file).status().expect("ip runs");
    assert!(status.success());
    std::fs::remove_file(&file).expect("it can be removed");
}

/// T-146
fn burst() {
    let host = lan();
    host.ip("addr add 2001:db8:a::1/64 dev br-lan");
    with_driver(&host, "br-lan", async |probe| {
        probe.until("A", |report| is(report, A, None)).await;
        change_at_once(&host);
        let settled = |report: &SourceReport| is(report, A, Some(Cut::Withdrawn)) && is(report, B, None);
        let report = probe.until("what is there after it", settled).await;
        let usable = report.offers.iter().filter(|offer| offer.cut.is_none()).count();
        assert_eq!(usable, 1, "{report:#?}");
    });
}

/// T-146, of what every other source goes by.
fn burst_of_links() {
    let host = lan();
    host.ip("addr add 2001:db8:a::1/64 dev br-lan");
    host.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let cancel = CancellationToken::new();
            let (links, mut watched) = link::channel();
            tokio::spawn(link::run(links, cancel.clone()));
            let global = |links: &link::Links| {
                let all = links.get("br-lan").map(|link| link.addresses).unwrap_or_default();
                let global = all.iter().filter(|own| !own.address.is_unicast_link_local());
                global.map(|own| own.address.to_string()).collect::<Vec<_>>()
            };
            for expected in ["2001:db8:a::1", "2001:db8:b::1"] {
                let wanted = watched.wait_for(|links| global(links) == [expected]);
                let is_seen = tokio::time::timeout(SOON, wanted).await.is_ok_and(|seen| seen.is_ok());
                assert!(is_seen, "{expected}: {:?}", global(&watched.borrow()));
                if expected == "2001:db8:a::1" {
                    change_at_once(&host);
                }
            }
            cancel.cancel();
        });
    });
}
