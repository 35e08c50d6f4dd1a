//! Whatever was seen, the file can be used.

use serde_json::json;

use super::*;
use crate::config::{Config, Host, Kubeconfig, Severity};
use crate::source::ra::packet::PrefixInformation;

/// The file, which passes `check`.
fn written(seen: &Seen) -> (String, Config) {
    let text = write(seen);
    let config = parsed(&text);
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    (text, config)
}

fn parsed(text: &str) -> Config {
    let host = Host { variable: &|_| None, exists: &|_| true, read: &|_| Ok(String::new()) };
    let loaded = Config::parse(text, std::path::Path::new("f.toml"), &host);
    let errors: Vec<_> = loaded.findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    loaded.config.unwrap_or_else(|| panic!("{errors:#?}\n{text}"))
}

/// The text of the comments, with the lines joined.
fn unwrapped(text: &str) -> String {
    text.replace("\n# ", " ")
}

fn networkd_asks() -> Verdict {
    let (who, advice) = ("systemd-networkd is a DHCPv6 client on wan".to_owned(), "Write DHCP=ipv4".to_owned());
    Verdict::Taken(Client { who, advice })
}

fn interface(name: &str) -> Interface {
    let (routers, client) = (Ok(Vec::new()), Verdict::Free);
    Interface { name: name.to_owned(), can_send: true, default_route: false, routers, client }
}

fn router(prefix: &str, pd_preferred: bool) -> Advertisement {
    Advertisement {
        router: "fe80::1".parse().unwrap(),
        router_lifetime: 1800,
        managed: false,
        other: false,
        prefixes: vec![PrefixInformation {
            prefix: prefix.parse().unwrap(),
            on_link: true,
            autonomous: true,
            pd_preferred,
            preferred: 3600,
            valid: 7200,
        }],
        ignored: Vec::new(),
    }
}

fn on(interfaces: &[Interface]) -> Seen {
    Seen { interfaces: interfaces.to_vec(), ..Seen::default() }
}

fn dhcpv6_on(config: &Config) -> Option<&str> {
    config.dynamic_prefixes[0].acquisition.dhcpv6.as_ref().map(|client| client.interface.as_str())
}

fn hears_on(config: &Config) -> Option<&str> {
    config.dynamic_prefixes[0].acquisition.router_advertisement.as_ref().map(|source| source.interface.as_str())
}

#[test]
fn of_nothing_it_makes_a_file_to_fill_in() {
    let (text, config) = written(&Seen::default());
    assert!(text.contains("no interface of this host is up"), "{text}");
    assert!(text.contains("# [[cluster]]"), "{text}");
    assert_eq!((dhcpv6_on(&config), config.clusters.len()), (Some("eth0"), 0));
}

#[test]
fn the_interface_is_where_the_way_out_is() {
    let heard = Interface { routers: Ok(vec![router("2001:db8:a::/64", false)]), ..interface("lan") };
    let way_out = Interface { default_route: true, ..interface("wan") };
    assert_eq!(hears_on(&written(&on(&[interface("a"), heard.clone(), way_out])).1), Some("wan"));
    assert_eq!(hears_on(&written(&on(&[interface("a"), heard.clone()])).1), Some("lan"));
    let (text, config) = written(&on(&[Interface { can_send: false, ..interface("a") }, interface("b")]));
    assert_eq!(hears_on(&config), Some("b"));
    assert!(text.contains("b, which is the only one that is up.") && text.contains("Others: a."), "{text}");
    let asked = Seen { wanted: Some("ppp0".to_owned()), ..on(&[heard]) };
    let (text, config) = written(&asked);
    assert_eq!(hears_on(&config), Some("ppp0"));
    assert!(text.contains("there is no such interface at the moment"), "{text}");
}

