//! The client of wide-dhcpv6 beside us: it makes no route, and its script says nothing of prefixes.

use std::path::Path;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use crate::Test;
use crate::daemon::SOON;
use crate::hooked;
use crate::lab::Process;
use crate::lease::{A, B};
use crate::netns::WAN;
use crate::observed::{inner_link, life, observe, until_observed, withdrawn};
use crate::scene::{Scene, Traffic};
use crate::servers::{Kind, Pool, wait_for_link_local};

const WIDE: &[&str] = &["kea-dhcp6", "dhcp6c"];

pub(crate) const TESTS: &[Test] = &[
    Test::new("t141_t142_observed_wide", WIDE, |scene| life(scene, wide)).with(Traffic::Observed),
    Test::new("t141_observed_wide_whose_server_takes_it_back", WIDE, |scene| withdrawn(scene, wide))
        .with(Traffic::Observed),
    Test::new("t141_observed_wide_keeps_all_replies", WIDE, keeps).with(Traffic::Observed),
    Test::new("hook_of_wide_as_debian_has_it", WIDE, silent).with(Traffic::Observed),
    Test::new("hook_of_wide_as_forks_have_it", WIDE, with_prefixes).with(Traffic::Foreign),
];

/// A client that asks for a prefix, and numbers the interface behind this host, if there is one.
fn wide(scene: &Scene) -> Result<Process> {
    wide_with(scene, None)
}

/// The same with a script of the interface. It knows no other place for its identifier.
fn wide_with(scene: &Scene, script: Option<&Path>) -> Result<Process> {
    wait_for_link_local(&scene.pair.host, WAN)?;
    let script = script.map(|path| format!("script {path:?};")).unwrap_or_default();
    let inner = scene.pair.host.inside(|| nix::net::if_::if_nametoindex("lab0").is_ok());
    let inner = if inner { "prefix-interface lab0 { sla-id 1; sla-len 8; };" } else { "" };
    let config = scene.path("dhcp6c.conf");
    std::fs::write(&config, format!("interface {WAN} {{ send ia-pd 0; {script} }};\nid-assoc pd 0 {{ {inner} }};\n"))?;
    let place = "mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/dhcpv6 && exec \"$@\"";
    let mut command = scene.pair.host.command("sh");
    command.args(["-c", place, "sh", "dhcp6c", "-f", "-D", "-c"]).arg(&config);
    command.arg("-p").arg(scene.path("dhcp6c.pid")).arg(WAN);
    Process::spawn("dhcp6c", &mut command, &scene.path("client.log"))
}

/// T1, T2, preferred and valid lifetime. Shorter ones it makes as long.
const TIMES: [u32; 4] = [18, 30, 60, 90];

/// Twenty exchanges, each asked once and answered once, while we listen and hear them all. At SIGHUP it gives back what it
/// has, and begins anew: it renews nothing before 18 seconds are over.
fn keeps(scene: &Scene) -> Result<()> {
    const EXCHANGES: usize = 20;
    let _server = scene.server(Kind::Kea, &Pool::from(A).with_times(TIMES))?;
    let mut daemon = observe(scene)?;
    let mut other = wide(scene)?;
    let (_, mut prefix, mut at) = scene.link.wait_granted(0, SOON)?;
    for _ in 1..EXCHANGES {
        other.signal(Signal::SIGHUP)?;
        (_, prefix, at) = scene.link.wait_granted(at, SOON)?;
    }
    scene.link.expect_each_asked_once(EXCHANGES)?;
    until_observed(&mut daemon, |found| found == prefix)?;
    other.check_alive()
}

/// What the script was run for, so far.
fn reasons(scene: &Scene) -> String {
    std::fs::read_to_string(scene.path("reasons")).unwrap_or_default()
}

/// Its script is run, has nothing to report, and does no harm: the daemon sees the prefix on the link.
fn silent(scene: &Scene) -> Result<()> {
    let _server = scene.server(Kind::Kea, &Pool::from(A).with_times(TIMES))?;
    inner_link(scene);
    let mut daemon = observe(scene)?;
    let script = hooked::script_with(scene, "wide-dhcpv6", &note_reason(scene))?;
    let mut other = wide_with(scene, Some(&script))?;
    let (_, prefix, next) = scene.link.wait_granted(0, SOON)?;
    until_observed(&mut daemon, |found| found == prefix)?;
    scene.link.wait_granted(next, SOON * 2)?;
    other.wait_log(0, &["script", "terminated"], SOON)?;
    // It gives no other reason for anything.
    ensure!(reasons(scene).starts_with("NBI\n"), "{:?}", reasons(scene));
    daemon.expect_always(&prefix)?;
    hooked::expect_no_complaints(scene)?;
    other.check_alive()
}

/// A line of a script that writes down why it is run.
fn note_reason(scene: &Scene) -> String {
    format!("echo \"$REASON\" >>{:?}\n", scene.path("reasons"))
}

/// The client of Debian with a script that knows what happened, and the prefixes, as those of its forks do: they put what
/// was asked into REASON and what the Reply has into PDINFO.
fn with_prefixes(scene: &Scene) -> Result<()> {
    hooked::configure(scene)?;
    let pool = Pool::from(A).with_times(TIMES);
    let mut server = scene.server(Kind::Kea, &pool)?;
    let mut daemon = scene.daemon()?;
    let log = scene.path("client.log");
    let held = "s/.*IA_PD prefix: \\([^ ]*\\) pltime=.* vltime=[1-9].*/\\1/p";
    let asked = "s/.*client6_send: send \\([a-z]*\\) to.*/\\1/p";
    let given = format!(
        "PDINFO=$(sed -n '{held}' {log:?} | tail -n 1)\nREASON=$(sed -n '{asked}' {log:?} | tail -n 1 | tr a-z A-Z)\n{}",
        note_reason(scene)
    );
    let script = hooked::script_with(scene, "wide-dhcpv6", &given)?;
    let mut other = wide_with(scene, Some(&script))?;
    let (prefix, next) = hooked::until_reported(scene, &mut daemon, A, 0)?;
    let (_, _, next) = scene.link.wait_granted(next, SOON * 2)?;
    // Nothing is said of how long it lives.
    daemon.expect_always(&prefix)?;
    daemon.stop()?;
    let mut daemon = scene.daemon()?;
    server.wipe(&Pool { base: B.parse()?, ..pool })?;
    hooked::until_reported(scene, &mut daemon, B, next)?;
    other.kill()?;
    let at = scene.link.position();
    let mut other = wide_with(scene, Some(&script))?;
    hooked::until_reported(scene, &mut daemon, B, at)?;
    ensure!(reasons(scene).contains("RENEW\n"), "{:?}", reasons(scene));
    hooked::expect_no_complaints(scene)?;
    other.check_alive()
}
