//! What is held: one [`Ia`] for each DynamicPrefix, with its prefixes, its timers and what is known of its past.

use std::time::Duration;

use ipnet::Ipv6Net;

use super::patience::Patience;
use crate::source::dhcpv6::wire::{IaPrefix, Status};
use crate::source::dhcpv6::{Delegation, Lease, LeasedPrefix};
use crate::source::{Cut, Offer};
use crate::time::{Deadline, Instant};

/// How long an ended prefix stays in the reports.
const REMEMBERED: Duration = Duration::from_secs(600);

/// A prefix that ended with its lifetime was asked for in vain only if the end was noticed about when it came:
/// otherwise the host slept.
const PROMPT: Duration = Duration::from_secs(30);

/// How many prefixes of one IA_PD are kept.
const MOST_PREFIXES: usize = 32;

/// The IA_PD of a DynamicPrefix.
#[derive(Debug)]
pub(in crate::source) struct Ia {
    pub(super) delegation: Delegation,
    pub(super) iaid: u32,
    received_at: Option<Instant>,
    t1: Deadline,
    t2: Deadline,
    held: Vec<Held>,
    /// The last prefix that ended.
    last: Option<LeasedPrefix>,
    pub(super) patience: Patience,
    /// The server does not know the lease (any longer): to be asked for anew, and used meanwhile.
    pub(in crate::source) unbound: bool,
    /// It was given back, and is not asked for.
    pub(super) released: bool,
    /// What is held is what a former run held.
    pub(super) restored: bool,
    /// Another length is wished for than when it was delegated.
    pub(super) resize: bool,
    /// What a server said when it refused it.
    pub(super) refusal: Option<Status>,
}

/// A delegated prefix, and for a while after its end.
#[derive(Clone, Debug)]
struct Held {
    leased: LeasedPrefix,
    cut: Option<Cut>,
    /// Of which life of the interface.
    session: u64,
    ended_at: Option<Instant>,
}

impl Ia {
    /// The IA for `delegation`, with what a former run knew of it.
    pub(in crate::source) fn new(delegation: Delegation, iaid: u32, lease: Option<Lease>, now: Instant) -> Self {
        let patience = if lease.as_ref().is_some_and(|lease| lease.received_at.is_some()) {
            Patience::after_restart()
        } else {
            Patience::new()
        };
        let mut ia = Self {
            delegation,
            iaid,
            received_at: None,
            t1: Deadline::Never,
            t2: Deadline::Never,
            held: Vec::new(),
            last: None,
            patience,
            unbound: false,
            released: false,
            restored: false,
            resize: false,
            refusal: None,
        };
        if let Some(lease) = lease {
            ia.restore(lease, now);
        }
        ia
    }

    /// Takes a prefix that is held already, as somebody else knows it; not one that has ended here, or is known.
    pub(in crate::source) fn adopt(&mut self, leased: LeasedPrefix, session: u64) {
        let is_known = self.held.iter().any(|held| held.leased.prefix == leased.prefix);
        if !is_known && self.held.len() < MOST_PREFIXES {
            self.held.push(Held { leased, cut: None, session, ended_at: None });
        }
    }

    fn restore(&mut self, lease: Lease, now: Instant) {
        (self.received_at, self.t1, self.t2) = (lease.received_at, lease.t1, lease.t2);
        (self.unbound, self.restored) = (lease.iaid != self.iaid, true);
        let held = |leased| Held { leased, cut: None, session: 0, ended_at: None };
        self.held = lease.prefixes.into_iter().take(MOST_PREFIXES).map(held).collect();
        self.expire(false, now);
        self.resize = self.is_short();
    }

    /// Whether all that is held is smaller than what is wished for.
    fn is_short(&self) -> bool {
        let Some(wish) = self.delegation.requested_length else { return false };
        self.is_held() && self.active().all(|held| wish < held.prefix.prefix_len())
    }

    /// The prefixes that are valid.
    pub(in crate::source) fn active(&self) -> impl Iterator<Item = &LeasedPrefix> {
        self.held.iter().filter(|held| held.ended_at.is_none()).map(|held| &held.leased)
    }

    /// Whether a prefix is valid.
    pub(in crate::source) fn is_held(&self) -> bool {
        self.active().next().is_some()
    }

    /// Whether the server is to be asked to extend it.
    pub(super) fn is_bound(&self) -> bool {
        self.is_held() && !self.unbound
    }

    /// Whether it is asked for and not held.
    pub(super) fn is_missing(&self) -> bool {
        !self.is_held() && !self.released
    }

