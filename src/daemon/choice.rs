//! `acquisition = "auto"`: which source a DynamicPrefix takes its prefix from. Pure.
//!
//! Another DHCPv6 client that is configured or runs on the uplink is observed; else DHCPv6 is asked where a router or a
//! server says that there is any; else Router Advertisements have to do, which stand in for the other two besides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::arbiter::Arbiter;
use crate::config::{Auto, Chosen, Config, Dhcpv6, DynamicPrefix, Observe, RouterAdvertisement};
use crate::init::Interface;
use crate::log::record;
use crate::source::dhcpv6::others::Verdict;
use crate::source::dhcpv6::{Duid, DuidSetting};
use crate::source::ra::packet::Advertisement;
use crate::source::{SourceId, SourceKind, SourceReport, dhcpv6};
use crate::time::Instant;

use super::clients;
use super::coordinator::Coordinator;
use pace::News;
use round::Made;

pub mod heard;
pub mod kept;
pub mod pace;
pub mod round;

/// What follows from what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// This is the source.
    Take(Chosen),
    /// Whether a DHCPv6 server answers on this interface decides.
    Ask(String),
    /// Nothing can be chosen yet: why, a sentence without a full stop.
    Wait(String),
}

/// Whether a DHCPv6 server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It would delegate something.
    Server,
    /// A client of our own asks there already, and nobody else can beside it.
    Own,
    /// None did in time.
    Silence,
    /// None was asked: why, a sentence that may lack its full stop.
    NotAsked(String),
}

/// Chooses. `is_told`: somebody reports what another client is delegated. `answer`: what came of [`Step::Ask`].
pub fn choose(auto: &Auto, seen: &[Interface], is_told: bool, answer: Option<&Answer>) -> Step {
    let (uplink, why_there) = match uplink(auto, seen) {
        Ok(found) => found,
        Err(why) => return Step::Wait(why),
    };
    let name = &uplink.name;
    let take =
        |kind, why: &str| Step::Take(Chosen { kind, interface: name.clone(), reason: format!("{why}{why_there}.") });
    if let Verdict::Taken(client) = &uplink.client {
        return take(SourceKind::Observed, &client.who);
    }
    if is_told {
        let why =
            format!("`dyn-prefix report` tells what another DHCPv6 client is delegated, for which {name} is observed");
        return take(SourceKind::Observed, &why);
    }
    if let Verdict::Undecided(who) = &uplink.client {
        return Step::Wait(format!("whether there will be another DHCPv6 client on {name} is still open: {who}"));
    }
    let routers = uplink.routers.as_deref().unwrap_or_default();
    if let Some(router) = routers.iter().find(|router| speaks_of_dhcpv6(router)) {
        let address = router.router;
        return take(SourceKind::Dhcpv6Pd, &format!("the router {address} on {name} says that there is DHCPv6"));
    }
    match answer {
        _ if !uplink.can_send => Step::Wait(format!("{name} is down or has no link-local address yet")),
        None => Step::Ask(name.clone()),
        Some(Answer::Server) => {
            take(SourceKind::Dhcpv6Pd, &format!("a DHCPv6 server on {name} has a prefix to delegate"))
        }
        Some(Answer::Own) => take(SourceKind::Dhcpv6Pd, &format!("dyn-prefix has a DHCPv6 client on {name} already")),
        Some(Answer::NotAsked(why)) => {
            let why = why.trim_end_matches('.');
            Step::Wait(format!("whether a DHCPv6 server on {name} has a prefix could not be asked: {why}"))
        }
        Some(Answer::Silence) => take(
            SourceKind::RouterAdvertisement,
            &format!(
                "there is no other DHCPv6 client on {name}, no router there speaks of DHCPv6, and no server has a prefix to \
                 delegate"
            ),
        ),
    }
}

const SAY_WHERE: &str = "write acquisition.auto = { interface = \"NAME\" }";

