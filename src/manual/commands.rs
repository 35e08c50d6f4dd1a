//! The commands of dyn-prefix(1), from the definition of the command line.

use clap::{Arg, Command};

use super::roff;

/// A subsection for each command that is shown in the help.
pub(super) fn section(command: &Command) -> String {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    shown.map(subcommand).collect()
}

fn subcommand(command: &Command) -> String {
    let title = format!("dyn-prefix {}{}", command.get_name(), usage(command));
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let mut paragraphs = about.split("\n\n").map(sentence);
    let mut out = roff::subsection(&title, &paragraphs.next().unwrap_or_default());
    paragraphs.for_each(|text| out.push_str(&roff::paragraph(&text)));
    arguments(command).for_each(|argument| out.push_str(&option(argument)));
    out
}

fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    let own = |argument: &&Arg| !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version");
    command.get_arguments().filter(own)
}

/// What may follow the command, as in ` [--config FILE] [FILE]`.
fn usage(command: &Command) -> String {
    let each = |argument: &Arg| {
        let head = head(argument);
        if argument.is_required_set() { format!(" {head}") } else { format!(" [{head}]") }
    };
    let (named, positional): (Vec<&Arg>, Vec<&Arg>) =
        arguments(command).partition(|argument| !argument.is_positional());
    named.into_iter().chain(positional).map(each).collect()
}

/// `--config FILE`, `FILE`, or `-- ARGS…`.
fn head(argument: &Arg) -> String {
    let takes_value = argument.get_action().takes_values();
    let names = argument.get_value_names().unwrap_or_default();
    let value = if takes_value { names.join(" ") } else { String::new() };
    match argument.get_long() {
        Some(long) if value.is_empty() => format!("--{long}"),
        Some(long) => format!("--{long} {value}"),
        None if argument.is_last_set() => format!("-- {value} ..."),
        None => value,
    }
}

fn option(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut paragraphs = help.split("\n\n").map(sentence);
    let mut out =
        roff::entry(&format!("\\fB{}\\fR", roff::escape(&head(argument))), &paragraphs.next().unwrap_or_default());
    paragraphs.for_each(|text| out.push_str(&roff::continued(&text)));
    let values = argument.get_possible_values();
    if argument.get_action().takes_values() && !values.is_empty() {
        let each = values.iter().filter(|value| !value.is_hide_set()).map(|value| match value.get_help() {
            Some(help) => format!("`{}` ({})", value.get_name(), help.to_string().trim_end_matches('.')),
            None => format!("`{}`", value.get_name()),
        });
        out.push_str(&roff::continued(&format!("One of {}.", each.collect::<Vec<_>>().join(", "))));
    }
    let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        out.push_str(&roff::continued(&format!("Default: `{}`.", defaults.join(" "))));
    }
    out
}

/// clap takes the full stop from the end of a paragraph; a page has it.
fn sentence(text: &str) -> String {
    let text = text.replace('\n', " ");
    // What ends in something to type gets none.
    if text.is_empty() || text.ends_with(['.', ':', '?']) || text.contains(": dyn-prefix ") || text.ends_with("-l -") {
        text
    } else {
        format!("{text}.")
    }
}
