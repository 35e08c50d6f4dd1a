//! When a hook runs, and what for.

use super::world::{A, B, C, World, config, event, facts_of, variable};
use crate::host::{Done, Failure};

const HOOK: &str = "[[hook]]\ncommand = [\"/usr/local/sbin/follow\", \"-v\"]\ndynamicPrefix = \"home-ipv6\"\n";

/// A hook that knows of A.
fn told() -> World {
    let mut world = World::new(HOOK);
    world.home(&[A]);
    let run = world.run();
    assert_eq!(event(&run), "start");
    world.succeed(run.id, Done::Ran);
    world.lines();
    world
}

#[test]
fn it_runs_once_at_the_start_and_not_before_there_is_an_opinion() {
    let mut world = World::new(HOOK);
    assert_eq!((world.job(), world.pause()), (None, None));
    world.home(&[A]);
    let run = world.run();
    assert_eq!(run.command, ["/usr/local/sbin/follow", "-v"]);
    assert_eq!((variable(&run, "DYN_PREFIX_NAME"), event(&run)), ("home-ipv6", "start"));
    assert_eq!(world.job(), None, "one run at a time");
    world.succeed(run.id, Done::Ran);
    assert_eq!((world.job(), world.pause()), (None, None), "nothing has changed");
    assert_eq!(world.lines(), ["The hook follow ran for home-ipv6 (start) in 5 ms."]);
}

#[test]
fn a_prefix_that_is_known_to_be_none_is_a_start_too() {
    let mut world = World::new(HOOK);
    world.home(&[]);
    let run = world.run();
    assert_eq!((event(&run), variable(&run, "DYN_PREFIX_STATE")), ("start", "none"));
}

#[test]
fn every_transition_has_its_word() {
    let mut world = told();
    let next = |world: &mut World| {
        let run = world.run();
        world.succeed(run.id, Done::Ran);
        event(&run).to_owned()
    };
    world.home(&[B, A]);
    assert_eq!(next(&mut world), "acquired");
    world.home(&[B]);
    assert_eq!(next(&mut world), "drain-ended");
    world.lose(true);
    assert_eq!(next(&mut world), "lost");
    world.lose(false);
    assert_eq!(next(&mut world), "regained");
    world.home(&[]);
    assert_eq!(next(&mut world), "withdrawn");
    world.home(&[C]);
    assert_eq!(next(&mut world), "acquired");
}

#[test]
fn a_range_that_a_reload_changes_is_told() {
    let mut world = told();
    let mut prefix = config("").dynamic_prefixes[0].clone();
    prefix.subnets[0].place = crate::config::Place::Index(vec![6]);
    let facts = [("home-ipv6".to_owned(), facts_of(&prefix, &[A]))].into();
    world.jobs.handle_facts(facts, world.now);
    let run = world.run();
    assert_eq!(event(&run), "changed");
    assert_eq!(variable(&run, "DYN_PREFIX_CURRENT_WEB"), "2001:db8:a:6::/64");
}

#[test]
fn of_a_storm_only_the_latest_state_is_told() {
    let mut world = told();
    world.home(&[B, A]);
    let first = world.run();
    for prefixes in [&[C, B, A][..], &[A, C, B], &[B, A, C], &[C, B]] {
        world.home(prefixes);
        assert_eq!(world.job(), None, "one run at a time");
    }
    world.succeed(first.id, Done::Ran);
    let second = world.run();
    assert_eq!((event(&second), variable(&second, "DYN_PREFIX_CURRENT")), ("acquired", C));
    assert_eq!(variable(&second, "DYN_PREFIX_PREVIOUS"), B, "what it was told last");
    world.succeed(second.id, Done::Ran);
    assert_eq!((world.job(), world.pause()), (None, None));
}

/// Nobody knows how far the run for B came.
#[test]
fn a_change_that_is_taken_back_while_it_is_told_is_told_as_well() {
    let mut world = told();
    world.home(&[B, A]);
    let run = world.run();
    world.home(&[A]);
    world.fail(run.id, Failure::FAILED);
    let again = world.run();
    assert_eq!(variable(&again, "DYN_PREFIX_CURRENT"), A);
    world.succeed(again.id, Done::Ran);
    assert_eq!((world.job(), world.pause()), (None, None));
}

#[test]
fn a_failure_is_tried_again_with_growing_pauses_and_told_once_an_hour() {
    let mut world = told();
    world.home(&[B, A]);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let run = world.run();
        world.fail(run.id, Failure::FAILED);
        assert_eq!(world.job(), None, "not at once");
        pauses.push(world.pause().unwrap());
        world.wait(*pauses.last().unwrap());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    let lines = world.lines();
    assert_eq!(
        lines,
        ["The hook follow did not run well for home-ipv6 (acquired): It broke. It is run again, with growing \
             pauses."]
    );
    world.wait(3600);
    let run = world.run();
    world.fail(run.id, Failure::FAILED);
    assert_eq!(world.lines().len(), 1, "an hour later it is told again");
    world.wait(300);
    let run = world.run();
    world.succeed(run.id, Done::Ran);
    assert_eq!(world.lines(), ["The hook follow runs well again: it ran for home-ipv6 (acquired) in 5 ms."]);
    assert_eq!((world.job(), world.pause()), (None, None));
}

