//! Rules for single values: names, paths, addresses and networks.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::{Ipv4Net, Ipv6Net};

use super::super::finding::{At, Report, Span, quoted};
use super::super::suggest::{enumerated, nearest};

/// Names of one kind, each with the place where it was first used.
pub(super) struct Unique<'t> {
    what: &'static str,
    seen: BTreeMap<&'t str, Span>,
}

impl<'t> Unique<'t> {
    /// `what` has the name: "cluster".
    pub(super) const fn new(what: &'static str) -> Self {
        Self { what, seen: BTreeMap::new() }
    }

    pub(super) fn claim(&mut self, name: At<&'t str>, report: &mut Report<'_>) {
        let Some(first) = self.seen.get(name.value) else {
            self.seen.insert(name.value, name.span);
            return;
        };
        let line = report.line(*first);
        let message = format!("the name {} is taken by the {} at line {line}", quoted(name.value), self.what);
        report.error("duplicate-name", name.span, message).hint("give one of the two another name");
    }
}

/// A DNS label (RFC 1123 §2.1), as names of DynamicPrefixes and their parts are: they stand in annotations.
pub(super) fn label(name: At<&str>, key: &str, report: &mut Report<'_>) -> Option<String> {
    if is_label(name.value) {
        return Some(name.value.to_owned());
    }
    let found = report.error("invalid-name", name.span, format!("`{key}` cannot be {}", quoted(name.value)));
    let rule = "1 to 63 characters of a-z, 0-9 and -, with a letter or digit at both ends";
    match as_label(name.value) {
        Some(meant) => found.hint(format!("wanted: {rule}; {meant:?} would do")),
        None => found.hint(format!("wanted: {rule}")),
    }
    None
}

/// A name that is only ever shown and compared.
pub(super) fn free_name(name: At<&str>, key: &str, report: &mut Report<'_>) -> Option<String> {
    let fits = !name.value.trim().is_empty() && name.value.trim() == name.value && name.value.len() <= 253;
    if fits && !name.value.chars().any(char::is_control) {
        return Some(name.value.to_owned());
    }
    report
        .error("invalid-name", name.span, format!("`{key}` cannot be {}", quoted(name.value)))
        .hint("wanted: 1 to 253 bytes without control characters, and without space at either end");
    None
}

/// Whether it can be the name of a DynamicPrefix or a part of one.
pub(crate) fn is_label(text: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| is_alphanumeric(byte) || *byte == b'-')
        && bytes.first().is_some_and(is_alphanumeric)
        && bytes.last().is_some_and(is_alphanumeric)
}

fn as_label(text: &str) -> Option<String> {
    let spelled: String =
        text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let trimmed = spelled.trim_matches('-').to_owned();
    is_label(&trimmed).then_some(trimmed)
}

