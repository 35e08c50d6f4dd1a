//! What in-cluster operators do by polling, by the sources for it: the cases of k6u and metallb-dyn6.

use super::world::{World, config};
use crate::source::http::asker::{Asker, Failure};
use crate::source::http::{self, answer};
use crate::source::interface;
use crate::source::interface::addresses::{Address, Detection};
use crate::source::interface::table::Table;
use crate::source::link::LinkState;
use crate::source::{SourceId, SourceReport};
use crate::time::Deadline;

/// A DynamicPrefix with a source, and what is cut from its prefix.
fn text(source: &str, parts: &str) -> String {
    format!("[[dynamicPrefix]]\nname = \"home\"\nacquisition.{source}\n{parts}\n")
}

/// k6u: the interface's address, cut to `length`, and the /64 with these numbers in it.
fn k6u(address: &str, length: u8, ids: &str) -> Vec<String> {
    let source = format!("interface = {{ name = \"br-lan\", delegatedPrefixLength = {length} }}");
    let text = text(&source, &format!("subnets = [{{ name = \"ids\", index = {ids}, prefixLength = 64 }}]"));
    let mut world = World::new(&text);
    world.coordinator.handle_report(on_interface(&text, &[(address, false)], &world), world.now);
    subnets(&world)
}

fn on_interface(text: &str, addresses: &[(&str, bool)], world: &World) -> SourceReport {
    let settings = interface::Settings::for_interface("br-lan", &config(text).dynamic_prefixes);
    let mut table = Table::new(settings);
    let link = LinkState { ifindex: 2, up: true, mac: None, addresses: Vec::new() };
    table.handle_link(Some(link), world.now);
    let address = |(address, deprecated): &(&str, bool)| Address {
        address: address.parse().unwrap(),
        prefix_len: 64,
        preferred_until: if *deprecated { Deadline::At(world.now) } else { Deadline::Never },
        valid_until: Deadline::Never,
        deprecated: *deprecated,
        temporary: false,
        detection: Detection::Passed,
    };
    table.handle_addresses(&addresses.iter().map(address).collect::<Vec<_>>(), world.now);
    table.report()
}

fn subnets(world: &World) -> Vec<String> {
    let home = world.status().dynamic_prefixes.remove(0);
    home.subnets.into_iter().flat_map(|subnet| subnet.cidrs).collect()
}

#[test]
fn g1_to_g5_numbers_within_the_delegation() {
    let address = "2001:db8:1234:ab07::42";
    for (length, ids, expected) in [
        (60, "[0, 1, 2]", &["2001:db8:1234:ab00::/64", "2001:db8:1234:ab01::/64", "2001:db8:1234:ab02::/64"][..]),
        (60, "[15]", &["2001:db8:1234:ab0f::/64"]),
        (56, "[0, 255]", &["2001:db8:1234:ab00::/64", "2001:db8:1234:abff::/64"]),
        (48, "[0, 255]", &["2001:db8:1234::/64", "2001:db8:1234:ff::/64"]),
    ] {
        assert_eq!(k6u(address, length, ids), expected, "/{length} {ids}");
    }
}

/// k6u writes a /64 outside the delegation. Here `check` tells of it, and the entry is left out.
#[test]
fn g3_a_number_beyond_the_delegation_is_left_out() {
    let source = "interface = { name = \"br-lan\", delegatedPrefixLength = 60 }";
    let text = text(source, "subnets = [{ name = \"ids\", index = [16], prefixLength = 64 }]");
    let told = complaints(&text);
    assert!(told.contains("the subnet lies outside the prefix, a /60"), "{told}");
    assert_eq!(k6u("2001:db8:1234:ab07::42", 60, "[16]"), Vec::<String>::new());
}

