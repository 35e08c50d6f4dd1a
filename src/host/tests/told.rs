//! What a hook is told, and what status shows.

use serde_json::{Value, json};

use super::world::{A, B, World, variable};
use crate::host::{Done, Failure};
use crate::status::HookStatus;
use crate::time::{Epoch, Instant};

const HOOK: &str = "[[hook]]\nname = \"follow\"\ncommand = [\"/bin/x\"]\ndynamicPrefix = \"home-ipv6\"\n";

#[test]
fn the_environment_has_the_old_and_the_new() {
    let mut world = World::new(HOOK);
    world.home(&[A]);
    let run = world.run();
    world.succeed(run.id, Done::Ran);
    world.home(&[B, A]);
    let run = world.run();
    let variables: Vec<(&str, &str)> =
        run.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        variables,
        [
            ("DYN_PREFIX_NAME", "home-ipv6"),
            ("DYN_PREFIX_EVENT", "acquired"),
            ("DYN_PREFIX_STATE", "in-use"),
            ("DYN_PREFIX_SOURCE", "router-advertisement"),
            ("DYN_PREFIX_GENERATION", "7"),
            ("DYN_PREFIX_CURRENT", "2001:db8:b::/56"),
            ("DYN_PREFIX_PREVIOUS", "2001:db8:a::/56"),
            ("DYN_PREFIX_DRAINING", "2001:db8:a::/56"),
            ("DYN_PREFIX_CURRENT_LOAD_BALANCERS", "2001:db8:b:0:f000::/112"),
            ("DYN_PREFIX_PREVIOUS_LOAD_BALANCERS", "2001:db8:a:0:f000::/112"),
            ("DYN_PREFIX_DRAINING_LOAD_BALANCERS", "2001:db8:a:0:f000::/112"),
            ("DYN_PREFIX_CURRENT_WEB", "2001:db8:b:5::/64"),
            ("DYN_PREFIX_PREVIOUS_WEB", "2001:db8:a:5::/64"),
            ("DYN_PREFIX_DRAINING_WEB", "2001:db8:a:5::/64"),
        ]
    );
}

#[test]
fn what_is_withdrawn_is_the_previous_one() {
    let mut world = World::new(HOOK);
    world.home(&[A]);
    let run = world.run();
    world.succeed(run.id, Done::Ran);
    world.home(&[]);
    let run = world.run();
    assert_eq!((variable(&run, "DYN_PREFIX_CURRENT"), variable(&run, "DYN_PREFIX_PREVIOUS")), ("", A));
    assert_eq!(variable(&run, "DYN_PREFIX_PREVIOUS_WEB"), "2001:db8:a:5::/64");
    assert_eq!(variable(&run, "DYN_PREFIX_CURRENT_WEB"), "");
}

#[test]
fn standard_input_has_the_shape_of_status_now_and_as_it_was_told_last() {
    let mut world = World::new(HOOK);
    world.home(&[A]);
    let run = world.run();
    let input: Value = serde_json::from_slice(&run.input).unwrap();
    let shown = serde_json::to_value(super::world::shown("home-ipv6")).unwrap();
    let variables: serde_json::Map<String, Value> =
        run.variables.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    assert_eq!(
        input,
        json!({"schemaVersion": 1, "event": "start", "dynamicPrefix": shown, "previous": null, "variables": variables})
    );
    world.succeed(run.id, Done::Ran);
    world.home(&[B, A]);
    let input: Value = serde_json::from_slice(&world.run().input).unwrap();
    assert_eq!((&input["event"], &input["previous"]), (&json!("acquired"), &shown));
}

/// The kernel starts no program with more: MAX_ARG_STRLEN, and a quarter of the stack for all of them.
#[test]
fn what_an_environment_has_no_room_for_is_on_standard_input_only() {
    let mut world = World::new(HOOK);
    // 9000 subnets in each, none beside another, of 17 characters and more.
    let index: Vec<u128> = (0..9000).map(|number| 2 * number).collect();
    let facts = |prefixes: &[&str]| {
        let mut prefix = super::world::config("").dynamic_prefixes[0].clone();
        prefix.subnets[0].prefix_length = 112;
        prefix.subnets[0].place = crate::config::Place::Index(index.clone());
        [("home-ipv6".to_owned(), super::world::facts_of(&prefix, prefixes))].into()
    };
    world.jobs.handle_facts(facts(&[B, A]), world.now);
    let run = world.run();
    let has = |name: &str| run.variables.iter().any(|(known, _)| known == name);
    for name in ["CURRENT_WEB", "PREVIOUS_WEB", "DRAINING_WEB"] {
        assert!(!has(&format!("DYN_PREFIX_{name}")), "{name}: an empty one would mean that there is none");
    }
    assert_eq!(variable(&run, "DYN_PREFIX_OMITTED"), "3");
    assert_eq!(variable(&run, "DYN_PREFIX_CURRENT_LOAD_BALANCERS"), "2001:db8:b:0:f000::/112");
    let input: Value = serde_json::from_slice(&run.input).unwrap();
    let listed = input["variables"]["DYN_PREFIX_DRAINING_WEB"].as_str().unwrap();
    assert_eq!(listed.split(' ').count(), 9000);
    assert!(listed.ends_with("2001:db8:a::464e:0/112"), "the last of them");
}

fn hook(world: &World) -> HookStatus {
    let epoch = Epoch::new(world.now, "2026-01-04T10:00:00Z".parse().unwrap());
    world.jobs.hook_status(&epoch).remove(0)
}

#[test]
fn status_shows_what_it_does_and_that_it_fails() {
    let mut world = World::new(HOOK);
    let reason = |world: &World| (hook(world).reason, hook(world).synced, hook(world).is_failing());
    assert_eq!(reason(&world), ("NoOpinion".to_owned(), false, false));
    world.home(&[A]);
    assert_eq!(reason(&world), ("Pending".to_owned(), false, false));
    let run = world.run();
    assert_eq!(reason(&world), ("Running".to_owned(), false, false));
    world.fail(run.id, Failure::TIMED_OUT);
    assert_eq!(reason(&world), ("TimedOut".to_owned(), false, true));
    let shown = hook(&world);
    assert_eq!(shown.retry_at.unwrap().to_string(), "2026-01-04T10:00:01Z");
    assert_eq!((shown.message.as_deref(), shown.last_event), (Some("It broke."), None));
    world.wait(1);
    let run = world.run();
    world.succeed(run.id, Done::Ran);
    assert_eq!(reason(&world), ("Synced".to_owned(), true, false));
    assert_eq!(hook(&world).last_event.as_deref(), Some("start"));
    assert_eq!(world.jobs.counts().runs[&("follow".to_owned(), "timeout")], 1);
    assert_eq!(world.jobs.counts().runs[&("follow".to_owned(), "success")], 1);
    assert_eq!(world.jobs.counts().took["follow"].count, 2);
    assert!(world.now > Instant::BOOT);
}
