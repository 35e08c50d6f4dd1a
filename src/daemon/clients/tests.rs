//! Identities and memories of the DHCPv6 clients. Ids T-… are those of the conformance table in the reference.

use super::*;
use crate::config::{Acquisition, Dhcpv6, Transition};
use crate::source::SourceId;
use crate::source::dhcpv6::ReconfigureKey;
use crate::time::Deadline;

const NOW: Instant = Instant::from_secs(1000);

fn duid(last: u8) -> Duid {
    Duid::new(&[0, 4, last]).unwrap()
}

fn clients() -> Clients {
    Clients::new(duid(1), Restored::default())
}

fn prefix(name: &str, interface: &str) -> DynamicPrefix {
    DynamicPrefix {
        name: name.to_owned(),
        acquisition: Acquisition { dhcpv6: Some(Dhcpv6::on(interface)), ..Acquisition::default() },
        address_ranges: Vec::new(),
        subnets: Vec::new(),
        transition: Transition::default(),
    }
}

fn with_iaid(name: &str, interface: &str, iaid: u32) -> DynamicPrefix {
    let mut prefix = prefix(name, interface);
    prefix.acquisition.dhcpv6.as_mut().unwrap().iaid = Some(iaid);
    prefix
}

/// A lease of this prefix that was granted now.
fn lease(name: &str, iaid: u32, prefix: &str, now: Instant) -> Lease {
    Lease {
        dynamic_prefix: name.to_owned(),
        iaid,
        received_at: Some(now),
        t1: Deadline::after(now, 1800),
        t2: Deadline::after(now, 2880),
        prefixes: vec![LeasedPrefix {
            prefix: prefix.parse().unwrap(),
            preferred_until: Deadline::after(now, 3600),
            valid_until: Deadline::after(now, 7200),
            excluded: None,
            first_seen: NOW,
        }],
    }
}

fn memory(leases: Vec<Lease>) -> dhcpv6::Memory {
    dhcpv6::Memory { server: Some(duid(9)), leases, ..dhcpv6::Memory::new(duid(1)) }
}

fn report(interface: &str, memory: dhcpv6::Memory) -> SourceReport {
    let id = SourceId::on(SourceKind::Dhcpv6Pd, interface);
    SourceReport { client: Some(Arc::new(memory)), ..SourceReport::new(id, SourceState::Bound) }
}

fn iaids(clients: &Clients, prefixes: &[DynamicPrefix]) -> Vec<u32> {
    prefixes.iter().map(|prefix| clients.iaids(prefixes)[&prefix.name]).collect()
}

/// printf home | openssl dgst -sha256 -hmac 'dyn-prefix IAID'
#[test]
fn an_iaid_is_made_from_the_name_and_not_from_the_interface() {
    let clients = clients();
    assert_eq!(iaids(&clients, &[prefix("home", "eth0")]), [0xfa22_9da7]);
    assert_eq!(iaids(&clients, &[prefix("home", "ppp0")]), [0xfa22_9da7]);
    let settings = clients.settings("eth0", &[prefix("home", "eth0")]).unwrap();
    assert_eq!(settings.delegations[0].iaid, Some(0xfa22_9da7));
    assert_eq!(clients.settings("eth1", &[prefix("home", "eth0")]), None);
}

#[test]
fn no_two_iaids_are_equal_in_whatever_order_they_stand() {
    let clients = clients();
    let (home, taken) = (prefix("home", "eth0"), with_iaid("other", "eth0", 0xfa22_9da7));
    assert_eq!(iaids(&clients, &[home.clone(), taken.clone()]), [0xfa22_9da8, 0xfa22_9da7]);
    assert_eq!(iaids(&clients, &[taken, home]), [0xfa22_9da7, 0xfa22_9da8]);
}

/// T-010 and the like: what was sent once is sent for ever.
#[test]
fn the_iaid_that_was_used_stays() {
    let mut clients = clients();
    clients.hear(&report("eth0", memory(vec![lease("home", 7, "2001:db8::/60", NOW)])), NOW);
    assert_eq!(iaids(&clients, &[prefix("home", "eth0")]), [7]);
    assert_eq!(iaids(&clients, &[with_iaid("home", "eth0", 8)]), [8], "unless the file says another");
    let both = [with_iaid("other", "eth0", 7), prefix("home", "eth0")];
    assert_eq!(iaids(&clients, &both), [7, 0xfa22_9da7]);
}

/// The uplink got another name, or another card (NIC swap): the same identity asks for the same prefix.
#[test]
fn a_lease_goes_with_its_dynamic_prefix_to_another_interface() {
    let mut clients = clients();
    let known = memory(vec![lease("home", 7, "2001:db8::/60", NOW)]);
    clients.hear(&report("eth0", known.clone()), NOW);
    clients.retain(&[prefix("home", "eth1")]);
    let settings = clients.settings("eth1", &[prefix("home", "eth1")]).unwrap();
    assert_eq!(clients.memory(&settings), known);
    clients.retain(&[prefix("another", "eth1")]);
    let settings = clients.settings("eth1", &[prefix("another", "eth1")]).unwrap();
    assert!(clients.memory(&settings).leases.is_empty(), "what nobody asks for is forgotten");
}

