//! Turns a verdict about an object into its next step: into the queue, into a wait, into status and log.

use super::books::{Books, Footing};
use super::carrier::Course;
use super::decide::{Surroundings, decide};
use super::slot::{Level, Patch, Slot, Status};
use super::verdict::Verdict;
use super::{Event, Failure, Island, Until, carrier, decide};
use crate::cluster::object::{MANAGED_BY, Object};
use crate::config::{Kind, ObjectRef};
use crate::plan::Role;
use crate::time::Instant;

impl Island {
    /// Decides about one object anew. While an answer is awaited nothing is decided: it may change everything.
    pub(super) fn evaluate(&mut self, reference: &ObjectRef, now: Instant) {
        let jitter = self.draw();
        let neighbours = self.neighbours_given_way(reference, now);
        let waits = if reference.kind.is_pool() { self.lets_go(reference) } else { None };
        let (Some(wanted), Some(slot)) = (&self.wanted, self.slots.get_mut(reference)) else { return };
        if slot.flight.is_some() {
            return;
        }
        #[cfg(test)]
        {
            *self.evaluations.entry(reference.kind).or_default() += 1;
        }
        let around = Surroundings {
            wanted,
            prefixes: &self.prefixes,
            served: self.served.as_ref(),
            watch: self.watches.get(&reference.kind),
            listed: self.listed.contains(&reference.kind),
            dry_run: self.dry_run,
            books: &self.books,
            narrowing: &self.narrowing,
            leaving: &self.leaving,
            external_dns: &self.external_dns,
        };
        let (verdict, footing) = match (&slot.object, &slot.carrier, neighbours) {
            (Some(object), Some(carrier), Some(neighbours)) => {
                let outcome = carrier::decide(&around, object, slot, carrier, &neighbours, now);
                slot.course = outcome.course;
                (outcome.verdict, Some(outcome.footing))
            }
            _ => (decide(&around, reference, slot, now), None),
        };
        let verdict = match (waits, &slot.object) {
            (Some(status), Some(object)) if matches!(verdict, Verdict::Write(..)) => {
                Verdict::Stay(decide::with_lists_as_they_are(status, object, slot))
            }
            (_, _) => verdict,
        };
        let left_to =
            matches!(verdict, Verdict::Released).then(|| slot.other_writer(&around.wanted.daemon_id)).flatten();
        self.given_up.extend(left_to.map(|id| (reference.clone(), id)));
        let before = slot.wake.take();
        let was_calm = std::mem::replace(&mut slot.is_calm, verdict.is_calm());
        if slot.is_to_be_tidied(now) && !matches!(verdict, Verdict::Write(..)) {
            slot.freed = None;
        }
        let becomes_calm = slot.is_calm && !was_calm && reference.kind.is_pool();
        let event = slot.follow(reference, verdict, &around, jitter, now);
        self.events.extend(event);
        if slot.pending.is_some() && !slot.queued {
            slot.queued = true;
            let is_service = reference.kind == Kind::Service;
            let queue = if is_service { &mut self.queue_of_services } else { &mut self.queue };
            queue.push_back(reference.clone());
        }
        slot.awaited = slot.awaited_now(&self.books);
        let footing = footing.map(|footing| Footing { given_up: footing.given_up || slot.is_given_up(), ..footing });
        self.settle(reference, before);
        if becomes_calm {
            let concerned = self.books.concerned(self.books.ranges(reference)).into_iter();
            let waits = |service: &ObjectRef| self.slots.get(service).is_some_and(|slot| slot.course.is_held());
            self.dirty.extend(concerned.filter(waits));
        }
        if reference.kind == Kind::Service {
            let ripple = self.books.stand(reference, footing);
            self.spread(reference, &ripple);
            self.part_from(reference, now);
            self.look_again();
        }
    }

    /// Keeps the books after a decision: timers, log, status, and slots that have become empty.
    fn settle(&mut self, reference: &ObjectRef, wake_before: Option<Instant>) {
        let Some(slot) = self.slots.get_mut(reference) else { return };
        if let Some(at) = wake_before.filter(|at| Some(*at) != slot.wake) {
            self.wakes.remove(&(at, reference.clone()));
        }
        if let Some(at) = slot.wake {
            self.wakes.insert((at, reference.clone()));
        }
        self.events.extend(slot.announce(reference));
        if slot.is_target() {
            self.touched.insert(reference.clone());
            return;
        }
        if slot.reported.take().is_some() {
            self.removed.push(reference.clone());
        }
        if slot.is_empty() {
            self.slots.remove(reference);
        }
    }
}

impl Slot {
    /// Whose an object is that was ours, if another daemon has marked it.
    fn other_writer(&self, daemon_id: &str) -> Option<String> {
        let object = self.object.as_ref().filter(|_| self.memory.is_some())?;
        object.annotations.get(MANAGED_BY).filter(|id| *id != daemon_id).cloned()
    }

    /// Whether it is an object of ours.
    pub(super) fn is_target(&self) -> bool {
        self.want.is_some() || self.carrier.is_some() || self.memory.is_some() || self.paused
    }

