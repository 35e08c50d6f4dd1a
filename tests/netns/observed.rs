//! The other client of a host, by what the kernel tells of it.

use std::fmt::Write as _;

use dyn_prefix::record::Recorder;
use dyn_prefix::source::observe::{self, Saying, Settings};
use dyn_prefix::source::{SourceReport, Tally, link};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Test;
use crate::lab::Reports;
use crate::support::{Namespace, Pair, WAN};

pub(crate) const TESTS: &[Test] = &[("t146_observed_routes_after_a_burst_that_the_kernel_had_no_room_for", burst)];

/// An observer at work.
struct Probe {
    reports: Reports,
    _said: mpsc::Sender<Saying>,
    _settings: watch::Sender<Settings>,
}

/// Runs `test` inside a namespace, with an observer on its uplink.
fn with_driver(host: &Namespace, test: impl AsyncFnOnce(&mut Probe) + Send) {
    host.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let cancel = CancellationToken::new();
            let (links, watched) = link::channel();
            tokio::spawn(link::run(links, cancel.clone()));
            let (_settings, settings) =
                watch::channel(Settings { interface: WAN.to_owned(), names: ["home".to_owned()].into() });
            let (_said, told) = mpsc::channel(1);
            let (reports, reported) = mpsc::channel(1);
            let (tally, _counted) = watch::channel(Tally::default());
            let setup = observe::driver::Setup {
                settings,
                seed: Vec::new(),
                links: watched,
                told,
                reports,
                recorder: Recorder::default(),
                tally,
            };
            tokio::spawn(observe::run(setup, cancel.clone()));
            test(&mut Probe { reports: Reports::new(reported), _said, _settings }).await;
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
