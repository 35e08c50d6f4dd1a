//! `[[hook]]` and `[[file]]`

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use super::super::finding::{At, Report, Span, TEMPLATE_FILE, quoted};
use super::super::host::COMMAND_TIMEOUT;
use super::super::read::Table;
use super::super::{FileTarget, Hook, Host};
use super::prefix::Declared;
use super::{optional, values};
use crate::host::template::{Names, Template};

/// `None` comes with an error in the report.
pub(super) fn hooks(
    root: &Table<'_>,
    prefixes: &[Declared<'_>],
    host: &Host<'_>,
    report: &mut Report<'_>,
) -> Option<Vec<Hook>> {
    let mut names: Vec<At<String>> = Vec::new();
    let tables = root.tables("hook");
    let hooks: Vec<_> = tables
        .iter()
        .map(|table| {
            let hook = hook(table, prefixes, host, report)?;
            let place = table.text("name").map_or(table.span, |name| name.span);
            claim(&mut names, At::new(hook.name.clone(), place), report);
            Some(hook)
        })
        .collect();
    hooks.into_iter().collect()
}

/// Two hooks that run the same program have the same name unless they say otherwise.
fn claim(names: &mut Vec<At<String>>, name: At<String>, report: &mut Report<'_>) {
    if let Some(first) = names.iter().find(|first| first.value == name.value) {
        let line = report.line(first.span);
        let message = format!("the name {} is taken by the hook at line {line}", quoted(&name.value));
        let hint = "give one of the two another `name`; without one a hook has the name of its program";
        report.error("duplicate-name", name.span, message).hint(hint);
    }
    names.push(name);
}

fn hook(table: &Table<'_>, prefixes: &[Declared<'_>], host: &Host<'_>, report: &mut Report<'_>) -> Option<Hook> {
    let command = command(table, "command", host, report);
    let name = optional(table, "name", report, |name, report| values::free_name(name, "name", report));
    let dynamic_prefixes = followed(table, prefixes, report);
    let timeout = timeout(table);
    let command = command?;
    let program = command.first().map(Path::new).and_then(Path::file_name);
    let name = name?.or_else(|| Some(program?.to_string_lossy().into_owned()))?;
    Some(Hook { name, command, dynamic_prefixes: dynamic_prefixes?, timeout: timeout? })
}

/// The DynamicPrefixes that `dynamicPrefix` names: all of them when it is absent.
fn followed(table: &Table<'_>, prefixes: &[Declared<'_>], report: &mut Report<'_>) -> Option<Vec<String>> {
    let known = || prefixes.iter().filter_map(|prefix| prefix.name);
    if !table.has("dynamicPrefix") {
        return Some(known().map(str::to_owned).collect());
    }
    let written = table.texts("dynamicPrefix")?;
    if written.is_empty() {
        let span = table.value("dynamicPrefix")?.span;
        report
            .error("wrong-value", span, "`dynamicPrefix` is an empty list: the hook would never run")
            .hint("leave it out for every DynamicPrefix, or name some");
        return None;
    }
    let mut found = BTreeSet::new();
    for name in &written {
        let prefix = values::existing(*name, "there is no dynamicPrefix", known(), report)?;
        if !found.insert(prefix) {
            let message = format!("the dynamicPrefix {} is named twice here", quoted(prefix));
            report.error("duplicate-name", name.span, message).hint("name it once");
        }
    }
    Some(found.into_iter().map(str::to_owned).collect())
}

/// `None` when it is there and wrong.
fn timeout(table: &Table<'_>) -> Option<Duration> {
    match table.integer::<u64>("timeoutSeconds") {
        Some(seconds) => Some(Duration::from_secs(seconds.value)),
        None => (!table.has("timeoutSeconds")).then_some(COMMAND_TIMEOUT),
    }
}

