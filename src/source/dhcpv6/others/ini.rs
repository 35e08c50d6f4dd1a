//! The files of systemd and NetworkManager: sections with keys and values.

/// The entries of a file, in its order: section, key, value. A backslash at the end of a line joins the next one.
pub(super) fn entries(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once('=') {
            found.push((section.clone(), key.trim().to_owned(), value.trim().trim_matches('"').to_owned()));
        }
    }
    found
}

/// The last value of a key; an empty one unsets it.
pub(super) fn last<'a>(entries: &'a [(String, String, String)], section: &str, key: &str) -> Option<&'a str> {
    let value = entries.iter().rev().find(|(in_section, name, _)| in_section == section && name == key);
    value.map(|(_, _, value)| value.as_str()).filter(|value| !value.is_empty())
}

/// A boolean as systemd reads it (systemd.syntax(7)); `None`: something else.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}
