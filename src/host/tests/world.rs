//! A configuration, prefixes, and the decider between them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::config::{Config, DynamicPrefix, Host};
use crate::host::decide::{Run, Write};
use crate::host::{Done, Facts, Failure, Job, JobId, Jobs, Outcome};
use crate::plan::{ComputedGeneration, Role};
use crate::status::DynamicPrefixStatus;
use crate::time::Instant;

/// Two DynamicPrefixes, the first with a range and a subnet.
pub(super) const PREFIXES: &str = r#"
[[dynamicPrefix]]
name = "home-ipv6"
acquisition.routerAdvertisement = { interface = "eth0", delegatedPrefixLength = 56 }
addressRanges = [{ name = "load-balancers", start = "::f000:0:0:0", end = "::f000:0:0:ffff" }]
subnets = [{ name = "web", index = 5, prefixLength = 64 }]
[[dynamicPrefix]]
name = "lab"
acquisition.routerAdvertisement = { interface = "eth1" }
"#;

pub(super) const A: &str = "2001:db8:a::/56";
pub(super) const B: &str = "2001:db8:b::/56";
pub(super) const C: &str = "2001:db8:c::/56";

pub(super) fn config(text: &str) -> Config {
    let host = Host { variable: &|_| None, exists: &|_| true, read: &|_| Err("there is none".to_owned()) };
    let loaded = Config::parse(&format!("{PREFIXES}{text}"), Path::new("test.toml"), &host);
    let said: Vec<String> = loaded.findings.iter().map(ToString::to_string).collect();
    loaded.config.unwrap_or_else(|| panic!("{said:?}"))
}

/// The state with these prefixes, the first in use and the others draining; none at all: nothing is in use.
pub(super) fn facts_of(prefix: &DynamicPrefix, prefixes: &[&str]) -> Facts {
    let generation = |(age, text): (usize, &&str)| {
        let role = if age == 0 { Role::Current } else { Role::Draining };
        ComputedGeneration::compute(prefix, text.parse().unwrap(), &[], role)
    };
    Facts { is_lost: false, generations: prefixes.iter().enumerate().map(generation).collect() }
}

pub(super) struct World {
    pub(super) jobs: Jobs,
    pub(super) now: Instant,
    config: Config,
    facts: BTreeMap<String, Facts>,
}

impl World {
    pub(super) fn new(text: &str) -> Self {
        let now = Instant::from_secs(1000);
        let mut jobs = Jobs::default();
        let config = config(text);
        jobs.reconfigure(&config, now);
        Self { jobs, now, config, facts: BTreeMap::new() }
    }

    /// These prefixes are those of `name` from now on.
    pub(super) fn set(&mut self, name: &str, prefixes: &[&str]) {
        let prefix = self.config.dynamic_prefixes.iter().find(|prefix| prefix.name == name).unwrap();
        self.facts.insert(name.to_owned(), facts_of(prefix, prefixes));
        self.jobs.handle_facts(self.facts.clone(), self.now);
    }

    /// Nothing is known of `name`.
    pub(super) fn forget(&mut self, name: &str) {
        self.facts.remove(name);
        self.jobs.handle_facts(self.facts.clone(), self.now);
    }

    pub(super) fn home(&mut self, prefixes: &[&str]) {
        self.set("home-ipv6", prefixes);
    }

    /// The prefix in use is lost, or found again.
    pub(super) fn lose(&mut self, is_lost: bool) {
        self.facts.get_mut("home-ipv6").unwrap().is_lost = is_lost;
        self.jobs.handle_facts(self.facts.clone(), self.now);
    }

    pub(super) fn reload(&mut self, text: &str) {
        self.config = config(text);
        self.jobs.reconfigure(&self.config, self.now);
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    pub(super) fn job(&mut self) -> Option<Job> {
        self.jobs.poll_job(self.now, &|name| Some(shown(name)))
    }

    pub(super) fn run(&mut self) -> Run {
        match self.job() {
            Some(Job::Run(run)) => run,
            other => panic!("a run is due, not {other:?}"),
        }
    }

    pub(super) fn write(&mut self) -> Write {
        match self.job() {
            Some(Job::Write(write)) => write,
            other => panic!("a write is due, not {other:?}"),
        }
    }

    pub(super) fn succeed(&mut self, id: JobId, done: Done) {
        self.jobs.handle_outcome(id, Outcome { result: Ok(done), took: Duration::from_millis(5) }, self.now);
    }

    pub(super) fn fail(&mut self, id: JobId, reason: &'static str) {
        let failure = Failure { reason, message: "It broke.".to_owned() };
        self.jobs.handle_outcome(id, Outcome { result: Err(failure), took: Duration::from_millis(5) }, self.now);
    }

    /// How long until there is something to do.
    pub(super) fn pause(&self) -> Option<u64> {
        self.jobs.poll_timeout().map(|at| at.saturating_since(self.now).as_secs())
    }

    pub(super) fn lines(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.jobs.poll_entry()).map(|entry| entry.message).collect()
    }
}

/// What `status` shows, as far as it matters here.
pub(super) fn shown(name: &str) -> DynamicPrefixStatus {
    DynamicPrefixStatus {
        name: name.to_owned(),
        current_prefix: None,
        prefix_source: Some("router-advertisement".to_owned()),
        generation: Some(7),
        preferred_until: None,
        valid_until: None,
        lease_expires_at: None,
        address_ranges: Vec::new(),
        subnets: Vec::new(),
        history: Vec::new(),
        conditions: Vec::new(),
        errors: Vec::new(),
    }
}

/// The value of a variable.
pub(super) fn variable<'r>(run: &'r Run, name: &str) -> &'r str {
    let found = run.variables.iter().find(|(known, _)| known == name);
    found.map_or_else(|| panic!("there is no {name} in {:?}", run.variables), |(_, value)| value)
}

pub(super) fn event(run: &Run) -> &str {
    variable(run, "DYN_PREFIX_EVENT")
}
