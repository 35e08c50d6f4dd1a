//! The cases that the tests of the in-cluster operators assert (reference: D17 to D52, E15), as far as they are about lists.

use super::*;

/// The prefixes that most of the cases are about.
const CURRENT: &str = "2001:db8:abcd:100::/56";
const FORMER: &str = "2001:db8:abcd:200::/56";

fn merged(text: &str, want: &str, prefixes: &[&str]) -> String {
    let mut annotation = Annotation::new(text);
    annotation.merge(&wish(want, prefixes), at(0));
    annotation.text().to_owned()
}

#[test]
fn d17_d18_the_users_ipv4_addresses_come_first() {
    let (new, old) = ("2001:db8:abcd:100:0:ffff:0:2", "2001:db8:abcd:200:0:ffff:0:2");
    assert_eq!(
        merged("198.51.100.10", &format!("{new},{old}"), &[CURRENT, FORMER]),
        "198.51.100.10,2001:db8:abcd:100:0:ffff:0:2,2001:db8:abcd:200:0:ffff:0:2"
    );
    let mut target = Annotation::default();
    target.merge(&wish(new, &[CURRENT, FORMER]), at(0));
    assert_eq!(target.text(), new);
    assert_eq!(
        merged("10.0.0.1,192.168.1.100", "2001:db8:1::1", &["2001:db8:1::/48"]),
        "10.0.0.1,192.168.1.100,2001:db8:1::1"
    );
}

#[test]
fn d20_a_blank_annotation_holds_nothing() {
    let mut annotation = Annotation::new("");
    let merged = annotation.merge(&wish("2001:db8:abcd::42", &["2001:db8:abcd::/48"]), at(0));
    assert_eq!(annotation.text(), "2001:db8:abcd::42");
    assert_eq!(merged.record, addresses("2001:db8:abcd::42"));
}

#[test]
fn d21_d22_d23_a_target_keeps_names_and_addresses_of_the_user() {
    let new = "2001:db8:abcd:100:0:ffff:0:2";
    assert_eq!(merged("example.com", new, &[CURRENT, FORMER]), "example.com,2001:db8:abcd:100:0:ffff:0:2");
    assert_eq!(
        merged("example.com,2001:db8:abcd:200:0:ffff:0:2", new, &[CURRENT, FORMER]),
        "example.com,2001:db8:abcd:100:0:ffff:0:2"
    );
    assert_eq!(merged("203.0.113.1", "2001:db8:1::1", &["2001:db8:1::/48"]), "203.0.113.1,2001:db8:1::1");
}

#[test]
fn d25_when_dns_is_not_ours_to_say_any_more_our_target_leaves() {
    let managed = "2001:db8:abcd:100:0:ffff:0:2";
    let mut target = Annotation::new(&format!("example.com,{managed}")).recorded(managed);
    let merged = target.release();
    assert_eq!((target.text(), merged.record.len()), ("example.com", 0));
}

#[test]
fn d27_rotations_leave_no_leftovers_and_take_nothing_of_the_user() {
    for rotations in [1_usize, 3, 10, 40] {
        let mut ips = Annotation::new("198.51.100.10,fd00:1::ffff:0:2");
        for newest in 0..rotations {
            let generation = |age: &usize| newest.checked_sub(*age);
            let prefix = |n: usize| format!("2001:db8:{n:x}::/48");
            let prefixes: Vec<_> = (0..3).filter_map(|age| generation(&age)).map(prefix).collect();
            let want: Vec<_> =
                (0..3).filter_map(|age| generation(&age)).map(|n| format!("2001:db8:{n:x}::ffff:0:2")).collect();
            let prefixes: Vec<_> = prefixes.iter().map(String::as_str).collect();
            let mut goal = wish(&want.join(","), &prefixes);
            // What no longer drains is still known.
            let past = newest.checked_sub(3).map(|past| interval(&prefix(past)));
            goal.known.extend(past.map(|past| (Role::Known, past)));
            ips.merge(&goal, at(i64::try_from(newest).expect("few") * 86_400));
        }
        assert_eq!(entries(ips.text()).count(), 2 + rotations.min(3), "{}", ips.text());
        assert_eq!(entries(ips.text()).take(2).collect::<Vec<_>>(), ["198.51.100.10", "fd00:1::ffff:0:2"]);
    }
}

#[test]
fn d29_the_same_again_changes_nothing() {
    let goal = wish("2001:db8:1::1", &["2001:db8:1::/48"]);
    let mut ips = Annotation::new("198.51.100.10");
    let first = ips.merge(&goal, at(0));
    assert_eq!(ips.merge(&goal, at(9)), first);
}

#[test]
fn d30_what_the_user_pins_ahead_survives_its_generation() {
    let mut ips = Annotation::new("198.51.100.10");
    ips.merge(&wish("2001:db8:1::5", &["2001:db8:1::/48"]), at(0));
    ips.text = Some(format!("{},2001:DB8:2::5", ips.text()));
    let merged = ips.merge(&wish("2001:db8:2::5,2001:db8:1::5", &["2001:db8:2::/48", "2001:db8:1::/48"]), at(1));
    assert_eq!(ips.text(), "198.51.100.10,2001:db8:1::5,2001:DB8:2::5");
    assert_eq!(merged.record, addresses("2001:db8:1::5"));
    ips.merge(&wish("2001:db8:3::5", &["2001:db8:3::/48", "2001:db8:2::/48", "2001:db8:1::/48"]), at(2));
    assert_eq!(ips.text(), "198.51.100.10,2001:db8:3::5,2001:DB8:2::5");
    ips.merge(&wish("2001:db8:4::5", &["2001:db8:4::/48"]), at(3));
    assert!(entries(ips.text()).any(|entry| entry == "2001:DB8:2::5"), "{}", ips.text());
}