/// The interface that the prefix arrives on, and why it is taken for that where it is not written.
fn uplink<'a>(auto: &Auto, seen: &'a [Interface]) -> Result<(&'a Interface, String), String> {
    if let Some(name) = &auto.interface {
        let found = seen.iter().find(|interface| interface.name == *name);
        return found.map(|found| (found, String::new())).ok_or_else(|| format!("there is no interface {name} yet"));
    }
    if let Some(found) = seen.iter().find(|interface| interface.default_route) {
        return Ok((found, format!("; {} has the IPv6 default route", found.name)));
    }
    let heard = |interface: &&Interface| interface.routers.as_ref().is_ok_and(|routers| !routers.is_empty());
    let with_router: Vec<&Interface> = seen.iter().filter(heard).collect();
    match with_router.as_slice() {
        [only] => Ok((*only, format!("; {} is the only interface where a router is heard", only.name))),
        [] => Err(format!("there is no IPv6 default route, and no router is heard; {SAY_WHERE}")),
        several => {
            let names: Vec<&str> = several.iter().map(|interface| interface.name.as_str()).collect();
            Err(format!("there is no IPv6 default route, and routers are heard on {}; {SAY_WHERE}", names.join(", ")))
        }
    }
}

/// Flags M and O (RFC 4861 §4.2), and P (RFC 9762).
fn speaks_of_dhcpv6(router: &Advertisement) -> bool {
    router.managed || router.other || router.prefixes.iter().any(|prefix| prefix.pd_preferred)
}

/// How the note in `status` begins that says why a source was chosen; the reason follows.
pub fn note_on(name: &str) -> String {
    format!("Chosen for {name} (acquisition.auto): ")
}

/// A DynamicPrefix that takes its prefix from what was chosen.
pub fn with_choice(prefix: &DynamicPrefix, chosen: Option<Chosen>) -> DynamicPrefix {
    let mut prefix = prefix.clone();
    let acquisition = &mut prefix.acquisition;
    let Some(auto) = &mut acquisition.auto else { return prefix };
    let of = |kind| chosen.as_ref().filter(|chosen| chosen.kind == kind);
    acquisition.dhcpv6 = of(SourceKind::Dhcpv6Pd).map(|chosen| Dhcpv6::on(&chosen.interface));
    acquisition.observe = of(SourceKind::Observed).map(|chosen| Observe { interface: chosen.interface.clone() });
    acquisition.router_advertisement = chosen.as_ref().map(|chosen| RouterAdvertisement {
        interface: chosen.interface.clone(),
        delegated_prefix_length: None,
        routers: Vec::new(),
    });
    auto.chosen = chosen;
    prefix
}

/// A configuration that was read, with what was chosen so far: a choice is not made again because something else in the
/// file has changed.
pub fn with_former(new: Config, former: &Config) -> Config {
    let chosen = |prefix: &DynamicPrefix| {
        let auto = prefix.acquisition.auto.as_ref()?;
        let before = former.dynamic_prefixes.iter().find(|before| before.name == prefix.name)?;
        let chosen = before.acquisition.auto.as_ref()?.chosen.clone()?;
        auto.interface.as_ref().is_none_or(|interface| *interface == chosen.interface).then_some(chosen)
    };
    let dynamic_prefixes = new.dynamic_prefixes.iter().map(|prefix| with_choice(prefix, chosen(prefix))).collect();
    Config { dynamic_prefixes, ..new }
}

