//! The one status value: what `status`, `plan`, the journal's status block and the supervisor's status line render.
//!
//! Its JSON shape is a promise: fields are only ever added. All times are wall-clock times (RFC 3339, UTC).
//!
//! | field | values |
//! |---|---|
//! | `sources[].kind`, `prefixSource` | `dhcpv6-pd`, `observed`, `router-advertisement`, `interface`, `http`, `static` |
//! | `sources[].state` | `interface-absent`, `link-down`, `no-link-local`, `awaiting-router`, `awaiting-address`, `no-address`, `asking`, `soliciting`, `silent`, `receiving`, `requesting`, `bound`, `renewing`, `rebinding`, `releasing`, `released`, `configured`, `failed`; what each means: [`crate::source::SourceState`] |
//! | `sources[].url` | of a source of kind `http`, without the query; of several that look alike all but the first have a number |
//! | `sources[].nextWake.reason` | a message is sent: `solicit`, `request`, `confirm`, `renew`, `rebind`, `inform`, `release`; `ask`: a service is asked, and by `confirm` once more, because it answered something else; `believe-removal`: an address is gone for long enough to count; `retry`: what is missing is asked for again; `stop-waiting`: sources of lower rank are listened to; `expire`: a lifetime ends; `forget`: what has ended is shown no longer; `open-port`: UDP port 546 is tried again; of a client that is observed, `given-back`: what it gave back counts as lost, `evidence`: a route that went away does, or what was told of a prefix ends, `on-link`: a prefix of the link itself is shown no longer |
//! | `history[].state` | `draining`, `expired` |
//! | `history[].reason` | `Replaced`, `DrainPeriodOver`, `TooMany`, `Dead`, `Released` |
//! | `history[].dead` | `true`: it has left the targets and its addresses reach nobody any more, which may have come after its drain had ended for the reason; absent otherwise |
//! | `conditions[].type` | `PrefixAcquired`; `SourcesConsistent` where a delegation is held and routers are heard |
//! | `conditions[].reason` of PrefixAcquired | `Acquired`; `WaitingForPrefix`, `Released`, `Withdrawn`: there is none; `Deprecated`, `Unlisted`, `Dead`, `Refused`: it is kept although it is lost |
//! | `conditions[].reason` of SourcesConsistent | `Consistent`, `RouterAdvertisementDiffers` |
//! | `clusters[].state` | `connecting`, `connected`, `unreachable`, `unauthorized`, `misconfigured` |
//! | `targets[].reason`, all is well | `Synced`; with something to know: `CoveredByUser`, `BindingWins`, `EntryWins`, `SkipNotUnderstood`, `NotNarrowed`, `DrainProlonged`; in `plan`: `Planned`, `NotKnownOffline` |
//! | … on the way | `Waiting`, `NoOpinion`, `AwaitingServices`, `Pending`, `Releasing`, `DryRun`; a Service in mode ha: `AwaitingFirstAddress`, `AwaitingPool`, `AwaitingAddress`, `AwaitingTarget`, `AwaitingNarrowing`, `StepsAside` |
//! | … what is asked for cannot be | `EntryError`, `PoolNeedsRange`, `ReplaceBesideAppend`, `Overlap`, `CannotEmpty`, `RecordTooLong`; a Service: `InvalidSuffix`, `AddressCollision`, `PinnedByUser`, `LoadBalancerIP`, `NoIPv6`, `NotLoadBalancer`, `NodeAddresses`, `AllocatorUnknown`, `ListTooLong` |
//! | … the cluster is not so | `TargetMissing`, `KindNotInstalled`, `PoolConflict`, `AddressRefused`, `WatchFailed` |
//! | … it may not or cannot be written | `Forbidden`, `OtherWriter`, `SameCluster`, `Contested`, `Invalid`, `NotKept`, `WebhookFailed`, `Conflict`, `ServerBusy`, `Unauthorized`, `Unreachable` |
//! | … a person has withdrawn it | `Paused` |
//! | `hooks[].lastEvent` | `start`, `acquired`, `lost`, `regained`, `withdrawn`, `drain-ended`, `changed`: [`crate::host::Event`] |
//! | `hooks[].reason`, `files[].reason` | `Synced`; on the way: `NoOpinion`, `Pending`, `Running`, `Reloading`; it is tried again: `NotStarted`, `Failed`, `TimedOut`, `NotWritten`; the template cannot be filled in: `NotRendered`; in `plan`: `Planned` |

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

mod health;
mod host;
mod lease;

