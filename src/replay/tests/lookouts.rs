//! Records of addresses, of services that are asked, and of what auto comes to, as somebody writes them by hand.

use std::net::IpAddr;

use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::*;
use crate::config::Chosen;
use crate::record::{Choice, Decider, Link, Seconds};
use crate::source::SourceKind;
use crate::source::observe::to_octets;

fn record(config: &str, events: Vec<(u64, Event)>) -> Record {
    let config = serde_json::to_string(&format!("[[dynamicPrefix]]\nname = \"home\"\n{config}\n")).unwrap();
    let lines = events
        .into_iter()
        .map(|(at, event)| serde_json::to_string(&Line { at: Seconds(Duration::from_secs(at)), event }).unwrap());
    let lines: Vec<String> = lines.collect();
    parse(&format!("{{{START},\"config\":{config}}}\n{}\n", lines.join("\n"))).unwrap()
}

fn address(text: &str) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.index = 3;
    message.header.prefix_len = 64;
    message.attributes = vec![AddressAttribute::Address(IpAddr::V6(text.parse().unwrap()))];
    message
}

fn hex(message: &RouteNetlinkMessage) -> Hex {
    Hex(to_octets(message))
}

fn has(told: &[String], text: &str) {
    assert!(told.iter().any(|line| line.contains(text)), "{text:?} is not in {told:#?}");
}

#[test]
fn the_addresses_of_an_interface_are_replayed() {
    let interface = || "lan".to_owned();
    let link = Link { ifindex: 3, up: true, mac: None, addresses: Vec::new(), tentative: Vec::new() };
    let old = address("2001:db8:a:1::1");
    let dump = vec![hex(&RouteNetlinkMessage::NewAddress(old.clone()))];
    let changes = vec![
        hex(&RouteNetlinkMessage::NewAddress(address("2001:db8:b:1::1"))),
        hex(&RouteNetlinkMessage::DelAddress(old)),
    ];
    let record = record(
        "acquisition.interface = { name = \"lan\", delegatedPrefixLength = 56 }",
        vec![
            (1, Event::Link { interface: interface(), to: None, link: Some(link) }),
            (1, Event::Addresses { interface: interface(), dump: Some(3), messages: dump }),
            (9, Event::Addresses { interface: interface(), dump: None, messages: changes }),
            (
                20,
                Event::Failure { interface: interface(), to: Decider::Addresses, text: Some("No netlink.".to_owned()) },
            ),
            (21, Event::End),
        ],
    );
    let told = told(&record);
    has(&told, "home: 2001:db8:a::/56 is the prefix (interface on lan, generation 1)");
    has(&told, "home: 2001:db8:b::/56 takes the place of 2001:db8:a::/56");
    has(&told, "No netlink.");
}

const URL: &str = "https://ip.example/?token=secret";

fn answer(address: Option<&str>) -> Event {
    let why = if address.is_some() { "" } else { "the server answered 503 Service Unavailable" };
    Event::Answer {
        url: URL.to_owned(),
        address: address.map(|text| text.parse().unwrap()),
        why: why.to_owned(),
        retry_after: None,
    }
}

#[test]
fn the_answers_of_a_service_are_replayed() {
    let (a, b) = (Some("2001:db8:a:1::5"), Some("2001:db8:b:1::5"));
    let config = format!("acquisition.http = {{ url = \"{URL}\", prefixLength = 56 }}");
    let events = [(0, a), (60, None), (66, b), (68, b)].map(|(at, address)| (at, answer(address))).to_vec();
    let told = told(&record(&config, events));
    has(&told, "> the question for the address of this host");
    has(&told, "home: 2001:db8:a::/56 is the prefix (http from https://ip.example/?…, generation 1)");
    has(&told, "home: 2001:db8:b::/56 takes the place of 2001:db8:a::/56");
    assert!(!format!("{told:?}").contains("secret"), "{told:#?}");
}

/// A daemon's asker begins when the daemon says so, and asks when it did.
#[test]
fn a_service_of_a_daemon_is_asked_as_it_was() {
    let config = format!("acquisition.http = {{ url = \"{URL}\", prefixLength = 56 }}");
    let wake = || Event::Wake { to: Decider::Service, interface: Some(URL.to_owned()) };
    let report = || Event::Report { to: Decider::Service, interface: URL.to_owned() };
    let asked = |events| {
        let told = told(&record(&config, events));
        (told.iter().filter(|line| line.starts_with("> the question")).count(), told)
    };
    let begin = (1, Event::Service { url: URL.to_owned(), seed: u64::MAX });
    let events =
        vec![begin, (1, wake()), (7, answer(Some("2001:db8:a:1::5"))), (7, report()), (60, wake()), (67, wake())];
    let (count, told) = asked(events);
    has(&told, "home: 2001:db8:a::/56 is the prefix");
    assert_eq!(count, 2, "once at the start, once sixty seconds after the answer: {told:#?}");
    let (count, told) = asked(vec![(1, wake())]);
    assert_eq!(count, 0, "it never began: {told:#?}");
}

#[test]
fn what_was_chosen_is_replayed() {
    let choice = |kind| {
        let reason = "no server has a prefix to delegate.".to_owned();
        let chosen = Ok(Chosen { kind, interface: "wan".to_owned(), reason });
        Event::Chosen(Choice::new("home", &chosen))
    };
    let told = |events: Vec<(u64, Event)>| told(&record("acquisition = \"auto\"", events));
    let why = Err("no router is heard".to_owned());
    let link = Link { ifindex: 2, up: true, mac: None, addresses: vec!["fe80::2".parse().unwrap()], tentative: vec![] };
    let link = || Event::Link { interface: "wan".to_owned(), to: None, link: Some(link.clone()) };
    let reload = "[[dynamicPrefix]]\nname = \"home\"\nacquisition = \"auto\"\ntransition.mode = \"ha\"\n".to_owned();
    let said = told(vec![
        (1, Event::Chosen(Choice::new("home", &why))),
        (5, choice(SourceKind::RouterAdvertisement)),
        (6, link()),
        (7, Event::Reload { config: reload }),
        (9, link()),
    ]);
    has(&said, "home: acquisition.auto has not chosen a source yet: no router is heard.");
    has(&said, "router-advertisement on wan");
    has(&said, "> Router Solicitation");
    assert!(!said.iter().any(|line| line.starts_with("not used")), "a reload does not forget the choice: {said:#?}");
    let mut unknown = Choice::new("home", &why);
    unknown.kind = Some("telepathy".to_owned());
    has(&told(vec![(1, Event::Chosen(unknown))]), "not used: there is no kind of source telepathy");
}

/// A daemon begins with what is there; what it was told of first comes a moment after its start.
#[test]
fn nothing_is_said_of_an_interface_before_anything_is_known_of_it() {
    let absent = |told: &[String]| told.iter().filter(|line| line.contains("wan does not exist")).count();
    let end = r#"{"at":"9","event":"end"}"#;
    assert_eq!(absent(&told(&parse(&by_hand(&[UP, end])).unwrap())), 0);
    let gone = r#"{"at":"2","event":"link","interface":"wan","link":null}"#;
    let said = told(&parse(&by_hand(&[gone, end])).unwrap());
    assert!(absent(&said) > 0, "{said:#?}");
}
