//! A script that plays odhcp6c, with the exchanges of a real client: dhclient tells it what happens, and it calls the hook
//! as odhcp6c would, with the same events and variables.
//!
//! odhcp6c calls its script with `started`; `bound` after the Request, `updated` after a Renew, `rebound` after a Rebind,
//! each with all prefixes; `ra-updated` after a Router Advertisement, also with them; `unbound` without any whenever it has
//! nothing (more), also when it is told to end; at last `stopped`. The prefixes have T1 and T2 behind their lifetimes since
//! 2021, and the class only where the IAID is not 1.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Test;
use crate::daemon::{SOON, current};
use crate::hooked::{configure, expect_no_complaints, script_with, until_reported, valid_until};
use crate::lab::Process;
use crate::lease::{A, B};
use crate::netns::WAN;
use crate::scene::{Scene, Traffic};
use crate::servers::{Kind, Pool, wait_for_link_local};

const PROGRAMS: &[&str] = &["kea-dhcp6", "dhclient"];

pub(crate) const TESTS: &[Test] = &[
    Test::new("hook_of_odhcp6c", PROGRAMS, life).with(Traffic::Foreign),
    Test::new("hook_of_odhcp6c_excluded", PROGRAMS, excluded).with(Traffic::Foreign),
    Test::new("hook_of_odhcp6c_whose_server_takes_it_back", PROGRAMS, withdrawn).with(Traffic::Foreign),
];

/// T1, T2, preferred and valid lifetime.
const TIMES: [u32; 4] = [5, 10, 40, 60];

/// From what dhclient tells its script to what odhcp6c does. The excluded part (RFC 6603) of a /56 that ends in zeros is
/// named by one octet behind the length.
const PLAY: &str = r#"entry=$new_ip6_prefix,$new_preferred_life,$new_max_life,5,10,class=${new_iaid:-0}
if [ -n "$new_dhcp6_pd_exclude" ]; then
    entry=$entry,excluded=${new_ip6_prefix%::/56}:${new_dhcp6_pd_exclude#*:}::/64
fi
unset PREFIXES
case $reason in
PREINIT6) event=started ;;
BOUND6) event=bound PREFIXES=$entry ;;
RENEW6) event=updated PREFIXES=$entry ;;
REBIND6) event=rebound PREFIXES=$entry ;;
EXPIRE6) event=unbound ;;
TERM) event=stopped ;;
*) exit 0 ;;
esac
export PREFIXES
echo "$event $PREFIXES" >>DIR/events
if [ "$event" = stopped ]; then
    "$0.hook" INTERFACE unbound
    unset PREFIXES
fi
"$0.hook" INTERFACE "$event" || exit
[ "$event" = started ] || exec "$0.hook" INTERFACE ra-updated
"#;

/// Writes the script: what plays odhcp6c, and beside it what odhcp6c runs.
fn script(scene: &Scene) -> Result<PathBuf> {
    let run = scene.path("run");
    fs::create_dir_all(&run)?;
    let hook = script_with(scene, "odhcp6c", &format!("export DYN_PREFIX_RUN={run:?}\n"))?;
    let player = hook.with_file_name("odhcp6c");
    fs::rename(&hook, hook.with_file_name("odhcp6c.hook"))?;
    let play = PLAY.replace("INTERFACE", WAN).replace("DIR", &scene.path("").display().to_string());
    fs::write(&player, format!("#!/bin/sh\n{play}"))?;
    fs::set_permissions(&player, fs::Permissions::from_mode(0o755))?;
    Ok(player)
}

fn client(scene: &Scene, script: &Path) -> Result<Process> {
    wait_for_link_local(&scene.pair.host, WAN)?;
    let config = scene.path("dhclient.conf");
    fs::write(&config, "option dhcp6.pd-exclude code 67 = string;\nalso request dhcp6.pd-exclude;\n")?;
    let mut command = scene.pair.host.command("dhclient");
    command.args(["-6", "-P", "-d", "-v", "-D", "LL", "-cf"]).arg(&config).arg("-sf").arg(script);
    command.arg("-lf").arg(scene.path("dhclient.leases")).arg("-pf").arg(scene.path("dhclient.pid")).arg(WAN);
    Process::spawn("dhclient", &mut command, &scene.path("client.log"))
}

