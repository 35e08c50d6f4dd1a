//! Lines about hooks and files of this host.

use std::time::Duration;

use super::duration;
use crate::log::{Entry, Priority};

const HOOK_RAN: &str = "53fd729fb5f84f17aa6599856b07167e";
const HOOK_FAILING: &str = "ef564bda15624989afea82fceb7da6d8";
const HOOK_RECOVERED: &str = "e2da7d01f1534b7eb6d544f5dadb0519";
const FILE_WRITTEN: &str = "6b900c20875b4f95b07d9206d5c5d630";
const FILE_FAILING: &str = "c647e94149054400a7b0d137cae488f7";
const FILE_RECOVERED: &str = "a8e4bcaf505142538326febb01b48271";
const FILE_RELOADED: &str = "2c0502a5c6a844e28318160f34b3aa59";
const RELOAD_FAILING: &str = "17ec013bc511412e82746fe79a28a400";
const HOOK_LEFT: &str = "913fcf6f35a647cd9cb98f746c9f8deb";
const FILE_LEFT: &str = "b8c6c0214e864520bc6ba838ce942900";

#[cfg(test)]
pub(super) const IDS: [&str; 10] = [
    HOOK_RAN,
    HOOK_FAILING,
    HOOK_RECOVERED,
    FILE_WRITTEN,
    FILE_FAILING,
    FILE_RECOVERED,
    FILE_RELOADED,
    RELOAD_FAILING,
    HOOK_LEFT,
    FILE_LEFT,
];

/// A hook has heard of a state of a DynamicPrefix.
pub fn hook_ran(hook: &str, name: &str, event: &str, took: Duration) -> Entry {
    of_hook(HOOK_RAN, Priority::Info, hook, name, format!("ran for {name} ({event}) in {}.", duration(took)))
}

/// A hook fails.
pub fn hook_failing(hook: &str, name: &str, event: &str, why: &str) -> Entry {
    let message =
        format!("did not run well for {name} ({event}): {} It is run again, with growing pauses.", ended(why));
    of_hook(HOOK_FAILING, Priority::Warning, hook, name, message)
}

/// It works again.
pub fn hook_recovered(hook: &str, name: &str, event: &str, took: Duration) -> Entry {
    let message = format!("runs well again: it ran for {name} ({event}) in {}.", duration(took));
    of_hook(HOOK_RECOVERED, Priority::Info, hook, name, message)
}

/// A hook is in the configuration no more.
pub fn hook_left(hook: &str) -> Entry {
    let message = format!("The hook {hook} has left the configuration and is run no more; it was not told.");
    Entry { target: Some(format!("hook/{hook}")), ..Entry::new(HOOK_LEFT, Priority::Info, message) }
}

fn of_hook(id: &'static str, priority: Priority, hook: &str, name: &str, what: String) -> Entry {
    Entry {
        name: Some(name.to_owned()),
        target: Some(format!("hook/{hook}")),
        ..Entry::new(id, priority, format!("The hook {hook} {what}"))
    }
}

/// A file was written.
pub fn file_written(path: &str, is_reloaded: bool) -> Entry {
    let then = if is_reloaded { "; its reload command is run" } else { "" };
    of_file(FILE_WRITTEN, Priority::Info, path, format!("Wrote {path}{then}."))
}

/// A file cannot be written, or its template not be filled in.
pub fn file_failing(path: &str, why: &str) -> Entry {
    of_file(FILE_FAILING, Priority::Warning, path, format!("{path} stays as it is: {why}"))
}

/// It could be.
pub fn file_recovered(path: &str) -> Entry {
    of_file(FILE_RECOVERED, Priority::Info, path, format!("{path} is what it should be again."))
}

/// The reload command of a file ended well.
pub fn file_reloaded(path: &str, took: Duration) -> Entry {
    let message = format!("The reload command of {path} ran in {}.", duration(took));
    of_file(FILE_RELOADED, Priority::Info, path, message)
}

/// The reload command of a file fails.
pub fn reload_failing(path: &str, why: &str) -> Entry {
    let message = format!(
        "{path} is written, but its reload command did not run well: {} It is run again, with growing pauses.",
        ended(why)
    );
    of_file(RELOAD_FAILING, Priority::Warning, path, message)
}

/// A file is in the configuration no more.
pub fn file_left(path: &str) -> Entry {
    let message = format!("{path} has left the configuration; it stays as it is, and is no longer kept up to date.");
    of_file(FILE_LEFT, Priority::Info, path, message)
}

/// With a full stop: what a command has printed last may have none.
fn ended(why: &str) -> String {
    if why.ends_with(['.', '!', '?', '…']) { why.to_owned() } else { format!("{why}.") }
}

fn of_file(id: &'static str, priority: Priority, path: &str, message: String) -> Entry {
    Entry { target: Some(format!("file/{path}")), ..Entry::new(id, priority, message) }
}