#[test]
fn d31_addresses_of_a_former_suffix_are_withdrawn() {
    let prefixes = ["2001:db8:1::/48", "2001:db8:2::/48"];
    let mut ips = Annotation::new("10.0.0.1");
    ips.merge(&wish("2001:db8:1::ffff:0:2,2001:db8:2::ffff:0:2", &prefixes), at(0));
    ips.merge(&wish("2001:db8:1::ffff:0:8,2001:db8:2::ffff:0:8", &prefixes), at(1));
    assert_eq!(ips.text(), "10.0.0.1,2001:db8:1::ffff:0:8,2001:db8:2::ffff:0:8");
}

#[test]
fn d33_an_error_changes_nothing() {
    let mut ips = Annotation::new("10.0.0.1,2001:db8:1::5").recorded("2001:db8:1::5");
    let merged = ips.merge(&Wish { hold: true, ..wish("", &["2001:db8:1::/48"]) }, at(0));
    assert_eq!((ips.text(), merged.record), ("10.0.0.1,2001:db8:1::5", addresses("2001:db8:1::5")));
}

#[test]
fn d34_the_address_in_every_generation_is_asked_for() {
    let (new, old) = ("2001:db8:1:0:f000::10", "2001:db8:2:0:f000::10");
    let prefixes = ["2001:db8:1::/48", "2001:db8:2::/48"];
    assert_eq!(merged("", &format!("{new},{old}"), &prefixes), format!("{new},{old}"));
    assert_eq!(merged("", new, &prefixes), new);
}

/// What is the user's where nothing is recorded and both prefixes are former ones.
fn foreign(text: &str, managed: &[&str]) -> Vec<String> {
    let known = managed.iter().map(|net| (Role::Known, interval(net))).collect();
    Annotation::new(text).merge(&Wish { known, ..Wish::default() }, at(0)).foreign
}

#[test]
fn d37_to_d45_what_is_not_managed() {
    let managed = ["2001:db8:1::/48", "2001:db8:2::/48"];
    let none: [&str; 0] = [];
    assert_eq!(foreign("", &managed), none);
    assert_eq!(foreign("2001:db8:1::1,2001:db8:2::2", &managed), none);
    assert_eq!(foreign("192.168.1.1,10.0.0.1", &managed), ["192.168.1.1", "10.0.0.1"]);
    assert_eq!(foreign("198.51.100.10,2001:db8:1::ffff:0:2", &managed), ["198.51.100.10"]);
    assert_eq!(foreign("fd00::1,2001:db8:1::1", &managed), ["fd00::1"]);
    let four = "198.51.100.10,fd00::1,2001:db8:1::ffff:0:2,2001:db8:2::ffff:0:2";
    assert_eq!(foreign(four, &managed), ["198.51.100.10", "fd00::1"]);
    assert_eq!(foreign(four, &[]).len(), 4);
    assert_eq!(foreign(" 198.51.100.10 , 2001:db8:1::1 ", &managed), ["198.51.100.10"]);
}

#[test]
fn d46_to_d52_what_cannot_be_read_is_kept_verbatim() {
    let managed = ["2001:db8::/32"];
    let none: [&str; 0] = [];
    assert_eq!(foreign(",", &managed), none);
    assert_eq!(foreign(",,,", &managed), none);
    for garbage in ["not-an-ip", "10.0.0.0/24", "[::1]", "192.168.1.1:8080", "2001:db8::1/128", "2001:db8::1%eth0"] {
        assert_eq!(foreign(garbage, &managed), [garbage]);
        let mut annotation = Annotation::new(&format!("{garbage}, 2001:db8::1"));
        annotation.merge(&wish("2001:db9::1", &["2001:db9::/48", "2001:db8::/32"]), at(0));
        assert_eq!(annotation.text(), format!("{garbage},2001:db9::1"));
    }
    assert_eq!(foreign("10.0.0.1,,fd00::1", &managed), ["10.0.0.1", "fd00::1"]);
}

#[test]
fn e15_the_record_counts_as_addresses_and_two_spellings_are_one_entry() {
    let goal = wish("2001:db8:abcd::ffff:0:2", &["2001:db8:abcd::/48"]);
    let mut ips = Annotation::new("2001:db8:abcd::ffff:0:2").recorded("2001:0DB8:ABCD::FFFF:0:2");
    assert_eq!(owned(&ips.standing(&[])).ours, addresses("2001:db8:abcd::ffff:0:2"));
    ips.text = Some("2001:0DB8:ABCD::FFFF:0:2,10.0.0.1,2001:db8:abcd::ffff:0:2".to_owned());
    ips.merge(&goal, at(0));
    assert_eq!(ips.text(), "2001:0DB8:ABCD::FFFF:0:2,10.0.0.1");
}
