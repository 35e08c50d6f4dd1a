//! Other clients whose hook scripts tell the daemon what they were delegated. It sees nothing of them itself: it observes
//! an interface that does not exist.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::capture::Seen;
use crate::daemon::{Daemon, SOON, current};
use crate::lab::Process;
use crate::lease::{A, B, granted, is_from};
use crate::netns::WAN;
use crate::scene::{NAME, Scene, Traffic};
use crate::servers::{Kind, Pool, wait_for_link_local};

pub(crate) const TESTS: &[Test] = &[
    Test::new("hook_of_dhclient", &["kea-dhcp6", "dhclient"], |scene| life(scene, dhclient, "dhclient"))
        .with(Traffic::Foreign),
    Test::new("hook_of_dhcpcd", &["kea-dhcp6", "dhcpcd"], |scene| life(scene, dhcpcd, "dhcpcd")).with(Traffic::Foreign),
];

/// T1, T2, preferred and valid lifetime.
const TIMES: [u32; 4] = [5, 10, 40, 60];

/// A script that sources a hook as the client's own script does, with a `dyn-prefix` for the daemon of the test.
fn script(scene: &Scene, hook: &str) -> Result<PathBuf> {
    script_with(scene, hook, "")
}

/// The same with more lines before the hook.
pub(crate) fn script_with(scene: &Scene, hook: &str, before: &str) -> Result<PathBuf> {
    let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hooks").join(hook);
    let directory = scene.path("bin");
    fs::create_dir_all(&directory)?;
    let config = scene.path("dyn-prefix.toml");
    let program = format!("#!/bin/sh\nexec {:?} \"$@\" --config {config:?}\n", env!("CARGO_BIN_EXE_dyn-prefix"));
    let (path, log) = (directory.display(), scene.path("hook.log"));
    let script = format!("#!/bin/sh\nPATH={path}:$PATH\n{before}. {hook:?} 2>>{log:?}\n");
    for (name, text) in [("dyn-prefix", program), ("script", script)] {
        fs::write(directory.join(name), text)?;
        fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o755))?;
    }
    Ok(directory.join("script"))
}

fn dhclient(scene: &Scene, script: &Path) -> Result<Process> {
    wait_for_link_local(&scene.pair.host, WAN)?;
    let mut command = scene.pair.host.command("dhclient");
    command.args(["-6", "-P", "-d", "-v", "-D", "LL", "-sf"]).arg(script);
    command.arg("-lf").arg(scene.path("dhclient.leases")).arg("-pf").arg(scene.path("dhclient.pid")).arg(WAN);
    Process::spawn("dhclient", &mut command, &scene.path("client.log"))
}

/// It knows no other places for its files.
fn dhcpcd(scene: &Scene, script: &Path) -> Result<Process> {
    wait_for_link_local(&scene.pair.host, WAN)?;
    let config = scene.path("dhcpcd.conf");
    fs::write(&config, format!("ipv6only\nnoipv6rs\nduid\ninterface {WAN}\n  ia_pd 1\n"))?;
    let places = "mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/dhcpcd && mount -t tmpfs tmpfs /run && exec \"$@\"";
    let mut command = scene.pair.host.command("sh");
    command.args(["-c", places, "sh", "dhcpcd", "-B", "-d", "-6", "-c"]).arg(script).arg("-f").arg(&config).arg(WAN);
    Process::spawn("dhcpcd", &mut command, &scene.path("client.log"))
}

/// The daemon observes an interface that does not exist.
pub(crate) fn configure(scene: &Scene) -> Result<()> {
    let (state, socket) = (scene.path("state"), scene.path("control.sock"));
    let text = format!(
        "[daemon]\nid = \"interop\"\nstateDirectory = {state:?}\ncontrolSocket = {socket:?}\n\n[[dynamicPrefix]]\n\
         name = \"{NAME}\"\nsubnets = [{{ name = \"lan\", index = 1, prefixLength = 64 }}]\n\
         acquisition.observe = {{ interface = \"none0\" }}\n"
    );
    Ok(fs::write(scene.path("dyn-prefix.toml"), text)?)
}

/// Waits for the Reply with a prefix of `base`, and until the daemon uses that.
pub(crate) fn until_reported(
    scene: &Scene,
    daemon: &mut Daemon<'_>,
    base: &str,
    from: usize,
) -> Result<(String, usize)> {
    let of_base = |seen: &Seen| {
        seen.server().is_some_and(|reply| {
            reply.kind == dyn_prefix::source::dhcpv6::wire::ServerMessage::Reply
                && granted(reply).iter().any(|prefix| is_from(base, prefix))
        })
    };
    let (reply, next) = scene.link.wait("their Reply", from, SOON * 2, of_base)?;
    let prefixes = reply.server().map(granted).unwrap_or_default();
    let prefix = prefixes.into_iter().find(|prefix| is_from(base, prefix)).context("a prefix")?;
    daemon.until("it is reported", SOON, |status| current(status) == Some(prefix.as_str()))?;
    Ok((prefix, next))
}

pub(crate) fn valid_until(status: &Value) -> Option<String> {
    status["dynamicPrefixes"][0]["validUntil"].as_str().map(str::to_owned)
}

/// Fresh, renewed, the daemon restarted, replaced; and nothing that the hook has to complain of.
fn life(scene: &Scene, client: fn(&Scene, &Path) -> Result<Process>, hook: &str) -> Result<()> {
    configure(scene)?;
    let pool = Pool::from(A).with_times(TIMES);
    let mut server = scene.server(Kind::Kea, &pool)?;
    let mut daemon = scene.daemon()?;
    let mut other = client(scene, &script(scene, hook)?)?;
    let (prefix, next) = until_reported(scene, &mut daemon, A, 0)?;
    let status = daemon.until("a status", SOON, |_| true)?;
    ensure!(status["dynamicPrefixes"][0]["prefixSource"] == "observed", "{status:#}");
    let before = valid_until(&status).context("its valid lifetime is known")?;
    daemon.until("it is renewed", SOON, |status| valid_until(status).is_some_and(|until| until > before))?;
    daemon.stop()?;
    // Meanwhile the hook finds nobody, which is no news.
    let (_, next) = scene.link.wait("a Reply to nobody", next, SOON, |seen| seen.server().is_some())?;
    let mut daemon = scene.daemon()?;
    daemon.until("what was reported is known", SOON, |status| current(status) == Some(prefix.as_str()))?;
    server.wipe(&Pool { base: B.parse()?, ..pool })?;
    until_reported(scene, &mut daemon, B, next)?;
    daemon.until("the history", SOON, |status| status["dynamicPrefixes"][0]["history"][0]["prefix"] == prefix)?;
    other.check_alive()?;
    other.kill()?;
    expect_no_complaints(scene)
}

/// The hook was run, and had nothing to say.
pub(crate) fn expect_no_complaints(scene: &Scene) -> Result<()> {
    let complaints = fs::read_to_string(scene.path("hook.log")).context("the hook was never run")?;
    ensure!(complaints.is_empty(), "the hook says: {complaints}");
    Ok(())
}
