//! Rules of the project that a text search can hold.
//!
//! Each rule is a function from file names and texts to complaints, and is tried on a text that breaks it, too.

use std::fs;
use std::path::{Path, PathBuf};

/// Deciders: files, or directories with all that is in them. Their tests may do what they like.
const DECIDERS: [&str; 126] = [
    "src/listen/host.rs",
    "src/control/seats.rs",
    "src/host/mod.rs",
    "src/host/attempt.rs",
    "src/host/decide.rs",
    "src/host/environment.rs",
    "src/host/facts.rs",
    "src/host/file.rs",
    "src/host/hook.rs",
    "src/host/template.rs",
    "src/host/template/",
    "src/host/view.rs",
    "src/log/record/host.rs",
    "src/init.rs",
    "src/init/",
    "src/doctor/mod.rs",
    "src/doctor/actions.rs",
    "src/doctor/addresses.rs",
    "src/doctor/capability.rs",
    "src/doctor/choice.rs",
    "src/doctor/clock.rs",
    "src/doctor/daemon.rs",
    "src/doctor/interface.rs",
    "src/doctor/lease.rs",
    "src/doctor/port.rs",
    "src/doctor/prefixes.rs",
    "src/doctor/reading.rs",
    "src/doctor/router.rs",
    "src/doctor/routes.rs",
    "src/doctor/service.rs",
    "src/doctor/firewall/",
    "src/doctor/cluster/",
    "src/time.rs",
    "src/prefix.rs",
    "src/status.rs",
    "src/status/",
    "src/arbiter/",
    "src/convert/",
    "src/manual/",
    "src/plan/",
    "src/rbac.rs",
    "src/rbac/",
    "src/config/",
    "src/cluster/mod.rs",
    "src/cluster/backoff.rs",
    "src/cluster/entry.rs",
    "src/cluster/ownership.rs",
    "src/cluster/object.rs",
    "src/cluster/schema.rs",
    "src/cluster/object/",
    "src/cluster/addresses.rs",
    "src/cluster/addresses/",
    "src/cluster/notice.rs",
    "src/cluster/mirror.rs",
    "src/cluster/mirror/",
    "src/cluster/selector.rs",
    "src/cluster/service.rs",
    "src/cluster/service/",
    "src/cluster/island/",
    "src/cluster/transition.rs",
    "src/cluster/transition/",
    "src/source/mod.rs",
    "src/source/dhcpv6/mod.rs",
    "src/source/dhcpv6/identity.rs",
    "src/source/dhcpv6/wire/",
    "src/source/dhcpv6/client/",
    "src/source/http/answer.rs",
    "src/source/http/asker.rs",
    "src/source/http/asker/",
    "src/source/interface/addresses.rs",
    "src/source/interface/table.rs",
    "src/source/interface/table/",
    "src/source/observe/mod.rs",
    "src/source/observe/asking.rs",
    "src/source/observe/evidence.rs",
    "src/source/observe/evidence/files.rs",
    "src/source/observe/evidence/lapses.rs",
    "src/source/observe/filed.rs",
    "src/source/observe/filed/dhclient.rs",
    "src/source/observe/filed/dhcpcd.rs",
    "src/source/observe/filed/networkd.rs",
    "src/source/observe/exchange.rs",
    "src/source/observe/hint.rs",
    "src/source/observe/leases.rs",
    "src/source/observe/observer.rs",
    "src/source/observe/octets.rs",
    "src/source/observe/onlink.rs",
    "src/source/observe/packet.rs",
    "src/source/observe/report.rs",
    "src/source/observe/sentry.rs",
    "src/source/observe/told.rs",
    "src/source/observe/traces.rs",
    "src/source/ra/packet.rs",
    "src/source/ra/table.rs",
    "src/source/ra/solicit.rs",
    "src/source/ra/router.rs",
    "src/daemon/choice.rs",
    "src/daemon/choice/",
    "src/daemon/clients.rs",
    "src/daemon/delegation.rs",
    "src/daemon/coordinator.rs",
    "src/daemon/parting.rs",
    "src/daemon/reporting.rs",
    "src/daemon/pause.rs",
    "src/daemon/take_over.rs",
    "src/cluster/told.rs",
    "src/daemon/coordinator/",
    "src/daemon/expiry.rs",
    "src/daemon/mirror.rs",
    "src/daemon/condition.rs",
    "src/daemon/twins.rs",
    "src/daemon/view.rs",
    "src/daemon/write_log.rs",
    "src/metrics/",
    "src/spool/entry.rs",
    "src/store/lease.rs",
    "src/store/state.rs",
    "src/store/paused.rs",
    "src/record/mod.rs",
    "src/record/choice.rs",
    "src/record/encoding.rs",
    "src/replay/",
    "src/source/dhcpv6/others/dhcpcd.rs",
    "src/source/dhcpv6/others/ini.rs",
    "src/source/dhcpv6/others/network_manager.rs",
    "src/source/dhcpv6/others/networkd.rs",
    "src/source/dhcpv6/others/process.rs",
];

