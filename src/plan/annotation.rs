//! The annotations by which a pool or group asks for a part of a DynamicPrefix, as the in-cluster operators spell them.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::Catalogue;
use crate::config::{Kind, Part};

/// Names the DynamicPrefix.
pub const NAME: &str = "dynamic-prefix.io/name";
/// Names one or several of its ranges, separated by commas.
pub const ADDRESS_RANGE: &str = "dynamic-prefix.io/address-range";
/// Names one or several of its subnets, separated by commas.
pub const SUBNET: &str = "dynamic-prefix.io/subnet";
/// "true" asks for the whole prefix.
pub const WHOLE: &str = "dynamic-prefix.io/whole";

/// On a Service: names the ranges in which its address has to lie; [`ADDRESS_RANGE`] is read when it is absent.
pub const SERVICE_ADDRESS_RANGE: &str = "dynamic-prefix.io/service-address-range";
/// On a Service: names the subnets in which its address has to lie; [`SUBNET`] is read when it is absent.
pub const SERVICE_SUBNET: &str = "dynamic-prefix.io/service-subnet";
/// On a Service: the host part of its address, counted from the prefix.
pub const SUFFIX: &str = "dynamic-prefix.io/suffix";
/// On a Service: "true" leaves the external-dns target to the user.
pub const SKIP_EXTERNAL_DNS_UPDATE: &str = "dynamic-prefix.io/skip-external-dns-update";
/// On a Service: the host part that it keeps, recorded by us.
pub const MANAGED_SUFFIX: &str = "dynamic-prefix.io/managed-suffix";

/// What the annotations of an object ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub(super) dynamic_prefix: &'a str,
    /// `None`: only the name is given.
    pub(super) part: Option<Part>,
}

impl Request<'_> {
    /// The part it gets on an object of `kind`; `None`: a pool that names none.
    pub(super) fn part_on(&self, kind: Kind) -> Option<Part> {
        self.part.clone().or_else(|| (!kind.is_pool()).then_some(Part::Whole))
    }
}

/// `None`: they do not ask for anything, or name a DynamicPrefix that is not ours.
pub(super) fn read<'a>(annotations: &'a BTreeMap<String, String>, catalogue: &Catalogue) -> Option<Request<'a>> {
    let dynamic_prefix = name(annotations, catalogue)?;
    let whole = annotations.get(WHOLE).is_some_and(|value| value.trim() == "true");
    let part = list(annotations, ADDRESS_RANGE)
        .or_else(|| list(annotations, SUBNET))
        .map(Part::Named)
        .or_else(|| whole.then_some(Part::Whole));
    Some(Request { dynamic_prefix, part })
}

/// What the annotations of a Service ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceRequest<'a> {
    pub(super) dynamic_prefix: &'a str,
    /// `None`: its address may lie anywhere in the prefix.
    pub(super) part: Option<Part>,
    /// What [`suffix`] says.
    pub(super) suffix: Option<Result<Ipv6Addr, &'a str>>,
}

/// `None`: they do not ask for anything, or name a DynamicPrefix that is not ours.
pub(super) fn read_service<'a>(
    annotations: &'a BTreeMap<String, String>,
    catalogue: &Catalogue,
) -> Option<ServiceRequest<'a>> {
    let dynamic_prefix = name(annotations, catalogue)?;
    let keys = [SERVICE_ADDRESS_RANGE, SERVICE_SUBNET, ADDRESS_RANGE, SUBNET];
    let part = keys.iter().find_map(|key| list(annotations, key)).map(Part::Named);
    Some(ServiceRequest { dynamic_prefix, part, suffix: suffix(annotations) })
}

/// The host part that a Service asks for; an error is the text that is not an address.
pub(super) fn suffix(annotations: &BTreeMap<String, String>) -> Option<Result<Ipv6Addr, &str>> {
    let text = annotations.get(SUFFIX)?;
    Some(text.trim().parse().map_err(|_| text.as_str()))
}

/// The host part recorded on a Service.
pub(super) fn recorded_suffix(annotations: &BTreeMap<String, String>) -> Option<Ipv6Addr> {
    annotations.get(MANAGED_SUFFIX)?.trim().parse().ok()
}

/// Whether the user keeps the external-dns target of a Service. Only "true" says so, as in the in-cluster operator; an
/// error is a text that says neither.
pub(super) fn skip_external_dns(annotations: &BTreeMap<String, String>) -> Result<bool, &str> {
    match annotations.get(SKIP_EXTERNAL_DNS_UPDATE).map_or("", |value| value.trim()) {
        "true" => Ok(true),
        "false" | "" => Ok(false),
        other => Err(other),
    }
}

/// The DynamicPrefix of ours that they name.
fn name<'a>(annotations: &'a BTreeMap<String, String>, catalogue: &Catalogue) -> Option<&'a str> {
    let name = annotations.get(NAME)?.trim();
    catalogue.dynamic_prefixes.contains_key(name).then_some(name)
}

/// The names in a comma-separated value; `None` when there are none.
fn list(annotations: &BTreeMap<String, String>, key: &str) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in annotations.get(key)?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !names.iter().any(|listed| listed == name) {
            names.push(name.to_owned());
        }
    }
    (!names.is_empty()).then_some(names)
}
