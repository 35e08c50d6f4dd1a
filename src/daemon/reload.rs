//! What a reload may change.

use std::path::Path;

use super::{control_socket, state_directory};
use crate::config::{Config, file};

/// Refuses what only a restart can change: a finding each, in the `text` of the file `path`.
pub(super) fn accept(config: Config, running: &Config, path: &Path, text: &str) -> Result<Config, Vec<String>> {
    let fixed = [
        ("stateDirectory", state_directory(running) != state_directory(&config)),
        ("controlSocket", control_socket(running) != control_socket(&config)),
        ("id", running.daemon.id != config.daemon.id),
    ];
    let refused: Vec<String> = fixed
        .into_iter()
        .filter(|(_, changed)| *changed)
        .map(|(key, _)| {
            let message =
                format!("daemon.{key} cannot change while the daemon runs; restart it (systemctl restart dyn-prefix)");
            file::of_daemon(path, text, key, "needs-restart", message).to_string()
        })
        .collect();
    if refused.is_empty() { Ok(config) } else { Err(refused) }
}