/// k6u takes the first address of the list, which may be one that is deprecated.
#[test]
fn g_a_deprecated_address_is_not_taken_wherever_it_stands_in_the_list() {
    let text = text("interface = { name = \"br-lan\" }", "");
    let (a, b) = ("2001:db8:a::42", "2001:db8:b::42");
    let mut world = World::new(&text);
    let current = |world: &World| world.status().dynamic_prefixes.remove(0).current_prefix;
    for (addresses, expected) in [
        ([(a, false), (b, true)], "2001:db8:a::/64"),
        ([(a, true), (b, false)], "2001:db8:b::/64"),
        ([(a, false), (b, true)], "2001:db8:a::/64"),
        ([(b, false), (a, true)], "2001:db8:b::/64"),
    ] {
        world.coordinator.handle_report(on_interface(&text, &addresses, &world), world.now);
        assert_eq!(current(&world).as_deref(), Some(expected), "{addresses:?}");
    }
    let home = world.status().dynamic_prefixes.remove(0);
    assert_eq!((home.prefix_source.as_deref(), home.history.len()), (Some("interface"), 1), "A is there once");
}

/// What `check` says of a configuration.
fn complaints(text: &str) -> String {
    let host = crate::config::Host { variable: &|_| None, exists: &|_| true, read: &|_| Ok(String::new()) };
    let loaded = crate::config::Config::parse(text, std::path::Path::new("test.toml"), &host);
    loaded.findings.iter().map(|finding| format!("{}\n", finding.message)).collect()
}

const DYN6: &str = "http = { url = \"https://api6.example.net/ip.json\", prefixLength = 64 }";

fn range(start: &str, end: &str) -> String {
    format!("addressRanges = [{{ name = \"pool\", start = \"{start}\", end = \"{end}\" }}]")
}

/// F5 is taken by metallb-dyn6. F4, a range of one address, is one here.
#[test]
fn f1_to_f5_host_parts() {
    for (start, end, expected) in [
        ("::1000", "::1999", None),
        ("::1000", "::1000", None),
        ("a::1000", "a::1999", Some("`start`: a::1000 has bits among the first 64")),
        ("::1", "a::5", Some("`end`: a::5 has bits among the first 64")),
        ("::1999", "::1000", Some("::1999")),
    ] {
        let told = complaints(&text(DYN6, &range(start, end)));
        match expected {
            Some(expected) => assert!(told.contains(expected), "{start} to {end}: {told}"),
            None => assert!(!told.contains("::"), "{start} to {end}: {told}"),
        }
    }
    let mut dyn6 = Dyn6::with("::1", "a::5");
    dyn6.answers(Ok("2001:db8:dead:beef::1"));
    let home = dyn6.world.status().dynamic_prefixes.remove(0);
    assert_eq!((home.address_ranges, home.errors.len()), (vec![], 1), "it is no range of anything");
}

/// A service, and what the DynamicPrefix makes of its answers.
struct Dyn6 {
    world: World,
    asker: Asker,
}

impl Dyn6 {
    fn new() -> Self {
        Self::with("::1000", "::1999")
    }

    fn with(start: &str, end: &str) -> Self {
        let text = text(DYN6, &range(start, end));
        let world = World::new(&text);
        let settings = http::Settings::for_url("https://api6.example.net/ip.json", &config(&text).dynamic_prefixes);
        let asker = Asker::new(settings.unwrap(), 7, world.now);
        Self { world, asker }
    }

    /// The service answers this to the next question, and again where it is asked for that.
    fn answers(&mut self, body: Result<&str, &str>) {
        loop {
            let (due, reason) = self.asker.poll_timeout().unwrap();
            self.world.now = self.world.now.max(due);
            assert!(self.asker.poll_request(self.world.now));
            let read = |body: &str| answer::read(body.as_bytes()).map_err(|error| error.to_string());
            let answer = body.map_err(ToOwned::to_owned).and_then(read);
            self.asker.handle_answer(answer.map_err(|why| Failure { why, retry_after: None }), self.world.now);
            self.world.coordinator.handle_report(self.asker.report(), self.world.now);
            if reason == "confirm" || !matches!(self.asker.poll_timeout(), Some((_, "confirm"))) {
                return;
            }
        }
    }

