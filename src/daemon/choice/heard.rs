//! Where a DHCPv6 client of somebody else was heard to ask, and what is chosen because of that. Pure.
//!
//! It is waited for where nothing but Router Advertisements was chosen, for want of signs of DHCPv6, or nothing yet. Who is
//! heard is observed at once, so that its first Reply is seen; and nothing else is chosen there until the next reload: a look
//! may have begun before.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Auto, Chosen, Config};
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::{SourceId, SourceKind};

use super::round::Made;
use super::{autos, is_by_silence};

/// What was heard of other clients.
#[derive(Debug, Default)]
pub struct Heard {
    /// By interface, a message.
    asked: BTreeMap<String, ClientMessage>,
}

impl Heard {
    /// A client asked something on this interface.
    pub fn hear(&mut self, interface: &str, asked: ClientMessage) {
        self.asked.entry(interface.to_owned()).or_insert(asked);
    }

    /// Forgets all of it: it is looked at anew.
    pub fn clear(&mut self) {
        self.asked.clear();
    }

    /// The interfaces on which a client is to be waited for. `sources`: all that there are; where we ask ourselves there is no
    /// other.
    pub fn awaited(&self, config: &Config, sources: &[SourceId]) -> BTreeSet<String> {
        let is_free = |name: &String| !sources.contains(&SourceId::on(SourceKind::Dhcpv6Pd, name));
        let places = autos(config).filter_map(|(_, auto)| open_place(auto));
        places.filter(|name| is_free(name) && !self.asked.contains_key(*name)).cloned().collect()
    }

    /// What follows for those whose prefix arrives where a client was heard.
    pub fn choices(&self, config: &Config) -> Made {
        let choice = |(name, auto): (&String, &Auto)| {
            let interface = open_place(auto)?;
            let asked = self.asked.get(interface)?;
            let reason = format!(
                "another DHCPv6 client on {interface} asks for a prefix: a message of it was seen to leave ({asked:?})."
            );
            let chosen = Chosen { kind: SourceKind::Observed, interface: interface.clone(), reason };
            Some((name.clone(), Ok(chosen)))
        };
        autos(config).filter_map(|(prefix, auto)| choice((&prefix.name, auto))).collect()
    }

    /// What of a look is not outdone by what was heard.
    pub fn overrule(&self, made: Made) -> Made {
        let stays = |outcome: &Result<Chosen, String>| {
            outcome.as_ref().map_or(true, |chosen| {
                chosen.kind == SourceKind::Observed || !self.asked.contains_key(&chosen.interface)
            })
        };
        made.into_iter().filter(|(_, outcome)| stays(outcome)).collect()
    }
}

/// Where the prefix arrives, if there is a choice to be made yet, or one was made because nobody answered.
fn open_place(auto: &Auto) -> Option<&String> {
    match &auto.chosen {
        Some(chosen) => is_by_silence(auto).then_some(&chosen.interface),
        None => auto.interface.as_ref(),
    }
}