pub(crate) use health::{Summary, failing, in_use, summary, trouble};
pub use host::{FileStatus, HookStatus};
pub use lease::{AddressStatus, DelegationStatus, Lease, LeasedPrefixStatus};

/// The version of the JSON shape; changes only when a field would have to change its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything there is to know about a running daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`SCHEMA_VERSION`]
    pub schema_version: u32,
    /// The program itself.
    pub daemon: DaemonStatus,
    /// Every source, by rank and interface.
    pub sources: Vec<SourceStatus>,
    /// Every DynamicPrefix, in file order.
    pub dynamic_prefixes: Vec<DynamicPrefixStatus>,
    /// Every cluster, in file order.
    pub clusters: Vec<ClusterStatus>,
    /// Every object that is a target, by cluster and object.
    pub targets: Vec<TargetStatus>,
    /// Every hook, in file order, for each of its DynamicPrefixes; absent when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookStatus>,
    /// Every file that is written, in file order; absent when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileStatus>,
}

/// The program itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DaemonStatus {
    /// Its version.
    pub version: String,
    /// Who it is in `dynamic-prefix.io/managed-by`.
    pub id: String,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When the configuration in use was read.
    pub config_applied_at: Option<Timestamp>,
    /// Why the last reload was refused, a finding each; empty when it was not.
    pub reload_errors: Vec<String>,
    /// Why `daemon.listen` is not listened on, although it is configured; it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_error: Option<String>,
    /// What of ours is left in clusters that are not in the configuration any more, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leftovers: Vec<String>,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Its kind.
    pub kind: String,
    /// The interface it listens on.
    pub interface: Option<String>,
    /// What it asks, without the query, which may have a secret in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What it is doing.
    pub state: String,
    /// Why, when it cannot do its work; a sentence.
    pub reason: Option<String>,
    /// The lease of a DHCPv6 client.
    pub lease: Option<Lease>,
    /// When it acts next by itself.
    pub next_wake: Option<NextWake>,
    /// What the user should know although it is no failure.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// When and why something acts next by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextWake {
    /// When.
    pub at: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// One DynamicPrefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DynamicPrefixStatus {
    /// Its name.
    pub name: String,
    /// The prefix in use.
    pub current_prefix: Option<String>,
    /// The kind of source that gave it.
    pub prefix_source: Option<String>,
    /// Counts the prefixes that were ever current.
    pub generation: Option<u64>,
    /// The end of the preferred lifetime; null when it does not end.
    pub preferred_until: Option<Timestamp>,
    /// The end of the valid lifetime; null when it does not end.
    pub valid_until: Option<Timestamp>,
    /// The same as `validUntil`, under the name it has in the DynamicPrefix status.
    pub lease_expires_at: Option<Timestamp>,
    /// Every address range of the prefix in use.
    pub address_ranges: Vec<RangeStatus>,
    /// Every subnet of the prefix in use.
    pub subnets: Vec<SubnetStatus>,
    /// The former prefixes, newest first.
    pub history: Vec<HistoryStatus>,
    /// What holds and what does not, in the manner of Kubernetes.
    pub conditions: Vec<Condition>,
    /// Ranges and subnets that cannot be computed for the prefix in use.
    pub errors: Vec<EntryStatus>,
}

/// An address range of the prefix in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeStatus {
    /// Its name.
    pub name: String,
    /// Its first address.
    pub start: String,
    /// Its last address.
    pub end: String,
    /// The CIDRs that hold exactly its addresses, without excluded parts.
    pub cidrs: Vec<String>,
}

/// A subnet of the prefix in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetStatus {
    /// Its name.
    pub name: String,
    /// The subnet; the first of them where `index` is a list.
    pub cidr: String,
    /// All of them, without excluded parts.
    pub cidrs: Vec<String>,
}

/// A former prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryStatus {
    /// The prefix.
    pub prefix: String,
    /// When it became current.
    pub acquired_at: Option<Timestamp>,
    /// When it ceased to be.
    pub deprecated_at: Option<Timestamp>,
    /// The end of its valid lifetime; null when it does not end.
    pub valid_until: Option<Timestamp>,
    /// When it leaves the targets by time; null without such a limit.
    pub drain_ends_at: Option<Timestamp>,
    /// `draining` or `expired`.
    pub state: String,
    /// Why it was replaced, or why its drain ended.
    pub reason: String,
    /// Whether it has left the targets and its addresses reach nobody any more: its valid lifetime is over, or it was
    /// withdrawn or given back, be it after its drain had ended for another reason.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dead: bool,
}

