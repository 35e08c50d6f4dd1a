//! Table B, what is in a Reply: which prefixes of which IA_PD count (RFC 9915 §18.2.10.1, RFC 6603).

use super::answer::*;
use super::request::grant;
use super::world::*;
use crate::source::SourceState;
use crate::source::dhcpv6::Settings;
use crate::source::dhcpv6::wire::server::option;
use crate::source::dhcpv6::wire::{ClientMessage, IaPd, IaPrefix, ServerMessage};

/// Binds to a Reply of this content, after an Advertise of something else.
fn replied(settings: Settings, make: impl Fn(Answer) -> Answer) -> World {
    let mut world = World::requesting(settings, grant);
    let reply = make(world.reply());
    world.deliver(&reply);
    world
}

#[test]
fn t039_an_ia_pd_with_t1_after_t2_does_not_count() {
    let world = replied(two(), |reply| reply.pd(HOME, 90, 80, &[(A, 100, 200)]).pd(LAB, 50, 80, &[(B, 100, 200)]));
    assert_eq!(world.alive(), [B]);
    assert_eq!(world.offer(B).unwrap().recipient.as_deref(), Some("lab"));
}

#[test]
fn t040_a_prefix_preferred_longer_than_valid_does_not_count() {
    let world = replied(settings(), |reply| reply.pd(HOME, 50, 80, &[(A, 300, 200), (B, 100, 200)]));
    assert_eq!(world.alive(), [B]);
}

#[test]
fn t046_only_the_reply_says_what_is_delegated() {
    let world = replied(settings(), |reply| reply.pd(HOME, 50, 80, &[(B, 100, 200)]));
    assert_eq!(world.alive(), [B]);
    assert!(world.reports.iter().all(|(_, report)| report.offers.iter().all(|offer| offer.prefix != net(A))));
}

#[test]
fn t047_a_prefix_in_two_ia_pds_is_there_once() {
    let world = replied(two(), |reply| reply.pd(HOME, 50, 80, &[(A, 100, 200)]).pd(LAB, 50, 80, &[(A, 100, 200)]));
    assert_eq!(world.alive(), [A]);
}

#[test]
fn t048_host_bits_are_cleared() {
    let world = replied(settings(), |reply| reply.pd(HOME, 50, 80, &[("2001:db8:8288:ba1b:4619::/56", 100, 200)]));
    assert_eq!(world.alive(), ["2001:db8:8288:ba00::/56"]);
}

#[test]
fn t049_prefixes_of_no_use_are_ignored_and_told() {
    for bad in ["2001:db8::/0", "2001:db8::/65", "2001:db8::1/128", "fe80::/64", "ff00::/56", "::1/64", "::/56"] {
        let world = replied(settings(), |reply| reply.pd(HOME, 50, 80, &[(bad, 100, 200), (B, 100, 200)]));
        assert_eq!(world.alive(), [B], "{bad}");
        assert!(!world.report().notes.is_empty() || !world.notices.is_empty(), "{bad}");
    }
    // Lengths that an Ipv6Net cannot have.
    for length in [129, 200, 255] {
        let mut world = World::requesting(settings(), grant);
        let address = ip("2001:db8:a00::").octets();
        let bad = [&[0, 0, 0, 100, 0, 0, 0, 200, length], &address[..]].concat();
        let good = [&[0, 0, 0, 100, 0, 0, 0, 200, 56], &ip("2001:db8:b00::").octets()[..]].concat();
        let ia = [HOME, 50, 80].map(u32::to_be_bytes).concat();
        let reply = world.reply().option(25, &[ia, option(26, &bad), option(26, &good)].concat());
        world.grant(B, 200);
        world.deliver(&reply);
        assert_eq!(world.alive(), [B], "/{length}");
    }
}

/// An offer of nothing but useless prefixes is no offer.
#[test]
fn t049_useless_prefixes_are_not_requested() {
    let mut world = World::soliciting(settings());
    let answer = world.answer(ServerMessage::Advertise);
    let answer = answer.preference(255).pd(HOME, 50, 80, &[("fe80::/64", 100, 200), ("2001:db8::/65", 100, 200)]);
    world.deliver(&answer);
    world.run(secs(60.0));
    assert!(world.kinds().iter().all(|kind| *kind == ClientMessage::Solicit));
}

#[test]
fn t050_an_iaid_that_was_not_asked_for_is_ignored() {
    let world =
        replied(settings(), |reply| reply.pd(0xdead_beef, 1, 2, &[(B, 100, 200)]).pd(HOME, 50, 80, &[(A, 100, 200)]));
    assert_eq!(world.alive(), [A]);
}

