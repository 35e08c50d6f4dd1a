//! The other client of a host, by what the kernel tells of it.

use std::fmt::Write as _;
use std::path::Path;

use dyn_prefix::prefix::PrefixFilter;
use dyn_prefix::record::Recorder;
use dyn_prefix::source::observe::{self, Saying, Settings};
use dyn_prefix::source::{SourceReport, SourceState, Tally, link};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Test;
use crate::flood::{BATCH, Flood, Way, card};
use crate::lab::{Reports, SOON};
use crate::support::{LAN, Namespace, Pair, Radvd, WAN};

pub(crate) const TESTS: &[Test] = &[
    ("t146_observed_routes_after_a_burst_that_the_kernel_had_no_room_for", burst),
    ("observed_packets_are_those_of_dhcpv6_alone", filtered),
    ("observed_lease_file_of_dhclient", lease_file),
];

pub(crate) const WITH_RADVD: &[Test] = &[("t144_observed_link_with_a_prefix_of_its_own", own_prefix)];

/// An observer at work.
struct Probe {
    reports: Reports,
    tally: watch::Receiver<Tally>,
    _said: mpsc::Sender<Saying>,
    _settings: watch::Sender<Settings>,
}

/// Runs `test` inside a namespace, with an observer on its uplink, of a host whose clients have no files.
fn with_driver(host: &Namespace, test: impl AsyncFnOnce(&mut Probe) + Send) {
    with_files(host, Path::new("/nonexistent"), test);
}

/// The same with files below `root`.
fn with_files(host: &Namespace, root: &Path, test: impl AsyncFnOnce(&mut Probe) + Send) {
    host.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let cancel = CancellationToken::new();
            let (links, watched) = link::channel();
            tokio::spawn(link::run(links, cancel.clone()));
            let (_settings, settings) = watch::channel(Settings {
                interface: WAN.to_owned(),
                names: [("home".to_owned(), PrefixFilter::default())].into(),
            });
            let (_said, told) = mpsc::channel(1);
            let (reports, reported) = mpsc::channel(1);
            let (tally, counted) = watch::channel(Tally::default());
            let setup = observe::driver::Setup {
                settings,
                seed: Vec::new(),
                links: watched,
                told,
                reports,
                recorder: Recorder::default(),
                tally,
                root: root.to_owned(),
            };
            tokio::spawn(observe::run(setup, cancel.clone()));
            test(&mut Probe { reports: Reports::new(reported), tally: counted, _said, _settings }).await;
            cancel.cancel();
        });
    });
}

/// What is offered and not cut.
fn usable(report: &SourceReport) -> Vec<String> {
    let offers = report.offers.iter().filter(|offer| offer.cut.is_none());
    offers.map(|offer| offer.prefix.to_string()).collect()
}

/// The route that a client makes for all that it was delegated.
fn route(verb: &str, prefix: &str) -> String {
    format!("-6 route {verb} unreachable {prefix} proto dhcp metric 1024")
}

/// Three thousand delegations that come and go, and B in the place of A, while nobody reads: the one thread that there is
/// waits. What queued up before the kernel had no more room must not come to life on top of what there is now.
fn burst() {
    let pair = Pair::joined();
    let host = &pair.host;
    host.ip(&route("add", "2001:db8:a::/56"));
    with_driver(host, async |probe| {
        probe.reports.until("A", |report| usable(report) == ["2001:db8:a::/56"]).await;
        let mut batch = String::new();
        for verb in ["add", "del"] {
            for number in 0..3000 {
                let _ = writeln!(batch, "{}", &route(verb, &format!("2001:db8:c:{number:x}::/64"))["-6 ".len()..]);
            }
        }
        let replaced = [route("del", "2001:db8:a::/56"), route("add", "2001:db8:b::/56")];
        batch.extend(replaced.iter().map(|line| format!("{}\n", &line["-6 ".len()..])));
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("batch");
        std::fs::write(&file, batch).expect("it can be written");
        let status = host.command("ip").args(["-6", "-batch"]).arg(&file).status().expect("ip runs");
        assert!(status.success());
        probe.reports.until("B alone", |report| usable(report) == ["2001:db8:b::/56"]).await;
        // Whatever was queued has come before this.
        host.ip(&route("add", "2001:db8:d::/56"));
        let of_others = |report: &SourceReport| usable(report).iter().any(|prefix| prefix.starts_with("2001:db8:c:"));
        let last = |report: &SourceReport| usable(report).contains(&"2001:db8:d::/56".to_owned());
        let report = probe.reports.until_without("what comes after it", of_others, last).await;
        assert_eq!(usable(&report), ["2001:db8:b::/56", "2001:db8:d::/56"]);
    });
}

/// How many packets the uplink has taken in and sent.
fn traffic(host: &Namespace) -> (u64, u64) {
    let text = host.inside(|| std::fs::read_to_string("/proc/thread-self/net/dev").expect("counters"));
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("wan:")).expect("the uplink");
    let counts: Vec<u64> = line.split_whitespace().map(|count| count.parse().expect("a count")).collect();
    (counts[1], counts[9])
}

