//! `packaging/man/keys.text`: what the manual says of each key beyond its line in the key table.
//!
//! ```text
//! # [[cluster]]            a table, by its title
//! A paragraph about it.
//!
//! ## kubeconfig            a key of it
//! Paragraphs, in which `this` is bold.
//!
//!     kubeconfig = "…"     an example: one at least
//! ```

use std::collections::BTreeMap;

/// What is said of a key, or of a table as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// Paragraphs, without line breaks.
    pub(super) paragraphs: Vec<String>,
    /// Examples, without indentation.
    pub(super) examples: Vec<String>,
}

/// By title of the table and name of the key; the table itself has the name "".
pub(super) type Texts = BTreeMap<(String, String), Text>;

pub(super) fn parse(source: &str) -> Result<Texts, String> {
    let mut texts = Texts::new();
    let (mut table, mut key) = (String::new(), String::new());
    for (number, block) in source.split("\n\n").enumerate() {
        let mut body = block.trim_matches('\n');
        while let Some((depth, name, rest)) = heading(body) {
            match depth {
                1 => (table, key) = (name.to_owned(), String::new()),
                _ => key = name.to_owned(),
            }
            if texts.insert((table.clone(), key.clone()), Text::default()).is_some() {
                return Err(format!("packaging/man/keys.text has two texts for {table} {key}"));
            }
            body = rest;
        }
        if body.is_empty() {
            continue;
        }
        let text = texts
            .get_mut(&(table.clone(), key.clone()))
            .ok_or_else(|| format!("packaging/man/keys.text: block {} is below no heading", number + 1))?;
        match body.strip_prefix("    ") {
            Some(example) => text.examples.push(example.replace("\n    ", "\n")),
            None => text.paragraphs.push(body.replace('\n', " ")),
        }
    }
    Ok(texts)
}

/// The depth of a heading, what it says, and what follows it.
fn heading(block: &str) -> Option<(usize, &str, &str)> {
    let (line, rest) = block.split_once('\n').unwrap_or((block, ""));
    let (depth, name) = match line.strip_prefix("## ") {
        Some(name) => (2, name),
        None => (1, line.strip_prefix("# ")?),
    };
    Some((depth, name.trim(), rest))
}
