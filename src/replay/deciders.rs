//! All deciders of a session that a source's driver would call.

use std::collections::BTreeMap;

use crate::record::Decider;
use crate::source::SourceReport;
use crate::source::dhcpv6::Client;
use crate::source::ra::table::Table;
use crate::time::Instant;

use super::What;
use super::listener::{Listener, Slot, listen};
use super::lookouts::{Lookouts, Services, shown};
use super::observed::Observers;

/// By interface; of services by URL.
#[derive(Default)]
pub(super) struct Deciders {
    pub(super) tables: BTreeMap<String, Slot<Table>>,
    pub(super) clients: BTreeMap<String, Slot<Client>>,
    pub(super) observers: Observers,
    pub(super) lookouts: Lookouts,
    pub(super) services: Services,
}

impl Deciders {
    /// When one of them has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        fn of<D: Listener>(slots: &BTreeMap<String, Slot<D>>) -> impl Iterator<Item = Instant> {
            slots.values().flat_map(|slot| slot.decider.poll_timeout().into_iter().chain(slot.news_since))
        }
        let of_links = of(&self.tables).chain(of(&self.clients)).chain(of(&self.observers));
        of_links.chain(of(&self.lookouts)).chain(of(&self.services)).min()
    }

    /// Has those that are due do what they have to, and gives what they report.
    pub(super) fn wake(&mut self, now: Instant) -> Vec<SourceReport> {
        fn wake<D: Listener>(slots: &mut BTreeMap<String, Slot<D>>, now: Instant) -> Vec<SourceReport> {
            let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let mut reports = Vec::new();
            for slot in slots.values_mut() {
                if is_due(slot.decider.poll_timeout()) {
                    slot.decider.handle_timeout(now);
                }
                if is_due(slot.news_since) {
                    reports.extend(slot.decider.poll_report());
                }
            }
            reports
        }
        let of_links = [wake(&mut self.tables, now), wake(&mut self.clients, now), wake(&mut self.observers, now)];
        let of_lookouts = [wake(&mut self.lookouts, now), wake(&mut self.services, now)];
        of_links.into_iter().chain(of_lookouts).flatten().collect()
    }

    /// Whether one of them has something to report.
    pub(super) fn has_news(&self) -> bool {
        fn any<D>(slots: &BTreeMap<String, Slot<D>>) -> bool {
            slots.values().any(|slot| slot.news_since.is_some())
        }
        let of_links = any(&self.tables) || any(&self.clients) || any(&self.observers);
        of_links || any(&self.lookouts) || any(&self.services)
    }

    /// Takes what they send and have to say.
    pub(super) fn listen(&mut self, now: Instant, said: &mut Vec<What>) {
        self.tables.iter_mut().for_each(|(interface, slot)| listen(interface, slot, now, said));
        self.clients.iter_mut().for_each(|(interface, slot)| listen(interface, slot, now, said));
        self.observers.iter_mut().for_each(|(interface, slot)| listen(interface, slot, now, said));
        self.lookouts.iter_mut().for_each(|(interface, slot)| listen(interface, slot, now, said));
        self.services.iter_mut().for_each(|(url, slot)| listen(&shown(url), slot, now, said));
    }

    /// Calls a decider on an interface, if it is there.
    pub(super) fn each(&mut self, interface: &str, to: Decider, call: impl Fn(&mut dyn Listener)) -> Option<()> {
        match to {
            Decider::RouterAdvertisement => self.tables.get_mut(interface).map(|slot| call(slot.hear())),
            Decider::Dhcpv6 => self.clients.get_mut(interface).map(|slot| call(slot.hear())),
            Decider::Observer => self.observers.get_mut(interface).map(|slot| call(slot.hear())),
            Decider::Addresses => self.lookouts.get_mut(interface).map(|slot| call(slot.hear())),
            Decider::Service => self.services.get_mut(interface).map(|slot| call(slot.hear())),
            Decider::Coordinator => None,
        }
    }

    /// What one of them reports.
    pub(super) fn poll_report(&mut self, interface: &str, to: Decider) -> Option<SourceReport> {
        match to {
            Decider::RouterAdvertisement => self.tables.get_mut(interface)?.decider.poll_report(),
            Decider::Dhcpv6 => self.clients.get_mut(interface)?.decider.poll_report(),
            Decider::Observer => self.observers.get_mut(interface)?.decider.poll_report(),
            Decider::Addresses => self.lookouts.get_mut(interface)?.decider.poll_report(),
            Decider::Service => self.services.get_mut(interface)?.decider.poll_report(),
            Decider::Coordinator => None,
        }
    }
}
