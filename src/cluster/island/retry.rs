//! When a write that failed is tried again.

use std::time::Duration;

use serde_json::Value;

use super::event::WriteError;
use crate::cluster::object;
use crate::config::{Kind, ObjectRef};
use crate::time::Instant;

/// The first wait of the exponential back-off.
const FIRST: Duration = Duration::from_secs(1);
/// Its longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// The wait after a refusal that only a person can lift.
const SLOW: Duration = Duration::from_secs(300);
/// The longest `Retry-After` that is believed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);
/// The wait for a quiet moment after a second conflict in a row; it doubles with each.
const BREATH: Duration = Duration::from_millis(25);
/// Its longest: an object that somebody writes all the time has its quiet moments, too, if they are short.
const LONGEST_BREATH: Duration = Duration::from_millis(100);
/// So many conflicts in a row are worth a warning: of about two seconds.
const NOTABLE_CONFLICTS: u32 = 20;

/// A write that failed, and what it waits for.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The `reason` in status.
    pub(super) reason: &'static str,
    /// The `message` in status.
    pub(super) message: String,
    /// When it is tried again at the latest.
    pub(super) retry_at: Instant,
    /// What ends the wait early.
    pub(super) until: Until,
    /// It does not end earlier than this.
    not_before: Instant,
    /// Failures in a row.
    attempts: u32,
}

/// What ends the wait after a failure before its time is over. A new connection ends every wait.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Until {
    /// Nothing.
    Time,
    /// A version of the object other than the one that was patched.
    NewerObject,
    /// The object appears (again).
    AnyObject,
    /// There is something else to write than this.
    OtherPatch(Value),
}

impl Failure {
    /// What follows from `error` on a patch that set `content` (the patch without its resourceVersion).
    pub(super) fn new(
        reference: &ObjectRef,
        version: &str,
        error: WriteError,
        content: Value,
        previous: Option<&Self>,
        jitter: u64,
        now: Instant,
    ) -> Self {
        let sentence = Sentence { reference, version };
        let (reason, message, until) = match error {
            WriteError::Conflict => ("Conflict", sentence.conflict(), Until::NewerObject),
            WriteError::NotFound => ("TargetMissing", sentence.not_found(), Until::AnyObject),
            WriteError::Forbidden(ref text) => ("Forbidden", sentence.forbidden(text), Until::OtherPatch(content)),
            WriteError::Invalid(ref text) => ("Invalid", sentence.invalid(text), Until::OtherPatch(content)),
            WriteError::Webhook(ref text) => ("WebhookFailed", sentence.webhook(text), Until::Time),
            WriteError::Busy { ref message, .. } => ("ServerBusy", sentence.busy(message), Until::Time),
            WriteError::Unauthorized(ref text) => ("Unauthorized", sentence.failed(text), Until::Time),
            WriteError::Unreachable(ref text) => ("Unreachable", sentence.failed(text), Until::Time),
        };
        let attempts = previous.filter(|failure| failure.reason == reason).map_or(0, |failure| failure.attempts + 1);
        let wait = match error {
            WriteError::Forbidden(_) | WriteError::Invalid(_) | WriteError::NotFound => SLOW,
            WriteError::Busy { retry_after, .. } => {
                backoff(attempts, jitter).max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
            }
            WriteError::Conflict
            | WriteError::Webhook(_)
            | WriteError::Unauthorized(_)
            | WriteError::Unreachable(_) => backoff(attempts, jitter),
        };
        let breath = if reason == "Conflict" { breath(attempts) } else { Duration::ZERO };
        Self { reason, message, retry_at: now + wait, until, not_before: now + breath, attempts }
    }

    /// When it is tried again if what ends the wait early comes now.
    pub(super) fn early(&self, now: Instant) -> Instant {
        now.max(self.not_before).min(self.retry_at)
    }

