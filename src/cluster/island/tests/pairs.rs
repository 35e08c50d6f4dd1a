//! One pool with ranges of two DynamicPrefixes.

use super::town::{Town, V6, ips, ours};
use super::*;

const TARGET: &str = "external-dns.kubernetes.io/target";

fn town() -> (Town, ObjectRef, ObjectRef) {
    let lb = pool("lb");
    let mut town = Town::new(Mode::Ha, &lb);
    town.second = vec![0x11];
    town.bindings.push(Binding { dynamic_prefix: "second".to_owned(), ..binding("c", "lb", &lb) });
    town.tell(at(0));
    town.live(at(0));
    let suffix = ("dynamic-prefix.io/suffix", "::7");
    let one = town.create("one", ours(&[suffix]), V6, at(1));
    let mut annotations = ours(&[suffix]);
    annotations["dynamic-prefix.io/name"] = json!("second");
    let two = town.create("two", annotations, V6, at(1));
    town.live(at(1));
    town.live_until(at(200));
    assert_eq!((town.ingress(&one), town.ingress(&two)), (ips(&["2001:db8:1::7"]), ips(&["2001:db8:11::7"])));
    (town, one, two)
}

fn end(town: &mut Town) {
    town.live_until(at(2 * HOUR));
    town.draining = 0;
    town.tell(at(2 * HOUR));
    town.live(at(2 * HOUR));
    town.live_until(at(3 * HOUR));
}

#[test]
fn one_prefix_rotates_and_the_other_is_stable() {
    let (mut town, one, two) = town();
    let written = town.lab.writes.len();
    town.rotate(2, at(300));
    town.live(at(300));
    assert_eq!(town.ingress(&one), ips(&["2001:db8:1::7", "2001:db8:2::7"]));
    assert_eq!(town.note(&one, TARGET).as_deref(), Some("2001:db8:2::7"));
    end(&mut town);
    assert_eq!((town.ingress(&one), town.ingress(&two)), (ips(&["2001:db8:2::7"]), ips(&["2001:db8:11::7"])));
    assert!(town.lab.writes[written..].iter().all(|write| write.object != two), "it has nothing to do with it");
    let mut list = town.lab.text(&pool("lb"));
    list.sort();
    assert_eq!(list, ["192.0.2.0/24", "2001:db8:11::/64", "2001:db8:2::/64"]);
}

#[test]
fn both_prefixes_rotate_at_once() {
    let (mut town, one, two) = town();
    town.second.insert(0, 0x12);
    town.rotate(2, at(300));
    town.live(at(300));
    assert_eq!(town.ingress(&one), ips(&["2001:db8:1::7", "2001:db8:2::7"]));
    assert_eq!(town.ingress(&two), ips(&["2001:db8:11::7", "2001:db8:12::7"]));
    assert_eq!(town.note(&two, TARGET).as_deref(), Some("2001:db8:12::7"));
    end(&mut town);
    assert_eq!((town.ingress(&one), town.ingress(&two)), (ips(&["2001:db8:2::7"]), ips(&["2001:db8:12::7"])));
    let mut list = town.lab.text(&pool("lb"));
    list.sort();
    assert_eq!(list, ["192.0.2.0/24", "2001:db8:12::/64", "2001:db8:2::/64"]);
}
