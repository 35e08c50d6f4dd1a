//! What was reported of another client's delegation before there is an observer who could be told. Pure.

use std::collections::BTreeSet;

use crate::source::observe::Told;
use crate::time::{Deadline, Instant};

/// How many reports are kept.
const MOST: usize = 32;

/// Reports for DynamicPrefixes whose source is not chosen yet. That there are any speaks for observing.
#[derive(Debug, Default)]
pub struct Kept(Vec<(Told, Instant)>);

impl Kept {
    /// Keeps one; of a prefix the last.
    pub fn keep(&mut self, told: Told, now: Instant) {
        self.0.retain(|(former, _)| former.dynamic_prefix != told.dynamic_prefix || former.prefix != told.prefix);
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push((told, now));
    }

    /// For whom another client has a delegation.
    pub fn names(&self) -> BTreeSet<String> {
        self.0.iter().filter(|(told, _)| !told.gone).map(|(told, _)| told.dynamic_prefix.clone()).collect()
    }

    /// Hands out what is for this DynamicPrefix, as it would be told now.
    pub fn take(&mut self, name: &str, now: Instant) -> Vec<Told> {
        let (his, others) = std::mem::take(&mut self.0).into_iter().partition(|(told, _)| told.dynamic_prefix == name);
        self.0 = others;
        let his: Vec<(Told, Instant)> = his;
        his.into_iter().map(|(told, at)| aged(told, now.saturating_since(at).as_secs())).collect()
    }

    /// Forgets what is for nobody.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|(told, _)| is_there(&told.dynamic_prefix));
    }
}

fn aged(told: Told, seconds: u64) -> Told {
    let left = |lifetime: u32| match lifetime {
        Deadline::INFINITY => lifetime,
        _ => lifetime.saturating_sub(u32::try_from(seconds).unwrap_or(u32::MAX)),
    };
    let valid = told.valid.map(left);
    Told { preferred: told.preferred.map(left), valid, gone: told.gone || valid == Some(0), ..told }
}
