//! What holds for every annotation, record and goal. All of it plays in a small space, so that things collide.

use proptest::prelude::*;

use super::*;

fn v6() -> impl Strategy<Value = Ipv6Addr> {
    (0..5_u16, 0..4_u16).prop_map(|(generation, host)| Ipv6Addr::new(0x2001, 0xdb8, generation, 0, 0, 0, 0, host))
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        4 => v6().prop_map(IpAddr::V6),
        1 => (1..4_u8).prop_map(|last| IpAddr::from([198, 51, 100, last])),
    ]
}

/// An entry as anybody might have written it.
fn entry() -> impl Strategy<Value = String> {
    let spelled = (any_address(), 0..3_u8).prop_map(|(address, how)| match how {
        0 => address.to_string(),
        1 => address.to_string().to_uppercase(),
        _ => format!(" {address} "),
    });
    prop_oneof![6 => spelled, 1 => Just("example.com".to_owned()), 1 => Just("[::1]".to_owned()), 1 => Just(String::new())]
}

fn any_wish() -> impl Strategy<Value = Wish> {
    let role = prop_oneof![Just(Role::Current), Just(Role::Draining), Just(Role::Known)];
    let known = prop::collection::vec((role, 0..5_u16), 0..4);
    (prop::collection::vec(any_address(), 0..4), known, any::<bool>()).prop_map(|(want, known, hold)| {
        let prefix = |generation: u16| interval(&format!("2001:db8:{generation:x}::/48"));
        let known: Vec<_> = known.into_iter().map(|(role, generation)| (role, prefix(generation))).collect();
        Wish { want, prefixes: known.iter().map(|(_, prefix)| *prefix).collect(), known, hold, strays_since: None }
    })
}

#[derive(Clone, Debug)]
struct Scene {
    start: Annotation,
    wishes: Vec<Wish>,
}

fn scene() -> impl Strategy<Value = Scene> {
    (
        prop::option::of(prop::collection::vec(entry(), 0..7)),
        prop::option::of(prop::collection::vec(any_address(), 0..4)),
        prop::collection::btree_set(v6(), 0..3),
        prop::collection::vec(any_wish(), 1..5),
    )
        .prop_map(|(entries, record, unclaimed, wishes)| {
            let text = entries.map(|entries| entries.join(","));
            Scene { start: Annotation { text, record, unclaimed, ..Annotation::default() }, wishes }
        })
}

impl Scene {
    /// Every step of the history: what stood before, the wish, and what came of it.
    fn play(
        &self,
        mut check: impl FnMut(&Annotation, &Wish, &Merged) -> Result<(), TestCaseError>,
    ) -> Result<(), TestCaseError> {
        let mut annotation = self.start.clone();
        for (step, wish) in (0_i64..).zip(&self.wishes) {
            let before = annotation.clone();
            let merged = annotation.merge(wish, at(step * 1800));
            check(&before, wish, &merged)?;
        }
        Ok(())
    }
}

/// The entries that are not recorded, as they are spelled.
fn not_recorded(text: Option<&str>, record: &[IpAddr]) -> Vec<String> {
    let is_recorded = |entry: &&str| entry.parse().is_ok_and(|address: IpAddr| record.contains(&address));
    entries(text.unwrap_or_default()).filter(|entry| !is_recorded(entry)).map(str::to_owned).collect()
}

fn parsed(text: Option<&str>) -> Vec<IpAddr> {
    entries(text.unwrap_or_default()).filter_map(|entry| entry.parse().ok()).collect()
}

proptest! {
    #[test]
    fn nothing_of_the_user_is_removed_respelled_or_reordered(mut scene in scene()) {
        scene.start.unclaimed.clear();
        scene.start.record.get_or_insert_default();
        scene.play(|before, _, merged| {
            let record = before.record.as_deref().unwrap_or_default();
            let theirs = not_recorded(before.text.as_deref(), record);
            prop_assert_eq!(&not_recorded(merged.text.as_deref(), &merged.record), &theirs);
            prop_assert_eq!(&merged.foreign, &theirs);
            Ok(())
        })?;
    }

    /// Without a record only an IPv6 address of a generation that is not current may go.
    #[test]
    fn without_a_record_nothing_leaves_but_leftovers(mut scene in scene()) {
        scene.start.record = None;
        scene.start.unclaimed.clear();
        scene.wishes.truncate(1);
        scene.play(|before, wish, merged| {
            for entry in entries(before.text.as_deref().unwrap_or_default()) {
                let address: Option<Ipv6Addr> = entry.parse().ok();
                let inside = |current: bool| wish.known.iter().any(|(role, range)| {
                    (*role == Role::Current) == current && address.is_some_and(|address| holds(range, address))
                });
                if inside(true) || !inside(false) {
                    prop_assert!(entries(merged.text.as_deref().unwrap_or_default()).any(|kept| kept == entry), "{} left", entry);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn merging_twice_changes_nothing(scene in scene()) {
        let mut annotation = scene.start.clone();
        for (step, wish) in (0_i64..).zip(&scene.wishes) {
            let first = annotation.merge(wish, at(step * 1800));
            let second = annotation.merge(wish, at(step * 1800));
            // What has just left is no stray any more.
            prop_assert_eq!(second, Merged { strays: annotation.strays.clone(), ..first });
        }
    }

    /// Each address of ours stands there once, and nothing is recorded that does not stand there.
    #[test]
    fn the_record_is_exactly_what_is_ours(scene in scene()) {
        scene.play(|_, _, merged| {
            let there = parsed(merged.text.as_deref());
            for ours in &merged.record {
                prop_assert_eq!(there.iter().filter(|address| *address == ours).count(), 1, "{} in {:?}", ours, merged.text);
            }
            Ok(())
        })?;
    }

    #[test]
    fn everything_wanted_is_there_and_no_more_than_that_and_what_stays(scene in scene()) {
        scene.play(|before, wish, merged| {
            let (there, was_there) = (parsed(merged.text.as_deref()), parsed(before.text.as_deref()));
            for want in &wish.want {
                prop_assert!(there.contains(want), "{} is missing in {:?}", want, merged.text);
            }
            for ours in &merged.record {
                let stays = was_there.contains(ours)
                    && (wish.hold || matches!(ours, IpAddr::V6(v6) if merged.strays.contains_key(v6)));
                prop_assert!(wish.want.contains(ours) || stays, "{} is neither wanted nor does it stay", ours);
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_annotation_becomes_blank(scene in scene()) {
        scene.play(|before, _, merged| {
            let is_blank = |text: &Option<String>| text.as_deref().is_some_and(|text| entries(text).next().is_none());
            prop_assert!(!is_blank(&merged.text) || merged.text == before.text, "{:?}", merged.text);
            Ok(())
        })?;
    }

    #[test]
    fn release_after_any_history_leaves_exactly_the_users(mut scene in scene()) {
        scene.start.unclaimed.clear();
        scene.start.record = Some(Vec::new());
        let mut annotation = scene.start.clone();
        for (step, wish) in (0_i64..).zip(&scene.wishes) {
            annotation.merge(wish, at(step * 1800));
        }
        let released = annotation.release();
        prop_assert_eq!(not_recorded(annotation.text.as_deref(), &[]), not_recorded(scene.start.text.as_deref(), &[]));
        prop_assert!(released.record.is_empty());
    }
}
