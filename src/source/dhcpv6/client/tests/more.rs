//! Table I: requirements with no external test.

use super::answer::*;
use super::request::grant;
use super::world::*;
use crate::source::SourceState;
use crate::source::dhcpv6::wire::{ClientMessage, ServerMessage};
use crate::source::dhcpv6::{AddressLease, Delegation, Duid, Memory, RawOption, RawOptionMessages, Settings};
use crate::source::link::{LinkAddress, LinkState};
use crate::time::Deadline;

use ClientMessage::{Confirm, Rebind, Renew, Request, Solicit};
use ServerMessage::{Advertise, Reply};

#[test]
fn t147_server_unicast_is_ignored() {
    let unicast = ip("2001:db8::547").octets();
    let mut world = World::bound_with(settings(), |answer| grant(answer).option(12, &unicast));
    // There is no way to send but to ff02::1:2 (`poll_transmit`); what can be seen is that the client goes on as ever.
    let renew = world.next_of(Renew);
    assert!(world.sent.iter().all(|sent| !sent.asks_for(12)));
    let reply = grant(Answer::to(&renew, Reply, 1)).option(12, &unicast);
    world.deliver(&reply);
    assert_eq!(world.state(), SourceState::Bound);
}

#[test]
fn t148_nothing_is_sent_before_the_link_local_address_is_there() {
    let tentative = vec![LinkAddress { address: ip(OURS), tentative: true }];
    let global = vec![LinkAddress { address: ip("2001:db8::c"), tentative: false }];
    for addresses in [tentative, global, Vec::new()] {
        let mut world = World::absent(settings(), Memory::new(our_duid()), 1, START);
        world.link(Some(LinkState { addresses, ..up() }));
        world.run(secs(600.0));
        assert_eq!((world.sent.len(), world.state()), (0, SourceState::NoLinkLocal));
        world.link(Some(up()));
        assert!(world.next_within(secs(1.0)).is_some_and(|sent| sent.kind == Solicit));
    }
}

#[test]
fn t149_a_server_id_is_opaque() {
    let odd: Vec<Vec<u8>> = vec![vec![0, 9, 1], vec![0xff; 130], (0..40).collect(), b"\0\x02text".to_vec()];
    for octets in odd {
        let duid = Duid::new(&octets).expect("a DUID");
        let mut world = World::soliciting(settings());
        let answer =
            grant(world.answer(Advertise)).preference(255).with(|message| message.server_id = Some(duid.clone()));
        world.deliver(&answer);
        assert_eq!((world.last().kind, &world.last().server), (Request, &Some(duid)));
    }
    for length in [1, 2, 131, 200] {
        let mut world = World::soliciting(settings());
        let answer = grant(world.answer(Advertise)).preference(255).with(|message| message.server_id = None);
        world.deliver(&answer.option(2, &vec![1; length]));
        world.run(secs(30.0));
        assert!(world.kinds().iter().all(|kind| *kind == Solicit), "{length} octets");
    }
}

#[test]
fn t150_a_retransmission_leaves_out_what_has_ended() {
    let both = [(A, 40, 60), (B, 100, 200)];
    let mut world = World::bound_with(settings(), |answer| answer.pd(HOME, 50, 150, &both));
    let start = world.now;
    let first = world.next_of(Renew);
    assert_eq!(first.pd(HOME), Some(vec![A.to_owned(), B.to_owned()]));
    loop {
        let again = world.next_of(Renew);
        assert_eq!(again.xid, first.xid);
        assert!(again.elapsed > 0);
        if again.at >= start + secs(60.0) {
            assert_eq!(again.pd(HOME), Some(vec![B.to_owned()]));
            break;
        }
        assert_eq!(again.pd(HOME), Some(vec![A.to_owned(), B.to_owned()]));
    }
}

