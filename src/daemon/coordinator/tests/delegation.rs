//! DHCPv6 clients and the routers beside them. Ids T-… are those of the conformance table in the reference.

use std::sync::Arc;
use std::time::Duration;

use super::world::*;
use crate::daemon::coordinator::{Coordinator, Memory};
use crate::source::dhcpv6::{self, Duid, Lease, LeasedPrefix, ReconfigureKey};
use crate::source::{Advertised, Offer, SourceId, SourceKind, SourceReport, SourceState};
use crate::store::State;
use crate::time::{Deadline, Epoch, Instant};

/// [`HOME`] with a DHCPv6 client alone, or with Router Advertisements to fall back to.
pub(super) fn pd(fallback: bool) -> String {
    let ra = r#"acquisition.routerAdvertisement = { interface = "eth0" }"#;
    let pd = r#"acquisition.dhcpv6 = { interface = "eth0" }"#;
    HOME.replace(ra, &if fallback { format!("{pd}\n{ra}") } else { pd.to_owned() })
}

fn duid(last: u8) -> Duid {
    Duid::new(&[0, 4, last]).unwrap()
}

pub(super) fn client() -> SourceId {
    SourceId::on(SourceKind::Dhcpv6Pd, "eth0")
}

/// What the client reports of this prefix, delegated now for an hour preferred and two valid.
pub(super) fn bound(prefix: &str, now: Instant) -> SourceReport {
    let prefix = LeasedPrefix {
        prefix: prefix.parse().unwrap(),
        preferred_until: Deadline::after(now, 3600),
        valid_until: Deadline::after(now, 7200),
        excluded: None,
        first_seen: now,
    };
    let offer = Offer {
        prefix: prefix.prefix,
        recipient: Some("home".to_owned()),
        router: None,
        preferred_until: prefix.preferred_until,
        valid_until: prefix.valid_until,
        excluded: Vec::new(),
        first_seen: now,
        cut: None,
    };
    let lease = Lease {
        dynamic_prefix: "home".to_owned(),
        iaid: 7,
        received_at: Some(now),
        t1: Deadline::after(now, 1800),
        t2: Deadline::after(now, 2880),
        prefixes: vec![prefix],
    };
    let memory = dhcpv6::Memory {
        server: Some(duid(9)),
        sol_max_rt: Some(120),
        reconfigure_key: Some(ReconfigureKey { key: [0xab; 16], replay: Some(5) }),
        leases: vec![lease],
        ..dhcpv6::Memory::new(duid(0xaa))
    };
    SourceReport {
        offers: vec![offer],
        pending: ["home".to_owned()].into(),
        client: Some(Arc::new(memory)),
        ..SourceReport::new(client(), SourceState::Bound)
    }
}

pub(super) fn world(fallback: bool) -> World {
    let mut world = World::new(&pd(fallback));
    world.report(bound(A, world.now));
    world
}

fn consistent(world: &World) -> Option<(String, String)> {
    let status = world.status();
    let condition = status.dynamic_prefixes[0].conditions.iter().find(|it| it.kind == "SourcesConsistent")?;
    Some((condition.status.clone(), condition.message.clone()))
}

fn heard(world: &mut World) {
    let id = SourceId::on(SourceKind::RouterAdvertisement, "eth0");
    let advertised = Advertised { dhcpv6: true, prefixes: [B.parse().unwrap()].into(), ..Advertised::default() };
    let report = SourceReport { advertised: Some(advertised), ..SourceReport::new(id, SourceState::Receiving) };
    world.report(report);
}

#[test]
fn a_delegation_is_wanted_and_shown() {
    let world = world(false);
    assert_eq!(world.wanted("home"), format!("{A} Current"));
    let status = world.status();
    let [source] = status.sources.as_slice() else { panic!("{:?}", status.sources) };
    assert_eq!((source.kind.as_str(), source.state.as_str()), ("dhcpv6-pd", "bound"));
    let lease = source.lease.as_ref().unwrap();
    assert_eq!((lease.server.as_deref(), lease.client.as_deref()), (Some("000409"), Some("0004aa")));
    let [delegation] = lease.delegations.as_slice() else { panic!("{lease:?}") };
    assert_eq!((delegation.dynamic_prefix.as_str(), delegation.iaid), ("home", 7));
    let at = |time: Option<jiff::Timestamp>| time.unwrap().to_string();
    assert_eq!((at(delegation.t1), at(delegation.t2)), ("2026-01-04T10:30:00Z".into(), "2026-01-04T10:48:00Z".into()));
    let prefix = &delegation.prefixes[0];
    assert_eq!(prefix.prefix, A);
    assert_eq!(at(prefix.preferred_until), "2026-01-04T11:00:00Z");
    assert_eq!(at(prefix.valid_until), "2026-01-04T12:00:00Z");
    let text = crate::cli::render::status(&status);
    for part in ["home (IAID 00000007), to be renewed at 2026-01-04T10:30:00Z (T1)", "server DUID 000409"] {
        assert!(text.contains(part), "{text}");
    }
}

