//! `dyn-prefix withdraw` while no daemon runs: the clusters' tasks, and nothing else of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Alarm};
use crate::cluster::mirror::Publication;
use crate::cluster::timeouts::Timeouts;
use crate::cluster::{Managed, Paused, Told, Update, Wanted, driver};
use crate::config::{Cluster, Config};
use crate::control::Response;
use crate::store::Store;

use super::coordinator::{Coordinator, Identity, Memory};
use super::errand::{Errand, PATIENCE};
use super::pause::{Scope, Withdrawal};
use super::{identity, state_directory};

/// Takes out of the clusters what `scope` names and the store lists, and keeps in the store what became of it.
///
/// # Errors
/// When the store cannot be had (a daemon that uses it, for one), or the scope names nothing. There is no answer when
/// there is no record: [`no_record`].
pub fn withdraw(config: Config, scope: &Scope) -> anyhow::Result<Option<Response>> {
    let Some((mut coordinator, store)) = open(config)? else { return Ok(None) };
    let withdrawal = coordinator.withdraw(scope).map_err(anyhow::Error::msg)?;
    // Whatever interrupts this: what has been taken out is not to be written again.
    store.save(&coordinator.state(&clock::epoch()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let response = runtime.block_on(release(&mut coordinator, withdrawal))?;
    store.save(&coordinator.state(&clock::epoch()))?;
    Ok(Some(response))
}

/// Takes back what was withdrawn: the next daemon cares for it again.
///
/// # Errors
/// When the store cannot be had, or nothing of the scope was withdrawn.
pub fn resume(config: Config, scope: &Scope) -> anyhow::Result<Response> {
    let directory = state_directory(&config);
    let Some((mut coordinator, store)) = open(config)? else {
        anyhow::bail!("nothing of that is withdrawn. {}", no_record(&directory))
    };
    let done = coordinator.resume(scope).map_err(anyhow::Error::msg)?;
    store.save(&coordinator.state(&clock::epoch()))?;
    Ok(Response::Handled { done, left: Vec::new() })
}

/// Says that nothing was ever stored.
pub fn no_record(directory: &Path) -> String {
    format!(
        "There is no record of anything of ours in the state directory {}, so that nothing was done. Is \
         daemon.stateDirectory the one that the daemon used?",
        directory.display()
    )
}

/// What the daemon would begin with, and the store, locked; `None` when nothing is stored. What cannot be read is left
/// to the daemon as it is.
fn open(config: Config) -> anyhow::Result<Option<(Coordinator, Store)>> {
    let epoch = clock::epoch();
    let directory = state_directory(&config);
    let opened = Store::open_existing(&directory)
        .context("nothing was done: without the stored state, nobody knows what of ours is in the clusters")?;
    let Some((store, state)) = opened else { return Ok(None) };
    let boot_id = identity::boot_id();
    let state = state.read_in(boot_id.as_deref());
    let config = Arc::new(config);
    let daemon_id = config.daemon.id.clone().unwrap_or_else(identity::daemon_id);
    let duid = state.duid().map_or_else(identity::duid, Ok)?;
    let memory = Memory::from_state(Some(&state), &config, &epoch);
    let identity = Identity { daemon_id, duid, boot_id };
    Ok(Some((Coordinator::new(config, identity, memory, epoch.now()), store)))
}

async fn release(coordinator: &mut Coordinator, mut withdrawal: Withdrawal) -> anyhow::Result<Response> {
    let (updates, mut news) = mpsc::channel(64);
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    let config = coordinator.shared_config();
    for cluster in &config.clusters {
        if !withdrawal.is_in(&cluster.name) {
            continue;
        }
        let managed = withdrawal.spread(&cluster.name, coordinator.managed(&cluster.name));
        let wanted = of_nothing(coordinator.wanted(&cluster.name));
        let (mut setup, held) = setup(cluster, managed, wanted, updates.clone());
        if coordinator.is_let_go(&cluster.name) {
            setup.published = coordinator.published(&cluster.name);
        }
        let stop = stop.clone();
        tasks.spawn(async move {
            let _held = held;
            driver::run(setup, |_, _| {}, stop).await;
        });
    }
    drop(updates);
    let errand = Errand::Withdraw(withdrawal);
    let mut alarm = Alarm::new().context("cannot make a timer")?;
    let until = clock::now() + PATIENCE;
    let response = loop {
        if let Some(response) = errand.outcome(coordinator, until <= clock::now()) {
            break response;
        }
        tokio::select! {
            Some((cluster, update)) = news.recv() => coordinator.handle_update(&cluster, update, clock::now()),
            () = alarm.wait(Some(until)) => {}
        }
    };
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    while let Ok((cluster, update)) = news.try_recv() {
        coordinator.handle_update(&cluster, update, clock::now());
    }
    Ok(response)
}

/// Everything of a cluster that we are to know of is released, and nothing else is touched.
pub(super) fn of_nothing(wanted: Wanted) -> Wanted {
    let paused = Paused { everything: true, ..Paused::default() };
    let told = Arc::new(Told { paused, ..Told::default() });
    Wanted { bindings: Arc::default(), services: Arc::default(), told, ..wanted }
}

/// What a driver follows; it ends when this is dropped.
pub(super) type Held = (watch::Sender<Arc<Cluster>>, watch::Sender<Option<Wanted>>, watch::Sender<Publication>);

/// A driver of a cluster that nobody will configure anew.
pub(super) fn setup(
    cluster: &Cluster,
    managed: Vec<Managed>,
    wanted: Wanted,
    updates: mpsc::Sender<(String, Update)>,
) -> (driver::Setup, Held) {
    let (section, followed_section) = watch::channel(Arc::new(cluster.clone()));
    let daemon_id = wanted.daemon_id.clone();
    let (wanted, followed) = watch::channel(Some(wanted));
    let nothing = Publication { daemon_id, ..Publication::default() };
    let (publication, publications) = watch::channel(nothing);
    let setup = driver::Setup {
        cluster: followed_section,
        managed,
        wanted: followed,
        publication: publications,
        published: BTreeMap::new(),
        updates,
        timeouts: Timeouts::default(),
        seed: clock::now().as_nanos().unsigned_abs(),
        ready: CancellationToken::new(),
    };
    (setup, (section, wanted, publication))
}
