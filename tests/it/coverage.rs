//! The conformance table of the DHCPv6 client: every id has a test whose name begins with it, or a reason here.
//!
//! A test covers an id as a function `t012_…` (several: `t034_t035_…`), or as the name of a trial, `"t012_…"`. One that is
//! marked `#[ignore]` covers nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rows of the table that concern this program: tables A to F and I, and of H what is about other clients on the
/// host and netlink. G is about Router Advertisements, whose tests carry names of their own.
fn table() -> BTreeSet<u16> {
    (1..=117).chain(140..=142).chain(144..=173).chain([178]).collect()
}

/// The rows without a test, and why.
const NOT_COVERED: &[(u16, &str)] = &[
    (157, "the client asks for no DNS servers, so there is no list to drop"),
    (161, "no target carries lifetimes: pools and CIDR groups have none"),
];

/// This file names ids that it does not test.
const HERE: &str = "tests/it/coverage.rs";

/// The ids that the name of a test begins with.
fn ids(name: &str) -> Vec<u16> {
    let id = |part: &str| {
        let digits = part.strip_prefix('t').filter(|digits| digits.len() == 3)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    name.split('_').map_while(id).collect()
}

/// The name that begins a text: of a function, or in a literal.
fn name(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The ids of the tests in a file.
fn covered(text: &str) -> BTreeSet<u16> {
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let ignored = |number: usize| {
        let attributes =
            lines[..number].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        attributes.into_iter().any(|line| line.starts_with("#[ignore"))
    };
    let names = lines.iter().enumerate().filter(|(number, line)| !line.starts_with("//") && !ignored(*number));
    let names = names.flat_map(|(_, line)| {
        let function = line.strip_prefix("pub(crate) ").unwrap_or(line).strip_prefix("fn ").map(name);
        function.into_iter().chain(line.split('"').skip(1).step_by(2).map(name))
    });
    names.flat_map(ids).collect()
}

fn walk(directory: &Path, found: &mut BTreeMap<String, BTreeSet<u16>>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display().to_string();
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, found);
        } else if relative.ends_with(".rs") && relative != HERE {
            found.insert(relative, covered(&fs::read_to_string(&path).unwrap()));
        }
    }
}

/// What is wrong: ids without test and without reason, with both, or in no table.
fn complaints(wanted: &BTreeSet<u16>, reasons: &[(u16, &str)], covered: &BTreeSet<u16>) -> Vec<String> {
    let excused: BTreeSet<u16> = reasons.iter().map(|(id, _)| *id).collect();
    let list = |ids: Vec<&u16>| ids.iter().map(|id| format!("T-{id:03}")).collect::<Vec<_>>().join(", ");
    let missing: Vec<_> = wanted.iter().filter(|id| !covered.contains(id) && !excused.contains(id)).collect();
    let needless: Vec<_> = excused.intersection(covered).collect();
    let unknown: Vec<_> = excused.iter().filter(|id| !wanted.contains(id)).collect();
    [
        (list(missing), "no test begins with this id, and NOT_COVERED gives no reason"),
        (list(needless), "in NOT_COVERED although there is a test"),
        (list(unknown), "in NOT_COVERED and in no table"),
    ]
    .into_iter()
    .filter(|(ids, _)| !ids.is_empty())
    .map(|(ids, what)| format!("{ids}: {what}"))
    .collect()
}

#[test]
fn every_row_of_the_conformance_table_has_its_test_or_a_reason() {
    let mut files = BTreeMap::new();
    for directory in ["src", "tests"] {
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut files);
    }
    assert!(files.contains_key("src/lib.rs") && files.contains_key("tests/it/main.rs"), "the walk found the files");
    let covered = files.into_values().flatten().collect();
    let complaints = complaints(&table(), NOT_COVERED, &covered);
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_names_of_tests_are_read_as_they_are_meant() {
    let text = "
        #[test]
        fn t034_t035_two_ids() {}
        #[test]
        #[ignore = \"a bug\"]
        fn t036_ignored() {}
        // fn t037_in_a_comment() {}
        fn at038_no_id() {}
        fn t39_short() {}
        Test::new(\"t046_trial\", &[]); Test::new(\"kea_t047\", run);
        const TESTS: [Test; 1] = [(\"t048_trial\", t049)];
    ";
    assert_eq!(covered(text), BTreeSet::from([34, 35, 46, 48]));
}

#[test]
fn what_is_missing_needless_or_unknown_is_named() {
    let wanted = BTreeSet::from([1, 2, 3]);
    assert!(complaints(&wanted, &[(3, "why")], &BTreeSet::from([1, 2])).is_empty());
    let complaints = complaints(&wanted, &[(1, "why"), (9, "why")], &BTreeSet::from([1, 2]));
    let heads: Vec<_> =
        complaints.iter().filter_map(|complaint| complaint.split_once(':')).map(|(ids, _)| ids).collect();
    assert_eq!(heads, ["T-003", "T-001", "T-009"]);
}
