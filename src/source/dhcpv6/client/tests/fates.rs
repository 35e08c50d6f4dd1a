//! What becomes of leases when servers, links and settings do what they rarely do.

use ClientMessage::{Rebind, Release, Renew, Request, Solicit};

use super::answer::*;
use super::world::*;
use crate::source::dhcpv6::client::Client;
use crate::source::dhcpv6::wire::{ClientMessage, IaPd, ServerMessage};
use crate::source::dhcpv6::{AddressLease, Duid, DuidSetting, Memory, Settings};
use crate::source::link::LinkState;
use crate::source::{Cut, SourceState};
use crate::time::Deadline;

/// A long lease, as the next run is given it.
fn remembered() -> Memory {
    World::bound_with(settings(), |answer| answer.pd(HOME, 302_400, 483_840, &[(A, 604_800, 2_592_000)])).memory()
}

fn ppp() -> LinkState {
    LinkState { mac: None, ..up() }
}

fn is_pending(world: &World) -> bool {
    world.report().pending.contains("home")
}

/// DC-061, T-091: after a reboot a PPP session is another one, and the access concentrator knows neither the lease nor
/// answers what it does not know (dhcpcd#76).
#[test]
fn a_restart_on_a_point_to_point_link_solicits_when_nobody_answers_the_rebind() {
    let mut world = World::absent(settings(), remembered(), 1, START + secs(100.0));
    world.link(Some(ppp()));
    world.next_of(Rebind);
    let solicit = world.until_sent(Solicit);
    assert!(solicit.at <= START + secs(115.0), "{:?}", world.kinds());
    assert_eq!((solicit.pd(HOME), world.usable()), (Some(vec![A.to_owned()]), vec![A.to_owned()]), "used meanwhile");
    let advertise = world.answer(ServerMessage::Advertise).preference(255).pd(HOME, 50, 80, &[(A, 100, 200)]);
    world.deliver(&advertise);
    let reply = world.reply().pd(HOME, 50, 80, &[(A, 100, 200)]);
    world.deliver(&reply);
    world.link(Some(LinkState { up: false, ..ppp() }));
    world.link(Some(ppp()));
    world.next_of(Rebind);
    assert_eq!(world.next_of(Rebind).pd(HOME), Some(vec![A.to_owned()]));
    world.run(secs(12.0));
    assert_eq!(world.state(), SourceState::Bound, "a lease of this session is not given up (DC-129)");
}

#[test]
fn sources_of_lower_rank_do_not_wait_for_a_link_that_stays_down() {
    let mut world = World::absent(settings(), Memory::new(our_duid()), 1, START);
    world.link(Some(down()));
    world.run(secs(59.0));
    assert!(is_pending(&world), "it may come up yet");
    world.run(secs(2.0));
    assert!(!is_pending(&world), "nothing is held, and nothing can be asked");
    world.link(Some(up()));
    assert!(is_pending(&world), "now it is asked");
    world.run(secs(61.0));
    assert!(!is_pending(&world), "in vain");
}

#[test]
fn a_lease_that_ends_while_the_link_is_down_leaves_the_field() {
    let mut world = World::bound();
    world.link(Some(down()));
    world.run(secs(199.0));
    assert!(is_pending(&world), "a lease that is held is used to its end");
    world.run(secs(2.0));
    assert!(world.alive().is_empty() && !is_pending(&world));
}

/// One of two delegations ends, and the other is extended for days.
#[test]
fn what_is_missing_beside_a_long_lease_is_asked_for_soon_and_less_and_less_often() {
    let both = |answer: Answer| {
        answer.pd(HOME, 50, 80, &[(A, 100, 200)]).pd(LAB, 302_400, 483_840, &[(B, 604_800, 2_592_000)])
    };
    let mut world = World::bound_with(two(), both);
    world.next_of(Renew);
    let reply = world.reply().pd(LAB, 302_400, 483_840, &[(B, 604_800, 2_592_000)]).ia(IaPd {
        iaid: HOME,
        t1: 0,
        t2: 0,
        status: status(NO_PREFIX_AVAIL),
        prefixes: vec![prefix(&(A, 0, 0))],
    });
    world.deliver(&reply);
    assert_eq!(world.alive(), [B]);
    let refused = |world: &World| {
        world.reply().pd(LAB, 302_400, 483_840, &[(B, 604_800, 2_592_000)]).pd_status(HOME, NO_PREFIX_AVAIL)
    };
    let count = world.sent.len();
    for _ in 0..12 {
        world.next_of(Renew);
        let reply = refused(&world);
        world.deliver(&reply);
    }
    let gaps = world.gaps(count - 1);
    assert!(gaps[0] <= 60.0, "{gaps:?}");
    assert!(gaps.windows(2).all(|pair| pair[0] <= pair[1] + 1.0), "{gaps:?}");
    assert!(gaps.last().is_some_and(|gap| (3000.0..4000.0).contains(gap)), "SOL_MAX_RT: {gaps:?}");
}

