//! The keys of dyn-prefix.toml(5), from the key table and the texts to it.

use crate::config::keys::{KeySpec, TableSpec, ValueKind};

use super::prose::{Text, Texts};
use super::roff;

/// A subsection for each table, a table before those in it.
pub(super) fn section(root: &'static TableSpec, texts: &Texts) -> Result<String, String> {
    let tables = tables(root);
    if let Some((table, key)) = texts.keys().find(|(table, key)| !is_known(&tables, table, key)) {
        return Err(format!("packaging/man/keys.text speaks of {table} {key}, which the key table does not know"));
    }
    let mut out = String::new();
    for table in tables {
        let about = texts.get(&(table.title.to_owned(), String::new()));
        let mut paragraphs = about.iter().flat_map(|about| &about.paragraphs);
        out.push_str(&roff::subsection(&heading(table), paragraphs.next().map_or(table.help, String::as_str)));
        paragraphs.for_each(|text| out.push_str(&roff::paragraph(text)));
        for key in table.keys {
            out.push_str(&entry(table, key, texts.get(&(table.title.to_owned(), key.name.to_owned())))?);
        }
    }
    Ok(out)
}

/// The table and all below it, each once.
pub(super) fn tables(root: &'static TableSpec) -> Vec<&'static TableSpec> {
    fn visit(table: &'static TableSpec, found: &mut Vec<&'static TableSpec>) {
        if found.iter().any(|known| std::ptr::eq(*known, table)) {
            return;
        }
        found.push(table);
        table.keys.iter().filter_map(|key| key.kind.table()).for_each(|below| visit(below, found));
    }
    let mut found = Vec::new();
    visit(root, &mut found);
    found
}

fn is_known(tables: &[&TableSpec], title: &str, key: &str) -> bool {
    let table = tables.iter().find(|table| table.title == title);
    table.is_some_and(|table| key.is_empty() || table.keys.iter().any(|known| known.name == key))
}

fn heading(table: &TableSpec) -> String {
    if table.title.starts_with('[') {
        table.title.to_owned()
    } else if table.title.contains(' ') {
        "Top level".to_owned()
    } else {
        format!("{} at length", table.title)
    }
}

fn entry(table: &TableSpec, key: &KeySpec, text: Option<&Text>) -> Result<String, String> {
    let is_container = matches!(key.kind, ValueKind::Table(_) | ValueKind::Tables(_));
    let nothing = Text::default();
    let text = match text {
        Some(text) if is_container || !(text.paragraphs.is_empty() || text.examples.is_empty()) => text,
        None if is_container => &nothing,
        Some(_) | None => {
            return Err(format!(
                "packaging/man/keys.text has no text with an example for `{}` of {}: write `## {}` below `# {}`",
                key.name, table.title, key.name, table.title
            ));
        }
    };
    let mut out = roff::entry(&format!("\\fB{}\\fR", roff::escape(key.name)), &facts(key));
    out.push_str(&roff::continued(key.help));
    text.paragraphs.iter().for_each(|text| out.push_str(&roff::continued(text)));
    text.examples.iter().for_each(|example| out.push_str(&roff::example(example)));
    Ok(out)
}

/// What the reader holds the key to.
fn facts(key: &KeySpec) -> String {
    let mut facts = vec![format!("Value: {}.", key.kind.wanted())];
    match key.default {
        Some(default) => facts.push(format!("Default: {default}.")),
        None if key.required => facts.push("It has to be there.".to_owned()),
        None => facts.push("It may be absent.".to_owned()),
    }
    if let Some(alias) = key.alias {
        facts.push(format!("`{alias}` may be written instead."));
    }
    facts.join(" ")
}
