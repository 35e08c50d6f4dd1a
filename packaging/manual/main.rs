//! `dyn-prefix-manual OUTDIR`: writes the manual pages, the completions and the reference configuration into a directory.
//!
//! What they are made from is the program's own source, included here for the host.
#![allow(dead_code, reason = "the program uses the rest of what is included")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

#[path = "../../src/cli/args.rs"]
mod args;
#[path = "../../src/config/keys/mod.rs"]
mod keys;
#[path = "../../src/manual/mod.rs"]
mod manual;

/// Where the included files look for each other.
mod config {
    pub(crate) use crate::keys;
}

/// The configuration that shows every key.
const REFERENCE: &str = include_str!("../../examples/dyn-prefix.toml");

fn main() -> ExitCode {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: dyn-prefix-manual OUTDIR");
        return ExitCode::from(2);
    };
    match files().and_then(|files| write(&directory, files)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("dyn-prefix-manual: {why}");
            ExitCode::FAILURE
        }
    }
}

fn files() -> Result<Vec<(&'static str, String)>, String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut files = vec![
        ("man/dyn-prefix.1", manual::program(&args::Cli::command(), version)),
        ("man/dyn-prefix.toml.5", manual::configuration(version)?),
        ("man/dyn-prefix-networks.7", manual::networks(version)),
        ("dyn-prefix.toml.reference", REFERENCE.to_owned()),
    ];
    let completions = [
        (Shell::Bash, "completions/dyn-prefix.bash"),
        (Shell::Zsh, "completions/_dyn-prefix"),
        (Shell::Fish, "completions/dyn-prefix.fish"),
    ];
    for (shell, path) in completions {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut args::Cli::command(), "dyn-prefix", &mut text);
        files.push((path, String::from_utf8(text).map_err(|error| error.to_string())?));
    }
    Ok(files)
}

fn write(directory: &Path, files: Vec<(&'static str, String)>) -> Result<(), String> {
    for (name, text) in files {
        let path = directory.join(name);
        let parent = path.parent().unwrap_or(directory);
        fs::create_dir_all(parent)
            .map_err(|error| format!("cannot make the directory {}: {error}", parent.display()))?;
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}
