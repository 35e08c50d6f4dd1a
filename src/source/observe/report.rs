//! What others learn of it. Pure.

use std::sync::Arc;

use super::observer::{Observer, Watched};
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::dhcpv6::{Lease, Memory};
use crate::source::{SourceId, SourceKind, SourceReport, SourceState, hindrance};
use crate::time::Deadline;

/// How many prefixes of the link itself are named.
const MOST_SHOWN: usize = 4;

impl Observer {
    /// The report, if it differs from the one that this gave last.
    pub fn poll_report(&mut self) -> Option<SourceReport> {
        if !self.has_news() {
            return None;
        }
        self.reported = Some(self.report());
        self.reported.clone()
    }

    /// Whether [`Observer::poll_report`] has a report.
    pub fn has_news(&self) -> bool {
        self.reported.as_ref() != Some(&self.report())
    }

    /// What is known now.
    pub fn report(&self) -> SourceReport {
        let id = SourceId::on(SourceKind::Observed, &self.settings.interface);
        SourceReport {
            offers: self.offers(),
            next_wake: self.poll_timeout(),
            pending: self.pending(),
            client: self.memory().map(Arc::new),
            refusal: self.refused().map(|answer| {
                format!("The last answer of a DHCPv6 server to the client on {} was {answer}", self.settings.interface)
            }),
            notes: self.notes(),
            ..SourceReport::new(id, self.state())
        }
    }

    fn state(&self) -> SourceState {
        if let Some(hindrance) = hindrance(self.link.as_ref(), self.failure.as_ref()) {
            return hindrance;
        }
        let asks = self.exchanges.latest().map(|exchange| exchange.kind);
        match asks {
            Some(ClientMessage::Renew) if self.is_held() => SourceState::Renewing,
            Some(ClientMessage::Rebind) if self.is_held() => SourceState::Rebinding,
            Some(ClientMessage::Release) if self.is_held() => SourceState::Releasing,
            _ if self.is_held() => SourceState::Bound,
            Some(ClientMessage::Request) if self.is_patient() => SourceState::Requesting,
            _ if self.is_patient() => SourceState::Soliciting,
            _ => SourceState::Silent,
        }
    }

    /// What the client is and holds, as far as the packets tell; for `status`.
    fn memory(&self) -> Option<Memory> {
        let name = self.settings.names.keys().next()?;
        let lease = |watched: &Watched| Lease { dynamic_prefix: name.clone(), ..watched.ia.lease() };
        let held: Vec<&Watched> = self.watched.iter().filter(|watched| watched.ia.is_held()).collect();
        let client = held.last()?.client.clone();
        let leases = held.into_iter().map(lease).collect();
        Some(Memory { server: self.server.clone(), leases, ..Memory::new(client) })
    }

    fn notes(&self) -> Vec<String> {
        let interface = &self.settings.interface;
        let mut notes = Vec::new();
        notes.extend(
            self.refused()
                .map(|answer| format!("The last answer of a DHCPv6 server to the client on {interface} was {answer}")),
        );
        if self.without_prefixes && !self.is_held() {
            notes.push(format!(
                "The DHCPv6 client on {interface} asks for no prefix (IA_PD): switch prefix delegation on in its configuration"
            ));
        }
        notes.extend(self.own_prefixes().filter(|_| !self.is_held()));
        if self.is_held() && self.memory().is_none() {
            let mut usable = self.offers().into_iter().filter(|offer| offer.cut.is_none()).peekable();
            let is_dated = usable.peek().is_some() && usable.all(|offer| offer.valid_until != Deadline::Never);
            notes.push(if self.evidence.is_from_file() && self.evidence.is_described() {
                format!(
                    "The prefix is what systemd-networkd says that its DHCPv6 client on {interface} holds: no message of it \
                     was seen yet"
                )
            } else if self.evidence.is_from_file() {
                format!(
                    "The prefix is what the DHCPv6 client on {interface} has in its lease file: no message of it was seen yet"
                )
            } else if is_dated {
                format!(
                    "What the DHCPv6 client on {interface} was delegated is known by what this host shows and by reports: no \
                     message of it was seen yet"
                )
            } else {
                format!(
                    "How long the prefix lives is known once the DHCPv6 client on {interface} renews it: no message of it was \
                     seen yet"
                )
            });
        }
        notes
    }

    /// What the link itself has, for whoever takes that for a delegation.
    fn own_prefixes(&self) -> Option<String> {
        let interface = &self.settings.interface;
        let own = self.on_link.on(self.link.as_ref()?.ifindex);
        let shown = own.iter().take(MOST_SHOWN).map(|own| {
            let use_of_it = match (own.on_link, own.autonomous) {
                (true, true) => "on-link, autonomous",
                (true, false) => "on-link",
                (false, true) => "autonomous",
                (false, false) => "neither on-link nor autonomous",
            };
            format!("{} ({use_of_it})", own.prefix)
        });
        let others = (own.len() > MOST_SHOWN).then(|| "others".to_owned());
        let shown = shown.chain(others).collect::<Vec<_>>().join(" and ");
        (!shown.is_empty()).then(|| {
            format!(
                "{interface} itself has {shown} by Router Advertisement, which is no delegation: to use that, set \
                 acquisition.routerAdvertisement; to get a delegation, switch prefix delegation on in the DHCPv6 client on \
                 {interface}"
            )
        })
    }
}
