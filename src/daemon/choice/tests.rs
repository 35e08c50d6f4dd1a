//! What is chosen of what was seen, and how long it stays.

mod heard;
mod kept;
mod pace;
mod questions;

use std::path::Path;

use super::round::{Look, known_answer, outcomes, questions};
use super::*;
use crate::config::Host;
use crate::control::Report;
use crate::daemon::coordinator::{Identity, Memory};
use crate::daemon::reporting::Taker;
use crate::source::dhcpv6::others::Client;
use crate::source::ra::packet::PrefixInformation;
use crate::source::{Advertised, Offer, SourceState};
use crate::time::{Deadline, Epoch};

const P: &str = "2001:db8:a00::/56";

fn interface(name: &str) -> Interface {
    let (routers, client) = (Ok(Vec::new()), Verdict::Free);
    Interface { name: name.to_owned(), can_send: true, default_route: false, routers, client }
}

fn router(managed: bool, other: bool, pd_preferred: bool) -> Advertisement {
    let prefix = "2001:db8:a::/64".parse().unwrap();
    Advertisement {
        router: "fe80::1".parse().unwrap(),
        router_lifetime: 1800,
        managed,
        other,
        prefixes: vec![PrefixInformation {
            prefix,
            on_link: true,
            autonomous: true,
            pd_preferred,
            preferred: 3600,
            valid: 7200,
        }],
        ignored: Vec::new(),
    }
}

fn with(routers: Vec<Advertisement>, interface: Interface) -> Interface {
    Interface { routers: Ok(routers), ..interface }
}

fn on(name: &str) -> Auto {
    Auto { interface: Some(name.to_owned()), ..Auto::default() }
}

/// What is taken: "observed on wan: REASON".
fn taken(auto: &Auto, seen: &[Interface], answer: Option<Answer>) -> String {
    match choose(auto, seen, false, answer.as_ref()) {
        Step::Take(chosen) => format!("{}: {}", chosen.id(), chosen.reason),
        Step::Ask(interface) => format!("ask on {interface}"),
        Step::Wait(why) => format!("wait: {why}"),
    }
}

#[test]
fn another_client_is_observed_whatever_routers_say() {
    let (who, advice) = ("dhclient (process 12) runs as a DHCPv6 client on wan".to_owned(), "Stop it".to_owned());
    let client = Verdict::Taken(Client { who, advice });
    let wan = with(vec![router(true, true, true)], Interface { client, ..interface("wan") });
    let expected = "observed on wan: dhclient (process 12) runs as a DHCPv6 client on wan.";
    assert_eq!(taken(&on("wan"), std::slice::from_ref(&wan), None), expected);
    let down = Interface { can_send: false, ..wan };
    assert_eq!(taken(&on("wan"), &[down], None), expected, "also before the link is up");
}

#[test]
fn a_router_that_speaks_of_dhcpv6_is_believed() {
    for (managed, other, preferred) in [(true, false, false), (false, true, false), (false, false, true)] {
        let wan = with(vec![router(false, false, false), router(managed, other, preferred)], interface("wan"));
        let expected = "dhcpv6-pd on wan: the router fe80::1 on wan says that there is DHCPv6.";
        assert_eq!(taken(&on("wan"), &[wan], None), expected);
    }
}

#[test]
fn where_no_router_speaks_of_it_a_server_is_asked_for() {
    let wan = with(vec![router(false, false, false)], interface("wan"));
    let seen = std::slice::from_ref(&wan);
    assert_eq!(taken(&on("wan"), seen, None), "ask on wan");
    let server = "dhcpv6-pd on wan: a DHCPv6 server on wan has a prefix to delegate.";
    assert_eq!(taken(&on("wan"), seen, Some(Answer::Server)), server);
    let silence = "router-advertisement on wan: there is no other DHCPv6 client on wan, no router there speaks of DHCPv6, \
                   and no server has a prefix to delegate.";
    assert_eq!(taken(&on("wan"), seen, Some(Answer::Silence)), silence);
    let client = Verdict::Undecided("systemd-networkd configures wan".to_owned());
    let undecided = with(vec![router(true, false, false)], Interface { client, ..wan.clone() });
    let open =
        "wait: whether there will be another DHCPv6 client on wan is still open: systemd-networkd configures wan";
    assert_eq!(taken(&on("wan"), &[undecided], None), open);
    let down = Interface { can_send: false, ..wan };
    assert_eq!(taken(&on("wan"), &[down], None), "wait: wan is down or has no link-local address yet");
    assert_eq!(taken(&on("ppp0"), &[], None), "wait: there is no interface ppp0 yet");
}

