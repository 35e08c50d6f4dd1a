//! What was reported of another client's delegation before there is an observer who could be told. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::source::SourceKind;
use crate::source::observe::Told;
use crate::time::{Deadline, Instant};

use super::round::Made;

/// How many reports are kept.
pub const MOST: usize = 32;

/// Reports for DynamicPrefixes whose source is not chosen yet. That there are any speaks for observing.
#[derive(Debug, Default)]
pub struct Kept {
    reports: Vec<(Told, Instant)>,
    /// What is observed because of some: a client of our own there would be a second one, also when nothing is delegated
    /// for a while.
    interfaces: BTreeSet<String>,
}

impl Kept {
    /// Keeps one; of a prefix the last.
    pub fn keep(&mut self, told: Told, now: Instant) {
        self.reports.retain(|(former, _)| former.dynamic_prefix != told.dynamic_prefix || former.prefix != told.prefix);
        if self.reports.len() == MOST {
            self.reports.remove(0);
        }
        self.reports.push((told, now));
    }

    /// For whom another client has a delegation.
    pub fn names(&self, now: Instant) -> BTreeSet<String> {
        let held = self.reports.iter().map(|(told, at)| as_of(told.clone(), *at, now)).filter(|told| !told.gone);
        held.map(|told| told.dynamic_prefix).collect()
    }

    /// The interfaces that are observed because of reports.
    pub const fn interfaces(&self) -> &BTreeSet<String> {
        &self.interfaces
    }

    /// These choices were made.
    pub fn handle_choices(&mut self, made: &Made, now: Instant) {
        let names = self.names(now);
        let of_reports = made.iter().filter(|(name, _)| names.contains(name));
        let chosen = of_reports.filter_map(|(_, outcome)| outcome.as_ref().ok());
        let observed = chosen.filter(|chosen| chosen.kind == SourceKind::Observed);
        self.interfaces.extend(observed.map(|chosen| chosen.interface.clone()));
    }

    /// Hands out what is for this DynamicPrefix, as it would be told now.
    pub fn take(&mut self, name: &str, now: Instant) -> Vec<Told> {
        let all = std::mem::take(&mut self.reports).into_iter();
        let (his, others) = all.partition(|(told, _)| told.dynamic_prefix == name);
        self.reports = others;
        let his: Vec<(Told, Instant)> = his;
        his.into_iter().map(|(told, at)| as_of(told, at, now)).collect()
    }

    /// Forgets what is for nobody.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.reports.retain(|(told, _)| is_there(&told.dynamic_prefix));
    }
}

/// What was told `at` a time, as it is to be told now.
fn as_of(told: Told, at: Instant, now: Instant) -> Told {
    let ago = told.ago + now.saturating_since(at);
    let ends = told.valid.filter(|seconds| *seconds != Deadline::INFINITY);
    let is_over = ends.is_some_and(|seconds| Duration::from_secs(u64::from(seconds)) <= ago);
    Told { ago, gone: told.gone || is_over, ..told }
}