    /// Whether all that is held came by this life of the interface.
    pub(super) fn is_of(&self, session: u64) -> bool {
        self.held.iter().all(|held| held.ended_at.is_some() || held.session == session)
    }

    /// Other wishes of the configuration.
    pub(super) fn reconfigure(&mut self, delegation: Delegation) {
        self.resize |= delegation.requested_length != self.delegation.requested_length;
        if let Some(iaid) = delegation.iaid.filter(|iaid| *iaid != self.iaid) {
            (self.iaid, self.unbound) = (iaid, true);
        }
        self.delegation = delegation;
    }

    /// T1 and T2, while there is something to extend.
    pub(super) fn timers(&self) -> Option<(Deadline, Deadline)> {
        self.is_bound().then_some((self.t1, self.t2))
    }

    /// When a prefix ends next.
    pub(in crate::source) fn expires_at(&self) -> Option<Instant> {
        self.active().filter_map(|prefix| prefix.valid_until.instant()).min()
    }

    /// When [`Self::forget`] has something to do.
    pub(in crate::source) fn forget_at(&self) -> Option<Instant> {
        self.held.iter().filter_map(|held| held.ended_at).min().map(|ended_at| ended_at + REMEMBERED)
    }

    /// Ends the prefixes whose valid lifetime is over; `asked`: although a server was asked. Whether there were any.
    pub(in crate::source) fn expire(&mut self, asked: bool, now: Instant) -> bool {
        let mut some = false;
        for held in &mut self.held {
            let end = held.leased.valid_until.instant().filter(|end| *end <= now && held.ended_at.is_none());
            let Some(end) = end else { continue };
            held.ended_at = Some(now);
            if asked && now.saturating_since(end) <= PROMPT {
                held.cut = Some(Cut::Withdrawn);
            }
            self.last = Some(held.leased.clone());
            some = true;
        }
        some
    }

    /// Forgets prefixes that ended long ago.
    pub(in crate::source) fn forget(&mut self, now: Instant) {
        self.held.retain(|held| held.ended_at.is_none_or(|ended_at| now < ended_at + REMEMBERED));
    }

    /// Ends a prefix now: the server said so, or does not know it and gave another. Whether it was held.
    pub(in crate::source) fn withdraw(&mut self, prefix: Ipv6Net, now: Instant) -> bool {
        let Some(held) = self.held.iter_mut().find(|held| held.leased.prefix == prefix && held.ended_at.is_none())
        else {
            return false;
        };
        held.withdraw(now);
        self.last = Some(held.leased.clone());
        true
    }

    /// Ends all of it. The prefixes.
    pub(super) fn withdraw_all(&mut self, now: Instant) -> Vec<Ipv6Net> {
        let prefixes: Vec<_> = self.active().map(|prefix| prefix.prefix).collect();
        for prefix in &prefixes {
            self.withdraw(*prefix, now);
        }
        prefixes
    }

    /// Takes a prefix that was delegated or extended. Whether it is new, or back after another one replaced it, and may
    /// be used for something new.
    pub(in crate::source) fn grant(&mut self, granted: &IaPrefix, session: u64, now: Instant) -> bool {
        let preferred_until = Deadline::after(now, granted.preferred);
        let valid_until = Deadline::after(now, granted.valid);
        let cut = (granted.preferred == 0).then_some(Cut::Deprecated);
        let before = self.held.iter().position(|held| held.leased.prefix == granted.prefix);
        let before = before.map(|position| self.held.swap_remove(position));
        let active = before.filter(|before| before.ended_at.is_none());
        let mut leased = LeasedPrefix {
            prefix: granted.prefix,
            preferred_until,
            valid_until,
            excluded: granted.excluded,
            first_seen: now,
        };
        let is_back = active.as_ref().is_none_or(|active| active.cut == Some(Cut::Unlisted));
        let is_new = is_back && granted.preferred > 0;
        if let Some(active) = active {
            leased.first_seen = active.leased.first_seen;
            if granted.preferred == 0 {
                leased.preferred_until = preferred_until.min(active.leased.preferred_until);
            }
        }
        self.make_room();
        if self.held.len() < MOST_PREFIXES {
            self.held.push(Held { leased, cut, session, ended_at: None });
        }
        self.held.sort_by_key(|held| (held.leased.first_seen, held.leased.prefix));
        is_new
    }

    /// What has ended goes before its time when there is no place for what is alive.
    fn make_room(&mut self) {
        let ended = self.held.iter().enumerate().filter_map(|(at, held)| Some((held.ended_at?, at)));
        if let Some((_, oldest)) = ended.min().filter(|_| self.held.len() >= MOST_PREFIXES) {
            self.held.remove(oldest);
        }
    }