/// A witness is no source: its silence and its failure concern nobody.
#[test]
fn routers_beside_a_client_are_heard_and_not_shown() {
    let mut world = world(false);
    assert_eq!(Vec::from_iter(world.coordinator.ra_interfaces()), ["eth0"]);
    world.says("eth0", SourceState::Failed("CAP_NET_RAW is missing".to_owned()));
    let status = world.status();
    assert_eq!(status.sources[0].notes, ["What routers say on eth0 cannot be heard: CAP_NET_RAW is missing"]);
    heard(&mut world);
    let status = world.status();
    assert_eq!((status.sources.len(), status.sources[0].notes.len()), (1, 0), "{:?}", status.sources);
    assert!(world.coordinator.every_source_has_reported());
    assert!(world.coordinator.advertised("eth0").unwrap().dhcpv6);
    assert_eq!(world.wanted("home"), format!("{A} Current"));
    assert!(!world.journal().iter().any(|line| line.contains("CAP_NET_RAW")));
}

#[test]
fn consistency_is_judged_where_both_are_heard() {
    let mut world = world(false);
    assert_eq!(consistent(&world), None, "no router was heard");
    heard(&mut world);
    assert_eq!(consistent(&world).unwrap().0, "True");
    let doubt = "routers on eth0 speak of another prefix".to_owned();
    world.report(SourceReport { doubt: Some(doubt.clone()), ..bound(A, world.now) });
    assert_eq!(consistent(&world), Some(("False".to_owned(), doubt)));
    world.report(SourceReport::new(client(), SourceState::Soliciting));
    assert_eq!(consistent(&world), None, "nothing is held");
}

#[test]
fn after_a_suspend_the_server_is_asked_before_anything_else_counts() {
    let mut world = world(true);
    world.ra(&[(B, 86_400, 86_400)]);
    world.now = world.now + Duration::from_secs(3 * 3600);
    world.coordinator.handle_resume(world.now);
    world.ra(&[(B, 86_400, 86_400)]);
    assert_eq!(world.wanted("home"), format!("{A} Current"), "the fallback waits");
    world.report(bound(A, world.now));
    assert_eq!(world.acquired("home").split(' ').next(), Some("True"));
}

/// T-087, DC-134: what the store keeps is what the client starts from.
#[test]
fn a_restart_hands_the_client_what_it_knew() {
    let mut world = world(false);
    let known = bound(A, world.now).client.unwrap();
    world.restart(&pd(false), 60);
    let settings = world.coordinator.client_settings();
    assert_eq!(settings["eth0"].delegations[0].iaid, Some(7));
    let memory = world.coordinator.client_memory(&settings["eth0"]);
    assert_eq!(memory, *known);
    assert_eq!(memory.reconfigure_key, known.reconfigure_key);
    world.restart(&pd(false), 60);
    let memory = world.coordinator.client_memory(&settings["eth0"]);
    assert_eq!(memory, *known, "also when the client has not spoken meanwhile");
}

/// What is left of the lease and of the prefix in use, for a daemon that starts from `state` at this time.
fn remaining(state: &State, boot: &str, epoch: Epoch) -> (Option<Duration>, Option<Duration>) {
    let state = state.clone().read_in(Some(boot));
    let config = config(&pd(false));
    let memory = Memory::from_state(Some(&state), &config, &epoch);
    let identity = crate::daemon::coordinator::Identity {
        daemon_id: "me".to_owned(),
        duid: state.duid().unwrap(),
        boot_id: Some(boot.to_owned()),
    };
    let coordinator = Coordinator::new(config, identity, memory, epoch.now());
    let settings = coordinator.client_settings();
    let lease = coordinator.client_memory(&settings["eth0"]).leases[0].prefixes[0].valid_until;
    let current = coordinator.arbiters["home"].snapshot().unwrap().current.clone().unwrap().valid_until;
    (lease.remaining(epoch.now()), current.remaining(epoch.now()))
}

