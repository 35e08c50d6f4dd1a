//! Pools that serve some Services only.

use super::town::{Town, V6, ips, ours};
use super::*;
use crate::cluster::selector::Clientele;

const IPS: &str = "lbipam.cilium.io/ips";

fn select(town: &mut Town, spec: &Value, now: Instant) {
    let lb = pool("lb");
    let object = town.lab.api.edit(&lb, "kubectl", |object| {
        object.clientele = Clientele::from_json(lb.kind, spec).map(Box::new);
        object.generation = object.generation.map(|generation| generation + 1);
    });
    town.lab.island.handle_object(object, now);
}

/// A pool offers nothing to a Service that it does not select: that is said, nothing of the new range is asked for, and
/// nothing held back for it. Once the Service has the label it moves.
#[test]
fn a_pool_that_does_not_select_a_service() {
    let mut town = Town::new(Mode::Ha, &pool("lb"));
    town.tell(at(0));
    town.live(at(0));
    select(&mut town, &json!({ "serviceSelector": { "matchLabels": { "color": "blue" } } }), at(1));
    let front = town.create("front", ours(&[("dynamic-prefix.io/suffix", "::77")]), V6, at(1));
    town.live(at(1));
    town.rotate(2, at(10));
    town.live(at(10));
    assert_eq!((town.lab.reason(&front), town.note(&front, IPS)), ("AwaitingPool", None));
    let message = town.lab.message(&front);
    assert!(message.contains("its spec.serviceSelector does not match the Service"), "{message}");
    assert_eq!(town.lab.reason(&pool("lb")), "Synced");
    let held_back = town.lab.api.get(&pool("lb")).list.iter().any(|entry| entry.to_string().contains("::77"));
    assert!(!held_back, "nothing of it is for this Service");
    let object = town.lab.api.edit_service(&front, "kubectl", |service| {
        service["metadata"]["labels"] = json!({ "color": "blue" });
    });
    town.lab.island.handle_object(object, at(20));
    town.live(at(20));
    assert_eq!((town.lab.reason(&front), town.ingress(&front)), ("Synced", ips(&["2001:db8:2::77"])));
}