/// Reads the configuration file for the deciders beside it.
const NO_DECIDER: [&str; 1] = ["src/config/file.rs"];

/// What a decider has no use for.
const IMPURE: [&str; 20] = [
    "tokio",
    "kube::",
    "kube_runtime",
    "rustix",
    "nix::",
    "socket2",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "std::time::Instant",
    "SystemTime",
    "Timestamp::now",
    "rand::",
    "crate::clock",
    "RandomState",
];

/// What the top level of the repository holds, beside the lock file and dot files.
const TOP_LEVEL: [&str; 10] =
    ["Cargo.toml", "Cargo.lock", "src", "packaging", "systemd", "examples", "tests", "debian", "README.md", "LICENSE"];

/// A file that does not fit into a head does not fit into one file. The aim is 400; a few more are no reason to split.
const MOST_LINES: usize = 430;

/// Files that are data of others, or made by a program.
const NO_SOURCE: [&str; 4] = ["Cargo.lock", "go.sum", "LICENSE", ".pem"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of the repository but those that git ignores and the lists above: path and text.
fn files() -> Vec<(String, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_symlink() || matches!(name.as_str(), "target" | ".git" | "vendor" | ".debhelper" | "built-docs")
            {
                continue;
            }
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort();
    let text = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let text = String::from_utf8(fs::read(&path).unwrap()).ok()?;
        (!NO_SOURCE.iter().any(|end| name.ends_with(end))).then_some((name, text))
    };
    let files: Vec<_> = found.into_iter().filter_map(text).collect();
    assert!(files.iter().any(|(name, _)| name == "src/lib.rs"), "the walk found the source");
    files
}

fn rust() -> Vec<(String, String)> {
    files().into_iter().filter(|(name, _)| name.ends_with(".rs")).collect()
}

fn nothing(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// The code of a file: without comments, and without what follows a `#[cfg(test)] mod tests`.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let lines = text[..tests].lines().enumerate().map(|(number, line)| (number + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn is_test(name: &str) -> bool {
    name.starts_with("tests/") || name.contains("/tests/") || name.ends_with("/tests.rs")
}

fn is_decider(name: &str) -> bool {
    let listed = DECIDERS.iter().any(|decider| name == *decider || decider.ends_with('/') && name.starts_with(decider));
    listed && !NO_DECIDER.contains(&name) && !is_test(name)
}

fn impure(name: &str, text: &str) -> Vec<String> {
    let complain = |(number, line): (usize, &str)| {
        let word = IMPURE.iter().find(|word| line.contains(**word))?;
        Some(format!("{name}:{number}: a decider must not use {word}: {}", line.trim()))
    };
    code(text).filter_map(complain).collect()
}

#[test]
fn deciders_touch_nothing() {
    let files = rust();
    for decider in DECIDERS {
        assert!(files.iter().any(|(name, _)| name.starts_with(decider)), "{decider} is no file");
    }
    let deciders = files.iter().filter(|(name, _)| is_decider(name));
    nothing(&deciders.flat_map(|(name, text)| impure(name, text)).collect::<Vec<_>>());
    assert_eq!(impure("x.rs", "fn f() {\n    let now = std::time::Instant::now();\n}\n").len(), 1);
    assert_eq!(impure("x.rs", "use std::{fs, net};\nuse crate::clock;\n").len(), 1);
    assert!(impure("x.rs", "// tokio\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n").is_empty());
}

/// `use std::{fs, …}` would hide a module from a search for `std::fs`.
#[test]
fn imports_name_one_module_each() {
    let complain = |name: &str, text: &str| -> Vec<String> {
        let grouped = |line: &str| line.starts_with("use std::{") || line.starts_with("use tokio::{");
        code(text)
            .filter(|(_, line)| grouped(line))
            .map(|(number, _)| format!("{name}:{number}: one `use` each"))
            .collect()
    };
    nothing(&rust().iter().flat_map(|(name, text)| complain(name, text)).collect::<Vec<_>>());
    assert_eq!(complain("x.rs", "use std::{fs, net};\n").len(), 1);
}

#[test]
fn sources_and_clusters_do_not_know_each_other() {
    let complain = |name: &str, text: &str| -> Vec<String> {
        let foreign: &[&str] = match name {
            _ if name.starts_with("src/source/") => {
                &["crate::cluster", "crate::arbiter", "crate::plan", "crate::daemon"]
            }
            _ if name.starts_with("src/cluster/") => {
                &["crate::source", "crate::arbiter", "crate::daemon", "crate::store"]
            }
            _ if name.starts_with("src/arbiter/") || name.starts_with("src/plan/") => {
                &["crate::cluster", "crate::daemon"]
            }
            _ => &[],
        };
        let hit = |(number, line): (usize, &str)| {
            let word = foreign.iter().find(|word| line.contains(**word))?;
            Some(format!("{name}:{number}: not to be known here: {word}"))
        };
        code(text).filter_map(hit).collect()
    };
    let files = rust();
    let program = files.iter().filter(|(name, _)| !is_test(name));
    nothing(&program.flat_map(|(name, text)| complain(name, text)).collect::<Vec<_>>());
    assert_eq!(complain("src/source/x.rs", "use crate::cluster::Update;\n").len(), 1);
}