    fn range(&self) -> Option<(String, String)> {
        let home = self.world.status().dynamic_prefixes.remove(0);
        home.address_ranges.into_iter().next().map(|range| (range.start, range.end))
    }
}

fn from_to(net: &str) -> Option<(String, String)> {
    Some((format!("{net}1000"), format!("{net}1999")))
}

#[test]
fn f6_to_f8_the_range_in_the_prefix_of_the_answer() {
    let mut dyn6 = Dyn6::new();
    assert_eq!(dyn6.range(), None);
    dyn6.answers(Ok(r#"{"success":true,"ip":"2001:db8:dead:beef:123:123:123:123","type":"IPv6"}"#));
    assert_eq!(dyn6.range(), from_to("2001:db8:dead:beef::"));
    let home = dyn6.world.status().dynamic_prefixes.remove(0);
    assert_eq!(home.current_prefix.as_deref(), Some("2001:db8:dead:beef::/64"));
    assert_eq!((home.prefix_source.as_deref(), home.valid_until), (Some("http"), None));
}

#[test]
fn what_a_service_answered_last_is_known_to_whoever_asks_it_next() {
    let mut dyn6 = Dyn6::new();
    let id = SourceId::at("https://api6.example.net/ip.json");
    assert_eq!(dyn6.world.coordinator.service_seed(&id), None);
    dyn6.answers(Ok("2001:db8:dead:beef::1"));
    let seed = dyn6.world.coordinator.service_seed(&id).map(|offer| offer.prefix.to_string());
    assert_eq!(seed.as_deref(), Some("2001:db8:dead:beef::/64"));
    assert_eq!(dyn6.world.coordinator.service_seed(&SourceId::at("https://other.example/")), None);
}

#[test]
fn f_errors_change_nothing_and_another_prefix_replaces_the_former_one() {
    let mut dyn6 = Dyn6::new();
    dyn6.answers(Ok("2001:db8:dead:beef::1"));
    for wrong in [Err("there was no whole answer within 20 s"), Ok(""), Ok("192.0.2.1"), Ok("2001:db8::1 2001:db8::2")]
    {
        dyn6.answers(wrong);
        assert_eq!(dyn6.range(), from_to("2001:db8:dead:beef::"), "{wrong:?}");
    }
    assert!(!dyn6.world.status().is_healthy(), "but it is told");
    dyn6.answers(Ok("2001:db8:cafe:1::1"));
    assert_eq!(dyn6.range(), from_to("2001:db8:cafe:1::"));
    let home = dyn6.world.status().dynamic_prefixes.remove(0);
    let former: Vec<_> = home.history.iter().map(|former| (former.prefix.as_str(), former.state.as_str())).collect();
    assert_eq!(former, [("2001:db8:dead:beef::/64", "draining")]);
    let sources = dyn6.world.status().sources;
    assert_eq!(sources[0].url.as_deref(), Some("https://api6.example.net/ip.json"));
}

#[test]
fn two_urls_that_differ_in_their_secret_are_two_sources_and_told_apart() {
    let prefix = |name: &str, token: &str| {
        format!(
            "[[dynamicPrefix]]\nname = \"{name}\"\nacquisition.http = {{ url = \"https://a.example/ip?{token}\", \
             prefixLength = 56 }}\n"
        )
    };
    let text = prefix("one", "first-secret") + &prefix("two", "second-secret");
    let mut world = World::new(&text);
    for token in ["first-secret", "second-secret"] {
        let url = format!("https://a.example/ip?{token}");
        let settings = http::Settings::for_url(&url, &config(&text).dynamic_prefixes).unwrap();
        world.coordinator.handle_report(Asker::new(settings, 1, world.now).report(), world.now);
    }
    let status = world.status();
    let urls: Vec<_> = status.sources.iter().filter_map(|source| source.url.as_deref()).collect();
    assert_eq!(urls, ["https://a.example/ip?…", "https://a.example/ip?… (2)"]);
    let shown = serde_json::to_string(&status).unwrap();
    assert!(!shown.contains("secret"), "{shown}");
}
