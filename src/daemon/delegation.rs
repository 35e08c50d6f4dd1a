//! What the coordinator has to do with DHCPv6 clients beyond their offers. Pure.

use std::collections::BTreeMap;

use ipnet::Ipv6Net;

use crate::cluster::entry;
use crate::config::DynamicPrefix;
use crate::source::{Advertised, Cut, Offer, SourceId, SourceKind, SourceReport, SourceState, dhcpv6};
use crate::time::Instant;

use super::clients;
use super::condition::Verdict;
use super::coordinator::Coordinator;

const CONSISTENT: &str = "SourcesConsistent";

/// What `dyn-prefix dhcp-release` gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The DynamicPrefix.
    pub name: String,
    /// The interface of its client.
    pub interface: String,
    /// The prefixes that left the targets.
    pub prefixes: Vec<Ipv6Net>,
}

impl Coordinator {
    /// What every DHCPv6 client is to do, by interface.
    pub fn client_settings(&self) -> BTreeMap<String, dhcpv6::Settings> {
        let prefixes = &self.config.dynamic_prefixes;
        let settings = |interface: &str| Some((interface.to_owned(), self.clients.settings(interface, prefixes)?));
        clients::interfaces(prefixes).filter_map(settings).collect()
    }

    /// What a DHCPv6 client with these settings starts from.
    pub fn client_memory(&self, settings: &dhcpv6::Settings) -> dhcpv6::Memory {
        self.clients.memory(settings)
    }

    /// Why the client of this interface must not take its port in this boot, a sentence.
    pub fn other_client(&self, interface: &str) -> Option<String> {
        self.clients.other(interface).cloned()
    }

    /// What the routers on this interface say; `None`: none was heard.
    pub fn advertised(&self, interface: &str) -> Option<&Advertised> {
        self.clients.advertised(interface)
    }

    /// What `status` should add to what a source says: routers that cannot be heard beside a client are no source, and
    /// nobody else would tell.
    pub(super) fn note_on(&self, source: &SourceId) -> Option<String> {
        let interface = source.interface.as_ref().filter(|_| source.kind == SourceKind::Dhcpv6Pd)?;
        let routers = SourceId::on(SourceKind::RouterAdvertisement, interface);
        let why = self.clients.deaf(interface).filter(|_| !self.reports.contains_key(&routers))?;
        Some(format!("What routers say on {interface} cannot be heard: {why}"))
    }

    /// After a suspend every client asks again for everything that it is configured to.
    pub(super) fn ask_clients_again(&mut self) {
        let config = &self.config;
        for report in self.reports.values_mut().filter(|report| report.id.kind == SourceKind::Dhcpv6Pd) {
            let asks = config.dynamic_prefixes.iter().filter(|prefix| prefix.sources().contains(&report.id));
            report.pending = asks.map(|prefix| prefix.name.clone()).collect();
        }
    }

    /// Sets the condition SourcesConsistent of every DynamicPrefix that holds a delegation on an interface where
    /// routers are heard.
    pub(super) fn judge_consistency(&mut self, now: Instant) {
        for prefix in &self.config.dynamic_prefixes {
            let interface = prefix.acquisition.dhcpv6.as_ref().map(|dhcpv6| dhcpv6.interface.as_str());
            let heard = interface.filter(|interface| self.clients.advertised(interface).is_some());
            let report = heard.and_then(|interface| self.reports.get(&client_on(interface)));
            let Some(report) = report.filter(|report| holds(report, &prefix.name, now)) else {
                self.conditions.remove(&prefix.name, CONSISTENT);
                continue;
            };
            let verdict = match &report.doubt {
                Some(doubt) => Verdict::no("RouterAdvertisementDiffers", doubt.clone()),
                None => Verdict::yes(
                    "Consistent",
                    "Nothing in the Router Advertisements casts doubt on the delegation.".to_owned(),
                ),
            };
            self.conditions.set(&prefix.name, CONSISTENT, verdict, now);
        }
    }