#[test]
fn the_uplink_is_where_the_default_route_is_else_where_the_only_router_is() {
    let lan = with(vec![router(true, false, false)], interface("lan"));
    let way_out = with(vec![router(true, false, false)], Interface { default_route: true, ..interface("wan") });
    let seen = [lan.clone(), way_out, interface("idle")];
    assert!(taken(&Auto::default(), &seen, None).ends_with("there is DHCPv6; wan has the IPv6 default route."));
    let only = taken(&Auto::default(), &[lan.clone(), interface("idle")], None);
    assert!(only.ends_with("there is DHCPv6; lan is the only interface where a router is heard."), "{only}");
    let two = [lan, with(vec![router(true, false, false)], interface("guests"))];
    let several = "wait: there is no IPv6 default route, and routers are heard on lan, guests; write \
                   acquisition.auto = { interface = \"NAME\" }";
    assert_eq!(taken(&Auto::default(), &two, None), several);
    assert!(
        taken(&Auto::default(), &[interface("idle")], None).starts_with("wait: there is no IPv6 default route, and no")
    );
}

fn config(text: &str) -> Config {
    let host = Host { variable: &|_| None, exists: &|_| true, read: &|_| Ok(String::new()) };
    let loaded = Config::parse(text, Path::new("test.toml"), &host);
    loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.findings))
}

const AUTO: &str = "[[dynamicPrefix]]\nname = \"home\"\nacquisition = \"auto\"\n";

fn now() -> Instant {
    Instant::from_secs(1000)
}

fn coordinator(text: &str) -> Coordinator {
    let identity = Identity { daemon_id: "me".to_owned(), duid: Duid::new(&[0, 4, 0xaa]).unwrap(), boot_id: None };
    Coordinator::new(Arc::new(config(text)), identity, Memory::default(), now())
}

fn chosen(kind: SourceKind) -> Chosen {
    Chosen { kind, interface: "wan".to_owned(), reason: "so it is.".to_owned() }
}

impl Coordinator {
    fn chooses_now(&mut self, outcome: Result<Chosen, &str>) -> bool {
        self.take_choices(&[("home".to_owned(), outcome.map_err(str::to_owned))], now())
    }

    fn lines(&mut self) -> Vec<String> {
        let epoch = Epoch::new(now(), "2026-01-04T10:00:00Z".parse().unwrap());
        std::iter::from_fn(|| self.poll_entry(&epoch)).map(|entry| entry.message).collect()
    }

    fn source_names(&self) -> Vec<String> {
        self.sources().iter().map(ToString::to_string).collect()
    }

    fn says(&mut self, kind: SourceKind, prefix: Option<&str>) {
        let offers = prefix.into_iter().map(|prefix| Offer {
            prefix: prefix.parse().unwrap(),
            recipient: None,
            router: None,
            preferred_until: Deadline::after(now(), 1800),
            valid_until: Deadline::after(now(), 3600),
            excluded: Vec::new(),
            first_seen: now(),
            cut: None,
        });
        let report = SourceReport {
            offers: offers.collect(),
            ..SourceReport::new(SourceId::on(kind, "wan"), SourceState::Bound)
        };
        self.handle_report(report, now());
    }
}

#[test]
fn what_is_chosen_becomes_the_source_and_status_says_why() {
    let mut coordinator = coordinator(AUTO);
    assert!(coordinator.sources().is_empty() && coordinator.chooses());
    assert!(coordinator.chooses_now(Err("there is no interface ppp0 yet")));
    assert_eq!(
        coordinator.lines(),
        ["home: acquisition.auto has not chosen a source yet: there is no interface ppp0 yet."]
    );
    let epoch = Epoch::new(now(), "2026-01-04T10:00:00Z".parse().unwrap());
    let status = coordinator.status(&epoch);
    let error = &status.dynamic_prefixes[0].errors[0];
    assert_eq!(error.message, "No source is chosen yet: there is no interface ppp0 yet.");
    assert!(!coordinator.chooses_now(Err("there is no interface ppp0 yet")), "nothing new");
    assert!(coordinator.lines().is_empty());
    assert!(coordinator.chooses_now(Ok(chosen(SourceKind::Observed))));
    assert_eq!(coordinator.lines(), ["home: acquisition.auto takes the prefix from observed on wan: so it is."]);
    assert_eq!(coordinator.source_names(), ["observed on wan", "router-advertisement on wan"]);
    coordinator.says(SourceKind::Observed, None);
    let status = coordinator.status(&epoch);
    assert!(status.dynamic_prefixes[0].errors.is_empty());
    assert_eq!(status.sources[0].notes, ["Chosen for home (acquisition.auto): so it is."]);
}

