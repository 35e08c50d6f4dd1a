//! `dyn-prefix withdraw`, `resume` and `take-over`: what a person decides about single objects.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock;
use crate::cluster::{Paused, Told, Wanted};
use crate::config::ObjectRef;
use crate::control::client::{Connection, Failure};
use crate::control::{Request, Response};
use crate::daemon::pause::{self, Scope};
use crate::daemon::shadow::{self, Seen};
use crate::daemon::{self, identity, parting};
use crate::plan::Catalogue;
use crate::store;

use super::args::{ConfigArgs, ScopeArgs, TakeOverArgs, WithdrawArgs};
use super::{Exit, plan, socket, terminal};

/// How long `--dry-run` looks at the clusters.
const PATIENCE: Duration = Duration::from_secs(15);

const NOTHING: &str = "Nothing of ours is there.";

/// Takes what is ours out of objects.
pub(super) fn withdraw(args: WithdrawArgs) -> anyhow::Result<Exit> {
    let scope = scope(args.scope);
    read(&scope)?;
    if args.dry_run {
        return dry_run(&args.config, &scope);
    }
    let request = Request::Withdraw { scope: scope.clone() };
    let response = match ask(&args.config, request) {
        Ok(response) => response,
        Err(Failure::NotRunning(_)) => {
            let Some(config) = plan::usable(&args.config.config) else { return Ok(Exit::Configuration) };
            let directory = daemon::state_directory(&config);
            match daemon::alone::withdraw(config, &scope)? {
                Some(response) => response,
                None => return say_no_record(&directory),
            }
        }
        Err(Failure::Other(error)) => return Err(error),
    };
    let target = scope.target.as_ref().map(|target| format!(" {target}")).unwrap_or_default();
    let cluster = scope.cluster.as_ref().map(|cluster| format!(" --cluster {cluster}")).unwrap_or_default();
    let way_back = format!("dyn-prefix resume{target}{cluster}");
    let exit = show(response)?;
    terminal::say(&format!("Nothing is written there any more, not after a restart either, until `{way_back}`."))?;
    Ok(exit)
}

/// Cares again for what was withdrawn.
pub(super) fn resume(args: ScopeArgs, config: &ConfigArgs) -> anyhow::Result<Exit> {
    let scope = scope(args);
    read(&scope)?;
    match ask(config, Request::Resume { scope: scope.clone() }) {
        Ok(response) => show(response),
        Err(Failure::NotRunning(_)) => {
            let Some(config) = plan::usable(&config.config) else { return Ok(Exit::Configuration) };
            show(daemon::alone::resume(config, &scope)?)
        }
        Err(Failure::Other(error)) => Err(error),
    }
}

/// Takes objects over from another daemon.
pub(super) fn take_over(args: TakeOverArgs) -> anyhow::Result<Exit> {
    let scope = scope(args.scope);
    read(&scope)?;
    anyhow::ensure!(
        scope.target.is_some() || args.all,
        "say which object, or --all for every one that another daemon manages; `dyn-prefix status` shows them with the \
         reason OtherWriter"
    );
    match ask(&args.config, Request::TakeOver { scope, force: args.force }) {
        Ok(response) => show(response),
        Err(failure @ Failure::NotRunning(_)) => {
            terminal::complain(&failure.to_string());
            Ok(Exit::NotRunning)
        }
        Err(Failure::Other(error)) => Err(error),
    }
}

fn say_no_record(directory: &Path) -> anyhow::Result<Exit> {
    terminal::say(&daemon::alone::no_record(directory))?;
    Ok(Exit::Done)
}

fn scope(args: ScopeArgs) -> Scope {
    Scope { cluster: args.cluster, target: args.target }
}

fn read(scope: &Scope) -> anyhow::Result<Option<ObjectRef>> {
    scope.target.as_ref().map(|text| text.parse()).transpose().map_err(anyhow::Error::msg)
}

fn ask(config: &ConfigArgs, request: Request) -> Result<Response, Failure> {
    let mut connection = Connection::open(&socket(config), request)?;
    let silent = || anyhow::anyhow!("the daemon closed the connection without an answer; is it stopping?");
    Ok(connection.next_response()?.ok_or_else(silent)?)
}

