use serde_json::Value;

use super::*;

const START: &str = r#"{"event":"start","record":1,"started":"2026-01-04T10:00:00Z","config":""}"#;

fn wrong(lines: &[&str]) -> Wrong {
    parse(&format!("{}\n", lines.join("\n"))).expect_err("a wrong line")
}

#[test]
fn every_event_is_one_line_and_comes_back_as_it_was() {
    let link = Link {
        ifindex: 7,
        up: true,
        mac: Some(Mac([2, 0, 0, 0, 0, 0xab])),
        addresses: vec!["fe80::1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        tentative: vec!["fe80::1".parse().unwrap()],
    };
    let wan = || "wan".to_owned();
    let events = [
        Event::Client { interface: wan(), seed: Hex(vec![7; 32]) },
        Event::Link { interface: wan(), to: Some(Decider::Dhcpv6), link: Some(link) },
        Event::Link { interface: wan(), to: None, link: None },
        Event::RouterAdvertisement {
            interface: wan(),
            source: "fe80::1".parse().unwrap(),
            hop_limit: None,
            fragmented: true,
            bytes: Hex(vec![134, 0, 0xff]),
        },
        Event::Datagram {
            interface: wan(),
            destination: "fe80::2".parse().unwrap(),
            ifindex: 7,
            bytes: Hex(vec![7, 1, 2, 3]),
        },
        Event::Sent { interface: wan(), bytes: Hex(vec![1, 1, 2, 3]) },
        Event::Failure { interface: wan(), to: Decider::RouterAdvertisement, text: Some("no \"socket\"\n".to_owned()) },
        Event::Failure { interface: wan(), to: Decider::Dhcpv6, text: None },
        Event::Wake { to: Decider::Coordinator, interface: None },
        Event::Report { to: Decider::Dhcpv6, interface: wan() },
        Event::Reload { config: "# [daemon]\n".to_owned() },
        Event::Settings { interface: wan(), duid: Some(Hex(vec![0, 4, 1])) },
        Event::Addresses { interface: wan(), dump: Some(2), messages: vec![Hex(vec![0, 20, 1])] },
        Event::Addresses { interface: wan(), dump: None, messages: Vec::new() },
        Event::Service { url: "https://ip.example/".to_owned(), seed: u64::MAX },
        Event::Answer {
            url: "https://ip.example/".to_owned(),
            address: None,
            why: "x".to_owned(),
            retry_after: Some("3.5".parse().unwrap()),
        },
        Event::Answer {
            url: "https://ip.example/".to_owned(),
            address: Some("2001:db8::1".parse().unwrap()),
            why: String::new(),
            retry_after: None,
        },
        Event::Chosen(Choice {
            name: "home".to_owned(),
            kind: Some("observed".to_owned()),
            interface: wan(),
            reason: "dhcpcd runs on wan.".to_owned(),
        }),
        Event::Release { interface: None, name: "home".to_owned() },
        Event::Resumed { slept: "3600.5".parse().unwrap() },
        Event::End,
    ];
    let mut text = format!("{START}\n");
    for event in &events {
        let line = Line { at: "12.000000001".parse().unwrap(), event: event.clone() };
        let line = serde_json::to_string(&line).unwrap();
        assert!(!line.contains('\n'), "{line}");
        text += &format!("{line}\n");
    }
    let read = parse(&text).unwrap();
    assert_eq!(read.cut_off, [0; 0]);
    assert!(read.lines[1..].iter().all(|line| line.at.to_string() == "12.000000001"));
    assert_eq!(read.lines[1..].iter().map(|line| &line.event).collect::<Vec<_>>(), events.iter().collect::<Vec<_>>());
}

/// The names that records are made of by hand.
#[test]
fn a_line_looks_as_the_documentation_says() {
    let line = Line {
        at: "0.25".parse().unwrap(),
        event: Event::RouterAdvertisement {
            interface: "wan".to_owned(),
            source: "fe80::1".parse().unwrap(),
            hop_limit: Some(255),
            fragmented: false,
            bytes: Hex(vec![0x86, 0]),
        },
    };
    let expected: Value = serde_json::from_str(
        r#"{"at": "0.25", "event": "router-advertisement", "interface": "wan", "source": "fe80::1", "hopLimit": 255,
            "bytes": "8600"}"#,
    )
    .unwrap();
    assert_eq!(serde_json::to_value(&line).unwrap(), expected);
    let by_hand = r#"{"event": "router-advertisement", "interface": "wan", "source": "fe80::1", "bytes": "86 00"}"#;
    let by_hand: Line = serde_json::from_str(by_hand).unwrap();
    assert_eq!(by_hand.event, line.event, "a proper packet has no need to say so");
}

