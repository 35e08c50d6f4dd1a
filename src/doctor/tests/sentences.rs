//! Every sentence that doctor can say is said by a test: the literals of the checks are held against what the tests
//! provoke.

use std::cell::RefCell;

use super::{Finding, actions, cluster, host, interfaces, prefixes, reading, sources};

thread_local! {
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Remembers what a test provoked.
pub(super) fn said(found: &[Finding]) {
    let texts = found.iter().map(|finding| {
        let Finding { subject, message, advice, .. } = finding;
        format!("{message} {} {subject}", advice.as_deref().unwrap_or_default())
    });
    SAID.with(|all| all.borrow_mut().extend(texts));
}

/// Where findings are made.
const CHECKS: [(&str, &str); 22] = [
    ("actions", include_str!("../actions.rs")),
    ("addresses", include_str!("../addresses.rs")),
    ("capability", include_str!("../capability.rs")),
    ("choice", include_str!("../choice.rs")),
    ("clock", include_str!("../clock.rs")),
    ("daemon", include_str!("../daemon.rs")),
    ("firewall", include_str!("../firewall/mod.rs")),
    ("firewall", include_str!("../firewall/seen.rs")),
    ("interface", include_str!("../interface.rs")),
    ("lease", include_str!("../lease.rs")),
    ("port", include_str!("../port.rs")),
    ("prefixes", include_str!("../prefixes.rs")),
    ("reading", include_str!("../reading.rs")),
    ("router", include_str!("../router.rs")),
    ("routes", include_str!("../routes.rs")),
    ("service", include_str!("../service.rs")),
    ("announcement", include_str!("../cluster/announcement.rs")),
    ("connection", include_str!("../cluster/connection.rs")),
    ("dns", include_str!("../cluster/dns.rs")),
    ("external_dns", include_str!("../cluster/external_dns.rs")),
    ("kinds", include_str!("../cluster/kinds.rs")),
    ("objects", include_str!("../cluster/objects.rs")),
];

/// What is shorter is a part of a sentence, or none.
const WORDS: usize = 4;

/// The literals of a source, without comments, attributes and tests.
fn literals(source: &str) -> Vec<String> {
    let text = source.split("#[cfg(test)]").next().unwrap_or_default();
    let is_code = |line: &&str| !["//", "#["].iter().any(|start| line.trim_start().starts_with(start));
    let code = text.lines().filter(is_code).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    let mut letters = code.replace("'\"'", "").chars().collect::<Vec<_>>().into_iter();
    while letters.by_ref().any(|letter| letter == '"') {
        let mut literal = String::new();
        while let Some(letter) = letters.next().filter(|letter| *letter != '"') {
            match letter {
                '\\' => match letters.next() {
                    // A line goes on where its text does.
                    Some('\n') => {
                        let rest = letters.as_slice().iter().take_while(|letter| letter.is_whitespace()).count();
                        letters.by_ref().take(rest).for_each(drop);
                    }
                    Some(escaped) => literal.push(escaped),
                    None => {}
                },
                letter => literal.push(letter),
            }
        }
        found.push(literal);
    }
    found
}

/// The fixed parts of a format string.
fn fixed(literal: &str) -> Vec<String> {
    let literal = literal.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let parts = literal.split('{').enumerate().map(|(place, part)| {
        let part = if place == 0 { part } else { part.split_once('}').map_or(part, |(_, rest)| rest) };
        part.replace('\u{1}', "{").replace('\u{2}', "}")
    });
    parts.filter(|part| !part.is_empty()).collect()
}

fn says(text: &str, parts: &[String]) -> bool {
    let next = |rest: Option<usize>, part: &String| {
        let at = rest?;
        Some(at + text[at..].find(part.as_str())? + part.len())
    };
    parts.iter().fold(Some(0), next).is_some()
}

#[test]
fn every_sentence_is_said() {
    let tests = [
        actions::TESTS,
        host::TESTS,
        interfaces::TESTS,
        prefixes::TESTS,
        reading::TESTS,
        sources::TESTS,
        cluster::TESTS,
        crate::doctor::firewall::tests::TESTS,
    ]
    .concat();
    tests.iter().for_each(|test| test());
    let said = SAID.with(RefCell::take);
    let mut counted = 0;
    let mut silent = Vec::new();
    for (check, source) in CHECKS {
        for literal in literals(source).iter().filter(|literal| literal.split_whitespace().count() >= WORDS) {
            counted += 1;
            let parts = fixed(literal);
            if !said.iter().any(|text| says(text, &parts)) {
                silent.push(format!("{check}: {literal}"));
            }
        }
    }
    assert!(silent.is_empty(), "no test in TESTS provokes:\n{}", silent.join("\n"));
    assert!(counted >= 150, "the search finds the sentences: {counted}");
}

#[test]
fn literals_are_read_as_they_are_meant() {
    let source = "// \"no\"\n#[expect(x, reason = \"no\")]\nlet a = \"one \\\"two\\\" \\\n        three\";\nf(\"b\");\n#[cfg(test)]\n\"no\"";
    assert_eq!(literals(source), ["one \"two\" three", "b"]);
    assert_eq!(fixed("a {b} c {{d}}{e:?}."), ["a ", " c {d}", "."]);
    let parts = fixed("There is {x} of {y}.");
    assert!(says("There is one of two.", &parts) && !says("There is one. And two of them", &parts));
}
