//! When a file is written and its reload command is run.

use std::path::Path;

use super::world::{A, B, C, World, variable};
use crate::host::{Done, Failure};
use crate::status::FileStatus;
use crate::time::Epoch;

const FILE: &str = "[[file]]\npath = \"/run/x\"\ntext = \"${home-ipv6.all}\"\n";
const RELOADED: &str = "[[file]]\npath = \"/run/x\"\ntext = \"${home-ipv6.all}\"\nreload = [\"/bin/reload\", \"x\"]\n";

const WRITTEN: Done = Done::Holds { changed: true, reload_is_due: true };
const UNCHANGED: Done = Done::Holds { changed: false, reload_is_due: false };

fn file(world: &World) -> FileStatus {
    let epoch = Epoch::new(world.now, "2026-01-04T10:00:00Z".parse().unwrap());
    world.jobs.file_status(&epoch).remove(0)
}

#[test]
fn it_is_written_once_for_each_content() {
    let mut world = World::new(FILE);
    assert_eq!((world.job(), world.pause()), (None, None), "nothing is known yet");
    assert_eq!((file(&world).reason.as_str(), file(&world).is_failing()), ("NoOpinion", false));
    world.home(&[A]);
    let write = world.write();
    assert_eq!((write.path.as_path(), write.content.as_str(), write.mode), (Path::new("/run/x"), A, 0o644));
    assert!(!write.has_reload);
    world.home(&[B, A]);
    world.home(&[C, A]);
    assert_eq!(world.job(), None, "one at a time");
    world.succeed(write.id, WRITTEN);
    assert_eq!(world.lines(), ["Wrote /run/x."]);
    let write = world.write();
    assert_eq!(write.content, "2001:db8:c::/56, 2001:db8:a::/56", "the latest");
    world.succeed(write.id, WRITTEN);
    world.lose(true);
    assert_eq!((world.job(), world.pause()), (None, None), "the text is the same");
    assert!(file(&world).synced);
}

#[test]
fn reload_runs_after_a_change_only_and_again_until_it_works() {
    let mut world = World::new(RELOADED);
    world.home(&[A]);
    let write = world.write();
    assert!(write.has_reload);
    world.succeed(write.id, UNCHANGED);
    assert_eq!((world.job(), world.pause()), (None, None), "it held that already");
    assert_eq!(world.lines(), Vec::<String>::new());
    world.home(&[B, A]);
    let write = world.write();
    world.succeed(write.id, WRITTEN);
    let run = world.run();
    assert_eq!((run.command.join(" ").as_str(), variable(&run, "DYN_PREFIX_FILE")), ("/bin/reload x", "/run/x"));
    assert_eq!((run.reloads.as_deref(), file(&world).reason.as_str()), (Some(Path::new("/run/x")), "Reloading"));
    world.fail(run.id, Failure::FAILED);
    assert_eq!((world.job(), world.pause()), (None, Some(1)));
    assert_eq!((file(&world).reason.as_str(), file(&world).is_failing()), ("Failed", true));
    world.wait(1);
    let run = world.run();
    world.succeed(run.id, Done::Ran);
    assert_eq!((world.job(), world.pause()), (None, None));
    assert!(file(&world).synced);
    assert_eq!(
        world.lines(),
        [
            "Wrote /run/x; its reload command is run.",
            "/run/x is written, but its reload command did not run well: It broke. It is run again, with growing \
             pauses.",
            "The reload command of /run/x ran in 5 ms.",
        ]
    );
}

#[test]
fn a_reload_that_a_former_run_owes_is_made() {
    let mut world = World::new(RELOADED);
    world.home(&[A]);
    let write = world.write();
    world.succeed(write.id, Done::Holds { changed: false, reload_is_due: true });
    assert_eq!(world.run().command[0], "/bin/reload");
}

#[test]
fn a_change_during_the_reload_has_a_reload_of_its_own() {
    let mut world = World::new(RELOADED);
    world.home(&[A]);
    let write = world.write();
    world.succeed(write.id, WRITTEN);
    let run = world.run();
    world.home(&[B, A]);
    assert_eq!(world.job(), None, "not while it reads the file");
    world.succeed(run.id, Done::Ran);
    let write = world.write();
    world.succeed(write.id, WRITTEN);
    assert_eq!(world.run().command[0], "/bin/reload");
}

#[test]
fn what_cannot_be_written_is_tried_again() {
    let mut world = World::new(FILE);
    world.home(&[A]);
    for pause in [1, 2, 4] {
        let write = world.write();
        world.fail(write.id, Failure::NOT_WRITTEN);
        assert_eq!(world.pause(), Some(pause));
        world.wait(pause);
    }
    assert_eq!((file(&world).reason.as_str(), file(&world).is_failing()), ("NotWritten", true));
    let write = world.write();
    world.succeed(write.id, WRITTEN);
    assert_eq!(
        world.lines(),
        ["/run/x stays as it is: It broke.", "/run/x is what it should be again.", "Wrote /run/x."]
    );
    assert_eq!(world.jobs.counts().writes[&("/run/x".to_owned(), "failure")], 3);
}