fn command(table: &Table<'_>, key: &str, host: &Host<'_>, report: &mut Report<'_>) -> Option<Vec<String>> {
    let words = table.texts(key)?;
    let Some(program) = words.first() else {
        let span = table.value(key)?.span;
        report
            .error("no-command", span, format!("`{key}` is an empty list: there is nothing to run"))
            .hint("write the program by its absolute path, and its arguments: [\"/usr/sbin/nft\", \"-f\", \"/run/x\"]");
        return None;
    };
    if let Some(word) = words.iter().find(|word| word.value.contains('\0')) {
        report
            .error("no-command", word.span, format!("`{key}` has an argument with a NUL character in it"))
            .hint("no program can be given such an argument: leave the character out");
        return None;
    }
    if !Path::new(program.value).is_absolute() {
        let message =
            format!("`{key}` must begin with the absolute path of a program, found {}", quoted(program.value));
        let found = report.error("no-command", program.span, message);
        if program.value.contains(char::is_whitespace) {
            found.hint("there is no shell that would take it apart: write each argument as a string of its own");
        } else {
            found.hint("write it in full, as `command -v NAME` shows it in a shell");
        }
        return None;
    }
    if !(host.exists)(Path::new(program.value)) {
        let hint = if program.value.contains(' ') {
            "there is no shell that would take it apart: write each argument as a string of its own"
        } else {
            "install it, or correct the path; until then every attempt to run it fails and is made again later"
        };
        let message = format!("there is no program {}", quoted(program.value));
        report.warning("missing-command", program.span, message).hint(hint);
    }
    Some(words.iter().map(|word| word.value.to_owned()).collect())
}

