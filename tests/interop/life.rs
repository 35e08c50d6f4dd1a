//! What happens to a lease: the daemon restarts, the server forgets, the prefix is replaced or given back.

use crate::Test;

pub(crate) const TESTS: &[Test] = &[];
