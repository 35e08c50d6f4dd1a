//! The external-dns that runs in the cluster: which annotations it reads.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Facts, Seen, dns, name};
use crate::doctor::{Check, Finding};

/// What it reads since 0.22 unless it is told otherwise, and what it read before.
const PRESENT: &str = "external-dns.kubernetes.io/";
const FORMER: &str = "external-dns.alpha.kubernetes.io/";
/// The version that changed it.
const CHANGED: (u32, u32) = (0, 22);

/// Nothing is to be said where no Service with an address of ours wants a name.
pub(super) fn check(facts: &Facts, seen: &Seen) -> Vec<Finding> {
    let users = dns::users(facts, seen);
    if users.is_empty() {
        return Vec::new();
    }
    let deployments = match &seen.external_dns {
        Ok(deployments) => deployments,
        Err(why) => {
            let message = format!(
                "Which annotations the external-dns of this cluster reads could not be seen: {}.",
                why.trim_end_matches('.')
            );
            let advice = "Only doctor looks at it. To let it: a ClusterRole with apiGroups: [apps], resources: \
                          [deployments], verbs: [list]. Up to 0.21 it reads external-dns.alpha.kubernetes.io/, from 0.22 \
                          on external-dns.kubernetes.io/, with --annotation-prefix another one.";
            return vec![Finding::unseen(Check::ExternalDns, "external-dns", message, advice)];
        }
    };
    let read: Vec<(&Value, Option<BTreeSet<String>>)> =
        deployments.iter().map(|deployment| (deployment, prefixes(deployment))).collect();
    let mut found: Vec<Finding> =
        read.iter().map(|(deployment, prefixes)| of_one(deployment, prefixes.as_ref())).collect();
    let is_sure = !read.is_empty() && read.iter().all(|(_, prefixes)| prefixes.is_some());
    let is_read =
        |prefix: &String| read.iter().filter_map(|(_, prefixes)| prefixes.as_ref()).any(|all| all.contains(prefix));
    for (prefix, services) in users.iter().filter(|(prefix, _)| is_sure && !is_read(prefix)) {
        let names: Vec<String> = services.iter().take(3).map(|service| name(service)).collect();
        let message = format!(
            "No external-dns of this cluster reads {prefix}, by which these Services ask for names in DNS: {}.",
            names.join(", ")
        );
        let advice = "Write their hostname and ttl with the prefix that it reads, or give it --annotation-prefix; 0.22 \
                      changed what it reads when nothing is said.";
        found.push(Finding::warning(Check::ExternalDns, prefix, message, advice));
    }
    found
}

fn of_one(deployment: &Value, prefixes: Option<&BTreeSet<String>>) -> Finding {
    let subject = name(deployment);
    let Some(prefixes) = prefixes else {
        let message = format!("Which annotations the external-dns {subject} reads does not follow from its image.");
        let advice = "Up to 0.21 it is external-dns.alpha.kubernetes.io/, from 0.22 on external-dns.kubernetes.io/.";
        return Finding::unseen(Check::ExternalDns, subject, message, advice);
    };
    let all: Vec<&str> = prefixes.iter().map(String::as_str).collect();
    let message = format!("The external-dns {subject} reads {}.", all.join(" and "));
    Finding::ok(Check::ExternalDns, subject, message)
}

/// What it reads; `None`: neither its arguments nor its image say it.
fn prefixes(deployment: &Value) -> Option<BTreeSet<String>> {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array()?;
    let image = |container: &&Value| container["image"].as_str().is_some_and(|image| image.contains("external-dns"));
    let container = containers.iter().find(image)?;
    let mut own = told(container, "--annotation-prefix", "EXTERNAL_DNS_ANNOTATION_PREFIX");
    own = own.or_else(|| by_version(container["image"].as_str()?).map(str::to_owned));
    let legacy = "--enable-legacy-annotation-prefix";
    let reads_both = arguments(container).any(|argument| argument == legacy || argument == format!("{legacy}=true"));
    let both = reads_both.then(|| FORMER.to_owned());
    own.map(|own| [own].into_iter().chain(both).collect())
}

fn arguments(container: &Value) -> impl Iterator<Item = &str> {
    let lists = ["command", "args"].map(|key| container[key].as_array());
    lists.into_iter().flatten().flatten().filter_map(Value::as_str)
}

/// What an argument or a variable says.
fn told(container: &Value, flag: &str, variable: &str) -> Option<String> {
    let mut all = arguments(container).skip_while(|argument| !argument.starts_with(flag));
    let argument = all.next().and_then(|argument| match argument.strip_prefix(flag)? {
        "" => all.next(),
        rest => rest.strip_prefix('='),
    });
    let variables = container["env"].as_array().into_iter().flatten();
    let mut variables = variables.filter(|entry| entry["name"] == variable).filter_map(|entry| entry["value"].as_str());
    argument.or_else(|| variables.next()).map(str::to_owned)
}

/// By the tag of an image, as in `registry.example/external-dns:v0.21.0@sha256:…`.
fn by_version(image: &str) -> Option<&'static str> {
    let (_, tag) = image.split('@').next()?.rsplit_once(':')?;
    let mut numbers = tag.trim_start_matches('v').split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next()?, numbers.next()?);
    Some(if version >= CHANGED { PRESENT } else { FORMER })
}
