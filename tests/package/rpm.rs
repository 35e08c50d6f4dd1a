//! The .rpm: its files, its scripts, and its life on a booted system. That system is a Debian, which has rpm but not the
//! packages that the .rpm requires; what the scripts call is there.

use std::collections::BTreeSet;

use super::Lab;
use super::contents::FILES;
use super::guest::{Guest, UNIT};

pub(crate) const TESTS: &[super::Test] = &[
    ("the_rpm_has_what_a_package_should_have", files),
    ("the_rpm_has_the_files_of_the_deb", same_files),
    ("the_scripts_of_the_rpm_are_those_of_systemd", scripts),
    ("an_rpm_can_be_installed_into_a_root", root),
    ("an_rpm_is_installed_upgraded_and_removed", life),
];

const OWN: [&str; 4] = [
    "/usr/lib/systemd/system/dyn-prefix.service",
    "/usr/lib/sysusers.d/dyn-prefix.conf",
    "/usr/lib/tmpfiles.d/dyn-prefix.conf",
    "/usr/share/zsh/site-functions/_dyn-prefix",
];

fn ask(guest: &Guest, words: &[&str]) -> String {
    guest.done(&[&["rpm", "--query", "--package", "/srv/first.rpm"], words].concat())
}

fn files(lab: &Lab) {
    let listed = ask(&lab.rpm, &["--list"]);
    // Fedora's own settings compress manual pages, those of Debian's rpm do not.
    let has = |path: &str| listed.lines().any(|line| line == path || line == path.trim_end_matches(".gz"));
    for path in FILES.iter().chain(&OWN) {
        assert!(has(path), "{path} is missing:\n{listed}");
    }
    assert_eq!(ask(&lab.rpm, &["--configfiles"]), "/etc/dyn-prefix.toml\n");
    assert_eq!(
        ask(&lab.rpm, &["--queryformat", "%{VERSION} %{LICENSE}"]),
        concat!(env!("CARGO_PKG_VERSION"), " Apache-2.0")
    );
}

/// But for what each format has of its own, and where it has the same in another place.
fn same_files(lab: &Lab) {
    let plain = |path: &str| {
        let path = path.trim_end_matches(".gz").replace("/zsh/vendor-completions/", "/zsh/site-functions/");
        if path.starts_with("/lib/") { format!("/usr{path}") } else { path }
    };
    let listed = ask(&lab.rpm, &["--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]"]);
    let regular = listed.lines().filter(|line| line.starts_with('-')).filter_map(|line| line.split_once(' '));
    let mut rpm: BTreeSet<String> = regular.map(|(_, path)| plain(path)).collect();
    // Fedora's directory has the name of the package, Debian's rpm adds the version.
    let all = rpm.len();
    rpm.retain(|path| !path.starts_with("/usr/share/licenses/dyn-prefix"));
    assert_eq!(rpm.len(), all - 1, "{listed}");
    let listed = lab.debian.done(&["dpkg-deb", "--contents", "/srv/first.deb"]);
    let regular = listed.lines().filter(|line| line.starts_with('-')).filter_map(|line| line.split_whitespace().nth(5));
    let mut deb: BTreeSet<String> = regular.map(|path| plain(path.trim_start_matches('.'))).collect();
    for own in ["doc/dyn-prefix/changelog", "doc/dyn-prefix/copyright", "lintian/overrides/dyn-prefix"] {
        assert!(deb.remove(&format!("/usr/share/{own}")), "{own}: {listed}");
    }
    assert_eq!(rpm, deb);
}

fn scripts(lab: &Lab) {
    let text = ask(&lab.rpm, &["--scripts"]);
    for part in [
        "systemd-sysusers dyn-prefix.conf",
        "systemctl --no-reload preset dyn-prefix.service",
        "systemctl --no-reload disable --now dyn-prefix.service",
        "systemctl try-restart dyn-prefix.service",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

/// As an image of a system is made: its scripts would need a shell there, so what they do is done from outside.
fn root(lab: &Lab) {
    const ROOT: &str = "/srv/root";
    let guest = &lab.rpm;
    let at = format!("--root={ROOT}");
    guest.done(&["rpm", "--root", ROOT, "--nodeps", "--noscripts", "--install", "/srv/first.rpm"]);
    // Size, digest, mode and owner of each file.
    assert_eq!(guest.done(&["rpm", "--root", ROOT, "--verify", "--nodeps", "--noscripts", "dyn-prefix"]), "");
    guest.done(&["systemd-sysusers", &at, "dyn-prefix.conf"]);
    guest.done(&["systemd-tmpfiles", &at, "--create", "dyn-prefix.conf"]);
    let group = guest.done(&["cat", "/srv/root/etc/group"]);
    let number = group.lines().find_map(|line| line.strip_prefix("dyn-prefix:x:")).expect("the group");
    let mode = guest.done(&["stat", "-c", "%a %u %g", "/srv/root/etc/dyn-prefix"]);
    assert_eq!(mode.trim(), format!("750 0 {}", number.trim_end_matches(':')));
    guest.done(&["systemctl", &at, "enable", UNIT]);
    guest.done(&["test", "-L", "/srv/root/etc/systemd/system/multi-user.target.wants/dyn-prefix.service"]);
    guest.done(&["rm", "-r", ROOT]);
}

fn life(lab: &Lab) {
    let guest = &lab.rpm;
    let rpm = |words: &[&str]| guest.done(&[&["rpm", "--nodeps"], words].concat());
    rpm(&["--install", "/srv/first.rpm"]);
    guest.done(&["systemctl", "enable", "--now", UNIT]);
    assert_eq!(guest.shown(["ActiveState", "SubState", "NRestarts"]), ["active", "running", "0"]);
    assert!(guest.show("StatusText").starts_with("idle: add a [[dynamicPrefix]]"));
    let modes = guest.done(&["stat", "-c", "%a %U %G", "/etc/dyn-prefix", "/var/lib/dyn-prefix"]);
    assert_eq!(modes, "750 root dyn-prefix\n700 dyn-prefix dyn-prefix\n");
    let fixed = "[[dynamicPrefix]]\nname = \"home\"\nacquisition.static.prefix = \"2001:db8:1::/56\"\n";
    guest.write("/etc/dyn-prefix.toml", fixed);
    guest.done(&["systemctl", "reload", UNIT]);
    guest.until("StatusText", |status| status.starts_with("home 2001:db8:1::/56"));
    let pid = guest.show("MainPID");
    rpm(&["--upgrade", "/srv/next.rpm"]);
    guest.until("ActiveState", |state| state == "active");
    assert_ne!(guest.show("MainPID"), pid, "it was restarted");
    guest.until("StatusText", |status| status.starts_with("home 2001:db8:1::/56"));
    rpm(&["--erase", "dyn-prefix"]);
    assert_eq!(guest.show("ActiveState"), "inactive");
    guest.done(&["test", "-f", "/var/lib/dyn-prefix/state.json"]);
    guest.done(&["test", "-f", "/etc/dyn-prefix.toml.rpmsave"]);
    guest.done(&["test", "!", "-e", "/usr/bin/dyn-prefix"]);
}