#[test]
fn t151_after_a_link_event_delegations_are_rebound_and_never_confirmed() {
    for request_address in [false, true] {
        let settings = Settings { request_address, ..settings() };
        let mut world = World::bound_with(settings, |answer| {
            let answer = grant(answer);
            if request_address { answer.na(HOME, 50, 80, "2001:db8:1::c") } else { answer }
        });
        world.link(Some(down()));
        world.run(secs(3.0));
        assert_eq!(world.alive(), [A], "a lease outlives its carrier");
        let count = world.sent.len();
        world.link(Some(up()));
        let rebind = world.next_within(secs(1.0)).expect("a Rebind within a second");
        assert_eq!((rebind.kind, rebind.pd(HOME)), (Rebind, Some(vec![A.to_owned()])));
        assert_eq!(rebind.message.addresses.len(), usize::from(request_address));
        world.run(secs(300.0));
        assert!(world.sent[count..].iter().all(|sent| sent.kind != Confirm));
    }
}

fn raw(messages: RawOptionMessages) -> Vec<RawOption> {
    let option = |code, data: &[u8]| RawOption { code, data: data.to_vec(), messages };
    vec![
        option(11, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a]),
        option(15, b"\0\x03abc"),
        option(16, b"\0\0\x04\x0e\0\x05sagem"),
        option(17, &[0, 0, 5, 0x58]),
    ]
}

#[test]
fn t153_raw_options_go_into_the_messages_they_are_meant_for() {
    for messages in [RawOptionMessages::All, RawOptionMessages::Establishing] {
        let wanted = raw(messages);
        let contents = |raw_options: &[RawOption]| -> Vec<_> {
            let mut all: Vec<_> = raw_options.iter().map(|option| (option.code, option.data.clone())).collect();
            all.sort();
            all
        };
        let mut world = World::bound_with(Settings { raw_options: wanted.clone(), ..settings() }, grant);
        world.until_sent(Rebind);
        for sent in &world.sent {
            let establishing = matches!(sent.kind, Solicit | Request);
            let here = establishing || messages == RawOptionMessages::All;
            let expected = if here { contents(&wanted) } else { Vec::new() };
            assert_eq!(contents(&sent.message.raw_options), expected, "{:?}", sent.kind);
        }
        assert!(world.kinds().contains(&Renew));
    }
}

fn hinted(requested_length: Option<u8>, hint: Option<&str>) -> Settings {
    let home = Delegation { requested_length, hint: hint.map(net), ..delegation("home", HOME) };
    Settings { delegations: vec![home], ..settings() }
}

#[test]
fn t154_prefix_hints() {
    let asked = |settings| World::soliciting(settings).last().pd(HOME).unwrap();
    assert_eq!(asked(hinted(Some(56), None)), ["::/56"]);
    assert_eq!(asked(hinted(None, Some("2001:db8:a00::/56"))), [A]);
    assert!(asked(hinted(Some(56), Some("2001:db8:a00::/56"))).contains(&A.to_owned()));
    assert_eq!(asked(settings()), [""; 0]);
    // Another size: the current prefix, and beside it the length (RFC 8168 §3.4).
    let mut world = World::bound_with(hinted(Some(56), None), grant);
    world.reconfigure(hinted(Some(48), None));
    assert_eq!(world.until_sent(Renew).pd(HOME), Some(vec![A.to_owned(), "::/48".to_owned()]));
}

/// That a server's choice is taken and told of; T-155 itself is about Kea.
#[test]
fn t155_an_ignored_hint_is_told() {
    let world = World::bound_with(hinted(Some(48), None), grant);
    assert_eq!(world.usable(), [A]);
    let notes = world.report().notes.join("\n");
    assert!(notes.contains("/48") && notes.contains("/56"), "{notes:?}");
}

#[test]
fn t156_when_the_chosen_server_dies_the_runner_up_is_asked() {
    let mut world = World::soliciting(settings());
    let offers = [(1, 10, A), (2, 5, B), (3, 1, C)];
    for (number, preference, prefix) in offers {
        let answer = world.answer(Advertise).from(number).preference(preference);
        world.deliver(&answer.pd(HOME, 50, 80, &[(prefix, 100, 200)]));
    }
    for _ in 0..10 {
        assert_eq!(world.next_of(Request).server, Some(server(1)));
    }
    let second = world.next_of(Request);
    assert_eq!((&second.server, second.pd(HOME)), (&Some(server(2)), Some(vec![B.to_owned()])));
    let reply = Answer::to(&second, Reply, 2).pd(HOME, 50, 80, &[(B, 100, 200)]);
    world.deliver(&reply);
    assert_eq!((world.usable(), world.memory().server), (vec![B.to_owned()], Some(server(2))));
}