#[test]
fn files_fit_into_a_head() {
    let complain = |name: &str, text: &str| {
        let lines = text.lines().count();
        (lines > MOST_LINES).then(|| format!("{name}: {lines} lines, {MOST_LINES} are the most"))
    };
    nothing(&rust().iter().filter_map(|(name, text)| complain(name, text)).collect::<Vec<_>>());
    assert!(complain("x.rs", &"\n".repeat(MOST_LINES + 1)).is_some());
}

#[test]
fn the_top_level_is_as_agreed() {
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let made = ["target", "vendor"];
    let known =
        |name: &String| name.starts_with('.') || made.contains(&name.as_str()) || TOP_LEVEL.contains(&name.as_str());
    nothing(&entries.filter(|name| !known(name)).collect::<Vec<_>>());
}

/// Host names of registries and paths of somebody's machine have no place in a repository. Written in two parts, so that
/// this file does not find itself.
const OF_A_MACHINE: [[&str; 2]; 10] = [
    ["crates", ".io"],
    ["pypi", ".org"],
    ["pythonhosted", ".org"],
    ["proxy.golang", ".org"],
    ["registry.npm", "js"],
    ["deb.debian", ".org"],
    ["/home", "/"],
    ["/root", "/"],
    ["/Users", "/"],
    ["/tmp", "/"],
];

#[test]
fn nothing_is_of_one_machine() {
    let complain = |name: &str, text: &str| -> Vec<String> {
        let hit = |(number, line): (usize, &str)| {
            let word = OF_A_MACHINE.iter().map(|parts| parts.concat()).find(|word| mentions(line, word))?;
            Some(format!("{name}:{}: {word} is of one machine or registry", number + 1))
        };
        text.lines().enumerate().filter_map(hit).collect()
    };
    nothing(&files().iter().flat_map(|(name, text)| complain(name, text)).collect::<Vec<_>>());
    assert_eq!(complain("x", &format!("see {}/me/notes\n", "/home")).len(), 1);
    assert!(complain("x", "$cache/tmp/file, network/tmp/\n").is_empty());
}

/// A path counts where it begins; a host name anywhere.
fn mentions(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !word.starts_with('/') || before.is_none_or(|before| !before.is_alphanumeric() && !"}/_-.$".contains(before))
    })
}

/// Packages whose library has a name of its own.
const LIBRARIES: [(&str, &str); 1] = [("md-5", "md5")];

#[test]
fn every_dependency_is_used() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let files = rust();
    let words = |dependencies: &str, wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        let unused = |name: &String| {
            let word = LIBRARIES.iter().find(|(package, _)| package == name).map(|(_, library)| (*library).to_owned());
            let word = word.unwrap_or_else(|| name.replace('-', "_"));
            let used = |text: &str| text.contains(&format!("{word}::")) || text.contains(&format!("use {word};"));
            !files.iter().any(|(file, text)| wanted(file) && used(text))
        };
        names(&manifest, dependencies).into_iter().filter(unused).collect()
    };
    let program = words("[dependencies]", &|file| file.starts_with("src/"));
    let tests = words("[dev-dependencies]", &|_| true);
    nothing(&[program, tests].concat());
    assert_eq!(names("[a]\nb-c = \"1\"\nd = { version = \"1\" }\n\n[e]\nf = 1\n", "[a]"), ["b-c", "d"]);
}

/// The keys of a table of the manifest.
fn names(manifest: &str, table: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| *line != table).skip(1).take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn only_emit_logs_above_debug() {
    let complain = |name: &str, text: &str| -> Vec<String> {
        let loud = ["info!(", "warn!(", "error!(", "event!(", "println!(", "eprintln!("];
        let hit = |(number, line): (usize, &str)| {
            let word = loud.iter().find(|word| line.contains(**word) && !line.contains("compile_error!("))?;
            Some(format!("{name}:{number}: {word} only in log::emit; make a line in log::record"))
        };
        code(text).filter_map(hit).collect()
    };
    let files = rust();
    let program =
        files.iter().filter(|(name, _)| name.starts_with("src/") && name != "src/log/mod.rs" && !is_test(name));
    nothing(&program.flat_map(|(name, text)| complain(name, text)).collect::<Vec<_>>());
    assert_eq!(complain("x.rs", "    tracing::warn!(\"x\");\n").len(), 1);
}

/// Every rule of the checker has a file that breaks it (`src/config/tests.rs` compares what it prints).
#[test]
fn every_bad_file_has_its_output() {
    let names = |end: &str| {
        let entries = fs::read_dir(root().join("tests/config/bad")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let mut stems: Vec<String> = names.filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect();
        stems.sort();
        stems
    };
    assert_eq!(names(".toml"), names(".txt"));
    assert!(!names(".toml").is_empty());
}
