//! Rules that people have, as the real nft and ip6tables print them; `tests/netns` sends the packets through a kernel
//! with the same rules.

use super::*;

pub(in crate::doctor) const TESTS: &[fn()] = &[findings];

fn arriving(packet: Packet) -> Arriving<'static> {
    Arriving { packet, interface: "wan", own: Some("fe80::2".parse().unwrap()) }
}

fn nft(text: &str, packet: Packet) -> Fate {
    walk(&nft::chains(text, "", &arriving(packet)).unwrap())
}

fn ip6tables(text: &str, packet: Packet) -> Fate {
    walk(&ip6tables::chains(text, &arriving(packet)))
}

use Packet::{Dhcpv6, RouterAdvertisement};

#[test]
fn established_does_not_let_an_answer_in() {
    let text = include_str!("tests/server.json");
    assert_eq!(nft(text, Dhcpv6), Fate::Dropped("the policy of the chain inet filter input".to_owned()));
    assert_eq!(nft(text, RouterAdvertisement), Fate::Passes);
    let text = include_str!("tests/server.ip6tables");
    let Fate::Dropped(by) = ip6tables(text, Dhcpv6) else { panic!("rejected by the last rule") };
    assert!(by.contains("-A INPUT -j REJECT --reject-with icmp6-adm-prohibited"), "{by}");
    assert_eq!(ip6tables(text, RouterAdvertisement), Fate::Passes);
}

