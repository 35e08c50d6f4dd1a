//! `dyn-prefix check`

use std::path::Path;

use crate::config::{Config, Severity};

use super::{Exit, terminal};

/// Prints every finding of a configuration file.
pub(super) fn check(path: &Path) -> anyhow::Result<Exit> {
    let loaded = Config::load(path);
    let mut text = String::new();
    for finding in &loaded.findings {
        text.push_str(&format!("{finding}\n"));
    }
    let count = |severity| loaded.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let file = path.display();
    text.push_str(&match (errors, warnings) {
        (0, 0) => format!("{file}: can be used\n"),
        (0, warnings) => format!("{file}: can be used, {} to look at\n", counted(warnings, "warning")),
        (errors, _) => format!("{file}: cannot be used, {}\n", counted(errors, "error")),
    });
    terminal::say(&text)?;
    Ok(if loaded.config.is_some() { Exit::Done } else { Exit::Configuration })
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