/// It is told to end, as its service manager does it: it says that it has nothing, and ends.
fn end(scene: &Scene, mut other: Process, script: &Path) -> Result<()> {
    other.kill()?;
    let status = scene.pair.host.command("env").arg("reason=TERM").arg(script).status()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn events(scene: &Scene) -> Result<String> {
    Ok(fs::read_to_string(scene.path("events"))?)
}

/// Fresh, renewed, our daemon restarted, theirs restarted, replaced.
fn life(scene: &Scene) -> Result<()> {
    configure(scene)?;
    let pool = Pool::from(A).with_times(TIMES);
    let mut server = scene.server(Kind::Kea, &pool)?;
    let mut daemon = scene.daemon()?;
    let script = script(scene)?;
    let other = client(scene, &script)?;
    let (prefix, next) = until_reported(scene, &mut daemon, A, 0)?;
    let status = daemon.until("its lifetime", SOON, |status| valid_until(status).is_some())?;
    let before = valid_until(&status).context("its valid lifetime is known")?;
    daemon.until("it is renewed", SOON, |status| valid_until(status).is_some_and(|until| until > before))?;
    daemon.expect_always(&prefix)?;
    daemon.stop()?;
    // Meanwhile the hook finds nobody, which is no news.
    let (_, _, _) = scene.link.wait_granted(next, SOON)?;
    let mut daemon = scene.daemon()?;
    daemon.until("what was reported is known", SOON, |status| current(status) == Some(prefix.as_str()))?;
    end(scene, other, &script)?;
    daemon.until("it is told that it has nothing", SOON, is_lost)?;
    daemon.expect_always(&prefix)?;
    let at = scene.link.position();
    let mut other = client(scene, &script)?;
    let (after, next) = until_reported(scene, &mut daemon, A, at)?;
    daemon.until("it is held again", SOON, |status| !is_lost(status))?;
    server.wipe(&Pool { base: B.parse()?, ..pool })?;
    until_reported(scene, &mut daemon, B, next)?;
    daemon.until("the history", SOON, |status| status["dynamicPrefixes"][0]["history"][0]["prefix"] == after)?;
    other.check_alive()?;
    let events = events(scene)?;
    ensure!(events.contains("bound ") && events.contains("updated "), "{events}");
    expect_no_complaints(scene)
}

fn is_lost(status: &Value) -> bool {
    let conditions = status["dynamicPrefixes"][0]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().any(|found| found["type"] == "PrefixAcquired" && found["status"] == "False")
}

/// A part of it is kept back by the router of the provider (RFC 6603).
fn excluded(scene: &Scene) -> Result<()> {
    const KEPT: &str = "2001:db8:8000:ff::/64";
    configure(scene)?;
    let config = scene.path("dyn-prefix.toml");
    let range = "addressRanges = [{ name = \"end\", start = \"::fe:0:0:0:0\", end = \"::ff:ffff:ffff:ffff:ffff\" }]\n";
    fs::write(&config, fs::read_to_string(&config)? + range)?;
    let pool = Pool { prefixes: 1, excluded: Some(KEPT), ..Pool::from(A).with_times(TIMES) };
    let _server = scene.server(Kind::Kea, &pool)?;
    let mut daemon = scene.daemon()?;
    let script = script(scene)?;
    let _other = client(scene, &script)?;
    until_reported(scene, &mut daemon, A, 0)?;
    let reported = events(scene)?;
    ensure!(reported.contains(&format!("excluded={KEPT}")), "what this test is about: {reported}");
    let around =
        |status: &Value| status["dynamicPrefixes"][0]["addressRanges"][0]["cidrs"] == json!(["2001:db8:8000:fe::/64"]);
    daemon.until("the range is without it", SOON, around)?;
    expect_no_complaints(scene)
}

/// The server has nothing any more, and odhcp6c has nothing in the end.
fn withdrawn(scene: &Scene) -> Result<()> {
    configure(scene)?;
    let pool = Pool::from(A).with_times([4, 6, 8, 12]);
    let mut server = scene.server(Kind::Kea, &pool)?;
    let mut daemon = scene.daemon()?;
    let script = script(scene)?;
    let _other = client(scene, &script)?;
    let (prefix, _) = until_reported(scene, &mut daemon, A, 0)?;
    server.wipe(&pool.empty())?;
    let is_over = |status: &Value| is_dead(status) && current(status) == Some(prefix.as_str());
    daemon.until("the loss is told", SOON * 2, is_over)?;
    expect_no_complaints(scene)
}

fn is_dead(status: &Value) -> bool {
    let conditions = status["dynamicPrefixes"][0]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().any(|found| found["type"] == "PrefixAcquired" && found["reason"] == "Dead")
}
