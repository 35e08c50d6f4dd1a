use std::fs;
use std::path::Path;

use super::*;

fn facts() -> Facts {
    let interfaces = ["lo", "wan", "lan"].into_iter().map(str::to_owned).collect();
    Facts { interface: "wan".to_owned(), interfaces, ..Facts::default() }
}

/// The text about a client that was seen.
fn taken(facts: &Facts) -> String {
    match judge(facts) {
        Verdict::Taken(client) => client.refusal(&facts.interface),
        other @ (Verdict::Free | Verdict::Undecided(_)) => panic!("{other:?} for {facts:#?}"),
    }
}

fn networkd(state: &str, texts: &[&str]) -> Facts {
    let file = |(number, text): (usize, &&str)| (format!("/etc/systemd/network/{number}"), Some((*text).to_owned()));
    let files = texts.iter().enumerate().map(file).collect();
    Facts { networkd: Some(Network { admin_state: state.to_owned(), files }), ..facts() }
}

fn runs(words: &[&str]) -> Facts {
    let arguments = words.iter().map(|word| (*word).to_owned()).collect();
    Facts { processes: vec![Process { pid: 12, arguments }], ..facts() }
}

#[test]
fn nobody_else_is_nobody() {
    assert_eq!(judge(&facts()), Verdict::Free);
}

/// systemd.network(5): a Router Advertisement with the M or O flag starts the client by default.
#[test]
fn networkd_starts_a_client_when_a_router_asks_for_it() {
    for text in [
        "[Match]\nName=wan\n",
        "[Network]\nIPv6AcceptRA=yes\n",
        "[Network]\nDHCP=ipv4\n",
        "[Network]\nDHCP=yes\nIPv6AcceptRA=no\n",
        "[Network]\nDHCP=ipv6\n[IPv6AcceptRA]\nDHCPv6Client=always\n",
        "[Network]\nIPForward=yes\nIPv6AcceptRA=1\n",
        "[Network]\nDHCP=ipv6\n[IPv6AcceptRA]\nDHCPv6Client=no\n[DHCPv6]\nWithoutRA=solicit\n",
        "[Network]\nDHCP=ipv6\nIPv6AcceptRA=no\n[DHCPPrefixDelegation]\nUplinkInterface=:self\n",
    ] {
        let text = taken(&networkd("configured", &[text]));
        assert!(text.starts_with("systemd-networkd manages wan by /etc/systemd/network/0"), "{text}");
        assert!(text.contains("DHCPv6Client=no") && text.contains("takeOver = true"), "{text}");
    }
}

#[test]
fn networkd_starts_none_where_its_file_says_so() {
    for text in [
        "[Network]\nIPv6AcceptRA=no\n",
        "[Network]\nDHCP=yes\n[IPv6AcceptRA]\n# as told\nDHCPv6Client=no\n",
        "[IPv6AcceptRA]\nDHCPv6Client=false\n",
        "[Network]\nIPForward=ipv6\n",
        "[Network]\nIPv6Forwarding=yes\nDHCP=ipv4\n",
        "[Network]\nLinkLocalAddressing=no\nDHCP=yes\n",
    ] {
        assert_eq!(judge(&networkd("configured", &[text])), Verdict::Free, "{text}");
    }
    assert_eq!(judge(&networkd("unmanaged", &["[Network]\nDHCP=yes\n"])), Verdict::Free);
    assert_eq!(judge(&networkd("configured", &[])), Verdict::Free);
}

#[test]
fn a_drop_in_of_networkd_overrules_the_file() {
    let (off, on) = ("[IPv6AcceptRA]\nDHCPv6Client=no\n", "[IPv6AcceptRA]\nDHCPv6Client=\n");
    assert_eq!(judge(&networkd("configured", &["[Network]\nDHCP=yes\n", off])), Verdict::Free);
    taken(&networkd("configured", &["[Network]\nDHCP=yes\n", off, on]));
    let mut unreadable = networkd("configured", &[off]);
    unreadable.networkd.as_mut().unwrap().files.push(("/etc/systemd/network/wan.network.d/x.conf".to_owned(), None));
    assert!(taken(&unreadable).contains("x.conf cannot be read"));
}

#[test]
fn whoever_has_not_decided_is_waited_for() {
    for state in ["pending", "initialized"] {
        assert!(matches!(judge(&networkd(state, &[])), Verdict::Undecided(who) if who.contains("systemd-networkd")));
    }
    let device = Device { managed: true, connection: None, ipv6_method: None };
    let facts = Facts { network_manager: Some(device), ..facts() };
    assert!(matches!(judge(&facts), Verdict::Undecided(who) if who.contains("NetworkManager")));
}

#[test]
fn networkmanager_runs_a_client_unless_the_method_is_another() {
    let with = |method: Option<&str>| {
        let (connection, ipv6_method) = (Some("0a1b".to_owned()), method.map(str::to_owned));
        Facts { network_manager: Some(Device { managed: true, connection, ipv6_method }), ..facts() }
    };
    for method in [Some("auto"), Some("dhcp"), None] {
        let text = taken(&with(method));
        assert!(text.starts_with("NetworkManager manages wan by the connection 0a1b"), "{text}");
        assert!(text.contains("nmcli connection modify 0a1b ipv6.method ignore"), "{text}");
    }
    for method in ["ignore", "disabled", "link-local", "manual"] {
        assert_eq!(judge(&with(Some(method))), Verdict::Free, "{method}");
    }
    let unmanaged = Device { managed: false, connection: Some("0a1b".to_owned()), ipv6_method: None };
    assert_eq!(judge(&Facts { network_manager: Some(unmanaged), ..facts() }), Verdict::Free);
}

