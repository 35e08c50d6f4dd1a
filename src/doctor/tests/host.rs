//! What concerns the whole host.

use std::collections::BTreeSet;
use std::path::Path;

use super::provoked;
use crate::config::{Acquisition, Config, Dhcpv6, DynamicPrefix, Host, RouterAdvertisement, Transition};
use crate::doctor::capability::{self, NET_ADMIN, NET_BIND_SERVICE, NET_RAW, Whose};
use crate::doctor::routes::{self, Delegation, Neighbourhood, Range};
use crate::doctor::{Check, Finding, Level, clock, daemon};
use crate::prefix::Interval;
use crate::source::dhcpv6::route::Route;
use crate::status::{DaemonStatus, SCHEMA_VERSION, Status};

pub(super) const TESTS: &[fn()] = &[
    the_daemon,
    the_configuration_says_what_check_says,
    the_clock,
    the_capabilities,
    packets_that_go_in_circles,
    hosts_inside_a_range,
];

pub(super) fn status(version: &str, reload_errors: &[&str]) -> Box<Status> {
    Box::new(Status {
        schema_version: SCHEMA_VERSION,
        daemon: DaemonStatus {
            version: version.to_owned(),
            id: "x".to_owned(),
            started_at: None,
            config_applied_at: None,
            leftovers: Vec::new(),
            reload_errors: reload_errors.iter().map(|error| (*error).to_owned()).collect(),
            listen_error: None,
        },
        sources: Vec::new(),
        dynamic_prefixes: Vec::new(),
        clusters: Vec::new(),
        targets: Vec::new(),
        hooks: Vec::new(),
        files: Vec::new(),
    })
}