#[test]
fn t158_statuses_at_every_level() {
    let mut world = World::bound_with(Settings { request_address: true, ..settings() }, |answer| {
        grant(answer).na_status(HOME, NO_ADDRS_AVAIL)
    });
    assert_eq!(world.usable(), [A], "an address that is refused does not touch the delegation");
    world.next_of(Renew);
    let answered = world.now;
    let reply = world.reply().status(999);
    world.deliver(&reply);
    assert_eq!(world.usable(), [A]);
    let again = world.next_of(Renew);
    assert!(again.at >= answered + secs(0.9), "as UnspecFail: again, but not at once");
    let reply = grant(world.reply()).with(|message| message.status = status(0));
    world.deliver(&reply);
    assert_eq!(world.state(), SourceState::Bound, "Success with a text is Success");
}

/// The memory of a run that was given an address and no prefix.
fn only_an_address() -> Memory {
    let end = |seconds: f64| Deadline::At(START + secs(seconds));
    let address = AddressLease {
        iaid: HOME,
        address: ip("2001:db8:1::c"),
        t1: end(1800.0),
        t2: end(2880.0),
        preferred_until: end(3600.0),
        valid_until: end(7200.0),
    };
    Memory { server: Some(server(1)), address: Some(address), ..Memory::new(our_duid()) }
}

#[test]
fn t159_one_success_among_the_answers_to_a_confirm_wins() {
    let settings = Settings { request_address: true, ..settings() };
    let mut world = World::started(settings, only_an_address(), 1, START + secs(100.0));
    let confirm = world.next_within(secs(1.0)).expect("a Confirm within a second");
    assert_eq!((confirm.kind, confirm.message.delegations.len()), (Confirm, 0));
    let success = Answer::to(&confirm, Reply, 2).with(|message| message.status = status(0));
    world.deliver(&success);
    let refused = Answer::to(&confirm, Reply, 1).status(NOT_ON_LINK);
    world.deliver(&refused);
    assert!(world.memory().address.is_some(), "{:?}", world.notices);
    assert!(world.next().kind != Confirm);
}

#[test]
fn t160_a_lease_is_kept_while_it_is_solicited_again() {
    let mut world = World::bound();
    let end = world.now + secs(200.0);
    world.until_sent(Rebind);
    // Every server answers, and none will have it.
    while world.now < end - secs(5.0) && world.last().kind != Solicit {
        let count = world.sent.len();
        match world.last().kind {
            Rebind => {
                let answer = world.reply().pd_status(HOME, NO_BINDING);
                world.deliver(&answer);
            }
            Request => {
                let answer = world.reply().pd_status(HOME, NO_PREFIX_AVAIL);
                world.deliver(&answer);
            }
            other @ (Solicit | Confirm | Renew | ClientMessage::Release | ClientMessage::InformationRequest) => {
                panic!("{other:?}")
            }
        }
        world.sent_within(count, secs(10.0));
    }
    assert_eq!(world.last().kind, Solicit);
    assert_eq!(world.alive(), [A], "kept until its valid end, or another Reply");
    assert!(!world.report().notes.is_empty(), "and said to be in doubt");
    world.run_until(end);
    assert!(world.alive().is_empty());
}

