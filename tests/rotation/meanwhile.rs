//! What comes while a rotation goes on: the daemon is killed, users create, edit and delete Services.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::external_dns::PREFIXES;
use crate::lab::wait_for;
use crate::monitor::Monitor;
use crate::services::{Front, Kind, SECOND_NAME, SUFFIX};
use crate::story::{MOMENTS, Story, newest_of};
use crate::uplink::Source;
use crate::world::SOON;

impl Story<'_> {
    /// The daemon is killed at a moment of the rotation and starts again; a Service is created, another one edited, and
    /// one deleted. This goes by the clock: any moment will do.
    pub(crate) fn meanwhile(&mut self, kill: bool) -> Result<()> {
        let moment = self.random.millis(MOMENTS);
        if let Some(front) = self.coming.pop() {
            std::thread::sleep(moment / 2);
            self.create(front)?;
        }
        if kill {
            std::thread::sleep(moment / 2);
            self.world.kill_daemon()?;
            self.tally.kills += 1;
            self.monitor.note("the daemon is killed");
            let away = self.random.millis(MOMENTS);
            std::thread::sleep(away);
            self.world.start_daemon()?;
            self.monitor.note("the daemon starts again");
            self.repeat_what_is_dead()?;
        }
        self.rotate_second()?;
        self.edit()
    }

    /// A daemon that was not there does not know of the former prefixes that the router withdraws now, and a withdrawal of
    /// what was never announced is none (RFC 4862 §5.5.3): the router lists them once more before it withdraws them.
    pub(crate) fn repeat_what_is_dead(&mut self) -> Result<()> {
        if self.said.dead.is_empty() || self.source != Source::Forged {
            return Ok(());
        }
        let mut listed = self.said.clone();
        listed.deprecated.append(&mut listed.dead);
        self.uplink.say(&newest_of(&listed))?;
        self.world.wait_heard()?;
        self.uplink.say(&newest_of(&self.said))
    }

    /// A user edits Services that are managed, and deletes one that is and one that is not, and makes them anew.
    fn edit(&mut self) -> Result<()> {
        let rotation = self.newest;
        let patch = json!({"metadata": {"labels": {"edited": format!("{rotation}")}}});
        self.world.api.patch(&self.fronts[0].path(), &patch)?;
        self.tally.edited += 1;
        self.edit_target()?;
        self.edit_suffix()?;
        let is_unpinned = |front: &&Front| front.kind == Kind::Unpinned;
        if let Some(front) = self.fronts.iter().find(is_unpinned).cloned() {
            self.delete(&front)?;
            self.create(front)?;
        }
        // Each one in its turn: one that is edited stays.
        let managed: Vec<_> = (1..self.fronts.len())
            .filter(|index| self.fronts[*index].is_managed(self.scope) && !self.fronts[*index].is_edited())
            .collect();
        let Some(index) = managed.get(self.tally.deleted * 3 % managed.len().max(1)).copied() else { return Ok(()) };
        let front = self.fronts[index].clone();
        self.delete(&front)?;
        // What the file names and is not there is a trouble, and told as one.
        if self.tally.deleted.is_multiple_of(4) && front.kind != Kind::Entry {
            // It comes back with a later rotation.
            self.coming.push(front);
            return Ok(());
        }
        self.create(front)
    }

    fn delete(&mut self, front: &Front) -> Result<()> {
        self.fronts.retain(|other| other.name != front.name);
        self.world.api.delete(&front.path())?;
        self.monitor.note(&format!("the user deletes {}", front.name));
        self.tally.deleted += 1;
        Ok(())
    }

    /// The user writes another entry into DNS targets, or takes it out again.
    fn edit_target(&mut self) -> Result<()> {
        let Some(index) = self.fronts.iter().position(|front| front.kind == Kind::NamedByUser) else { return Ok(()) };
        let scope = self.scope;
        let front = &mut self.fronts[index];
        front.more_names = !front.more_names;
        let front = front.clone();
        if !front.more_names {
            self.monitor.expect(&front, scope);
        }
        let mut number = 0;
        for key in PREFIXES.map(|prefix| format!("{prefix}target")) {
            number = self.edit_list(&front, &key)?;
        }
        self.tally.edited += 1;
        self.edited(&front, number)
    }

    /// Versions from before do not show the edit.
    fn edited(&mut self, front: &Front, number: u64) -> Result<()> {
        let seen = |monitor: &Monitor| {
            let seen = monitor.latest(front)?.number.parse::<u64>()?;
            ensure!(seen >= number, "version {seen} of {number}");
            Ok(())
        };
        self.monitor.wait("the edit of the user", SOON, seen)?;
        self.monitor.expect(front, self.scope);
        Ok(())
    }

    /// Reads, changes and writes as a user does, again when somebody was faster; the version that it has then.
    fn edit_list(&self, front: &Front, key: &str) -> Result<u64> {
        let attempt = || {
            let object = self.world.api.get(&front.path())?;
            let list = object["metadata"]["annotations"][key].as_str().unwrap_or_default();
            let mut entries: Vec<&str> = list.split(',').filter(|entry| *entry != SECOND_NAME).collect();
            if front.more_names {
                entries.insert(0, SECOND_NAME);
            }
            let version = &object["metadata"]["resourceVersion"];
            let patch = json!({"metadata": {"resourceVersion": version, "annotations": {key: entries.join(",")}}});
            let new = self.world.api.patch(&front.path(), &patch);
            Ok(new.ok().and_then(|new| new["metadata"]["resourceVersion"].as_str()?.parse().ok()))
        };
        wait_for("an edit of the user", SOON, attempt)
    }

    /// The user wants another host part.
    fn edit_suffix(&mut self) -> Result<()> {
        let Some(front) = self.fronts.iter_mut().skip(1).find(|front| front.kind == Kind::Suffix) else {
            return Ok(());
        };
        front.other_suffix = !front.other_suffix;
        let front = front.clone();
        self.monitor.expect_another_suffix(&front, self.scope);
        let patch = json!({"metadata": {"annotations": {SUFFIX: front.suffix()}}});
        self.tally.edited += 1;
        let new = self.world.api.patch(&front.path(), &patch)?;
        let number = new["metadata"]["resourceVersion"].as_str().unwrap_or_default().parse()?;
        self.edited(&front, number)
    }
}