#[test]
fn a_choice_stays_while_it_works() {
    let mut coordinator = coordinator(AUTO);
    coordinator.chooses_now(Ok(chosen(SourceKind::Observed)));
    assert_eq!(coordinator.open_choices(News::Nothing, now()).len(), 1, "it has given no prefix yet");
    coordinator.says(SourceKind::Observed, Some(P));
    assert!(coordinator.open_choices(News::Nothing, now()).is_empty());
    coordinator.says(SourceKind::RouterAdvertisement, Some("2001:db8:a::/64"));
    assert!(coordinator.open_choices(News::Nothing, now()).is_empty());
    // Its prefix is over, and another stands in.
    let later = Instant::from_secs(4700);
    coordinator.handle_timeout(later);
    assert_eq!(coordinator.open_choices(News::Nothing, later).len(), 1);
    // A reload keeps it, unless the interface is written otherwise.
    let again = with_former(config(AUTO), coordinator.config());
    assert_eq!(again.dynamic_prefixes[0].acquisition.auto.as_ref().unwrap().chosen, Some(chosen(SourceKind::Observed)));
    let text = AUTO.replace("\"auto\"", "{ auto = { interface = \"lan\" } }");
    let moved = with_former(config(&text), coordinator.config());
    assert_eq!(moved.dynamic_prefixes[0].acquisition.auto.as_ref().unwrap().chosen, None);
    assert!(moved.dynamic_prefixes[0].sources().is_empty());
    // What could not be chosen anew leaves what there is.
    assert!(!coordinator.chooses_now(Err("wan is down or has no link-local address yet")));
    assert_eq!(coordinator.source_names(), ["observed on wan", "router-advertisement on wan"]);
}

/// Nobody answered for eight seconds, which proves nothing: after a power cut the provider is slow.
#[test]
fn a_choice_by_silence_stays_open() {
    let mut coordinator = coordinator(AUTO);
    assert!(coordinator.lacks_choice(now()));
    coordinator.chooses_now(Ok(chosen(SourceKind::RouterAdvertisement)));
    assert!(coordinator.lacks_choice(now()) && coordinator.open_choices(News::Nothing, now()).len() == 1);
    coordinator.says(SourceKind::RouterAdvertisement, Some("2001:db8:a::/64"));
    assert!(!coordinator.lacks_choice(now()) && coordinator.open_choices(News::Nothing, now()).is_empty(), "it works");
    assert_eq!(
        coordinator.open_choices(News::Called, now()).len(),
        1,
        "but there is news: a reload, a flag, another client"
    );
    let later = Instant::from_secs(4700);
    coordinator.handle_timeout(later);
    assert!(coordinator.lacks_choice(later), "its prefix is over");
    coordinator.chooses_now(Ok(chosen(SourceKind::Dhcpv6Pd)));
    coordinator.says(SourceKind::Dhcpv6Pd, Some(P));
    assert!(
        !coordinator.lacks_choice(now()) && coordinator.open_choices(News::Called, now()).is_empty(),
        "this one was seen"
    );
}

/// A look takes seconds. Meanwhile the line is back that was down when it began.
#[test]
fn what_works_again_is_not_replaced_by_what_was_seen_before() {
    let mut coordinator = coordinator(AUTO);
    coordinator.chooses_now(Ok(chosen(SourceKind::Dhcpv6Pd)));
    let backup = Chosen { interface: "wwan0".to_owned(), ..chosen(SourceKind::RouterAdvertisement) };
    let made = vec![("home".to_owned(), Ok(backup)), ("gone".to_owned(), Err("no".to_owned()))];
    assert_eq!(coordinator.still_open(made.clone(), News::Links, now()), made[..1]);
    coordinator.says(SourceKind::Dhcpv6Pd, Some(P));
    for news in [News::Nothing, News::Links, News::Called] {
        assert_eq!(coordinator.still_open(made.clone(), news, now()), [], "{news:?}");
    }
    // A choice by silence gives way to news, also to that of interfaces, unless one is written.
    coordinator = self::coordinator(AUTO);
    coordinator.chooses_now(Ok(chosen(SourceKind::RouterAdvertisement)));
    coordinator.says(SourceKind::RouterAdvertisement, Some("2001:db8:a::/64"));
    let open = |coordinator: &Coordinator, news| coordinator.open_choices(news, now()).len();
    let all = [News::Nothing, News::Links, News::Called];
    assert_eq!(all.map(|news| open(&coordinator, news)), [0, 1, 1]);
    assert_eq!(all.map(|news| coordinator.still_open(made.clone(), news, now()).len()), [0, 1, 1]);
    let mut coordinator = self::coordinator(&AUTO.replace("\"auto\"", "{ auto = { interface = \"wan\" } }"));
    coordinator.chooses_now(Ok(chosen(SourceKind::RouterAdvertisement)));
    coordinator.says(SourceKind::RouterAdvertisement, Some("2001:db8:a::/64"));
    assert_eq!(all.map(|news| open(&coordinator, news)), [0, 0, 1]);
}

