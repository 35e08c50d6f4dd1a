//! Configurations that are taken into use while a delegation is held: nothing is asked, given back or written that does
//! not follow from the change, and the objects hold a prefix all the time.

use anyhow::{Result, ensure};
use dyn_prefix::source::dhcpv6::wire::ClientMessage;
use serde_json::Value;

use crate::daemon::prefix;
use crate::interop::daemon::{Daemon, SOON, current, state};
use crate::interop::scene::NAME;
use crate::interop::servers::{Kind, Pool};
use crate::lab::wait_for;
use crate::netns::{Radvd, WAN};

use super::Test;
use super::story::{A, Story};

pub(super) const TESTS: &[Test] = &[
    Test::new("reload_of_what_does_not_concern_the_delegation_is_seen_nowhere", unconcerned),
    Test::new("reload_from_delegation_to_router_advertisements_and_back", sources).with(&["kea-dhcp6", "radvd"]),
    Test::new("reload_that_is_refused_names_the_place_and_changes_nothing", refused),
];

/// No renewal comes while a story is told.
const LONG: [u32; 4] = [600, 900, 1200, 1800];

/// The configuration of a story, to be written anew.
struct File<'a> {
    story: &'a Story<'a>,
    text: String,
}

impl<'a> File<'a> {
    fn of(story: &'a Story<'a>) -> Result<Self> {
        Ok(Self { story, text: std::fs::read_to_string(story.scene.path("dyn-prefix.toml"))? })
    }

    /// Puts `new` in the place of `old` everywhere.
    fn set(&mut self, old: &str, new: &str) -> Result<()> {
        ensure!(self.text.contains(old), "{old:?} is not in {}", self.text);
        self.text = self.text.replace(old, new);
        Ok(std::fs::write(self.story.scene.path("dyn-prefix.toml"), &self.text)?)
    }

    /// The same, and has the daemon take it into use.
    fn reload(&mut self, daemon: &Daemon<'_>, old: &str, new: &str) -> Result<()> {
        self.set(old, new)?;
        let (code, said) = daemon.ask(&["reload"])?;
        ensure!(code == Some(0), "{new:?}: {code:?} {said}");
        Ok(())
    }
}

fn unconcerned(story: &Story<'_>) -> Result<()> {
    let _server = story.scene.server(Kind::Kea, &Pool::from(A).with_times(LONG))?;
    let objects = story.configure("")?;
    let mut targets = objects.watch(&story.home.api)?;
    let mut daemon = story.scene.daemon()?;
    let held = story.granted(&mut daemon, 0)?;
    targets.until("the delegation", &[&held.prefix])?;
    story.settled(&mut daemon)?;
    let (from, requests) = (story.scene.link.position(), story.requests()?);
    ensure!(requests.len() >= 3, "the audit log has {requests:?}");
    let mut file = File::of(story)?;
    let edits = [
        ("[daemon]\n", "[daemon]\nlisten = \"127.0.0.1:9478\"\n"),
        ("127.0.0.1:9478", "127.0.0.1:9479"),
        ("listen = \"127.0.0.1:9479\"\n", ""),
        ("addressRanges = [", "transition = { mode = \"ha\", drainPeriodMinutes = 5 }\naddressRanges = ["),
        ("mode = \"ha\", drainPeriodMinutes = 5", "mode = \"simple\", maxPrefixHistory = 0, onLoss = \"withdraw\""),
        ("name = \"lb\"", "name = \"balancers\""),
    ];
    let [listens, moves, ends, ha, simple, (old, new)] = edits;
    for (old, new) in [listens, moves, ends, ha, simple] {
        file.reload(&daemon, old, new)?;
    }
    // A range cannot get another name before what refers to it.
    file.text = file.text.replace("/lb\"", "/balancers\"");
    file.reload(&daemon, old, new)?;
    file.reload(&daemon, "[[binding]]\ncluster = \"site\"\nprefixRef = \"home/balancers\"", NAMED)?;
    story.settled(&mut daemon)?;
    daemon.expect_always(&held.prefix)?;
    let states: Vec<&str> = daemon.seen()?.iter().map(state).collect();
    let bound = states.iter().position(|state| *state == "bound").unwrap_or_default();
    ensure!(states[bound..].iter().all(|state| *state == "bound"), "the client was disturbed: {states:?}");
    ensure!(story.scene.link.kinds(from).is_empty(), "it has sent {:?}", story.scene.link.kinds(from));
    ensure!(story.requests()? == requests, "{:?}", &story.requests()?[requests.len()..]);
    targets.expect(&[&[&held.prefix]])?;
    // It would have been seen: a range that ends elsewhere is written.
    file.reload(&daemon, "::f001:0:0:ffff", "::f001:0:0:fffe")?;
    wait_for("a write in the audit log", SOON, || Ok((story.requests()?.len() > requests.len()).then_some(())))
}

/// A binding under a name of its own.
const NAMED: &str = "[[binding]]\nname = \"balancers\"\ncluster = \"site\"\nprefixRef = \"home/balancers\"";

