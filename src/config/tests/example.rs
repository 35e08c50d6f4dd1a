//! What the documented example turns into: every key of it has to arrive.

use super::*;
use crate::host::template::Template;
use crate::source::dhcpv6::RawOptionMessages;

fn text() -> String {
    std::fs::read_to_string(directory("examples/dyn-prefix.toml")).unwrap()
}

fn prefix() -> DynamicPrefix {
    DynamicPrefix {
        name: "home-ipv6".to_owned(),
        acquisition: Acquisition {
            dhcpv6: Some(dhcpv6()),
            observe: Some(Observe { interface: "ppp0".to_owned() }),
            router_advertisement: Some(RouterAdvertisement {
                interface: "enp1s0.222".to_owned(),
                delegated_prefix_length: Some(56),
                routers: vec!["fe80::1".parse().unwrap()],
            }),
            interface: Some(InterfaceAddresses { name: "br-lan".to_owned(), delegated_prefix_length: Some(56) }),
            http: Some(Http {
                url: "https://address.example.net/".to_owned(),
                prefix_length: 56,
                interval: Duration::from_secs(120),
            }),
            fixed: Some("2001:db8:1234::/56".parse().unwrap()),
            auto: None,
            filter: PrefixFilter {
                require_global_unicast: true,
                allow: vec!["2003::/19".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            },
        },
        address_ranges: vec![AddressRange {
            name: "loadbalancers".to_owned(),
            start: "::f000:0:0:0".parse().unwrap(),
            end: "::f000:0:0:ffff".parse().unwrap(),
        }],
        subnets: vec![
            Subnet { name: "web".to_owned(), place: Place::Index(vec![5]), prefix_length: 64 },
            Subnet { name: "services".to_owned(), place: Place::Offset(0x10000), prefix_length: 112 },
        ],
        transition: Transition {
            mode: Mode::Simple,
            services: ServiceScope::Annotated,
            drain_period: Some(Duration::from_secs(3600)),
            keep_dead: true,
            max_prefix_history: 2,
            on_loss: OnLoss::Keep,
        },
    }
}

fn chosen() -> DynamicPrefix {
    let auto = Some(Auto { interface: Some("enp1s0.222".to_owned()), ..Auto::default() });
    DynamicPrefix {
        name: "office".to_owned(),
        acquisition: Acquisition { auto, ..Acquisition::default() },
        address_ranges: Vec::new(),
        subnets: Vec::new(),
        transition: Transition::default(),
    }
}

fn dhcpv6() -> Dhcpv6 {
    Dhcpv6 {
        interface: "enp1s0.222".to_owned(),
        requested_prefix_length: Some(60),
        prefix_hint: Some("2001:db8:1234::/60".parse().unwrap()),
        duid: DuidSetting::Auto,
        iaid: Some(1),
        rapid_commit: false,
        reconfigure: false,
        require_router_advertisement: false,
        request_address: false,
        raw_options: vec![
            RawOption { code: 15, data: b"\x00\x06router".to_vec(), messages: RawOptionMessages::Establishing },
            RawOption { code: 65001, data: b"customer 4711".to_vec(), messages: RawOptionMessages::All },
        ],
        priority: Some(6),
        take_over: false,
        unreachable_route: false,
    }
}

fn bindings() -> Vec<Binding> {
    let binding = |name: &str, cluster: &str, part, target| Binding {
        name: name.to_owned(),
        cluster: cluster.to_owned(),
        dynamic_prefix: "home-ipv6".to_owned(),
        part,
        target,
        strategy: Strategy::Append,
    };
    let named = |name: &str| Part::Named(vec![name.to_owned()]);
    let object = |kind, namespace: Option<&str>, name: &str| ObjectRef {
        kind,
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    let metallb = Some("metallb-system");
    vec![
        binding(
            "cilium-lb-pool",
            "home",
            named("loadbalancers"),
            object(Kind::CiliumLoadBalancerIPPool, None, "ipv6-pool"),
        ),
        binding(
            "home/IPAddressPool/metallb-system/public/home-ipv6/web",
            "home",
            named("web"),
            object(Kind::IPAddressPool, metallb, "public"),
        ),
        binding("lab/CiliumCIDRGroup/home/home-ipv6", "lab", Part::Whole, object(Kind::CiliumCIDRGroup, None, "home")),
        binding(
            "lab/IPAddressPool/metallb-system/services/home-ipv6/services",
            "lab",
            named("services"),
            object(Kind::IPAddressPool, metallb, "services"),
        ),
    ]
}

fn services() -> Vec<Service> {
    let service = |cluster: &str, namespace: &str, name: &str, part, suffix: Option<&str>| Service {
        cluster: cluster.to_owned(),
        target: ObjectRef { kind: Kind::Service, namespace: Some(namespace.to_owned()), name: name.to_owned() },
        dynamic_prefix: "home-ipv6".to_owned(),
        part,
        suffix: suffix.map(|suffix| suffix.parse().unwrap()),
    };
    let named = |name: &str| Part::Named(vec![name.to_owned()]);
    vec![
        service("home", "web", "front", named("loadbalancers"), Some("::f000:0:0:2")),
        service("home", "mail", "smtp", named("web"), None),
        service("lab", "dns", "resolver", Part::Whole, Some("::1:35")),
    ]
}

#[test]
fn every_key_of_the_example_arrives() {
    let config = good(&text());
    assert_eq!(
        config.daemon,
        Daemon {
            id: Some("edge-router".to_owned()),
            state_directory: Some("/var/lib/dyn-prefix".into()),
            control_socket: Some("/run/dyn-prefix/control.sock".into()),
            listen: Some("[::1]:9478".parse().unwrap()),
        }
    );
    let home = Cluster {
        name: "home".to_owned(),
        kubeconfig: Kubeconfig::File("/etc/dyn-prefix/home.kubeconfig".into()),
        context: Some("admin@home".to_owned()),
        discovery: Discovery::Required,
        dry_run: false,
        external_dns: EXTERNAL_DNS.map(str::to_owned).to_vec(),
        events: true,
        publish_status: false,
    };
    let lab = Cluster {
        name: "lab".to_owned(),
        kubeconfig: Kubeconfig::File("/run/credentials/dyn-prefix/lab".into()),
        context: None,
        discovery: Discovery::Off,
        dry_run: false,
        external_dns: EXTERNAL_DNS.map(str::to_owned).to_vec(),
        events: false,
        publish_status: true,
    };
    assert_eq!(config.clusters, [home, lab]);
    assert_eq!(config.dynamic_prefixes, [prefix(), chosen()]);
    assert_eq!(config.bindings, bindings());
    assert_eq!(config.services, services());
    let names = [("home-ipv6", vec!["loadbalancers", "web", "services"])].into();
    let parsed = |text: &str| Template::parse(text, &names).unwrap();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    assert_eq!(
        config.hooks,
        [Hook {
            name: "router".to_owned(),
            command: words("/usr/local/sbin/prefix-changed --verbose"),
            dynamic_prefixes: vec!["home-ipv6".to_owned()],
            timeout: Duration::from_secs(60),
        }]
    );
    let set = FileTarget {
        path: "/run/dyn-prefix/prefix.nft".into(),
        template: parsed(include_str!("../../../examples/host/prefix.nft.in")),
        template_path: Some("/etc/dyn-prefix/prefix.nft.in".into()),
        mode: 0o640,
        reload: Some(words("/usr/sbin/nft --file /run/dyn-prefix/prefix.nft")),
        timeout: Duration::from_secs(10),
    };
    let hosts = FileTarget {
        path: "/run/dyn-prefix/hosts".into(),
        template: parsed("${*home-ipv6.all+::f000:0:0:2} www.home.example\n"),
        template_path: None,
        mode: 0o644,
        reload: None,
        timeout: COMMAND_TIMEOUT,
    };
    assert_eq!(config.files, [set, hosts]);
}

/// Its only finding is the note that goes with every `offset`.
#[test]
fn the_example_has_no_finding_but_the_note_on_offset() {
    assert_eq!(codes(&text()), ["offset-unit"]);
}
