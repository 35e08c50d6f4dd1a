//! Reconfigures (RFC 9915 §18.2.11), authenticated by RKAP (§20.4).

use super::Client;
use super::state::{Occasion, State};
use crate::source::dhcpv6::ReconfigureKey;
use crate::source::dhcpv6::wire::{self, ClientMessage, Duid, Incoming, Rkap};
use crate::time::Instant;

impl Client {
    /// A Reconfigure for this client came in.
    pub(super) fn handle_reconfigure(&mut self, message: &Incoming, server: &Duid, bytes: &[u8], now: Instant) {
        if let Err(reason) = self.authenticate(message, server, bytes) {
            return self.drop_for("reconfigure", reason);
        }
        let replay = message.authentication.as_ref().map(|authentication| authentication.replay);
        if let Some(key) = &mut self.key {
            key.replay = replay;
        }
        match message.reconfigure {
            Some(ClientMessage::Renew) => self.renew("the server wants it", now),
            Some(ClientMessage::Rebind) => self.rebind(Occasion::Reconfigure, "the server wants it", now),
            Some(ClientMessage::InformationRequest) => self.inform("the server wants it", now),
            Some(ClientMessage::Solicit | ClientMessage::Request | ClientMessage::Confirm | ClientMessage::Release)
            | None => self.drop_for("reconfigure", "it is a Reconfigure that asks for nothing"),
        }
    }

    fn authenticate(&self, message: &Incoming, server: &Duid, bytes: &[u8]) -> Result<(), &'static str> {
        if !self.settings.reconfigure {
            return Err("it is a Reconfigure, which the configuration does not allow");
        }
        if self.server.as_ref() != Some(server) {
            return Err("it is a Reconfigure of another server than that of the lease");
        }
        let Some(key) = &self.key else {
            return Err("it is a Reconfigure, and the server has given no key");
        };
        let Some(authentication) = &message.authentication else {
            return Err("it is a Reconfigure without authentication");
        };
        if !matches!(authentication.rkap, Some(Rkap::Digest(_))) || !wire::verify(bytes, &key.key) {
            return Err("it is a Reconfigure with a wrong digest");
        }
        if key.replay.is_some_and(|last| authentication.replay <= last) {
            return Err("it is a Reconfigure that was there before");
        }
        if message.reconfigure.is_none() {
            return Err("it is a Reconfigure that asks for nothing");
        }
        // One at a time, whatever it asks for (RFC 9915 §18.2.11).
        if !matches!(self.state, State::Bound { .. }) {
            return Err("it is a Reconfigure, and the client is asking already");
        }
        Ok(())
    }

    /// Takes the key from a Reply of the server of the leases: the first one it gives (RFC 9915 §20.4.2).
    pub(super) fn take_key(&mut self, message: &Incoming, accepts_reconfigure: bool) {
        if !self.settings.reconfigure || !accepts_reconfigure || self.key.is_some() {
            return;
        }
        let rkap = message.authentication.as_ref().and_then(|authentication| authentication.rkap);
        if let Some(Rkap::Key(key)) = rkap {
            self.key = Some(ReconfigureKey { key, replay: None });
        }
    }
}