#[test]
fn t166_what_is_refused_does_not_spoil_what_is_granted() {
    let settings = Settings { request_address: true, ..settings() };
    let mut world = World::bound_with(settings.clone(), |answer| grant(answer).na_status(HOME, NO_ADDRS_AVAIL));
    assert_eq!(world.usable(), [A]);
    assert_eq!(world.next_of(Renew).pd(HOME), Some(vec![A.to_owned()]));

    let mut world = World::soliciting(settings);
    for kind in [Advertise, Reply] {
        let answer = world.answer(kind).preference(255);
        world.deliver(&answer.na(HOME, 50, 80, "2001:db8:1::c").pd_status(HOME, NO_PREFIX_AVAIL));
        if world.last().kind == Solicit {
            // An offer of nothing but an address is no offer to this client: it is there for prefixes.
            return;
        }
    }
    assert!(world.usable().is_empty());
    let renew = world.until_sent(Renew);
    assert_eq!(renew.iaids(), [HOME], "the delegation is asked for again");
}

#[test]
fn t166_a_refused_delegation_is_asked_for_again_in_renew() {
    let mut world =
        World::bound_with(two(), |answer| answer.pd(HOME, 50, 80, &[(A, 100, 200)]).pd_status(LAB, NO_PREFIX_AVAIL));
    assert_eq!(world.usable(), [A]);
    let renew = world.next_of(Renew);
    assert_eq!((renew.iaids(), renew.pd(LAB)), (vec![HOME, LAB], Some(vec![])));
    let reply = world.reply().pd(HOME, 50, 80, &[(A, 100, 200)]).pd(LAB, 50, 80, &[(B, 100, 200)]);
    world.deliver(&reply);
    assert_eq!(world.usable(), [A, B]);
}

#[test]
fn t168_another_interface_identifier_is_no_event() {
    let mut world = World::bound();
    let reports = world.reports.len();
    let mut link = up();
    link.addresses.push(LinkAddress { address: ip("2001:db8:f::1"), tentative: false });
    world.link(Some(link.clone()));
    link.addresses[1].address = ip("2001:db8:f::2");
    world.link(Some(link));
    assert_eq!((world.state(), world.reports.len()), (SourceState::Bound, reports));
    assert_eq!(world.next().kind, Renew, "at T1, as ever");
    assert_eq!(world.offer(A).unwrap().first_seen, world.sent[1].at);
}

#[test]
fn t169_the_iaid_does_not_depend_on_the_interface() {
    let automatic = Settings { delegations: vec![Delegation { iaid: None, ..delegation("home", 0) }], ..settings() };
    let mut iaids = Vec::new();
    for (ifindex, mac) in [(3, Some([2, 0, 0, 0, 0, 9])), (900, None)] {
        let mut world = World::absent(automatic.clone(), Memory::new(our_duid()), 1, START);
        world.link(Some(LinkState { ifindex, mac, ..up() }));
        iaids.push(world.next_of(Solicit).iaids());
        world.link(None);
        world.link(Some(LinkState { ifindex: ifindex + 1, mac: None, ..up() }));
        iaids.push(world.next_of(Solicit).iaids());
    }
    assert!(iaids.iter().all(|other| *other == iaids[0] && other.len() == 1), "{iaids:?}");
}

#[test]
fn another_link_local_address_rebinds() {
    let mut world = World::bound();
    let address = LinkAddress { address: ip("fe80::d"), tentative: false };
    world.link(Some(LinkState { addresses: vec![address], ..up() }));
    assert!(world.next_within(secs(1.0)).is_some_and(|sent| sent.kind == Rebind));
}

#[test]
fn a_delegation_more_is_asked_for_while_bound_and_one_less_is_forgotten() {
    let mut world = World::bound();
    let count = world.sent.len();
    world.reconfigure(two());
    let renew = world.sent_within(count, secs(30.0)).expect("an early Renew");
    assert_eq!((renew.kind, renew.iaids(), renew.pd(LAB)), (Renew, vec![HOME, LAB], Some(vec![])));
    let reply = world.reply().pd(HOME, 50, 80, &[(A, 100, 200)]).pd(LAB, 50, 80, &[(B, 100, 200)]);
    world.deliver(&reply);
    assert_eq!(world.usable(), [A, B]);
    world.reconfigure(Settings { delegations: vec![delegation("lab", LAB)], ..settings() });
    assert_eq!(world.next_of(Renew).iaids(), [LAB]);
}
