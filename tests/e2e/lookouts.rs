//! What k6u and metallb-dyn6 do, by the sources for it: the addresses of an interface, and a service that says which
//! address asks it. The cases are those of their own tests, and what they get wrong.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Test;
use crate::answers::{Answer, Service};
use crate::daemon::{Daemon, PROGRAM, prefix};
use crate::lab::certs::Authority;
use crate::lab::wait_for;
use crate::netns::WAN;
use crate::pool::{CIDR_GROUP, METALLB_POOL, POOL, SOON, block, user_blocks};
use crate::rig::{NAME, Scene, Setup};

pub(crate) const TESTS: &[Test] =
    &[("k6u_the_addresses_of_an_interface", k6u), ("metallb_dyn6_a_service_by_https", metallb_dyn6)];

/// A service is asked every ten seconds, and once more before something else is believed.
const ROUND: Duration = Duration::from_secs(40);

/// The usual configuration with these parts in place of those it has.
fn configure(scene: &Scene<'_>, parts: &[(&str, &str)]) -> Result<PathBuf> {
    let path = scene.configure(Setup::default())?;
    let mut text = std::fs::read_to_string(&path)?;
    for (part, other) in parts {
        ensure!(text.contains(part), "{part} is not in {text}");
        text = text.replace(part, other);
    }
    std::fs::write(&path, text)?;
    Ok(path)
}

fn acquisition() -> String {
    format!("[dynamicPrefix.acquisition.routerAdvertisement]\n  interface = \"{WAN}\"")
}

/// G1: three numbered /64 of the /60 around the address.
fn numbered(part: &str) -> Vec<Value> {
    (0..3).map(|number| json!(format!("2001:db8:{part}{number}::/64"))).collect()
}

fn k6u(scene: &mut Scene<'_>) -> Result<()> {
    let by_address = format!("[dynamicPrefix.acquisition.interface]\n  name = \"{WAN}\"\n  delegatedPrefixLength = 60");
    let subnets = "[[dynamicPrefix.subnets]]\n  name = \"ids\"\n  index = [0, 1, 2]\n  prefixLength = 64\n  \
                   [dynamicPrefix.transition]";
    let whole = format!("{{ name = \"{NAME}\", whole = true }}");
    let config = configure(
        scene,
        &[(&acquisition(), &by_address), ("[dynamicPrefix.transition]", subnets), (&whole, &format!("\"{NAME}/ids\""))],
    )?;
    let host = &scene.pair().host;
    let set = |address: &str, preferred: u32| {
        host.ip(&format!("addr replace {address}/64 dev {WAN} valid_lft 3000 preferred_lft {preferred}"));
    };
    let (a, b) = ("2001:db8:1234:ab07::42", "2001:db8:5678:cd07::42");
    let (first, second) = (numbered("1234:ab0"), numbered("5678:cd0"));
    set(a, 1200);
    let mut group = scene.watch(CIDR_GROUP)?;
    let mut pool = scene.watch(POOL)?;
    let daemon = Daemon::start(scene, &config)?;
    group.until("G1", &first)?;
    pool.until("the range", &[user_blocks(), vec![block("2001:db8:1234:ab00::/60")]].concat())?;
    let status = daemon.wait_well("well", |status| prefix(status)["prefixSource"] == "interface")?;
    ensure!(prefix(&status)["currentPrefix"] == "2001:db8:1234:ab00::/60", "{status:#}");

    // Another prefix; the former address is deprecated, and stays first in no list that matters.
    set(b, 1200);
    set(a, 0);
    group.until("B before A", &[second.clone(), first.clone()].concat())?;
    // And back, which k6u never notices: the kernel has the address of A already, and that of B before it.
    set(a, 1200);
    set(b, 0);
    group.until("A before B", &[first.clone(), second].concat())?;
    // An address that is gone is not valid any more, and nothing of its prefix is waited for.
    host.ip(&format!("addr del {b}/64 dev {WAN}"));
    group.until_within(ROUND, "A alone", &first)?;
    let before = [scene.version(CIDR_GROUP)?, scene.version(POOL)?];

    // The interface goes down, and takes its addresses along: that says nothing of the prefix.
    host.ip(&format!("link set {WAN} down"));
    daemon.wait_status("down", 3, |status| status["sources"][0]["state"] == "link-down")?;
    host.ip(&format!("link set {WAN} up"));
    wait_for("up, and nobody has brought the address back", ROUND, || {
        Ok((daemon.status()?.1["sources"][0]["state"] == "no-address").then_some(()))
    })?;
    set(a, 1200);
    daemon.wait_well("back", |status| status["sources"][0]["state"] == "receiving")?;
    ensure!([scene.version(CIDR_GROUP)?, scene.version(POOL)?] == before, "it was written meanwhile");
    Ok(())
}

