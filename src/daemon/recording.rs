//! How a record of this daemon begins.

use std::path::Path;

use crate::record::{FORMAT, Hex, Seconds, Start};
use crate::store::State;
use crate::time::{Epoch, Instant};

use super::coordinator::Identity;

/// The first line of a record.
pub(super) fn start(identity: &Identity, path: &Path, text: String, state: Option<State>, epoch: &Epoch) -> Start {
    Start {
        record: FORMAT,
        program: crate::VERSION.to_owned(),
        started: epoch.wall_now(),
        boot_time: Seconds(epoch.now().saturating_since(Instant::BOOT)),
        boot_id: identity.boot_id.clone(),
        daemon_id: identity.daemon_id.clone(),
        duid: Hex(identity.duid.as_bytes().to_vec()),
        path: path.display().to_string(),
        config: text,
        state,
    }
}
