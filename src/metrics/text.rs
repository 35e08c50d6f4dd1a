//! The text format of Prometheus (exposition format 0.0.4).

use std::fmt::{Display, Write as _};

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A text that grows family by family.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    /// The name of the family that samples belong to.
    name: &'static str,
}

impl Text {
    /// Begins a family. `help` is one line without a backslash.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.name = name;
        let _infallible = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A sample of the family.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.sample_of("", labels, value);
    }

    /// A sample of a histogram, which has names with a suffix.
    pub(super) fn sample_of(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _infallible = write!(self.text, "{}{suffix}", self.name);
        for (number, (label, value)) in labels.iter().enumerate() {
            let _infallible = write!(self.text, "{}{label}=\"", if number == 0 { '{' } else { ',' });
            self.escape(value);
            self.text.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _infallible = writeln!(self.text, "{end} {value}");
    }

    /// A family of one sample.
    pub(super) fn one(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        self.family(name, kind, help);
        self.sample(labels, value);
    }

    fn escape(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                _ => self.text.push(character),
            }
        }
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the format's documentation has every character that is escaped.
    #[test]
    fn labels_are_escaped() {
        let mut text = Text::default();
        text.one("x", Kind::Counter, "Help.", &[("path", "C:\\DIR"), ("error", "no:\n\"FILE\"")], 1.5);
        text.family("empty", Kind::Gauge, "Nothing.");
        let expected = "# HELP x Help.\n# TYPE x counter\nx{path=\"C:\\\\DIR\",error=\"no:\\n\\\"FILE\\\"\"} 1.5\n\
                        # HELP empty Nothing.\n# TYPE empty gauge\n";
        assert_eq!(text.finish(), expected);
    }
}
