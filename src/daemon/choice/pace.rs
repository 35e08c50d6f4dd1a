//! When it is looked round, and how often a server is asked of which nothing is heard. Pure.
//!
//! Not everything that would help is told to us, as a default route, or that another program has made up its mind; so
//! it is looked again after a while. Whatever goes on around, neither looks nor questions follow each other without a
//! pause: a look solicits routers, and a question is three Solicits to all servers of the link (RFC 9915 §14.1).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::time::Instant;

/// How long after the first look in vain the next one is, and the longest pause: each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause between questions that nobody answers: SOL_MAX_RT (RFC 9915 §7.6).
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);
/// How many looks are made at once when interfaces or routers change: one that comes up does that in a few steps.
const FREE: u32 = 3;

/// What has happened that a choice by silence is made again for, although it gives a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    #[default]
    Nothing,
    /// Interfaces have come, gone or changed: the prefix may arrive on another one, where none is written.
    Links,
    /// A reload, a router, or another client.
    Called,
}

/// The pace of the looks.
#[derive(Debug, Default)]
pub struct Pace {
    is_called: bool,
    news_at: Option<Instant>,
    links_at: Option<Instant>,
    again_at: Option<Instant>,
    /// How long was waited for that.
    pause: Option<Duration>,
    /// How many looks in a row there were because of interfaces and routers, and when the last one was.
    hurry: Option<(u32, Instant)>,
    /// By interface, the questions that nobody answered.
    silence: BTreeMap<String, Silence>,
}

/// The last question of some that nobody answered.
#[derive(Clone, Copy, Debug)]
struct Silence {
    since: Instant,
    pause: Duration,
}

impl Pace {
    /// Somebody wants to see it: at the start, and at a reload.
    pub fn begin(&mut self) {
        self.silence.clear();
        self.call();
    }

    /// Somebody reports what another client was delegated.
    pub fn call(&mut self) {
        self.is_called = true;
        self.pause = None;
    }

    /// There is news of a router or of another client. Anybody on the link can make some as often as he likes.
    pub fn handle_news(&mut self, now: Instant) {
        let at = self.hurried(now);
        self.news_at = Some(self.news_at.map_or(at, |before| before.min(at)));
    }

    /// These interfaces have come, gone or changed.
    pub fn handle_links(&mut self, changed: &BTreeSet<String>, now: Instant) {
        let at = self.hurried(now);
        self.links_at = Some(self.links_at.map_or(at, |before| before.min(at)));
        // Who is there now need not be who was silent.
        let silent = self.silence.iter_mut().filter(|(name, _)| changed.contains(*name));
        silent.for_each(|(_, silence)| silence.pause = silence.pause.min(LONGEST_PAUSE));
    }

    /// When to look because of something that may go on happening.
    fn hurried(&mut self, now: Instant) -> Instant {
        self.hurry = self.hurry.filter(|(_, last)| now < *last + LONGEST_PAUSE * 2);
        self.hurry.map_or(now, |(times, last)| now.max(last + hurried_pause(times)))
    }

    /// Something is lacking: it is looked again some time, if nothing happens before.
    pub fn handle_lack(&mut self, now: Instant) {
        if self.again_at.is_none() {
            let pause = self.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
            self.pause = Some(pause);
            self.again_at = Some(now + pause);
        }
    }

    /// Nothing is open.
    pub fn handle_rest(&mut self) {
        self.pause = None;
    }

    /// Nobody answered on this interface.
    pub fn handle_silence(&mut self, interface: &str, now: Instant) {
        let before =
            self.silence.get(interface).copied().filter(|before| now < before.since + before.pause + LONGEST_PAUSE * 2);
        let pause = before.map_or(FIRST_PAUSE, |before| (before.pause * 2).min(LONGEST_SILENCE));
        self.silence.insert(interface.to_owned(), Silence { since: now, pause });
    }

    /// Where nobody is asked now, because nobody answered a short time ago.
    pub fn hushed(&self, now: Instant) -> BTreeSet<String> {
        let hushed = self.silence.iter().filter(|(_, silence)| now < silence.since + silence.pause);
        hushed.map(|(name, _)| name.clone()).collect()
    }

    /// Whether to look now, and what the news is.
    pub fn poll_look(&mut self, now: Instant) -> Option<News> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let is_called = std::mem::take(&mut self.is_called);
        let (of_news, of_links) = (is_due(self.news_at), is_due(self.links_at));
        if of_news || of_links {
            let times = self.hurry.map_or(0, |(times, _)| times);
            self.hurry = Some((times.saturating_add(1), now));
        } else if !is_called && !is_due(self.again_at) {
            return None;
        }
        let later = |at: Option<Instant>| at.filter(|at| *at > now);
        (self.news_at, self.links_at, self.again_at) = (later(self.news_at), later(self.links_at), None);
        Some(match (is_called || of_news, of_links) {
            (true, _) => News::Called,
            (false, true) => News::Links,
            (false, false) => News::Nothing,
        })
    }

    /// When to look although nothing happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.news_at, self.links_at, self.again_at].into_iter().flatten().min()
    }
}

/// The pause after so many looks in a row.
fn hurried_pause(times: u32) -> Duration {
    match times.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(more) => FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(more)).min(LONGEST_PAUSE),
    }
}
