//! One look round, for all DynamicPrefixes whose source is open. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Chosen, DynamicPrefix};
use crate::init::Interface;

use super::{Answer, Step, choose, uplink};

/// By name, what was chosen, or why nothing was.
pub type Made = Vec<(String, Result<Chosen, String>)>;

/// A DynamicPrefix, and what there is for it.
#[derive(Clone, Debug)]
pub struct Look {
    /// The DynamicPrefix.
    pub prefix: DynamicPrefix,
    /// Somebody reports what another client is delegated.
    pub is_told: bool,
    /// The interfaces.
    pub seen: Vec<Interface>,
}

impl Look {
    /// Where the prefix arrives.
    fn interface(&self) -> Option<String> {
        let auto = self.prefix.acquisition.auto.as_ref()?;
        uplink(auto, &self.seen).ok().map(|(uplink, _)| uplink.name.clone())
    }

    fn choose(&self, answer: Option<&Answer>) -> Step {
        let auto = self.prefix.acquisition.auto.clone().unwrap_or_default();
        choose(&auto, &self.seen, self.is_told, answer)
    }
}

/// Another client is on an interface, and not on a DynamicPrefix: who is told of it for one is told for all of that
/// interface. `told_on`: where that was so before.
pub fn share_reports(looks: &mut [Look], told_on: &BTreeSet<String>) {
    let told: BTreeSet<String> = looks.iter().filter(|look| look.is_told).filter_map(Look::interface).collect();
    for look in looks {
        look.is_told |= look.interface().is_some_and(|name| told.contains(&name) || told_on.contains(&name));
    }
}

/// The interfaces on which servers have to be asked, each once, whoever wants to know: a second socket beside the first
/// would not get the port.
pub fn questions(looks: &[Look]) -> BTreeMap<String, &DynamicPrefix> {
    let mut questions = BTreeMap::new();
    for look in looks {
        if let Step::Ask(interface) = look.choose(None) {
            questions.entry(interface).or_insert(&look.prefix);
        }
    }
    questions
}

/// What is known of a question without asking. `own`: where a client of ours is. `hushed`: where nobody answered a
/// moment ago.
pub fn known_answer(interface: &str, own: &BTreeSet<String>, hushed: &BTreeSet<String>) -> Option<Answer> {
    if own.contains(interface) {
        return Some(Answer::Own);
    }
    let why = || "none answered a short time ago, and it is asked again with growing pauses".to_owned();
    hushed.contains(interface).then(|| Answer::NotAsked(why()))
}

/// What comes of it. `answers`: by interface, to [`questions`].
pub fn outcomes(looks: &[Look], answers: &BTreeMap<String, Answer>) -> Made {
    let outcome = |look: &Look| {
        let step = match look.choose(None) {
            Step::Ask(interface) => look.choose(answers.get(&interface)),
            step @ (Step::Take(_) | Step::Wait(_)) => step,
        };
        match step {
            Step::Take(chosen) => Ok(chosen),
            Step::Wait(why) => Err(why),
            Step::Ask(interface) => Err(format!("no DHCPv6 server on {interface} was asked yet")),
        }
    };
    looks.iter().map(|look| (look.prefix.name.clone(), outcome(look))).collect()
}
