//! Whether all is well, and the one line that says so.

use super::{Condition, DynamicPrefixStatus, FileStatus, HookStatus, SourceStatus, Status};

impl Status {
    /// Whether all is well: every source at work, every prefix in use and computed, every cluster connected, every
    /// target in sync.
    pub fn is_healthy(&self) -> bool {
        self.daemon.reload_errors.is_empty()
            && self.daemon.listen_error.is_none()
            && self.sources.iter().all(|source| source.trouble().is_none())
            && self.dynamic_prefixes.iter().all(DynamicPrefixStatus::is_healthy)
            && self.clusters.iter().all(|cluster| cluster.state == "connected" && cluster.reason.is_none())
            && self.targets.iter().all(|target| target.synced && target.observed != Some(false))
            && !self.hooks.iter().any(HookStatus::is_failing)
            && !self.files.iter().any(FileStatus::is_failing)
    }

    /// The one line that `systemctl status` shows: the prefixes in use and how many targets are in sync.
    pub fn summary(&self) -> String {
        let prefixes = self.dynamic_prefixes.iter();
        let away = self.clusters.iter().filter(|cluster| cluster.state != "connected");
        summary(&Summary {
            prefixes: prefixes.map(DynamicPrefixStatus::summary).collect(),
            troubled: self.sources.iter().filter_map(SourceStatus::trouble).collect(),
            targets: self.targets.len(),
            synced: self.targets.iter().filter(|target| target.synced).count(),
            away: away.map(|cluster| cluster.name.as_str()).collect(),
            reload_refused: !self.daemon.reload_errors.is_empty(),
            is_deaf: self.daemon.listen_error.is_some(),
            failing: failing(&self.hooks, &self.files),
        })
    }
}

/// What the one line tells.
#[derive(Debug)]
pub(crate) struct Summary<'a> {
    /// Every DynamicPrefix with its prefix in use, and what is the matter with that.
    pub(crate) prefixes: Vec<String>,
    /// The sources that do not do their work, each with its state.
    pub(crate) troubled: Vec<String>,
    pub(crate) targets: usize,
    pub(crate) synced: usize,
    /// The clusters that are not connected.
    pub(crate) away: Vec<&'a str>,
    pub(crate) reload_refused: bool,
    /// Metrics and health cannot be read.
    pub(crate) is_deaf: bool,
    /// The hooks and files that fail.
    pub(crate) failing: Vec<String>,
}

/// The hooks and files that fail, by their names.
pub(crate) fn failing(hooks: &[HookStatus], files: &[FileStatus]) -> Vec<String> {
    let mut names: Vec<String> =
        hooks.iter().filter(|hook| hook.is_failing()).map(|hook| format!("hook {}", hook.name)).collect();
    names.dedup();
    names.extend(files.iter().filter(|file| file.is_failing()).map(|file| file.path.clone()));
    names
}

pub(crate) fn summary(facts: &Summary<'_>) -> String {
    if facts.prefixes.is_empty() {
        return "idle: add a [[dynamicPrefix]] to the configuration file, then `systemctl reload dyn-prefix`"
            .to_owned();
    }
    let mut line = format!("{}; {} of {} targets in sync", facts.prefixes.join(", "), facts.synced, facts.targets);
    for source in &facts.troubled {
        line.push_str(&format!("; {source}"));
    }
    if !facts.away.is_empty() {
        line.push_str(&format!("; not connected: {}", facts.away.join(", ")));
    }
    if facts.reload_refused {
        line.push_str("; the last reload was refused");
    }
    if facts.is_deaf {
        line.push_str("; `listen` cannot be listened on");
    }
    if !facts.failing.is_empty() {
        line.push_str(&format!("; failing: {}", facts.failing.join(", ")));
    }
    line
}

