//! Stepping back from a fight over an object, and what to tell the user about it.

use std::time::Duration;

use crate::cluster::object::{self, MANAGED_BY, Object};
use crate::cluster::service;
use crate::cluster::transition::Allocator;
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
///
/// `external_dns`: what the annotations that external-dns reads begin with.
pub(crate) fn hint(object: &Object, version: &str, manager: Option<&str>, external_dns: &[String]) -> String {
    let argo = is_argo(object, manager);
    let flux = is_flux(object, manager);
    let pointers = pointers(object, external_dns);
    match (argo, flux) {
        (true, false) => argo_rule(object, &pointers),
        (false, true) => flux_rule(object, version, &pointers),
        _ => format!("{}; {}", argo_rule(object, &pointers), flux_rule(object, version, &pointers)),
    }
}

pub(crate) fn is_argo(object: &Object, manager: Option<&str>) -> bool {
    manager.is_some_and(|manager| manager.starts_with("argocd"))
        || object.annotations.keys().chain(object.labels.keys()).any(|key| key.starts_with("argocd.argoproj.io/"))
}

pub(crate) fn is_flux(object: &Object, manager: Option<&str>) -> bool {
    let is_flux_manager = |name: &str| matches!(name, "kustomize-controller" | "helm-controller");
    manager.is_some_and(is_flux_manager)
        || object.annotations.keys().chain(object.labels.keys()).any(|key| key.contains(".toolkit.fluxcd.io/"))
}

fn argo_rule(object: &Object, pointers: &str) -> String {
    let reference = &object.reference;
    let group = group(reference.kind);
    let namespace = reference.namespace.as_ref().map(|name| format!(", namespace: {name}")).unwrap_or_default();
    format!(
        "in Argo CD add to the Application's spec: ignoreDifferences: [{{group: {group}, kind: {}, name: {}{namespace}, \
         jsonPointers: [{pointers}]}}], and to its syncPolicy: syncOptions: [RespectIgnoreDifferences=true, ServerSideApply=true]",
        reference.kind.as_str(),
        reference.name,
    )
}

fn flux_rule(object: &Object, version: &str, pointers: &str) -> String {
    let reference = &object.reference;
    let group = group(reference.kind);
    let namespace = reference.namespace.as_ref().map(|name| format!(", namespace: {name}")).unwrap_or_default();
    let labels = &object.labels;
    let owner =
        match (labels.get("kustomize.toolkit.fluxcd.io/namespace"), labels.get("kustomize.toolkit.fluxcd.io/name")) {
            (Some(namespace), Some(name)) => format!("the Kustomization {namespace}/{name}"),
            _ => "the Kustomization".to_owned(),
        };
    format!(
        "in Flux (kustomize-controller 1.9 or later) add to the spec of {owner}: ignore: [{{paths: [{pointers}], \
         target: {{group: {group}, version: {version}, kind: {}, name: {}{namespace}}}}}]",
        reference.kind.as_str(),
        reference.name,
    )
}

/// The group of a kind, as YAML has it.
fn group(kind: Kind) -> &'static str {
    match object::resource(kind, "").0 {
        "" => "\"\"",
        group => group,
    }
}

/// JSON pointers (RFC 6901: a slash in a key is written ~1) to all that we write.
fn pointers(object: &Object, external_dns: &[String]) -> String {
    let kind = object.reference.kind;
    let annotation = |key: &str| format!("/metadata/annotations/{}", key.replace('/', "~1"));
    let mut pointers = match kind {
        Kind::Service => {
            let pins = [Allocator::Cilium, Allocator::MetalLb].map(|allocator| annotation(service::pin_key(allocator)));
            let targets = external_dns.iter().map(|prefix| annotation(&service::target_key(prefix)));
            let records = [service::MANAGED_TARGETS, service::MANAGED_SUFFIX].map(annotation);
            pins.into_iter().chain(targets).chain(records).collect()
        }
        Kind::CiliumLoadBalancerIPPool | Kind::CiliumCIDRGroup | Kind::IPAddressPool => {
            vec![format!("/spec/{}", object::list_field(kind))]
        }
    };
    pointers.extend([object::record_annotation(kind), MANAGED_BY].map(annotation));
    pointers.join(", ")
}
