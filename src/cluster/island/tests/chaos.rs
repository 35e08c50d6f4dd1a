//! Whatever happens in whatever order: nothing of the user's is lost, and it ends as it should.

use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::api::object;
use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// The prefix becomes 2001:db8:N::.
    Rotate(u16),
    /// The user writes the list: entries of ours may go, an own one comes or goes.
    Edit { drop_ours: bool, own: u16 },
    /// Somebody removes all our annotations.
    Unmark,
    /// The next answer is this one, and the patch was not done; or it was, and the answer is lost.
    Fail(WriteError, bool),
    /// A new connection.
    Connect,
    /// The process dies; the store has what was reported, or nothing of this object.
    Restart { state_lost: bool },
    /// Time passes.
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let error = prop_oneof![
        Just(WriteError::Conflict),
        Just(WriteError::Forbidden(String::new())),
        Just(WriteError::Invalid(String::new())),
        Just(WriteError::Webhook(String::new())),
        Just(WriteError::Busy { message: String::new(), retry_after: None }),
        Just(WriteError::Unreachable(String::new())),
    ];
    prop_oneof![
        4 => (1..5_u16).prop_map(Step::Rotate),
        2 => (any::<bool>(), 0..3_u16).prop_map(|(drop_ours, own)| Step::Edit { drop_ours, own }),
        1 => Just(Step::Unmark),
        2 => (error, any::<bool>()).prop_map(|(error, done)| Step::Fail(error, done)),
        1 => Just(Step::Connect),
        1 => any::<bool>().prop_map(|state_lost| Step::Restart { state_lost }),
        2 => (1..2000_i64).prop_map(Step::Wait),
    ]
}

/// The list without what lies in 2001:db8::/32, where only we write.
fn theirs(list: &[Value]) -> Vec<Value> {
    list.iter().filter(|value| !entry::describe(value).starts_with("2001:db8:")).cloned().collect()
}

struct Play {
    lab: Option<Lab>,
    target: ObjectRef,
    now: i64,
    /// The prefixes, newest first.
    numbers: Vec<u16>,
    /// What the user has in the list.
    own: Vec<Value>,
}

impl Play {
    fn lab(&mut self) -> &mut Lab {
        self.lab.as_mut().expect("there is always one")
    }

    fn wanted(&self) -> Wanted {
        wanted(prefixes(&self.numbers), vec![binding("b", "lb", &self.target)])
    }

    fn own_entry(&self, n: u16) -> Value {
        let text = format!("FD00:{n}::/64");
        if self.target.kind == Kind::CiliumLoadBalancerIPPool { cidr(&text) } else { json!(text) }
    }

    fn step(&mut self, step: Step) {
        let now = at(self.now);
        match step {
            Step::Rotate(n) => {
                self.numbers.retain(|known| *known != n);
                self.numbers.insert(0, n);
                let wanted = self.wanted();
                self.lab().want(wanted, now);
            }
            Step::Edit { drop_ours, own } => self.edit(drop_ours, own),
            Step::Unmark => {
                let target = self.target.clone();
                let object = self.lab().api.edit(&target, "kubectl", |object| object.annotations.clear());
                self.lab().island.handle_object(object, now);
                self.lab().run(now);
            }
            Step::Fail(error, done) => {
                // Something to write, so that something can fail.
                let oldest = self.numbers.pop().unwrap_or(1);
                self.numbers.insert(0, oldest);
                let wanted = self.wanted();
                let lab = self.lab();
                lab.island.handle_wanted(wanted, now);
                let Some(write) = lab.island.poll_write(now) else { return };
                let may_be_done = matches!(error, WriteError::Busy { .. } | WriteError::Unreachable(_));
                if done && may_be_done {
                    // Perhaps a conflict: the island may have missed the outcome of an earlier one.
                    drop(lab.api.patch(&write));
                }
                lab.island.handle_written(&write.object, Err(error), now);
                lab.drain();
            }
            Step::Connect => {
                self.lab().connect(now);
                self.lab().run(now);
            }
            Step::Restart { state_lost } => {
                let lab = self.lab.take().expect("there is always one");
                // Without the record a restart knows only what the store has; `life` has that.
                if lab.record(&self.target).is_none() {
                    return self.lab = Some(lab);
                }
                let managed = if state_lost { vec![] } else { lab.managed() };
                self.lab = Some(lab.restarted(managed, now));
                let wanted = self.wanted();
                self.lab().want(wanted, now);
            }
            Step::Wait(seconds) => {
                self.now += seconds;
                let end = at(self.now);
                self.lab().wait_until(end);
            }
        }
    }

    fn edit(&mut self, drop_ours: bool, own: u16) {
        let (target, entry, now) = (self.target.clone(), self.own_entry(own), at(self.now));
        match self.own.iter().position(|known| *known == entry) {
            Some(place) if self.own.len() > 1 => drop(self.own.remove(place)),
            Some(_) => {}
            None => self.own.push(entry),
        }
        let mut list = self.own.clone();
        if !drop_ours {
            let ours = self.lab().api.get(&target).list.clone();
            list.extend(ours.into_iter().filter(|value| entry::describe(value).starts_with("2001:db8:")));
        }
        self.lab().edit(&target, "kubectl", list, now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_history_ends_well(kind in 0..3_usize, steps in prop::collection::vec(step(), 1..25)) {
        let target = [pool("x"), group("x"), metallb("x")][kind].clone();
        let mut play = Play { lab: None, target: target.clone(), now: 0, numbers: vec![1], own: vec![] };
        play.own.push(play.own_entry(0));
        play.lab = Some(Lab::new([object(&target, play.own.clone())]));
        let first = play.wanted();
        play.lab().want(first, at(0));
        for step in steps {
            play.step(step);
            let list = play.lab().api.get(&target).list.clone();
            prop_assert_eq!(theirs(&list), play.own.clone());
        }
        // Left in peace, the object gets there on its own.
        play.now += 7 * HOUR;
        let end = at(play.now);
        let wanted = play.wanted();
        play.lab().connect(end);
        play.lab().want(wanted, end);
        play.now += 7 * HOUR;
        let end = at(play.now);
        play.lab().wait_until(end);
        prop_assert_eq!(play.lab().reason(&target), "Synced");
        let mut text = play.lab().text(&target);
        text.retain(|entry| entry.starts_with("2001:db8:"));
        // Nobody has an address in the former ranges, so a pool of MetalLB is narrowed to the current one.
        let kept = if target.kind == Kind::IPAddressPool { 1 } else { 3 };
        let expected: Vec<_> = play.numbers.iter().take(kept).map(|n| format!("2001:db8:{n}::/64")).collect();
        prop_assert_eq!(text, expected);
        prop_assert_eq!(play.lab().island.poll_timeout(), None);
        // And without a binding only the user's is left.
        let released = Wanted { bindings: Arc::default(), ..play.wanted() };
        play.lab().want(released, end);
        let object = play.lab().api.get(&target).clone();
        prop_assert_eq!(object.list, play.own);
        prop_assert!(object.annotations.is_empty());
    }
}
