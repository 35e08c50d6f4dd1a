//! Stepping back from a fight over an object, and what to tell the user about it.

use std::time::Duration;

use crate::cluster::object::{self, MANAGED_BY, Object};
use crate::cluster::service::{MANAGED_IPS, MANAGED_SUFFIX, MANAGED_TARGETS};
use crate::config::Kind;
use crate::time::Instant;

/// So many removals by one field manager …
const REMOVALS: usize = 3;
/// … within this time make a fight of it; an object left alone for as long is at peace.
const WINDOW: Duration = Duration::from_secs(600);
/// The first step back; it doubles each time.
const FIRST: Duration = Duration::from_secs(30);
/// The longest step back.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// The annotations with which we keep the books on a Service.
const RECORDS: [&str; 4] = [MANAGED_IPS, MANAGED_TARGETS, MANAGED_SUFFIX, MANAGED_BY];

/// Who removed our entries from an object, and how long we wait before we write them again.
#[derive(Clone, Debug, Default)]
pub(super) struct Contest {
    removals: Vec<(Instant, Option<String>)>,
    /// How often we have stepped back; 0: no fight.
    level: u32,
    until: Option<Instant>,
    last_write: Option<Instant>,
}

impl Contest {
    /// We wrote the object.
    pub(super) fn written(&mut self, now: Instant) {
        self.last_write = Some(now);
        self.until = None;
    }

    /// `manager` removed something of ours. Whether this begins a fight.
    pub(super) fn removed(&mut self, manager: Option<&str>, now: Instant) -> bool {
        self.settle(now);
        self.removals.retain(|(at, _)| now.saturating_since(*at) < WINDOW);
        self.removals.push((now, manager.map(str::to_owned)));
        let by_manager = self.removals.iter().filter(|(_, who)| who.as_deref() == manager).count();
        if self.level == 0 && by_manager < REMOVALS {
            return false;
        }
        let wait = FIRST.saturating_mul(1 << self.level.min(16)).min(LONGEST);
        self.level += 1;
        self.until = Some(now + wait);
        self.level == 1
    }

    /// The object is as we want it: forgets the fight once it has been left alone for long enough.
    pub(super) fn settle(&mut self, now: Instant) {
        self.until = None;
        if self.peace_at().is_some_and(|at| at <= now) {
            *self = Self::default();
        }
    }

    /// Whether there is a fight, be it that we step back or that we have written again.
    pub(super) fn is_on(&self) -> bool {
        self.level > 0
    }

    /// When we write again, while we step back.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// When the fight will be over if nothing more happens.
    pub(super) fn peace_at(&self) -> Option<Instant> {
        let written = self.last_write?;
        (self.level > 0 && self.until.is_none()).then(|| written + WINDOW)
    }

    /// The manager that removed something last.
    pub(super) fn manager(&self) -> Option<&str> {
        self.removals.last().and_then(|(_, manager)| manager.as_deref())
    }
}

/// The ignore rules for exactly this object: of the tool it comes from, or of both when its marks do not say.
pub(super) fn hint(object: &Object, lists: &[String], version: &str, manager: Option<&str>) -> String {
    let argo = is_argo(object, manager);
    let flux = is_flux(object, manager);
    match (argo, flux) {
        (true, false) => argo_rule(object, lists),
        (false, true) => flux_rule(object, lists, version),
        _ => format!("{}; {}", argo_rule(object, lists), flux_rule(object, lists, version)),
    }
}

fn is_argo(object: &Object, manager: Option<&str>) -> bool {
    manager.is_some_and(|manager| manager.starts_with("argocd"))
        || object.annotations.keys().chain(object.labels.keys()).any(|key| key.starts_with("argocd.argoproj.io/"))
}

fn is_flux(object: &Object, manager: Option<&str>) -> bool {
    let is_flux_manager = |name: &str| matches!(name, "kustomize-controller" | "helm-controller");
    manager.is_some_and(is_flux_manager)
        || object.annotations.keys().chain(object.labels.keys()).any(|key| key.contains(".toolkit.fluxcd.io/"))
}

/// The API group as it is written in YAML; that of Services is the empty one.
fn group_of(kind: Kind) -> &'static str {
    match object::resource(kind, "").0 {
        "" => "\"\"",
        group => group,
    }
}

fn argo_rule(object: &Object, lists: &[String]) -> String {
    let reference = &object.reference;
    let group = group_of(reference.kind);
    let namespace = reference.namespace.as_ref().map(|name| format!(", namespace: {name}")).unwrap_or_default();
    format!(
        "in Argo CD add to the Application's spec: ignoreDifferences: [{{group: {group}, kind: {}, name: {}{namespace}, \
         jsonPointers: [{}]}}], and to its syncPolicy: syncOptions: [RespectIgnoreDifferences=true, ServerSideApply=true]",
        reference.kind.as_str(),
        reference.name,
        pointers(object, lists),
    )
}

fn flux_rule(object: &Object, lists: &[String], version: &str) -> String {
    let reference = &object.reference;
    let group = group_of(reference.kind);
    let namespace = reference.namespace.as_ref().map(|name| format!(", namespace: {name}")).unwrap_or_default();
    let labels = &object.labels;
    let owner =
        match (labels.get("kustomize.toolkit.fluxcd.io/namespace"), labels.get("kustomize.toolkit.fluxcd.io/name")) {
            (Some(namespace), Some(name)) => format!("the Kustomization {namespace}/{name}"),
            _ => "the Kustomization".to_owned(),
        };
    format!(
        "in Flux (kustomize-controller 1.9 or later) add to the spec of {owner}: ignore: [{{paths: [{}], \
         target: {{group: {group}, version: {version}, kind: {}, name: {}{namespace}}}}}]",
        pointers(object, lists),
        reference.kind.as_str(),
        reference.name,
    )
}

/// JSON pointers (RFC 6901: a slash in a key is written ~1) to all that we write; `lists`: of a Service, the annotations
/// with our addresses.
fn pointers(object: &Object, lists: &[String]) -> String {
    let kind = object.reference.kind;
    let annotation = |key: &str| format!("/metadata/annotations/{}", key.replace('/', "~1"));
    if kind == Kind::Service {
        return lists.iter().map(String::as_str).chain(RECORDS).map(annotation).collect::<Vec<_>>().join(", ");
    }
    let list = format!("/spec/{}", object::list_field(kind));
    [list, annotation(object::record_annotation(kind)), annotation(MANAGED_BY)].join(", ")
}
