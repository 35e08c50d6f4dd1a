//! Decides what is run and written on this host, and when.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use super::attempt::Telling;
use super::file::{self, File};
use super::hook::{self, Hook, Told};
use super::{Facts, Outcome, environment};
use crate::config::Config;
use crate::log::{Entry, record};
use crate::metrics::counters::Histogram;
use crate::status::DynamicPrefixStatus;
use crate::time::Instant;

/// How long hooks wait for files at most. Who is told of a change may look into the files that follow it, but a file system
/// may hang.
const FILES_FIRST: Duration = Duration::from_secs(5);

/// Numbers the jobs.
pub type JobId = u64;

/// Something to be done now, beside everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// A command is run.
    Run(Run),
    /// A file is written, if it does not hold this already.
    Write(Write),
}

/// A command to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub id: JobId,
    /// A program and its arguments.
    pub command: Vec<String>,
    /// Its environment, beside what every command gets.
    pub variables: Vec<(String, String)>,
    /// Its standard input.
    pub input: Vec<u8>,
    /// How long it may take.
    pub timeout: Duration,
    /// The file whose mark of a reload that is due goes when it ends well.
    pub reloads: Option<PathBuf>,
}

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its number.
    pub id: JobId,
    /// The file.
    pub path: PathBuf,
    /// What it is to hold.
    pub content: String,
    /// Its permissions.
    pub mode: u32,
    /// Whether a mark has to outlive us that a reload is due.
    pub has_reload: bool,
}

