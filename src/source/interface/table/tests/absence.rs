//! What it means when an address is gone.

use super::*;

#[test]
fn a_removed_address_is_not_valid_any_more_but_not_at_once() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, None);
    lab.remove(100, A1);
    assert_eq!(lab.cut(A), None);
    assert_eq!(lab.table.report().next_wake, Some((at(115), "believe-removal")));
    lab.advance_to(115);
    let offer = lab.offer(A).expect("whoever has it learns of its end");
    assert_eq!((offer.cut, offer.valid_until), (Some(Cut::Withdrawn), Deadline::At(at(115))));
    assert_eq!(lab.state(), SourceState::NoAddress);
    lab.advance_to(115 + 3600);
    assert_eq!(lab.offer(A), None);
}

/// The address is of no use, for somebody else has it, too; the prefix is there all the same.
#[test]
fn a_duplicate_address_keeps_its_prefix() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, None);
    lab.change(100, Address { detection: Detection::Failed, ..address(A1, at(100), None) });
    lab.advance_to(1000);
    assert_eq!((lab.cut(A), lab.state()), (None, SourceState::Receiving));
    lab.remove(1000, A1);
    lab.advance_to(1015);
    assert_eq!(lab.cut(A), Some(Cut::Withdrawn), "now it is gone");
}

/// After the link was away somebody else has the address: each Router Advertisement brings it, and the kernel takes it away.
#[test]
fn the_prefix_of_a_duplicate_lives_as_long_as_anybody_says() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, Some((600, 1200)));
    lab.add(1, B1, Some((60, 120)));
    for time in [500, 1000, 1500] {
        lab.change(time, Address { detection: Detection::Running, ..address(A1, at(time), Some((600, 1200))) });
        lab.change(time + 1, Address { detection: Detection::Failed, ..address(A1, at(time), Some((600, 1200))) });
        lab.remove(time + 1, A1);
        lab.add(time + 50, B1, Some((600, 1200)));
        lab.advance_to(time + 100);
        let offer = lab.offer(A).expect("an offer");
        assert_eq!((offer.cut, offer.valid_until), (None, Deadline::At(at(time + 1200))), "{time}");
        assert_eq!((offer.preferred_until, lab.state()), (Deadline::At(at(time + 600)), SourceState::Receiving));
    }
    // The router deprecates it.
    lab.change(1700, Address { detection: Detection::Running, ..address(A1, at(1700), Some((0, 1200))) });
    lab.change(1701, Address { detection: Detection::Failed, ..address(A1, at(1700), Some((0, 1200))) });
    lab.remove(1701, A1);
    let offer = lab.offer(A).expect("an offer");
    assert_eq!((offer.cut, offer.preferred_until), (Some(Cut::Deprecated), Deadline::At(at(1700))));
    lab.remove(1701, B1);
    lab.advance_to(2899);
    assert_eq!(lab.state(), SourceState::Receiving);
    lab.advance_to(2900);
    assert_eq!(lab.state(), SourceState::NoAddress);
    lab.advance_to(2900 + 3600);
    assert_eq!(lab.offer(A), None, "it has run out long ago");
}

/// It is gone for another reason, or another interface has come.
#[test]
fn a_prefix_with_a_duplicate_does_not_outlive_its_interface() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, Some((600, 1200)));
    lab.change(100, Address { detection: Detection::Failed, ..address(A1, at(100), Some((600, 1200))) });
    lab.remove(100, A1);
    lab.link(200, link(2, false));
    lab.link(201, link(2, true));
    lab.add(201, B1, None);
    lab.advance_to(203);
    assert_eq!((lab.cut(A), lab.cut(B)), (Some(Cut::Unlisted), None));
}

#[test]
fn what_may_not_be_used_brings_nothing_back_that_has_ended() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, Some((6000, 9000)));
    lab.remove(100, A1);
    lab.advance_to(115);
    for detection in [Detection::Running, Detection::Failed] {
        lab.change(200, Address { detection, ..address(A1, at(200), Some((6000, 9000))) });
        let offer = lab.offer(A).expect("an offer");
        assert_eq!((offer.cut, offer.valid_until), (Some(Cut::Withdrawn), Deadline::At(at(115))), "{detection:?}");
    }
    lab.add(300, A1, Some((6000, 9000)));
    assert_eq!(lab.cut(A), None);
}

#[test]
fn a_replaced_prefix_ends_soon() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, None);
    lab.add(100, B1, None);
    lab.remove(100, A1);
    lab.advance_to(101);
    assert_eq!(lab.cut(A), None);
    lab.advance_to(102);
    assert_eq!((lab.cut(A), lab.cut(B)), (Some(Cut::Withdrawn), None));
}

#[test]
fn a_prefix_that_the_filter_refuses_replaces_nothing() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, "fd00:1:2:3::1/64", None);
    lab.add(1, A1, None);
    lab.remove(100, A1);
    lab.advance_to(114);
    assert_eq!(lab.cut(A), None);
    lab.advance_to(115);
    assert_eq!(lab.cut(A), Some(Cut::Withdrawn));
}

#[test]
fn an_address_that_is_replaced_by_itself_or_a_neighbour_was_never_gone() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, Some((600, 1200)));
    lab.remove(100, A1);
    lab.change(101, Address { detection: Detection::Running, ..address("2001:db8:a::2/64", at(101), None) });
    lab.advance_to(200);
    assert_eq!(lab.cut(A), None, "a tentative one holds its place");
    lab.add(201, "2001:db8:a::2/64", None);
    assert_eq!((lab.cut(A), lab.offer(A).expect("an offer").first_seen), (None, at(1)));
}

