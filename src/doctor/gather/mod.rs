//! Reads the facts for the checks. Nothing is changed, no port is taken, and nothing is waited for longer than
//! [`PATIENCE`].

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::prefixes::{self, Known};
use super::{
    Check, Finding, Report, Section, actions, addresses, capability, choice, clock, daemon, firewall, interface, lease,
    port, reading, router, routes, service,
};
use crate::config::{self, Config};
use crate::source::link::Links;
use crate::spool::Spool;

mod cluster;
mod files;
mod host;
mod interfaces;
mod listen;
mod netlink;
mod sources;
mod surroundings;

pub use surroundings::surroundings;

use host::Daemon;
use netlink::Tables;

/// How long the whole may take.
pub const PATIENCE: Duration = Duration::from_secs(25);

/// How long Router Advertisements are listened for.
const LISTEN: Duration = Duration::from_secs(5);

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The configuration.
    pub config: Arc<Config>,
    /// The file that it stands in.
    pub path: PathBuf,
    /// What there is to say about the file.
    pub findings: Vec<config::Finding>,
    /// The control socket of the daemon.
    pub socket: PathBuf,
}

/// Looks at everything.
pub async fn examine(subject: &Subject) -> Report {
    let (daemon, links, tables) =
        tokio::join!(host::daemon(subject.socket.clone()), netlink::links(), netlink::tables());
    let written = &subject.config;
    let (known, account) = tokio::join!(host::known(written, &daemon, &links), files::account(&daemon));
    let common = cluster::Common {
        daemon_id: written.daemon.id.clone().unwrap_or_else(crate::daemon::identity::daemon_id),
        prefixes: known.prefixes.clone(),
        unknown: known.unknown.clone(),
        now: crate::clock::epoch().wall_now(),
        account: account.clone(),
    };
    let here = async {
        let (choices, config) = sources::choices(written, &daemon).await;
        let (config, account) = (Arc::new(config), account.as_ref());
        let shared =
            Shared { config: &config, daemon: &daemon, account, known: &known, links: &links, tables: &tables };
        tokio::join!(of_host(subject, &choices, &shared), interfaces::all(&shared))
    };
    let ((mut host, interfaces), clusters) = tokio::join!(here, cluster::all(written, &common));
    host.extend(neighbours(written, &known, &links, &tables, &clusters));
    let host = Section { place: "host".to_owned(), findings: host };
    let clusters = clusters.iter().map(|facts| Section {
        place: format!("cluster {}", facts.cluster.name),
        findings: super::cluster::check(facts),
    });
    Report::new([host].into_iter().chain(interfaces).chain(clusters).collect())
}

/// What several checks go by.
struct Shared<'a> {
    config: &'a Config,
    daemon: &'a Daemon,
    account: Option<&'a reading::Account>,
    known: &'a Known,
    links: &'a Result<Arc<Links>, String>,
    tables: &'a Tables,
}

async fn of_host(subject: &Subject, choices: &[choice::Facts], shared: &Shared<'_>) -> Vec<Finding> {
    let mut found = daemon::configuration(&subject.findings);
    if found.is_empty() {
        found.push(Finding::ok(
            Check::Configuration,
            "configuration",
            "There is nothing to say about the configuration.",
        ));
    }
    if let Some(account) = shared.account {
        found.extend(reading::check(Check::Configuration, account, &files::files([&subject.path])));
    }
    found.extend(daemon::check(&shared.daemon.facts, crate::VERSION));
    let waiting = Spool::open(&subject.socket).ok().flatten().map_or(0, |spool| spool.count());
    found.extend(daemon::waiting(&shared.daemon.facts, waiting, &subject.socket));
    if host::reads(shared.daemon, &subject.path) {
        found.extend(daemon::in_use(&shared.daemon.facts, &subject.path, files::changed(&subject.path)));
    }
    found.extend(prefixes::check(shared.known));
    let (synchronised, capabilities, services) =
        tokio::join!(host::synchronised(), host::capabilities(shared.daemon), sources::services(shared.config));
    let now = crate::clock::epoch().wall_now();
    found.push(clock::check(&clock::Facts { now, synchronised }));
    found.extend(choices.iter().map(choice::check));
    found.extend(capability::check(shared.config, &capabilities));
    found.extend(services.iter().flat_map(service::check));
    found.extend(actions::check(&files::actions(shared.config, shared.account.cloned())));
    found.extend(routes::check(&routes::Facts {
        forwards: host::sysctl("all", "forwarding").is_some_and(|value| value != 0),
        delegations: shared.known.delegations.clone(),
        routes: shared.tables.routes.clone(),
    }));
    found
}

fn neighbours(
    config: &Config,
    known: &Known,
    links: &Result<Arc<Links>, String>,
    tables: &Tables,
    clusters: &[super::cluster::Facts],
) -> Vec<Finding> {
    let named = |(address, ifindex): &(Ipv6Addr, u32)| {
        let name = links.as_ref().ok().and_then(|links| links.name(*ifindex));
        (*address, name.map_or_else(|| format!("interface {ifindex}"), str::to_owned))
    };
    let neighbours = tables.neighbours.as_ref().map_err(Clone::clone);
    routes::neighbours(&routes::Neighbourhood {
        ranges: known.ranges(config, |cluster| cluster::objects(clusters, cluster)),
        neighbours: neighbours.map(|all| all.iter().map(named).collect()),
        services: cluster::services(clusters),
    })
}

/// Waits for something that may hang.
async fn in_time<T>(limit: Duration, what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, what).await.ok()
}

fn root() -> &'static Path {
    Path::new("/")
}