#[test]
fn a_link_comes_back_as_it_was() {
    let link = LinkState {
        ifindex: 3,
        up: false,
        mac: None,
        addresses: vec![
            LinkAddress { address: "fe80::1".parse().unwrap(), tentative: true },
            LinkAddress { address: "fe80::2".parse().unwrap(), tentative: false },
        ],
    };
    assert_eq!(LinkState::from(&Link::from(&link)), link);
}

#[test]
fn times_and_octets_that_make_no_sense_are_refused() {
    for text in ["", "1.", ".5", "-1", "1e3", "1.0123456789", "9999999999999", "1 s"] {
        assert!(text.parse::<Seconds>().is_err(), "{text:?}");
    }
    let year: Seconds = "31536000.000000001".parse().unwrap();
    assert_eq!(year.0, Duration::new(31_536_000, 1));
    assert_eq!("90".parse::<Seconds>().unwrap().to_string(), "90");
    for text in ["0", "0g", "+1", "ü0"] {
        assert!(text.parse::<Hex>().is_err(), "{text:?}");
    }
    for text in ["02:00:00:00:00", "02:00:00:00:00:00:00", "02-00-00-00-00-01"] {
        assert!(text.parse::<Mac>().is_err(), "{text:?}");
    }
}

#[test]
fn a_wrong_line_is_named_by_its_number() {
    let end = r#"{"at":"1","event":"end"}"#;
    assert_eq!(wrong(&[START, "", "nonsense", end]).number, 3);
    assert_eq!(wrong(&[START, r#"{"at":"1","event":"dance"}"#, end]).number, 2);
    assert_eq!(wrong(&[START, r#"{"at":"soon","event":"end"}"#, end]).number, 2);
    assert_eq!(wrong(&[START, "nonsense"]).number, 2, "the last one, with its line break");
    let error = wrong(&[end]).to_string();
    assert_eq!(error, "line 1: a record begins with a line of the event \"start\"");
    let error = wrong(&[START, r#"{"at":"9","event":"end"}"#, r#"{"at":"7.5","event":"end"}"#]).to_string();
    assert_eq!(error, "line 3: it is of second 7.5, which is before the line above it, second 9");
    let newer = START.replace(r#""record":1"#, r#""record":2"#);
    assert!(wrong(&[&newer]).to_string().contains("use a newer dyn-prefix"));
}

#[test]
fn a_line_that_was_cut_off_ends_its_session() {
    let end = r#"{"at":"1","event":"end"}"#;
    let last = parse(&format!("{START}\n{end}\n{{\"at\":\"2\",\"ev")).unwrap();
    assert_eq!((last.lines.len(), last.cut_off), (2, vec![3]));
    // The next start has closed it.
    let middle = parse(&format!("{START}\n{{\"at\":\"2\",\"ev\n{START}\n{end}\n")).unwrap();
    assert_eq!((middle.lines.len(), middle.cut_off), (3, vec![2]));
    let whole = parse(&format!("{START}\n{end}")).unwrap();
    assert_eq!((whole.lines.len(), whole.cut_off), (2, vec![]), "only its line break is missing");
    assert!(parse(r#"{"event":"sta"#).is_err(), "there is no session");
}
