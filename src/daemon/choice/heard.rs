//! Where a DHCPv6 client of somebody else was heard to ask, and what is chosen because of that. Pure.
//!
//! It is waited for where nothing but Router Advertisements was chosen, for want of signs of DHCPv6, or nothing yet. In the
//! place of the former it is observed at once, so that its first Reply is seen; and nothing else is chosen there until the
//! next reload: a look may have begun before.

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

    /// What follows at once, for those who have Router Advertisements for want of anything else where a client was heard.
    pub fn choices(&self, config: &Config) -> Made {
        let by_silence = autos(config).filter(|(_, auto)| is_by_silence(auto));
        let choice = |auto: &Auto| self.choice(open_place(auto)?);
        by_silence.filter_map(|(prefix, auto)| Some((prefix.name.clone(), Ok(choice(auto)?)))).collect()
    }

    /// What came of a look round, as it is with what was heard meanwhile. A look that knows the client says more of it.
    pub fn overrule(&self, config: &Config, made: Made) -> Made {
        let named = |name: &str| autos(config).find(|(prefix, _)| prefix.name == name)?.1.interface.clone();
        let overruled = |(name, outcome): (String, Result<Chosen, String>)| {
            let place = match &outcome {
                Ok(chosen) if chosen.kind == SourceKind::Observed => None,
                Ok(chosen) => Some(chosen.interface.clone()),
                Err(_) => named(&name),
            };
            let observed = place.and_then(|interface| self.choice(&interface));
            (name, observed.map_or(outcome, Ok))
        };
        made.into_iter().map(overruled).collect()
    }

    fn choice(&self, interface: &str) -> Option<Chosen> {
        let asked = self.asked.get(interface)?;
        let reason = format!(
            "another DHCPv6 client on {interface} asks for a prefix: a message of it was seen to leave ({asked:?})."
        );
        Some(Chosen { kind: SourceKind::Observed, interface: interface.to_owned(), reason })
    }
}

/// Where the prefix arrives, if there is a choice to be made yet, or one was made because nobody answered.
fn open_place(auto: &Auto) -> Option<&String> {
    match &auto.chosen {
        Some(chosen) => is_by_silence(auto).then_some(&chosen.interface),
        None => auto.interface.as_ref(),
    }
}
