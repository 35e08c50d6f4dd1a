//! How a record spells what `acquisition = "auto"` has come to.

use serde::{Deserialize, Serialize};

use crate::config::Chosen;
use crate::source::SourceKind;

/// What was chosen for a DynamicPrefix; or why nothing was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// The DynamicPrefix.
    pub name: String,
    /// The kind of the source, as in `status`; `None`: nothing was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its interface.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

impl Choice {
    /// Of what came of looking round.
    pub fn new(name: &str, outcome: &Result<Chosen, String>) -> Self {
        let name = name.to_owned();
        match outcome {
            Ok(Chosen { kind, interface, reason }) => {
                let (interface, reason) = (interface.clone(), reason.clone());
                Self { name, kind: Some(kind.as_str().to_owned()), interface, reason }
            }
            Err(why) => Self { name, reason: why.clone(), ..Self::default() },
        }
    }

    /// What came of looking round.
    ///
    /// # Errors
    /// When there is no such kind of source.
    pub fn outcome(&self) -> Result<Result<Chosen, String>, String> {
        let Some(kind) = &self.kind else { return Ok(Err(self.reason.clone())) };
        let kind = SourceKind::from_name(kind).ok_or_else(|| format!("there is no kind of source {kind}"))?;
        Ok(Ok(Chosen { kind, interface: self.interface.clone(), reason: self.reason.clone() }))
    }
}
