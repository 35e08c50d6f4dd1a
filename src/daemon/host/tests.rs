//! What a reload does to what follows prefixes.

use std::path::Path;

use super::*;
use crate::config::{Config, Host};
use crate::daemon::coordinator::{Identity, Memory};
use crate::source::dhcpv6::Duid;
use crate::source::{Offer, SourceId, SourceKind, SourceReport, SourceState};
use crate::time::Deadline;

fn config(parts: &str, reference: &str) -> Arc<Config> {
    let text = format!(
        "[[dynamicPrefix]]\nname = \"home\"\nacquisition.routerAdvertisement = {{ interface = \"wan\" }}\n{parts}\n\
         [[file]]\npath = \"/run/x\"\ntext = \"${{{reference}}}\"\n"
    );
    let host = Host { variable: &|_| None, exists: &|_| true, read: &|_| Ok(String::new()) };
    let loaded = Config::parse(&text, Path::new("test.toml"), &host);
    Arc::new(loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.findings)))
}

const RANGE: &str = "addressRanges = [{ name = \"lb\", start = \"::f000\", end = \"::f00f\" }]";
const SUBNET: &str = "subnets = [{ name = \"web\", index = 5, prefixLength = 72 }]";

fn world() -> (Coordinator, HostTarget, Instant) {
    let now = Instant::from_secs(1000);
    let identity = Identity { daemon_id: "me".to_owned(), duid: Duid::new(&[0, 4, 0xaa]).unwrap(), boot_id: None };
    let mut coordinator = Coordinator::new(config(RANGE, "home/lb.start"), identity, Memory::default(), now);
    let offer = Offer {
        prefix: "2001:db8:a::/64".parse().unwrap(),
        recipient: None,
        router: None,
        preferred_until: Deadline::after(now, 1800),
        valid_until: Deadline::after(now, 3600),
        excluded: Vec::new(),
        first_seen: now,
        cut: None,
    };
    let id = SourceId::on(SourceKind::RouterAdvertisement, "wan");
    let report = SourceReport { offers: vec![offer], ..SourceReport::new(id, SourceState::Receiving) };
    coordinator.handle_report(report, now);
    let mut host = HostTarget::default();
    host.follow(&coordinator, now);
    (coordinator, host, now)
}

fn lines(host: &mut HostTarget) -> Vec<String> {
    std::iter::from_fn(|| host.poll_entry()).map(|entry| entry.message).collect()
}

fn reason(host: &HostTarget, now: Instant) -> String {
    let epoch = Epoch::new(now, "2026-01-04T10:00:00Z".parse().unwrap());
    host.status(&epoch).1.remove(0).reason
}

/// What the former file refers to need not be there any more, nor be there before what the new one refers to.
#[test]
fn a_file_that_changes_along_with_what_it_refers_to_is_no_failure() {
    let (mut coordinator, mut host, now) = world();
    assert_eq!((lines(&mut host), reason(&host, now)), (Vec::new(), "Pending".to_owned()));
    coordinator.reconfigure(config(SUBNET, "home/web.cidrs"), now);
    host.follow(&coordinator, now);
    assert_eq!((lines(&mut host), reason(&host, now)), (Vec::new(), "Pending".to_owned()));
}
