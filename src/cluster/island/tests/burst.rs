//! What many Services cost, in decisions.

use super::town::{Town, V6, ours};
use super::*;

const MANY: usize = 1000;

#[test]
fn a_thousand_services_move_for_a_few_decisions_each() {
    let lb = pool("lb");
    let mut town = Town::new(Mode::Ha, &lb);
    town.tell(at(0));
    town.live(at(0));
    for n in 0..MANY {
        town.create(&format!("s{n:04}"), ours(&[("dynamic-prefix.io/suffix", &format!("::{:x}", n + 1))]), V6, at(1));
    }
    town.live(at(1));
    town.lab.island.evaluations.clear();
    town.rotate(2, at(10));
    let written = town.live(at(10));
    let of = |kind: Kind| written.iter().filter(|one| one.kind == kind).count();
    assert_eq!((of(Kind::Service), of(lb.kind)), (2 * MANY, 2));
    let cost = town.lab.island.evaluations.clone();
    // Of each Service: the prefix; each of the two patches of the pool (sent, answered, seen); its own two patches
    // (answered, and once more when the watch tells); its new status.
    assert!(cost[&Kind::Service] <= 13 * MANY, "{cost:?}");
    assert!(cost[&lb.kind] <= 40, "{cost:?}");
    // And a Service that is none of ours costs nothing.
    town.lab.island.evaluations.clear();
    for n in 0..MANY {
        let other = town.create(&format!("other{n}"), json!({}), V6, at(20));
        town.lab.api.delete(&other);
        town.lab.island.handle_deleted(&other, at(20));
    }
    let cost = town.lab.island.evaluations.clone();
    assert_eq!(cost.get(&lb.kind), None, "{cost:?}");
}