/// `None` comes with an error in the report.
pub(super) fn files(
    root: &Table<'_>,
    prefixes: &[Declared<'_>],
    host: &Host<'_>,
    report: &mut Report<'_>,
) -> Option<Vec<FileTarget>> {
    let names: Names<'_> = prefixes
        .iter()
        .filter_map(|prefix| Some((prefix.name?, prefix.parts.iter().map(|part| part.name).collect())))
        .collect();
    let tables = root.tables("file");
    let own = own_files(root);
    let mut paths: Vec<At<&str>> = Vec::new();
    let files: Vec<_> = tables
        .iter()
        .map(|table| {
            if let Some(path) = table.text("path") {
                if own.contains(&straight(path.value)) {
                    let message = format!("the daemon keeps {} for itself", quoted(path.value));
                    report
                        .error("invalid-path", path.span, message)
                        .hint("write to another file, below /run/dyn-prefix");
                }
                if let Some(first) = paths.iter().find(|first| straight(first.value) == straight(path.value)) {
                    let line = report.line(first.span);
                    let message = format!("{} is written by the file at line {line} already", quoted(path.value));
                    report.error("duplicate-name", path.span, message).hint("keep one of the two");
                }
                paths.push(path);
            }
            file(table, &names, host, report)
        })
        .collect();
    files.into_iter().collect()
}

/// What the daemon writes and locks itself, where the configuration and the unit have it.
fn own_files(root: &Table<'_>) -> Vec<PathBuf> {
    let daemon = root.table("daemon");
    let place = |key, default| {
        let written = daemon.as_ref().and_then(|table| table.text(key));
        straight(written.map_or(default, |path| path.value))
    };
    let state = place("stateDirectory", "/var/lib/dyn-prefix");
    let within = ["state.json", "state.json.new", "lock"].map(|name| state.join(name));
    within.into_iter().chain([place("controlSocket", "/run/dyn-prefix/control.sock")]).collect()
}

fn file(table: &Table<'_>, names: &Names<'_>, host: &Host<'_>, report: &mut Report<'_>) -> Option<FileTarget> {
    let path = table.text("path").and_then(|path| {
        let absolute = values::absolute_path(path, "path", report)?;
        if absolute.file_name().is_none() || path.value.ends_with('/') {
            let message = format!("`path` must be that of a file, found the directory {}", quoted(path.value));
            report.error("invalid-path", path.span, message).hint("add the name of the file");
            return None;
        }
        if table.text("template").is_some_and(|template| straight(template.value) == straight(path.value)) {
            report
                .error("invalid-path", path.span, "`path` is the template itself, which would be gone at once")
                .hint("write to another file, below /run/dyn-prefix");
            return None;
        }
        note_right(&absolute, path.span, report);
        Some(absolute)
    });
    let template = template(table, names, host, report);
    let mode = optional(table, "mode", report, mode);
    let reload = if table.has("reload") { command(table, "reload", host, report).map(Some) } else { Some(None) };
    let timeout = timeout(table);
    Some(FileTarget {
        path: path?,
        template: template?,
        template_path: table.text("template").map(|path| path.value.into()),
        mode: mode?.unwrap_or(0o644),
        reload: reload?,
        timeout: timeout?,
    })
}

/// The same path without `..`.
fn straight(path: &str) -> PathBuf {
    let mut straight = PathBuf::new();
    for component in Path::new(path).components() {
        if component == Component::ParentDir {
            straight.pop();
        } else {
            straight.push(component);
        }
    }
    straight
}

/// Where a file may stand without more rights than the unit gives.
const WRITABLE: [&str; 2] = ["/run/dyn-prefix", "/var/lib/dyn-prefix"];

fn note_right(path: &Path, span: Span, report: &mut Report<'_>) {
    let Some(directory) = path.parent().filter(|_| !WRITABLE.iter().any(|place| path.starts_with(place))) else {
        return;
    };
    let directory = directory.display();
    let message = format!("the unit does not let the daemon write to {directory}");
    report.note("needs-right", span, message).hint(format!(
        "unless a drop-in does: `systemctl edit dyn-prefix`, and below [Service] add ReadWritePaths={directory}; the user \
         dyn-prefix has to be able to write there, too"
    ));
}

/// What the kernel takes for permissions, without those that would make a program of the file's owner of it.
fn mode(text: At<&str>, report: &mut Report<'_>) -> Option<u32> {
    let is_octal = (3..=4).contains(&text.value.len()) && text.value.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = is_octal.then(|| u32::from_str_radix(text.value, 8).ok()).flatten();
    if let Some(mode) = mode.filter(|mode| mode & !0o777 == 0 && mode & 0o400 != 0) {
        return Some(mode);
    }
    report
        .error("file-mode", text.span, format!("`mode` cannot be {}", quoted(text.value)))
        .hint("write the permissions in octal, readable for the owner: \"0644\" for everybody, \"0640\" for the group");
    None
}

fn template(table: &Table<'_>, names: &Names<'_>, host: &Host<'_>, report: &mut Report<'_>) -> Option<Template> {
    match (table.text("template"), table.text("text")) {
        (Some(_), Some(text)) => {
            report
                .error("no-template", text.span, "`template` and `text` are both there: a file has one template")
                .hint("keep one of the two");
            None
        }
        (Some(path), None) => from_file(path, names, host, report),
        (None, Some(text)) => inline(text, names, report),
        (None, None) if table.has("template") || table.has("text") => None,
        (None, None) => {
            report
                .error("no-template", table.span, "this file has neither `template` nor `text`")
                .hint("name the file with the template, or write the template itself: text = '''…'''");
            None
        }
    }
}

/// What is wrong with the file is an error, and there is a template nevertheless, that says so when it is to be filled in.
fn from_file(path: At<&str>, names: &Names<'_>, host: &Host<'_>, report: &mut Report<'_>) -> Option<Template> {
    let path_of = values::absolute_path(path, "template", report)?;
    let text = match (host.read)(&path_of) {
        Ok(text) => text,
        Err(why) => {
            let message = format!("the template {} cannot be read: {why}", quoted(path.value));
            let hint = "it has to be there, and readable for the user of the daemon: /etc/dyn-prefix is a good place";
            report.error(TEMPLATE_FILE, path.span, message.clone()).hint(hint);
            return Some(Template::unusable(&message));
        }
    };
    let faults = match Template::parse(&text, names) {
        Ok(template) => return Some(template),
        Err(faults) => faults,
    };
    let mut found = Report::new(&path_of, &text);
    let first = faults.first().map_or_else(String::new, |fault| {
        let place = format!("{}:{}", path_of.display(), found.line(fault.place.clone().into()));
        format!("{place}: {}", fault.message)
    });
    for fault in faults {
        found.error(TEMPLATE_FILE, fault.place.into(), fault.message).hint(fault.hint);
    }
    report.include(found);
    Some(Template::unusable(&first))
}

fn inline(text: At<&str>, names: &Names<'_>, report: &mut Report<'_>) -> Option<Template> {
    let faults = match Template::parse(text.value, names) {
        Ok(template) => return Some(template),
        Err(faults) => faults,
    };
    // The text stands in the file as it is, unless it has escapes: then its beginning is all that is known.
    let start = report.written(text.span).find(text.value).map(|before| text.span.start + before);
    for fault in faults {
        let place = start.map(|start| Span { start: start + fault.place.start, end: start + fault.place.end });
        report.error("template", place.unwrap_or(text.span), fault.message).hint(fault.hint);
    }
    None
}