/// RFC 9915 §18.2.12 lets it confirm the address; the prefix is asked for all the same.
#[test]
fn a_prefix_that_is_missing_beside_an_address_is_asked_for_soon() {
    let end = |seconds: f64| Deadline::At(START + secs(seconds));
    let address = AddressLease {
        iaid: HOME,
        address: ip("2001:db8:1::c"),
        t1: end(302_400.0),
        t2: end(483_840.0),
        preferred_until: end(604_800.0),
        valid_until: end(2_592_000.0),
    };
    let memory = Memory { server: Some(server(1)), address: Some(address), ..Memory::new(our_duid()) };
    let settings = Settings { request_address: true, ..settings() };
    let mut world = World::started(settings, memory, 1, START);
    world.next_of(ClientMessage::Confirm);
    let success = world.reply().with(|message| message.status = status(0));
    world.deliver(&success);
    let renew = world.sent_within(1, secs(60.0)).expect("a Renew");
    assert_eq!((renew.kind, renew.pd(HOME)), (Renew, Some(vec![])));
}

/// DC-013: a Request that is refused beside a lease whose T1 is over.
#[test]
fn a_server_that_refuses_forever_is_not_asked_forever_at_the_limit_of_the_rate() {
    let both = |answer: Answer| {
        answer.pd(HOME, 5_000, 8_000, &[(A, 100_000, 200_000)]).pd(LAB, 5_000, 8_000, &[(B, 100_000, 200_000)])
    };
    let mut world = World::bound_with(two(), both);
    world.next_of(Renew);
    let end = world.now + secs(1_000.0);
    let count = world.sent.len();
    while world.now < end {
        let before = world.sent.len();
        let answer = match world.last().kind {
            Renew => world.reply().pd_status(HOME, NO_BINDING),
            Request => world.reply().pd_status(HOME, NO_PREFIX_AVAIL),
            other @ (Solicit | Rebind | Release | ClientMessage::Confirm | ClientMessage::InformationRequest) => {
                panic!("{other:?}")
            }
        };
        world.deliver(&answer);
        if world.sent_within(before, secs(1_000.0)).is_none() {
            break;
        }
    }
    let sent = world.sent.len() - count;
    assert!(sent < 60, "{sent} messages in 1000 s");
    assert_eq!(world.alive(), [A, B]);
}

