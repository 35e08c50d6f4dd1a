//! When to ask a service, and what its answers mean. Pure.
//!
//! An address answers for itself only until the next one is asked for, and no longer than that nobody contradicts it: no
//! lifetime is known, and an error changes nothing. Another address is asked for once more at once, for a service may be
//! wrong for a moment, or this host may have several ways out; the second answer in a row that agrees with the first one
//! replaces what was there.

use std::net::Ipv6Addr;
use std::time::Duration;

use ipnet::Ipv6Net;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::config::DynamicPrefix;
use crate::source::{Cut, Offer, SourceId, SourceReport, SourceState};
use crate::time::{Deadline, Instant};

/// The pause after the first failure; doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause, unless `intervalSeconds` is longer still.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// For how long a service may ask to be left alone.
const LONGEST_RESPECT: Duration = Duration::from_secs(60 * 60);
/// How soon another address is asked for again.
const CONFIRMATION: Duration = Duration::from_secs(2);
/// How often in a row it is, before it is left at `intervalSeconds`.
const CONFIRMATIONS: u32 = 3;
/// After how many failures in a row a source that has an address counts as failed.
const FORGIVEN: u32 = 3;
/// How long a former prefix stays in the reports, so that everyone learns of its end.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);
/// How many former prefixes are kept.
const MAX_FORMER: usize = 8;

/// What the asker has to know of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What to ask.
    pub url: String,
    /// How long after an answer it is asked again: the shortest that any DynamicPrefix wants.
    pub interval: Duration,
    /// Two addresses in one prefix of this length are the same to everyone.
    pub prefix_length: u8,
}

impl Settings {
    /// What `dynamic_prefixes` want of the service at `url`; `None`: nothing.
    pub fn for_url(url: &str, dynamic_prefixes: &[DynamicPrefix]) -> Option<Self> {
        let http = || dynamic_prefixes.iter().filter_map(|prefix| prefix.acquisition.http.as_ref());
        let wanted = || http().filter(|http| http.url == url);
        Some(Self {
            url: url.to_owned(),
            interval: wanted().map(|http| http.interval).min()?,
            prefix_length: wanted().map(|http| http.prefix_length).max()?,
        })
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Says why, and what to do where that can be known; follows "Asking … failed: ", without a full stop.
    pub why: String,
    /// For how long the service asks to be left alone (RFC 9110 §10.2.3).
    pub retry_after: Option<Duration>,
}

/// Asks one service.
#[derive(Debug)]
pub struct Asker {
    settings: Settings,
    random: ChaCha20Rng,
    /// When to ask next; `None`: an answer is awaited.
    ask_at: Option<Instant>,
    held: Option<Held>,
    doubt: Option<Doubt>,
    former: Vec<Offer>,
    /// How many failures there were in a row, and why the last one was.
    failed: Option<(u32, String)>,
    reported: Option<SourceReport>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    address: Ipv6Addr,
    since: Instant,
    /// It was answered in this run.
    is_answered: bool,
}

/// Another address was answered.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    address: Ipv6Addr,
    /// How many answers in a row have contradicted what is held.
    times: u32,
}

impl Asker {
    /// Asks at once. The same seed makes the same pauses.
    pub fn new(settings: Settings, seed: u64, now: Instant) -> Self {
        Self {
            settings,
            random: ChaCha20Rng::seed_from_u64(seed),
            ask_at: Some(now),
            held: None,
            doubt: None,
            former: Vec::new(),
            failed: None,
            reported: None,
        }
    }

    /// Takes what was in use in a former run: another answer has to be given twice in a row, as ever.
    pub fn seed(&mut self, prefix: Ipv6Net, since: Instant) {
        self.held = Some(Held { address: prefix.network(), since, is_answered: false });
    }

    /// Takes the configuration anew. Whoever reloads wants to see what failed tried again.
    pub fn reconfigure(&mut self, settings: Settings, now: Instant) {
        let is_shorter = settings.interval < self.settings.interval;
        self.settings = settings;
        if (self.failed.is_some() || is_shorter) && self.ask_at.is_some() {
            self.ask_at = Some(now);
        }
    }

    /// Whether to ask now; then an answer is awaited.
    pub fn poll_request(&mut self, now: Instant) -> bool {
        self.ask_at.take_if(|at| *at <= now).is_some()
    }

    /// There is an answer, or there is none.
    pub fn handle_answer(&mut self, answer: Result<Ipv6Addr, Failure>, now: Instant) {
        let pause = match answer {
            Ok(address) => self.take(address, now),
            Err(failure) => self.fail(failure),
        };
        self.ask_at = Some(now + pause);
    }

    /// Takes an address, and says how long to wait then.
    fn take(&mut self, address: Ipv6Addr, now: Instant) -> Duration {
        self.failed = None;
        let Some(held) = self.held else {
            self.held = Some(Held { address, since: now, is_answered: true });
            return self.settings.interval;
        };
        if self.prefix(held.address) == self.prefix(address) {
            self.held = Some(Held { address, is_answered: true, ..held });
            self.doubt = None;
            return self.settings.interval;
        }
        let before = self.doubt.take();
        if before.is_some_and(|doubt| self.prefix(doubt.address) == self.prefix(address)) {
            self.replace(held, address, now);
            return self.settings.interval;
        }
        let times = before.map_or(0, |doubt| doubt.times) + 1;
        self.doubt = Some(Doubt { address, times });
        if times < CONFIRMATIONS { CONFIRMATION } else { self.settings.interval }
    }

