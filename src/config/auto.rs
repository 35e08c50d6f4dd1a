//! `acquisition.auto`: what is written of it, and what has come of it.

use crate::source::{SourceId, SourceKind};

/// `acquisition.auto`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auto {
    /// `interface`; `None`: it is looked for.
    pub interface: Option<String>,
    /// What was chosen; not in the file.
    pub chosen: Option<Chosen>,
    /// Why nothing is chosen yet; not in the file.
    pub waits: Option<String>,
}

/// What `acquisition.auto` has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// `dhcpv6`, `observe` or `routerAdvertisement`.
    pub kind: SourceKind,
    /// The interface.
    pub interface: String,
    /// Why.
    pub reason: String,
}

impl Chosen {
    /// The source.
    pub fn id(&self) -> SourceId {
        SourceId::on(self.kind, &self.interface)
    }
}
