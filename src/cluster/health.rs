//! How the connection to a cluster is, in words for the user.

use super::failure::Failure;
use super::island::Island;
use super::kubeconfig::{self, Fault};
use super::object::qualified;
use super::schema;
use super::session::{Refusal, Session};
use super::watch::{Subject, path};
use super::{ConnectionState, Health};
use crate::config::{Cluster, Discovery, Kind};
use crate::time::Instant;

/// The state of the connection.
pub(super) enum Link {
    /// Nothing has answered yet.
    Connecting,
    /// There is a session; `kept`: although the kubeconfig has changed and cannot be used as it is now.
    Up { kept: Option<Refusal> },
    /// There is none, why, and when another attempt is made.
    Down(Refusal, Instant),
}

type Reason = (String, String);

/// The health to report.
pub(super) fn of(link: &Link, session: Option<&Session>, cluster: &Cluster, island: &Island) -> Health {
    let (state, mut reason, retry_at) = match link {
        Link::Connecting => (ConnectionState::Connecting, None, None),
        Link::Up { .. } => (ConnectionState::Connected, None, None),
        Link::Down(refusal, retry_at) => {
            let (state, reason) = of_refusal(refusal, &cluster.name);
            (state, Some(reason), Some(*retry_at))
        }
    };
    let mut notes = Vec::new();
    if let Link::Up { kept: Some(refusal) } = link {
        let (_, (_, message)) = of_refusal(refusal, &cluster.name);
        notes.push(format!(
            "The kubeconfig has changed, but a client made of it fails: {message} The former one stays in use."
        ));
    }
    let forbidden = session.map(|session| forbidden(session, island, cluster.discovery)).unwrap_or_default();
    if cluster.discovery == Discovery::Required
        && let Some(first) = forbidden.kinds.first()
    {
        reason = Some(("DiscoveryForbidden".to_owned(), first.clone()));
    }
    notes.extend(forbidden.kinds.into_iter().chain(forbidden.objects));
    let server_version = session.map(|session| session.server.version.clone()).filter(|version| !version.is_empty());
    let validity = session.and_then(|session| session.validity);
    Health { state, reason, server_version, retry_at, notes, validity }
}

fn of_refusal(refusal: &Refusal, cluster: &str) -> (ConnectionState, Reason) {
    let (url, failure) = match refusal {
        Refusal::Misconfigured(unusable) => {
            let remedy = match unusable.fault {
                Fault::Missing => format!(
                    " `{}` makes an account in the cluster and writes that file; FILE is the kubeconfig of an administrator.",
                    kubeconfig::join_command(cluster)
                ),
                Fault::Forbidden => " `dyn-prefix doctor`, run as root, says how the daemon may read it.".to_owned(),
                Fault::Content => String::new(),
            };
            let reason = ("KubeconfigUnusable".to_owned(), sentence(&unusable.text) + &remedy);
            return (ConnectionState::Misconfigured, reason);
        }
        Refusal::Failed { url, failure } => (url.trim_end_matches('/'), failure),
    };
    let (state, reason, what) = match failure {
        Failure::Unreachable { reason, .. } => (ConnectionState::Unreachable, *reason, "cannot be reached"),
        Failure::Unauthorized(_) => (ConnectionState::Unauthorized, "Unauthorized", "refuses us"),
        Failure::Refused { code: 403, .. } => (ConnectionState::Unauthorized, "DiscoveryForbidden", "refuses us"),
        Failure::Refused { .. } => (ConnectionState::Unreachable, "ServerError", "does not answer as it should"),
        Failure::Garbled(_) => (ConnectionState::Unreachable, "NotKubernetes", "does not answer as it should"),
    };
    (
        state,
        (reason.to_owned(), format!("The API server at {url} {what}: {}.", failure.message().trim_end_matches('.'))),
    )
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase).into_iter().flatten();
    format!("{}.", first.chain(characters).collect::<String>().trim_end_matches('.'))
}

#[derive(Default)]
struct Forbidden {
    kinds: Vec<String>,
    objects: Vec<String>,
}

fn forbidden(session: &Session, island: &Island, discovery: Discovery) -> Forbidden {
    let mut found = Forbidden::default();
    for (subject, failure) in session.refused.iter().filter(|(subject, _)| session.is_forbidden(subject)) {
        match subject {
            // Their addresses are needed for more than discovery.
            Subject::Kind { kind: Kind::Service, .. } => found.kinds.push(of_services(failure, discovery)),
            // Without discovery a watch by name is all we need.
            Subject::Kind { kind, version } if discovery != Discovery::Off => {
                found.kinds.push(of_kind(*kind, version, failure, !island.named(*kind).is_empty()));
            }
            Subject::Named { object, version } => found.objects.push(format!(
                "The account may not list and watch {object} ({}): {}.",
                path(object.kind, version, object.namespace.as_deref()),
                failure.message()
            )),
            Subject::Definition(schema::ASKED) if session.served.contains_key(&schema::ASKED) => {
                found.objects.push(of_schema(failure));
            }
            Subject::Kind { .. } | Subject::Definition(_) | Subject::OwnDefinition => {}
        }
    }
    found
}

fn of_services(failure: &Failure, discovery: Discovery) -> String {
    let without = match discovery {
        Discovery::Off => "draining ranges stay in the pools in full",
        Discovery::Default | Discovery::Required => {
            "draining ranges stay in the pools in full, and Services are not managed by their annotations"
        }
    };
    format!(
        "The account may not list and watch Services of all namespaces (/api/v1/services), so narrowing and managed \
         Services are off: {without}. It needs a ClusterRole with apiGroups: [\"\"], resources: [services], verbs: \
         [list, watch, patch]: {}.",
        failure.message()
    )
}

fn of_schema(failure: &Failure) -> String {
    format!(
        "The account may not list and watch the CRD {}, so the version of Cilium is not known, and draining ranges stay \
         in its pools in full. {}: {}.",
        qualified(schema::ASKED),
        schema::need().trim_end_matches('.'),
        failure.message(),
    )
}

fn of_kind(kind: Kind, version: &str, failure: &Failure, has_bindings: bool) -> String {
    let resource = path(kind, version, None);
    let instead = if has_bindings {
        "objects of bindings are watched by name; objects with annotations are not found"
    } else {
        "objects with annotations are not found"
    };
    format!(
        "The account may not list and watch all objects of kind {} ({resource}), so {instead}. Grant the verbs list and watch, or set discovery = false: {}.",
        kind.as_str(),
        failure.message()
    )
}
