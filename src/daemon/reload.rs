//! What a reload may change.

use super::{control_socket, state_directory};
use crate::config::Config;

/// Refuses what only a restart can change: a finding each, in the file `path`.
pub(super) fn accept(config: Config, running: &Config, path: &str) -> Result<Config, Vec<String>> {
    let fixed = [
        ("stateDirectory", state_directory(running) != state_directory(&config)),
        ("controlSocket", control_socket(running) != control_socket(&config)),
        ("id", running.daemon.id != config.daemon.id),
    ];
    let refused: Vec<String> = fixed
        .into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(key, _)| {
            format!(
                "{path}: error: daemon.{key} cannot change while the daemon runs; restart it (systemctl restart \
                 dyn-prefix)"
            )
        })
        .collect();
    if refused.is_empty() { Ok(config) } else { Err(refused) }
}
