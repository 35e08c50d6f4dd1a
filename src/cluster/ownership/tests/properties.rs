//! What holds for every list, record and goal. All of it plays in a small space, so that things collide.

use super::*;

/// Addresses 2001:db8:GENERATION::LOW.
fn interval() -> impl Strategy<Value = Interval> {
    (0..6_u16, 0..24_u16, 0..12_u16).prop_map(|(generation, first, length)| {
        let address = |low: u16| std::net::Ipv6Addr::new(0x2001, 0xdb8, generation, 0, 0, 0, 0, low);
        Interval::new(address(first), address(first + length)).expect("in order")
    })
}

fn any_block() -> impl Strategy<Value = Block> {
    (interval(), any::<bool>()).prop_map(|(interval, as_cidr)| match interval.to_net() {
        Some(net) if as_cidr => Block::Cidr(net),
        _ => Block::Range(interval),
    })
}

/// An element of a list as anybody might have written it.
fn element(kind: Kind) -> impl Strategy<Value = Value> {
    let ours = any_block().prop_map(move |block| {
        let fitting = entry::fit(kind, block);
        entry::render(kind, *fitting.first().expect("a block is never empty"))
    });
    let shouted =
        ours.prop_map(|value| value.as_str().map_or_else(|| value.clone(), |text| json!(text.to_uppercase())));
    let odd = prop_oneof![
        Just(json!("10.0.0.0/24")),
        Just(json!("nonsense")),
        Just(json!({})),
        Just(json!({"cidr": "fd00::/64"}))
    ];
    prop_oneof![4 => shouted, 1 => odd]
}

/// What is wanted, what is known, and whether somebody has no opinion.
type Step = (Vec<Block>, Vec<(Role, Interval)>, bool);

#[derive(Clone, Debug)]
struct Scene {
    kind: Kind,
    list: Vec<Value>,
    record: Option<Vec<Block>>,
    unclaimed: BTreeSet<Interval>,
    goals: Vec<Step>,
}

fn scene() -> impl Strategy<Value = Scene> {
    let kind = prop_oneof![Just(POOL), Just(GROUP), Just(METALLB)];
    kind.prop_flat_map(|kind| {
        let role = prop_oneof![Just(Role::Current), Just(Role::Draining), Just(Role::Known)];
        let known = prop::collection::vec((role, interval()), 0..5);
        let goal = (prop::collection::vec(any_block(), 0..4), known, any::<bool>());
        (
            prop::collection::vec(element(kind), 0..7),
            prop::option::of(prop::collection::vec(any_block(), 0..4)),
            prop::collection::btree_set(interval(), 0..3),
            prop::collection::vec(goal, 1..5),
        )
            .prop_map(move |(list, record, unclaimed, goals)| Scene { kind, list, record, unclaimed, goals })
    })
}

impl Scene {
    fn shared(&self) -> Shared {
        let mut shared = Shared::new(self.kind, self.list.clone());
        shared.record.clone_from(&self.record);
        shared.unclaimed.clone_from(&self.unclaimed);
        shared
    }

