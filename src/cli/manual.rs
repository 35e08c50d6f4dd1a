//! `dyn-prefix man` and `dyn-prefix completions`: what packages bring as files, from the program itself.

use anyhow::anyhow;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::{VERSION, manual};

use super::args::{Cli, Page};
use super::{Exit, terminal};

/// Prints a page of the manual.
pub(super) fn page(page: Page) -> anyhow::Result<Exit> {
    let text = match page {
        Page::Program => manual::program(&Cli::command(), VERSION),
        Page::Configuration => manual::configuration(VERSION).map_err(|why| anyhow!("{why}"))?,
        Page::Networks => manual::networks(VERSION),
    };
    terminal::say(&text)?;
    Ok(Exit::Done)
}

/// Prints the completions of a shell.
pub(super) fn completions(shell: Shell) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dyn-prefix", &mut text);
    terminal::say(&String::from_utf8(text)?)?;
    Ok(Exit::Done)
}
