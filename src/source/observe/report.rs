//! What others learn of it. Pure.

use std::sync::Arc;

use super::observer::{Observer, Watched};
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::dhcpv6::{Lease, Memory};
use crate::source::{SourceId, SourceKind, SourceReport, SourceState};

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
        let waits = self.is_held() || self.is_patient();
        SourceReport {
            offers: self.offers(),
            next_wake: self.poll_timeout(),
            pending: if waits { self.settings.names.clone() } else { Default::default() },
            client: self.memory().map(Arc::new),
            refusal: self.refused().map(|answer| {
                format!("The last answer of a DHCPv6 server to the client on {} was {answer}", self.settings.interface)
            }),
            notes: self.notes(),
            ..SourceReport::new(id, self.state())
        }
    }

    fn state(&self) -> SourceState {
        if let Some(failure) = self.failure.as_ref().filter(|_| self.link.is_some()) {
            return SourceState::Failed(failure.clone());
        }
        let Some(link) = &self.link else { return SourceState::InterfaceAbsent };
        if !link.up {
            return SourceState::LinkDown;
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
        let name = self.settings.names.iter().next()?;
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
        if self.is_held() && self.memory().is_none() {
            notes.push(format!(
                "How long the prefix lives is known once the DHCPv6 client on {interface} renews it: no message of it was seen yet"
            ));
        }
        notes
    }
}
