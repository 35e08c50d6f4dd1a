//! The .rpm: its files, its scripts, and its life on a booted system. That system is a Debian, which has rpm but not the
//! packages that the .rpm requires; what the scripts call is there.

use super::Lab;
use super::contents::FILES;
use super::guest::{Guest, UNIT};

pub(crate) const TESTS: &[super::Test] = &[
    ("the_rpm_has_what_the_deb_has", files),
    ("the_scripts_of_the_rpm_are_those_of_systemd", scripts),
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