/// What a source that does not do its work adds to the one line; `None`: all is well. Routers that do not answer are no
/// failure of their own, for there may be a delegation. A DHCPv6 server is asked because there should be one: without
/// it the prefix is only a fallback, or will end.
pub(crate) fn trouble(kind: &str, interface: Option<&str>, url: Option<&str>, state: &str) -> Option<String> {
    let is_well = match state {
        "failed" | "interface-absent" | "link-down" | "no-link-local" | "no-address" => false,
        "silent" | "rebinding" => kind != "dhcpv6-pd",
        _ => true,
    };
    let on = interface.map(|interface| format!(" on {interface}"));
    let on = on.or_else(|| url.map(|url| format!(" from {url}"))).unwrap_or_default();
    (!is_well).then(|| format!("{kind}{on} is {state}"))
}

/// A DynamicPrefix in the one line.
pub(crate) fn in_use(name: &str, prefix: Option<&str>, is_lost: bool) -> String {
    match prefix {
        Some(prefix) if is_lost => format!("{name} keeps {prefix}, which is lost"),
        Some(prefix) => format!("{name} {prefix}"),
        None => format!("{name} waits for a prefix"),
    }
}

impl SourceStatus {
    /// Whether it does its work, or waits for what it may wait for.
    pub fn is_working(&self) -> bool {
        self.trouble().is_none()
    }

    fn trouble(&self) -> Option<String> {
        trouble(&self.kind, self.interface.as_deref(), self.url.as_deref(), &self.state)
    }
}

impl DynamicPrefixStatus {
    fn summary(&self) -> String {
        let is_lost = |condition: &Condition| condition.kind == "PrefixAcquired" && condition.status == "False";
        in_use(&self.name, self.current_prefix.as_deref(), self.conditions.iter().any(is_lost))
    }

    fn is_healthy(&self) -> bool {
        self.errors.is_empty() && self.conditions.iter().all(|condition| condition.status == "True")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::EXAMPLE;
    use super::*;

    #[test]
    fn a_dhcpv6_server_that_does_not_answer_is_not_well_and_a_router_may_be() {
        let mut status: Status = serde_json::from_str(EXAMPLE).unwrap();
        status.dynamic_prefixes[0].errors.clear();
        let mut well = |kind: &str, state: &str| {
            (status.sources[0].kind, status.sources[0].state) = (kind.to_owned(), state.to_owned());
            let ending = format!("; 1 of 1 targets in sync; {kind} on enp1s0.222 is {state}");
            assert_eq!(status.summary().ends_with(&ending), !status.is_healthy(), "the line says what is not well");
            status.is_healthy()
        };
        for state in ["bound", "renewing", "requesting", "soliciting", "awaiting-router"] {
            assert!(well("dhcpv6-pd", state), "{state}");
        }
        for state in ["silent", "rebinding", "failed", "interface-absent", "link-down", "no-link-local"] {
            assert!(!well("dhcpv6-pd", state), "{state}");
        }
        assert!(well("router-advertisement", "silent") && !well("router-advertisement", "link-down"));
    }

    #[test]
    fn the_summary_names_what_is_missing() {
        let mut status: Status = serde_json::from_str(EXAMPLE).unwrap();
        assert_eq!(status.summary(), "home-ipv6 2001:db8:1234::/60; 1 of 1 targets in sync");
        status.dynamic_prefixes[0].conditions[0].status = "False".to_owned();
        assert!(status.summary().starts_with("home-ipv6 keeps 2001:db8:1234::/60, which is lost; "));
        status.clusters[0].state = "unreachable".to_owned();
        status.dynamic_prefixes[0].current_prefix = None;
        assert_eq!(status.summary(), "home-ipv6 waits for a prefix; 1 of 1 targets in sync; not connected: home");
        status.dynamic_prefixes.clear();
        assert_eq!(
            status.summary(),
            "idle: add a [[dynamicPrefix]] to the configuration file, then `systemctl reload dyn-prefix`"
        );
    }

    #[test]
    fn an_error_anywhere_is_degraded() {
        let mut status: Status = serde_json::from_str(EXAMPLE).unwrap();
        assert!(!status.is_healthy(), "the example has an entry in error");
        status.dynamic_prefixes[0].errors.clear();
        assert!(status.is_healthy());
        status.targets[0].observed = Some(false);
        assert!(!status.is_healthy());
        status.targets[0].observed = None;
        assert!(status.is_healthy());
        status.sources[0].state = "link-down".to_owned();
        assert!(!status.is_healthy());
    }
}