#[test]
fn what_comes_back_after_its_end_is_new() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, None);
    lab.remove(100, A1);
    lab.add(500, A1, None);
    let offer = lab.offer(A).expect("an offer");
    assert_eq!((offer.cut, offer.first_seen, offer.valid_until), (None, at(500), Deadline::Never));
}

/// The kernel removes all addresses first, and then says that the interface is down.
#[test]
fn an_interface_that_goes_down_takes_nothing_away() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, Some((6000, 9000)));
    lab.remove(100, A1);
    lab.link(101, link(2, false));
    assert_eq!(lab.state(), SourceState::LinkDown);
    lab.advance_to(500);
    assert_eq!(lab.cut(A), None);
    lab.link(501, link(2, true));
    assert_eq!(lab.state(), SourceState::AwaitingAddress);
    lab.advance_to(516);
    assert_eq!((lab.cut(A), lab.state()), (None, SourceState::NoAddress), "not back, and nobody said that it ended");
    lab.add(600, A1, Some((6000, 9000)));
    assert_eq!((lab.cut(A), lab.state()), (None, SourceState::Receiving));
}

#[test]
fn an_interface_that_comes_back_with_another_prefix_has_only_that() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, Some((6000, 9000)));
    lab.remove(100, A1);
    lab.link(100, link(2, false));
    lab.link(200, link(2, true));
    lab.add(205, B1, None);
    lab.advance_to(206);
    assert_eq!(lab.cut(A), None, "it may be about to come");
    lab.advance_to(207);
    assert_eq!((lab.cut(A), lab.cut(B)), (Some(Cut::Unlisted), None));
    assert_eq!(lab.offer(A).expect("an offer").valid_until, Deadline::At(at(9001)));
}

/// A PPP interface is made anew by every session.
#[test]
fn an_interface_that_is_made_anew_ends_what_the_former_one_had() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, Some((6000, 9000)));
    lab.link(100, None);
    assert_eq!((lab.state(), lab.cut(A)), (SourceState::InterfaceAbsent, None));
    lab.addresses.clear();
    lab.link(110, link(3, true));
    lab.table.handle_addresses(&[], lab.now);
    lab.advance_to(400);
    assert_eq!((lab.state(), lab.cut(A)), (SourceState::NoAddress, None), "there is nothing else yet");
    lab.add(401, B1, None);
    lab.advance_to(403);
    assert_eq!((lab.cut(A), lab.cut(B)), (Some(Cut::Withdrawn), None));
}

#[test]
fn an_interface_that_is_made_anew_with_the_same_prefix_has_lost_nothing() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, None);
    lab.link(100, link(3, true));
    lab.table.handle_addresses(&lab.addresses, lab.now);
    lab.advance_to(1000);
    assert_eq!((lab.cut(A), lab.state()), (None, SourceState::Receiving));
}

fn stored(prefix: &str) -> Offer {
    Offer {
        prefix: prefix.parse().expect("a prefix"),
        recipient: None,
        router: None,
        preferred_until: Deadline::At(at(6000)),
        valid_until: Deadline::At(at(9000)),
        excluded: Vec::new(),
        first_seen: at(-50),
        cut: None,
    }
}

#[test]
fn what_was_in_use_is_waited_for_after_a_start() {
    let mut lab = Lab { table: Lab::new(vec![interest(None)]).table, now: at(0), addresses: Vec::new() };
    lab.table = Table::new(lab.table.settings);
    lab.table.seed(&[stored(A)]);
    lab.table.handle_link(link(2, true), at(0));
    lab.add(0, B1, None);
    assert_eq!(lab.cut(A), None);
    lab.add(1, A1, Some((600, 1200)));
    lab.advance_to(100);
    let offer = lab.offer(A).expect("an offer");
    assert_eq!((offer.cut, offer.first_seen, offer.valid_until), (None, at(-50), Deadline::At(at(1201))));
}

#[test]
fn what_was_in_use_and_does_not_come_gives_way() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.table.seed(&[stored(A)]);
    lab.table.handle_link(link(2, false), at(0));
    lab.table.handle_link(link(2, true), at(0));
    lab.add(1, B1, None);
    lab.advance_to(3);
    assert_eq!((lab.cut(A), lab.cut(B)), (Some(Cut::Unlisted), None));
}

#[test]
fn the_part_that_is_seen_stands_for_the_delegation_that_is_stored() {
    let mut lab = Lab::new(vec![interest(Some(56))]);
    lab.table.seed(&[stored("2001:db8:a::/56")]);
    lab.add(1, "2001:db8:a:7::1/64", None);
    let offers = lab.table.report().offers;
    let [offer] = offers.as_slice() else { panic!("one offer: {offers:?}") };
    assert_eq!((offer.prefix.to_string().as_str(), offer.first_seen), ("2001:db8:a:7::/64", at(-50)));
}

#[test]
fn whoever_announces_one_prefix_after_the_other_fills_no_memory() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, None);
    for number in 0..500 {
        let text = format!("2001:db8:c:{number:x}::1/64");
        lab.add(2 + number, &text, Some((600, 1200)));
        lab.remove(2 + number, &text);
    }
    assert!(lab.table.report().offers.len() <= MAX_PREFIXES);
    assert_eq!(lab.cut(A), None);
    for number in 0..500 {
        lab.add(1000, &format!("2001:db8:d:{number:x}::1/64"), None);
    }
    assert!(lab.table.report().offers.len() <= MAX_PREFIXES);
    assert_eq!(lab.cut(A), None, "what was there first is not driven out");
}
