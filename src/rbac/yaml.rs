//! Just enough YAML to print manifests that people read: blocks, with lists of words on one line, and comments.

use serde_json::{Map, Value};

/// How wide a line of comment may be.
const WIDTH: usize = 118;

/// Breaks text into lines of comment.
pub(super) fn comment(text: &str, indent: usize) -> String {
    let start = format!("{:indent$}#", "");
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut line = start.clone();
        // A line that is set in must stay as it is: it is a command.
        if paragraph.starts_with(' ') {
            line.push_str(paragraph);
        } else {
            for word in paragraph.split(' ') {
                if line.len() > start.len() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                    lines.push_str(&format!("{line}\n"));
                    line.clone_from(&start);
                }
                line.push(' ');
                line.push_str(word);
            }
        }
        lines.push_str(&format!("{}\n", line.trim_end()));
    }
    lines
}

/// An object in block style. `remark` gives the comment above the Nth entry of a list of objects under a key.
pub(super) fn block(object: &Map<String, Value>, indent: usize, remark: &dyn Fn(&str, usize) -> String) -> String {
    let fields = object.iter().map(|(key, value)| format!("{:indent$}{key}:{}", "", field(key, value, indent, remark)));
    fields.collect()
}

/// What follows a key and its colon.
fn field(key: &str, value: &Value, indent: usize, remark: &dyn Fn(&str, usize) -> String) -> String {
    match value {
        Value::Object(object) if !object.is_empty() => format!("\n{}", block(object, indent + 2, remark)),
        Value::Array(entries) if entries.iter().any(Value::is_object) => {
            let entries = entries.iter().enumerate().map(|(index, value)| {
                let above = comment(&remark(key, index), indent + 2);
                format!("{above}{}", entry(value, indent + 2, remark))
            });
            format!("\n{}", entries.collect::<String>())
        }
        Value::Array(words) => {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            let line = words.join(", ");
            if indent + key.len() + line.len() + 4 <= WIDTH {
                return format!(" [{line}]\n");
            }
            let inner = indent + 2;
            format!("\n{}", words.iter().map(|word| format!("{:inner$}- {word}\n", "")).collect::<String>())
        }
        Value::String(text) => format!(" {}\n", scalar(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => format!(" {value}\n"),
    }
}

/// An entry of a list: the first field stands behind the dash.
fn entry(value: &Value, indent: usize, remark: &dyn Fn(&str, usize) -> String) -> String {
    let Value::Object(object) = value else { return format!("{:indent$}- {value}\n", "") };
    let fields = block(object, indent + 2, remark);
    format!("{:indent$}- {}", "", fields.trim_start_matches(' '))
}

/// A word as it is when no reader can take it for something else, everything else in double quotes: JSON is YAML.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '/' | '_');
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if starts_well && text.chars().all(is_plain) && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}