#[test]
fn what_is_let_in_is() {
    for packet in [Dhcpv6, RouterAdvertisement] {
        assert_eq!(nft(include_str!("tests/opened.json"), packet), Fate::Passes, "{packet:?}");
        assert_eq!(ip6tables(include_str!("tests/opened.ip6tables"), packet), Fate::Passes, "{packet:?}");
        assert_eq!(nft(r#"{"nftables": []}"#, packet), Fate::Passes);
        assert_eq!(ip6tables("", packet), Fate::Passes);
    }
}

#[test]
fn a_rule_that_drops_is_named() {
    let text = include_str!("tests/refused.json");
    let Fate::Dropped(by) = nft(text, Dhcpv6) else { panic!("by a map") };
    assert!(by.starts_with("the rule with the handle") && by.contains("ip6 guard refuse"), "{by}");
    let Fate::Dropped(by) = nft(text, RouterAdvertisement) else { panic!("by its type") };
    assert!(by.contains("(\"no routers\")"), "{by}");
    let text = include_str!("tests/elsewhere.json");
    assert!(matches!(nft(text, Dhcpv6), Fate::Dropped(_)));
    assert!(matches!(nft(text, RouterAdvertisement), Fate::Dropped(_)));
}

#[test]
fn what_cannot_be_said_is_a_suspicion() {
    for packet in [Dhcpv6, RouterAdvertisement] {
        let fate = nft(include_str!("tests/limited.json"), packet);
        assert!(matches!(fate, Fate::MayPass { .. }), "{fate:?}");
        let fate = nft(include_str!("tests/guarded.json"), packet);
        assert!(matches!(fate, Fate::MayDrop(_)), "{fate:?}");
        let fate = ip6tables(include_str!("tests/limited.ip6tables"), packet);
        assert!(matches!(fate, Fate::MayPass { .. }), "{fate:?}");
    }
}

/// nft prints the rules of ip6tables without half of what they say.
#[test]
fn rules_of_ip6tables_are_read_of_ip6tables() {
    let (printed, saved) = (include_str!("tests/ip6tables.json"), include_str!("tests/opened.ip6tables"));
    let alone = nft(printed, RouterAdvertisement);
    assert!(matches!(alone, Fate::MayPass { .. }), "the type is not printed: {alone:?}");
    assert_eq!(walk(&nft::chains(printed, saved, &arriving(RouterAdvertisement)).unwrap()), Fate::Passes);
}

#[test]
fn chains_that_call_each_other_end() {
    let rule =
        |target: &str| Rule { matches: Truth::Yes, action: Action::Jump(target.to_owned()), text: String::new() };
    let rules = [("a".to_owned(), vec![rule("b")]), ("b".to_owned(), vec![rule("a")])];
    let bases = vec![Base { chain: "a".to_owned(), drops: false }];
    assert_eq!(walk(&Chains { bases, rules: rules.into() }), Fate::Passes);
}

#[test]
fn addresses_are_held_against_networks() {
    let unknown = Arriving { own: None, ..arriving(Dhcpv6) };
    let net = |text: &str| text.parse().unwrap();
    assert_eq!(unknown.source_in(net("fe80::/10")), Truth::Yes);
    assert_eq!(unknown.source_in(net("fe80::1/128")), Truth::Maybe);
    assert_eq!(unknown.source_in(net("2001:db8::/32")), Truth::No);
    assert_eq!(unknown.destination_in(net("fe80::2/128")), Truth::Maybe);
    assert_eq!(arriving(Dhcpv6).destination_in(net("fe80::2/128")), Truth::Yes);
    assert_eq!(arriving(Dhcpv6).destination_in(net("fe80::3/128")), Truth::No);
    assert_eq!(arriving(RouterAdvertisement).destination_in(net("ff02::1/128")), Truth::Maybe);
}

/// A table that is switched off keeps nothing out (nft(8): "dormant: table is not evaluated any more").
#[test]
fn a_dormant_table_is_not_met() {
    let ruleset: serde_json::Value = serde_json::from_str(include_str!("tests/server.json")).unwrap();
    for flags in [serde_json::json!(["dormant"]), serde_json::json!("dormant")] {
        let mut asleep = ruleset.clone();
        let tables = asleep["nftables"].as_array_mut().unwrap().iter_mut();
        let count =
            tables.filter_map(|object| object.get_mut("table")).map(|table| table["flags"] = flags.clone()).count();
        assert!(count > 0);
        let fate = |text: &str| walk(&nft::chains(text, "", &arriving(Dhcpv6)).unwrap());
        assert_ne!(fate(&ruleset.to_string()), Fate::Passes);
        assert_eq!(fate(&asleep.to_string()), Fate::Passes);
    }
}

fn facts(nft: Seen, ip6tables: Seen) -> Facts {
    let packets = vec![Dhcpv6, RouterAdvertisement];
    Facts { interface: "wan".to_owned(), own: None, packets, nft, ip6tables }
}

fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

#[test]
fn findings() {
    use crate::doctor::Level;
    use crate::doctor::tests::provoked;
    let (dhcpv6, router) = (Check::FirewallDhcpv6, Check::FirewallRouterAdvertisement);
    let of = |nft: &str| check(&facts(text(nft), Seen::NotInstalled));

    let found = of(include_str!("tests/server.json"));
    let message = provoked(&found, dhcpv6, Level::Error, "drops answers of DHCPv6 servers (UDP port 546) on wan");
    assert!(message.contains("ip6 saddr fe80::/10 udp dport 546 accept"), "{message}");
    provoked(&found, router, Level::Ok, "lets Router Advertisements");
    let found = of(include_str!("tests/refused.json"));
    provoked(&found, router, Level::Error, "no routers");
    let found = of(include_str!("tests/limited.json"));
    provoked(&found, dhcpv6, Level::Warning, "unless this rule lets them in");
    provoked(&found, router, Level::Warning, "unless this rule lets them in");
    let found = of(include_str!("tests/guarded.json"));
    provoked(&found, dhcpv6, Level::Note, "unless this rule drops them");
    provoked(&found, router, Level::Note, "unless this rule drops them");

    let hidden = Seen::Hidden("nft: Operation not permitted".to_owned());
    let found = check(&facts(hidden.clone(), Seen::NotInstalled));
    provoked(&found, dhcpv6, Level::Unseen, "could not be seen: nft: Operation not permitted.");
    provoked(&found, router, Level::Unseen, "Run this as root.");
    let found = check(&facts(text(include_str!("tests/opened.json")), hidden));
    provoked(&found, dhcpv6, Level::Unseen, "could not be seen");
    provoked(&of("netfilter"), dhcpv6, Level::Unseen, "not understood");
    let found = check(&facts(Seen::NotInstalled, Seen::NotInstalled));
    provoked(&found, dhcpv6, Level::Note, "Neither nft nor ip6tables is installed");
    // What nft, ip6tables-nft before 1.8.3 and after it say where the kernel has no nf_tables: root cannot see more.
    let lacking = [
        "netlink: Error: cache initialization failed: Invalid argument",
        "nft: Unable to initialize Netlink socket: Protocol not supported",
        "ip6tables-save/1.8.2 Failed to initialize nft: Protocol not supported",
        "ip6tables-save v1.8.7 (nf_tables): Could not fetch rule set generation id: Invalid argument",
        "ip6tables-save: Protocol not available",
    ];
    for why in lacking {
        let lacks = || Seen::Hidden(why.to_owned());
        for (nft, ip6tables) in [(lacks(), Seen::NotInstalled), (Seen::NotInstalled, lacks()), (lacks(), lacks())] {
            let found = check(&facts(nft, ip6tables));
            let message = provoked(&found, dhcpv6, Level::Note, "has no packet filter for");
            for part in [why, "nothing that nft", "`modprobe nf_tables`", "`ip6tables-legacy-save`"] {
                assert!(message.contains(part), "{part}: {message}");
            }
        }
        // The rules of the other program are there, and count.
        let found = check(&facts(lacks(), text(include_str!("tests/server.ip6tables"))));
        provoked(&found, dhcpv6, Level::Error, "REJECT");
    }
    // The worse of the two counts.
    let found = check(&facts(text(include_str!("tests/opened.json")), text(include_str!("tests/server.ip6tables"))));
    provoked(&found, dhcpv6, Level::Error, "REJECT");
}
