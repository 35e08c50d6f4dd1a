use netlink_packet_core::NetlinkHeader;

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn link(index: u32, name: &str, flags: LinkFlags) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = flags;
    message.attributes = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::Address(MAC.to_vec())];
    message
}

fn up(index: u32, name: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewLink(link(index, name, LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp))
}

fn address(index: u32, address: &str, flags: AddressFlags) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Address(IpAddr::V6(ip(address))), AddressAttribute::Flags(flags)];
    message
}

fn new_address(index: u32, text: &str, flags: AddressFlags) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewAddress(address(index, text, flags))
}

fn links(messages: &[RouteNetlinkMessage]) -> Links {
    let mut links = Links::default();
    messages.iter().for_each(|message| links.apply(message));
    links
}

fn state(ifindex: u32, up: bool, addresses: &[(&str, bool)]) -> LinkState {
    let addresses =
        addresses.iter().map(|(text, tentative)| LinkAddress { address: ip(text), tentative: *tentative }).collect();
    LinkState { ifindex, up, mac: Some(MAC), addresses }
}

#[test]
fn an_interface_is_up_when_it_is_both_enabled_and_running() {
    for (flags, up) in [
        (LinkFlags::empty(), false),
        (LinkFlags::Up, false),
        (LinkFlags::Running, false),
        (LinkFlags::Up | LinkFlags::Running, true),
    ] {
        let links = links(&[RouteNetlinkMessage::NewLink(link(2, "wan", flags))]);
        assert_eq!(links.get("wan"), Some(state(2, up, &[])), "{flags:?}");
    }
}

#[test]
fn an_interface_vanishes_and_comes_back_with_another_index() {
    let mut links = links(&[up(2, "wan"), new_address(2, "fe80::2", AddressFlags::Permanent)]);
    assert_eq!(links.get("wan"), Some(state(2, true, &[("fe80::2", false)])));
    links.apply(&RouteNetlinkMessage::DelLink(link(2, "wan", LinkFlags::empty())));
    assert_eq!(links.get("wan"), None);
    links.apply(&up(7, "wan"));
    assert_eq!(links.get("wan"), Some(state(7, true, &[])), "the addresses of the former one are gone");
}

#[test]
fn a_rename_moves_the_interface() {
    let mut links = links(&[up(2, "eth0"), new_address(2, "fe80::2", AddressFlags::Permanent)]);
    links.apply(&up(2, "wan"));
    assert_eq!(links.get("eth0"), None);
    assert_eq!(links.get("wan"), Some(state(2, true, &[("fe80::2", false)])));
}

#[test]
fn joining_or_leaving_a_bridge_is_not_coming_or_going() {
    let mut port = link(2, "wan", LinkFlags::empty());
    port.header.interface_family = AddressFamily::Bridge;
    let mut links = links(&[up(2, "wan"), RouteNetlinkMessage::NewLink(port.clone())]);
    assert!(links.get("wan").is_some_and(|link| link.up));
    links.apply(&RouteNetlinkMessage::DelLink(port));
    assert!(links.get("wan").is_some());
}

#[test]
fn only_a_link_local_address_that_passed_dad_can_send() {
    for (text, flags, can_send) in [
        ("fe80::2", AddressFlags::Permanent, true),
        ("fe80::2", AddressFlags::Permanent | AddressFlags::Tentative, false),
        ("fe80::2", AddressFlags::Tentative | AddressFlags::Optimistic, true),
        ("fe80::2", AddressFlags::Permanent | AddressFlags::Dadfailed, false),
        ("2001:db8::2", AddressFlags::Permanent, false),
    ] {
        let links = links(&[up(2, "wan"), new_address(2, text, flags)]);
        assert_eq!(links.get("wan").expect("it exists").can_send(), can_send, "{text} {flags:?}");
    }
}

