//! A reload that changes nothing but what concerns Services.

use super::world::*;
use crate::config::{Mode, ServiceScope};

const FRONT: &str = r#"
[[service]]
cluster = "one"
namespace = "web"
name = "front"
prefixRef = "home/lb"
suffix = "::f000:0:0:2"
"#;

/// The Services that a cluster is told of: "Service/web/front ::f000:0:0:2".
fn services(world: &World, cluster: &str) -> Vec<String> {
    let wanted = world.coordinator.wanted(cluster);
    let shown = wanted.services.iter().map(|service| match service.suffix {
        Some(suffix) => format!("{} {suffix}", service.target),
        None => service.target.to_string(),
    });
    shown.collect()
}

/// Puts a line into `[dynamicPrefix.transition]` of a configuration that has none.
fn with_transition(line: &str) -> String {
    HOME.replace("\n[[binding]]", &format!("\n[dynamicPrefix.transition]\n{line}\n\n[[binding]]"))
}

fn mode(world: &World) -> (Mode, ServiceScope) {
    let computed = world.coordinator.wanted("one").catalogue.dynamic_prefixes["home"].clone();
    (computed.mode, computed.services)
}

#[test]
fn every_cluster_gets_its_services_and_no_others() {
    let every = FRONT.replace("cluster = \"one\"\n", "").replace("front", "every").replace(":2", ":3");
    let world = World::new(&format!("{HOME}{TWO_MORE}{FRONT}{every}"));
    assert_eq!(services(&world, "one"), ["Service/web/front ::f000:0:0:2", "Service/web/every ::f000:0:0:3"]);
    assert_eq!(services(&world, "two"), ["Service/web/every ::f000:0:0:3"]);
    assert_eq!(services(&world, "three"), ["Service/web/every ::f000:0:0:3"]);
}

/// A cluster hears of what differs only: each change of a `[[service]]` makes another wanted state for its cluster,
/// and for no other one.
#[test]
fn a_reload_of_nothing_but_services_changes_what_is_wanted_of_their_cluster() {
    let text = format!("{HOME}{TWO_MORE}");
    let mut world = World::new(&text);
    world.ra(&[(A, 1800, 3600)]);
    let none: [&str; 0] = [];
    for (lines, expected) in [
        (FRONT.to_owned(), vec!["Service/web/front ::f000:0:0:2"]),
        (FRONT.replace(":2\"", ":9\""), vec!["Service/web/front ::f000:0:0:9"]),
        (FRONT.replace("suffix", "# suffix"), vec!["Service/web/front"]),
        (FRONT.replace("home/lb", "home").replace("suffix", "# suffix"), vec!["Service/web/front"]),
        (String::new(), none.to_vec()),
    ] {
        let before = [world.coordinator.wanted("one"), world.coordinator.wanted("two")];
        world.reload(&format!("{text}{lines}"));
        assert_eq!(services(&world, "one"), expected, "{lines}");
        assert_ne!(world.coordinator.wanted("one"), before[0], "{lines}");
        assert_eq!(world.coordinator.wanted("two"), before[1], "{lines}");
    }
}

#[test]
fn a_reload_of_nothing_but_the_mode_changes_what_is_wanted() {
    let mut world = World::new(HOME);
    world.ra(&[(A, 86_400, 86_400)]);
    world.ra(&[(A, 0, 86_400), (B, 86_400, 86_400)]);
    let prefixes = world.wanted("home");
    for (line, expected) in [
        ("mode = \"ha\"", (Mode::Ha, ServiceScope::Annotated)),
        ("mode = \"ha\"\nservices = \"all\"", (Mode::Ha, ServiceScope::All)),
        ("mode = \"simple\"", (Mode::Simple, ServiceScope::Annotated)),
    ] {
        let before = world.coordinator.wanted("one");
        world.reload(&with_transition(line));
        assert_eq!(mode(&world), expected, "{line}");
        assert_ne!(world.coordinator.wanted("one"), before, "{line}");
        assert_eq!(world.wanted("home"), prefixes, "the history is kept");
    }
}

/// Also before a prefix was heard of: whose mode is ha must not be taken for simple in the first moment.
#[test]
fn the_mode_is_known_before_there_is_a_prefix() {
    let mut world = World::new(HOME);
    world.reload(&with_transition("mode = \"ha\""));
    assert_eq!((mode(&world), world.wanted("home")), ((Mode::Ha, ServiceScope::Annotated), "no opinion".to_owned()));
}

/// Written into the file, what is the default anyway is no news.
#[test]
fn a_reload_that_says_the_same_changes_nothing() {
    let mut world = World::new(&format!("{HOME}{FRONT}"));
    world.ra(&[(A, 1800, 3600)]);
    let before = world.coordinator.wanted("one");
    world.reload(&format!("{}{FRONT}", with_transition("mode = \"simple\"\nservices = \"annotated\"")));
    assert_eq!(world.coordinator.wanted("one"), before);
}

/// The section of a cluster goes to its task as it is; see `Tasks::follow`.
#[test]
fn the_prefixes_of_annotations_are_in_the_section_of_their_cluster() {
    let mut world = World::new(HOME);
    let prefixes = |world: &World| world.coordinator.config().clusters[0].external_dns.clone();
    assert_eq!(prefixes(&world), crate::config::EXTERNAL_DNS);
    for (list, expected) in [("[\"dns.example/\"]", vec!["dns.example/".to_owned()]), ("[]", Vec::new())] {
        let line = format!("kubeconfig = \"/one\"\nexternalDnsAnnotationPrefixes = {list}\n");
        world.reload(&HOME.replace("kubeconfig = \"/one\"\n", &line));
        assert_eq!(prefixes(&world), expected);
    }
}
