//! Status, plan and history for people.

use std::fmt::Write as _;

use crate::status::{ClusterStatus, DynamicPrefixStatus, HistoryStatus, SourceStatus, Status, TargetStatus};

/// The whole status. Ends with a line break.
pub fn status(status: &Status) -> String {
    let mut out = format!("dyn-prefix {} as {}: {}\n", status.daemon.version, status.daemon.id, status.summary());
    for finding in &status.daemon.reload_errors {
        let _ = writeln!(out, "  reload refused: {finding}");
    }
    section(&mut out, "sources", status.sources.iter().map(source));
    out.push_str(&prefixes(&status.dynamic_prefixes));
    section(&mut out, "clusters", status.clusters.iter().map(cluster));
    section(&mut out, "targets", status.targets.iter().map(target));
    out
}

/// DynamicPrefixes with their ranges. Ends with a line break, unless empty.
pub fn prefixes(prefixes: &[DynamicPrefixStatus]) -> String {
    let mut out = String::new();
    for prefix in prefixes {
        let _ = writeln!(out, "{}", prefix_line(prefix));
        for range in &prefix.address_ranges {
            let _ = writeln!(out, "  {}  {} - {}", range.name, range.start, range.end);
        }
        for subnet in &prefix.subnets {
            let _ = writeln!(out, "  {}  {}", subnet.name, subnet.cidrs.join(", "));
        }
        for error in &prefix.errors {
            let _ = writeln!(out, "  error in {}: {}", error.entry, error.message);
        }
        for former in prefix.history.iter().filter(|former| former.state == "draining") {
            let _ = writeln!(out, "  {}", former_line(former));
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

/// The targets of a plan. Ends with a line break, unless empty.
pub fn targets(targets: &[TargetStatus]) -> String {
    let mut out = String::new();
    section(&mut out, "targets", targets.iter().map(target));
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

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "{title}");
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
}

fn source(source: &SourceStatus) -> String {
    let mut line = source.kind.clone();
    if let Some(interface) = &source.interface {
        let _ = write!(line, " on {interface}");
    }
    let _ = write!(line, "  {}", source.state);
    if let Some(reason) = &source.reason {
        let _ = write!(line, ": {reason}");
    }
    if let Some(wake) = &source.next_wake
        && let Some(at) = wake.at
    {
        let _ = write!(line, "  (next: {} at {at})", wake.reason);
    }
    line
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
    if let Some(until) = prefix.preferred_until {
        let _ = write!(line, ", preferred until {until}");
    }
    if let Some(until) = prefix.valid_until {
        let _ = write!(line, ", valid until {until}");
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
    let _ = write!(line, " ({})", former.reason);
    line
}

fn used(former: &HistoryStatus) -> String {
    match (former.acquired_at, former.deprecated_at) {
        (Some(from), Some(to)) => format!("in use from {from} to {to}"),
        _ => String::new(),
    }
}

fn cluster(cluster: &ClusterStatus) -> String {
    let mut line = format!("{}  {}", cluster.name, cluster.state);
    if let Some(version) = &cluster.server_version {
        let _ = write!(line, " ({version})");
    }
    if let Some(reason) = &cluster.reason {
        let _ = write!(line, ": {reason}");
    }
    if let Some(at) = cluster.retry_at {
        let _ = write!(line, " (next attempt at {at})");
    }
    for note in &cluster.notes {
        let _ = write!(line, "\n    note: {note}");
    }
    line
}

fn target(target: &TargetStatus) -> String {
    let namespace = target.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let mut line = format!("{} {}/{namespace}{}  {}", target.cluster, target.kind, target.name, target.reason);
    if target.observed == Some(false) {
        line.push_str(", its controller has not seen it yet");
    }
    if let Some(message) = &target.message {
        let _ = write!(line, ": {message}");
    }
    if let Some(at) = target.retry_at {
        let _ = write!(line, " (next attempt at {at})");
    }
    if !target.desired.is_empty() {
        let _ = write!(line, "\n    {}", target.desired.join(", "));
    }
    if !target.foreign.is_empty() {
        let _ = write!(line, "\n    the user's: {}", target.foreign.join(", "));
    }
    line
}
