//! Status, plan and history for people.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::status::{
    ClusterStatus, DynamicPrefixStatus, FileStatus, HistoryStatus, HookStatus, Lease, SourceStatus, Status,
    TargetStatus,
};

/// The whole status. Ends with a line break.
pub fn status(status: &Status) -> String {
    let mut out = format!("dyn-prefix {} as {}: {}\n", status.daemon.version, status.daemon.id, status.summary());
    for finding in &status.daemon.reload_errors {
        let _ = writeln!(out, "  reload refused: {finding}");
    }
    if let Some(error) = &status.daemon.listen_error {
        let _ = writeln!(out, "  no metrics: {error}");
    }
    for leftover in &status.daemon.leftovers {
        let _ = writeln!(out, "  left behind: {leftover}");
    }
    section(&mut out, "sources", status.sources.iter().map(source));
    out.push_str(&prefixes(&status.dynamic_prefixes));
    section(&mut out, "clusters", status.clusters.iter().map(cluster));
    out.push_str(&targets(&status.targets));
    section(&mut out, "hooks", status.hooks.iter().map(hook));
    section(&mut out, "files", status.files.iter().map(file));
    out
}

/// DynamicPrefixes with their ranges. Ends with a line break, unless empty.
pub fn prefixes(prefixes: &[DynamicPrefixStatus]) -> String {
    let mut out = String::new();
    for prefix in prefixes {
        let _ = writeln!(out, "{}", prefix_line(prefix));
        rows(&mut out, &parts(prefix));
        for error in &prefix.errors {
            let _ = writeln!(out, "  error in {}: {}", error.entry, error.message);
        }
        for condition in prefix.conditions.iter().filter(|condition| condition.status != "True") {
            let _ = writeln!(
                out,
                "  {}={}: {} ({})",
                condition.kind, condition.status, condition.message, condition.reason
            );
        }
    }
    out
}

/// Its ranges and subnets, and the prefixes that drain.
fn parts(prefix: &DynamicPrefixStatus) -> Vec<Row> {
    let ranges =
        prefix.address_ranges.iter().map(|range| Row::new(&range.name, format!("{} - {}", range.start, range.end)));
    let subnets = prefix.subnets.iter().map(|subnet| Row::new(&subnet.name, subnet.cidrs.join(", ")));
    let draining = prefix.history.iter().filter(|former| former.state == "draining");
    ranges.chain(subnets).chain(draining.map(|former| Row::new("(former)", former_line(former)))).collect()
}

/// The targets of a status or of a plan. Ends with a line break, unless empty.
pub fn targets(targets: &[TargetStatus]) -> String {
    let mut out = String::new();
    let is_one_cluster = targets.windows(2).all(|pair| pair[0].cluster == pair[1].cluster);
    let title = match targets.first() {
        Some(first) if is_one_cluster => format!("targets in {}", first.cluster),
        _ => "targets".to_owned(),
    };
    section(&mut out, &title, targets.iter().map(|each| target(each, !is_one_cluster)));
    out
}

/// The former prefixes of every DynamicPrefix, newest first. Ends with a line break.
pub fn history(status: &Status) -> String {
    let mut out = String::new();
    for prefix in &status.dynamic_prefixes {
        let current = prefix.current_prefix.as_deref().unwrap_or("none");
        let _ = writeln!(out, "{}  now {current}", prefix.name);
        if prefix.history.is_empty() {
            let _ = writeln!(out, "  no former prefix");
        }
        for former in &prefix.history {
            let _ = writeln!(out, "  {}  {}", former_line(former), used(former));
        }
    }
    if out.is_empty() {
        out.push_str("no [[dynamicPrefix]] in the configuration\n");
    }
    out
}

/// A line of two columns, and lines below it.
struct Row {
    name: String,
    text: String,
    below: Vec<String>,
}

impl Row {
    fn new(name: &str, text: String) -> Self {
        Self { name: name.to_owned(), text, below: Vec::new() }
    }
}

/// A title and its rows, or nothing when there are none.
fn section(out: &mut String, title: &str, lines: impl Iterator<Item = Row>) {
    let lines: Vec<Row> = lines.collect();
    if !lines.is_empty() {
        let _ = writeln!(out, "{title}");
        rows(out, &lines);
    }
}

