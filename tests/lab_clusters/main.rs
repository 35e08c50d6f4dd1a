//! The real daemon against real API servers with the projects' own CRDs, the real Cilium operator and, with
//! DYN_PREFIX_LAB_FULL=1, the real MetalLB controller. `cargo test --test lab`, after `tests/lab/build`.

#![expect(clippy::disallowed_methods, reason = "the stories hold a clock against real programs, and set a pace")]

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

#[path = "../support/lab.rs"]
mod lab;

mod changes;
mod cilium;
mod contested;
mod crds;
mod credentials;
mod doctor;
mod failures;
mod hand;
mod islands;
mod join;
mod kinds;
mod life;
mod manifests;
mod metallb;
mod mirrored;
mod observed;
mod pod;
mod rbac;
mod refusals;
mod release;
mod rig;
mod services;
mod verbs;

use rig::Lab;

/// A story: its name and what it does with the lab.
type Story = (&'static str, fn(&Lab) -> Result<()>);

/// What a group of stories cannot do without.
struct Group {
    programs: &'static [&'static str],
    only_full: bool,
    stories: &'static [Story],
}

const SERVER: &[&str] = &["etcd", "kube-apiserver"];

const GROUPS: &[Group] = &[
    // The long ones first, so that none of them runs alone at the end.
    Group { programs: SERVER, only_full: false, stories: contested::STORIES },
    Group { programs: SERVER, only_full: false, stories: islands::STORIES },
    Group { programs: &["etcd", "kube-apiserver", "cilium-operator"], only_full: false, stories: cilium::STORIES },
    Group {
        programs: &["etcd", "kube-apiserver", "cilium-operator"],
        only_full: false,
        stories: services::WITH_OPERATOR,
    },
    Group {
        programs: &["etcd", "kube-apiserver", "cilium-operator"],
        only_full: false,
        stories: changes::WITH_OPERATOR,
    },
    Group { programs: SERVER, only_full: false, stories: hand::STORIES },
    Group { programs: SERVER, only_full: false, stories: changes::STORIES },
    Group { programs: SERVER, only_full: false, stories: credentials::STORIES },
    Group { programs: SERVER, only_full: false, stories: life::STORIES },
    Group { programs: SERVER, only_full: false, stories: release::STORIES },
    Group { programs: SERVER, only_full: false, stories: crds::STORIES },
    Group { programs: SERVER, only_full: false, stories: doctor::STORIES },
    Group { programs: SERVER, only_full: false, stories: observed::STORIES },
    Group { programs: SERVER, only_full: false, stories: mirrored::STORIES },
    Group { programs: &["etcd", "kube-apiserver", "promtool"], only_full: false, stories: observed::WITH_PROMTOOL },
    Group { programs: SERVER, only_full: false, stories: rbac::STORIES },
    Group { programs: SERVER, only_full: false, stories: verbs::STORIES },
    Group { programs: SERVER, only_full: false, stories: join::STORIES },
    Group { programs: SERVER, only_full: false, stories: pod::STORIES },
    Group { programs: SERVER, only_full: false, stories: manifests::STORIES },
    Group { programs: SERVER, only_full: false, stories: failures::STORIES },
    Group { programs: SERVER, only_full: false, stories: refusals::STORIES },
    Group { programs: SERVER, only_full: false, stories: services::STORIES },
    Group { programs: &["etcd", "kube-apiserver", "metallb-controller"], only_full: true, stories: metallb::STORIES },
];

fn main() -> ExitCode {
    let lab = Arc::new(Lab::default());
    let of_group = |group: &'static Group| {
        let lab = Arc::clone(&lab);
        group.stories.iter().map(move |story| trial(Arc::clone(&lab), *story, missing(group)))
    };
    let trials = GROUPS.iter().flat_map(of_group).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Why the stories of a group cannot run on this machine.
fn missing(group: &Group) -> Option<String> {
    if group.only_full && std::env::var_os("DYN_PREFIX_LAB_FULL").is_none_or(|value| value != "1") {
        return Some("part of the full layer only (tests/run full, or DYN_PREFIX_LAB_FULL=1)".to_owned());
    }
    let of_debian = |name: &str| {
        let there = std::process::Command::new(name).arg("--version").output().is_ok();
        (!there).then(|| format!("{name} is not on PATH (tests/lab/debs {name})"))
    };
    let missing = |name: &&str| match *name {
        "promtool" => of_debian(name),
        _ => lab::program(name).err().map(|error| error.to_string()),
    };
    group.programs.iter().find_map(missing)
}

/// A story as a test. One that cannot run says why, and is not counted as passed.
fn trial(lab: Arc<Lab>, (name, story): Story, missing: Option<String>) -> Trial {
    Trial::ignorable_test(name, move || match missing {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => {
            let outcome = story(&lab).map(|()| Completion::Completed);
            // The whole chain, without the back-trace that `{:?}` adds.
            outcome.map_err(|error| Failed::from(format!("{error:#}")))
        }
    })
}