#[test]
fn addresses_follow_their_messages() {
    let mut links = links(&[
        up(2, "wan"),
        new_address(2, "fe80::2", AddressFlags::Tentative),
        new_address(2, "2001:db8::2", AddressFlags::Permanent),
        new_address(2, "fe80::2", AddressFlags::Permanent),
        new_address(3, "fe80::3", AddressFlags::Permanent),
    ]);
    assert_eq!(links.get("wan"), Some(state(2, true, &[("2001:db8::2", false), ("fe80::2", false)])));
    links.apply(&RouteNetlinkMessage::DelAddress(address(2, "2001:db8::2", AddressFlags::Permanent)));
    assert!(links.get("wan").is_some_and(|link| !link.has_address(ip("2001:db8::2"))));
}

/// On PPP, IFA_ADDRESS is the peer: an RA of the peer must not look like our own.
#[test]
fn the_address_of_the_peer_is_not_ours() {
    let mut message = address(2, "fe80::a", AddressFlags::Permanent);
    message.attributes.push(AddressAttribute::Local(IpAddr::V6(ip("fe80::b"))));
    let links = links(&[up(2, "ppp0"), RouteNetlinkMessage::NewAddress(message)]);
    assert_eq!(links.get("ppp0"), Some(state(2, true, &[("fe80::b", false)])));
}

#[test]
fn an_interface_without_a_mac_has_none() {
    for bytes in [vec![], vec![0; 6], vec![192, 0, 2, 1], vec![1; 20]] {
        let mut message = link(2, "ppp0", LinkFlags::Up);
        message.attributes[1] = LinkAttribute::Address(bytes.clone());
        let links = links(&[RouteNetlinkMessage::NewLink(message)]);
        assert_eq!(links.get("ppp0").expect("it exists").mac, None, "{bytes:?}");
    }
}

#[test]
fn ipv4_addresses_and_other_messages_change_nothing() {
    let before = links(&[up(2, "wan")]);
    let mut after = before.clone();
    let mut ipv4 = address(2, "fe80::2", AddressFlags::Permanent);
    ipv4.header.family = AddressFamily::Inet;
    ipv4.attributes[0] = AddressAttribute::Address(IpAddr::V4([192, 0, 2, 1].into()));
    after.apply(&RouteNetlinkMessage::NewAddress(ipv4));
    after.apply(&RouteNetlinkMessage::GetLink(link(9, "x", LinkFlags::Up)));
    assert_eq!(after, before);
}

/// T-146 (NL-05): after an overrun everything is read again; what is not in the dump is gone.
#[test]
fn lost_messages_are_noticed_and_a_dump_replaces_everything() {
    let message = |payload| NetlinkMessage::new(NetlinkHeader::default(), payload);
    let mut links = links(&[up(2, "wan"), up(3, "lan")]);
    let complete = [message(NetlinkPayload::InnerMessage(up(4, "dmz")))];
    assert_eq!(take(&mut links, &complete), Completeness::Complete);
    assert!(links.get("dmz").is_some());
    let lost = [message(NetlinkPayload::Overrun(vec![])), message(NetlinkPayload::InnerMessage(up(5, "vpn")))];
    assert_eq!(take(&mut links, &lost), Completeness::MessagesLost);
    assert!(!links.is_loaded());
    links.replace([up(3, "lan")]);
    assert!(links.is_loaded());
    assert_eq!((links.get("wan"), links.get("lan")), (None, Some(state(3, true, &[]))));
}

#[test]
fn only_changes_are_published() {
    let (sender, mut receiver) = channel();
    let loaded = links(&[up(2, "wan")]);
    publish_if_changed(&sender, &loaded);
    assert!(receiver.has_changed().expect("the sender lives"));
    assert_eq!(receiver.borrow_and_update().get("wan"), Some(state(2, true, &[])));
    publish_if_changed(&sender, &loaded);
    assert!(!receiver.has_changed().expect("the sender lives"));
}