/// Rows with their second column aligned.
fn rows(out: &mut String, rows: &[Row]) {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or_default();
    for row in rows {
        let _ = writeln!(out, "  {:width$}  {}", row.name, row.text);
        for line in &row.below {
            let _ = writeln!(out, "    {line}");
        }
    }
}

fn source(source: &SourceStatus) -> Row {
    let on = source.interface.as_ref().map(|interface| format!(" on {interface}"));
    let on = on.or_else(|| source.url.as_ref().map(|url| format!(" from {url}"))).unwrap_or_default();
    let mut text = source.state.clone();
    if let Some(reason) = &source.reason {
        let _ = write!(text, ": {reason}");
    }
    if let Some(wake) = &source.next_wake
        && let Some(at) = wake.at
    {
        let _ = match wake.reason.as_str() {
            "forget" => write!(text, " (forgotten at {at} unless heard again)"),
            next => write!(text, " (next: {next} at {at})"),
        };
    }
    let lease = source.lease.as_ref().map(lease).unwrap_or_default();
    let notes = source.notes.iter().map(|note| format!("note: {note}"));
    Row { below: lease.into_iter().chain(notes).collect(), ..Row::new(&format!("{}{on}", source.kind), text) }
}

/// The lines about a lease.
fn lease(lease: &Lease) -> Vec<String> {
    let mut lines = Vec::new();
    for delegation in &lease.delegations {
        let is_held = delegation.received_at.is_some();
        let ending = if is_held { renewal(delegation.t1, delegation.t2) } else { ": nothing is delegated".to_owned() };
        lines.push(format!("{} (IAID {:08x}){ending}", delegation.dynamic_prefix, delegation.iaid));
        lines.extend(delegation.prefixes.iter().map(|prefix| {
            let excluded = prefix.excluded.as_ref().map(|part| format!(" without {part}")).unwrap_or_default();
            let ending = match prefix.valid_until {
                Some(end) if !is_held => format!(" until {end}, to be asked for again"),
                _ => lifetimes(prefix.preferred_until, prefix.valid_until),
            };
            format!("  {}{excluded}{ending}", prefix.prefix)
        }));
    }
    if let Some(address) = &lease.address {
        lines.push(format!("address (IAID {:08x}){}", address.iaid, renewal(address.t1, address.t2)));
        lines.push(format!("  {}{}", address.address, lifetimes(address.preferred_until, address.valid_until)));
    }
    let ends = [("server", &lease.server), ("client", &lease.client)];
    lines.extend(ends.iter().filter_map(|(end, duid)| duid.as_ref().map(|duid| format!("{end} DUID {duid}"))));
    lines
}

fn renewal(t1: Option<Timestamp>, t2: Option<Timestamp>) -> String {
    let shown = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), |at| format!("at {at}"));
    format!(", to be renewed {} (T1), rebound {} (T2)", shown(t1), shown(t2))
}

fn lifetimes(preferred: Option<Timestamp>, valid: Option<Timestamp>) -> String {
    let shown =
        |until: Option<Timestamp>| until.map_or_else(|| "for ever".to_owned(), |until| format!("until {until}"));
    format!(", preferred {}, valid {}", shown(preferred), shown(valid))
}

fn prefix_line(prefix: &DynamicPrefixStatus) -> String {
    let Some(current) = &prefix.current_prefix else { return format!("{}  waits for a prefix", prefix.name) };
    let mut line = format!("{}  {current}", prefix.name);
    if let Some(source) = &prefix.prefix_source {
        let _ = write!(line, " from {source}");
    }
    if let Some(generation) = prefix.generation {
        let _ = write!(line, ", generation {generation}");
    }
    let ends = [("preferred", prefix.preferred_until), ("valid", prefix.valid_until)];
    let ends = ends.iter().filter_map(|(what, until)| until.map(|until| format!("{what} until {until}")));
    let ends: Vec<String> = ends.collect();
    if !ends.is_empty() {
        let _ = write!(line, "\n  {}", ends.join(", "));
    }
    line
}

