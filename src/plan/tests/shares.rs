//! What a pool has in each generation, and which generations are dead.

use super::objects::{annotated, bind, pool};
use super::services::part;
use super::*;
use crate::config::{Binding, Mode, Place};
use crate::plan::service::Bound;
use crate::plan::{Catalogue, Contribution, ObjectWant, Role, Share, object, parts};

/// "home" with a range and a subnet that needs 64 bits below a /56, and "lab".
fn catalogue(home: Snapshot, lab: Snapshot) -> Catalogue {
    let mut of_home = dynamic_prefix("home", vec![range("lb", "::f000", "::f0ff")], vec![by_index("net", &[5], 64)]);
    of_home.transition.mode = Mode::Ha;
    let of_lab = dynamic_prefix("lab", vec![range("lb", "::e000", "::e0ff")], Vec::new());
    Catalogue::compute(&[of_home, of_lab], &snapshots(&[("home", home), ("lab", lab)]))
}

fn of_lab(binding: Binding) -> Binding {
    Binding { dynamic_prefix: "lab".into(), ..binding }
}

fn bound(bindings: &[Binding], catalogue: &Catalogue) -> ObjectWant {
    object(&pool("p"), &BTreeMap::new(), bindings, true, catalogue).expect("bound")
}

/// `CONTRIBUTION DYNAMICPREFIX ROLE: BLOCKS`
fn told(shares: &[Share]) -> Vec<String> {
    let line = |share: &Share| {
        let blocks = show(&share.blocks).join(" ");
        format!("{} {} {:?} {}: {blocks}", share.contribution, share.dynamic_prefix, share.role, share.prefix)
    };
    shares.iter().map(line).collect()
}

#[test]
fn each_contribution_by_generation_current_first_then_newest_first() {
    let mut home = snapshot("2001:db8:4::/48", &["2001:db8:3::/48", "2001:db8:2::/48"]);
    home.history.push(previous(net("2001:db8:1::/48"), PreviousState::Expired));
    let catalogue = catalogue(home, snapshot("2001:db8:a::/48", &["2001:db8:b::/48"]));
    let want = bound(&[bind("one", &pool("p"), "lb"), of_lab(bind("two", &pool("p"), "lb"))], &catalogue);
    let expected = [
        "0 home Current 2001:db8:4::/48: 2001:db8:4::f000-2001:db8:4::f0ff",
        "0 home Draining 2001:db8:3::/48: 2001:db8:3::f000-2001:db8:3::f0ff",
        "0 home Draining 2001:db8:2::/48: 2001:db8:2::f000-2001:db8:2::f0ff",
        "0 home Known 2001:db8:1::/48: 2001:db8:1::f000-2001:db8:1::f0ff",
        "1 lab Current 2001:db8:a::/48: 2001:db8:a::e000-2001:db8:a::e0ff",
        "1 lab Draining 2001:db8:b::/48: 2001:db8:b::e000-2001:db8:b::e0ff",
    ];
    assert_eq!(told(&want.shares), expected);
    let modes: Vec<Mode> = want.shares.iter().map(|share| share.mode).collect();
    assert_eq!(modes, [Mode::Ha, Mode::Ha, Mode::Ha, Mode::Ha, Mode::Simple, Mode::Simple]);
}

/// What is contributed is the shares of the current and the draining generations, no more and no less.
#[test]
fn contributions_are_the_shares_that_are_not_only_known() {
    let excluded = vec![net("2001:db8:4:5::/65")];
    let mut home = snapshot("2001:db8:4::/48", &["2001:db8:3::/48"]);
    home.current.as_mut().expect("there is one").excluded = excluded;
    home.history.push(previous(net("2001:db8:1::/48"), PreviousState::Expired));
    let catalogue = catalogue(home, snapshot("2001:db8:a::/48", &[]));
    let want = bound(&[bind("one", &pool("p"), "net,lb"), of_lab(bind("two", &pool("p"), "lb"))], &catalogue);
    for (number, (who, contribution)) in want.contributions.iter().enumerate() {
        let of = want.shares.iter().filter(|share| share.contribution == number && share.role != Role::Known);
        let blocks: Vec<Block> = of.flat_map(|share| share.blocks.iter().copied()).collect();
        assert_eq!(*contribution, Contribution::Blocks(blocks), "{who}");
    }
    let current = &want.shares[0];
    let expected = ["2001:db8:4:5:8000::/65", "2001:db8:4::f000-2001:db8:4::f0ff"];
    assert_eq!(show(&current.blocks), expected, "as the binding has them, without what is excluded");
}

