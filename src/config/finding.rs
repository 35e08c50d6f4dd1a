//! What is to be said about a configuration file, and how it is printed.

use std::fmt;
use std::path::{Path, PathBuf};

/// The code of the finding that there is no prefix to follow.
pub(super) const NOTHING_TO_DO: &str = "nothing-to-do";

/// The code of what is wrong with the file of a template: `run` starts without it.
pub(super) const TEMPLATE_FILE: &str = "template-file";

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; something will probably not work as it stands.
    Warning,
    /// The file is right; this is what it means.
    Note,
}

impl Severity {
    /// The word before the message.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One thing to say about a configuration file. Its `Display` is what `check` prints: `F:LINE:COL: error: message`, the
/// source line with the place marked, and the hint. No line break at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The rule it comes from: one of [`RULES`], stable.
    pub code: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Where in the file; `None` when it is about the file as a whole.
    pub excerpt: Option<Excerpt>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    /// Whether the daemon tells it at a start or reload: all but the notes, except the one that says why it is idle.
    pub fn is_for_the_journal(&self) -> bool {
        self.severity != Severity::Note || self.code == NOTHING_TO_DO
    }

    /// An error about the file as a whole.
    pub(super) fn of_file(path: &Path, code: &'static str, message: String, hint: &str) -> Self {
        Self {
            severity: Severity::Error,
            code,
            path: path.to_owned(),
            excerpt: None,
            message,
            hint: Some(hint.to_owned()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "{}:{}:", excerpt.line, excerpt.column)?;
        }
        write!(f, " {}: {}", self.severity.as_str(), self.message)?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n{excerpt}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n      = {hint}"),
            None => Ok(()),
        }
    }
}

/// A place in the file with its source line. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The line.
    pub line: usize,
    /// The column in the line.
    pub column: usize,
    /// The source line, without what a terminal would act on; a very long line is cut around the place.
    pub text: String,
    /// How many characters of `text` stand before the place.
    pub indent: usize,
    /// How many characters the place spans on this line, at least 1.
    pub width: usize,
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>5} | {}", self.line, self.text)?;
        // Tabs stay tabs, so that the marks stand below their characters whatever the width of a tab is.
        let indent: String = self.text.chars().take(self.indent).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "      | {indent}{}", "^".repeat(self.width))
    }
}

/// A piece of the text: byte offsets, `end` excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A value and the place it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

impl<T> At<T> {
    pub(super) const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    pub(super) fn with<U>(&self, value: U) -> At<U> {
        At { value, span: self.span }
    }
}

/// Collects the findings of one file.
pub(super) struct Report<'t> {
    path: &'t Path,
    text: &'t str,
    line_starts: Vec<usize>,
    found: Vec<Found>,
    /// What was found in files that this one names.
    elsewhere: Vec<Finding>,
}

/// A finding that knows its place only as a span.
pub(super) struct Found {
    severity: Severity,
    code: &'static str,
    span: Span,
    message: String,
    hint: Option<String>,
}

impl Found {
    /// Says what to do about it.
    pub(super) fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }

    /// Findings are printed in this order, and once if they are equal in it.
    fn rank(&self) -> (usize, Severity, &'static str, &str) {
        (self.span.start, self.severity, self.code, &self.message)
    }
}

impl<'t> Report<'t> {
    /// Beyond this many findings, only their number is said: nobody reads on, and a file of random bytes has a million.
    const MAX_FINDINGS: usize = 200;