/// A node with many pods, bridges and VLANs.
#[test]
fn the_wanted_interface_and_the_way_out_are_seen_among_any_number() {
    let names = || (0..40).map(|number| format!("a{number}")).chain(["wan", "veth1", "lo"].map(str::to_owned));
    assert_eq!(to_look_at(names(), Some("wan"), |_| false), ["wan"]);
    assert_eq!(to_look_at(names(), Some("veth1"), |_| false), ["veth1"], "who names one means it");
    let all = to_look_at(names(), None, |name| name == "wan");
    assert_eq!((all.len(), all[0].as_str(), all[1].as_str()), (32, "wan", "a0"));
    assert_eq!(to_look_at(["lo", "veth1"].map(str::to_owned), None, |_| true), Vec::<String>::new());
}

#[test]
fn a_host_on_the_link_listens_and_a_router_asks() {
    let heard = |pd| Interface { routers: Ok(vec![router("2001:db8:a::/64", pd)]), ..interface("lan") };
    let (text, config) = written(&on(&[heard(false)]));
    assert_eq!((dhcpv6_on(&config), hears_on(&config)), (None, Some("lan")));
    assert!(text.contains("The router fe80::1 announces 2001:db8:a::/64."), "{text}");
    assert_eq!(config.dynamic_prefixes[0].address_ranges.len(), 1);
    let asks = parsed(&text.replace("# acquisition.dhcpv6", "acquisition.dhcpv6"));
    assert_eq!((dhcpv6_on(&asks), hears_on(&asks)), (Some("lan"), Some("lan")), "the offer can be taken as it stands");
    let (_, config) = written(&Seen { forwards: true, ..on(&[heard(false)]) });
    assert_eq!((dhcpv6_on(&config), hears_on(&config)), (Some("lan"), Some("lan")));
    assert_eq!(config.dynamic_prefixes[0].subnets.len(), 1);
    assert_eq!(dhcpv6_on(&written(&on(&[heard(true)])).1), Some("lan"), "RFC 9762");
    assert_eq!(dhcpv6_on(&written(&on(&[interface("lan")])).1), Some("lan"), "no router is heard");
}

#[test]
fn another_client_is_left_alone() {
    let client = networkd_asks();
    let (text, config) = written(&Seen { forwards: true, ..on(&[Interface { client, ..interface("wan") }]) });
    assert_eq!((dhcpv6_on(&config), hears_on(&config)), (None, Some("wan")));
    assert!(text.contains("systemd-networkd is a DHCPv6 client on wan."), "{text}");
    assert!(!text.contains("acquisition.dhcpv6"), "{text}");
    // What is done already is not to be done by whoever reads it.
    assert!(!text.contains("in place of") && !text.contains("write acquisition.observe"), "{text}");
    let said = "For a client of our own instead: Write DHCP=ipv4; then reboot, and run `dyn-prefix init` again.";
    assert!(unwrapped(&text).contains(said), "{text}");
    let observed = config.dynamic_prefixes[0].acquisition.observe.as_ref().map(|observe| observe.interface.as_str());
    assert_eq!(observed, Some("wan"), "it holds what there is to have");
    // Where Router Advertisements stand in, the pool must not move into the /64 of the uplink.
    let home = &config.dynamic_prefixes[0];
    assert_eq!((home.subnets.len(), home.address_ranges.len()), (1, 0), "{text}");
}

/// With the sources out and the comment in, it is a file as good.
#[test]
fn the_choice_can_be_left_to_the_daemon() {
    let client = networkd_asks();
    for wan in [interface("wan"), Interface { client, ..interface("wan") }] {
        let (text, _) = written(&on(&[wan]));
        let is_source = |line: &&str| line.starts_with("acquisition.") && !line.starts_with("acquisition.prefixFilter");
        let lines: Vec<&str> = text.lines().filter(|line| !is_source(line)).collect();
        let config = parsed(&lines.join("\n").replace("# acquisition.auto", "acquisition.auto"));
        let auto = config.dynamic_prefixes[0].acquisition.auto.as_ref();
        assert_eq!(auto.and_then(|auto| auto.interface.as_deref()), Some("wan"), "{text}");
    }
}

