//! The sources beside DHCPv6 and Router Advertisements, and what is run and written on the host.

use std::os::unix::fs::PermissionsExt as _;

use super::{Daemon, PROGRAM, doctor, examine, expect, file};
use crate::answers::{Answer, Service};
use crate::dhcpv6::holder::Holder;
use crate::dhcpv6::lab::link_local;
use crate::support::{Pair, WAN};

/// The prefix of an interface, with and without an address that gives one.
pub(super) fn addresses() {
    let pair = Pair::joined();
    pair.host.inside(link_local);
    let file = file(&format!("acquisition.interface = {{ name = \"{WAN}\", delegatedPrefixLength = 56 }}"));
    let found = doctor(&pair.host, &file);
    expect(&found, "address", "error", "wan has no IPv6 address that a prefix for home could be taken from: fe80::");
    pair.host.ip(&format!("address add 2001:db8:a:21::5/64 dev {WAN} nodad preferred_lft 0"));
    expect(&doctor(&pair.host, &file), "address", "error", "2001:db8:a:21::5/64 (deprecated)");
    pair.host.ip(&format!("address add 2001:db8:a:22::5/64 dev {WAN} nodad"));
    let found = doctor(&pair.host, &file);
    expect(&found, "address", "ok", "2001:db8:a:22::5/64, of which the prefix of home is 2001:db8:a::/56.");
    expect(&found, "capability", "ok", "need no capability");
}

/// One question, and the secret in it is not shown.
pub(super) fn service() {
    let pair = Pair::apart();
    let service = pair.host.inside(|| Service::start(Answer::body("2001:db8:a:700::42")));
    let url = service.url("/ip?token=secret");
    let file = file(&format!("acquisition.http = {{ url = \"{url}\", prefixLength = 56 }}"));
    let found = doctor(&pair.host, &file);
    expect(&found, "address-service", "ok", "2001:db8:a:700::42, of which the prefix of home is 2001:db8:a:700::/56.");
    assert!(!format!("{found:?}").contains("secret"), "{found:#?}");
    assert_eq!(service.requests(), ["GET /ip?token=secret HTTP/1.1"]);
    service.say(Answer::Status("503 Service Unavailable", String::new()));
    let found = doctor(&pair.host, &file);
    expect(&found, "address-service", "error", "failed: the server answered 503 Service Unavailable.");
}

/// What it would be, and what it is once the daemon has chosen.
pub(super) fn auto() {
    let pair = Pair::joined();
    pair.host.inside(link_local);
    let file = file(&format!("acquisition.auto = {{ interface = \"{WAN}\" }}"));
    let found = doctor(&pair.host, &file);
    expect(&found, "choice", "note", "depends on whether a DHCPv6 server on wan has a prefix to delegate");
    expect(&found, "dhcpv6-port", "ok", "UDP port 546 on wan is free");
    let holder = Holder::start(&pair.host, "odhcp6c");
    let found = doctor(&pair.host, &file);
    expect(&found, "choice", "note", "The daemon would choose observed on wan for home now");
    expect(
        &found,
        "other-client",
        "ok",
        &format!("(process {}) holds UDP port 546 on wan, and is observed.", holder.pid()),
    );
    let chosen = |status: &serde_json::Value| status["sources"][0]["kind"] == "observed";
    let _daemon = Daemon::start(&pair.host, &file, chosen);
    let (found, _) = examine(&mut pair.host.command(PROGRAM), &file);
    expect(&found, "choice", "ok", "The daemon has chosen observed on wan for home (acquisition.auto): ");
    expect(&found, "capability", "ok", "and watching another DHCPv6 client");
}

/// The daemon runs as who we are, so that only what nobody can do is wrong.
pub(super) fn actions() {
    let pair = Pair::apart();
    let file = file("acquisition.static.prefix = \"2001:db8:a::/56\"");
    let place = file.directory.path().display();
    let hook = file.directory.path().join("hook");
    std::fs::write(&hook, "#!/bin/sh\n").expect("a hook");
    let allow = |mode| std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(mode)).expect("permissions");
    let text = std::fs::read_to_string(&file.path).expect("the file");
    let more = format!(
        "[[hook]]\nname = \"router\"\ncommand = [\"{place}/hook\"]\n[[file]]\npath = \"{place}/set\"\ntext = \"x\"\n\
         [[file]]\npath = \"{place}/none/set\"\ntext = \"x\"\n"
    );
    std::fs::write(&file.path, text + &more).expect("a configuration");
    let _daemon = Daemon::start(&pair.host, &file, |status| status["hooks"][0]["name"] == "router");
    let found = || examine(&mut pair.host.command(PROGRAM), &file).0;
    allow(0o600);
    expect(
        &found(),
        "hook",
        "error",
        &format!("cannot run {place}/hook: it belongs to root:root and has the mode 0600."),
    );
    allow(0o700);
    expect(&found(), "hook", "ok", &format!("The user root can run {place}/hook of the hook router."));
    expect(&found(), "file", "ok", &format!("The user root can write {place}/set."));
    expect(&found(), "file", "error", &format!("The directory {place}/none of the file {place}/none/set is not there"));
}
