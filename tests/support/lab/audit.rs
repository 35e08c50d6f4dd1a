//! What the API server's audit log says about who asked what.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// One request, as it was when its answer was complete (a watch: when it began).
#[derive(Clone, Debug)]
pub(crate) struct AuditEvent {
    /// The user name.
    pub(crate) user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub(crate) verb: String,
    /// Path and query.
    pub(crate) uri: String,
    /// The HTTP status.
    pub(crate) code: u64,
    /// When it was received, RFC 3339 with microseconds.
    pub(crate) received: String,
    /// When this stage was reached.
    pub(crate) answered: String,
    /// The whole event: `requestObject` and `responseObject` are in it at [`AuditLevel::Bodies`](super::AuditLevel).
    pub(crate) raw: Value,
}

impl AuditEvent {
    /// Whether it changes something that is stored; a review (who am I, may I) is created, but not stored.
    pub(crate) fn is_write(&self) -> bool {
        let group = self.raw.pointer("/objectRef/apiGroup").and_then(Value::as_str).unwrap_or_default();
        let review = ["authentication.k8s.io", "authorization.k8s.io"].contains(&group);
        !review && ["create", "update", "patch", "delete", "deletecollection"].contains(&self.verb.as_str())
    }

    /// Whether it is a Kubernetes event: told of a write, after it.
    pub(crate) fn is_notice(&self) -> bool {
        self.raw.pointer("/objectRef/resource").is_some_and(|resource| resource == "events")
    }

    fn parse(line: &str) -> Result<Option<Self>> {
        let raw: Value = serde_json::from_str(line).with_context(|| format!("audit line {line:?}"))?;
        let text = |pointer: &str| raw.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let verb = text("/verb");
        let wanted = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
        if text("/stage") != wanted {
            return Ok(None);
        }
        let code = raw.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default();
        Ok(Some(Self {
            user: text("/user/username"),
            uri: text("/requestURI"),
            received: text("/requestReceivedTimestamp"),
            answered: text("/stageTimestamp"),
            verb,
            code,
            raw,
        }))
    }
}

/// Reads an audit log; a last line still being written is left out.
pub(crate) fn read(path: &Path) -> Result<Vec<AuditEvent>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(|line| AuditEvent::parse(line).transpose()).collect()
}