/// A wall clock that jumps neither revives nor kills a lease; after another boot the stored lifetimes are
/// never longer than when they were saved.
#[test]
fn t086_a_stored_lease_is_judged_by_the_clock_that_can_be_trusted() {
    let world = world(false);
    let state = world.coordinator.state(&world.epoch());
    let later = world.now + Duration::from_secs(600);
    let ten_years_off = ["2016-01-04T10:10:00Z", "2026-01-04T10:10:00Z", "2036-01-04T10:10:00Z"];
    let left = |seconds| Some(Duration::from_secs(seconds));
    for wall in ten_years_off {
        let epoch = Epoch::new(later, wall.parse().unwrap());
        assert_eq!(remaining(&state, "0b00", epoch), (left(6600), left(6600)), "the same boot, {wall}");
    }
    let after_boot = [left(7200), left(6600), left(0)];
    for (wall, expected) in ten_years_off.iter().zip(after_boot) {
        let epoch = Epoch::new(Instant::from_secs(20), wall.parse().unwrap());
        assert_eq!(remaining(&state, "another", epoch), (expected, expected), "another boot, {wall}");
    }
}

/// A lifetime is stored to the second, and never as a longer one.
#[test]
fn what_is_stored_is_not_longer_than_what_was_left() {
    let mut world = world(false);
    world.now = world.now + Duration::from_millis(700);
    world.report(bound(A, world.now));
    let state = world.coordinator.state(&world.epoch());
    let (lease, _) = remaining(&state, "0b00", world.epoch());
    assert!(lease.unwrap() <= Duration::from_secs(7200), "{lease:?}");
    assert!(lease.unwrap() >= Duration::from_secs(7199), "{lease:?}");
}

#[test]
fn another_client_is_remembered_until_the_next_boot() {
    let mut world = World::new(&pd(false));
    world.coordinator.take_dirty();
    let seen = "systemd-networkd runs a DHCPv6 client there".to_owned();
    let report =
        SourceReport { other_client: Some(seen.clone()), ..SourceReport::new(client(), SourceState::Soliciting) };
    world.report(report);
    assert!(world.coordinator.take_dirty());
    let state = world.coordinator.state(&world.epoch());
    assert_eq!(state.clone().read_in(Some("0b00")).other_clients()["eth0"], seen);
    assert!(state.read_in(Some("another")).other_clients().is_empty());
    world.restart(&pd(false), 5);
    assert_eq!(world.coordinator.other_client("eth0"), Some(seen));
}

/// Every DynamicPrefix on the interface has its own IA_PD, and gets what is delegated to it.
#[test]
fn one_client_serves_several() {
    let other = "\n[[dynamicPrefix]]\nname = \"other\"\nacquisition.dhcpv6 = { interface = \"eth0\" }\n\
                 subnets = [{ name = \"first\", prefixLength = 64 }]\n";
    let mut world = World::new(&format!("{}{other}", pd(false)));
    let settings = world.coordinator.client_settings();
    assert_eq!((settings.len(), settings["eth0"].delegations.len()), (1, 2));
    let mut report = bound(A, world.now);
    let mut second = report.offers[0].clone();
    second.prefix = B.parse().unwrap();
    second.recipient = Some("other".to_owned());
    report.offers.push(second);
    world.report(report);
    assert_eq!((world.wanted("home"), world.wanted("other")), (format!("{A} Current"), format!("{B} Current")));
}

#[test]
fn status_says_why_a_client_has_nothing_and_promises_nothing_of_what_is_over() {
    let mut world = world(false);
    let lease = |world: &World| world.status().sources[0].lease.clone().unwrap().delegations[0].clone();
    assert!(lease(&world).received_at.is_some() && lease(&world).t1.is_some());
    let why = "For home the DHCPv6 server answered NoPrefixAvail: none left".to_owned();
    let bound = bound(A, world.now);
    world.pass(7200);
    world.report(SourceReport { state: SourceState::Silent, refusal: Some(why.clone()), ..bound });
    let over = lease(&world);
    assert_eq!((over.received_at, over.t1, over.t2, over.prefixes.len()), (None, None, None, 1));
    let status = world.status();
    assert_eq!(status.sources[0].reason, Some(why));
    assert!(status.summary().starts_with(&format!("home keeps {A}, which is lost; ")), "{}", status.summary());
    assert_eq!(world.coordinator.summary(), status.summary());
    world.report(SourceReport::new(client(), SourceState::Silent));
    let reason = world.status().sources[0].reason.clone().unwrap();
    assert!(reason.starts_with("no DHCPv6 server answers"), "{reason}");
}
