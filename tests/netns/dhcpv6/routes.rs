//! The unreachable route for a delegated prefix.

use dyn_prefix::source::SourceState;
use dyn_prefix::source::dhcpv6::route::{Wanted, apply};
use dyn_prefix::source::dhcpv6::{Delegation, Settings};

use super::lab::{PREFIX, Probe, SOON, Server, memory, on_host, settings};
use crate::Test;
use crate::support::{Namespace, Pair};

pub(super) const TESTS: &[Test] = &[
    ("t167_a_route_is_kept_for_what_is_delegated", a_route_is_kept),
    ("t167_a_loop_is_named_once_the_host_forwards", a_loop_is_named),
    ("t167_a_route_comes_and_goes_and_a_foreign_one_stays", a_route_comes_and_goes),
    ("t167_without_the_right_the_capability_is_named", without_the_right),
];

/// The routes to [`PREFIX`], as `ip` tells them.
fn routes(host: &Namespace) -> String {
    let output = host.command("ip").args(["-6", "route", "show", PREFIX, "table", "main"]).output().expect("ip");
    String::from_utf8(output.stdout).expect("text")
}

fn wanted(keep: Option<bool>) -> Wanted {
    let prefix = PREFIX.parse().expect("a prefix");
    let held = keep.map(|keep| (prefix, keep)).into_iter().collect();
    let former = if keep.is_none() { [prefix].into() } else { [].into() };
    Wanted { held, former, uplink: 1 }
}

fn with_route() -> Settings {
    let settings = settings();
    let delegations = settings.delegations.into_iter();
    let delegations = delegations.map(|delegation| Delegation { unreachable_route: true, ..delegation }).collect();
    Settings { delegations, ..self::settings() }
}

fn a_route_is_kept() {
    let pair = Pair::joined();
    on_host(&pair.host, async || {
        let server = Server::start(&pair);
        let mut probe = Probe::start(with_route(), memory(), None);
        server.serve().await;
        probe.until("it is delegated", |report| report.state == SourceState::Bound).await;
        let found = async {
            while !routes(&pair.host).contains("metric 2147483647") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, found).await.expect("a route appears");
        let route = routes(&pair.host);
        assert!(route.starts_with("unreachable 2001:db8:a::/56 dev lo proto dhcp metric 2147483647"), "{route}");
        probe.stop().await;
        assert_eq!(routes(&pair.host), route, "a stop takes nothing away");
        // Switched off at the next start: the memory says whose it was.
        let mut memory = memory();
        memory.leases = probe_memory();
        let _probe = Probe::start(settings(), memory, None);
        let gone = async {
            while !routes(&pair.host).is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, gone).await.expect("the route goes");
    });
}

/// A lease of [`PREFIX`] that is over.
fn probe_memory() -> Vec<dyn_prefix::source::dhcpv6::Lease> {
    use dyn_prefix::source::dhcpv6::{Lease, LeasedPrefix};
    use dyn_prefix::time::{Deadline, Instant};
    let over = Deadline::At(Instant::BOOT);
    let prefix = LeasedPrefix {
        prefix: PREFIX.parse().expect("a prefix"),
        preferred_until: over,
        valid_until: over,
        excluded: None,
        first_seen: Instant::BOOT,
    };
    let (dynamic_prefix, prefixes) = ("home".to_owned(), vec![prefix]);
    vec![Lease { dynamic_prefix, iaid: 0x0102_0304, received_at: Some(Instant::BOOT), t1: over, t2: over, prefixes }]
}

fn a_loop_is_named() {
    let pair = Pair::joined();
    pair.host.sysctl("net/ipv6/conf/all/forwarding", "1");
    on_host(&pair.host, async || {
        let server = Server::start(&pair);
        let mut probe = Probe::start(settings(), memory(), None);
        server.serve().await;
        let noted = probe.until("the loop is named", |report| !report.notes.is_empty()).await;
        let [note] = noted.notes.as_slice() else { panic!("{noted:?}") };
        assert!(note.contains(PREFIX) && note.contains("unreachableRoute = true"), "{note}");
        assert_eq!(routes(&pair.host), "");
    });
}

fn a_route_comes_and_goes() {
    let pair = Pair::joined();
    on_host(&pair.host, async || {
        pair.host.ip(&format!("-6 route add blackhole {PREFIX} metric 50"));
        let foreign = routes(&pair.host);
        let outcome = apply(wanted(Some(true))).await;
        assert_eq!((outcome.added.len(), outcome.notes.len()), (1, 0), "{outcome:?}");
        assert!(routes(&pair.host).contains("unreachable"));
        assert_eq!(apply(wanted(Some(true))).await.added, [], "it is there");
        let outcome = apply(wanted(None)).await;
        assert_eq!((outcome.removed.len(), outcome.notes.len()), (1, 0), "{outcome:?}");
        assert_eq!(routes(&pair.host), foreign);
        pair.host.sysctl("net/ipv6/conf/all/forwarding", "1");
        assert!(apply(wanted(Some(false))).await.notes.is_empty(), "a blackhole prevents the loop");
        pair.host.ip(&format!("-6 route del blackhole {PREFIX} metric 50"));
        assert_eq!(apply(wanted(Some(false))).await.notes.len(), 1);
    });
}

/// A thread without CAP_NET_ADMIN, as in the unit.
fn without_the_right() {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
    let pair = Pair::joined();
    pair.host.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let own = capabilities(None).expect("capget");
        let effective = own.effective - CapabilitySet::NET_ADMIN;
        set_capabilities(None, CapabilitySets { effective, ..own }).expect("capset");
        let outcome = runtime.block_on(apply(wanted(Some(true))));
        set_capabilities(None, own).expect("capset");
        let note = outcome.notes.values().next().unwrap_or_else(|| panic!("{outcome:?}"));
        assert!(note.contains("CAP_NET_ADMIN") && note.contains("systemctl edit dyn-prefix"), "{note}");
        assert_eq!(routes(&pair.host), "");
    });
}
