//! The lease file of ISC dhclient: `lease6` blocks, of which the last one of an interface counts (dhclient.leases(5)). Pure.

use std::iter::Peekable;
use std::str::Chars;

use super::Written;
use crate::source::dhcpv6::client::is_unicast;

/// How deep blocks may be nested; `iaprefix` is the third.
const DEPTH: usize = 8;

/// What is delegated on an interface.
pub(in crate::source::observe) fn parse(text: &str, interface: &str) -> Vec<Written> {
    let mut characters = text.chars().peekable();
    let (mut blocks, mut words) = (Vec::<Vec<String>>::new(), Vec::new());
    let (mut leases, mut lease) = (Vec::new(), Lease::default());
    while let Some(token) = token(&mut characters) {
        match token {
            Token::Word(word) => words.push(word),
            Token::Open => {
                let opened = std::mem::take(&mut words);
                if blocks.is_empty() {
                    lease = Lease::default();
                }
                if blocks.len() >= DEPTH {
                    return Vec::new();
                }
                lease.open(&blocks, &opened);
                blocks.push(opened);
            }
            Token::End => lease.take(&blocks, &std::mem::take(&mut words)),
            Token::Close => {
                words.clear();
                let closed = blocks.pop();
                if blocks.is_empty() && closed.is_some_and(|closed| closed == ["lease6"]) {
                    leases.push(std::mem::take(&mut lease));
                }
            }
        }
    }
    let own = leases.into_iter().rfind(|lease| lease.interface.as_deref() == Some(interface));
    own.filter(|lease| !lease.released).map(Lease::prefixes).unwrap_or_default()
}

#[derive(Debug, Default)]
struct Lease {
    interface: Option<String>,
    released: bool,
    prefixes: Vec<Written>,
    /// What is said is said of the last prefix.
    is_of_last: bool,
}

impl Lease {
    fn open(&mut self, outer: &[Vec<String>], opened: &[String]) {
        self.is_of_last = false;
        if let ([lease, delegation], [kind, prefix]) = (outer, opened)
            && lease == &["lease6"]
            && delegation.first().is_some_and(|word| word == "ia-pd")
            && kind == "iaprefix"
            && let Ok(prefix) = prefix.parse::<ipnet::Ipv6Net>()
        {
            let written = Written { prefix: prefix.trunc(), since: None, preferred: 0, valid: 0, excluded: None };
            self.prefixes.push(written);
            self.is_of_last = true;
        }
    }

    fn take(&mut self, blocks: &[Vec<String>], statement: &[String]) {
        let number = || statement.get(1).and_then(|word| word.parse::<i64>().ok());
        let lifetime = || number().and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or_default();
        match (blocks, statement.first().map(String::as_str)) {
            ([lease], Some("interface")) if lease == &["lease6"] => self.interface = statement.get(1).cloned(),
            ([lease], Some("released")) if lease == &["lease6"] => self.released = true,
            ([_, delegation, inner], Some(key))
                if delegation.first().is_some_and(|word| word == "ia-pd")
                    && inner.first().is_some_and(|word| word == "iaprefix") =>
            {
                let Some(prefix) = self.prefixes.last_mut().filter(|_| self.is_of_last) else { return };
                match key {
                    "starts" => prefix.since = number(),
                    "preferred-life" => prefix.preferred = lifetime(),
                    "max-life" => prefix.valid = lifetime(),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Those of which all is known.
    fn prefixes(self) -> Vec<Written> {
        let whole =
            |it: &Written| it.since.is_some() && it.valid > 0 && it.preferred <= it.valid && is_unicast(it.prefix);
        self.prefixes.into_iter().filter(whole).collect()
    }
}

enum Token {
    Word(String),
    Open,
    Close,
    End,
}

/// The next one; quotes are left out, and so is what follows a `#`.
fn token(characters: &mut Peekable<Chars<'_>>) -> Option<Token> {
    loop {
        match characters.next()? {
            '{' => return Some(Token::Open),
            '}' => return Some(Token::Close),
            ';' => return Some(Token::End),
            '#' => while characters.next_if(|next| *next != '\n').is_some() {},
            '"' => return Some(Token::Word(quoted(characters))),
            space if space.is_whitespace() => {}
            first => {
                let mut word = String::from(first);
                let goes_on = |next: &char| !next.is_whitespace() && !matches!(next, '{' | '}' | ';' | '"' | '#');
                while let Some(next) = characters.next_if(goes_on) {
                    word.push(next);
                }
                return Some(Token::Word(word));
            }
        }
    }
}

/// Up to the closing quote. What a backslash stands for does not matter: nothing that is looked for has one.
fn quoted(characters: &mut Peekable<Chars<'_>>) -> String {
    let mut word = String::new();
    while let Some(next) = characters.next() {
        match next {
            '"' => break,
            '\\' => word.extend(characters.next()),
            next => word.push(next),
        }
    }
    word
}