/// A suffix that the prefix has no room for is not known before the prefix is.
#[test]
fn what_cannot_be_filled_in_leaves_the_file_as_it_is() {
    let mut world = World::new("[[file]]\npath = \"/run/x\"\ntext = \"${lab.current+::1:0:0:0:2}\"\n");
    world.set("lab", &["2001:db8::/64"]);
    assert_eq!((world.job(), world.pause()), (None, None));
    let shown = file(&world);
    assert_eq!((shown.reason.as_str(), shown.is_failing(), shown.retry_at), ("NotRendered", true, None));
    let message = shown.message.unwrap();
    assert!(message.starts_with("${lab.current+::1:0:0:0:2} cannot be computed in 2001:db8::/64: "), "{message}");
    assert_eq!(world.lines().len(), 1);
    world.set("lab", &["2001:db8::/56"]);
    let write = world.write();
    assert_eq!((write.content.as_str(), world.lines()), ("2001:db8:0:1::2", Vec::new()), "it is not written yet");
    world.succeed(write.id, WRITTEN);
    assert_eq!(world.lines(), ["/run/x is what it should be again.", "Wrote /run/x."]);
}

/// What has been written is not what the file should hold by now.
#[test]
fn a_write_that_ends_well_does_not_make_a_template_one_that_can_be_filled_in() {
    let mut world = World::new("[[file]]\npath = \"/run/x\"\ntext = \"${lab.current+::1:0:0:0:2}\"\n");
    world.set("lab", &["2001:db8::/56"]);
    let write = world.write();
    world.set("lab", &["2001:db8::/64"]);
    assert_eq!(world.lines().len(), 1);
    world.succeed(write.id, WRITTEN);
    assert_eq!(world.lines(), ["Wrote /run/x."]);
    assert_eq!((file(&world).reason.as_str(), file(&world).is_failing()), ("NotRendered", true));
}

/// Nor does one that fails hide why it cannot.
#[test]
fn a_write_that_fails_is_not_what_keeps_a_template_from_being_filled_in() {
    let mut world = World::new("[[file]]\npath = \"/run/x\"\ntext = \"${lab.current+::1:0:0:0:2}\"\n");
    world.set("lab", &["2001:db8::/56"]);
    let write = world.write();
    world.set("lab", &["2001:db8::/64"]);
    assert_eq!(world.lines().len(), 1);
    world.fail(write.id, Failure::NOT_WRITTEN);
    assert_eq!((world.lines(), world.job(), world.pause()), (Vec::new(), None, None));
    let shown = file(&world);
    assert_eq!((shown.reason.as_str(), shown.retry_at), ("NotRendered", None));
    let message = shown.message.unwrap();
    assert!(message.starts_with("${lab.current+::1:0:0:0:2} cannot be computed in 2001:db8::/64: "), "{message}");
}

/// Nothing was written meanwhile.
#[test]
fn what_can_be_filled_in_again_is_not_what_it_should_be_before_it_is_written() {
    let mut world = World::new("[[file]]\npath = \"/run/x\"\ntext = \"${lab.current+::1:0:0:0:2}\"\n");
    world.set("lab", &["2001:db8::/56"]);
    let write = world.write();
    world.fail(write.id, Failure::NOT_WRITTEN);
    world.set("lab", &["2001:db8::/64"]);
    assert_eq!(world.lines().len(), 2, "it fails for another reason");
    world.set("lab", &["2001:db8::/56"]);
    assert_eq!(world.lines(), Vec::<String>::new());
    let write = world.write();
    world.fail(write.id, Failure::NOT_WRITTEN);
    assert_eq!((file(&world).reason.as_str(), world.lines().len()), ("NotWritten", 1));
    world.set("lab", &["2001:db8::/64"]);
    world.lines();
    world.forget("lab");
    assert_eq!((file(&world).reason.as_str(), world.lines()), ("NoOpinion", Vec::new()));
    assert_eq!((world.job(), world.pause()), (None, None));
}

/// What failed may have come after the file was replaced, to make sure of its directory: it is looked at first.
#[test]
fn what_is_back_to_what_the_file_holds_is_no_failure_any_more() {
    let mut world = World::new(FILE);
    world.home(&[A]);
    let write = world.write();
    world.succeed(write.id, WRITTEN);
    world.home(&[B, A]);
    let write = world.write();
    world.fail(write.id, Failure::NOT_WRITTEN);
    world.lines();
    world.home(&[A]);
    assert_eq!(world.lines(), Vec::<String>::new());
    let write = world.write();
    assert_eq!(write.content, A);
    world.succeed(write.id, UNCHANGED);
    assert_eq!((world.job(), world.pause()), (None, None));
    assert_eq!(world.lines(), ["/run/x is what it should be again."]);
    assert!(file(&world).synced);
}

/// Two writers of one path would take each other's new file away.
#[test]
fn a_file_that_leaves_and_is_back_waits_for_the_write_that_is_under_way() {
    let mut world = World::new(FILE);
    world.home(&[A]);
    let former = world.write();
    world.reload("");
    world.reload(FILE);
    assert_eq!(world.job(), None, "one at a time");
    world.succeed(former.id, WRITTEN);
    let write = world.write();
    assert_eq!(write.content, A, "what it holds is looked at");
    world.reload("");
    world.succeed(write.id, WRITTEN);
    world.reload(FILE);
    assert_eq!(world.write().content, A);
}

#[test]
fn a_reload_of_the_configuration_looks_at_the_file_again() {
    let mut world = World::new(FILE);
    world.home(&[A]);
    let write = world.write();
    world.reload(&FILE.replace("x\"\n", "x\"\nmode = \"0600\"\n"));
    world.succeed(write.id, WRITTEN);
    let write = world.write();
    assert_eq!((write.content.as_str(), write.mode), (A, 0o600));
    world.succeed(write.id, WRITTEN);
    world.reload(&FILE.replace("/run/x", "/run/y"));
    assert_eq!(world.write().path, Path::new("/run/y"));
    world.reload("");
    assert_eq!((world.job(), world.pause()), (None, None));
}