fn sources(story: &Story<'_>) -> Result<()> {
    const ADVERTISED: &str = "2001:db8:a::/64";
    let scene = story.scene;
    let _server = scene.server(Kind::Kea, &Pool::from(A).with_times(LONG))?;
    let lifetimes = "AdvPreferredLifetime 1200; AdvValidLifetime 3000;";
    let _radvd = Radvd::start(&scene.pair.router, &format!("prefix {ADVERTISED} {{ {lifetimes} }};"));
    let mut targets = story.configure("transition.onLoss = \"withdraw\"")?.watch(&story.home.api)?;
    let mut daemon = scene.daemon()?;
    let held = story.granted(&mut daemon, 0)?;
    targets.until("the delegation", &[&held.prefix])?;
    story.settled(&mut daemon)?;
    let from = scene.link.position();
    let mut file = File::of(story)?;
    let (delegated, advertised) = ("acquisition.dhcpv6 =", "acquisition.routerAdvertisement =");
    file.reload(&daemon, delegated, advertised)?;
    targets.until("the router's prefix", &[ADVERTISED, &held.prefix])?;
    daemon.until("heard", SOON, |status| prefix(status)["prefixSource"] == "router-advertisement")?;
    // Nothing is given back, so that the way back is open.
    ensure!(scene.link.kinds(from).is_empty(), "it has sent {:?}", scene.link.kinds(from));
    file.reload(&daemon, advertised, delegated)?;
    let again = story.granted(&mut daemon, from)?;
    ensure!(again.prefix == held.prefix, "the server gave {} and knows us by {}", again.prefix, held.prefix);
    targets.until("the delegation again", &[&held.prefix, ADVERTISED])?;
    story.expect_none(ClientMessage::Release, from)?;
    let shown: Vec<Option<String>> = daemon.seen()?.iter().map(|status| current(status).map(str::to_owned)).collect();
    let first = shown.iter().position(Option::is_some).unwrap_or(shown.len());
    ensure!(shown[first..].iter().all(Option::is_some), "without a prefix for a moment: {shown:?}");
    targets.expect(&[&[&held.prefix], &[ADVERTISED, &held.prefix], &[&held.prefix, ADVERTISED]])
}

fn refused(story: &Story<'_>) -> Result<()> {
    let _server = story.scene.server(Kind::Kea, &Pool::from(A).with_times(LONG))?;
    let mut targets = story.configure("")?.watch(&story.home.api)?;
    let mut daemon = story.scene.daemon()?;
    let held = story.granted(&mut daemon, 0)?;
    targets.until("the delegation", &[&held.prefix])?;
    story.settled(&mut daemon)?;
    let (from, requests) = (story.scene.link.position(), story.requests()?);
    let mut file = File::of(story)?;
    let good = file.text.clone();
    let wrong = format!("interface = \"{WAN}\", requestedPrefixLenght = 60");
    file.set(&format!("interface = \"{WAN}\""), &wrong)?;
    let line = file.text.lines().position(|line| line.contains("Lenght")).unwrap_or_default();
    let column = file.text.lines().nth(line).and_then(|text| text.find("requestedPrefixLenght")).unwrap_or_default();
    let place = format!("{}:{}:{}", story.scene.path("dyn-prefix.toml").display(), line + 1, column + 1);
    let (code, said) = daemon.ask(&["reload"])?;
    ensure!(code == Some(78) && said.contains(&place), "{place} is due: {code:?} {said}");
    ensure!(said.contains("requestedPrefixLenght") && said.contains("requestedPrefixLength"), "{said}");
    let tells = |status: &Value| status["daemon"]["reloadErrors"].to_string().contains(&place);
    daemon.until("the finding in the status", SOON, tells)?;
    let (code, status) = daemon.ask(&["status"])?;
    ensure!(code == Some(3) && status.contains(&place), "{code:?} {status}");
    // What only a restart can change is refused as a whole, and all the rest with it.
    file.text = good.replace("stateDirectory", "listen = \"127.0.0.1:9478\"\nstateDirectory");
    file.set("id = \"interop\"", "id = \"another\"")?;
    let (code, said) = daemon.ask(&["reload"])?;
    ensure!(code == Some(78) && said.contains(".toml:2:1: error: daemon.id cannot change"), "{code:?} {said}");
    ensure!(story.scene.pair.host.inside(|| std::net::TcpStream::connect("127.0.0.1:9478")).is_err(), "half of it");
    file.set("id = \"another\"", "id = \"interop\"")?;
    file.reload(&daemon, "listen = \"127.0.0.1:9478\"\n", "")?;
    daemon.until("well again", SOON, |status| status["daemon"]["reloadErrors"] == serde_json::json!([]))?;
    story.settled(&mut daemon)?;
    daemon.expect_always(&held.prefix)?;
    ensure!(prefix(&story.settled(&mut daemon)?)["name"] == NAME, "{NAME}");
    ensure!(story.scene.link.kinds(from).is_empty(), "it has sent {:?}", story.scene.link.kinds(from));
    ensure!(story.requests()? == requests, "{:?}", &story.requests()?[requests.len()..]);
    targets.expect(&[&[&held.prefix]])
}