/// A condition, in the manner of Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// A CamelCase word.
    pub reason: String,
    /// A full sentence.
    pub message: String,
    /// Since when the status is what it is.
    pub last_transition_time: Option<Timestamp>,
}

/// A range or subnet that cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryStatus {
    /// `addressRanges[NAME]` or `subnets[NAME]`.
    pub entry: String,
    /// Why.
    pub message: String,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// How the connection is.
    pub state: String,
    /// Why it is not connected, or what is odd about it: a CamelCase word.
    pub reason: Option<String>,
    /// The same as a full sentence, with what to do.
    #[serde(default)]
    pub message: Option<String>,
    /// The version of its API server.
    pub server_version: Option<String>,
    /// When the next attempt is made, while it is not connected.
    pub retry_at: Option<Timestamp>,
    /// What the user should know although it is no failure.
    #[serde(default)]
    pub notes: Vec<String>,
    /// When the credentials in use end: the client certificate, or the token; null when that cannot be known.
    #[serde(default)]
    pub credential_expires_at: Option<Timestamp>,
}

/// One object that is a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The cluster it is in.
    pub cluster: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace, if the kind has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its uid, once it was seen.
    pub uid: Option<String>,
    /// The bindings for it.
    pub bindings: Vec<String>,
    /// The CIDRs of the prefix in use that belong on it.
    pub bound_prefixes: Vec<String>,
    /// Our entries, as they are written on the object.
    pub desired: Vec<String>,
    /// The user's entries.
    pub foreign: Vec<String>,
    /// Whether the API server has accepted what is wanted.
    pub synced: bool,
    /// Whether the controller has seen it; null where that cannot be known.
    pub observed: Option<bool>,
    /// When it was last written.
    pub last_sync_time: Option<Timestamp>,
    /// When the next attempt is made, after a failure.
    pub retry_at: Option<Timestamp>,
    /// `Synced`, or why not.
    pub reason: String,
    /// A full sentence, when there is more to say.
    pub message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the design, word for word.
    pub(super) const EXAMPLE: &str = r#"{"schemaVersion": 1,
 "daemon": {"version": "0.1.0", "id": "x", "startedAt": "2026-01-04T08:00:00Z", "configAppliedAt": "2026-01-04T08:00:00Z", "reloadErrors": []},
 "sources": [{"kind": "dhcpv6-pd", "interface": "enp1s0.222", "state": "bound", "reason": null, "lease": {}, "nextWake": {"at": "2026-01-04T09:00:00Z", "reason": "renew"}}],
 "dynamicPrefixes": [{"name": "home-ipv6", "currentPrefix": "2001:db8:1234::/60", "prefixSource": "dhcpv6-pd", "generation": 7,
  "preferredUntil": "2026-01-04T09:30:00Z", "validUntil": "2026-01-04T10:00:00Z", "leaseExpiresAt": "2026-01-04T10:00:00Z",
  "addressRanges": [{"name": "loadbalancers", "start": "2001:db8:1234:0:f000::", "end": "2001:db8:1234:0:f000::ffff", "cidrs": ["2001:db8:1234:0:f000::/112"]}],
  "subnets": [{"name": "services", "cidr": "2001:db8:1234::1:0/112", "cidrs": ["2001:db8:1234::1:0/112"]}],
  "history": [{"prefix": "2001:db8:5678::/60", "acquiredAt": "2026-01-03T10:00:00Z", "deprecatedAt": "2026-01-04T07:00:00Z", "validUntil": "2026-01-04T10:00:00Z", "drainEndsAt": "2026-01-04T08:00:00Z", "state": "draining", "reason": "Replaced"}],
  "conditions": [{"type": "PrefixAcquired", "status": "True", "reason": "x", "message": "x", "lastTransitionTime": "2026-01-04T07:00:00Z"}],
  "errors": [{"entry": "subnets[services]", "message": "x"}]}],
 "clusters": [{"name": "home", "state": "connected", "reason": null, "serverVersion": "v1.36.3", "retryAt": null}],
 "targets": [{"cluster": "home", "kind": "CiliumLoadBalancerIPPool", "namespace": null, "name": "ipv6-pool", "uid": "x",
  "bindings": ["cilium-lb-pool"], "boundPrefixes": ["2001:db8:1234:0:f000::/112"], "desired": ["x"], "foreign": ["x"],
  "synced": true, "observed": true, "lastSyncTime": "2026-01-04T08:00:00Z", "retryAt": null, "reason": "Synced", "message": null}]}"#;

    /// Fields that were added to the shape since; they may be absent from the example, and nothing else may differ.
    const ADDED: [(&str, &str); 4] =
        [("clusters", "message"), ("clusters", "notes"), ("clusters", "credentialExpiresAt"), ("sources", "notes")];

    /// The fields of `lease`, which the example leaves open.
    const LEASE: [&str; 4] = ["server", "client", "delegations", "address"];

    #[test]
    fn the_shape_is_the_designs() {
        let example: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
        let status: Status = serde_json::from_value(example.clone()).unwrap();
        let mut written = serde_json::to_value(&status).unwrap();
        for (list, field) in ADDED {
            for item in written[list].as_array_mut().unwrap() {
                item.as_object_mut().unwrap().remove(field);
            }
        }
        for field in LEASE {
            let removed = written["sources"][0]["lease"].as_object_mut().unwrap().remove(field);
            assert!(removed.is_some(), "{field} is written, be it null");
        }
        assert_eq!(written, example);
    }

    /// The words in quotes of the lines that hold one of `marks`.
    fn words(source: &str, marks: &[&str]) -> Vec<String> {
        let lines = source.lines().filter(|line| marks.iter().any(|mark| line.contains(mark)));
        let quoted = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
        quoted.filter(|word| !word.contains(' ')).map(ToOwned::to_owned).collect()
    }

    fn documented() -> String {
        include_str!("status.rs").lines().take_while(|line| line.starts_with("//!")).collect()
    }

    #[test]
    fn every_reason_of_a_target_is_documented() {
        let sources = [
            (include_str!("cluster/island/decide.rs"), 15),
            (include_str!("cluster/island/evaluate.rs"), 2),
            (include_str!("cluster/island/narrow.rs"), 3),
            (include_str!("cluster/island/retry.rs"), 9),
            (include_str!("cluster/island/carrier.rs"), 4),
            (include_str!("cluster/island/carrier/tell.rs"), 7),
            (include_str!("cluster/service/allocator.rs"), 5),
            (include_str!("cluster/service/ask.rs"), 1),
            (include_str!("plan/object.rs"), 3),
            (include_str!("plan/overlap.rs"), 1),
            (include_str!("plan/service.rs"), 4),
            (include_str!("plan/service/collision.rs"), 1),
            (include_str!("cli/preview.rs"), 1),
            (include_str!("cli/preview/service.rs"), 3),
        ];
        let others = ["Role", "ClusterRole", "Cilium", "MetalLB", "CiliumLoadBalancerIPPool", "IPAddressPool"];
        let is_reason = |word: &&str| {
            let is_camel = word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphanumeric);
            is_camel && word.contains(char::is_lowercase) && !others.contains(word)
        };
        for (source, least) in sources {
            let source = source.split("#[cfg(test)]\nmod").next().unwrap();
            let words: Vec<&str> = source.split('"').filter(is_reason).collect();
            assert!(words.len() >= least, "{words:?}");
            for word in words {
                assert!(documented().contains(&format!("`{word}`")), "{word} is in no row of the table");
            }
        }
    }

    #[test]
    fn every_state_and_reason_is_documented() {
        let documented = documented();
        let wakes = ["(at, \"", "_until, \"", "reason(t1", "reason(exchange", "reason(self.early"];
        let sources = [
            (include_str!("source/mod.rs"), &[" => \""][..], 21),
            (include_str!("source/dhcpv6/client/mod.rs"), &wakes, 4),
            (include_str!("source/dhcpv6/client/due.rs"), &wakes, 9),
            (include_str!("source/dhcpv6/driver.rs"), &wakes, 1),
            (include_str!("source/ra/table.rs"), &wakes, 3),
            (include_str!("source/observe/observer.rs"), &["(at, \"", "GIVEN_BACK, \""][..], 5),
            (include_str!("source/interface/table.rs"), &wakes, 3),
            (include_str!("source/http/asker.rs"), &["(at, \"", "if self.doubt.is_some() { \""], 2),
            (include_str!("arbiter/mod.rs"), &["Self::"], 4),
            (include_str!("daemon/view.rs"), &["Reason::", "PreviousState::"], 7),
            (include_str!("host/facts.rs"), &["Self::"], 7),
            (include_str!("host/mod.rs"), &["&'static str = \""], 5),
            (include_str!("host/view.rs"), &["=> \"", "=> (\""], 5),
            (include_str!("host/file.rs"), &["=> (\""], 4),
        ];
        for (source, marks, least) in sources {
            let words = words(source, marks);
            assert!(words.len() >= least, "{words:?}");
            for word in &words {
                assert!(documented.contains(&format!("`{word}`")), "{word} is in no row of the table");
            }
        }
    }
}
