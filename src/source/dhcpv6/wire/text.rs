//! Texts of others that go into our log.

/// More than any server has to say.
const MOST: usize = 200;

/// `octets` as a text for a log line: what is not UTF-8, a control character or reorders the line is replaced, and
/// it ends after 200 characters.
pub(super) fn safe(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    // Some servers send the NUL at the end of a C string too.
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let safe = |c| if is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(MOST).map(safe).collect::<String>().trim_end().to_owned()
}

/// Control characters, line and paragraph separators, and what changes the direction of the text.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
