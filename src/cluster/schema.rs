//! Which Cilium is installed, as far as its CustomResourceDefinitions tell.
//!
//! The operator labels each CRD that it registers with the version of the schema. Every minor release of Cilium has a
//! minor version of the schema of its own, so the label tells one release from another; it is never lowered, not even
//! by a downgrade.

use std::fmt;

use super::object::qualified;
use crate::config::Kind;

/// The label of the CRDs.
pub const LABEL: &str = "io.cilium.k8s.crd.schema.version";

/// The schema of Cilium 1.20.0. All of 1.19 has 1.32, all of 1.20 has 1.33 (Cilium's compatibility table). From 1.20.0
/// on, LB-IPAM lets a Service keep its address when the range around it shrinks; before, another one could get it.
const NARROWING: SchemaVersion = SchemaVersion { major: 1, minor: 33, patch: 11 };

/// The kind whose definition is asked.
pub const ASKED: Kind = Kind::CiliumLoadBalancerIPPool;

/// The version of the schema of Cilium's CRDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl SchemaVersion {
    /// Reads the value of the label.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim().split('.').map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        let version = Self { major: next()?, minor: next()?, patch: next()? };
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What is known of the schema of Cilium's pools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Schema {
    /// It was not asked for yet, or is not installed.
    #[default]
    Unknown,
    /// We may not ask; what the API server said.
    Forbidden(String),
    /// It cannot be read for another reason; what the API server said.
    Unreadable(String),
    /// The definition has no label that can be read; what stands there, if anything.
    Unlabelled(Option<String>),
    /// The version.
    Version(SchemaVersion),
}

impl Schema {
    /// Reads the label's value.
    pub fn of_label(value: Option<&str>) -> Self {
        match value.map(|text| (SchemaVersion::parse(text), text)) {
            Some((Some(version), _)) => Self::Version(version),
            Some((None, text)) => Self::Unlabelled(Some(text.to_owned())),
            None => Self::Unlabelled(None),
        }
    }

    /// Why the ranges of a pool must not be narrowed to the addresses in use: a full sentence; `None`: they may.
    pub fn obstacle(&self) -> Option<String> {
        let name = qualified(ASKED);
        match self {
            Self::Version(version) if *version >= NARROWING => None,
            Self::Version(version) => Some(format!(
                "Cilium is older than 1.20 (the schema of {name} is {version}, that of 1.20.0 is {NARROWING}), and may \
                 give an address to another Service when the range around it shrinks; update Cilium."
            )),
            Self::Unknown => Some(format!("The version of Cilium is not known yet: {name} has not been read.")),
            Self::Forbidden(text) => Some(format!("The version of Cilium is not known: {text}. {}", need())),
            Self::Unreadable(text) => Some(format!(
                "The version of Cilium is not known: {name} cannot be read: {}.",
                text.trim_end_matches('.')
            )),
            Self::Unlabelled(None) => Some(format!(
                "The version of Cilium is not known: {name} has no label {LABEL}, which its operator sets when it \
                 registers the CRD."
            )),
            Self::Unlabelled(Some(text)) => Some(format!(
                "The version of Cilium is not known: the label {LABEL} of {name} is {text:?}, not a version such as \
                 {NARROWING}."
            )),
        }
    }
}

/// The right that reading it takes.
pub fn need() -> String {
    format!(
        "It needs a ClusterRole with apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], \
         resourceNames: [{}], verbs: [list, watch].",
        qualified(ASKED)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_is_a_version_of_three_numbers() {
        let version = |text| SchemaVersion::parse(text).map(|version| version.to_string());
        assert_eq!(version("1.33.12").as_deref(), Some("1.33.12"));
        for text in ["", "1.33", "1.33.12.1", "1.33.x", "totally-not-semver", "-1.2.3", "1.33.99999999999"] {
            assert_eq!(version(text), None, "{text:?}");
        }
    }

    /// Cilium 1.20.2, Documentation/network/kubernetes/compatibility-table.rst; main is what becomes 1.21.
    #[test]
    fn narrowing_is_safe_from_1_20_0_on() {
        let may = |text: &str| Schema::of_label(Some(text)).obstacle().is_none();
        for (cilium, schema) in [("1.20.0", "1.33.11"), ("1.20.2", "1.33.12"), ("main", "1.34.4"), ("2", "2.0.0")] {
            assert!(may(schema), "Cilium {cilium}");
        }
        for (cilium, schema) in [("1.13.0", "1.26.7"), ("1.18", "1.31.12"), ("1.19.0", "1.32.6"), ("1.19.7", "1.32.7")]
        {
            assert!(!may(schema), "Cilium {cilium}");
        }
        assert!(!may("1.33.10"), "1.20.0-rc.1");
        assert!(!may("1.9.100"), "numbers are not compared as text");
    }

    #[test]
    fn every_obstacle_is_a_sentence_that_names_the_definition() {
        let cases = [
            Schema::Unknown,
            Schema::Forbidden("customresourcedefinitions is forbidden".to_owned()),
            Schema::Unreadable("the server is currently unable to handle the request".to_owned()),
            Schema::of_label(None),
            Schema::of_label(Some("new")),
            Schema::of_label(Some("1.32.7")),
        ];
        for schema in cases {
            let text = schema.obstacle().expect("an obstacle");
            assert!(text.contains("ciliumloadbalancerippools.cilium.io") && text.ends_with('.'), "{text}");
        }
    }
}
