//! The manual: `dyn-prefix(1)` from the command line's definition, `dyn-prefix.toml(5)` from the key table, and
//! `dyn-prefix-networks(7)`, which is written by hand.
//!
//! The program prints them (`dyn-prefix man`), and a package is built with them: `packaging/docs` includes this module
//! for the host, so that nothing of the target is run. It uses clap, the standard library and [`crate::config::keys`].

use clap::Command;

use crate::config::keys::ROOT;

mod commands;
mod configuration;
mod prose;
pub mod roff;

#[cfg(test)]
mod tests;

/// What is written by hand; a line `.\" @PART@` stands for what is generated.
const PROGRAM: &str = include_str!("../../packaging/man/dyn-prefix.1.in");
const CONFIGURATION: &str = include_str!("../../packaging/man/dyn-prefix.toml.5.in");
const KEYS: &str = include_str!("../../packaging/man/keys.text");
const NETWORKS: &str = include_str!("../../packaging/man/dyn-prefix-networks.7.in");

/// The recipes of dyn-prefix-networks(7), by the name of their file in `examples`.
const RECIPES: [(&str, &str); 8] = [
    ("telekom-pppoe", include_str!("../../examples/telekom-pppoe.toml")),
    ("fritzbox-ra", include_str!("../../examples/fritzbox-ra.toml")),
    ("fritzbox-pd", include_str!("../../examples/fritzbox-pd.toml")),
    ("unifi", include_str!("../../examples/unifi.toml")),
    ("openwrt", include_str!("../../examples/openwrt.toml")),
    ("debian-networkd", include_str!("../../examples/debian-networkd.toml")),
    ("talos", include_str!("../../examples/talos.toml")),
    ("host/nftables", include_str!("../../examples/host/nftables.toml")),
];

/// When the manual was last looked through: a page has to have a date, and a build must give the same one every time.
const DATE: &str = "2026-11-21";

/// dyn-prefix(1)
pub fn program(command: &Command, version: &str) -> String {
    filled(PROGRAM, version, &[("COMMANDS", commands::section(command))])
}

/// dyn-prefix.toml(5)
///
/// # Errors
/// A key without a text, or a text without a key: what is to be written into `packaging/man/keys.text`.
pub fn configuration(version: &str) -> Result<String, String> {
    let keys = configuration::section(&ROOT, &prose::parse(KEYS)?)?;
    Ok(filled(CONFIGURATION, version, &[("KEYS", keys)]))
}

/// dyn-prefix-networks(7)
pub fn networks(version: &str) -> String {
    filled(NETWORKS, version, &RECIPES.map(|(name, text)| (name, roff::listing(name, text))))
}

fn filled(page: &str, version: &str, parts: &[(&str, String)]) -> String {
    let mut text = page.replace("@VERSION@", version).replace("@DATE@", DATE);
    for (name, part) in parts {
        text = text.replace(&format!(".\\\" @{name}@\n"), part);
    }
    text
}
