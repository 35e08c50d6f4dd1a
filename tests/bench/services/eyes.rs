//! Watches of our own, and the times at which they showed each step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};
use ipnet::Ipv6Net;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::lab::ApiServer;
use crate::options::Scene;
use crate::view::{Step, View};
use crate::world::{POOLS, SERVICES};

/// How long all objects together may take.
const LIMIT: Duration = Duration::from_secs(300);

/// What the cluster shows of the pools and the Services with addresses.
pub(crate) struct Eyes {
    events: Receiver<(Instant, String, View)>,
    views: BTreeMap<String, View>,
    scene: Scene,
}

/// When the first object and when the last one showed a step.
pub(crate) type Span = (SystemTime, SystemTime);

/// Who has shown a step so far, and when the first and the last of them did.
#[derive(Default)]
struct Shown {
    by: BTreeSet<String>,
    span: Option<Span>,
}

impl Eyes {
    /// Watches from now on, when there is nothing yet.
    pub(crate) fn open(server: &ApiServer, scene: Scene) -> Result<Self> {
        let (sender, events) = channel();
        for path in [POOLS, SERVICES] {
            let version = server.version_of(path)?;
            let joint = if path.contains('?') { '&' } else { '?' };
            let watch = server.watch(&format!("{path}{joint}resourceVersion={version}"))?;
            let sender = sender.clone();
            std::thread::Builder::new().name("eyes".to_owned()).spawn(move || forward(&watch, &sender))?;
        }
        Ok(Self { events, views: BTreeMap::new(), scene })
    }

    /// The managed Services.
    pub(crate) fn services(&self) -> impl Iterator<Item = (&String, &View)> {
        self.views.iter().filter(|(_, view)| Step::Named.is_taken_by(view))
    }

    /// Waits until every object has shown each of these steps towards `prefix`.
    pub(crate) fn reach(
        &mut self,
        steps: &[Step],
        prefix: Ipv6Net,
        mut daemon: Option<&mut Daemon>,
    ) -> Result<BTreeMap<Step, Span>> {
        let mut shown: BTreeMap<Step, Shown> = steps.iter().map(|step| (*step, Shown::default())).collect();
        let now = SystemTime::now();
        for (name, view) in &self.views {
            note(&mut shown, name, view, prefix, now);
        }
        let deadline = Instant::now() + LIMIT;
        while !shown.iter().all(|(step, shown)| shown.by.len() == self.expected(*step)) {
            if Instant::now() > deadline {
                let late = self.late(&shown);
                let log = daemon.as_ref().map_or_else(String::new, |daemon| daemon.log_tail());
                bail!("not within {LIMIT:?}: {late}; the end of the daemon's log:\n{log}");
            }
            let Ok((at, name, view)) = self.events.recv_timeout(Duration::from_secs(1)) else {
                daemon.as_mut().map_or(Ok(()), |daemon| daemon.check_alive())?;
                continue;
            };
            note(&mut shown, &name, &view, prefix, SystemTime::now() - at.elapsed());
            self.views.insert(name, view);
        }
        Ok(shown.into_iter().filter_map(|(step, shown)| Some((step, shown.span?))).collect())
    }

    /// Lets some time pass in which the cluster comes to rest.
    pub(crate) fn rest(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if let Ok((_, name, view)) = self.events.recv_timeout(left) {
                self.views.insert(name, view);
            }
        }
    }

    fn expected(&self, step: Step) -> usize {
        let Scene { pools, managed, plain, .. } = self.scene;
        match step {
            Step::Offered | Step::Whole => pools,
            Step::Asked | Step::Assigned | Step::Named => managed,
            Step::Tidy => pools + managed,
            Step::Followed => plain,
        }
    }

    fn late(&self, shown: &BTreeMap<Step, Shown>) -> String {
        let counts = shown.iter().map(|(step, shown)| (*step, shown.by.len(), self.expected(*step)));
        let missing = shown.iter().find_map(|(step, shown)| {
            self.views.iter().find(|(name, view)| step.is_taken_by(view) && !shown.by.contains(*name))
        });
        format!("{:?}, and {missing:?} is missing", counts.collect::<Vec<_>>())
    }
}

fn forward(watch: &Receiver<(Instant, Value)>, sender: &Sender<(Instant, String, View)>) {
    for (at, event) in watch {
        let object = &event["object"];
        let Some(name) = object["metadata"]["name"].as_str() else { continue };
        if sender.send((at, name.to_owned(), View::of(object))).is_err() {
            return;
        }
    }
}

fn note(shown: &mut BTreeMap<Step, Shown>, name: &str, view: &View, prefix: Ipv6Net, at: SystemTime) {
    for (_, shown) in shown.iter_mut().filter(|(step, _)| step.is_taken_by(view) && view.shows(**step, prefix)) {
        if shown.by.insert(name.to_owned()) {
            let (first, last) = shown.span.unwrap_or((at, at));
            shown.span = Some((first.min(at), last.max(at)));
        }
    }
}
