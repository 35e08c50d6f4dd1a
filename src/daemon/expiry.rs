//! Warns of credentials that end soon: once when it becomes time, and once a day from then on.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::cluster::Validity;
use crate::log::Entry;
use crate::log::record;
use crate::time::{Epoch, Instant};

/// How often the same is told.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often the wall clock is looked at: what it said at the boot may have been wrong.
const LOOK: Duration = Duration::from_secs(6 * 3600);

#[derive(Debug)]
struct Watched {
    validity: Validity,
    /// When it was told last.
    told_at: Option<Instant>,
    look_at: Instant,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    clusters: BTreeMap<String, Watched>,
    entries: VecDeque<Entry>,
}

impl Expiry {
    /// A connection to `cluster` was made with such credentials, or there is none; then the last ones count.
    pub(super) fn handle_validity(&mut self, cluster: &str, validity: Option<Validity>, now: Instant) {
        let Some(validity) = validity else { return };
        let watched = self.clusters.get(cluster);
        if watched.is_none_or(|watched| watched.validity != validity) {
            self.clusters.insert(cluster.to_owned(), Watched { validity, told_at: None, look_at: now });
        }
    }

    /// Forgets the clusters that `keep` does not want.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.clusters.retain(|cluster, _| keep(cluster));
    }

    /// Tells what is due.
    pub(super) fn handle_timeout(&mut self, epoch: &Epoch) {
        let now = epoch.now();
        for (cluster, watched) in self.clusters.iter_mut().filter(|(_, watched)| watched.look_at <= now) {
            let warn_at = epoch.instant(watched.validity.warn_from());
            let due = watched.told_at.map_or(warn_at, |told_at| warn_at.max(told_at + DAY));
            if due <= now {
                self.entries.push_back(record::credentials_end(cluster, watched.validity.until, epoch.wall_now()));
                watched.told_at = Some(now);
                watched.look_at = now + LOOK;
            } else {
                watched.look_at = due.min(now + LOOK);
            }
        }
    }

    /// When [`Expiry::handle_timeout`] is wanted next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.clusters.values().map(|watched| watched.look_at).min()
    }

    /// The next line for the journal.
    pub(super) fn poll_entry(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Priority;

    const HOUR: Duration = Duration::from_secs(3600);

    fn validity(from: Option<&str>, until: &str) -> Validity {
        Validity { from: from.map(|from| from.parse().unwrap()), until: until.parse().unwrap(), is_renewed: true }
    }

    /// The hours from the start at which something is told, over 40 days.
    fn told(expiry: &mut Expiry, start: &str) -> Vec<u64> {
        let begin = Instant::from_secs(1000);
        let wall =
            |hours: u64| Epoch::new(begin, start.parse().unwrap()).wall(begin + HOUR * u32::try_from(hours).unwrap());
        let mut hours = Vec::new();
        for hour in 0..40 * 24 {
            let epoch = Epoch::new(begin + HOUR * u32::try_from(hour).unwrap(), wall(hour));
            // As the loop does: nothing before it is asked for.
            if expiry.poll_timeout().is_some_and(|at| at <= epoch.now()) {
                expiry.handle_timeout(&epoch);
            }
            while let Some(entry) = expiry.poll_entry() {
                assert_eq!(entry.priority, Priority::Warning);
                hours.push(hour);
            }
        }
        hours
    }

    #[test]
    fn it_is_told_14_days_before_and_daily_from_then_on() {
        let mut expiry = Expiry::default();
        expiry.handle_validity("home", Some(validity(None, "2026-01-31T00:00:00Z")), Instant::from_secs(1000));
        let told = told(&mut expiry, "2026-01-01T00:00:00Z");
        assert_eq!(told[0], 16 * 24, "14 days before the 31st are 16 days after the 1st");
        assert!(told.windows(2).all(|pair| (24..=30).contains(&(pair[1] - pair[0]))), "{told:?}");
        assert!(told.last().unwrap() > &(31 * 24), "it goes on once they have ended");
    }

    #[test]
    fn new_credentials_end_the_warnings() {
        let mut expiry = Expiry::default();
        let now = Instant::from_secs(1000);
        let epoch = Epoch::new(now, "2026-01-30T00:00:00Z".parse().unwrap());
        expiry.handle_validity("home", Some(validity(None, "2026-01-31T00:00:00Z")), now);
        expiry.handle_timeout(&epoch);
        assert!(expiry.poll_entry().is_some());
        // Away and back with the same ones is no news.
        expiry.handle_validity("home", None, now);
        expiry.handle_validity("home", Some(validity(None, "2026-01-31T00:00:00Z")), now);
        expiry.handle_timeout(&epoch);
        assert!(expiry.poll_entry().is_none());
        expiry.handle_validity("home", Some(validity(None, "2027-01-31T00:00:00Z")), now);
        assert!(told(&mut expiry, "2026-01-30T00:00:00Z").is_empty());
        expiry.retain(|_| false);
        assert_eq!(expiry.poll_timeout(), None);
    }

    /// The token of a pod lives for an hour, and the kubelet renews it when a fifth of that is left.
    #[test]
    fn credentials_that_a_machine_renews_are_no_news_until_it_does_not() {
        let mut expiry = Expiry::default();
        let now = Instant::from_secs(1000);
        let short = validity(Some("2026-01-01T00:00:00Z"), "2026-01-01T01:00:00Z");
        assert_eq!(short.warn_from().to_string(), "2026-01-01T00:54:00Z");
        expiry.handle_validity("home", Some(short), now);
        expiry.handle_timeout(&Epoch::new(now, "2026-01-01T00:48:00Z".parse().unwrap()));
        assert!(expiry.poll_entry().is_none());
        let late = now + Duration::from_secs(360);
        expiry.handle_timeout(&Epoch::new(late, "2026-01-01T00:54:00Z".parse().unwrap()));
        assert!(expiry.poll_entry().is_some());
    }

    /// What stands in the kubeconfig itself nobody renews, however short it lasts: `dyn-prefix join --token-duration 1h`.
    #[test]
    fn a_short_token_in_the_kubeconfig_is_told_of_at_once() {
        let mut expiry = Expiry::default();
        let now = Instant::from_secs(1000);
        let short = validity(Some("2026-01-01T00:00:00Z"), "2026-01-01T01:00:00Z");
        expiry.handle_validity("home", Some(Validity { is_renewed: false, ..short }), now);
        expiry.handle_timeout(&Epoch::new(now, "2026-01-01T00:00:01Z".parse().unwrap()));
        assert!(expiry.poll_entry().is_some());
    }
}