    /// The API server accepted our patch, and yet the object does not hold it.
    pub(super) fn not_kept(reference: &ObjectRef, previous: Option<&Self>, jitter: u64, now: Instant) -> Self {
        let reason = "NotKept";
        let attempts = previous.filter(|failure| failure.reason == reason).map_or(0, |failure| failure.attempts + 1);
        let message = format!(
            "The API server accepted the patch of {reference}, but its answer does not hold what was written. Look for a \
             mutating admission webhook that changes this object."
        );
        let retry_at = now + backoff(attempts, jitter);
        Self { reason, message, retry_at, until: Until::Time, not_before: now, attempts }
    }

    /// Whether it concerns the path to the API server rather than this object.
    pub(super) fn is_of_connection(&self) -> bool {
        matches!(self.reason, "Unauthorized" | "Unreachable")
    }

    /// Whether the API server, or a webhook, did not like the content.
    pub(super) fn is_refusal(&self) -> bool {
        self.reason == "Invalid"
    }

    /// Whether only a person can lift it.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.reason, "Forbidden" | "Invalid")
    }

    /// Whether it is worth a warning. A conflict is the normal way to learn of a newer version.
    pub(super) fn is_notable(&self) -> bool {
        !self.is_of_connection() && (self.reason != "Conflict" || self.attempts >= NOTABLE_CONFLICTS)
    }
}

/// Exponential, with up to half as much again so that a thousand objects do not come back at once.
fn backoff(attempts: u32, jitter: u64) -> Duration {
    let base = FIRST.saturating_mul(1 << attempts.min(16)).min(LONGEST);
    let spread = u64::try_from(base.as_millis() / 2).unwrap_or(u64::MAX).max(1);
    (base + Duration::from_millis(jitter % spread)).min(LONGEST)
}

/// After conflicts, although the newer version is known. LB-IPAM writes the status of a pool once for each Service that
/// moves: whoever tries again at once, again and again, mostly adds to the load.
fn breath(attempts: u32) -> Duration {
    let doubled = attempts.checked_sub(1).map(|times| BREATH.saturating_mul(1 << times.min(16)));
    doubled.unwrap_or_default().min(LONGEST_BREATH)
}

/// Messages for the person who must act.
struct Sentence<'a> {
    reference: &'a ObjectRef,
    version: &'a str,
}

impl Sentence<'_> {
    fn conflict(&self) -> String {
        format!("{} was changed by somebody else at the same moment; waiting for its new version.", self.reference)
    }

    fn not_found(&self) -> String {
        format!("{} does not exist any more; it is written as soon as it appears again.", self.reference)
    }

    fn forbidden(&self, text: &str) -> String {
        format!(
            "The account of the kubeconfig may not patch {} \"{}\"{} ({}): {text}. {}",
            object::qualified(self.reference.kind),
            self.reference.name,
            in_namespace(self.reference),
            self.version,
            need(self.reference),
        )
    }

    fn invalid(&self, text: &str) -> String {
        format!(
            "The API server refuses the new content of {}: {text}. It is tried again when the prefix, the binding or the \
             object changes.",
            self.reference
        )
    }

    fn webhook(&self, text: &str) -> String {
        format!(
            "The API server could not call the admission webhook for {}: {text}. Check the pods of the controller that \
             serves it.",
            self.reference
        )
    }

    fn busy(&self, text: &str) -> String {
        format!("The API server did not accept the patch of {} for now: {text}", self.reference)
    }

    fn failed(&self, text: &str) -> String {
        format!("The patch of {} did not get through: {text}", self.reference)
    }
}

/// The right that writing `reference` takes.
pub(super) fn need(reference: &ObjectRef) -> String {
    let (group, _, plural) = object::resource(reference.kind, "");
    let group = if group.is_empty() { "\"\"" } else { group };
    // Services are all looked at, whichever we write; of pools, only those in one namespace need be.
    let (role, place) = match reference.kind {
        Kind::IPAddressPool => ("Role", in_namespace(reference)),
        Kind::CiliumLoadBalancerIPPool | Kind::CiliumCIDRGroup | Kind::Service => ("ClusterRole", String::new()),
    };
    format!("It needs a {role} with apiGroups: [{group}], resources: [{plural}], verbs: [list, watch, patch]{place}.")
}

fn in_namespace(reference: &ObjectRef) -> String {
    reference.namespace.as_ref().map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default()
}
