//! What the judge let pass, and by how much: an allowance that nothing needs is one too many.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How often each allowance was used, and the longest time that it was used for.
#[derive(Debug, Default)]
pub(crate) struct Allowed(RefCell<BTreeMap<&'static str, (usize, Duration)>>);

impl Allowed {
    /// One was used.
    pub(crate) fn note(&self, what: &'static str, by: Duration) {
        let mut all = self.0.borrow_mut();
        let (count, most) = all.entry(what).or_default();
        *count += 1;
        *most = by.max(*most);
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.borrow();
        if all.is_empty() {
            return write!(f, "nothing");
        }
        let texts = all.iter().map(|(what, (count, most))| format!("{what}: {count} (up to {} ms)", most.as_millis()));
        write!(f, "{}", texts.collect::<Vec<_>>().join("; "))
    }
}