#[test]
fn t051_eight_delegations_share_one_exchange() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let delegations = (1..).zip(names).map(|(iaid, name)| delegation(name, iaid)).collect();
    let prefixes: Vec<_> = (1..9).map(|number| net(&format!("2001:db8:1:{number}::/64")).to_string()).collect();
    let all = |answer: Answer| {
        (1..)
            .zip(&prefixes)
            .fold(answer, |answer, (iaid, prefix)| answer.pd(iaid, 40 + iaid, 80 + iaid, &[(prefix, 100, 200)]))
    };
    let mut world = World::bound_with(Settings { delegations, ..settings() }, all);
    assert_eq!(world.usable(), prefixes);
    let bound = world.now;
    let renew = world.next_of(ClientMessage::Renew);
    assert_eq!(renew.at.saturating_since(bound), secs(41.0), "the earliest T1");
    assert_eq!(renew.iaids(), [1, 2, 3, 4, 5, 6, 7, 8]);
    let reply = all(world.reply());
    world.deliver(&reply);
    let renew = world.next_of(ClientMessage::Renew);
    assert_eq!(renew.at.saturating_since(bound), secs(82.0), "one exchange for each T1");
    assert_eq!(world.sent.len(), 4);
}

#[test]
fn t055_one_good_prefix_of_two_is_enough() {
    let world = replied(settings(), |reply| reply.pd(HOME, 50, 80, &[(A, 100, 200), (B, 201, 200)]));
    assert_eq!((world.state(), world.alive()), (SourceState::Bound, vec![A.to_owned()]));
}

fn excluding(prefix: &str, excluded: Option<&str>) -> IaPd {
    let prefix = IaPrefix { excluded: excluded.map(net), ..super::answer::prefix(&(prefix, 100, 200)) };
    IaPd { iaid: HOME, t1: 50, t2: 80, status: status(0), prefixes: vec![prefix] }
}

#[test]
fn t056_an_excluded_prefix_is_carved_out() {
    for (prefix, excluded) in [
        ("2001:db8:0:ff00::/56", "2001:db8:0:ffff::/64"),
        ("2001:db8:0:ff00::/56", "2001:db8:0:ff08::/61"),
        ("2001:db8:0:fff0::/60", "2001:db8:0:fff7::/64"),
        ("2001:db8::/48", "2001:db8:0:1234::/64"),
    ] {
        let world = replied(settings(), |reply| reply.ia(excluding(prefix, Some(excluded))));
        assert_eq!(world.offer(prefix).unwrap().excluded, [net(excluded)]);
        assert!(world.sent.iter().all(|sent| sent.asks_for(67)), "PD_EXCLUDE is asked for (RFC 6603 §4.1)");
    }
}

/// An IA_PD with one prefix, "2001:db8:0:ff00::/56", and this OPTION_PD_EXCLUDE.
fn raw_exclude(world: &World, exclude: &[u8]) -> Answer {
    let prefix =
        [&[0, 0, 0, 100, 0, 0, 0, 200, 56], &ip("2001:db8:0:ff00::").octets()[..], &option(67, exclude)].concat();
    let ia = [HOME, 50, 80].map(u32::to_be_bytes).concat();
    world.reply().option(25, &[ia, option(26, &prefix)].concat())
}

#[test]
fn t056_a_wrong_exclusion_is_left_out() {
    // Not longer than the delegated prefix, longer than an address, too few and too many octets of the subnet id.
    for exclude in [&[56, 0][..], &[129, 0, 0], &[64, 1, 2], &[72, 1], &[64, 0, 0, 0]] {
        let mut world = World::requesting(settings(), grant);
        let reply = raw_exclude(&world, exclude);
        world.grant("2001:db8:0:ff00::/56", 200);
        world.deliver(&reply);
        assert!(world.offer("2001:db8:0:ff00::/56").unwrap().excluded.is_empty(), "{exclude:?}");
        assert!(!world.report().notes.is_empty() || !world.notices.is_empty(), "{exclude:?}");
    }
}

#[test]
fn t057_the_exclusion_as_kea_writes_it() {
    let mut world = World::requesting(settings(), grant);
    let reply = raw_exclude(&world, &[0x40, 0xff]);
    world.grant("2001:db8:0:ff00::/56", 200);
    world.deliver(&reply);
    assert_eq!(world.offer("2001:db8:0:ff00::/56").unwrap().excluded, [net("2001:db8:0:ffff::/64")]);
}
