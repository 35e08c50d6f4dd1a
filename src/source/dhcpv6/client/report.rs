//! What others learn of the client.

use std::sync::Arc;

use super::Client;
use super::lease::Ia;
use super::state::State;
use crate::source::dhcpv6::Memory;
use crate::source::dhcpv6::wire::{Status, StatusCode};
use crate::source::link::LinkState;
use crate::source::{SourceId, SourceKind, SourceReport, SourceState, hindrance};

impl Client {
    /// What is known now.
    pub(super) fn report(&self) -> SourceReport {
        let id = SourceId::on(SourceKind::Dhcpv6Pd, &self.settings.interface);
        SourceReport {
            offers: self.ias.iter().flat_map(Ia::offers).collect(),
            next_wake: self.next_act().or_else(|| self.poll_timeout()),
            pending: self.ias.iter().filter(|ia| self.is_pending(ia)).map(name).collect(),
            client: Some(Arc::new(self.memory())),
            doubt: self.surroundings.doubt().cloned(),
            refusal: self.refusals().next(),
            notes: self.notes(),
            ..SourceReport::new(id, self.source_state())
        }
    }

    /// Whether sources of lower rank have to wait: what is held counts, and asking that is not in vain yet.
    fn is_pending(&self, ia: &Ia) -> bool {
        let can_run = self.failure.is_none() && self.link.is_some();
        ia.is_held() || can_run && !ia.released && !ia.patience.is_over()
    }

    fn memory(&self) -> Memory {
        Memory {
            duid: self.duid.clone(),
            server: self.server.clone(),
            sol_max_rt: self.sol_max_rt,
            inf_max_rt: self.inf_max_rt,
            reconfigure_key: self.key.clone(),
            leases: self.ias.iter().map(Ia::lease).collect(),
            address: self.address.clone(),
        }
    }

    fn source_state(&self) -> SourceState {
        if let Some(hindrance) = hindrance(self.link.as_ref(), self.failure.as_ref()) {
            return hindrance;
        }
        if !self.link.as_ref().is_some_and(LinkState::can_send) {
            return SourceState::NoLinkLocal;
        }
        let in_vain = self.ias.iter().filter(|ia| ia.is_missing()).all(|ia| ia.patience.is_over());
        let asking = if in_vain { SourceState::Silent } else { SourceState::Soliciting };
        match &self.state {
            State::Idle if self.ias.iter().all(|ia| ia.released) => SourceState::Released,
            State::Idle => SourceState::AwaitingRouter,
            State::Soliciting(_) if self.ias.iter().any(Ia::is_held) => SourceState::Soliciting,
            State::Soliciting(_) => asking,
            State::Requesting(_) => SourceState::Requesting,
            State::Bound { .. } | State::Informing(_) if self.ias.iter().any(Ia::is_held) => SourceState::Bound,
            State::Bound { .. } | State::Informing(_) | State::Confirming { .. } => asking,
            State::Renewing(_) => SourceState::Renewing,
            State::Rebinding(..) => SourceState::Rebinding,
            State::Releasing(..) => SourceState::Releasing,
        }
    }

    /// What servers answered instead of a prefix.
    fn refusals(&self) -> impl Iterator<Item = String> + '_ {
        let interface = &self.settings.interface;
        let of_all = self.refusal.iter();
        let of_all = of_all
            .map(move |status| format!("The last answer of a DHCPv6 server on {interface} was {}", describe(status)));
        let refused = self.ias.iter().filter(|ia| !ia.released);
        of_all.chain(refused.filter_map(|ia| {
            let status = ia.refusal.as_ref()?;
            Some(format!("For {} the DHCPv6 server answered {}", ia.delegation.dynamic_prefix, describe(status)))
        }))
    }

    fn notes(&self) -> Vec<String> {
        let interface = &self.settings.interface;
        let mut notes = Vec::new();
        notes.extend(self.too_long.map(|too_long| format!("Nothing is sent on {interface}: {too_long}")));
        notes.extend(self.refusals());
        notes.extend(self.ias.iter().filter_map(other_length));
        if matches!(self.state, State::Soliciting(_) | State::Requesting(_)) && self.ias.iter().any(Ia::is_held) {
            notes.push(
                "The delegation is asked for anew; until there is an answer the former one is used to its end"
                    .to_owned(),
            );
        }
        if self.servers.len() > 1 {
            let servers = self.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            notes.push(format!("{} DHCPv6 servers answer on {interface}: {servers}", self.servers.len()));
        }
        if self.counters.unusable > 0 {
            notes.push(format!("{} prefixes of servers were ignored: no range can be cut from them (longer than /64, not unicast, delegated twice, or preferred for longer than valid)", self.counters.unusable));
        }
        if let Some(lease) = &self.address {
            notes.push(format!("The server has leased {}; it is not put on {interface}", lease.address));
        }
        if let Some(seconds) = self.sol_max_rt {
            notes.push(format!("The server wants Solicits to be no more than {seconds} s apart (SOL_MAX_RT)"));
        }
        notes
    }
}

fn name(ia: &Ia) -> String {
    ia.delegation.dynamic_prefix.clone()
}

/// That a prefix of another length came than was asked for.
fn other_length(ia: &Ia) -> Option<String> {
    let wish = ia.delegation.requested_length?;
    let other = ia.active().next()?;
    let name = &ia.delegation.dynamic_prefix;
    ia.active()
        .all(|held| held.prefix.prefix_len() != wish)
        .then(|| format!("For {name} a /{wish} was asked for, and {} was delegated", other.prefix))
}

/// A status as a person can look it up, and what the server says about it.
pub(in crate::source) fn describe(status: &Status) -> String {
    let code = match status.code {
        StatusCode::Success => "Success".to_owned(),
        StatusCode::UnspecFail => "UnspecFail".to_owned(),
        StatusCode::NoAddrsAvail => "NoAddrsAvail".to_owned(),
        StatusCode::NoBinding => "NoBinding".to_owned(),
        StatusCode::NotOnLink => "NotOnLink".to_owned(),
        StatusCode::UseMulticast => "UseMulticast".to_owned(),
        StatusCode::NoPrefixAvail => "NoPrefixAvail".to_owned(),
        StatusCode::Other(code) => format!("status {code}"),
    };
    // A sentence of ours goes on behind the server's, or ends there.
    let text = status.text.trim_end_matches(['.', ' ']);
    if text.is_empty() { code } else { format!("{code}: {text}") }
}