/// Thousands of packets of every kind, in and out, of which the program is given none: it counts what it reads.
fn filtered() {
    let pair = Pair::joined();
    let cards = [pair.host.inside(|| card(WAN)), pair.router.inside(|| card(LAN))];
    with_driver(&pair.host, async |probe| {
        probe.reports.until("it watches", |report| report.state == SourceState::Soliciting).await;
        let count = |probe: &Probe| probe.tally.borrow().received;
        let before = count(probe);
        let passed = traffic(&pair.host);
        let mut floods = [
            pair.router.inside(|| Flood::new(LAN, cards[0], Way::In)),
            pair.host.inside(|| Flood::new(WAN, cards[1], Way::Out)),
        ];
        for flood in &mut floods {
            let sent: usize = (0..100).map(|_| flood.send(BATCH)).sum();
            assert!(sent >= 100 * flood.kinds(), "{sent}");
        }
        let (received, sent) = traffic(&pair.host);
        assert!(received - passed.0 >= 1000 && sent - passed.1 >= 1000, "{passed:?} {received} {sent}");
        floods.iter().for_each(Flood::mark);
        let marked = tokio::time::timeout(SOON, probe.tally.wait_for(|tally| tally.received >= before + 2)).await;
        assert!(marked.is_ok_and(|seen| seen.is_ok()), "DHCPv6 messages come through");
        assert_eq!(count(probe), before + 2, "and nothing else");
    });
}

/// A router, as every host is that Kubernetes runs on, which takes Router Advertisements all the same: what numbers the
/// link is said, and offered to nobody.
fn own_prefix() {
    let pair = Pair::apart();
    pair.host.sysctl("net/ipv6/conf/all/forwarding", "1");
    pair.host.sysctl("net/ipv6/conf/default/accept_ra", "2");
    pair.join();
    with_driver(&pair.host, async |probe| {
        probe.reports.until("it watches", |report| report.state == SourceState::Soliciting).await;
        let prefixes = "prefix 2001:db8:a::/64 { AdvOnLink on; AdvAutonomous on; }; \
                        prefix 2001:db8:b::/64 { AdvOnLink on; AdvAutonomous off; };";
        let _radvd = Radvd::start(&pair.router, prefixes);
        let said = "wan itself has 2001:db8:a::/64 (on-link, autonomous) and 2001:db8:b::/64 (on-link) by Router \
                    Advertisement, which is no delegation";
        let is_said = |report: &SourceReport| report.notes.iter().any(|note| note.starts_with(said));
        let report = probe.reports.until_without("both", |report| !report.offers.is_empty(), is_said).await;
        assert_eq!(report.state, SourceState::Soliciting);
        pair.host.ip(&route("add", "2001:db8:c::/56"));
        let report = probe.reports.until("a delegation", |report| usable(report) == ["2001:db8:c::/56"]).await;
        assert!(!is_said(&report), "who has a delegation does not wonder: {report:#?}");
    });
}

/// A lease file of dhclient with this prefix, since so many seconds.
fn write_lease(root: &Path, prefix: &str, age: i64) {
    let since = dyn_prefix::clock::epoch().wall_now().as_second() - age;
    let delegation = format!(
        "ia-pd \"iVk[\" {{\n    starts {since};\n    renew 1000;\n    rebind 1600;\n    iaprefix {prefix} {{\n      starts \
         {since};\n      preferred-life 1800;\n      max-life 3600;\n    }}\n  }}"
    );
    let text = format!("default-duid \"\\000\\003\";\nlease6 {{\n  interface \"{WAN}\";\n  {delegation}\n}}\n");
    let directory = root.join("var/lib/dhcp");
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join(format!("dhclient6.{WAN}.leases")), text).expect("a file");
}

/// No route and no address tells of a delegation of dhclient: its lease file is all there is before its next Renew.
fn lease_file() {
    let pair = Pair::joined();
    let host = &pair.host;
    let root = tempfile::tempdir().expect("a directory");
    write_lease(root.path(), "2001:db8:a::/56", 100);
    with_files(host, root.path(), async |probe| {
        let report = probe.reports.until("A", |report| usable(report) == ["2001:db8:a::/56"]).await;
        let left = report.offers[0].valid_until.remaining(dyn_prefix::clock::now()).expect("it ends").as_secs();
        assert!((3480..=3500).contains(&left), "{left}");
        assert!(report.notes.iter().any(|note| note.contains("in its lease file")), "{report:#?}");
        write_lease(root.path(), "2001:db8:b::/56", 0);
        // What the client does next; something has to happen, as nothing looks again by itself.
        host.ip("addr add 2001:db8:b:1::1/64 dev lo");
        probe.reports.until("B", |report| usable(report) == ["2001:db8:b::/56"]).await;
    });
}
