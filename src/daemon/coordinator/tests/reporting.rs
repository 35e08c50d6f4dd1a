//! What is said of a delegation by `dyn-prefix report`, and what the store keeps of it.

use std::time::Duration;

use super::world::*;
use crate::control::Report;
use crate::daemon::reporting::Taker;
use crate::source::observe::Told;
use crate::source::{Offer, SourceId, SourceKind, SourceReport, SourceState};
use crate::time::Deadline;

const P: &str = "2001:db8:a00::/56";

/// [`HOME`] beside somebody else's client.
fn observing() -> String {
    HOME.replace("routerAdvertisement", "observe")
}

fn report(prefix: &str) -> Report {
    let prefix = prefix.parse().unwrap();
    Report { name: "home".to_owned(), prefix, preferred: None, valid: None, excluded: Vec::new(), gone: false }
}

impl World {
    /// The observer knows this prefix, which was told with these lifetimes now.
    fn observes(&mut self, prefix: &str, preferred: u32, valid: u32) {
        let offer = Offer {
            prefix: prefix.parse().unwrap(),
            recipient: Some("home".to_owned()),
            router: None,
            preferred_until: Deadline::after(self.now, preferred),
            valid_until: Deadline::after(self.now, valid),
            excluded: Vec::new(),
            first_seen: self.now,
            cut: None,
        };
        let id = SourceId::on(SourceKind::Observed, "eth0");
        self.report(SourceReport { offers: vec![offer], ..SourceReport::new(id, SourceState::Bound) });
    }
}

#[test]
fn a_report_goes_to_the_observer_of_its_interface() {
    let world = World::new(&observing());
    let told = |report| world.coordinator.check_report(report);
    let expected = Told {
        dynamic_prefix: "home".to_owned(),
        prefix: P.parse().unwrap(),
        preferred: Some(1800),
        valid: Some(u32::MAX),
        excluded: Vec::new(),
        gone: false,
        ago: Duration::ZERO,
    };
    let full = Report { preferred: Some(1800), valid: Some(u32::MAX), ..report(P) };
    assert_eq!(told(full), Ok((Taker::Observer("eth0".to_owned()), expected)));
    // Valid lifetime 0: it has ended (RFC 9915 §18.2.10.1).
    assert!(told(Report { valid: Some(0), preferred: Some(0), ..report(P) }).is_ok_and(|(_, told)| told.gone));
    // One that the filter refuses may end, and equal lifetimes are in order.
    assert!(told(Report { gone: true, ..report("fd00::/56") }).is_ok());
    // Clients hold such beside the one that is used, and their scripts report all.
    let (_, local) = told(report("fd00::/56")).expect("it is no failure");
    let follows = world.coordinator.follows_from(&local, world.now);
    assert_eq!(
        follows,
        "home: fd00::/56 is not used: it is not global unicast (2000::/3); prefixFilter.requireGlobalUnicast = false \
         allows it."
    );
    assert!(told(Report { preferred: Some(60), valid: Some(60), ..report(P) }).is_ok());
    assert!(told(Report { preferred: Some(61), valid: Some(60), ..report(P) }).is_err());
    assert!(told(Report { excluded: vec![P.parse().unwrap()], ..report(P) }).is_err(), "all of it");
}

/// Flash wear: lifetimes that another client extends are saved after ten minutes, not with each report.
#[test]
fn extended_lifetimes_are_saved_at_most_every_ten_minutes() {
    let mut world = World::new(&observing());
    world.observes(P, 1800, 3600);
    assert!(world.coordinator.take_dirty(), "a prefix was acquired");
    for _ in 0..9 {
        world.pass(60);
        world.observes(P, 1800, 3600);
        assert!(!world.coordinator.take_dirty(), "{:?}", world.now);
    }
    world.pass(119);
    assert!(!world.coordinator.take_dirty());
    world.pass(1);
    assert!(world.coordinator.take_dirty(), "ten minutes after the first extension");
    world.pass(3600);
    assert!(world.coordinator.take_dirty(), "it has ended");
    world.pass(3600);
    assert!(!world.coordinator.take_dirty());
}

/// The same once more changes nothing, and is not saved.
#[test]
fn the_same_report_twice_writes_nothing() {
    let mut world = World::new(&observing());
    world.observes(P, u32::MAX, u32::MAX);
    let wanted = world.coordinator.wanted("one");
    assert!(world.coordinator.take_dirty());
    let report = world.coordinator.reports.values().next().unwrap().clone();
    world.pass(5);
    world.report(report);
    world.pass(7200);
    assert!(!world.coordinator.take_dirty());
    assert!(world.coordinator.wanted("one") == wanted);
}