    pub(super) fn new(path: &'t Path, text: &'t str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path, text, line_starts, found: Vec::new(), elsewhere: Vec::new() }
    }

    pub(super) fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Found {
        self.add(Severity::Error, code, span, message.into())
    }

    pub(super) fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Found {
        self.add(Severity::Warning, code, span, message.into())
    }

    pub(super) fn note(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Found {
        self.add(Severity::Note, code, span, message.into())
    }

    pub(super) fn add(&mut self, severity: Severity, code: &'static str, span: Span, message: String) -> &mut Found {
        let found = Found { severity, code, span, message, hint: None };
        let at = self.found.len();
        self.found.push(found);
        &mut self.found[at]
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// Whether there is an error of another rule than this one.
    pub(super) fn has_errors_beside(&self, code: &str) -> bool {
        self.errors().any(|found| found != code)
    }

    /// The rule of each error.
    fn errors(&self) -> impl Iterator<Item = &'static str> {
        let here = self.found.iter().map(|found| (found.severity, found.code));
        let elsewhere = self.elsewhere.iter().map(|finding| (finding.severity, finding.code));
        here.chain(elsewhere).filter(|(severity, _)| *severity == Severity::Error).map(|(_, code)| code)
    }

    /// Adds what another report found, in a file that this one names.
    pub(super) fn include(&mut self, other: Report<'_>) {
        self.elsewhere.extend(other.finish());
    }

    /// The text as it stands at a place.
    pub(super) fn written(&self, span: Span) -> &'t str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// The line (from 1) of a place, for messages that mention a second one.
    pub(super) fn line(&self, span: Span) -> usize {
        self.line_starts.partition_point(|start| *start <= span.start).max(1)
    }

    /// With a syntax error in the file, what is missing may stand in the part that could not be read: drops the findings
    /// that may only follow from it, and everything else about the lines that have one.
    pub(super) fn drop_consequences(&mut self) {
        let broken: std::collections::BTreeSet<usize> =
            self.found.iter().filter(|found| found.code == SYNTAX).map(|found| self.line(found.span)).collect();
        if broken.is_empty() {
            return;
        }
        let found = std::mem::take(&mut self.found);
        self.found = found
            .into_iter()
            .filter(|found| {
                found.code == SYNTAX || !is_consequence(found.code) && !broken.contains(&self.line(found.span))
            })
            .collect();
    }

    /// All findings in the order of their places, each once.
    pub(super) fn finish(mut self) -> Vec<Finding> {
        let mut found = std::mem::take(&mut self.found);
        found.sort_by(|a, b| a.rank().cmp(&b.rank()));
        found.dedup_by(|a, b| a.rank() == b.rank());
        let hidden = found.len().saturating_sub(Self::MAX_FINDINGS);
        // Errors first: what stops the file must be among those that are shown.
        if hidden > 0 {
            found.sort_by_key(|found| found.severity);
            found.truncate(Self::MAX_FINDINGS);
            found.sort_by_key(|found| found.span.start);
        }
        let mut findings: Vec<Finding> = found.into_iter().map(|found| self.place(found)).collect();
        findings.append(&mut self.elsewhere);
        if hidden > 0 {
            findings.push(Finding {
                severity: Severity::Note,
                ..Finding::of_file(
                    self.path,
                    "more-findings",
                    format!("{hidden} more findings are not shown"),
                    "mend the ones above and check again",
                )
            });
        }
        findings
    }

    fn place(&self, found: Found) -> Finding {
        let Found { severity, code, span, message, hint } = found;
        Finding { severity, code, path: self.path.to_owned(), excerpt: Some(self.excerpt(span)), message, hint }
    }

    fn excerpt(&self, span: Span) -> Excerpt {
        let line = self.line(span);
        let start = self.line_starts[line - 1];
        let source = self.text[start..].lines().next().unwrap_or_default();
        let offset = span.start.saturating_sub(start);
        let column = 1 + source.char_indices().take_while(|(at, _)| *at < offset).count();
        let spanned = source.char_indices().filter(|(at, _)| *at >= offset && start + at < span.end).count();
        let (text, indent, length) = clip(source, column - 1);
        let width = spanned.clamp(1, length.saturating_sub(indent).max(1));
        Excerpt { line, column, text, indent, width }
    }
}

/// The part of a line around its character number `at`, fit to print: the text, where `at` is in it, its length.
fn clip(line: &str, at: usize) -> (String, usize, usize) {
    const BEFORE: usize = 80;
    const LENGTH: usize = 160;
    let skip = if line.chars().count() > LENGTH { at.saturating_sub(BEFORE) } else { 0 };
    let text: String = line.chars().skip(skip).take(LENGTH).map(printable).collect();
    let length = text.chars().count();
    (text, at - skip, length)
}

/// A file is not allowed to send commands to the terminal it is shown on.
fn printable(c: char) -> char {
    // Bidirectional controls would show another line than the one that is read.
    let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c != '\t' && c.is_control() || reorders { char::REPLACEMENT_CHARACTER } else { c }
}

/// A text of the file, quoted for a message: escaped, and cut when it is long.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let short: String = text.chars().take(LONGEST).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    let escaped: String = short.chars().map(printable).collect();
    format!("{:?}", escaped + dots)
}

/// The code of syntax errors.
pub(super) const SYNTAX: &str = "syntax";

