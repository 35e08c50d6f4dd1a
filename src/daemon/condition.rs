//! Conditions, in the manner of Kubernetes: what holds and what does not, and since when.

use std::collections::BTreeMap;

use crate::arbiter::{Reason, Snapshot};
use crate::status::Condition;
use crate::time::{Deadline, Epoch, Instant};

/// What a condition says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Verdict {
    /// It holds.
    pub const fn yes(reason: &'static str, message: String) -> Self {
        Self { holds: true, reason, message }
    }

    /// It does not hold.
    pub const fn no(reason: &'static str, message: String) -> Self {
        Self { holds: false, reason, message }
    }
}

/// The conditions of every DynamicPrefix.
#[derive(Debug, Default)]
pub struct Conditions {
    by_name: BTreeMap<String, BTreeMap<&'static str, (Verdict, Instant)>>,
}

impl Conditions {
    /// Sets a condition; its transition time moves only when it begins or ceases to hold.
    pub fn set(&mut self, name: &str, kind: &'static str, verdict: Verdict, now: Instant) {
        if !self.by_name.contains_key(name) {
            self.by_name.insert(name.to_owned(), BTreeMap::new());
        }
        let Some(conditions) = self.by_name.get_mut(name) else { return };
        let since = match conditions.get(kind) {
            Some((former, since)) if former.holds == verdict.holds => *since,
            _ => now,
        };
        conditions.insert(kind, (verdict, since));
    }

    /// Forgets a condition: there is nothing to say of it.
    pub fn remove(&mut self, name: &str, kind: &'static str) {
        if let Some(conditions) = self.by_name.get_mut(name) {
            conditions.remove(kind);
        }
    }

    /// Forgets the DynamicPrefixes that `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.by_name.retain(|name, _| keep(name));
    }

    /// The conditions of one DynamicPrefix, by type.
    pub fn of(&self, name: &str, epoch: &Epoch) -> Vec<Condition> {
        let condition = |(kind, (verdict, since)): (&&str, &(Verdict, Instant))| Condition {
            kind: (*kind).to_owned(),
            status: if verdict.holds { "True" } else { "False" }.to_owned(),
            reason: verdict.reason.to_owned(),
            message: verdict.message.clone(),
            last_transition_time: Some(epoch.wall(*since)),
        };
        self.by_name.get(name).into_iter().flatten().map(condition).collect()
    }
}

/// The condition PrefixAcquired of a DynamicPrefix.
pub(super) fn prefix_acquired(snapshot: Option<&Snapshot>, now: Instant) -> Verdict {
    let Some(snapshot) = snapshot else {
        return Verdict::no("WaitingForPrefix", "No source has offered a prefix that can be used.".to_owned());
    };
    let Some(current) = &snapshot.current else {
        if snapshot.history.first().is_some_and(|former| former.reason == Reason::Released) {
            let message = "The prefix was given back to the DHCPv6 server, as was asked; a reload asks for one again.";
            return Verdict::no("Released", message.to_owned());
        }
        return Verdict::no("Withdrawn", "The prefix was lost and is taken out of the targets.".to_owned());
    };
    match current.lost {
        None => Verdict::yes("Acquired", format!("{} from {}.", current.prefix, current.source)),
        Some(_) if current.valid_until.is_over(now) && current.valid_until != Deadline::Never => Verdict::no(
            "Dead",
            format!(
                "The valid lifetime of {} is over and no other takes its place; the targets keep it.",
                current.prefix
            ),
        ),
        Some(loss) => Verdict::no(
            loss.as_str(),
            format!("{} can no longer be used and no other takes its place; the targets keep it.", current.prefix),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_change_of_the_status_is_a_transition() {
        let epoch = Epoch::new(Instant::from_secs(0), "2026-01-04T10:00:00Z".parse().unwrap());
        let mut conditions = Conditions::default();
        let since =
            |conditions: &Conditions| conditions.of("home", &epoch)[0].last_transition_time.unwrap().to_string();
        conditions.set("home", "PrefixAcquired", Verdict::no("WaitingForPrefix", String::new()), Instant::from_secs(1));
        conditions.set("home", "PrefixAcquired", Verdict::no("Withdrawn", String::new()), Instant::from_secs(2));
        assert_eq!(since(&conditions), "2026-01-04T10:00:01Z");
        assert_eq!(conditions.of("home", &epoch)[0].reason, "Withdrawn");
        conditions.set("home", "PrefixAcquired", Verdict::yes("Acquired", String::new()), Instant::from_secs(3));
        assert_eq!(since(&conditions), "2026-01-04T10:00:03Z");
        conditions.retain(|_| false);
        assert!(conditions.of("home", &epoch).is_empty());
    }
}
