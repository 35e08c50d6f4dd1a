//! The rules by example: every file of tests/config/bad with the output that is pinned beside it, the examples, tables
//! of values, and random files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, prop, proptest};
use proptest::strategy::Strategy as _;

use super::keys::{ROOT, TableSpec, ValueKind};
use super::*;

mod dhcpv6;
mod example;
mod service;
mod values;

/// A host with one variable, on which every file exists whose path does not contain "missing".
fn parse(text: &str, path: &str) -> Loaded {
    let variable = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| "/run/credentials/dyn-prefix".to_owned());
    let exists = |path: &Path| !path.to_string_lossy().contains("missing");
    Config::parse(text, Path::new(path), &Host { variable: &variable, exists: &exists, read: &template })
}

/// The templates of /etc/dyn-prefix are those of the examples, and one that is wrong.
fn template(path: &Path) -> Result<String, String> {
    if path.ends_with("wrong.in") {
        return Ok("first
  ${home-ipv6/web.cidr}, ${home.current\n"
            .replace("\\n", "\n"));
    }
    let name = path.strip_prefix("/etc/dyn-prefix").map_err(|_| "it is not there".to_owned())?;
    let example = directory("examples/host").join(name);
    std::fs::read_to_string(example).map_err(|_| "there is no such file".to_owned())
}

fn printed(loaded: &Loaded) -> String {
    loaded.findings.iter().map(|finding| format!("{finding}\n")).collect()
}

fn good(text: &str) -> Config {
    let loaded = parse(text, "good.toml");
    let said = printed(&loaded);
    loaded.config.unwrap_or_else(|| panic!("the file is refused:\n{said}"))
}

fn codes(text: &str) -> Vec<&'static str> {
    parse(text, "test.toml").findings.iter().map(|finding| finding.code).collect()
}

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn toml_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are no files in {}", directory.display());
    files
}

/// Every bad file says exactly what is pinned. UPDATE_EXPECT=1 rewrites the pinned texts: read them before a commit.
#[test]
fn bad_files_say_what_is_pinned() {
    let mut differing = Vec::new();
    for path in toml_files(&directory("tests/config/bad")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let said = printed(&parse(&text, path.file_name().unwrap().to_str().unwrap()));
        let pinned = path.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&pinned, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&pinned).unwrap_or_default();
        if said != expected {
            differing.push(format!("--- {}, expected:\n{expected}--- said:\n{said}", path.display()));
        }
    }
    assert!(differing.is_empty(), "{}", differing.concat());
}

/// A rule without a bad file is a rule nobody has seen at work, and a code that is not listed is not documented.
#[test]
fn every_rule_has_a_bad_file() {
    let shown: BTreeSet<&str> = toml_files(&directory("tests/config/bad"))
        .iter()
        .flat_map(|path| parse(&std::fs::read_to_string(path).unwrap(), "bad.toml").findings)
        .map(|finding| finding.code)
        .collect();
    // `file_findings` and `a_flood_of_findings_is_cut` show those that are about no place in a file; the
    // running daemon says what needs a restart.
    let of_file = BTreeSet::from(["needs-restart", "unreadable", "not-utf-8", "too-large", "more-findings"]);
    let rules: BTreeSet<&str> = RULES.iter().map(|(code, _)| *code).collect();
    assert_eq!(rules.len(), RULES.len(), "a code is listed twice");
    assert_eq!(shown, &rules - &of_file);
}

/// Nobody can act on an error that does not say what to do.
#[test]
fn every_error_but_a_syntax_error_has_a_hint() {
    for path in toml_files(&directory("tests/config/bad")) {
        for finding in parse(&std::fs::read_to_string(&path).unwrap(), "bad.toml").findings {
            assert!(
                finding.hint.is_some() || finding.severity == Severity::Note || finding.code == "syntax",
                "{finding}"
            );
        }
    }
}

#[test]
fn good_files_have_no_errors_and_no_warnings() {
    let examples = ["examples", "examples/host"].map(|name| toml_files(&directory(name)));
    for path in toml_files(&directory("tests/config/good")).into_iter().chain(examples.concat()) {
        let loaded = parse(&std::fs::read_to_string(&path).unwrap(), path.to_str().unwrap());
        assert!(loaded.config.is_some(), "{}", printed(&loaded));
        assert!(loaded.findings.iter().all(|finding| finding.severity == Severity::Note), "{}", printed(&loaded));
    }
}