/// What was done on standard output, and what is left on standard error.
fn show(response: Response) -> anyhow::Result<Exit> {
    match response {
        Response::Handled { done, left } => {
            if done.is_empty() && left.is_empty() {
                terminal::say(NOTHING)?;
            } else if !done.is_empty() {
                terminal::say(&done.join("\n"))?;
            }
            left.iter().for_each(|left| terminal::complain(left));
            Ok(if left.is_empty() { Exit::Done } else { Exit::Degraded })
        }
        Response::Error { message } => anyhow::bail!("{message}"),
        Response::Status { .. } | Response::Reloaded { .. } | Response::Refused { .. } | Response::Released { .. } => {
            anyhow::bail!("the daemon answered something else")
        }
    }
}

/// Shows what would be taken out, by what the store lists and the objects hold.
fn dry_run(args: &ConfigArgs, scope: &Scope) -> anyhow::Result<Exit> {
    let Some(config) = plan::usable(&args.config) else { return Ok(Exit::Configuration) };
    let object = read(scope)?;
    let epoch = clock::epoch();
    let directory = daemon::state_directory(&config);
    let Some(state) = store::peek(&directory)? else { return say_no_record(&directory) };
    let daemon_id = config.daemon.id.clone().unwrap_or_else(identity::daemon_id);
    let mut leftovers = parting::leftovers_in(&state, &config, &epoch);
    if let Some(name) = &scope.cluster
        && !config.clusters.iter().any(|cluster| cluster.name == *name)
    {
        anyhow::bail!("{}", pause::no_cluster(name, &config, leftovers.remove(name)));
    }
    let (mut setups, mut is_empty) = (Vec::new(), true);
    for cluster in config.clusters.iter().filter(|cluster| scope.cluster.as_ref().is_none_or(|it| *it == cluster.name))
    {
        for name in state.published.get(&cluster.name).into_iter().flatten().map(|(name, _)| name) {
            if object.is_none() {
                is_empty = false;
                terminal::say(&format!("DynamicPrefix/{name} in {} would be deleted", cluster.name))?;
            }
        }
        let managed = pause::to_release(state.managed(&cluster.name, &epoch), object.as_ref());
        if !managed.is_empty() {
            setups.push(shadow::Setup { cluster: cluster.clone(), managed, wanted: of_nothing(&daemon_id) });
        }
    }
    if let Some(object) = object.as_ref().filter(|_| setups.is_empty()) {
        let has_it = |(name, _): &(&String, &String)| state.managed(name, &epoch).iter().any(|it| it.object == *object);
        let left = leftovers.iter().find(has_it).map(|(_, left)| left.clone());
        anyhow::bail!("{}", pause::no_target(object, left));
    }
    let is_all = scope.cluster.is_none() && object.is_none();
    if !is_all {
        leftovers.clear();
    }
    leftovers.values().for_each(|left| terminal::complain(left));
    let mut is_whole = leftovers.is_empty();
    if setups.is_empty() {
        if is_whole && is_empty {
            terminal::say(NOTHING)?;
        }
        return Ok(if is_whole { Exit::Done } else { Exit::Degraded });
    }
    for (cluster, seen) in shadow::look(setups, PATIENCE)? {
        is_whole &= say_seen(&cluster, &seen)?;
    }
    Ok(if is_whole { Exit::Done } else { Exit::Degraded })
}

fn of_nothing(daemon_id: &str) -> Wanted {
    Wanted {
        daemon_id: daemon_id.to_owned(),
        catalogue: Arc::new(Catalogue::default()),
        bindings: Arc::default(),
        services: Arc::default(),
        denied: Arc::default(),
        told: Arc::new(Told { paused: Paused { everything: true, ..Paused::default() }, ..Told::default() }),
    }
}

/// What would be sent to each object of a cluster, and what would stay; whether all is known and none stays.
fn say_seen(cluster: &str, seen: &Seen) -> anyhow::Result<bool> {
    let mut is_whole = seen.is_whole;
    if !seen.is_whole {
        terminal::complain(&plan::not_read(cluster, seen));
    }
    for (object, patch) in &seen.patches {
        let removed = if patch.removed.is_empty() { "nothing".to_owned() } else { patch.removed.join(", ") };
        terminal::say(&format!("{object} in {cluster}: {removed} would leave\n  {}", patch.content))?;
    }
    for target in seen.targets.values().filter(|target| !seen.patches.contains_key(&target.object)) {
        if target.managed.is_some() {
            is_whole = false;
            let why = target.message.as_deref().unwrap_or(&target.reason);
            terminal::complain(&format!("{} in {cluster} would stay as it is: {why}", target.object));
        }
    }
    Ok(is_whole)
}
