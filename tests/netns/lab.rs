//! The driver, running in the host's namespace, and what it reports.

use std::net::Ipv6Addr;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::time::Duration;

use dyn_prefix::record::Recorder;
use dyn_prefix::source::ra::packet::{Advertisement, PrefixInformation};
use dyn_prefix::source::ra::{self, Interest, Settings};
use dyn_prefix::source::{Cut, Offer, SourceReport, SourceState, link};
use dyn_prefix::time::Deadline;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::support::{Pair, ROUTER, WAN};

/// How long to wait for what should happen at once; a busy machine may take its time.
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) const A: &str = "2001:db8:a::/64";
pub(crate) const B: &str = "2001:db8:b::/64";

/// A driver of Router Advertisements, and what it reports.
pub(crate) struct Probe {
    reports: Reports,
    _settings: watch::Sender<Settings>,
    _cancel: tokio_util::sync::DropGuard,
}

/// The reports of a driver.
pub(crate) struct Reports {
    reports: mpsc::Receiver<SourceReport>,
    last: Option<SourceReport>,
}

impl Deref for Probe {
    type Target = Reports;

    fn deref(&self) -> &Reports {
        &self.reports
    }
}

impl DerefMut for Probe {
    fn deref_mut(&mut self) -> &mut Reports {
        &mut self.reports
    }
}

/// Runs `test` inside the host's namespace, with a driver on its interface.
pub(crate) fn with_driver(pair: &Pair, test: impl AsyncFnOnce(&mut Probe) + Send) {
    pair.host.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { test(&mut Probe::start(vec![Interest::default()])).await });
    });
}

impl Probe {
    fn start(interests: Vec<Interest>) -> Self {
        let cancel = CancellationToken::new();
        let (links, watched) = link::channel();
        tokio::spawn(link::run(links, cancel.clone()));
        let (settings, current) = watch::channel(Settings { interface: WAN.to_owned(), interests });
        let (sender, reports) = mpsc::channel(1);
        tokio::spawn(ra::run(
            current,
            Vec::new(),
            watched,
            sender,
            Recorder::default(),
            Default::default(),
            cancel.clone(),
        ));
        Self { reports: Reports::new(reports), _settings: settings, _cancel: cancel.drop_guard() }
    }
}

impl Reports {
    pub(crate) fn new(reports: mpsc::Receiver<SourceReport>) -> Self {
        Self { reports, last: None }
    }

    /// The next report, if one comes in time.
    pub(crate) async fn next(&mut self, limit: Duration) -> Option<SourceReport> {
        let report = tokio::time::timeout(limit, self.reports.recv()).await.ok()?;
        self.last = Some(report.expect("the driver runs"));
        self.last.clone()
    }

    /// Waits until a report is as `wanted`. The latest report counts, even if it came before.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&SourceReport) -> bool) -> SourceReport {
        self.within(SOON, what, wanted).await
    }

    /// The same, with a limit of its own.
    pub(crate) async fn within(
        &mut self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&SourceReport) -> bool,
    ) -> SourceReport {
        let mut deadline = pin!(tokio::time::sleep(limit));
        loop {
            if let Some(report) = self.last.as_ref().filter(|report| wanted(report)) {
                return report.clone();
            }
            tokio::select! {
                report = self.reports.recv() => self.last = Some(report.expect("the driver runs")),
                () = &mut deadline => panic!("{what}: not within {limit:?}; the last report was {:#?}", self.last),
            }
        }
    }

    /// Waits for `wanted`, and fails if any report on the way is `unwanted`.
    pub(crate) async fn until_without(
        &mut self,
        what: &str,
        unwanted: impl Fn(&SourceReport) -> bool,
        wanted: impl Fn(&SourceReport) -> bool,
    ) -> SourceReport {
        self.until(what, |report| {
            assert!(!unwanted(report), "{what}: {report:#?}");
            wanted(report)
        })
        .await
    }
}

/// The offer of [`ROUTER`] for a prefix.
pub(crate) fn offer<'a>(report: &'a SourceReport, prefix: &str) -> Option<&'a Offer> {
    let prefix = prefix.parse().expect("a prefix");
    report.offers.iter().find(|offer| offer.router == Some(ROUTER) && offer.prefix == prefix)
}

pub(crate) fn cut(report: &SourceReport, prefix: &str) -> Option<Cut> {
    offer(report, prefix).and_then(|offer| offer.cut)
}

/// Whether new things may use the prefix.
pub(crate) fn preferred(report: &SourceReport, prefix: &str) -> bool {
    let now = dyn_prefix::clock::now();
    offer(report, prefix).is_some_and(|offer| !offer.preferred_until.is_over(now))
}

pub(crate) fn valid(report: &SourceReport, prefix: &str) -> bool {
    let now = dyn_prefix::clock::now();
    offer(report, prefix).is_some_and(|offer| !offer.valid_until.is_over(now))
}

pub(crate) fn valid_until(report: &SourceReport, prefix: &str) -> Option<Deadline> {
    offer(report, prefix).map(|offer| offer.valid_until)
}

pub(crate) fn is(report: &SourceReport, state: &SourceState) -> bool {
    report.state == *state
}

/// The bytes of an advertisement of prefixes with their preferred and valid lifetimes.
pub(crate) fn advertisement(prefixes: &[(&str, u32, u32)]) -> Vec<u8> {
    let prefixes = prefixes
        .iter()
        .map(|(prefix, preferred, valid)| PrefixInformation {
            prefix: prefix.parse().expect("a prefix"),
            on_link: true,
            autonomous: true,
            pd_preferred: false,
            preferred: *preferred,
            valid: *valid,
        })
        .collect();
    let router = Ipv6Addr::UNSPECIFIED;
    Advertisement { router, router_lifetime: 1800, managed: false, other: false, prefixes, ignored: vec![] }.encode()
}
