//! The kubeconfig, the way to the API server, its version and its clock.

use std::net::IpAddr;

use jiff::SignedDuration;

use super::{Connection, Facts, Seen};
use crate::cluster::Validity;
use crate::cluster::failure::Failure;
use crate::cluster::kubeconfig::{Fault, Unusable, join_command};
use crate::config::Kubeconfig;
use crate::doctor::{Check, Finding, Level};

/// Clocks that differ by less are as good as the same.
const SKEW: SignedDuration = SignedDuration::from_secs(30);
/// From here on tokens count as not valid yet, or no longer.
const GREAT_SKEW: SignedDuration = SignedDuration::from_secs(300);
/// The oldest Kubernetes whose watches work as this program needs them: field selectors for Services by type, and
/// CustomResourceDefinitions of v1.
const OLDEST: (u32, u32) = (1, 31);

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    match &facts.connection {
        Connection::Unusable(why) => [unusable(facts, why)].into_iter().chain(facts.unreadable()).collect(),
        Connection::Made { url, addresses, validity, answer } => {
            let mut found = facts.unreadable();
            let own = credentials(facts, *validity, answer.as_ref().err());
            // That we can use them is no good news where the daemon cannot.
            if found.is_empty() || own.level > Level::Unseen {
                found.push(own);
            }
            found.extend(server(facts, url, answer));
            found.extend(address(facts, url, addresses));
            found
        }
    }
}

fn unusable(facts: &Facts, why: &Unusable) -> Finding {
    let message = format!("{}.", capitalised(why.text.trim_end_matches('.')));
    if why.fault == Fault::Forbidden {
        // Whoever runs this need not be who runs the daemon.
        let user = facts.account.as_ref().map_or("dyn-prefix", |account| account.user.as_str());
        let advice =
            format!("Run this as root, or as the user of the daemon: `runuser -u {user} -- dyn-prefix doctor`.");
        return Finding::unseen(Check::Credentials, source(facts), message, &advice);
    }
    let command = join_command(&facts.cluster.name);
    let advice = format!("`{command}` makes an account and a kubeconfig for it; FILE is that of an administrator.");
    Finding::error(Check::Credentials, source(facts), message, advice)
}

fn source(facts: &Facts) -> String {
    match &facts.cluster.kubeconfig {
        Kubeconfig::File(path) => path.display().to_string(),
        Kubeconfig::InCluster => "in-cluster".to_owned(),
    }
}

fn credentials(facts: &Facts, validity: Option<Validity>, failure: Option<&Failure>) -> Finding {
    let subject = source(facts);
    let renew = "Get new ones before that: `dyn-prefix join` makes an account with a token that does not end.";
    if let Some(Failure::Unauthorized(message)) = failure {
        let message = format!("{}.", capitalised(message.trim_end_matches('.')));
        let advice = "`dyn-prefix join` makes an account and a kubeconfig for it.";
        return Finding::error(Check::Credentials, subject, message, advice);
    }
    let Some(validity @ Validity { from, until, .. }) = validity else {
        let message = "The credentials can be used, and do not say that they end.";
        return Finding::ok(Check::Credentials, subject, message);
    };
    if until <= facts.now {
        let message = format!("The credentials have ended at {until}.");
        return Finding::error(Check::Credentials, subject, message, renew);
    }
    if from.is_some_and(|from| from > facts.now) {
        let message = "The credentials are not valid yet, by the clock of this machine.";
        return Finding::error(Check::Credentials, subject, message, "Set the clock.");
    }
    if validity.warn_from() <= facts.now {
        let message = format!("The credentials end soon: at {until}.");
        return Finding::warning(Check::Credentials, subject, message, renew);
    }
    Finding::ok(Check::Credentials, subject, format!("The credentials can be used until {until}."))
}

fn server(facts: &Facts, url: &str, answer: &Result<Box<Seen>, Failure>) -> Vec<Finding> {
    let seen = match answer {
        Ok(seen) => seen,
        // It is told with the credentials.
        Err(Failure::Unauthorized(_)) => return Vec::new(),
        Err(failure) => return vec![unreachable(url, failure)],
    };
    let by_tls = if url.starts_with("https:") { "" } else { ", without TLS: everybody on the way reads along" };
    let message = format!("The API server at {url} answers{by_tls}.");
    let reached = if by_tls.is_empty() {
        Finding::ok(Check::ApiServer, url, message)
    } else {
        Finding::warning(Check::ApiServer, url, message, "Use an https URL in the kubeconfig.")
    };
    let clock = seen.date.map(|date| skew(url, date.duration_since(facts.now)));
    [reached, version(url, &seen.version)].into_iter().chain(clock).collect()
}