#[test]
fn a_client_with_the_interface_among_its_arguments_or_without_any_is_seen() {
    for words in [
        &["/usr/sbin/odhcp6c", "-s", "/lib/netifd/dhcpv6.script", "-P", "0", "wan"][..],
        &["dhclient", "-6", "-P", "-lf", "/var/lib/dhcp/x", "wan"],
        &["/sbin/dhclient", "-6"],
        &["/usr/sbin/dhcp6c", "-c", "/etc/wide-dhcpv6/dhcp6c.conf", "wan"],
        &["dibbler-client", "run"],
        &["udhcpc6", "-iwan"],
        &["dhcpcd", "-q", "-b"],
        &["dhcpcd", "wan", "lan"],
        &["dhcpcd: [manager] [ip4] [ip6]"],
        &["dhcpcd: wan [ip6]"],
    ] {
        let text = taken(&runs(words));
        assert!(text.contains("(process 12) runs as a DHCPv6 client on wan"), "{text}");
    }
}

#[test]
fn a_client_of_another_interface_or_of_ipv4_is_none() {
    for words in [
        &["odhcp6c", "-P", "0", "lan"][..],
        &["odhcp6c", "-P", "0", "wan6"],
        &["dhclient", "-4", "wan"],
        &["dhclient", "wan"],
        &["dhclient", "-6", "lan"],
        &["dhcp6c", "lan"],
        &["udhcpc6", "-ilan"],
        &["dibbler-client", "status"],
        &["dhcpcd", "-4", "wan"],
        &["dhcpcd: [manager] [ip4]"],
        &["dhcpcd: lan [ip4] [ip6]"],
        &["dhcpcd: [privileged proxy] lan"],
        &["dhcpcd: [BPF ARP] wan"],
        &["vim", "dhcpcd", "wan"],
    ] {
        assert_eq!(judge(&runs(words)), Verdict::Free, "{words:?}");
    }
}

#[test]
fn dhcpcd_leaves_alone_what_its_configuration_names() {
    let with =
        |conf: &str| judge(&Facts { dhcpcd_conf: Some(conf.to_owned()), ..runs(&["dhcpcd: [manager] [ip4] [ip6]"]) });
    for conf in [
        "denyinterfaces lo w*\n",
        "allowinterfaces lan\n",
        "interface wan\nnodhcp6\n",
        "ipv4only # no IPv6\n",
        "denyinterfaces w?n",
    ] {
        assert_eq!(with(conf), Verdict::Free, "{conf}");
    }
    for conf in
        ["", "denyinterfaces lan\n", "allowinterfaces lan w*\n", "interface lan\nnodhcp6\n", "#denyinterfaces wan"]
    {
        assert!(matches!(with(conf), Verdict::Taken(client) if client.advice.contains("denyinterfaces wan")), "{conf}");
    }
}

#[test]
fn whoever_holds_the_port_is_a_client_unless_it_is_this_program() {
    let held = |process: Option<(u32, &str)>, unit: Option<&str>| {
        let process = process.map(|(pid, name)| (pid, name.to_owned()));
        Facts { owners: vec![Owner { process, unit: unit.map(str::to_owned), uid: 0 }], ..facts() }
    };
    assert!(
        taken(&held(None, Some("systemd-networkd.service"))).starts_with("systemd-networkd.service holds UDP port 546")
    );
    taken(&held(Some((12, "connmand")), None));
    taken(&held(None, None));
    assert_eq!(judge(&held(Some((12, "dyn-prefix")), None)), Verdict::Free);
    assert_eq!(judge(&held(None, Some("dyn-prefix.service"))), Verdict::Free);
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The files of a host, with the spelling of systemd 252 and NetworkManager 1.42.
#[test]
fn the_facts_are_read_from_the_files_of_the_host() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(
        root,
        "run/systemd/netif/links/3",
        "# This is private data. Do not parse.\nADMIN_STATE=configured\nOPER_STATE=routable\n\
         NETWORK_FILE=/etc/systemd/network/10-wan.network\n\
         NETWORK_FILE_DROPINS=\"/etc/systemd/network/10-wan.network.d/a.conf\"\nDNS=\n",
    );
    write(root, "etc/systemd/network/10-wan.network", "[Match]\nName=wan\n");
    write(root, "etc/systemd/network/10-wan.network.d/a.conf", "[Network]\nIPv6AcceptRA=no\n");
    write(root, "run/NetworkManager/devices/4", "[device]\nmanaged=true\nconnection-uuid=0a1b\nnm-owned=false\n");
    write(root, "etc/NetworkManager/system-connections/a", "[connection]\nuuid=ffff\n\n[ipv6]\nmethod=ignore\n");
    write(
        root,
        "run/NetworkManager/system-connections/b",
        "[connection]\nid=b\nuuid=0a1b\n\n[ipv6]\nmethod=link-local\n",
    );
    write(root, "proc/77/cmdline", "/usr/sbin/odhcp6c\0-P\x000\0wan\0");
    write(root, "proc/78/cmdline", "bash\0-c\0dhclient -6 wan\0");

    let gathered = gather("wan", 3, root);
    let network = gathered.networkd.clone().unwrap();
    assert_eq!(network.admin_state, "configured");
    assert_eq!(network.files.len(), 2);
    assert!(network.files.iter().all(|(_, text)| text.is_some()), "{network:?}");
    assert!(gathered.network_manager.is_none());
    let [process] = gathered.processes.as_slice() else { panic!("{gathered:#?}") };
    assert_eq!((process.pid, process.program()), (77, Some("odhcp6c")));
    assert!(taken(&gathered).starts_with("odhcp6c (process 77)"));

    let device = gather("lan", 4, root).network_manager.unwrap();
    assert_eq!((device.managed, device.ipv6_method.as_deref()), (true, Some("link-local")));
}
