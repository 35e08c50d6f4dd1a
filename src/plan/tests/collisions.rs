//! Services that want the same address.

use proptest::prelude::*;

use super::services::named;
use super::*;
use crate::config::ObjectRef;
use crate::plan::service::Claim;
use crate::plan::{Finding, collisions};

fn claim(name: &str, last: u16, key: Option<&str>) -> Claim {
    let address = Ipv6Addr::from_bits(address("2001:db8::").to_bits() | u128::from(last));
    Claim { service: named(name), address, sharing_key: key.map(str::to_owned) }
}

/// Name of each that collides, and of the one that it is told about.
fn collided(claims: &[Claim]) -> Vec<(String, String)> {
    let found = collisions(claims);
    assert!(found.values().all(|finding| (finding.reason, finding.blocks_write) == ("AddressCollision", true)));
    let other =
        |message: &str| message.split("Service/web/").nth(2).and_then(|rest| rest.split(' ').next().map(str::to_owned));
    let one = |(service, finding): (ObjectRef, Finding)| {
        assert!(finding.message.starts_with(&format!("{service} and ")), "{}", finding.message);
        (service.name, other(&finding.message).expect("another is named"))
    };
    found.into_iter().map(one).collect()
}

#[test]
fn two_services_with_one_address_are_both_told() {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let both = [pair("a", "b"), pair("b", "a")];
    assert_eq!(collided(&[claim("b", 2, None), claim("a", 2, None), claim("c", 3, None)]), both);
    for (one, two) in [(Some("k"), None), (None, Some("k")), (Some("k"), Some("l")), (Some(""), Some(""))] {
        assert_eq!(collided(&[claim("a", 2, one), claim("b", 2, two)]), both, "{one:?} {two:?}");
    }
    assert_eq!(collided(&[claim("a", 2, Some("k")), claim("b", 2, Some("k")), claim("c", 3, Some("k"))]), []);
    let message = &collisions(&[claim("a", 2, None), claim("b", 2, None)])[&named("a")].message;
    assert!(message.contains("2001:db8::2"), "{message}");

    let three = [claim("a", 2, Some("k")), claim("b", 2, Some("k")), claim("c", 2, Some("l"))];
    assert_eq!(collided(&three), [pair("a", "c"), pair("b", "c"), pair("c", "a")]);
    let three = [claim("a", 2, None), claim("b", 2, Some("k")), claim("c", 2, Some("k"))];
    assert_eq!(collided(&three), [pair("a", "b"), pair("b", "a"), pair("c", "a")]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Exactly those are told that meet one with which they do not share, and each is told of such a one.
    #[test]
    fn who_meets_a_stranger_is_told_of_one(
        of in proptest::collection::vec((0..3_u16, proptest::option::of(prop_oneof![Just(""), Just("k"), Just("l")])), 0..8),
    ) {
        let claims: Vec<Claim> = of.iter().enumerate().map(|(n, (last, key))| claim(&format!("s{n}"), *last, *key)).collect();
        let shares = |a: &Claim, b: &Claim| a.sharing_key == b.sharing_key && a.sharing_key.as_ref().is_some_and(|k| !k.is_empty());
        let meets = |a: &Claim, b: &Claim| a.service != b.service && a.address == b.address && !shares(a, b);
        let told: BTreeMap<String, String> = collided(&claims).into_iter().collect();
        for claim in &claims {
            let strangers: Vec<&String> = claims.iter().filter(|other| meets(claim, other)).map(|other| &other.service.name).collect();
            let other = told.get(&claim.service.name);
            prop_assert_eq!(other.is_some(), !strangers.is_empty());
            prop_assert!(other.is_none_or(|other| strangers.contains(&other)), "{:?} is no stranger", other);
        }
    }
}