    /// The DynamicPrefix with this name; else a sentence that says which there are.
    pub(super) fn named(&self, name: &str) -> Result<&DynamicPrefix, String> {
        let prefixes = &self.config.dynamic_prefixes;
        prefixes.iter().find(|prefix| prefix.name == name).ok_or_else(|| {
            let names: Vec<&str> = prefixes.iter().map(|prefix| prefix.name.as_str()).collect();
            format!("there is no dynamicPrefix \"{name}\"; there are: {}", names.join(", "))
        })
    }

    /// Takes the delegation of a DynamicPrefix out of the targets, so that it can be given back.
    ///
    /// # Errors
    /// When there is none; a sentence that says what to do.
    pub fn release(&mut self, name: &str, now: Instant) -> Result<Release, String> {
        let prefix = self.named(name)?;
        let Some(dhcpv6) = &prefix.acquisition.dhcpv6 else {
            return Err(format!("{name} has no acquisition.dhcpv6, so nothing is delegated to it"));
        };
        let interface = dhcpv6.interface.clone();
        let report = self.reports.get(&client_on(&interface));
        let state = report.map_or("not started", |report| report.state.as_str());
        let Some(report) = report.filter(|report| holds(report, name, now)) else {
            return Err(format!(
                "{name} holds no delegation on {interface}, where the client is {state}; `dyn-prefix status` says why"
            ));
        };
        if cannot_send(&report.state) {
            return Err(format!(
                "the delegation of {name} cannot be given back now: nothing can be sent on {interface}, where the client \
                 is {state}; nothing was changed"
            ));
        }
        let prefixes = self.arbiters.get_mut(name).map(|arbiter| arbiter.release(now)).unwrap_or_default();
        self.settle(now);
        Ok(Release { name: name.to_owned(), interface, prefixes })
    }

    /// The objects that still hold entries of ours of what is being released, as a person would name them.
    pub fn still_holding(&self, release: &Release) -> Vec<String> {
        let inside = |text: &String| {
            let addresses = entry::read_recorded(text).map(|block| block.interval());
            let of = |prefix: &Ipv6Net| {
                addresses.is_some_and(|it| prefix.contains(&it.first()) && prefix.contains(&it.last()))
            };
            release.prefixes.iter().any(of)
        };
        let configured = self.config.clusters.iter().filter_map(|cluster| {
            self.managed_in(&cluster.name).map(|objects| (cluster.name.as_str(), objects.values()))
        });
        let holding = configured.flat_map(|(cluster, objects)| {
            objects
                .filter(|managed| managed.contributions.values().flatten().any(inside))
                .map(move |managed| format!("{} in {cluster}", managed.object))
        });
        holding.collect()
    }

    /// Whether the client has given back what it held for a DynamicPrefix, or has lost it.
    pub fn is_released(&self, release: &Release, now: Instant) -> bool {
        let report = self.reports.get(&client_on(&release.interface));
        report.is_none_or(|report| {
            report.state != SourceState::Releasing
                && !report.pending.contains(&release.name)
                && !holds(report, &release.name, now)
        })
    }
}

/// The DHCPv6 client of an interface.
fn client_on(interface: &str) -> SourceId {
    SourceId::on(SourceKind::Dhcpv6Pd, interface)
}

/// Whether a client has no way to its server.
const fn cannot_send(state: &SourceState) -> bool {
    matches!(
        state,
        SourceState::InterfaceAbsent | SourceState::LinkDown | SourceState::NoLinkLocal | SourceState::Failed(_)
    )
}

/// Whether a client holds a prefix for the DynamicPrefix `name` whose lease is not over.
fn holds(report: &SourceReport, name: &str, now: Instant) -> bool {
    let recipient = |offer: &&Offer| offer.recipient.as_deref() == Some(name);
    let ended = Some(Cut::Withdrawn);
    report.offers.iter().filter(recipient).any(|offer| offer.cut != ended && !offer.valid_until.is_over(now))
}
