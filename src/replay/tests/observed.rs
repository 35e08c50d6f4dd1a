//! Records of an observer, as somebody writes them by hand.

use std::net::Ipv6Addr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteProtocol, RouteType};
use rtnetlink::RouteMessageBuilder;

use super::*;
use crate::source::observe::{Filed, Told, to_octets};

const CONFIG: &str = "[[dynamicPrefix]]\nname = \"home\"\nacquisition.observe = { interface = \"ppp0\" }\n";

fn record(events: Vec<(u64, Event)>) -> Record {
    let config = serde_json::to_string(CONFIG).unwrap();
    let lines = events.into_iter().map(|(at, event)| {
        let at = crate::record::Seconds(Duration::from_secs(at));
        serde_json::to_string(&Line { at, event }).unwrap()
    });
    let lines: Vec<String> = lines.collect();
    parse(&format!("{{{START},\"config\":{config}}}\n{}\n", lines.join("\n"))).unwrap()
}

#[test]
fn what_an_observer_was_told_and_has_seen_is_replayed() {
    let route = RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix("2001:db8:a::".parse().unwrap(), 56)
        .kind(RouteType::Unreachable)
        .protocol(RouteProtocol::Dhcp)
        .priority(1024)
        .build();
    let interface = || "ppp0".to_owned();
    let gone = Told {
        dynamic_prefix: "home".to_owned(),
        prefix: "2001:db8:a::/56".parse().unwrap(),
        preferred: None,
        valid: None,
        excluded: Vec::new(),
        gone: true,
        ago: Duration::ZERO,
    };
    let filed =
        Filed { prefix: "2001:db8:b::/56".parse().unwrap(), age: 1, preferred: 100, valid: 200, excluded: None };
    let described = Filed { prefix: "2001:db8:c::/60".parse().unwrap(), age: 0, ..filed.clone() };
    let messages = vec![Hex(to_octets(&RouteNetlinkMessage::NewRoute(route)))];
    let broken = Event::Observed { interface: interface(), sent: false, checksum_known: true, bytes: Hex(vec![0x60]) };
    let record = record(vec![
        (1, Event::Netlink { interface: interface(), dump: true, messages }),
        (2, broken),
        (3, Event::Told { interface: interface(), told: gone }),
        (4, Event::Filed { interface: interface(), filed: vec![filed] }),
        (5, Event::Described { interface: interface(), described: vec![described] }),
    ]);
    let told = told(&record);
    let has = |text: &str| told.iter().any(|line| line.contains(text));
    assert!(has("home: 2001:db8:a::/56 is the prefix (observed on ppp0, generation 1)"), "{told:#?}");
    assert!(has("plan [2001:db8:a::/56]"), "{told:#?}");
    assert!(has("it is no whole IPv6 packet"), "{told:#?}");
    assert!(has("2001:db8:a::/56 is lost: its valid lifetime or its lease has ended"), "{told:#?}");
    assert!(
        has("home: 2001:db8:b::/56 takes the place of 2001:db8:a::/56 (observed on ppp0, generation 2)"),
        "{told:#?}"
    );
    assert!(
        has("home: 2001:db8:c::/60 takes the place of 2001:db8:b::/56 (observed on ppp0, generation 3)"),
        "{told:#?}"
    );
}