/// The name of a Kubernetes object: a DNS subdomain (RFC 1123), at most 253 characters.
pub(super) fn is_object_name(text: &str) -> bool {
    let is_part = |part: &str| {
        // Unlike a label, a part may be longer than 63 characters.
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && !part.starts_with('-') && !part.ends_with('-') && part.bytes().all(fits)
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

/// The name of a namespace: a DNS label.
pub(super) fn is_namespace(text: &str) -> bool {
    is_label(text)
}

pub(super) fn absolute_path(text: At<&str>, key: &str, report: &mut Report<'_>) -> Option<PathBuf> {
    let path = Path::new(text.value);
    if path.is_absolute() && !text.value.contains('\0') {
        return Some(path.to_owned());
    }
    let found = report.error(
        "invalid-path",
        text.span,
        format!("`{key}` must be an absolute path, found {}", quoted(text.value)),
    );
    match text.value.chars().next() {
        Some('$') => found.hint("write a variable of the environment as ${NAME}; only `kubeconfig` may have them"),
        Some('~') => found.hint("~ is a matter of the shell and means nothing to a daemon: write the path in full"),
        _ => found.hint("a daemon has no working directory to count on: begin the path with /"),
    }
    None
}

/// A name that the kernel takes for an interface (dev_valid_name in net/core/dev.c).
pub(super) fn interface(name: At<&str>, report: &mut Report<'_>) -> Option<String> {
    let text = name.value;
    let excluded = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if (1..=15).contains(&text.len()) && text != "." && text != ".." && !text.contains(excluded) {
        return Some(text.to_owned());
    }
    report
        .error("invalid-interface", name.span, format!("no interface can be named {}", quoted(text)))
        .hint("wanted: 1 to 15 bytes without space, / and :, as `ip -brief link` shows it before the @");
    None
}

/// An IPv6 prefix without host bits.
pub(super) fn network(text: At<&str>, key: &str, report: &mut Report<'_>) -> Option<Ipv6Net> {
    let written = quoted(text.value);
    let (message, hint) = match text.value.parse::<Ipv6Net>() {
        Ok(net) if net.trunc() == net => return Some(net),
        Ok(net) => (
            format!("`{key}`: {written} has bits set beyond its length of {}", net.prefix_len()),
            format!("did you mean \"{}\"?", net.trunc()),
        ),
        Err(_) => (format!("`{key}`: {written} is no IPv6 prefix"), network_hint(text.value)),
    };
    report.error("invalid-network", text.span, message).hint(hint);
    None
}

fn network_hint(text: &str) -> String {
    if text.parse::<Ipv4Net>().is_ok() || text.parse::<Ipv4Addr>().is_ok() {
        return "that is IPv4; only IPv6 prefixes are followed".to_owned();
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return format!("the length is missing: write \"{text}/56\", with the length your provider gives");
    }
    "write ADDRESS/LENGTH with a length of at most 128, as in \"2001:db8:1234::/56\"".to_owned()
}

/// An IPv6 address. `example` is shown when it is none.
pub(super) fn address(
    text: At<&str>,
    code: &'static str,
    key: &str,
    example: &str,
    report: &mut Report<'_>,
) -> Option<Ipv6Addr> {
    if let Ok(address) = text.value.parse() {
        return Some(address);
    }
    let hint = if text.value.contains('%') {
        "leave out the % and what follows: an interface is no part of it".to_owned()
    } else if let Some(inner) = text.value.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        format!("write it without brackets: {}", quoted(inner))
    } else if text.value.parse::<Ipv4Addr>().is_ok() {
        format!("that is IPv4; write an IPv6 address, as in {example}")
    } else if text.value.contains('/') {
        format!("a single address is wanted here, without /LENGTH, as in {example}")
    } else if text.value.contains('-') && text.value.contains(':') {
        format!("a single address is wanted here, not both ends, as in {example}")
    } else {
        format!("write it as in {example}")
    };
    report.error(code, text.span, format!("`{key}`: {} is no IPv6 address", quoted(text.value))).hint(hint);
    None
}

/// The one of `candidates` that is referred to, or a finding.
pub(super) fn existing<'d>(
    name: At<&str>,
    lacking: &str,
    candidates: impl Iterator<Item = &'d str> + Clone,
    report: &mut Report<'_>,
) -> Option<&'d str> {
    if let Some(found) = candidates.clone().find(|candidate| *candidate == name.value) {
        return Some(found);
    }
    let found = report.error("unknown-name", name.span, format!("{lacking} {}", quoted(name.value)));
    match (nearest(name.value, candidates.clone()), candidates.clone().next()) {
        (Some(meant), _) => {
            found.hint(format!("did you mean {}? There are: {}", quoted(meant), enumerated(candidates)))
        }
        (None, Some(_)) => found.hint(format!("there are: {}", enumerated(candidates))),
        (None, None) => found.hint("there is none at all"),
    }
    None
}

/// A host part as it is written: without the dotted quad that ends an IPv4-mapped address.
pub(super) fn shown(host: Ipv6Addr) -> String {
    match host.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] => format!("::ffff:{high:x}:{low:x}"),
        _ => host.to_string(),
    }
}