#[test]
fn a_new_client_has_the_duid_of_the_host() {
    let clients = clients();
    let settings = clients.settings("eth0", &[prefix("home", "eth0")]).unwrap();
    assert_eq!(clients.memory(&settings), dhcpv6::Memory::new(duid(1)));
}

/// One that was made from a MAC address is kept as long as the file asks for one (T-011).
#[test]
fn a_made_duid_stays_with_its_client() {
    let mut clients = clients();
    let made = dhcpv6::Memory { duid: duid(3), ..memory(vec![lease("home", 7, "2001:db8::/60", NOW)]) };
    clients.hear(&report("eth0", made), NOW);
    let mut home = prefix("home", "eth0");
    home.acquisition.dhcpv6.as_mut().unwrap().duid = DuidSetting::LinkLayer;
    let settings = clients.settings("eth0", &[home]).unwrap();
    assert_eq!(clients.memory(&settings).duid, duid(3));
    let settings = clients.settings("eth0", &[prefix("home", "eth0")]).unwrap();
    assert_eq!(settings.duid.fixed(), Some(&duid(1)), "auto is that of the host");
    assert_eq!(clients.memory(&settings).duid, duid(3), "so that the client sees that it is another one now");
}

#[test]
fn a_new_lease_is_saved_at_once_and_renewals_every_ten_minutes() {
    let mut clients = clients();
    let held = |seconds: u64| {
        let now = NOW + Duration::from_secs(seconds);
        (report("eth0", memory(vec![lease("home", 7, "2001:db8::/60", now)])), now)
    };
    let (granted, now) = held(0);
    assert!(clients.hear(&granted, now));
    assert!(!clients.hear(&granted, now), "nothing new");
    assert_eq!(clients.poll_timeout(), None);
    let mut saved = Vec::new();
    for minute in 1..=30 {
        let (renewed, now) = held(minute * 60);
        assert!(!clients.hear(&renewed, now));
        if clients.save_is_due(now) {
            saved.push(minute);
        }
    }
    assert_eq!(saved, [1, 11, 21]);
    let due = clients.poll_timeout().unwrap();
    assert_eq!(due, NOW + Duration::from_secs(31 * 60), "the last of them is saved, too");
    assert!(clients.save_is_due(due));
    assert_eq!(clients.poll_timeout(), None);
}

/// A crash must not bring back what the server has ended.
#[test]
fn whatever_is_no_mere_renewal_is_saved_at_once() {
    let first = memory(vec![lease("home", 7, "2001:db8::/60", NOW)]);
    let changed = |change: &dyn Fn(&mut dhcpv6::Memory)| {
        let mut clients = clients();
        clients.hear(&report("eth0", first.clone()), NOW);
        let mut new = first.clone();
        change(&mut new);
        clients.hear(&report("eth0", new), NOW)
    };
    assert!(!changed(&|memory| memory.leases[0].t1 = Deadline::Never));
    assert!(changed(&|memory| memory.leases[0].prefixes[0].valid_until = Deadline::At(NOW)));
    assert!(changed(&|memory| memory.leases[0].prefixes[0].preferred_until = Deadline::At(NOW)));
    assert!(changed(&|memory| memory.leases[0].prefixes[0].excluded = Some("2001:db8::/64".parse().unwrap())));
    assert!(changed(&|memory| memory.leases[0].prefixes.clear()));
    assert!(changed(&|memory| memory.server = Some(duid(8))));
    assert!(changed(&|memory| memory.reconfigure_key = Some(ReconfigureKey { key: [1; 16], replay: Some(2) })));
}

/// Whoever forges Advertises must not wear out the disk: they need no lease to bring another value each.
#[test]
fn what_every_advertise_may_set_is_saved_every_ten_minutes() {
    let mut clients = clients();
    clients.hear(&report("eth0", memory(Vec::new())), NOW);
    let mut saved = 0;
    for second in 0..1200 {
        let now = NOW + Duration::from_secs(second);
        let max_rt = u32::try_from(60 + second).ok();
        let new = dhcpv6::Memory { sol_max_rt: max_rt, inf_max_rt: max_rt, ..memory(Vec::new()) };
        assert!(!clients.hear(&report("eth0", new), now));
        saved += u32::from(clients.save_is_due(now));
    }
    assert_eq!(saved, 2);
}

#[test]
fn another_client_is_remembered_and_told_of_once() {
    let mut clients = clients();
    let mut report = report("eth0", memory(Vec::new()));
    report.other_client = Some("systemd-networkd runs there".to_owned());
    assert!(clients.hear(&report, NOW));
    assert!(!clients.hear(&report, NOW));
    report.other_client = None;
    clients.hear(&report, NOW);
    assert_eq!(clients.other("eth0").map(String::as_str), Some("systemd-networkd runs there"), "for this boot");
}
