//! What clusters show of a DynamicPrefix (`publishStatus`).

use serde_json::json;

use super::world::*;
use crate::cluster::{ConnectionState, TargetReport};
use crate::config::Chosen;
use crate::daemon::mirror;
use crate::source::SourceKind;

const OURS: &str = "range=2001:db8:a:0:f000::-2001:db8:a:0:f000::ffff";

fn text() -> String {
    HOME.replace("kubeconfig = \"/one\"", "kubeconfig = \"/one\"\npublishStatus = true")
}

/// The message of PoolsSynced; `None`: nothing is to be said yet.
fn told(world: &World) -> Option<String> {
    let publication = world.coordinator.publication("one", &world.epoch());
    assert_eq!(publication.mirrors.is_empty(), publication.undecided == ["home"], "{publication:?}");
    let status = &publication.mirrors.first()?.status;
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let of_pools = conditions.into_iter().find(|condition| condition["type"] == "PoolsSynced")?;
    Some(of_pools["message"].as_str()?.to_owned())
}

/// Else a restart would write that no pool holds it, and a moment later that one does.
#[test]
fn nothing_is_said_of_pools_that_were_not_read_yet() {
    let mut world = World::new(&text());
    world.ra(&[(A, 86_400, 86_400)]);
    world.connect("one", ConnectionState::Connected);
    assert_eq!(told(&world), None, "the pool of the binding");
    let bindings = vec![world.coordinator.config().bindings[0].name.clone()];
    let bound = TargetReport { bindings, ..managed("pool", "u1", OURS) };
    let bound_prefixes = vec!["2001:db8:a:0:f000::/112".to_owned()];
    let found = TargetReport { bindings: Vec::new(), bound_prefixes, ..managed("found", "u2", OURS) };
    world.targets("one", vec![bound.clone(), found.clone()]);
    let said = told(&world).expect("all is known");
    assert!(said.contains("hold it: 2 here"), "{said}");
    world.restart(&text(), 1);
    world.ra(&[(A, 86_400, 86_400)]);
    world.connect("one", ConnectionState::Connected);
    assert_eq!(told(&world), None);
    world.targets("one", vec![bound]);
    assert_eq!(told(&world), None, "one that carries our annotation, as the store knows");
    world.targets("one", vec![found]);
    assert_eq!(told(&world), Some(said));
}

/// Whoever may read the objects may not know what a service for addresses wants to know of its users.
#[test]
fn each_source_of_the_file_is_shown_and_what_auto_chose_is_not() {
    let shown = |acquisition: &str| {
        let mut world = World::new(&format!("[[dynamicPrefix]]\nname = \"home\"\n{acquisition}\n"));
        world.coordinator.take_choices(&[("home".to_owned(), Ok(chosen()))], world.now);
        mirror::spec(&world.coordinator.config().dynamic_prefixes[0])["acquisition"].clone()
    };
    assert_eq!(shown("acquisition = \"auto\""), json!({"auto": {}}));
    assert_eq!(shown("acquisition.auto = { interface = \"ppp0\" }"), json!({"auto": {"interface": "ppp0"}}));
    let all = "acquisition.observe = { interface = \"ppp0\" }
        acquisition.interface = { name = \"br-lan\", delegatedPrefixLength = 60 }
        acquisition.http = { url = \"https://ip.example/v6?key=secret\", prefixLength = 56, intervalSeconds = 90 }";
    let expected = json!({
        "observe": {"interface": "ppp0"},
        "interface": {"name": "br-lan", "delegatedPrefixLength": 60},
        "http": {"url": "https://ip.example/v6?…", "prefixLength": 56, "intervalSeconds": 90},
    });
    assert_eq!(shown(all), expected);
}

fn chosen() -> Chosen {
    Chosen { kind: SourceKind::Observed, interface: "ppp0".to_owned(), reason: String::new() }
}