    /// Whether somebody wants us to care for it.
    pub(super) fn is_wanted(&self) -> bool {
        self.want.is_some() || self.carrier.is_some()
    }

    /// Of a pool: for each of its current ranges, whether a managed Service waits for an address in it.
    pub(super) fn awaited_now(&self, books: &Books) -> Vec<bool> {
        let shares = self.want.iter().flat_map(|want| &want.shares);
        shares.filter(|share| share.role == Role::Current).map(|share| books.is_awaited(&share.blocks)).collect()
    }

    /// Whether it cannot be written, so that nothing is gained by waiting for it.
    fn is_given_up(&self) -> bool {
        let is_fought_over = self.contest.as_ref().is_some_and(|contest| contest.until().is_some());
        is_fought_over || self.failure.as_ref().is_some_and(|failure| failure.is_final())
    }

    /// Whether `object` is an older version than the one we know. Versions of one object can be compared as numbers
    /// (Kubernetes 1.35 guarantees it, etcd always did it); if they are none, every event counts as newer.
    pub(super) fn has_newer(&self, object: &Object) -> bool {
        let number = |object: &Object| object.resource_version.parse::<u64>().ok();
        let Some(known) = self.object.as_ref().filter(|known| known.uid == object.uid) else { return false };
        number(known).zip(number(object)).is_some_and(|(known, new)| new < known)
    }

    /// Whether `object` differs from what is known in nothing but its version, and nothing waits for another one.
    /// LB-IPAM counts what is left of a pool after each Service, and what a pool should hold takes a look at all of them.
    pub(super) fn learns_nothing(&self, object: &Object, now: Instant) -> bool {
        let waits = |failure: &Failure| {
            matches!(failure.until, Until::NewerObject | Until::AnyObject) && failure.early(now) < failure.retry_at
        };
        self.object.as_ref().is_some_and(|known| known.is_like(object))
            && self.uncertain.is_empty()
            && !self.failure.as_deref().is_some_and(waits)
    }

    /// Takes in what the cluster shows. Whether that begins a fight over the object.
    pub(super) fn see(&mut self, object: Object, now: Instant) -> bool {
        if self.object.as_ref().is_some_and(|known| known.uid != object.uid) {
            self.course = Course::default();
        }
        if self.memory.as_ref().is_some_and(|memory| memory.uid != object.uid) {
            self.memory = None;
            self.contest = None;
            self.uncertain.clear();
        }
        let is_other_version =
            self.object.as_ref().is_none_or(|known| known.resource_version != object.resource_version);
        if let Some(failure) = self.failure.as_mut().filter(|failure| {
            failure.until == Until::AnyObject || (failure.until == Until::NewerObject && is_other_version)
        }) {
            failure.retry_at = failure.early(now);
        }
        let removed = self.is_removal(&object);
        let begins = removed && {
            let contest = self.contest.get_or_insert_default();
            contest.removed(object.last_other_writer(), now)
        };
        if is_other_version {
            let uncertain = std::mem::take(&mut self.uncertain);
            self.memory.iter_mut().for_each(|memory| memory.may_have_written(&uncertain));
        }
        self.object = Some(object);
        self.is_out_of_sight = false;
        begins
    }

    /// Whether `object` lacks something of ours that its former version held.
    fn is_removal(&self, object: &Object) -> bool {
        let (Some(memory), Some(known), true, None) = (&self.memory, &self.object, self.is_wanted(), &self.flight)
        else {
            return false;
        };
        !self.has_newer(object) && memory.is_whole_on(known) && !memory.is_whole_on(object)
    }

    /// The Service is not seen any more, and may be there all the same.
    pub(super) fn lose_sight(&mut self) {
        let memory = self.memory.take();
        self.forget_object();
        self.memory = memory;
        self.is_out_of_sight = true;
    }

    /// Whether it is seen to be of another type, and nothing of ours is on it.
    pub(super) fn has_parted(&self) -> bool {
        let is_other = self.object.as_ref().is_some_and(|object| !object.is_in_scope());
        is_other && self.memory.is_none() && self.flight.is_none()
    }

    /// The object is gone, and with it all that we had to do with it.
    pub(super) fn forget_object(&mut self) {
        self.object = None;
        self.is_out_of_sight = false;
        self.course = Course::default();
        self.memory = None;
        self.uncertain.clear();
        self.contest = None;
        self.failure = None;
        self.written_generation = None;
        self.last_sync = None;
    }

