//! What is in the .deb, and what lintian says of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Lab;

pub(crate) const TESTS: &[super::Test] = &[
    ("lintian_has_nothing_to_say", lintian),
    ("the_deb_has_what_a_package_should_have", files),
    ("the_deb_has_every_example_and_those_that_are_run_are_executable", examples),
    ("the_manual_tells_of_other_clients_hooks_and_files", manual),
    ("the_unit_names_manual_pages_that_there_are", pages),
    ("the_version_is_that_of_cargo_toml", version),
    ("the_configuration_is_short_and_never_has_to_change", configuration),
];

/// What both packages have, beside the unit and its companions.
pub(crate) const FILES: [&str; 15] = [
    "/usr/bin/dyn-prefix",
    "/etc/dyn-prefix.toml",
    "/usr/share/man/man1/dyn-prefix.1.gz",
    "/usr/share/man/man5/dyn-prefix.toml.5.gz",
    "/usr/share/man/man7/dyn-prefix-networks.7.gz",
    "/usr/share/bash-completion/completions/dyn-prefix",
    "/usr/share/fish/vendor_completions.d/dyn-prefix.fish",
    "/usr/share/doc/dyn-prefix/dyn-prefix.toml.reference",
    "/usr/share/doc/dyn-prefix/examples/home.toml",
    "/usr/share/doc/dyn-prefix/examples/host/nft.conf",
    "/usr/share/doc/dyn-prefix/examples/hooks/odhcp6c",
    "/usr/share/doc/dyn-prefix/examples/kubernetes/dynamicprefixes.yaml",
    "/usr/share/doc/dyn-prefix/examples/monitoring/alerts.yaml",
    "/usr/share/doc/dyn-prefix/examples/observe.conf",
    "/usr/share/doc/dyn-prefix/examples/unreachable-route.conf",
];

fn lintian(lab: &Lab) {
    let said = lab.packages.lintian();
    // A finding is a letter for its weight and the package; N: is an explanation.
    let is_finding = |line: &&str| line.as_bytes().get(1) == Some(&b':') && !line.starts_with("N:");
    let findings: Vec<&str> = said.lines().filter(is_finding).collect();
    assert!(findings.is_empty(), "{}\n{said}", findings.join("\n"));
}

fn files(lab: &Lab) {
    let listed = lab.debian.done(&["dpkg-deb", "--contents", "/srv/first.deb"]);
    let has = |path: &str| listed.lines().any(|line| line.split_whitespace().nth(5) == Some(&format!(".{path}")));
    let own = [
        "/lib/systemd/system/dyn-prefix.service",
        "/usr/lib/sysusers.d/dyn-prefix.conf",
        "/usr/lib/tmpfiles.d/dyn-prefix.conf",
        "/usr/share/zsh/vendor-completions/_dyn-prefix",
    ];
    for path in FILES.iter().chain(&own) {
        assert!(has(path), "{path} is missing:\n{listed}");
    }
    for line in listed.lines() {
        assert!(line.contains(" root/root "), "{line}");
    }
    assert_eq!(lab.debian.done(&["dpkg-deb", "--info", "/srv/first.deb", "conffiles"]), "/etc/dyn-prefix.toml\n");
}

/// A demo is a program of its own; all else below examples is for who installs the package.
fn examples(lab: &Lab) {
    let listed = lab.debian.done(&["dpkg-deb", "--contents", "/srv/first.deb"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for directory in ["examples", "examples/hooks", "examples/host", "examples/monitoring"] {
        let here =
            fs::read_dir(root.join(directory)).expect("a directory").map(|entry| entry.expect("an entry").path());
        for path in here.filter(|path| path.is_file()) {
            let is_run = fs::metadata(&path).expect("a file").permissions().mode() & 0o100 != 0;
            let name = path.strip_prefix(root).expect("below it").display();
            let wanted = format!("./usr/share/doc/dyn-prefix/{name}");
            let line = listed.lines().find(|line| line.split_whitespace().nth(5) == Some(&wanted));
            let mode = if is_run { "-rwxr-xr-x" } else { "-rw-r--r--" };
            assert!(line.is_some_and(|line| line.starts_with(mode)), "{name}, {mode}: {line:?}");
        }
    }
}

fn manual(lab: &Lab) {
    let page = |name: &str| {
        let file = format!("./usr/share/man/{name}.gz");
        let text = format!("dpkg-deb --fsys-tarfile /srv/first.deb | tar -xO {file} | zcat");
        lab.debian.done(&["sh", "-c", &text])
    };
    for (name, words) in [
        (
            "man1/dyn-prefix.1",
            ["dyn\\-prefix report", "\\-\\-preferred", "\\-\\-valid", "\\-\\-excluded", "\\-\\-gone"],
        ),
        ("man5/dyn-prefix.toml.5", ["[[hook]]", "[[file]]", "observe", "acquisition = \"auto\"", "TEMPLATES"]),
        (
            "man7/dyn-prefix\\-networks.7",
            ["BESIDE ANOTHER DHCPV6 CLIENT", "dyn\\-prefix report", "examples/hooks", "examples/host", "observe"],
        ),
    ] {
        let text = page(&name.replace('\\', ""));
        for word in words {
            assert!(text.contains(word), "{name} has no {word}");
        }
    }
}

/// The unit names manual pages that the packages have.
fn pages(_: &Lab) {
    let unit = include_str!("../../systemd/dyn-prefix.service");
    let named = unit.lines().find_map(|line| line.strip_prefix("Documentation=")).expect("Documentation=");
    for page in named.split_whitespace() {
        let (name, section) = page.trim_start_matches("man:").trim_end_matches(')').split_once('(').expect(page);
        let path = format!("/usr/share/man/man{section}/{name}.{section}.gz");
        assert!(FILES.contains(&path.as_str()), "{page}: {path}");
    }
}

fn version(lab: &Lab) {
    let field = |which: &str| lab.debian.done(&["dpkg-deb", "--field", &format!("/srv/{which}.deb"), "Version"]);
    assert_eq!(field("first").trim(), env!("CARGO_PKG_VERSION"));
    assert_eq!(field("next").trim(), concat!(env!("CARGO_PKG_VERSION"), "+next"));
}

/// A conffile that changes asks a question at every upgrade.
fn configuration(_: &Lab) {
    let text = include_str!("../../packaging/dyn-prefix.toml");
    assert!(text.lines().count() <= 15, "{} lines", text.lines().count());
    assert!(text.lines().all(|line| line.starts_with('#')), "it sets nothing:\n{text}");
    // What it proposes is a configuration.
    let proposed: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#   ")).collect();
    let home = include_str!("../../examples/home.toml");
    for line in proposed {
        assert!(home.lines().any(|known| known == line), "examples/home.toml has no {line}");
    }
}