#[test]
fn a_change_does_not_wait_for_the_pause_of_the_state_before() {
    let mut world = told();
    world.home(&[B, A]);
    let run = world.run();
    world.fail(run.id, Failure::TIMED_OUT);
    assert_eq!(world.job(), None);
    world.home(&[C, B, A]);
    assert_eq!(variable(&world.run(), "DYN_PREFIX_CURRENT"), C);
}

#[test]
fn a_change_while_it_fails_is_told_at_once() {
    let mut world = told();
    world.home(&[B, A]);
    let run = world.run();
    world.home(&[C, B, A]);
    world.fail(run.id, Failure::FAILED);
    assert_eq!(variable(&world.run(), "DYN_PREFIX_CURRENT"), C);
}

#[test]
fn a_reload_leaves_what_is_the_same_and_tries_what_fails_again() {
    let mut world = told();
    world.reload(HOOK);
    assert_eq!((world.job(), world.pause()), (None, None), "it has been told");
    world.home(&[B, A]);
    let run = world.run();
    world.reload(HOOK);
    assert_eq!(world.job(), None, "one run at a time, also over a reload");
    world.fail(run.id, Failure::FAILED);
    assert_eq!(world.job(), None);
    world.reload(HOOK);
    assert_eq!(event(&world.run()), "acquired");
}

#[test]
fn a_hook_that_becomes_another_one_while_it_runs_is_told_by_itself() {
    let mut world = told();
    world.home(&[B, A]);
    let run = world.run();
    world.reload(&HOOK.replace("-v", "-q"));
    assert_eq!(world.job(), None, "one run at a time for each name");
    world.succeed(run.id, Done::Ran);
    let run = world.run();
    assert_eq!((run.command[1].as_str(), event(&run)), ("-q", "start"));
    world.reload("");
    world.succeed(run.id, Done::Ran);
    assert_eq!((world.job(), world.pause()), (None, None), "a hook that is no more does nothing");
    assert!(world.jobs.counts().runs.is_empty(), "and is counted no more");
}

#[test]
fn a_hook_that_leaves_and_is_back_waits_for_the_run_that_is_under_way() {
    let mut world = told();
    world.home(&[B, A]);
    let former = world.run();
    world.reload("");
    world.reload("");
    world.reload(HOOK);
    assert_eq!((world.job(), world.pause()), (None, None), "one run at a time");
    world.fail(former.id, Failure::FAILED);
    let run = world.run();
    assert_eq!(event(&run), "start", "it is a new one");
    world.reload("");
    world.lines();
    world.succeed(run.id, Done::Ran);
    assert_eq!((world.lines(), world.job(), world.pause()), (Vec::new(), None, None));
}

#[test]
fn one_dynamic_prefix_that_changes_all_the_time_does_not_hold_up_another_one() {
    let mut world = World::new("[[hook]]\ncommand = [\"/bin/true\"]\n");
    world.home(&[A]);
    let run = world.run();
    world.set("lab", &["2001:db8:1::/64"]);
    world.home(&[B, A]);
    world.succeed(run.id, Done::Ran);
    let run = world.run();
    assert_eq!(variable(&run, "DYN_PREFIX_NAME"), "lab");
    world.succeed(run.id, Done::Ran);
    assert_eq!(variable(&world.run(), "DYN_PREFIX_NAME"), "home-ipv6");
}

#[test]
fn hooks_do_not_wait_for_each_other() {
    let mut world = World::new(&format!("{HOOK}[[hook]]\ncommand = [\"/bin/true\"]\n"));
    world.home(&[A]);
    assert_eq!(world.run().command[0], "/usr/local/sbin/follow");
    assert_eq!(world.run().command[0], "/bin/true");
}

const FILE: &str = "[[file]]\npath = \"/run/x\"\ntext = \"${home-ipv6.all}\"\n";

#[test]
fn a_hook_finds_the_file_written() {
    let mut world = World::new(&format!("{HOOK}{FILE}"));
    for prefixes in [&[A][..], &[B, A]] {
        world.home(prefixes);
        let write = world.write();
        assert_eq!((world.job(), world.pause()), (None, Some(5)), "not before that");
        world.succeed(write.id, Done::Holds { changed: true, reload_is_due: false });
        let run = world.run();
        world.succeed(run.id, Done::Ran);
        assert_eq!((world.job(), world.pause()), (None, None));
    }
}

#[test]
fn a_file_that_cannot_be_written_or_hangs_does_not_hold_up_a_hook() {
    let mut world = World::new(&format!("{HOOK}{FILE}"));
    world.home(&[A]);
    let write = world.write();
    world.fail(write.id, Failure::NOT_WRITTEN);
    let run = world.run();
    assert_eq!((event(&run), world.pause()), ("start", Some(1)), "the file is tried again");
    world.succeed(run.id, Done::Ran);
    world.wait(1);
    let write = world.write();
    world.home(&[B, A]);
    assert_eq!((world.job(), world.pause()), (None, Some(5)), "it may come to its end");
    world.wait(5);
    assert_eq!(event(&world.run()), "acquired");
    world.succeed(write.id, Done::Holds { changed: true, reload_is_due: false });
    assert_eq!(world.write().content, "2001:db8:b::/56, 2001:db8:a::/56");
}