fn unreachable(url: &str, failure: &Failure) -> Finding {
    let what = failure.message().trim_end_matches('.');
    let (message, advice) = match failure {
        Failure::Unreachable { reason, .. } if reason.contains("Certificate") || reason.contains("Tls") => {
            (format!("There is no TLS with the API server at {url}: {what}."), "Correct what the text says.".to_owned())
        }
        Failure::Unreachable { .. } => (
            format!("The API server at {url} cannot be reached: {what}."),
            format!(
                "Is the URL of the kubeconfig right as seen from this host, and is the server up? Try `curl -k {url}/version`."
            ),
        ),
        Failure::Refused { .. } | Failure::Garbled(_) | Failure::Unauthorized(_) => (
            format!("What answers at {url} is no API server that can be used: {what}."),
            "Is the URL of the kubeconfig right? A proxy may answer in its place.".to_owned(),
        ),
    };
    Finding::error(Check::ApiServer, url, message, advice)
}

fn version(url: &str, version: &str) -> Finding {
    if version.is_empty() {
        return Finding::note(Check::ServerVersion, url, "The API server keeps its version to itself.");
    }
    let mut numbers = version.trim_start_matches('v').split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    let number = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    // Somebody's own build has no number.
    if number < OLDEST && number != (0, 0) {
        let message = format!(
            "The API server is of version {version}, older than {}.{}: it may work, and nobody tries it.",
            OLDEST.0, OLDEST.1
        );
        return Finding::note(Check::ServerVersion, url, message);
    }
    Finding::ok(Check::ServerVersion, url, format!("The API server is of version {version}."))
}

fn skew(url: &str, ahead: SignedDuration) -> Finding {
    let by = ahead.abs();
    if by <= SKEW {
        return Finding::ok(Check::ServerClock, url, "The clocks of this host and of the API server agree.");
    }
    let which = if ahead.is_negative() { "ahead of" } else { "behind" };
    let message = format!("The clock of this host is {} s {which} that of the API server.", by.as_secs());
    let advice = "Have both kept by NTP; `timedatectl` tells of this host.";
    if by > GREAT_SKEW {
        let message = format!("{message} Tokens and certificates may count as invalid.");
        return Finding::error(Check::ServerClock, url, message, advice);
    }
    Finding::warning(Check::ServerClock, url, message, advice)
}

/// A way that leads by an address of the prefix is gone when the prefix is.
fn address(facts: &Facts, url: &str, addresses: &[IpAddr]) -> Option<Finding> {
    let inside = addresses.iter().filter_map(|address| Some((address, facts.prefix_of(*address)?))).next();
    let Some((address, prefix)) = inside else { return outside(facts, url, addresses) };
    let message = format!(
        "The API server at {url} has the address {address}, which lies in the prefix {prefix} and changes with it: just \
         then it cannot be told of the change."
    );
    let advice = "Name it in the kubeconfig by an address that stays: a ULA (fd00::/8), a link-local or an IPv4 one.";
    Some(if addresses.iter().all(|address| facts.prefix_of(*address).is_some()) {
        Finding::error(Check::ServerAddress, url, message, advice)
    } else {
        Finding::warning(Check::ServerAddress, url, message, advice)
    })
}

fn outside(facts: &Facts, url: &str, addresses: &[IpAddr]) -> Option<Finding> {
    let advice = "Look again while the daemon has a prefix.";
    if let (false, Some(address)) = (facts.unknown.is_empty(), addresses.iter().find(|address| may_change(**address))) {
        let message = format!(
            "Whether the address {address} of the API server lies in a prefix that changes could not be seen: no prefix is \
             known for {}.",
            facts.unknown.join(", ")
        );
        return Some(Finding::unseen(Check::ServerAddress, url, message, advice));
    }
    let message = "No address of the API server depends on a prefix that changes.";
    (!addresses.is_empty()).then(|| Finding::ok(Check::ServerAddress, url, message))
}

/// Global ones may lie in a prefix that is delegated.
fn may_change(address: IpAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    let stays = address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local();
    !stays && address.to_ipv4_mapped().is_none()
}

pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
