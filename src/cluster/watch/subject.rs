//! What there can be a watch of.

use crate::config::{Kind, ObjectRef};

/// What a watch is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Every object of a kind.
    Kind {
        /// The kind.
        kind: Kind,
        /// Its API version.
        version: String,
    },
    /// One object, where the kind as a whole is forbidden.
    Named {
        /// The object.
        object: ObjectRef,
        /// Its API version.
        version: String,
    },
    /// The CustomResourceDefinition of a kind: of one that is not served (yet), or for what it tells of a version.
    Definition(Kind),
    /// The CustomResourceDefinition of our own kind, while it is missing.
    OwnDefinition,
}

impl Subject {
    /// Whether it is about a CustomResourceDefinition.
    pub(super) const fn is_definition(&self) -> bool {
        matches!(self, Self::Definition(_) | Self::OwnDefinition)
    }
}
