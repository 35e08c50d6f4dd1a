//! From a DHCPv6 server to the objects in a cluster: the real program, Kea and kube-apiserver.
//!
//! Each story has namespaces, a server, a daemon and objects of its own. They wait for lifetimes of some seconds to end,
//! and therefore run at the same time, beside the other tests. The one API server that they share is the stories' own.

use std::sync::{Arc, OnceLock};

use anyhow::{Result, anyhow};
use libtest_mimic::{Completion, Failed, Trial};

use crate::interop::scene::{Scene, Traffic};
use crate::interop::servers::find;

use home::Home;
use story::Story;

mod change;
mod home;
mod loss;
mod relay;
mod reload;
mod restart;
mod story;
mod uplink;

/// A test: its name, the programs it needs, what its messages may be, what it does.
struct Test {
    name: &'static str,
    programs: &'static [&'static str],
    traffic: Traffic,
    run: fn(&Story<'_>) -> Result<()>,
}

impl Test {
    /// One with Kea, and without a Release.
    const fn new(name: &'static str, run: fn(&Story<'_>) -> Result<()>) -> Self {
        Self { name, programs: &["kea-dhcp6"], traffic: Traffic::Ours, run }
    }

    /// The same with a Release.
    const fn releases(self) -> Self {
        Self { traffic: Traffic::Releases, ..self }
    }

    /// The same with other programs.
    const fn with(self, programs: &'static [&'static str]) -> Self {
        Self { programs, ..self }
    }

    /// Why it cannot run on this machine, if it cannot.
    fn lacks(&self) -> Option<String> {
        let program = self.programs.iter().find(|program| find(program).is_none())?;
        Some(format!("{program} is not on PATH (tests/lab/debs)"))
    }
}

fn all() -> impl Iterator<Item = &'static Test> {
    [change::TESTS, loss::TESTS, reload::TESTS, restart::TESTS, uplink::TESTS].into_iter().flatten()
}

/// The API server, once the first story has made it, or why there is none.
type Shared = Arc<OnceLock<Result<Home, String>>>;

/// All stories. The API server ends with the last of them.
pub(crate) fn trials(missing: Option<&str>) -> Vec<Trial> {
    let shared = Shared::default();
    all().map(|test| trial(test, missing.map(str::to_owned), Arc::clone(&shared))).collect()
}

fn trial(test: &'static Test, missing: Option<String>, shared: Shared) -> Trial {
    Trial::ignorable_test(test.name, move || match missing.or_else(|| test.lacks()) {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => run(test, &shared).map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}"))),
    })
}

fn run(test: &Test, shared: &Shared) -> Result<()> {
    let home = shared.get_or_init(|| Home::start().map_err(|error| format!("{error:#}")));
    let home = home.as_ref().map_err(|error| anyhow!("the API server of these tests: {error}"))?;
    home.namespace.inside(|| {
        let scene = Scene::apart()?;
        let tell = |scene: &Scene| {
            let story = Story::new(test.name, scene, home)?;
            (test.run)(&story)?;
            home.api.expect_nothing_refused(&story.account())
        };
        scene.run(tell, test.traffic)
    })
}
