//! What `status` shows of hooks and files.

use std::collections::BTreeMap;

use super::attempt::Attempts;
use super::decide::Jobs;
use super::hook::Hook;
use super::template::Unrendered;
use super::{Facts, Failure};
use crate::config::FileTarget;
use crate::status::{FileStatus, HookStatus};
use crate::time::Epoch;

impl Jobs {
    /// Every hook, for each of its DynamicPrefixes.
    pub fn hook_status(&self, epoch: &Epoch) -> Vec<HookStatus> {
        self.hooks.iter().flat_map(|hook| of_hook(hook, epoch)).collect()
    }

    /// Every file.
    pub fn file_status(&self, epoch: &Epoch) -> Vec<FileStatus> {
        let shown = self.files.iter().map(|file| {
            let (stage, text) = file.stage();
            let attempts = if file.writing.failure().is_some() { &file.writing } else { &file.reloading };
            let (reason, message) = told(attempts).unwrap_or_else(|| (stage.to_owned(), text));
            let is_final = reason == Failure::NOT_RENDERED;
            FileStatus {
                path: file.config.path.display().to_string(),
                synced: reason == "Synced",
                last_write_time: file.written_at.map(|at| epoch.wall(at)),
                retry_at: attempts.retry_at().filter(|_| !is_final).map(|at| epoch.wall(at)),
                reason,
                message,
                content: None,
            }
        });
        shown.collect()
    }
}

fn of_hook<'a>(hook: &'a Hook, epoch: &'a Epoch) -> impl Iterator<Item = HookStatus> + 'a {
    hook.config.dynamic_prefixes.iter().map(|name| {
        let subject = hook.subjects.get(name);
        let reason = match subject {
            None => "NoOpinion",
            Some(_) if hook.runs_for(name) => "Running",
            Some(subject) if subject.is_due() => "Pending",
            Some(_) => "Synced",
        };
        let failed = subject.and_then(|subject| told(&subject.attempts));
        let (reason, message) = failed.unwrap_or_else(|| (reason.to_owned(), None));
        let last = subject.and_then(|subject| subject.last);
        HookStatus {
            name: hook.config.name.clone(),
            dynamic_prefix: name.clone(),
            synced: reason == "Synced",
            last_run_time: last.map(|(at, _)| epoch.wall(at)),
            last_event: last.map(|(_, event)| event.as_str().to_owned()),
            retry_at: subject.and_then(|subject| subject.attempts.retry_at()).map(|at| epoch.wall(at)),
            reason,
            message,
        }
    })
}

/// The reason and the message of a failure.
fn told(attempts: &Attempts) -> Option<(String, Option<String>)> {
    let failure = attempts.failure()?;
    Some((failure.reason.to_owned(), Some(failure.message.clone())))
}

/// What a file would hold.
pub fn planned(file: &FileTarget, facts: &BTreeMap<String, Facts>) -> FileStatus {
    let (reason, message, content) = match file.template.render(facts) {
        Ok(content) => ("Planned", None, Some(content)),
        Err(Unrendered::NoOpinion(name)) => {
            ("NoOpinion", Some(format!("No prefix of {name} is known; the file stays as it is.")), None)
        }
        Err(Unrendered::Error(message)) => (Failure::NOT_RENDERED, Some(message), None),
    };
    FileStatus {
        path: file.path.display().to_string(),
        synced: false,
        last_write_time: None,
        retry_at: None,
        reason: reason.to_owned(),
        message,
        content,
    }
}