/// A server that lost its leases may give each delegation the prefix of the other.
#[test]
fn two_delegations_may_change_places() {
    let both = |answer: Answer| answer.pd(HOME, 50, 80, &[(A, 100, 200)]).pd(LAB, 50, 80, &[(B, 100, 200)]);
    let mut world = World::bound_with(two(), both);
    world.next_of(Renew);
    let answer = world.reply().pd_status(HOME, NO_BINDING).pd_status(LAB, NO_BINDING);
    world.deliver(&answer);
    assert_eq!(world.last().kind, Request);
    let reply = world.reply().pd(HOME, 50, 80, &[(B, 100, 200)]).pd(LAB, 50, 80, &[(A, 100, 200)]);
    world.deliver(&reply);
    assert_eq!(world.state(), SourceState::Bound);
    let of = |name: &str| {
        let offers = &world.report().offers;
        let live = offers.iter().filter(|offer| offer.recipient.as_deref() == Some(name) && offer.cut.is_none());
        live.map(|offer| offer.prefix.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((of("home"), of("lab")), (vec![B.to_owned()], vec![A.to_owned()]));
}

/// DC-094: the one who holds it keeps it, whatever the order.
#[test]
fn a_prefix_that_another_delegation_holds_is_not_taken_twice() {
    let mut world =
        World::bound_with(two(), |answer| answer.pd(LAB, 50, 80, &[(B, 100, 200)]).pd_status(HOME, NO_PREFIX_AVAIL));
    world.next_of(Renew);
    let reply = world.reply().pd(HOME, 50, 80, &[(B, 100, 200)]).pd(LAB, 50, 80, &[(B, 100, 200)]);
    world.deliver(&reply);
    let offers = &world.report().offers;
    let held: Vec<_> = offers.iter().map(|offer| (offer.recipient.as_deref(), offer.cut)).collect();
    assert_eq!(held, [(Some("lab"), None)]);
}

/// The server goes back to the former prefix, and is silent about the one between.
#[test]
fn a_prefix_that_comes_back_replaces_the_one_that_replaced_it() {
    let mut world = World::bound();
    for (prefix, gone) in [(B, A), (A, B), (B, A)] {
        world.next_of(Renew);
        let reply = world.reply().pd(HOME, 50, 80, &[(prefix, 100, 200)]);
        world.deliver(&reply);
        assert_eq!(world.usable(), [prefix]);
        assert_eq!(world.offer(gone).and_then(|offer| offer.cut), Some(Cut::Unlisted));
    }
}

/// A line that is dialled again and again, with another prefix each time.
#[test]
fn forty_sessions_in_ten_minutes_leave_the_last_prefix() {
    let mut world = World::bound();
    for session in 0..40_u32 {
        world.link(None);
        world.run(secs(5.0));
        let ifindex = IFINDEX + 1 + session;
        world.link(Some(LinkState { ifindex, ..ppp() }));
        world.next_of(Rebind);
        let prefix = format!("2001:db8:{:x}::/56", 0x1000 + session);
        let reply = world.reply().pd(HOME, 50, 80, &[(&prefix, 100, 200)]).bytes();
        world.grant(&prefix, 200);
        world.deliver_to(ip(OURS), ifindex, &reply);
        assert_eq!(world.usable(), [prefix]);
    }
}

/// Whoever changes `duid` and restarts wants the same as whoever reloads: the server knows no lease of the new one.
#[test]
fn another_duid_after_a_restart_solicits() {
    let other = Duid::new(&[0, 2, 0, 0, 0, 9, 1]).expect("a DUID");
    let settings = Settings { duid: DuidSetting::Fixed(other), ..settings() };
    let mut client = Client::new(settings, remembered(), [7; 32], START);
    client.handle_link(Some(up()), START);
    let due = client.poll_timeout().expect("something to do").0;
    client.handle_timeout(due);
    let first = client.poll_transmit().expect("a message");
    assert_eq!(first[0], 1, "a Solicit");
    let report = client.poll_report().expect("a report");
    assert!(report.offers.iter().any(|offer| offer.prefix == net(A) && offer.cut.is_none()), "used meanwhile");
    assert_eq!(report.client.and_then(|memory| memory.server.clone()), None);
}

#[test]
fn a_delegation_with_another_iaid_is_asked_for_at_once() {
    let both = |answer: Answer| {
        answer.pd(HOME, 50_000, 80_000, &[(A, 100_000, 200_000)]).pd(LAB, 50_000, 80_000, &[(B, 100_000, 200_000)])
    };
    let mut world = World::bound_with(two(), both);
    let count = world.sent.len();
    let delegations = vec![delegation("home", HOME + 1), delegation("lab", LAB)];
    world.reconfigure(Settings { delegations, ..two() });
    let renew = world.sent_within(count, secs(30.0)).expect("an early Renew");
    assert_eq!((renew.kind, renew.pd(HOME + 1)), (Renew, Some(vec![A.to_owned()])));
}

#[test]
fn a_second_release_does_not_cut_the_first_short() {
    let both = |answer: Answer| answer.pd(HOME, 50, 80, &[(A, 100, 200)]).pd(LAB, 50, 80, &[(B, 100, 200)]);
    let mut world = World::bound_with(two(), both);
    let count = world.sent.len();
    assert!(world.release("home"));
    assert!(world.release("lab"));
    let first = world.sent_within(count, secs(1.0)).expect("a Release");
    assert_eq!((first.kind, first.iaids()), (Release, vec![HOME]));
    let second = world.sent_within(count + 1, secs(1.0)).expect("a Release");
    assert_eq!((second.kind, second.iaids()), (Release, vec![HOME, LAB]), "the server has not answered for the first");
}

/// DC-030, DC-042: what has ended is in no message, whatever event comes before the timer.
#[test]
fn a_link_that_comes_back_after_the_end_of_the_lease_solicits() {
    let mut world = World::bound();
    world.link(Some(down()));
    world.now = world.now + secs(3_000.0);
    world.link(Some(up()));
    assert_eq!(world.next().kind, Solicit);
}

/// A home router beside the one that delegates: it knows nothing of the lease, and may be faster.
#[test]
fn after_a_link_event_another_server_takes_nothing_away_before_the_own_one_had_its_say() {
    let mut world = World::bound();
    for refusal in [
        |answer: Answer| answer.pd_status(HOME, NO_BINDING),
        |answer: Answer| answer.status(NO_BINDING),
        |answer: Answer| answer.pd(HOME, 50, 80, &[(A, 0, 0), (B, 100, 200)]),
    ] {
        world.link(Some(down()));
        world.link(Some(up()));
        world.next_of(Rebind);
        let foreign = refusal(world.reply().from(2));
        world.deliver(&foreign);
        assert_eq!((world.last().kind, world.usable()), (Rebind, vec![A.to_owned()]));
        let own = world.reply().pd(HOME, 50, 80, &[(A, 100, 200)]);
        world.deliver(&own);
        assert_eq!((world.state(), world.memory().server), (SourceState::Bound, Some(server(1))));
    }
    // When it is silent, the other one counts from the second transmission on.
    world.link(Some(down()));
    world.link(Some(up()));
    world.next_of(Rebind);
    world.next_of(Rebind);
    let foreign = world.reply().from(2).pd_status(HOME, NO_BINDING);
    world.deliver(&foreign);
    assert_eq!((world.last().kind, world.last().server.clone()), (Request, Some(server(2))));
}