#[test]
fn what_could_not_be_heard_is_said() {
    let routers = Err("it takes the capability CAP_NET_RAW".to_owned());
    let (text, _) = written(&on(&[Interface { routers, ..interface("wan") }]));
    assert!(text.contains("Nobody could listen") && text.contains("CAP_NET_RAW."), "{text}");
}

#[test]
fn a_ula_alone_is_let_through() {
    let heard = Interface { routers: Ok(vec![router("fd00:1::/64", false)]), ..interface("lan") };
    let (_, config) = written(&on(&[heard]));
    assert!(!config.dynamic_prefixes[0].acquisition.filter.require_global_unicast);
}

fn object(kind: Kind, name: &str, spec: serde_json::Value) -> Object {
    let namespace = kind.is_namespaced().then_some("metallb-system");
    let metadata = json!({"name": name, "namespace": namespace, "uid": "u", "resourceVersion": "1"});
    Object::from_json(kind, &json!({"metadata": metadata, "spec": spec})).unwrap()
}

fn with(found: Result<Found, String>) -> Seen {
    let cluster = Some(Cluster { kubeconfig: "/etc/\"odd\" k".to_owned(), found });
    Seen { cluster, ..on(&[interface("wan")]) }
}

#[test]
fn the_pool_with_ipv6_gets_the_range() {
    let objects = vec![
        object(Kind::CiliumLoadBalancerIPPool, "v4", json!({"blocks": [{"cidr": "192.0.2.0/24"}]})),
        object(Kind::IPAddressPool, "dual", json!({"addresses": ["192.0.2.0/24", "2001:db8::1-2001:db8::f"]})),
        object(Kind::CiliumCIDRGroup, "home", json!({"externalCIDRs": []})),
    ];
    let (text, config) = written(&with(Ok(Found { version: "v1.36.3".to_owned(), objects, unread: Vec::new() })));
    assert_eq!(config.bindings[0].target.to_string(), "IPAddressPool/metallb-system/dual");
    assert_eq!(config.bindings.len(), 1);
    assert!(text.contains("Another pool: CiliumLoadBalancerIPPool/v4."), "{text}");
    assert!(text.contains("CiliumCIDRGroup/home"), "{text}");
    assert!(text.contains("An API server answers (v1.36.3)."), "{text}");
}

#[test]
fn a_cluster_that_shows_little_has_its_entry_all_the_same() {
    let (text, config) = written(&with(Err("connection refused\n[evil]".to_owned())));
    assert!(text.contains("could not be looked at: connection refused [evil]"), "{text}");
    assert!(!text.contains("was looked at with"), "{text}");
    let own = |config: &Config| config.clusters[0].kubeconfig.clone();
    assert_eq!(own(&config), Kubeconfig::File("/etc/dyn-prefix/home.kubeconfig".into()));
    let told = text.replace("\n# ", " ");
    assert!(told.contains("`dyn-prefix join --admin-kubeconfig /etc/\"odd\" k` makes both"), "{text}");
    let there = Cluster { kubeconfig: "/etc/dyn-prefix/\"odd\" k".to_owned(), found: Err(String::new()) };
    let (_, config) = written(&Seen { cluster: Some(there), ..on(&[interface("wan")]) });
    assert_eq!(own(&config), Kubeconfig::File("/etc/dyn-prefix/\"odd\" k".into()), "it is the daemon's own");
    let unread = vec![(Kind::IPAddressPool, "forbidden".to_owned())];
    let (text, config) = written(&with(Ok(Found { unread, ..Found::default() })));
    assert!(text.contains("IPAddressPool could not be listed: forbidden"), "{text}");
    assert!(text.contains("There is no pool") && config.bindings.is_empty(), "{text}");
}