/// What was counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs by the name of the hook and by outcome.
    pub runs: BTreeMap<(String, &'static str), u64>,
    /// How long they took, by the name of the hook.
    pub took: BTreeMap<String, Histogram>,
    /// Writes by path and by outcome; what held already is not counted.
    pub writes: BTreeMap<(String, &'static str), u64>,
    /// Runs of reload commands by the path of the file and by outcome.
    pub reloads: BTreeMap<(String, &'static str), u64>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Jobs {
    pub(super) hooks: Vec<Hook>,
    pub(super) files: Vec<File>,
    /// What has left the configuration while something of it was under way, until that has ended.
    leaving: (Vec<Hook>, Vec<File>),
    facts: BTreeMap<String, Facts>,
    /// Until then hooks wait for files that are being written.
    files_first_until: Option<Instant>,
    last_id: JobId,
    entries: VecDeque<Entry>,
    counts: Counts,
}

impl Jobs {
    /// What is true as the configuration sees it that is about to be taken into use: nobody is told before, as what is
    /// written for the former one need not fit.
    pub fn expect_facts(&mut self, facts: BTreeMap<String, Facts>) {
        self.facts = facts;
    }

    /// Takes a configuration into use. What has not changed goes on; a job of what has left runs to its end.
    pub fn reconfigure(&mut self, config: &Config, now: Instant) {
        let mut hooks = std::mem::take(&mut self.hooks);
        for wanted in &config.hooks {
            let is_it = |hook: &Hook| hook.config.name == wanted.name;
            let former = take(&mut hooks, is_it).or_else(|| take(&mut self.leaving.0, is_it));
            let mut hook = former.unwrap_or_else(|| Hook::new(wanted.clone()));
            hook.reconfigure(wanted.clone(), now);
            self.hooks.push(hook);
        }
        self.entries.extend(hooks.iter().map(|hook| record::hook_left(&hook.config.name)));
        let mut files = std::mem::take(&mut self.files);
        for wanted in &config.files {
            let is_it = |file: &File| file.config.path == wanted.path;
            let former = take(&mut files, is_it).or_else(|| take(&mut self.leaving.1, is_it));
            let mut file = former.unwrap_or_else(|| File::new(wanted.clone()));
            file.reconfigure(wanted.clone(), now);
            self.files.push(file);
        }
        let left = files.iter().map(|file| file.config.path.display().to_string());
        self.entries.extend(left.map(|path| record::file_left(&path)));
        self.leaving.0.extend(hooks.into_iter().filter_map(|mut hook| hook.leave().then_some(hook)));
        self.leaving.1.extend(files.into_iter().filter_map(|mut file| file.leave().then_some(file)));
        self.counts.retain(config);
        self.tell_all(now);
    }

    /// Whether there is anything to do here, ever.
    pub fn is_idle(&self) -> bool {
        self.hooks.is_empty() && self.files.is_empty()
    }

    /// What is true now, by DynamicPrefix; those that nothing is known of yet are not in it.
    pub fn handle_facts(&mut self, facts: BTreeMap<String, Facts>, now: Instant) {
        if facts != self.facts {
            self.facts = facts;
            self.tell_all(now);
        }
    }

    fn tell_all(&mut self, now: Instant) {
        self.files_first_until = Some(now + FILES_FIRST);
        self.hooks.iter_mut().for_each(|hook| hook.handle_facts(&self.facts, now));
        for file in &mut self.files {
            let telling = file.handle_facts(&self.facts, now);
            self.entries.extend(told_of_file(file, telling));
        }
    }

    /// The next job. `show` is what `status` shows of a DynamicPrefix now.
    pub fn poll_job(&mut self, now: Instant, show: &dyn Fn(&str) -> Option<DynamicPrefixStatus>) -> Option<Job> {
        let id = self.last_id + 1;
        let mut files = self.files.iter_mut();
        let mut job = files.find_map(|file| work(file, id, now));
        let are_held = self.files_first_until.is_some_and(|until| now < until);
        if job.is_none() && !(are_held && self.files.iter().any(File::is_on_its_way)) {
            job = self.hooks.iter_mut().find_map(|hook| run(hook, id, now, show).map(Job::Run));
        }
        self.last_id = if job.is_some() { id } else { self.last_id };
        job
    }

    /// A job has ended.
    pub fn handle_outcome(&mut self, id: JobId, outcome: Outcome, now: Instant) {
        let Outcome { result, took } = outcome;
        for hook in &mut self.hooks {
            let word = result.as_ref().err().map_or("success", super::Failure::outcome);
            if let Some(ended) = hook.handle_outcome(id, result.clone().map(drop), now) {
                self.counts.ran(&hook.config.name, word, took);
                self.entries.extend(told_of_hook(hook, &ended, result.is_ok(), took));
                return;
            }
        }
        for file in &mut self.files {
            let word = result.as_ref().err().map_or("success", super::Failure::outcome);
            let Some(ended) = file.handle_outcome(id, result.clone(), now) else { continue };
            let path = file.config.path.display().to_string();
            match ended {
                file::Ended::Wrote { changed, telling } => {
                    if changed || word != "success" {
                        *self.counts.writes.entry((path.clone(), word)).or_default() += 1;
                    }
                    self.entries.extend(told_of_file(file, telling));
                    self.entries.extend(changed.then(|| record::file_written(&path, file.config.reload.is_some())));
                }
                file::Ended::Reloaded(telling) => {
                    *self.counts.reloads.entry((path.clone(), word)).or_default() += 1;
                    self.entries.extend(told_of_reload(file, telling));
                    self.entries.extend((word == "success").then(|| record::file_reloaded(&path, took)));
                }
            }
            return;
        }
        let (hooks, files) = &mut self.leaving;
        hooks.retain_mut(|hook| hook.handle_outcome(id, result.clone().map(drop), now).is_none());
        files.retain_mut(|file| file.handle_outcome(id, result.clone(), now).is_none());
    }

    /// When [`Jobs::poll_job`] has something by itself.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let is_free = !self.files.iter().any(File::is_on_its_way);
        let hooks = self.hooks.iter().filter_map(Hook::poll_timeout);
        let hooks = hooks.map(|at| if is_free { at } else { self.files_first_until.map_or(at, |until| at.max(until)) });
        hooks.chain(self.files.iter().filter_map(File::poll_timeout)).min()
    }

    /// The next line for the journal.
    pub fn poll_entry(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }

    /// What was counted.
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Counts {
    fn ran(&mut self, hook: &str, outcome: &'static str, took: Duration) {
        *self.runs.entry((hook.to_owned(), outcome)).or_default() += 1;
        self.took.entry(hook.to_owned()).or_default().observe(took);
    }

    /// Forgets what has left the configuration: its labels must not grow for ever.
    fn retain(&mut self, config: &Config) {
        let is_hook = |name: &str| config.hooks.iter().any(|hook| hook.name == name);
        let is_file = |path: &str| config.files.iter().any(|file| file.path.to_string_lossy() == path);
        self.runs.retain(|(name, _), _| is_hook(name));
        self.took.retain(|name, _| is_hook(name));
        self.writes.retain(|(path, _), _| is_file(path));
        self.reloads.retain(|(path, _), _| is_file(path));
    }
}

fn take<T>(from: &mut Vec<T>, is_it: impl Fn(&T) -> bool) -> Option<T> {
    from.iter().position(is_it).map(|at| from.swap_remove(at))
}

fn run(hook: &mut Hook, id: JobId, now: Instant, show: &dyn Fn(&str) -> Option<DynamicPrefixStatus>) -> Option<Run> {
    let hook::Due { name, event, facts, told } = hook.due(now)?;
    let shown = show(&name)?;
    let variables = environment::variables(&name, event, facts, told.map(|told| &told.facts), &shown);
    let run = Run {
        id,
        command: hook.config.command.clone(),
        input: environment::input(event, &shown, told.map(|told| &told.shown), &variables),
        variables: environment::fitting(variables),
        timeout: hook.config.timeout,
        reloads: None,
    };
    let told = Told { facts: facts.clone(), shown };
    hook.begin(id, name, event, told);
    Some(run)
}

fn work(file: &mut File, id: JobId, now: Instant) -> Option<Job> {
    let path = file.config.path.clone();
    match file.due(now)? {
        file::Due::Write(content) => {
            let (content, mode, has_reload) = (content.to_owned(), file.config.mode, file.config.reload.is_some());
            file.begin_writing(id);
            Some(Job::Write(Write { id, path, content, mode, has_reload }))
        }
        file::Due::Reload(command) => {
            let variables = vec![("DYN_PREFIX_FILE".to_owned(), path.display().to_string())];
            let (command, timeout) = (command.to_vec(), file.config.timeout);
            file.begin_reloading(id);
            Some(Job::Run(Run { id, command, variables, input: Vec::new(), timeout, reloads: Some(path) }))
        }
    }
}

fn told_of_hook(hook: &Hook, ended: &hook::Ended, is_well: bool, took: Duration) -> Option<Entry> {
    let (name, prefix, event) = (&hook.config.name, &ended.name, ended.event.as_str());
    match ended.telling {
        Telling::Failing => {
            let failure = hook.subjects.get(prefix)?.attempts.failure()?;
            Some(record::hook_failing(name, prefix, event, &failure.message))
        }
        Telling::Recovered => Some(record::hook_recovered(name, prefix, event, took)),
        Telling::Nothing => is_well.then(|| record::hook_ran(name, prefix, event, took)),
    }
}

fn told_of_file(file: &File, telling: Telling) -> Option<Entry> {
    let path = file.config.path.display().to_string();
    match telling {
        Telling::Failing => Some(record::file_failing(&path, &file.writing.failure()?.message)),
        Telling::Recovered => Some(record::file_recovered(&path)),
        Telling::Nothing => None,
    }
}

fn told_of_reload(file: &File, telling: Telling) -> Option<Entry> {
    let path = file.config.path.display().to_string();
    match telling {
        Telling::Failing => Some(record::reload_failing(&path, &file.reloading.failure()?.message)),
        // That it ran is told in any case.
        Telling::Recovered | Telling::Nothing => None,
    }
}
