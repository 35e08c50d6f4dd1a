//! Without a running daemon: what it stored is as good, as far as it may be read.

use std::os::unix::fs::{PermissionsExt, chown};

use dyn_prefix::arbiter::{Current, Generation, Snapshot};
use dyn_prefix::clock;
use dyn_prefix::source::dhcpv6::{Duid, Lease, LeasedPrefix, Memory};
use dyn_prefix::source::{SourceId, SourceKind};
use dyn_prefix::store::{State, Store};
use dyn_prefix::time::Deadline;

use super::{doctor, examine, expect, file, powerless};
use crate::dhcpv6::lab::link_local;
use crate::support::{Pair, ROUTER, WAN};

const PREFIX: &str = "2001:db8:a::/56";

/// What a daemon with a delegation on WAN leaves behind.
fn state() -> State {
    let epoch = clock::epoch();
    let (soon, later) = (Deadline::after(epoch.now(), 1800), Deadline::after(epoch.now(), 3600));
    let prefix = PREFIX.parse().expect("a prefix");
    let current = Current {
        generation: Generation(1),
        prefix,
        source: SourceId::on(SourceKind::Dhcpv6Pd, WAN),
        routers: Vec::new(),
        acquired_at: epoch.now(),
        preferred_until: soon,
        valid_until: later,
        excluded: Vec::new(),
        lost: None,
    };
    let leased =
        LeasedPrefix { prefix, preferred_until: soon, valid_until: later, excluded: None, first_seen: epoch.now() };
    let lease = Lease {
        dynamic_prefix: "home".to_owned(),
        iaid: 1,
        received_at: Some(epoch.now()),
        t1: soon,
        t2: later,
        prefixes: vec![leased],
    };
    let duid = Duid::new(&[0, 3, 0, 1, 2, 0, 0, 0, 0, 7]).expect("a DUID");
    let mut state = State::new(&epoch);
    state.insert_prefix("home", &Snapshot { current: Some(current), history: Vec::new() }, Generation(1), &epoch);
    state.insert_client(WAN, &Memory { leases: vec![lease], ..Memory::new(duid) }, &epoch);
    state
}

pub(super) fn stored() {
    let pair = Pair::joined();
    pair.host.inside(link_local);
    pair.host.sysctl("net/ipv6/conf/all/forwarding", "1");
    let mut file = file(&format!("acquisition.dhcpv6 = {{ interface = \"{WAN}\" }}"));
    let kubeconfig = file.directory.path().join("kubeconfig");
    let text = std::fs::read_to_string(&file.path).expect("the file");
    let cluster = format!("[[cluster]]\nkubeconfig = \"{}\"\n", kubeconfig.display());
    let binding = "[[binding]]\nprefixRef = \"home/lb\"\ntarget = \"CiliumLoadBalancerIPPool/pool\"\n";
    file.path = file.directory.path().join("bound.toml");
    std::fs::write(&file.path, text + &cluster + binding).expect("a configuration");

    let found = doctor(&pair.host, &file);
    expect(&found, "prefix", "unseen", "No prefix is known for home: the daemon does not run, and has stored none.");
    assert!(!found.iter().any(|finding| finding["check"] == "forwarding-loop"), "{found:#?}");

    let directory = file.directory.path().join("state");
    let opened = Store::open(&directory, clock::epoch().wall_now()).expect("a state directory");
    opened.store.save(&state()).expect("saved");
    drop(opened);
    pair.host.ip(&format!("-6 route add default via {ROUTER} dev {WAN}"));
    pair.host.ip(&format!("-6 neighbour add 2001:db8:a::5 lladdr 02:00:00:00:00:07 dev {WAN} nud reachable"));
    let found = doctor(&pair.host, &file);
    expect(&found, "prefix", "note", &format!("home had the prefix {PREFIX} when the daemon last saved its state"));
    expect(&found, "forwarding-loop", "warning", &format!("{PREFIX} is delegated to this host by wan"));
    expect(&found, "neighbour", "note", "2001:db8:a::5 answers on wan and lies in the range of the pool pool");
    pair.host.ip(&format!("-6 route add unreachable {PREFIX}"));
    expect(&doctor(&pair.host, &file), "forwarding-loop", "ok", PREFIX);

    // Of another account, and closed to all others, as the unit makes it.
    chown(&directory, Some(65534), None).expect("given away");
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).expect("closed");
    let (found, _) = examine(&mut powerless(&pair.host), &file);
    expect(&found, "prefix", "unseen", "the daemon does not run, and we cannot read the stored state");
    assert!(!found.iter().any(|finding| finding["check"] == "forwarding-loop"), "{found:#?}");
}