#[test]
fn the_daemon() {
    let found = daemon::check(&daemon::Facts::NotRunning, "1.0.0");
    provoked(&found, Check::Daemon, Level::Warning, "is not running. Start it with `systemctl start dyn-prefix`");
    let waiting = |facts: &daemon::Facts, count| daemon::waiting(facts, count, "/run/a/control.sock".as_ref());
    let found = waiting(&daemon::Facts::NotRunning, 1).into_iter().collect::<Vec<_>>();
    provoked(&found, Check::Daemon, Level::Warning, "A report waits for the daemon in /run/a. Start it before");
    let found = waiting(&daemon::Facts::NotRunning, 3).into_iter().collect::<Vec<_>>();
    provoked(&found, Check::Daemon, Level::Warning, "3 reports wait for the daemon in /run/a.");
    assert_eq!(waiting(&daemon::Facts::NotRunning, 0), None);
    assert_eq!(waiting(&daemon::Facts::NoAnswer("busy".to_owned()), 1), None);
    let found = daemon::check(&daemon::Facts::NoAnswer("no permission".to_owned()), "1.0.0");
    provoked(&found, Check::Daemon, Level::Unseen, "could not be asked: no permission.");
    let runs = |version: &str, errors: &[&str]| daemon::check(&daemon::Facts::Runs(status(version, errors)), "1.0.0");
    provoked(&runs("0.9.0", &[]), Check::Daemon, Level::Warning, "of version 0.9.0, this program 1.0.0");
    provoked(&runs("1.0.0", &["x"]), Check::Daemon, Level::Warning, "the last reload was refused");
    let found = runs("1.0.0", &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    provoked(&found, Check::Daemon, Level::Ok, "The daemon runs (1.0.0).");

    let file_of = |line: &str| {
        let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
        daemon::file_of(&arguments).display().to_string()
    };
    let files =
        ["run", "run --config /a.toml", "run --config=b.toml", "run --config-dir /c", "run --config"].map(file_of);
    let default = "/etc/dyn-prefix.toml";
    assert_eq!(files, [default, "/a.toml", "b.toml", default, default], "a draft beside it is not what it reads");

    let of = |applied: Option<&str>, errors: &[&str]| {
        let mut status = status("1.0.0", errors);
        status.daemon.config_applied_at = applied.map(|at| at.parse().unwrap());
        let changed = Some("2026-11-21T10:00:00.9Z".parse().unwrap());
        daemon::in_use(&daemon::Facts::Runs(status), Path::new("/etc/dyn-prefix.toml"), changed)
    };
    let found: Vec<Finding> = of(Some("2026-11-21T09:00:00Z"), &[]).into_iter().collect();
    let text =
        provoked(&found, Check::Daemon, Level::Warning, "/etc/dyn-prefix.toml was changed at 2026-11-21T10:00:00Z,");
    assert!(text.contains("`systemctl reload dyn-prefix`"), "{text}");
    assert_eq!(of(Some("2026-11-21T11:00:00Z"), &[]), None, "it was read since");
    assert_eq!(of(Some("2026-11-21T10:00:00Z"), &[]), None, "in the same second, as status tells it");
    assert_eq!(of(Some("2026-11-21T09:00:00Z"), &["x"]), None, "that it was refused is said");
    assert_eq!(of(None, &[]), None);

    let mut ill = status("1.0.0", &[]);
    ill.sources.push(crate::status::SourceStatus {
        kind: "dhcpv6-pd".to_owned(),
        interface: Some("wan".to_owned()),
        url: None,
        state: "failed".to_owned(),
        reason: Some("x".to_owned()),
        lease: None,
        next_wake: None,
        notes: Vec::new(),
    });
    let found = daemon::check(&daemon::Facts::Runs(ill), "1.0.0");
    provoked(&found, Check::Daemon, Level::Warning, "`dyn-prefix status` says what.");
}

#[test]
fn the_configuration_says_what_check_says() {
    let host = Host { variable: &|_| None, exists: &|_| false, read: &|_| Ok(String::new()) };
    let loaded = Config::parse("[[cluster]]\nkubeconfig = \"/x\"\n", Path::new("f.toml"), &host);
    let found = daemon::configuration(&loaded.findings);
    let warning = found.iter().find(|finding| finding.level == Level::Warning).unwrap();
    assert_eq!((warning.check, warning.subject.as_str()), (Check::Configuration, "f.toml:2:14"));
    let loaded = Config::parse("[daemon]\nid = 1\n", Path::new("f.toml"), &host);
    let found = daemon::configuration(&loaded.findings);
    assert!(found.iter().any(|finding| finding.level == Level::Error), "{found:?}");
}

#[test]
fn the_clock() {
    let at = |now: &str, synchronised| vec![clock::check(&clock::Facts { now: now.parse().unwrap(), synchronised })];
    provoked(&at("1970-01-01T00:02:00Z", Some(false)), Check::Clock, Level::Error, "1970-01-01 00:02:00 UTC");
    provoked(&at("2026-11-21T00:00:00Z", Some(false)), Check::Clock, Level::Warning, "nobody keeps it");
    provoked(&at("2026-11-21T00:00:00Z", None), Check::Clock, Level::Unseen, "could not be seen");
    provoked(&at("2026-11-21T00:00:00Z", Some(true)), Check::Clock, Level::Ok, "is kept by NTP");
}

fn config(acquisition: Acquisition) -> Config {
    let prefix = DynamicPrefix {
        name: "home".to_owned(),
        acquisition,
        address_ranges: Vec::new(),
        subnets: Vec::new(),
        transition: Transition::default(),
    };
    Config { dynamic_prefixes: vec![prefix], ..Config::default() }
}

fn client(unreachable_route: bool) -> Config {
    let dhcpv6 = Some(Dhcpv6 { unreachable_route, ..Dhcpv6::on("wan") });
    config(Acquisition { dhcpv6, ..Acquisition::default() })
}

fn capabilities(config: &Config, whose: Whose, effective: Option<u64>) -> Vec<Finding> {
    capability::check(config, &capability::Facts { whose, effective, families: None })
}

#[test]
fn the_capabilities() {
    let both = 1 << NET_RAW | 1 << NET_BIND_SERVICE;
    let found = capabilities(&client(false), Whose::Unit, Some(both));
    assert!(found.len() == 2 && found.iter().all(|finding| finding.level == Level::Ok), "{found:?}");
    let found = capabilities(&client(false), Whose::Daemon(9), Some(1 << NET_RAW));
    let text = "The daemon (process 9) does not have CAP_NET_BIND_SERVICE";
    let text = provoked(&found, Check::Capability, Level::Error, text);
    assert!(text.contains("AmbientCapabilities=CAP_NET_BIND_SERVICE"), "{text}");
    let found = capabilities(&client(true), Whose::Unit, Some(both));
    provoked(&found, Check::Capability, Level::Error, "CAP_NET_ADMIN, without which there is no unreachable route");
    let found = capabilities(&client(false), Whose::ThisCommand, Some(0));
    assert_eq!(found.iter().filter(|finding| finding.level == Level::Unseen).count(), 2, "{found:?}");
    provoked(&found, Check::Capability, Level::Unseen, "Run the daemon by its systemd unit");
    provoked(&capabilities(&client(false), Whose::Daemon(9), None), Check::Capability, Level::Unseen, "not be read");
    let found = capabilities(&client(false), Whose::ThisCommand, None);
    provoked(&found, Check::Capability, Level::Unseen, "this command, for want of a unit and of a running daemon,");

    let interface = "wan".to_owned();
    let source = RouterAdvertisement { interface, delegated_prefix_length: None, routers: Vec::new() };
    let hears = config(Acquisition { router_advertisement: Some(source), ..Acquisition::default() });
    let found = capabilities(&hears, Whose::Unit, Some(0));
    provoked(&found, Check::Capability, Level::Error, "CAP_NET_RAW, without which there is no listening");
    assert_eq!(found.len(), 1, "{found:?}");
    let fixed = config(Acquisition { fixed: Some("2001:db8::/56".parse().unwrap()), ..Acquisition::default() });
    provoked(&capabilities(&fixed, Whose::Unit, Some(0)), Check::Capability, Level::Ok, "need no capability");
}

#[test]
fn capabilities_as_the_host_prints_them() {
    assert_eq!(capability::of_unit("cap_net_bind_service cap_net_raw"), 1 << NET_BIND_SERVICE | 1 << NET_RAW);
    assert_eq!(capability::of_unit(""), 0);
    assert_eq!(capability::of_unit("CAP_NET_ADMIN"), 1 << NET_ADMIN);
    assert_eq!(capability::of_status("Name:\tx\nCapEff:\t0000000000003400\n"), Some(0x3400));
    assert_eq!(capability::of_status("Name:\tx\n"), None);
}

const UPLINK: u32 = 3;

fn loops(forwards: bool, routes: Result<Vec<Route>, String>) -> Vec<Finding> {
    let delegation =
        Delegation { prefix: "2001:db8:a::/56".parse().unwrap(), interface: "wan".to_owned(), ifindex: Some(UPLINK) };
    routes::check(&routes::Facts { forwards, delegations: vec![delegation], routes })
}

#[test]
fn packets_that_go_in_circles() {
    let default = Route::sending("::/0".parse().unwrap(), UPLINK);
    let covering = Route::dropping("2001:db8:a::/56".parse().unwrap());
    let text = provoked(&loops(true, Ok(vec![default])), Check::ForwardingLoop, Level::Warning, "round and round");
    assert!(text.contains("ip -6 route add unreachable 2001:db8:a::/56"), "{text}");
    provoked(&loops(true, Ok(vec![default, covering])), Check::ForwardingLoop, Level::Ok, "2001:db8:a::/56");
    provoked(&loops(false, Ok(vec![default])), Check::ForwardingLoop, Level::Note, "does not forward IPv6");
    provoked(&loops(true, Err("x".to_owned())), Check::ForwardingLoop, Level::Unseen, "could not be seen: x.");
}

fn neighbourhood(neighbours: &[&str], services: Option<&[&str]>) -> Neighbourhood {
    let interval = Interval::from("2001:db8:a:f::/112".parse::<ipnet::Ipv6Net>().unwrap());
    let addresses = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<BTreeSet<_>>();
    Neighbourhood {
        ranges: vec![Range { name: "of the pool lb in the cluster home".to_owned(), interval }],
        neighbours: Ok(addresses(neighbours).into_iter().map(|address| (address, "lan".to_owned())).collect()),
        services: services.map(addresses),
    }
}

#[test]
fn hosts_inside_a_range() {
    let of = |neighbours: &[&str], services| routes::neighbours(&neighbourhood(neighbours, services));
    let found = of(&["2001:db8:a:f::5", "2001:db8:a:e::5"], Some(&[]));
    let text = "2001:db8:a:f::5 on lan lies in the range of the pool lb in the cluster home";
    provoked(&found, Check::Neighbour, Level::Warning, text);
    assert_eq!(found.len(), 1, "{found:?}");
    provoked(&of(&["2001:db8:a:f::5"], Some(&["2001:db8:a:f::5"])), Check::Neighbour, Level::Ok, "No host");
    provoked(&of(&["2001:db8:a:f::5"], None), Check::Neighbour, Level::Note, "whether it is a Service");
    let unread = Neighbourhood { neighbours: Err("x".to_owned()), ..neighbourhood(&[], None) };
    provoked(&routes::neighbours(&unread), Check::Neighbour, Level::Unseen, "could not be read: x.");
}