/// The names of all keys below a table, in full: `dynamicPrefix.subnets.name`.
fn all_keys(table: &TableSpec, above: &str, keys: &mut BTreeMap<String, ValueKind>) {
    for key in table.keys {
        let name = format!("{above}{}", key.name);
        if let Some(below) = key.kind.table() {
            all_keys(below, &format!("{name}."), keys);
        }
        keys.insert(name, key.kind);
    }
}

/// The manual page and the hints are made of it.
#[test]
fn the_key_table_is_in_order() {
    let mut keys = BTreeMap::new();
    all_keys(&ROOT, "", &mut keys);
    for name in ["daemon.id", "cluster.kubeconfig", "dynamicPrefix.subnets.offset", "binding.target.namespace"] {
        assert!(keys.contains_key(name), "{name}");
    }
    in_order(&ROOT);
}

fn in_order(table: &TableSpec) {
    let names: BTreeSet<&str> = table.keys.iter().flat_map(|key| std::iter::once(key.name).chain(key.alias)).collect();
    let aliases = table.keys.iter().filter(|key| key.alias.is_some()).count();
    assert_eq!(names.len(), table.keys.len() + aliases, "{} has a name twice", table.title);
    for key in table.keys {
        assert!(key.help.ends_with('.'), "{}: {}", key.name, key.help);
        assert!(!(key.required && key.default.is_some()), "{} cannot be required and have a default", key.name);
        if let Some(below) = key.kind.table() {
            in_order(below);
        }
    }
}

fn written_keys(value: &toml::Value, above: &str, written: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                written.insert(format!("{above}{key}"));
                written_keys(value, &format!("{above}{key}."), written);
            }
        }
        toml::Value::Array(items) => items.iter().for_each(|item| written_keys(item, above, written)),
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}

#[test]
fn the_example_has_every_key() {
    let text = std::fs::read_to_string(directory("examples/dyn-prefix.toml")).unwrap();
    // Keys that exclude others stand in comments, as `# key = value`.
    let mut written = BTreeSet::new();
    written_keys(&toml::from_str(&text).unwrap(), "", &mut written);
    let mut keys = BTreeMap::new();
    all_keys(&ROOT, "", &mut keys);
    let absent: Vec<&String> = keys.keys().filter(|key| !written.contains(*key)).collect();
    assert!(absent.is_empty(), "examples/dyn-prefix.toml does not show {absent:?}");
}

/// As documented in the key table: a default that is written changes nothing.
#[test]
fn written_defaults_are_the_defaults() {
    let bare = good("[[dynamicPrefix]]\nname = 'a'\nacquisition.routerAdvertisement.interface = 'eth0'\n");
    let written = good(
        "[[dynamicPrefix]]\nname = 'a'\n[dynamicPrefix.acquisition]\nrouterAdvertisement = { interface = 'eth0', enabled = \
         true, routers = [] }\nprefixFilter = { requireGlobalUnicast = true, allow = [] }\n[dynamicPrefix.transition]\nmode = \
         'simple'\nservices = 'annotated'\nmaxPrefixHistory = 2\nonLoss = 'keep'\n",
    );
    assert_eq!(bare, written);
    let transition = bare.dynamic_prefixes[0].transition;
    assert_eq!(transition, Transition::default());
}

#[test]
fn an_empty_file_is_valid_and_idle() {
    for text in ["", "\n\n", "# only a comment", "\u{feff}", "[daemon]\n"] {
        let loaded = parse(text, "empty.toml");
        assert_eq!(loaded.config, Some(Config::default()), "{text:?}");
        assert_eq!(codes(text), ["nothing-to-do"], "{text:?}");
        assert_eq!(loaded.findings[0].severity, Severity::Note);
    }
}

#[test]
fn file_findings() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("dyn-prefix.toml");
    let said = |path: &Path| {
        let loaded = Config::load(path);
        assert_eq!(loaded.config, None);
        loaded.findings.iter().map(|finding| (finding.code, finding.to_string())).collect::<Vec<_>>()
    };
    let [(code, text)] = said(&path).try_into().unwrap();
    assert_eq!(code, "unreadable");
    assert!(text.starts_with(&format!("{}: error: the configuration cannot be read: No such file", path.display())));
    assert_eq!(said(directory.path())[0].0, "unreadable");

    std::fs::write(&path, b"[daemon]\nid = \"\xff\"\n").unwrap();
    let [(code, text)] = said(&path).try_into().unwrap();
    assert_eq!(code, "not-utf-8");
    let expected =
        "2:7: error: the file is not UTF-8 text: it goes wrong here\n    2 | id = \"\u{fffd}\"\n      |       ^\n";
    assert!(text.contains(expected), "{text}");

    std::fs::write(&path, vec![b'\n'; 1024 * 1024 + 1]).unwrap();
    assert_eq!(said(&path)[0].0, "too-large");
    std::fs::write(&path, vec![b'\n'; 1024 * 1024]).unwrap();
    assert_eq!(Config::load(&path).config, Some(Config::default()));
}