/// Every rule: its code, and what it is about.
pub const RULES: &[(&str, &str)] = &[
    (SYNTAX, "the file is TOML"),
    ("unknown-key", "only keys that exist are used"),
    ("missing-key", "required keys are there"),
    ("wrong-type", "values have the type their key wants"),
    ("wrong-value", "values are in the range or the list their key wants"),
    ("invalid-name", "names can be used where they are needed"),
    ("duplicate-name", "names are unique"),
    ("two-names", "a key with two names is written under one of them"),
    ("unknown-name", "names that are referred to exist"),
    ("invalid-path", "paths are absolute"),
    ("listen-address", "listen is an address with a port"),
    ("listen-exposed", "what is listened on is read by this host only"),
    ("missing-variable", "variables of the environment are set"),
    ("missing-kubeconfig", "kubeconfig files exist"),
    ("unnamed-cluster", "one of several clusters has a name"),
    ("no-cluster", "there is a cluster to write to"),
    (NOTHING_TO_DO, "there is something to do"),
    ("invalid-interface", "interface names are possible"),
    ("invalid-url", "what is asked by HTTP can be asked"),
    ("no-source", "a DynamicPrefix has a source"),
    ("auto-beside-source", "a source is written or chosen, not both"),
    ("invalid-router", "routers are link-local addresses"),
    ("invalid-network", "prefixes are networks"),
    ("prefix-hint", "a prefixHint can be delegated, and agrees with requestedPrefixLength"),
    ("invalid-duid", "a DUID is \"auto\", \"ll\", \"llt\" or 3 to 130 octets"),
    ("duid-form", "a DUID has the form of its type"),
    ("raw-option", "rawOptions have a content, and are not options that the client sends itself"),
    ("raw-option-form", "rawOptions have the form of their code, and are there once"),
    ("client-differs", "DynamicPrefixes on one interface agree on their DHCPv6 client"),
    ("duplicate-iaid", "IAIDs are unique on an interface"),
    ("observes-own-client", "there is one DHCPv6 client on an interface: one of ours, or one to observe"),
    ("message-size", "what a DHCPv6 client asks for fits into a packet"),
    ("needs-right", "what a setting needs beyond the rights of the unit"),
    ("refused-prefix", "the filter lets the static prefix pass"),
    ("invalid-address", "host parts are IPv6 addresses"),
    ("empty-range", "a range does not end before it starts"),
    ("offset-and-index", "a subnet has one place"),
    ("misaligned-offset", "an offset is a multiple of the size of its subnet"),
    ("offset-unit", "what an offset means here"),
    ("outside-prefix", "ranges and subnets lie inside the prefix"),
    ("outside-requested", "ranges and subnets lie inside a delegation of the length that is asked for"),
    ("outside-on-link", "ranges and subnets lie inside the /64 that a router usually announces"),
    ("prefix-ref", "a prefixRef says which part"),
    ("outside-range", "a suffix lies inside the range or subnet that its prefixRef names"),
    ("duplicate-service", "a Service stands in one [[service]] of a cluster"),
    ("same-address", "Services of one cluster have addresses of their own"),
    ("annotation-prefix", "prefixes of annotations are DNS names, with / at the end"),
    ("without-effect", "a setting has an effect"),
    ("pool-without-range", "a pool gets a part, not the whole prefix unasked"),
    ("unknown-kind", "targets are of kinds that we write"),
    ("invalid-target", "targets can be Kubernetes objects"),
    ("no-command", "a command is a list that begins with the absolute path of a program"),
    ("missing-command", "the programs of commands exist"),
    ("no-template", "a file has one template"),
    ("template", "templates refer to what there is"),
    (TEMPLATE_FILE, "files with templates can be read, and refer to what there is"),
    ("file-mode", "modes are permissions in octal"),
    ("overlap", "pools of one cluster do not overlap"),
    ("same-twice", "a range is on an object once"),
    ("replace-beside-append", "one object has one updateStrategy"),
    ("needs-restart", "a reload changes nothing that only a restart can change"),
    ("unreadable", "the file can be read"),
    ("not-utf-8", "the file is UTF-8"),
    ("too-large", "the file is no larger than 1 MiB"),
    ("more-findings", "only the first 200 findings are shown"),
];

/// Whether a finding of this rule may only follow from something that could not be read.
fn is_consequence(code: &str) -> bool {
    matches!(
        code,
        "missing-key" | "unknown-name" | "unnamed-cluster" | "no-cluster" | NOTHING_TO_DO | "no-source" | "prefix-ref"
    )
}
