//! Link-up, link-down and Router Solicitations.

use super::*;

/// T-135: three solicitations, four seconds apart, then silence.
#[test]
fn three_solicitations_then_silence() {
    let mut lab = Lab::new(vec![Interest::default()]);
    assert_eq!(lab.solicited, [0], "the first without delay");
    lab.advance_to(12);
    assert_eq!((lab.solicited.as_slice(), lab.state()), (&[0, 4, 8][..], SourceState::Soliciting));
    assert_eq!(lab.table.report().next_wake, Some((at(13), "stop-waiting")));
    lab.advance_to(13);
    assert_eq!(lab.state(), SourceState::Silent);
    lab.hear(50, ROUTER, &[(A, 120, 300)]);
    assert_eq!(lab.state(), SourceState::Receiving);
    lab.advance_to(10_000);
    assert_eq!(lab.solicited, [0, 4, 8]);
}

#[test]
fn a_valid_advertisement_ends_the_solicitations() {
    let mut lab = Lab::new(vec![Interest::default()]);
    lab.hear(1, ROUTER, &[]);
    assert_eq!(lab.state(), SourceState::Receiving);
    lab.advance_to(100);
    assert_eq!(lab.solicited, [0]);
}

#[test]
fn an_invalid_advertisement_ends_nothing() {
    let mut lab = Lab::new(vec![Interest::default()]);
    let bytes = advertisement(ROUTER, &[(A, 120, 300)]).encode();
    let good = Received { source: ip(ROUTER), hop_limit: Some(255), fragmented: false, bytes: &bytes };
    lab.table.handle_packet(&Received { hop_limit: Some(254), ..good }, lab.now);
    lab.table.handle_packet(&Received { source: ip("2001:db8::1"), ..good }, lab.now);
    lab.advance_to(12);
    assert_eq!((lab.solicited.as_slice(), lab.state()), (&[0, 4, 8][..], SourceState::Soliciting));
    lab.table.handle_packet(&good, lab.now);
    assert_eq!((lab.state(), lab.cut(A)), (SourceState::Receiving, None));
}

#[test]
fn an_interface_appears_goes_down_and_vanishes() {
    let mut lab = Lab { table: Table::new(settings(vec![Interest::default()])), now: START, solicited: vec![] };
    assert_eq!((lab.state(), lab.table.poll_timeout()), (SourceState::InterfaceAbsent, None));
    let down = LinkState { up: false, addresses: vec![], ..up() };
    lab.link(5, Some(down.clone()));
    assert_eq!((lab.state(), lab.table.poll_timeout()), (SourceState::LinkDown, None));
    lab.link(6, Some(up()));
    assert_eq!((lab.state(), lab.solicited.as_slice()), (SourceState::Soliciting, &[6][..]));
    lab.hear(7, ROUTER, &[(A, 1200, 3000)]);

    lab.link(20, Some(down));
    assert_eq!((lab.state(), lab.cut(A)), (SourceState::LinkDown, None), "what was announced stays announced");
    lab.link(30, Some(up()));
    assert_eq!((lab.state(), lab.solicited.as_slice()), (SourceState::Soliciting, &[6, 30][..]), "asked anew");
    lab.hear(31, ROUTER, &[(A, 1200, 3000)]);

    lab.link(40, None);
    assert_eq!((lab.state(), lab.cut(A)), (SourceState::InterfaceAbsent, None));
    lab.link(50, Some(LinkState { ifindex: 9, ..up() }));
    assert_eq!(lab.solicited, [6, 30, 50]);
}

#[test]
fn another_interface_under_the_same_name_is_asked_anew() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    lab.link(30, Some(LinkState { ifindex: 3, ..up() }));
    assert_eq!((lab.state(), lab.solicited.as_slice()), (SourceState::Soliciting, &[30][..]));
}

#[test]
fn nothing_is_sent_while_the_link_is_down() {
    let mut lab = Lab::new(vec![Interest::default()]);
    lab.link(1, Some(LinkState { up: false, ..up() }));
    lab.advance_to(1000);
    assert_eq!((lab.solicited.as_slice(), lab.state()), (&[0][..], SourceState::LinkDown));
}

