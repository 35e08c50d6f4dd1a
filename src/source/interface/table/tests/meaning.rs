//! What the addresses that are there mean.

use super::*;

#[test]
fn the_prefix_of_an_address_is_offered_with_its_lifetimes() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, Some((600, 1200)));
    let offer = lab.offer(A).expect("an offer");
    assert_eq!((offer.preferred_until, offer.valid_until), (Deadline::At(at(601)), Deadline::At(at(1201))));
    assert_eq!((offer.cut, offer.first_seen, offer.recipient), (None, at(1), None));
    assert_eq!(lab.state(), SourceState::Receiving);
}

#[test]
fn several_addresses_in_one_prefix_are_one_offer_with_the_longest_lifetimes() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, Some((600, 1200)));
    lab.add(1, "2001:db8:a::2/64", Some((300, 5000)));
    assert_eq!(lab.table.report().offers.len(), 1);
    let offer = lab.offer(A).expect("an offer");
    assert_eq!((offer.preferred_until, offer.valid_until), (Deadline::At(at(601)), Deadline::At(at(5001))));
}

#[test]
fn a_temporary_address_counts_only_where_there_is_no_other() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.change(1, Address { temporary: true, ..address("2001:db8:a::77/64", at(1), Some((60, 120))) });
    assert_eq!(lab.offer(A).expect("an offer").preferred_until, Deadline::At(at(61)));
    lab.add(2, A1, Some((600, 1200)));
    assert_eq!(lab.offer(A).expect("an offer").preferred_until, Deadline::At(at(602)));
    // The stable one is deprecated and the temporary one not yet: the prefix is.
    lab.add(3, A1, Some((0, 1200)));
    assert_eq!(lab.cut(A), Some(Cut::Deprecated));
}

#[test]
fn a_tentative_address_is_none_yet_and_one_that_somebody_else_has_never() {
    let mut lab = Lab::new(vec![interest(None)]);
    let own = address(A1, at(1), None);
    lab.change(1, Address { detection: Detection::Running, ..own });
    assert_eq!((lab.offer(A), lab.state()), (None, SourceState::AwaitingAddress));
    lab.change(2, Address { detection: Detection::Failed, ..own });
    assert_eq!(lab.offer(A), None);
    lab.change(3, own);
    assert_eq!((lab.cut(A), lab.state()), (None, SourceState::Receiving));
}

#[test]
fn an_address_that_nobody_routes_says_nothing() {
    let mut lab = Lab::new(vec![interest(Some(56))]);
    for text in ["fe80::1/64", "::1/128", "ff02::1/16", "::ffff:192.0.2.1/96", "::/64"] {
        lab.add(1, text, None);
    }
    assert_eq!(lab.table.report().offers, []);
}

#[test]
fn a_unique_local_prefix_is_offered_and_left_to_the_filter() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, "fd00:1:2:3::1/64", None);
    assert!(lab.offer("fd00:1:2:3::/64").is_some());
    assert_eq!(lab.state(), SourceState::AwaitingAddress, "of no use to anybody here");
    lab.advance_to(15);
    assert_eq!(lab.state(), SourceState::NoAddress);
}

#[test]
fn a_single_address_is_offered_to_those_who_cut_a_prefix_around_it() {
    let whole = Interest { name: "whole".to_owned(), ..interest(None) };
    let mut lab = Lab::new(vec![whole, interest(Some(60))]);
    lab.add(1, "2001:db8:a::9/128", Some((600, 1200)));
    let recipients: Vec<_> = lab.table.report().offers.into_iter().map(|offer| offer.recipient).collect();
    assert_eq!(recipients, [Some("home".to_owned())]);
    assert_eq!(lab.state(), SourceState::Receiving);
}