fn former_line(former: &HistoryStatus) -> String {
    let mut line = format!("{}  {}", former.prefix, former.state);
    if former.state == "draining"
        && let Some(end) = former.drain_ends_at
    {
        let _ = write!(line, " until {end}");
    }
    let says_so = ["Dead", "Released"].contains(&former.reason.as_str());
    let _ = write!(line, " ({}{})", former.reason, if former.dead && !says_so { ", dead" } else { "" });
    line
}

fn used(former: &HistoryStatus) -> String {
    match (former.acquired_at, former.deprecated_at) {
        (Some(from), Some(to)) => format!("in use from {from} to {to}"),
        _ => String::new(),
    }
}

fn cluster(cluster: &ClusterStatus) -> Row {
    let mut text = cluster.state.clone();
    if let Some(version) = &cluster.server_version {
        let _ = write!(text, " ({version})");
    }
    for why in [&cluster.reason, &cluster.message].into_iter().flatten() {
        let _ = write!(text, ": {why}");
    }
    if let Some(at) = cluster.retry_at {
        let _ = write!(text, " (next attempt at {at})");
    }
    let notes = cluster.notes.iter().map(|note| format!("note: {note}"));
    Row { below: notes.collect(), ..Row::new(&cluster.name, text) }
}

fn target(target: &TargetStatus, with_cluster: bool) -> Row {
    let cluster = if with_cluster { format!("{} ", target.cluster) } else { String::new() };
    let namespace = target.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let mut text = target.reason.clone();
    if target.synced && target.observed == Some(false) {
        text.push_str(", its controller has not seen it yet (does it run?)");
    }
    if let Some(message) = &target.message {
        let _ = write!(text, ": {message}");
    }
    if let Some(at) = target.retry_at {
        let _ = write!(text, " (next attempt at {at})");
    }
    let foreign = target.foreign.iter().map(|entry| format!("{entry}  (the user's)"));
    let below = target.desired.iter().cloned().chain(foreign).collect();
    Row { below, ..Row::new(&format!("{cluster}{}/{namespace}{}", target.kind, target.name), text) }
}

fn hook(hook: &HookStatus) -> Row {
    let mut text = doing(&hook.reason, hook.message.as_deref(), hook.retry_at);
    if let (Some(event), Some(at)) = (&hook.last_event, hook.last_run_time) {
        let _ = write!(text, " (last ran well at {at}: {event})");
    }
    Row::new(&format!("{} for {}", hook.name, hook.dynamic_prefix), text)
}

fn file(file: &FileStatus) -> Row {
    let mut text = doing(&file.reason, file.message.as_deref(), file.retry_at);
    if let Some(at) = file.last_write_time {
        let _ = write!(text, " (written at {at})");
    }
    Row::new(&file.path, text)
}

fn doing(reason: &str, message: Option<&str>, retry_at: Option<Timestamp>) -> String {
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    let retry = retry_at.map(|at| format!(" (next attempt at {at})")).unwrap_or_default();
    format!("{reason}{message}{retry}")
}

/// The files of a plan, each with what it would hold.
pub fn files(files: &[FileStatus]) -> String {
    let mut out = String::new();
    section(
        &mut out,
        "files",
        files.iter().map(|shown| {
            let content = shown.content.iter().flat_map(|content| content.lines().map(ToOwned::to_owned));
            Row { below: content.collect(), ..file(shown) }
        }),
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_former_prefix_is_told_with_what_became_of_it_later() {
        let line = |state: &str, reason: &str, dead: bool| {
            former_line(&HistoryStatus {
                prefix: "2001:db8::/56".to_owned(),
                acquired_at: None,
                deprecated_at: None,
                valid_until: None,
                drain_ends_at: None,
                state: state.to_owned(),
                reason: reason.to_owned(),
                dead,
            })
        };
        assert_eq!(line("draining", "Replaced", false), "2001:db8::/56  draining (Replaced)");
        assert_eq!(line("expired", "TooMany", false), "2001:db8::/56  expired (TooMany)");
        assert_eq!(line("expired", "TooMany", true), "2001:db8::/56  expired (TooMany, dead)");
        assert_eq!(line("expired", "Dead", true), "2001:db8::/56  expired (Dead)");
    }
}