/// Until duplicate address detection is through there is no address to send from (RFC 4862 §5.4).
#[test]
fn soliciting_waits_for_a_link_local_address() {
    let tentative = LinkAddress { address: ip("fe80::c"), tentative: true };
    let mut lab = Lab { table: Table::new(settings(vec![])), now: START, solicited: vec![] };
    lab.link(10, Some(LinkState { addresses: vec![], ..up() }));
    lab.link(11, Some(LinkState { addresses: vec![tentative], ..up() }));
    assert_eq!((lab.state(), lab.solicited.as_slice()), (SourceState::Soliciting, &[][..]));
    lab.link(12, Some(up()));
    assert_eq!(lab.solicited, [12]);
    lab.advance_to(23);
    assert_eq!((lab.state(), lab.solicited.as_slice()), (SourceState::Silent, &[12, 16, 20][..]));
}

#[test]
fn a_new_address_is_no_reason_to_ask_again() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    let mut more = up();
    more.addresses.push(LinkAddress { address: ip("2001:db8:a::c"), tentative: true });
    lab.link(21, Some(more));
    assert_eq!((lab.state(), lab.solicited.as_slice()), (SourceState::Receiving, &[][..]));
}

/// What came into doubt while nothing could be sent is asked about at link-up.
#[test]
fn a_doubt_waits_for_the_link() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    lab.link(30, Some(LinkState { up: false, ..up() }));
    lab.hear(31, ROUTER, &[(B, 1200, 3000)]);
    lab.hear(32, ROUTER, &[(B, 1200, 3000)]);
    assert_eq!((lab.solicited.as_slice(), lab.cut(A)), (&[][..], None));
    lab.link(60, Some(up()));
    lab.hear(61, ROUTER, &[(B, 1200, 3000)]);
    assert_eq!((lab.solicited.as_slice(), lab.cut(A)), (&[60][..], Some(Cut::Unlisted)));
}

#[test]
fn a_failed_socket_is_told_and_forgotten() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    lab.table.handle_failure(Some("no".to_owned()));
    assert_eq!((lab.state(), lab.cut(A)), (SourceState::Failed("no".to_owned()), None));
    lab.table.handle_failure(None);
    assert_eq!(lab.state(), SourceState::Receiving);
    lab.table.handle_failure(Some("no".to_owned()));
    lab.link(30, None);
    assert_eq!(lab.state(), SourceState::InterfaceAbsent, "without an interface there is nothing that could fail");
}

/// What a router said before a reload may have been refused then.
#[test]
fn a_changed_configuration_asks_again_and_the_same_one_does_not() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 1200, 3000)]);
    lab.table.reconfigure(settings(vec![Interest::default()]), lab.now);
    lab.drain();
    assert_eq!(lab.solicited, [0; 0]);
    lab.table.reconfigure(settings(vec![Interest::default(), Interest::default()]), lab.now);
    lab.drain();
    assert_eq!((lab.solicited.as_slice(), lab.state()), (&[20][..], SourceState::Receiving));
    lab.hear(21, ROUTER, &[(A, 1200, 3000)]);
    lab.advance_to(100);
    assert_eq!(lab.solicited, [20]);

    lab.link(100, Some(LinkState { up: false, ..up() }));
    lab.table.reconfigure(settings(vec![Interest::default()]), lab.now);
    lab.drain();
    assert_eq!(lab.solicited, [20], "not while the link is down");
}

pub(super) fn dynamic_prefix(interface: &str, routers: &[&str], allow: &[&str]) -> DynamicPrefix {
    use crate::config::{Acquisition, RouterAdvertisement, Transition};
    let router_advertisement = RouterAdvertisement {
        interface: interface.to_owned(),
        delegated_prefix_length: None,
        routers: routers.iter().map(|text| ip(text)).collect(),
    };
    let filter = PrefixFilter { require_global_unicast: true, allow: allow.iter().map(|text| net(text)).collect() };
    DynamicPrefix {
        name: "p".to_owned(),
        acquisition: Acquisition { router_advertisement: Some(router_advertisement), filter, ..Acquisition::default() },
        address_ranges: vec![],
        subnets: vec![],
        transition: Transition::default(),
    }
}

#[test]
fn settings_come_from_every_dynamic_prefix_on_the_interface() {
    let mut without = dynamic_prefix("wan", &[], &[]);
    without.acquisition.router_advertisement = None;
    let all = [
        dynamic_prefix("wan", &[ROUTER], &[]),
        without,
        dynamic_prefix("lan", &[], &[]),
        dynamic_prefix("wan", &[], &["2003::/19"]),
    ];
    let allow = PrefixFilter { require_global_unicast: true, allow: vec![net("2003::/19")] };
    let expected = settings(vec![
        Interest { filter: PrefixFilter::default(), routers: vec![ip(ROUTER)] },
        Interest { filter: allow, routers: vec![] },
    ]);
    assert_eq!(Settings::for_interface("wan", &all), expected);
}