/// A virtual address out of a range of ours is there because the prefix is, and must not be why it is.
#[test]
fn a_single_address_without_end_holds_no_prefix_beside_a_network() {
    const VIRTUAL: &str = "2001:db8:a:5::10/128";
    let mut lab = Lab::new(vec![interest(Some(56))]);
    lab.add(1, A1, Some((600, 900)));
    lab.add(50, VIRTUAL, None);
    assert_eq!((lab.offer(VIRTUAL), lab.cut(A)), (None, None));
    lab.add(100, B1, Some((600, 900)));
    lab.remove(101, A1);
    lab.advance_to(104);
    assert_eq!((lab.offer(VIRTUAL), lab.cut(A), lab.cut(B)), (None, Some(Cut::Withdrawn), None));
    // The program that numbers the interface starts anew, and is waited for as if there was no such address.
    lab.remove(200, B1);
    lab.advance_to(214);
    assert_eq!((lab.offer(VIRTUAL), lab.cut(B)), (None, None));
    lab.add(214, B1, Some((600, 900)));
    assert_eq!((lab.offer(VIRTUAL), lab.cut(B)), (None, None));
    lab.add(300, B1, Some((0, 900)));
    assert_eq!((lab.offer(VIRTUAL), lab.cut(B)), (None, Some(Cut::Deprecated)), "nor does it make up for one");
}

/// Where an administrator wrote one, and there is nothing else.
#[test]
fn a_single_address_without_end_is_offered_where_there_is_no_network() {
    const STATIC: &str = "2001:db8:a::9/128";
    let mut lab = Lab::new(vec![interest(Some(56))]);
    lab.add(1, STATIC, None);
    assert_eq!(lab.offer(STATIC).map(|offer| offer.valid_until), Some(Deadline::Never));
    lab.add(10, "fd00:1:2:3::1/64", None);
    assert!(lab.offer(STATIC).is_some(), "a network that nobody here takes");
    assert_eq!(lab.state(), SourceState::Receiving);
    lab.add(20, B1, Some((600, 900)));
    assert!(lab.offer(STATIC).is_none());
    lab.remove(30, B1);
    lab.advance_to(45);
    assert!(lab.offer(STATIC).is_some(), "again");
}

/// The network was numbered otherwise while nobody ran.
#[test]
fn a_single_address_without_end_takes_the_place_of_a_network_that_does_not_come_back() {
    const STATIC: &str = "2001:db8:a::9/128";
    let mut former = Lab::new(vec![interest(Some(56))]);
    former.add(1, B1, None);
    let mut table = Table::new(former.table.settings.clone());
    table.seed(&former.table.report().offers);
    let mut lab = Lab { table, now: at(0), addresses: Vec::new() };
    lab.link(10, link(2, true));
    lab.add(11, STATIC, None);
    lab.advance_to(24);
    assert_eq!((lab.offer(STATIC), lab.cut(B)), (None, None));
    lab.advance_to(26);
    assert_eq!((lab.offer(STATIC).is_some(), lab.cut(B)), (true, Some(Cut::Unlisted)));
}

/// k6u keeps the first address of the list whatever its flags are, which after a return to the former prefix is that of
/// the one in between.
#[test]
fn a_then_b_then_a_again() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, Some((600, 1200)));
    lab.add(100, B1, Some((600, 1200)));
    lab.add(100, A1, Some((0, 1200)));
    assert_eq!((lab.cut(A), lab.cut(B)), (Some(Cut::Deprecated), None));
    lab.add(200, A1, Some((600, 1200)));
    lab.add(200, B1, Some((0, 1200)));
    assert_eq!((lab.cut(A), lab.cut(B)), (None, Some(Cut::Deprecated)));
    assert_eq!(lab.offer(A).expect("an offer").preferred_until, Deadline::At(at(800)));
}

#[test]
fn a_deprecated_prefix_stays_deprecated_since_when_it_was() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, Some((600, 1200)));
    lab.add(50, A1, Some((0, 1200)));
    lab.add(90, A1, Some((0, 1160)));
    let offer = lab.offer(A).expect("an offer");
    assert_eq!((offer.preferred_until, offer.valid_until), (Deadline::At(at(50)), Deadline::At(at(1250))));
}

#[test]
fn nothing_is_reported_twice() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, None);
    assert!(lab.table.poll_report().is_some());
    lab.table.handle_addresses(&lab.addresses, lab.now);
    assert!(!lab.table.has_news() && lab.table.poll_report().is_none());
}

#[test]
fn a_failure_is_the_state_until_it_is_over() {
    let mut lab = Lab::new(vec![interest(None)]);
    lab.add(1, A1, None);
    lab.table.handle_failure(Some("Cannot.".to_owned()));
    assert_eq!(lab.state(), SourceState::Failed("Cannot.".to_owned()));
    assert_eq!(lab.cut(A), None, "what was seen stays");
    lab.table.handle_failure(None);
    assert_eq!(lab.state(), SourceState::Receiving);
}