    fn replace(&mut self, held: Held, address: Ipv6Addr, now: Instant) {
        let mut former = self.offer(held);
        former.preferred_until = Deadline::At(now);
        former.cut = Some(Cut::Unlisted);
        let returned = self.prefix(address);
        self.former.retain(|other| other.prefix != returned && other.prefix != former.prefix);
        self.former.insert(0, former);
        self.former.truncate(MAX_FORMER);
        self.held = Some(Held { address, since: now, is_answered: true });
    }

    /// Takes a failure, and says how long to wait then.
    fn fail(&mut self, failure: Failure) -> Duration {
        // Two answers with a failure between them are not in a row.
        self.doubt = None;
        let times = self.failed.as_ref().map_or(0, |(times, _)| *times).saturating_add(1);
        self.failed = Some((times, failure.why));
        let longest = LONGEST_PAUSE.max(self.settings.interval);
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(times - 1)).min(longest);
        let respect = failure.retry_after.map(|wanted| wanted.min(LONGEST_RESPECT)).unwrap_or_default();
        self.around(pause).max(respect)
    }

    /// Up to a tenth more or less, so that the many who lost one service do not come back to it together.
    fn around(&mut self, pause: Duration) -> Duration {
        let unit = f64::from(self.random.next_u32()) / f64::from(u32::MAX);
        pause.mul_f64(0.2f64.mul_add(unit, 0.9))
    }

    /// Forgets what ended long ago. Harmless when called early.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.former.retain(|offer| forget_at(offer).is_none_or(|at| now < at));
    }

    /// When there is something to do, and what.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let reason = if self.doubt.is_some() { "confirm" } else { "ask" };
        let forget = self.former.iter().filter_map(forget_at).min().map(|at| (at, "forget"));
        [self.ask_at.map(|at| (at, reason)), forget].into_iter().flatten().min()
    }

    /// The report, if it differs from the one that this gave last.
    pub fn poll_report(&mut self) -> Option<SourceReport> {
        if !self.has_news() {
            return None;
        }
        self.reported = Some(self.report());
        self.reported.clone()
    }

    /// Whether [`Asker::poll_report`] has a report. While an answer is awaited there is none: that takes a moment.
    pub fn has_news(&self) -> bool {
        let is_first = self.reported.is_none();
        (is_first || self.ask_at.is_some()) && self.reported.as_ref() != Some(&self.report())
    }

    /// What is known now.
    pub fn report(&self) -> SourceReport {
        let id = SourceId::at(&self.settings.url);
        let held = self.held.map(|held| self.offer(held));
        SourceReport {
            offers: held.into_iter().chain(self.former.iter().cloned()).collect(),
            next_wake: self.poll_timeout(),
            notes: self.notes(),
            ..SourceReport::new(id, self.state())
        }
    }

    fn state(&self) -> SourceState {
        match (&self.failed, self.held) {
            (Some((times, why)), held) if held.is_none() || *times >= FORGIVEN => {
                SourceState::Failed(self.sentence(why))
            }
            (_, Some(held)) if held.is_answered => SourceState::Receiving,
            _ => SourceState::Asking,
        }
    }

    fn sentence(&self, why: &str) -> String {
        let id = SourceId::at(&self.settings.url);
        let url = id.shown_url().unwrap_or_default();
        let kept = if self.held.is_some() { "What it answered before stays in use; it" } else { "It" };
        format!("Asking {url} for the address of this host failed: {why}. {kept} is asked again, with growing pauses.")
    }

    fn notes(&self) -> Vec<String> {
        let failed = self.failed.as_ref().filter(|(times, _)| self.held.is_some() && *times < FORGIVEN);
        let failed = failed.map(|(_, why)| self.sentence(why));
        let doubt = self.doubt.zip(self.held).map(|(doubt, held)| {
            format!(
                "The service answered {} after {}, which have no /{} in common; that counts as soon as it is answered twice in a \
                 row.",
                doubt.address, held.address, self.settings.prefix_length
            )
        });
        failed.into_iter().chain(doubt).collect()
    }

    fn prefix(&self, address: Ipv6Addr) -> Ipv6Net {
        let net = Ipv6Net::new(address, self.settings.prefix_length).map(|net| net.trunc());
        net.unwrap_or_else(|_| Ipv6Net::from(address))
    }

    fn offer(&self, held: Held) -> Offer {
        Offer {
            prefix: self.prefix(held.address),
            recipient: None,
            router: None,
            preferred_until: Deadline::Never,
            valid_until: Deadline::Never,
            excluded: Vec::new(),
            first_seen: held.since,
            cut: None,
        }
    }
}

fn forget_at(former: &Offer) -> Option<Instant> {
    former.preferred_until.instant().map(|ended| ended + REMEMBERED)
}

#[cfg(test)]
mod tests;
