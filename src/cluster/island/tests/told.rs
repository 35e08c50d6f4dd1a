//! What the journal tells of a change of the prefix is what the manual shows.

use std::time::Duration;

use super::town::{Town, V6, ours};
use super::*;
use crate::log::record::{self, Written};

const MANUAL: &str = include_str!("../../../../packaging/man/dyn-prefix-networks.7.in");

/// The lines of its block that holds `mark`, each without the time that it took; one that is indented goes on.
fn shown(mark: &str) -> Vec<String> {
    let blocks = MANUAL.split("\n.EX").skip(1).filter_map(|block| block.split("\n.EE").next());
    let block = blocks.into_iter().find(|block| block.contains(mark)).expect("a block of the journal");
    let block = block.replace("\n      ", " ").replace("\\-", "-");
    let lines = block.lines().skip(1);
    lines.map(|line| line.rsplit_once(", in ").map_or(line, |(told, _)| told).to_owned()).collect()
}

#[test]
fn the_manual_shows_what_the_journal_tells_of_a_service() {
    let target = pool("ipv6-pool");
    let mut town = Town::new(Mode::Ha, &target);
    town.tell(at(0));
    town.live(at(0));
    town.create("front", ours(&[("dynamic-prefix.io/suffix", "::2")]), V6, at(1));
    town.live(at(1));
    town.lab.events.clear();
    town.rotate(2, at(10));
    town.live(at(10));
    town.live_until(at(1000));
    town.draining = 0;
    town.tell(at(HOUR));
    town.live(at(HOUR));
    let told: Vec<String> = town.lab.events.iter().map(told).collect();
    assert_eq!(told, shown("Service/web/front asks for"));
}

fn told(event: &Event) -> String {
    let Event::Written { object, added, removed, .. } = event else { panic!("nothing is written: {event:?}") };
    let (added, removed) = (added.clone(), removed.clone());
    let written = Written { object: object.clone(), added, removed, elapsed: Duration::from_millis(4) };
    let line = record::written("home", &[written]).message;
    line.rsplit_once(", in ").expect("the time").0.to_owned()
}