/// Whether a report is a reason to choose again: another client has come, or a router begins to speak of DHCPv6.
/// `former`: the report before it of the same source; what that said has had its effect.
pub fn calls_for_another(config: &Config, former: Option<&SourceReport>, report: &SourceReport) -> bool {
    let on_it = |chosen: &Chosen| report.id.interface.as_ref() == Some(&chosen.interface);
    let tells_of_client = |report: &SourceReport| report.other_client.is_some();
    let tells_of_dhcpv6 = |report: &SourceReport| {
        report.advertised.as_ref().is_some_and(|advertised| advertised.dhcpv6 || advertised.delegation_preferred)
    };
    let begins = |tells: &dyn Fn(&SourceReport) -> bool| tells(report) && !former.is_some_and(tells);
    let says = |chosen: &Chosen| match chosen.kind {
        SourceKind::Dhcpv6Pd => begins(&tells_of_client),
        SourceKind::RouterAdvertisement => begins(&tells_of_client) || begins(&tells_of_dhcpv6),
        SourceKind::Observed | SourceKind::Interface | SourceKind::Http | SourceKind::Static => false,
    };
    autos(config).filter_map(|(_, auto)| auto.chosen.as_ref()).any(|chosen| on_it(chosen) && says(chosen))
}

/// Every DynamicPrefix whose source is chosen.
fn autos(config: &Config) -> impl Iterator<Item = (&DynamicPrefix, &Auto)> {
    config.dynamic_prefixes.iter().filter_map(|prefix| Some((prefix, prefix.acquisition.auto.as_ref()?)))
}

/// What a client of ours would ask DHCPv6 servers on an interface for this DynamicPrefix.
pub fn probe(prefix: &DynamicPrefix, interface: &str, duid: &Duid) -> Option<dhcpv6::Settings> {
    let chosen = Chosen { kind: SourceKind::Dhcpv6Pd, interface: interface.to_owned(), reason: String::new() };
    let mut settings = dhcpv6::Settings::for_interface(interface, &[with_choice(prefix, Some(chosen))])?;
    settings.duid = DuidSetting::Fixed(duid.clone());
    settings.delegations.iter_mut().for_each(|delegation| delegation.iaid = Some(clients::iaid(&prefix.name)));
    Some(settings)
}

impl Coordinator {
    /// The choices that are to be made: those that were never made, and those that give no prefix now. If there is
    /// news, those that were made because nobody answered, too.
    pub fn open_choices(&self, news: News, now: Instant) -> Vec<DynamicPrefix> {
        let open = autos(&self.config).filter(|(prefix, auto)| self.is_open(&prefix.name, auto, news, now));
        open.map(|(prefix, _)| prefix.clone()).collect()
    }

    /// What of a look still concerns anybody, for which `news` was the reason. It takes a while: meanwhile what was
    /// chosen before may work again, and the file may name another interface.
    pub fn still_open(&self, made: Made, news: News, now: Instant) -> Made {
        let is_meant = |auto: &Auto, outcome: &Result<Chosen, String>| match (&auto.interface, outcome) {
            (Some(named), Ok(chosen)) => *named == chosen.interface,
            (None, _) | (_, Err(_)) => true,
        };
        let concerns = |(name, outcome): &(String, Result<Chosen, String>)| {
            autos(&self.config).any(|(prefix, auto)| {
                prefix.name == *name && is_meant(auto, outcome) && self.is_open(name, auto, news, now)
            })
        };
        made.into_iter().filter(concerns).collect()
    }

    fn is_open(&self, name: &str, auto: &Auto, news: News, now: Instant) -> bool {
        let is_news = match news {
            News::Nothing => false,
            News::Links => auto.interface.is_none(),
            News::Called => true,
        };
        is_news && is_by_silence(auto) || !self.works(name, auto, now)
    }

    /// Whether a choice is looked for although nothing happens: there is none, or nobody answered and there is no prefix
    /// without. After a power cut the provider is back later than this host.
    pub fn lacks_choice(&self, now: Instant) -> bool {
        autos(&self.config)
            .any(|(prefix, auto)| auto.chosen.is_none() || is_by_silence(auto) && !self.works(&prefix.name, auto, now))
    }