#[test]
fn places_count_characters() {
    // é and 😀 are one column each, a tab too.
    let loaded = parse("\n[daemon]\n\tid = \"é😀\"  # x\n", "places.toml");
    let finding = loaded.findings.iter().find(|finding| finding.code == "invalid-name").unwrap();
    let excerpt = finding.excerpt.clone().unwrap();
    assert_eq!((excerpt.line, excerpt.column, excerpt.width), (3, 7, 4));
    assert_eq!(excerpt.to_string(), "    3 | \tid = \"é😀\"  # x\n      | \t     ^^^^");
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let text = format!("daemon = {{ stateDirectory = \"/{}\", id = \"A\" }}", "x".repeat(5000));
    let loaded = parse(&text, "long.toml");
    let finding = loaded.findings.iter().find(|finding| finding.code == "invalid-name").unwrap();
    let excerpt = finding.excerpt.clone().unwrap();
    assert_eq!(excerpt.column, 1 + text.find("\"A\"").unwrap());
    assert!(excerpt.text.chars().count() <= 160);
    assert_eq!(&excerpt.text[excerpt.indent..excerpt.indent + excerpt.width], "\"A\"");
}

#[test]
fn files_cannot_command_the_terminal() {
    // TOML forbids most control characters; those that get through must not reach the terminal.
    for hostile in ["\u{9b}31m", "\u{1b}[2J", "\u{202e}", "\r"] {
        let said = printed(&parse(&format!("[daemon]\nid = \"{hostile}\"\n"), "hostile.toml"));
        assert!(!said.contains(hostile), "{said:?}");
    }
}

#[test]
fn a_flood_of_findings_is_cut() {
    let text: String = (0..1000).map(|n| format!("unknown{n} = 1\n")).collect();
    let loaded = parse(&text, "flood.toml");
    assert_eq!(loaded.findings.len(), 201);
    assert_eq!(loaded.findings.last().unwrap().code, "more-findings");
    assert!(loaded.config.is_none());
}

/// The pieces of good files, to make files that are nearly right.
fn mutated() -> impl proptest::strategy::Strategy<Value = String> {
    let files: Vec<String> = toml_files(&directory("tests/config/good"))
        .into_iter()
        .chain(toml_files(&directory("tests/config/bad")))
        .chain(toml_files(&directory("examples")))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let edit = (any::<prop::sample::Index>(), 0_usize..12, "(\\PC|[\\[\\]{}=\".\n#0-9]){0,8}");
    (prop::sample::select(files), prop::collection::vec(edit, 1..5)).prop_map(|(file, edits)| {
        let mut characters: Vec<char> = file.chars().collect();
        for (place, removed, inserted) in edits {
            let start = place.index(characters.len() + 1);
            let end = characters.len().min(start + removed);
            characters.splice(start..end, inserted.chars());
        }
        characters.into_iter().collect::<String>()
    })
}

/// What holds for every file, whatever it is.
fn holds_for_every_file(text: &str) {
    let loaded = parse(text, "random.toml");
    let has_errors = loaded.findings.iter().any(|finding| finding.severity == Severity::Error);
    assert_eq!(loaded.config.is_none(), has_errors, "{}", printed(&loaded));
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let here = loaded.findings.iter().filter(|finding| finding.path == Path::new("random.toml"));
    let places: Vec<_> = here.filter_map(|finding| finding.excerpt.as_ref()).collect();
    assert!(places.is_sorted_by_key(|place| (place.line, place.column)));
    for place in places {
        let source = text.split('\n').nth(place.line - 1).unwrap();
        assert!((1..=source.chars().count() + 1).contains(&place.column), "{place:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn random_text_never_panics(text in "(?s).{0,200}") {
        holds_for_every_file(&text);
    }

    #[test]
    fn nearly_toml_never_panics(text in "([\\[\\]{}=\".,\n#'\\\\ ]|a|b|daemon|cluster|binding|name|1|0x|::){0,60}") {
        holds_for_every_file(&text);
    }

    #[test]
    fn mutated_files_never_panic(text in mutated()) {
        holds_for_every_file(&text);
    }
}