#[test]
fn a_generation_without_room_has_no_share() {
    let rotated = |now: &str, former: &[&str]| catalogue(snapshot(now, former), Snapshot::default());
    let longer = rotated("2001:db8:4::/56", &["2001:db8:3::/64", "2001:db8:2::/56"]);
    let want = bound(&[bind("one", &pool("p"), "net")], &longer);
    let expected =
        ["0 home Current 2001:db8:4::/56: 2001:db8:4:5::/64", "0 home Draining 2001:db8:2::/56: 2001:db8:2:5::/64"];
    assert_eq!(told(&want.shares), expected);

    let shorter = rotated("2001:db8:3::/64", &["2001:db8:2::/56"]);
    let want = bound(&[bind("one", &pool("p"), "net"), of_lab(bind("two", &pool("p"), "lb"))], &shorter);
    assert!(matches!(want.contributions[0].1, Contribution::Error(_)), "what it has stays");
    assert_eq!(told(&want.shares), ["0 home Draining 2001:db8:2::/56: 2001:db8:2:5::/64"]);
}

#[test]
fn nothing_known_no_shares() {
    let mute =
        Catalogue::compute(&[dynamic_prefix("home", vec![range("lb", "::1", "::2")], Vec::new())], &BTreeMap::new());
    assert_eq!(bound(&[bind("one", &pool("p"), "lb")], &mute).shares, []);
    let unknown = catalogue(snapshot("2001:db8:4::/48", &["2001:db8:3::/48"]), Snapshot::default());
    assert_eq!(bound(&[bind("one", &pool("p"), "lb,nets")], &unknown).shares, [], "a wrong name");
}

#[test]
fn the_parts_of_a_pool_are_those_of_its_bindings_else_of_its_annotations() {
    let catalogue = catalogue(snapshot("2001:db8:4::/48", &[]), Snapshot::default());
    let of = |bindings: &[Binding], with: &[(&str, &str)], discovery: bool| {
        let one = |bound: Bound| (bound.dynamic_prefix, bound.part);
        parts(&pool("p"), &annotated(with), bindings, discovery, &catalogue).into_iter().map(one).collect::<Vec<_>>()
    };
    let bindings = [bind("one", &pool("p"), "lb"), of_lab(bind("two", &pool("p"), "*")), bind("x", &pool("q"), "net")];
    let bound = [("home".to_owned(), part("lb")), ("lab".to_owned(), part("*"))];
    let asks = [("name", "home"), ("subnet", "net")];
    assert_eq!(of(&bindings, &asks, true), bound, "a binding wins");
    assert_eq!(of(&[], &asks, true), [("home".to_owned(), part("net"))]);
    assert_eq!(of(&[], &asks, false), []);
    assert_eq!(of(&[], &[("name", "home")], true), [], "a pool without a part holds nothing");
    assert_eq!(of(&[], &[("name", "other"), ("subnet", "net")], true), []);
}

#[test]
fn dead_is_what_its_drain_ended_for_or_died_later_and_nothing_that_drains() {
    let mut home = snapshot("2001:db8:99::/48", &[]);
    let ended =
        |number: u16, state, reason| Previous { reason, ..previous(net(&format!("2001:db8:{number}::/48")), state) };
    home.history = vec![
        ended(1, PreviousState::Draining, Reason::Replaced),
        ended(2, PreviousState::Expired, Reason::Dead),
        ended(3, PreviousState::Expired, Reason::Released),
        ended(4, PreviousState::Expired, Reason::DrainPeriodOver),
        ended(5, PreviousState::Expired, Reason::TooMany),
        Previous { died_later: true, ..ended(6, PreviousState::Expired, Reason::TooMany) },
    ];
    let catalogue = catalogue(home, Snapshot::default());
    let generations = &catalogue.dynamic_prefixes["home"].generations;
    let dead: Vec<(Role, bool)> = generations.iter().map(|generation| (generation.role, generation.dead)).collect();
    let known = [true, true, false, false, true].map(|dead| (Role::Known, dead));
    assert_eq!(dead, [&[(Role::Current, false), (Role::Draining, false)][..], &known].concat());
}

/// An index of subnets is one share in the order of the entry, as it is one list on the pool.
#[test]
fn a_list_of_subnets_is_one_share() {
    let subnet = Subnet { name: "many".into(), place: Place::Index(vec![0, 2]), prefix_length: 64 };
    let config = dynamic_prefix("home", Vec::new(), vec![subnet]);
    let catalogue = Catalogue::compute(&[config], &snapshots(&[("home", snapshot("2001:db8:4::/48", &[]))]));
    let want = bound(&[bind("one", &pool("p"), "many")], &catalogue);
    assert_eq!(told(&want.shares), ["0 home Current 2001:db8:4::/48: 2001:db8:4::/64 2001:db8:4:2::/64"]);
}