/// What MetalLB's pool holds: the user's IPv4, and F6 in this network.
fn dyn6(net: &str) -> Vec<Value> {
    vec![json!("10.9.1.0/24"), json!(format!("{net}1000-{net}1999"))]
}

fn metallb_dyn6(scene: &mut Scene<'_>) -> Result<()> {
    let certificates = scene.dir().join("certificates");
    let authority = Authority::create(&certificates)?;
    authority.sign_server(&[])?;
    let trusted = authority.path("ca.crt");
    let answer = r#"{"success":true,"ip":"2001:db8:dead:beef:123:123:123:123","type":"IPv6"}"#;
    let service = Service::start_tls(Answer::body(answer), &certificates);
    let url = service.url("/ip.json?token=a-secret");
    let by_http =
        format!("[dynamicPrefix.acquisition.http]\n  url = \"{url}\"\n  prefixLength = 64\n  intervalSeconds = 10");
    let config =
        configure(scene, &[(&acquisition(), &by_http), ("::f001:0:0:0", "::1000"), ("::f001:0:0:ffff", "::1999")])?;
    ensure!(planned(&config, &trusted)?.contains("+ 2001:db8:dead:beef::1000-2001:db8:dead:beef::1999"));

    let mut pool = scene.watch(METALLB_POOL)?;
    let mut daemon = Daemon::start_with(scene, &config, &[("SSL_CERT_FILE", &trusted)])?;
    pool.until("F6", &dyn6("2001:db8:dead:beef::"))?;
    daemon.wait_well("well", |status| prefix(status)["prefixSource"] == "http")?;

    // An error changes nothing, and is told.
    let before = scene.version(METALLB_POOL)?;
    service.say(Answer::Status("500 Internal Server Error", String::new()));
    let failed = |status: &Value| status["sources"][0]["state"] == "failed";
    wait_for("three failures", ROUND, || {
        let (code, status) = daemon.status()?;
        Ok((code == Some(3) && failed(&status)).then_some(()))
    })?;
    ensure!(daemon.status()?.1.to_string().contains("the server answered 500 Internal Server Error"));
    ensure!(scene.version(METALLB_POOL)? == before, "it was written");

    // Another address: what the user has beside it stays, and the former range is in use by nobody.
    service.say(Answer::body("2001:db8:cafe:1:123:123:123:123\n"));
    pool.until_within(ROUND, "another prefix", &dyn6("2001:db8:cafe:1::"))?;
    daemon.wait_well("well again", |status| status["sources"][0]["state"] == "receiving")?;

    // A restart keeps the prefix while nobody answers. It is saved after it was published.
    wait_for("the prefix is stored", SOON, || {
        Ok(scene.state()?.to_string().contains("2001:db8:cafe:1::/64").then_some(()))
    })?;
    drop(daemon);
    service.say(Answer::Silence);
    let before = scene.version(METALLB_POOL)?;
    daemon = Daemon::start_with(scene, &config, &[("SSL_CERT_FILE", &trusted)])?;
    let mut last = Value::Null;
    let found = wait_for("the stored prefix, while the service is asked", SOON, || {
        let (_, status) = daemon.status()?;
        last = status.clone();
        let is_asking = status["sources"][0]["state"] == "asking";
        Ok((is_asking && prefix(&status)["currentPrefix"] == "2001:db8:cafe:1::/64").then_some(()))
    });
    found.with_context(|| format!("{last:#}"))?;
    ensure!(scene.version(METALLB_POOL)? == before, "it was written");

    let (_, shown) = daemon.ask(&["status"])?;
    for text in [shown, daemon.status()?.1.to_string(), daemon.process.log_text()] {
        ensure!(text.contains("/ip.json?…") && !text.contains("a-secret"), "{text}");
    }
    Ok(())
}

/// What `plan --live` would write.
fn planned(config: &Path, trusted: &Path) -> Result<String> {
    let mut command = Command::new(PROGRAM);
    command.args(["plan", "--live", "--config"]).arg(config).env("SSL_CERT_FILE", trusted);
    let output = command.env_remove("STATE_DIRECTORY").output()?;
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success() && complaints.is_empty(), "{complaints}");
    String::from_utf8(output.stdout).context("text")
}