/// A reload may name another interface while it is looked round on the former one.
#[test]
fn a_choice_for_another_interface_than_the_file_names_is_dropped() {
    let coordinator = coordinator(&AUTO.replace("\"auto\"", "{ auto = { interface = \"lan\" } }"));
    let of = |interface: &str| {
        let chosen = Chosen { interface: interface.to_owned(), ..chosen(SourceKind::Dhcpv6Pd) };
        coordinator.still_open(vec![("home".to_owned(), Ok(chosen))], News::Called, now()).len()
    };
    assert_eq!((of("wan"), of("lan")), (0, 1));
}

/// Our own client holds the port, so that nobody else can be asked: silence ends it not.
#[test]
fn our_own_client_is_not_given_up_because_nobody_answered_another() {
    let mut coordinator = coordinator(AUTO);
    coordinator.chooses_now(Ok(chosen(SourceKind::Dhcpv6Pd)));
    assert!(!coordinator.chooses_now(Ok(chosen(SourceKind::RouterAdvertisement))));
    assert_eq!(coordinator.source_names(), ["dhcpv6-pd on wan", "router-advertisement on wan"]);
    assert!(coordinator.chooses_now(Ok(chosen(SourceKind::Observed))), "another client is another matter");
    assert!(coordinator.chooses_now(Ok(chosen(SourceKind::RouterAdvertisement))), "it is there no more");
}

#[test]
fn reports_call_for_another_choice() {
    let mut coordinator = coordinator(AUTO);
    let ra = |dhcpv6| {
        let id = SourceId::on(SourceKind::RouterAdvertisement, "wan");
        let advertised = Some(Advertised { dhcpv6, ..Advertised::default() });
        SourceReport { advertised, ..SourceReport::new(id, SourceState::Receiving) }
    };
    let id = SourceId::on(SourceKind::Dhcpv6Pd, "wan");
    let other_client = Some("dhcpcd runs there.".to_owned());
    let other = SourceReport { other_client, ..SourceReport::new(id, SourceState::Failed("taken".to_owned())) };
    let calls =
        |coordinator: &Coordinator, report: &SourceReport| calls_for_another(coordinator.config(), None, report);
    assert!(!calls(&coordinator, &ra(true)));
    coordinator.chooses_now(Ok(chosen(SourceKind::RouterAdvertisement)));
    assert_eq!([ra(true), ra(false)].map(|report| calls(&coordinator, &report)), [true, false]);
    coordinator.chooses_now(Ok(chosen(SourceKind::Dhcpv6Pd)));
    assert!(!calls(&coordinator, &ra(true)) && calls(&coordinator, &other));
    // What was said before has had its effect.
    let again = |report: &SourceReport| calls_for_another(coordinator.config(), Some(report), report);
    assert!(!again(&other));
    coordinator.chooses_now(Ok(Chosen { interface: "lan".to_owned(), ..chosen(SourceKind::RouterAdvertisement) }));
    let preferred = Advertised { delegation_preferred: true, ..Advertised::default() };
    let id = SourceId::on(SourceKind::RouterAdvertisement, "lan");
    let ra = |advertised| SourceReport { advertised, ..SourceReport::new(id.clone(), SourceState::Receiving) };
    let (former, flag_p) = (ra(Some(Advertised::default())), ra(Some(preferred)));
    let calls = |former, report| calls_for_another(coordinator.config(), Some(former), report);
    assert_eq!([calls(&former, &flag_p), calls(&flag_p, &flag_p), calls(&flag_p, &former)], [true, false, false]);
}

#[test]
fn a_server_is_asked_as_our_client_would_ask() {
    let prefix = &config(AUTO).dynamic_prefixes[0];
    let duid = Duid::new(&[0, 4, 0xaa]).unwrap();
    let settings = probe(prefix, "wan", &duid).unwrap();
    assert_eq!((settings.interface.as_str(), &settings.duid), ("wan", &DuidSetting::Fixed(duid.clone())));
    let coordinator = {
        let mut coordinator = coordinator(AUTO);
        coordinator.chooses_now(Ok(chosen(SourceKind::Dhcpv6Pd)));
        coordinator
    };
    assert_eq!(coordinator.client_settings()["wan"].delegations, settings.delegations);
}