    /// A new prefix came, and the server was silent about these: nothing new may use them, and those that came by a
    /// former life of the interface, or that the server does not know, are dead.
    pub(in crate::source) fn supersede(&mut self, mentioned: &[Ipv6Net], session: u64, now: Instant) {
        for held in self.held.iter_mut().filter(|held| held.ended_at.is_none()) {
            if mentioned.contains(&held.leased.prefix) {
                continue;
            }
            if self.unbound || held.session != session {
                held.withdraw(now);
                self.last = Some(held.leased.clone());
            } else if held.cut.is_none() {
                held.leased.preferred_until = held.leased.preferred_until.min(Deadline::At(now));
                held.cut = Some(Cut::Unlisted);
            }
        }
    }

    /// A server has delegated it (`is_new`) or extended it. One that gave less than wished for is asked once more, when it
    /// is asked to extend it (RFC 8168 §3.4).
    pub(super) fn bind(&mut self, (t1, t2): (Deadline, Deadline), is_new: bool, now: Instant) {
        (self.received_at, self.t1, self.t2) = (Some(now), t1, t2);
        (self.unbound, self.restored, self.refusal) = (false, false, None);
        self.resize = is_new && self.is_short();
    }

    /// What to ask for when nothing is bound: what is held or was held last, else what the file says (RFC 8168 §3).
    pub(super) fn hint(&self) -> Vec<Ipv6Net> {
        let mut hint = self.held_prefixes();
        if hint.is_empty() {
            hint.extend(self.last.as_ref().map(|last| last.prefix).or(self.delegation.hint));
        }
        if hint.is_empty() || self.resize {
            hint.extend(self.length_hint());
        }
        hint
    }

    /// What to ask for when other IAs are extended.
    pub(super) fn extension(&self) -> Vec<Ipv6Net> {
        let mut prefixes = self.held_prefixes();
        if self.resize || prefixes.is_empty() && self.refusal.is_none() {
            prefixes.extend(self.length_hint());
        }
        prefixes
    }

    fn held_prefixes(&self) -> Vec<Ipv6Net> {
        self.active().map(|prefix| prefix.prefix).collect()
    }

    /// `::/LENGTH`, unless what is held has this length.
    fn length_hint(&self) -> Option<Ipv6Net> {
        let length = self.delegation.requested_length.filter(|length| *length > 0)?;
        let fits = self.active().any(|prefix| prefix.prefix.prefix_len() == length);
        Ipv6Net::new(std::net::Ipv6Addr::UNSPECIFIED, length).ok().filter(|_| !fits)
    }

    pub(in crate::source) fn offers(&self) -> impl Iterator<Item = Offer> + '_ {
        self.held.iter().map(|held| Offer {
            prefix: held.leased.prefix,
            recipient: Some(self.delegation.dynamic_prefix.clone()),
            router: None,
            preferred_until: held.leased.preferred_until,
            valid_until: held.leased.valid_until,
            excluded: held.leased.excluded.into_iter().collect(),
            first_seen: held.leased.first_seen,
            cut: held.cut,
        })
    }

    /// What to remember over a restart.
    pub(in crate::source) fn lease(&self) -> Lease {
        let mut prefixes: Vec<_> = self.active().cloned().collect();
        if prefixes.is_empty() {
            prefixes.extend(self.last.clone());
        }
        Lease {
            dynamic_prefix: self.delegation.dynamic_prefix.clone(),
            iaid: self.iaid,
            received_at: self.received_at,
            t1: self.t1,
            t2: self.t2,
            prefixes,
        }
    }
}

impl Held {
    fn withdraw(&mut self, now: Instant) {
        self.leased.preferred_until = self.leased.preferred_until.min(Deadline::At(now));
        self.leased.valid_until = self.leased.valid_until.min(Deadline::At(now));
        self.cut = Some(Cut::Withdrawn);
        self.ended_at = Some(now);
    }
}

/// The IAID for a DynamicPrefix that never had one: the FNV-1a hash of its name, or the next one that is free. Stored
/// with the lease, so that nothing depends on it later.
pub(super) fn new_iaid(dynamic_prefix: &str, taken: &[u32]) -> u32 {
    let hash = |hash: u32, octet: u8| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193);
    let mut iaid = dynamic_prefix.bytes().fold(0x811c_9dc5, hash);
    while taken.contains(&iaid) {
        iaid = iaid.wrapping_add(1);
    }
    iaid
}