    /// The interfaces on which a prefix may arrive for a choice; `None`: any.
    pub fn interfaces_to_choose(&self) -> BTreeSet<Option<String>> {
        autos(&self.config).map(|(_, auto)| auto.interface.clone()).collect()
    }

    /// Whether there is anything to choose.
    pub fn chooses(&self) -> bool {
        autos(&self.config).next().is_some()
    }

    /// Whether what was chosen gives the prefix in use.
    fn works(&self, name: &str, auto: &Auto, now: Instant) -> bool {
        let Some(chosen) = &auto.chosen else { return false };
        let id = SourceId::on(chosen.kind, &chosen.interface);
        let snapshot = self.arbiters.get(name).and_then(Arbiter::snapshot);
        let current = snapshot.and_then(|snapshot| snapshot.current.as_ref());
        let is_heard = |prefix| {
            let report = self.reports.get(&id);
            report.is_some_and(|report| {
                report.offers.iter().any(|offer| offer.prefix == prefix && !offer.valid_until.is_over(now))
            })
        };
        current.is_some_and(|current| current.source == id && current.lost.is_none() && is_heard(current.prefix))
    }

    /// Takes choices into use: by name, with why none was made. Whether anything changed.
    pub fn take_choices(&mut self, made: &[(String, Result<Chosen, String>)], now: Instant) -> bool {
        let mut config = Config::clone(&self.config);
        for prefix in &mut config.dynamic_prefixes {
            let Some((name, outcome)) = made.iter().find(|(name, _)| *name == prefix.name) else { continue };
            let Some(auto) = &mut prefix.acquisition.auto else { continue };
            let (before, waits) = (auto.chosen.clone(), auto.waits.clone());
            match outcome {
                Ok(chosen) => {
                    auto.waits = None;
                    *prefix = with_choice(prefix, Some(keep_kind(before.as_ref(), chosen)));
                }
                // What was chosen before stays until there is something better.
                Err(why) => auto.waits = before.is_none().then(|| why.clone()),
            }
            let auto = prefix.acquisition.auto.as_ref();
            let (chosen, why) = (auto.and_then(|auto| auto.chosen.as_ref()), auto.and_then(|auto| auto.waits.as_ref()));
            let is_other = |chosen: &&Chosen| before.as_ref().map(Chosen::id) != Some(chosen.id());
            if let Some(chosen) = chosen.filter(is_other) {
                self.journal.tell(record::chosen(name, &chosen.id(), &chosen.reason));
            } else if let Some(why) = why.filter(|why| Some(*why) != waits.as_ref()) {
                self.journal.tell(record::not_chosen(name, why));
            }
        }
        let changed = config != *self.config;
        if changed {
            self.apply(Arc::new(config), BTreeMap::new(), now);
        }
        changed
    }

    /// What `status` adds to a source that was chosen.
    pub(super) fn notes_on_choice(&self, source: &SourceId) -> impl Iterator<Item = String> {
        autos(&self.config).filter_map(move |(prefix, auto)| {
            let chosen = auto.chosen.as_ref().filter(|chosen| chosen.id() == *source)?;
            Some(note_on(&prefix.name) + &chosen.reason)
        })
    }
}

/// Router Advertisements are chosen when there is no sign of DHCPv6, which proves nothing.
fn is_by_silence(auto: &Auto) -> bool {
    auto.chosen.as_ref().is_some_and(|chosen| chosen.kind == SourceKind::RouterAdvertisement)
}

/// The same choice for another reason is the same choice. Where our own client asks already nobody else can ask, so that
/// silence is no reason to end it.
fn keep_kind(before: Option<&Chosen>, new: &Chosen) -> Chosen {
    let before = before.filter(|before| before.interface == new.interface);
    let kept = before.filter(|before| {
        before.kind == new.kind || (before.kind == SourceKind::Dhcpv6Pd && new.kind == SourceKind::RouterAdvertisement)
    });
    kept.unwrap_or(new).clone()
}

#[cfg(test)]
mod tests;