    /// Every step of the history: the list and record before, what came of it, and the goal.
    fn play(
        &self,
        mut check: impl FnMut(&Shared, &Goal<'_>, &Merged) -> Result<(), TestCaseError>,
    ) -> Result<(), TestCaseError> {
        let mut shared = self.shared();
        for (step, (want, known, hold)) in (0_i64..).zip(&self.goals) {
            let goal = Goal { hold: *hold, ..goal(want, known) };
            let before = Shared { list: shared.list.clone(), record: shared.record.clone(), ..self.shared() };
            let merged = shared.merge(&goal, at(step * 1800));
            check(&before, &goal, &merged)?;
        }
        Ok(())
    }
}

/// The elements that are the user's by the letter of the design, given what was on the object.
fn users(kind: Kind, list: &[Value], record: &[Block]) -> Vec<Value> {
    let is_ours = |value: &Value| {
        let entry = Entry::parse(kind, value).and_then(Entry::v6);
        entry.is_some_and(|entry| record.iter().any(|block| block.interval() == entry))
    };
    list.iter().filter(|value| !is_ours(value)).cloned().collect()
}

proptest! {
    #[test]
    fn nothing_foreign_is_removed_respelled_or_reordered(mut scene in scene()) {
        scene.unclaimed.clear();
        scene.record.get_or_insert_default();
        scene.play(|before, _, merged| {
            let record = before.record.as_deref().unwrap_or_default();
            let theirs = users(before.kind, &before.list, record);
            prop_assert_eq!(users(before.kind, &merged.list, &merged.record), theirs);
            Ok(())
        })?;
    }

    /// Without a record only what lies inside a range of a generation that is not current may go.
    #[test]
    fn without_a_record_nothing_leaves_but_leftovers(mut scene in scene()) {
        scene.record = None;
        scene.unclaimed.clear();
        scene.goals.truncate(1);
        scene.play(|before, goal, merged| {
            for value in &before.list {
                let entry = Entry::parse(before.kind, value).and_then(Entry::v6);
                let inside = |current: bool| goal.known.iter().any(|(role, range)| {
                    (*role == Role::Current) == current && entry.is_some_and(|entry| range.contains(&entry))
                });
                if inside(true) || !inside(false) {
                    prop_assert!(merged.list.contains(value), "{} left", value);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn ours_in_a_pool_overlap_nothing(scene in scene()) {
        if !scene.kind.is_pool() {
            return Ok(());
        }
        scene.play(|_, _, merged| {
            let entries: Vec<_> = merged.list.iter().filter_map(|value| Entry::parse(scene.kind, value)?.v6()).collect();
            for ours in &merged.record {
                let touching = entries.iter().filter(|entry| entry.overlaps(&ours.interval()));
                prop_assert!(merged.cannot_empty || touching.count() == 1, "{:?} in {:?}", ours, entries);
            }
            Ok(())
        })?;
    }

    #[test]
    fn merging_twice_changes_nothing(scene in scene()) {
        let mut shared = scene.shared();
        for (step, (want, known, hold)) in (0_i64..).zip(&scene.goals) {
            let goal = Goal { hold: *hold, ..goal(want, known) };
            let first = shared.merge(&goal, at(step * 1800));
            let second = shared.merge(&goal, at(step * 1800));
            prop_assert_eq!(&second.list, &first.list);
            prop_assert_eq!(&second.record, &first.record);
            prop_assert_eq!(&second.unclaimed, &first.unclaimed);
        }
    }

    #[test]
    fn the_record_is_exactly_what_of_the_list_is_ours(scene in scene()) {
        scene.play(|before, _, merged| {
            let entries: Vec<_> = merged.list.iter().filter_map(|value| Entry::parse(before.kind, value)?.v6()).collect();
            for ours in &merged.record {
                prop_assert!(entries.contains(&ours.interval()), "{:?} is recorded and not there", ours);
            }
            prop_assert_eq!(
                users(before.kind, &merged.list, &merged.record).iter().map(entry::describe).collect::<Vec<_>>(),
                if merged.cannot_empty { vec![] } else { merged.foreign.clone() }
            );
            Ok(())
        })?;
    }

    #[test]
    fn everything_wanted_is_there(scene in scene()) {
        scene.play(|before, goal, merged| {
            let entries: Vec<_> = merged.list.iter().filter_map(|value| Entry::parse(before.kind, value)?.v6()).collect();
            for want in goal.want {
                let missing = want.interval().without(entries.iter().copied());
                prop_assert!(missing.is_empty(), "{:?} of {:?} is missing in {:?}", missing, want, entries);
            }
            Ok(())
        })?;
    }

    #[test]
    fn release_after_any_history_leaves_exactly_the_users(mut scene in scene()) {
        scene.unclaimed.clear();
        scene.record = Some(Vec::new());
        let theirs = users(scene.kind, &scene.list, &[]);
        let mut shared = scene.shared();
        for (step, (want, known, hold)) in (0_i64..).zip(&scene.goals) {
            shared.merge(&Goal { hold: *hold, ..goal(want, known) }, at(step * 1800));
        }
        let released = shared.merge(&Goal::RELEASE, at(4 * 1800));
        if theirs.is_empty() && released.cannot_empty {
            return Ok(());
        }
        prop_assert_eq!(&shared.list, &theirs);
        prop_assert_eq!(&released.record, &[]);
    }
}
