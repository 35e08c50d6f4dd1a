//! TOML with comments, line by line.

/// Some lines of the result.
#[derive(Debug, Default)]
pub(super) struct Page(String);

/// How long a line of a comment may be.
const LINE: usize = 118;

impl Page {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Wrapped; whatever it quotes cannot end it.
    pub(super) fn comment(&mut self, text: &str) {
        let mut line = "#".to_owned();
        for word in text.split_whitespace() {
            if line.len() > 1 && line.len() + word.len() >= LINE {
                self.line(&line);
                "#".clone_into(&mut line);
            }
            line.push(' ');
            line.extend(word.chars().map(|character| if character.is_control() { '?' } else { character }));
        }
        self.line(&line);
    }

    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    pub(super) fn entry(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = {value}"));
    }

    pub(super) fn blank(&mut self) {
        self.0.push('\n');
    }

    /// With an empty line after it, unless there is nothing.
    pub(super) fn append(&mut self, other: Self) {
        self.0.push_str(&other.0);
        if !other.0.is_empty() && !other.0.ends_with("\n\n") {
            self.blank();
        }
    }

    pub(super) fn finish(self) -> String {
        format!("{}\n", self.0.trim_end())
    }
}

/// A string of TOML.
pub(super) fn text(value: &str) -> String {
    let mut out = "\"".to_owned();
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// A name as the configuration wants it: 1 to 63 of a-z, 0-9 and -.
pub(super) fn name(written: &str) -> String {
    let known = |character: char| match character {
        'a'..='z' | '0'..='9' => character,
        'A'..='Z' => character.to_ascii_lowercase(),
        _ => '-',
    };
    let name: String = written.chars().map(known).take(63).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}
