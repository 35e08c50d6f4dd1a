//! What `dyn-prefix report` says of a delegation: whether it can be taken, and what follows from it. Pure.

use std::fmt;
use std::time::Duration;

use ipnet::Ipv6Net;

use crate::arbiter::{Arbiter, Current};
use crate::config::DynamicPrefix;
use crate::control::Report;
use crate::source::SourceKind;
use crate::source::observe::Told;
use crate::time::{Deadline, Instant};

use super::coordinator::Coordinator;

/// Whom a report is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taker {
    /// The observer on this interface.
    Observer(String),
    /// `acquisition.auto`, which is to choose an observer.
    Choice,
}

impl Coordinator {
    /// Whether a report can be taken: by whom, and what to tell him.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it and what to do.
    pub fn check_report(&self, report: Report) -> Result<(Taker, Told), String> {
        let taker = taker(self.named(&report.name)?)?;
        check(&report)?;
        let Report { name, prefix, preferred, valid, excluded, gone } = report;
        let gone = gone || valid == Some(0);
        let told = Told { dynamic_prefix: name, prefix, preferred, valid, excluded, gone, ago: Duration::ZERO };
        Ok((taker, told))
    }

    /// What follows from what an observer was told, a sentence.
    pub fn follows_from(&self, told: &Told, now: Instant) -> String {
        let Told { dynamic_prefix: name, prefix, gone, .. } = told;
        // A client may well hold others beside, as a unique local one, at every renewal.
        let filter = self.config().dynamic_prefixes.iter().find(|other| other.name == *name);
        let filter = filter.map(|dynamic_prefix| &dynamic_prefix.acquisition.filter);
        if let Some(Err(why)) = filter.filter(|_| !gone).map(|filter| filter.check(*prefix)) {
            return format!("{name}: {prefix} is not used: {why}.");
        }
        let current = self.arbiters.get(name).and_then(Arbiter::snapshot).and_then(|now| now.current.as_ref());
        let Some(current) = current else {
            let known = if *gone { "is gone" } else { "is known, and is not in use" };
            return format!("{name}: {prefix} {known}; no other prefix is in use (`dyn-prefix status` says more).");
        };
        let Current { prefix: used, source, .. } = current;
        match (used == prefix, gone) {
            (true, true) if current.lost.is_some() => {
                format!("{name}: {prefix} is gone; the targets keep it until there is another (transition.onLoss).")
            }
            (true, true) => format!("{name}: {prefix} stays in use: {source} still has it."),
            (true, false) => {
                let (preferred, valid) = (left(current.preferred_until, now), left(current.valid_until, now));
                format!("{name}: {prefix} is in use from {source}, preferred {preferred} and valid {valid}.")
            }
            (false, true) => format!("{name}: {prefix} is gone; {used} from {source} is in use."),
            (false, false) => format!("{name}: {prefix} is known; {used} from {source} is in use."),
        }
    }
}

/// Whether a report makes sense, whatever the configuration.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn check(report: &Report) -> Result<(), String> {
    let Report { prefix, preferred, valid, excluded, .. } = report;
    no_host_bits(*prefix)?;
    if let (Some(preferred), Some(valid)) = (*preferred, *valid)
        && preferred > valid
    {
        let (preferred, valid) = (Lifetime(preferred), Lifetime(valid));
        return Err(format!(
            "the preferred lifetime ({preferred}) cannot be longer than the valid one ({valid}); are they mixed up?"
        ));
    }
    excluded.iter().try_for_each(|part| no_host_bits(*part))?;
    if let Some(outside) = excluded.iter().find(|part| !prefix.contains(*part) || *part == prefix) {
        return Err(format!("{outside} cannot be excluded from {prefix}: it is no part of it"));
    }
    Ok(())
}

fn taker(dynamic_prefix: &DynamicPrefix) -> Result<Taker, String> {
    let DynamicPrefix { name, acquisition, .. } = dynamic_prefix;
    if let Some(observe) = &acquisition.observe {
        return Ok(Taker::Observer(observe.interface.clone()));
    }
    match acquisition.auto.as_ref().map(|auto| auto.chosen.as_ref()) {
        None => Err(format!(
            "{name} has no acquisition.observe, so nobody is told of what another DHCPv6 client holds; add \
             acquisition.observe = {{ interface = \"...\" }} with the interface that the client asks on, and reload"
        )),
        Some(Some(chosen)) if chosen.kind == SourceKind::Dhcpv6Pd => Err(format!(
            "acquisition.auto has chosen a DHCPv6 client of dyn-prefix's own on {} for {name}, and that needs no report; \
             if another client is to be observed, write acquisition.observe = {{ interface = \"...\" }} in place of \
             acquisition.auto, and reload",
            chosen.interface
        )),
        Some(_) => Ok(Taker::Choice),
    }
}

fn no_host_bits(prefix: Ipv6Net) -> Result<(), String> {
    if prefix.trunc() == prefix {
        return Ok(());
    }
    Err(format!("{prefix} is an address in a prefix; the prefix is {}", prefix.trunc()))
}

/// How long something lives yet, in words.
fn left(until: Deadline, now: Instant) -> String {
    match until.remaining(now) {
        Some(left) => format!("for {} s", left.as_secs()),
        None => "for ever".to_owned(),
    }
}

/// A lifetime as a person wrote it.
struct Lifetime(u32);

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Deadline::INFINITY => f.write_str("infinity"),
            seconds => write!(f, "{seconds} s"),
        }
    }
}
