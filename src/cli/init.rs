//! `dyn-prefix init`

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Exit, terminal};
use crate::config::Config;
use crate::doctor::gather::{PATIENCE, surroundings};
use crate::init;

/// Looks round and prints a configuration.
pub(super) fn init(interface: Option<String>, kubeconfig: Option<PathBuf>) -> anyhow::Result<Exit> {
    let kubeconfig = kubeconfig.map(std::path::absolute).transpose().context("--kubeconfig is no path")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the runtime")?;
    let looking = async { tokio::time::timeout(PATIENCE, surroundings(interface, kubeconfig.as_deref())).await };
    let seen = runtime.block_on(looking);
    runtime.shutdown_background();
    let seen = seen.with_context(|| format!("looking round was not over within {PATIENCE:?}"))?;
    let text = init::write(&seen);
    let loaded = Config::parse_here(&text, Path::new("dyn-prefix.toml"));
    if loaded.config.is_none() {
        let findings: Vec<String> = loaded.findings.iter().map(ToString::to_string).collect();
        anyhow::bail!("what was seen makes no configuration; is a name among it odd?\n{}", findings.join("\n"));
    }
    terminal::say(&text)?;
    Ok(Exit::Done)
}