    /// Does what the verdict says, as far as nothing has to be waited for.
    pub(super) fn follow(
        &mut self,
        reference: &ObjectRef,
        verdict: Verdict,
        around: &Surroundings<'_>,
        jitter: u64,
        now: Instant,
    ) -> Option<Event> {
        self.pending = None;
        match verdict {
            Verdict::NotOurs => self.at_rest(self.idle(&around.wanted.daemon_id)),
            Verdict::Released => {
                self.memory = None;
                self.at_rest(self.idle(&around.wanted.daemon_id));
            }
            Verdict::Stay(status) => self.at_rest(status),
            Verdict::InSync(status, memory, next_stray) | Verdict::HoldsBack(status, memory, next_stray) => {
                self.memory = Some(memory);
                // A Service between two steps: what was refused will be wanted again.
                let refused = self.failure.take().filter(|failure| !status.synced && failure.is_final());
                self.at_rest(status);
                self.failure = refused;
                if let Some(contest) = &mut self.contest {
                    contest.settle(now);
                }
                let peace = self.contest.as_ref().and_then(|contest| contest.peace_at());
                self.wake = next_stray.into_iter().chain(peace).min();
            }
            Verdict::Write(patch, status) => {
                return self.prepare(reference, patch, status, around.dry_run, jitter, now);
            }
        }
        None
    }

    fn at_rest(&mut self, status: Status) {
        self.status = status;
        self.failure = None;
        self.changed_at = None;
        self.sent = None;
        self.shown = None;
    }

    /// Something has to be written: now, later, or only shown.
    fn prepare(
        &mut self,
        reference: &ObjectRef,
        patch: Patch,
        status: Status,
        dry_run: bool,
        jitter: u64,
        now: Instant,
    ) -> Option<Event> {
        self.changed_at.get_or_insert(now);
        self.status = status;
        if let Some(until) = self.contest.as_ref().and_then(|contest| contest.until()).filter(|until| *until > now) {
            let manager = self.contest.as_ref().and_then(|contest| contest.manager());
            let text = format!(
                "{} keeps removing what we write; it is written again after a pause, which grows each time.",
                decide::who(manager)
            );
            self.wait(Level::Bad, "Contested", text, until);
            return None;
        }
        if dry_run {
            return self.show(reference, patch);
        }
        self.notice_if_not_kept(reference, &patch, jitter, now);
        self.failure
            .take_if(|failure| matches!(&failure.until, Until::OtherPatch(refused) if *refused != patch.content));
        if let Some(failure) = &self.failure {
            let level = if failure.is_notable() { Level::Bad } else { Level::Passing };
            let (reason, text, at) = (failure.reason, failure.message.clone(), failure.retry_at);
            self.wait(level, reason, text, at);
            if at > now {
                return None;
            }
            self.wake = None;
        }
        self.pending = Some(Box::new(patch));
        None
    }

    fn wait(&mut self, level: Level, reason: &str, message: String, until: Instant) {
        let lists = std::mem::take(&mut self.status);
        self.status = Status { desired: lists.desired, foreign: lists.foreign, ..Status::new(level, reason, message) };
        self.wake = Some(until);
    }

    /// The very patch that was accepted has to be sent again: writing it once more would be a loop.
    fn notice_if_not_kept(&mut self, reference: &ObjectRef, patch: &Patch, jitter: u64, now: Instant) {
        let Some(sent) = self.sent.take() else { return };
        let (version, content) = *sent;
        let is_answer = self.object.as_ref().is_some_and(|object| object.resource_version == version);
        if is_answer && content == patch.content {
            let failure = Failure::not_kept(reference, self.failure.as_deref(), jitter, now);
            self.failure = Some(Box::new(failure));
        }
    }

    /// `dryRun`: the log shows each patch once.
    fn show(&mut self, reference: &ObjectRef, patch: Patch) -> Option<Event> {
        let text = format!("dryRun: {} would get {}", reference, patch.content);
        self.status = Status {
            level: Level::Passing,
            reason: "DryRun".to_owned(),
            message: Some(text),
            ..std::mem::take(&mut self.status)
        };
        let is_new = self.shown.as_ref() != Some(&patch.content);
        let event = is_new.then(|| Event::DryRun {
            object: reference.clone(),
            added: patch.added,
            removed: patch.removed,
            patch: patch.content.to_string(),
        });
        self.shown = Some(patch.content);
        event
    }

    /// What the log is to be told about a new status.
    pub(super) fn announce(&mut self, reference: &ObjectRef) -> Vec<Event> {
        let object = || reference.clone();
        let reason = self.status.reason.clone();
        let message = || self.status.message.clone().unwrap_or_default();
        let was_bad = matches!(self.announced, Some((Level::Bad, _)));
        let is_told = self.announced.as_ref().is_some_and(|told| *told == (self.status.level, reason.clone()));
        let mut events = Vec::new();
        match self.status.level {
            Level::Passing => return events,
            // The event Contested has told it already.
            Level::Bad if is_told || reason == "Contested" => {}
            Level::Bad => {
                events.push(Event::Failing { object: object(), reason: reason.clone(), message: message() });
            }
            Level::Odd | Level::Good => {
                if was_bad && self.is_target() {
                    events.push(Event::Recovered { object: object() });
                }
                if self.status.level == Level::Odd && !is_told {
                    events.push(Event::Note { object: object(), reason: reason.clone(), message: message() });
                }
            }
        }
        self.announced = (self.status.level != Level::Good).then_some((self.status.level, reason));
        events
    }
}
