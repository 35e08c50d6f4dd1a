//! What `acquisition = "auto"` and `acquisition.http` come to.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::host::Daemon;
use super::{in_time, surroundings};
use crate::config::{Auto, Config};
use crate::daemon::choice::{Step, choose, with_choice};
use crate::doctor::choice::{Choice, Facts, of_status};
use crate::doctor::service;
use crate::source::{SourceId, http};

/// How long a service may take. The daemon gives it more.
const ANSWER: Duration = Duration::from_secs(8);

/// What is chosen for each DynamicPrefix that leaves it open, and a configuration with those choices.
pub(super) async fn choices(config: &Config, daemon: &Daemon) -> (Vec<Facts>, Config) {
    let open = config.dynamic_prefixes.iter().filter_map(|prefix| Some((prefix, prefix.acquisition.auto.as_ref()?)));
    let looks = open.map(async |(prefix, auto)| {
        let chosen = daemon.facts.status().and_then(|status| of_status(&prefix.name, status));
        let choice = match chosen {
            Some(chosen) => Choice::ByDaemon(chosen),
            None => look(auto).await,
        };
        Facts { name: prefix.name.clone(), choice }
    });
    let facts = join_all(looks).await;
    let chosen = |name: &str| facts.iter().find(|facts| facts.name == name)?.expected();
    let prefixes = config.dynamic_prefixes.iter().map(|prefix| with_choice(prefix, chosen(&prefix.name)));
    let config = Config { dynamic_prefixes: prefixes.collect(), ..config.clone() };
    (facts, config)
}

/// As the daemon does, but that no DHCPv6 server is asked.
async fn look(auto: &Auto) -> Choice {
    let seen = surroundings(auto.interface.clone(), None).await.interfaces;
    let step = choose(auto, &seen, false, None);
    // What nobody may listen to may decide it.
    let deaf = seen.iter().find_map(|interface| interface.routers.as_ref().err());
    match (step, deaf) {
        (Step::Wait(_) | Step::Ask(_), Some(why)) => Choice::Unseen(format!("{why}, to listen to routers")),
        (step, _) => Choice::Now(step),
    }
}

/// What each service answers.
pub(super) async fn services(config: &Config) -> Vec<service::Facts> {
    let mut wanted: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for prefix in &config.dynamic_prefixes {
        if let Some(http) = &prefix.acquisition.http {
            let entry = (prefix.name.clone(), http.prefix_length, prefix.acquisition.filter.clone());
            wanted.entry(&http.url).or_default().push(entry);
        }
    }
    let asks = wanted.into_iter().map(async |(url, wanted)| {
        let answer = match in_time(ANSWER, http::client::ask(url, None)).await {
            Some((answer, _trust)) => answer.map_err(|failure| failure.why),
            None => Err(format!("there was no whole answer within {} s", ANSWER.as_secs())),
        };
        service::Facts { url: SourceId::at(url).shown_url().unwrap_or_default(), wanted, answer }
    });
    join_all(asks).await
}
