//! What concerns a cluster.

use serde_json::{Value, json};

use super::provoked;
use crate::cluster::Validity;
use crate::cluster::access::Missing;
use crate::cluster::failure::Failure;
use crate::cluster::kubeconfig::{Fault, Unusable};
use crate::cluster::object::Object;
use crate::cluster::schema::Schema;
use crate::config::{
    Binding, Cluster, Config, Discovery, EXTERNAL_DNS, Kind, Kubeconfig, ObjectRef, Part, Service, Strategy,
};
use crate::doctor::cluster::{Announcer, Connection, Facts, Seen, check};
use crate::doctor::reading::{Account, File, Step};
use crate::doctor::{Check, Finding, Level};

mod services;

pub(super) const TESTS: &[fn()] = &[
    all_is_well,
    credentials,
    credentials_that_only_root_may_read,
    the_way_to_the_server,
    version_and_clock_of_the_server,
    kinds_and_versions,
    the_kind_that_shows_the_state,
    rights,
    targets,
    who_else_writes,
    git_ops_with_the_rule_to_add,
    what_the_controller_says,
    services::who_announces_a_service,
    services::who_announces_a_pool_of_metallb,
    services::an_advertisement_chooses_pools_by_their_labels,
    services::what_could_not_be_read_is_not_missing,
    services::external_dns,
    services::what_external_dns_reads,
];

const NOW: &str = "2026-11-21T12:00:00Z";
const URL: &str = "https://api.example:6443";

fn cluster() -> Cluster {
    Cluster {
        name: "home".to_owned(),
        kubeconfig: Kubeconfig::File("/etc/k".into()),
        context: None,
        discovery: Discovery::Default,
        dry_run: false,
        external_dns: EXTERNAL_DNS.map(str::to_owned).to_vec(),
        events: true,
        publish_status: false,
    }
}

fn target(kind: Kind, name: &str) -> ObjectRef {
    let namespace = kind.is_namespaced().then(|| "metallb-system".to_owned());
    ObjectRef { kind, namespace, name: name.to_owned() }
}

fn facts(connection: Connection) -> Facts {
    let bindings = [target(Kind::CiliumLoadBalancerIPPool, "lb"), target(Kind::IPAddressPool, "public")];
    let binding = |target: ObjectRef| Binding {
        name: target.name.clone(),
        cluster: "home".to_owned(),
        dynamic_prefix: "home".to_owned(),
        part: Part::Named(vec!["lb".to_owned()]),
        target,
        strategy: Strategy::Append,
    };
    Facts {
        cluster: cluster(),
        bindings: bindings.map(binding).to_vec(),
        services: Vec::new(),
        daemon_id: "we".to_owned(),
        prefixes: vec![("home".to_owned(), "2001:db8:a::/56".parse().unwrap())],
        unknown: Vec::new(),
        drain_seconds: Some(3600),
        now: NOW.parse().unwrap(),
        account: None,
        files: Vec::new(),
        connection,
    }
}

/// A server with everything in order.
fn seen() -> Seen {
    let served = Kind::ALL.map(|kind| (kind, if kind == Kind::IPAddressPool { "v1beta1" } else { "v2" }.to_owned()));
    let pools = [
        (Kind::CiliumLoadBalancerIPPool, pool(json!({}))),
        (Kind::IPAddressPool, object(Kind::IPAddressPool, json!({"metadata": {"name": "public"}}))),
    ];
    Seen {
        version: "v1.36.3".to_owned(),
        date: Some(NOW.parse().unwrap()),
        served: served.into(),
        schema: Some(Schema::of_label(Some("1.33.12"))),
        rights: Some(Ok((20, Vec::new()))),
        objects: pools.map(|(kind, object)| (kind, Ok(vec![object]))).into(),
        announcers: [(
            Announcer::MetalLbL2,
            Ok(vec![json!({"metadata": {"name": "a", "namespace": "metallb-system"}})]),
        )]
        .into(),
        ..Seen::default()
    }
}

fn object(kind: Kind, more: Value) -> Object {
    let mut value = json!({"metadata": {"name": "lb", "uid": "u", "resourceVersion": "1", "generation": 2}});
    if kind.is_namespaced() {
        value["metadata"]["namespace"] = json!("metallb-system");
    }
    merge(&mut value, more);
    Object::from_json(kind, &value).unwrap()
}

fn pool(more: Value) -> Object {
    object(Kind::CiliumLoadBalancerIPPool, more)
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(map), true) = (&from, into.is_object()) {
        map.iter().for_each(|(key, value)| merge(&mut into[key], value.clone()));
    } else {
        *into = from;
    }
}

fn answers(seen: Seen) -> Vec<Finding> {
    made(None, &[], Ok(Box::new(seen)))
}

fn made(validity: Option<(&str, &str)>, addresses: &[&str], answer: Result<Box<Seen>, Failure>) -> Vec<Finding> {
    let validity = validity.map(|(from, until)| Validity {
        from: from.parse().ok(),
        until: until.parse().unwrap(),
        is_renewed: false,
    });
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    check(&facts(Connection::Made { url: URL.to_owned(), addresses, validity, answer }))
}

#[test]
fn all_is_well() {
    let found = made(None, &["fd00::1"], Ok(Box::new(seen())));
    assert!(found.iter().all(|finding| finding.level == Level::Ok), "{found:#?}");
    for (check, says) in [
        (Check::Credentials, "do not say that they end"),
        (Check::ApiServer, "answers"),
        (Check::ServerVersion, "v1.36.3"),
        (Check::ServerClock, "agree"),
        (Check::ServerAddress, "depends"),
        (Check::Kind, "ciliumloadbalancerippools.cilium.io is served as v2."),
        (Check::CiliumVersion, "1.20"),
        (Check::Permission, "20 were asked for"),
        (Check::Target, "CiliumLoadBalancerIPPool/lb exists"),
        (Check::Announcement, "announces IPAddressPool/metallb-system/public"),
    ] {
        provoked(&found, check, Level::Ok, says);
    }
}

#[test]
fn credentials() {
    let unusable = |text: &str, fault| check(&facts(Connection::Unusable(Unusable { text: text.to_owned(), fault })));
    let found = unusable("cannot read the kubeconfig /etc/k: no such file", Fault::Missing);
    let text = provoked(&found, Check::Credentials, Level::Error, "Cannot read the kubeconfig /etc/k: no such file.");
    assert!(text.contains("`dyn-prefix join home --admin-kubeconfig FILE`"), "{text}");
    let found = unusable("cannot read the kubeconfig /etc/k: permission denied", Fault::Forbidden);
    let text = provoked(&found, Check::Credentials, Level::Unseen, "Run this as root, or as the user of the daemon");
    assert!(text.contains("`runuser -u dyn-prefix -- dyn-prefix doctor`") && !text.contains("join"), "{text}");
    let found = made(None, &[], Err(Failure::Unauthorized("the API server does not accept them".to_owned())));
    provoked(&found, Check::Credentials, Level::Error, "The API server does not accept them. `dyn-prefix join`");
    let of = |from: &str, until: &str| made(Some((from, until)), &[], Ok(Box::new(seen())));
    provoked(&of("", "2026-11-21T11:00:00Z"), Check::Credentials, Level::Error, "have ended at 2026-11-21T11:00:00Z");
    provoked(&of(NOW, "2026-11-21T11:00:00Z"), Check::Credentials, Level::Error, "have ended");
    let found = of("2026-11-21T13:00:00Z", "2027-11-21T11:00:00Z");
    provoked(&found, Check::Credentials, Level::Error, "not valid yet");
    provoked(&of("", "2026-11-30T00:00:00Z"), Check::Credentials, Level::Warning, "end soon: at 2026-11-30T00:00:00Z");
    // `dyn-prefix join --token-duration 1h` writes such a one.
    provoked(&of(NOW, "2026-11-21T13:00:00Z"), Check::Credentials, Level::Warning, "end soon: at 2026-11-21T13:00:00Z");
    provoked(&of("", "2027-11-30T00:00:00Z"), Check::Credentials, Level::Ok, "until 2027-11-30");
}

/// Root looks, and can use what the daemon cannot.
#[test]
fn credentials_that_only_root_may_read() {
    let root = |path: &str, mode| Step { path: path.into(), mode, ..Step::default() };
    let file =
        File { path: "/etc/k".into(), steps: vec![root("/etc", 0o755), root("/etc/k", 0o600)], ..File::default() };
    let account = Account { user: "dyn-prefix".to_owned(), uid: 990, ..Account::default() };
    let of = |validity, mode| {
        let (url, answer) = (URL.to_owned(), Ok(Box::new(seen())));
        let mut facts = facts(Connection::Made { url, addresses: Vec::new(), validity, answer });
        (facts.account, facts.files) = (Some(account.clone()), vec![file.clone()]);
        facts.files[0].steps[1].mode = mode;
        check(&facts).into_iter().filter(|found| found.check == Check::Credentials).collect::<Vec<_>>()
    };
    let found = of(None, 0o600);
    provoked(&found, Check::Credentials, Level::Error, "the user dyn-prefix, cannot read /etc/k");
    assert_eq!(found.len(), 1, "nothing says that they can be used: {found:#?}");
    provoked(&of(None, 0o644), Check::Credentials, Level::Ok, "can be used");
    // What else is wrong with them is said besides.
    let ended = Validity { from: None, until: "2026-11-21T11:00:00Z".parse().unwrap(), is_renewed: false };
    assert_eq!(of(Some(ended), 0o600).len(), 2);

    let mut unusable = facts(Connection::Unusable(Unusable::new("the kubeconfig /etc/k is not valid".to_owned())));
    (unusable.account, unusable.files) = (Some(account.clone()), vec![file.clone()]);
    assert_eq!(check(&unusable).len(), 2);
}

#[test]
fn the_way_to_the_server() {
    let failed = |failure| made(None, &[], Err(failure));
    let unreachable = |reason| Failure::Unreachable { reason, message: "x".to_owned() };
    let found = failed(unreachable("ConnectionRefused"));
    provoked(&found, Check::ApiServer, Level::Error, "cannot be reached: x.");
    let text = provoked(&found, Check::ApiServer, Level::Error, "x.");
    assert!(text.contains(&format!("`curl -k {URL}/version`")), "{text}");
    provoked(&failed(unreachable("CertificateExpired")), Check::ApiServer, Level::Error, "There is no TLS");
    let refused = Failure::Refused { code: 502, message: "bad gateway".to_owned(), retry_after: None };
    provoked(&failed(refused), Check::ApiServer, Level::Error, "no API server that can be used: bad gateway.");
    let connection = Connection::Made {
        url: "http://api.example".to_owned(),
        addresses: Vec::new(),
        validity: None,
        answer: Ok(Box::new(seen())),
    };
    provoked(&check(&facts(connection)), Check::ApiServer, Level::Warning, "without TLS");

    let of = |addresses: &[&str]| made(None, addresses, Ok(Box::new(seen())));
    provoked(&of(&["2001:db8:a:1::5"]), Check::ServerAddress, Level::Error, "lies in the prefix home");
    provoked(&of(&["2001:db8:a:1::5", "192.0.2.1"]), Check::ServerAddress, Level::Warning, "2001:db8:a:1::5");

    let without = |address: &str| {
        let addresses = vec![address.parse().unwrap()];
        let answer = Ok(Box::new(seen()));
        let connection = Connection::Made { url: URL.to_owned(), addresses, validity: None, answer };
        check(&Facts { prefixes: Vec::new(), unknown: vec!["home".to_owned()], ..facts(connection) })
    };
    let text = "the address 2001:db8:a:1::5 of the API server lies in a prefix that changes could not be seen";
    provoked(&without("2001:db8:a:1::5"), Check::ServerAddress, Level::Unseen, text);
    for stays in ["192.0.2.1", "fd00::1", "fe80::1", "::1", "::ffff:192.0.2.1"] {
        provoked(&without(stays), Check::ServerAddress, Level::Ok, "depends");
    }
}

#[test]
fn version_and_clock_of_the_server() {
    let of = |version: &str| answers(Seen { version: version.to_owned(), ..seen() });
    provoked(&of(""), Check::ServerVersion, Level::Note, "keeps its version to itself");
    provoked(&of("v1.20.2+k3s1"), Check::ServerVersion, Level::Note, "v1.20.2+k3s1, older than");
    provoked(&of("v0.0.0-master+$Format:%H$"), Check::ServerVersion, Level::Ok, "v0.0.0-master");
    let at = |date: &str| answers(Seen { date: Some(date.parse().unwrap()), ..seen() });
    let text = "60 s ahead of";
    provoked(&at("2026-11-21T11:59:00Z"), Check::ServerClock, Level::Warning, text);
    provoked(&at("2026-11-21T12:10:00Z"), Check::ServerClock, Level::Error, "600 s behind");
    provoked(&at("2026-11-21T12:00:29Z"), Check::ServerClock, Level::Ok, "agree");
}

#[test]
fn the_kind_that_shows_the_state() {
    let of = |mirrors| answers(Seen { mirrors, ..seen() });
    let found = of(Some(Ok(false)));
    let says = "the cluster does not serve dynamicprefixes.dyn-prefix.io";
    let text = provoked(&found, Check::Kind, Level::Warning, says);
    assert!(text.contains("`kubectl apply -f packaging/kubernetes/dynamicprefixes.yaml`"), "{text}");
    provoked(&of(Some(Ok(true))), Check::Kind, Level::Ok, "dynamicprefixes.dyn-prefix.io is served, for publishStatus");
    provoked(
        &of(Some(Err("no.".to_owned()))),
        Check::Kind,
        Level::Unseen,
        "could not be seen: no. Look at `kubectl get crd",
    );
    assert!(of(None).iter().all(|found| !found.subject.contains("dyn-prefix.io")));
}

#[test]
fn kinds_and_versions() {
    let mut old = seen();
    old.served.insert(Kind::CiliumLoadBalancerIPPool, "v2alpha1".to_owned());
    provoked(&answers(old), Check::Kind, Level::Note, "only as v2alpha1");
    let mut none = seen();
    none.served.retain(|kind, _| *kind == Kind::Service);
    let found = answers(none.clone());
    provoked(&found, Check::Kind, Level::Error, "A binding needs the kind IPAddressPool");
    provoked(&found, Check::Kind, Level::Error, "Install Cilium");
    let facts = Facts {
        bindings: Vec::new(),
        ..facts(Connection::Made { url: URL.to_owned(), addresses: vec![], validity: None, answer: Ok(Box::new(none)) })
    };
    provoked(&check(&facts), Check::Kind, Level::Warning, "Neither Cilium nor MetalLB");

    let found = answers(Seen { schema: Some(Schema::of_label(Some("1.32.0"))), ..seen() });
    provoked(&found, Check::CiliumVersion, Level::Warning, "older than 1.20");
    let mut by_name = facts;
    by_name.cluster.discovery = Discovery::Off;
    let schema = Some(Schema::Forbidden("no".to_owned()));
    if let Connection::Made { answer, .. } = &mut by_name.connection {
        *answer = Ok(Box::new(Seen { schema, ..seen() }));
    }
    provoked(&check(&by_name), Check::CiliumVersion, Level::Note, "The version of Cilium is not known: no.");
}

#[test]
fn rights() {
    let needs = crate::rbac::needs(&Config::default(), &cluster());
    let missing = |resource: &str, verb: &'static str| {
        let need = needs.iter().find(|need| need.resource == resource).unwrap().clone();
        Missing { need, verb, name: None, reason: None }
    };
    let lacks = |missing: Vec<Missing>, seen: Seen| answers(Seen { rights: Some(Ok((20, missing))), ..seen });
    let found = lacks(vec![missing("ciliumloadbalancerippools", "patch")], seen());
    let text =
        "may not patch ciliumloadbalancerippools.cilium.io of any name in the whole cluster. Without that: They do";
    provoked(&found, Check::Permission, Level::Error, text);
    let all = ["list", "watch", "patch"].map(|verb| missing("ciliumcidrgroups", verb)).to_vec();
    let found = lacks(all, seen());
    let text = "The account may not list, watch and patch ciliumcidrgroups.cilium.io of any name in the whole cluster.";
    provoked(&found, Check::Permission, Level::Warning, text);
    assert_eq!(found.iter().filter(|finding| finding.check == Check::Permission).count(), 1, "{found:#?}");
    let mut without = seen();
    without.served.remove(&Kind::CiliumCIDRGroup);
    let found = lacks(vec![missing("ciliumcidrgroups", "patch")], without);
    provoked(&found, Check::Permission, Level::Note, "ciliumcidrgroups");
    let found = answers(Seen { rights: Some(Err("x".to_owned())), ..seen() });
    provoked(&found, Check::Permission, Level::Unseen, "could not be asked for: x.");

    let mut required = facts(Connection::Unusable(Unusable::new(String::new())));
    required.cluster.discovery = Discovery::Required;
    let rights = Some(Ok((20, vec![missing("ipaddresspools", "patch")])));
    let answer = Ok(Box::new(Seen { rights, ..seen() }));
    required.connection = Connection::Made { url: URL.to_owned(), addresses: vec![], validity: None, answer };
    provoked(&check(&required), Check::Permission, Level::Error, "`dyn-prefix rbac` prints a role");
}

fn with_pool(more: Value) -> Vec<Finding> {
    let mut seen = seen();
    seen.objects.insert(Kind::CiliumLoadBalancerIPPool, Ok(vec![pool(more)]));
    answers(seen)
}

#[test]
fn targets() {
    let found = with_pool(json!({"metadata": {"name": "lbs"}}));
    let text = "CiliumLoadBalancerIPPool/lb does not exist; of its kind: CiliumLoadBalancerIPPool/lbs.";
    provoked(&found, Check::Target, Level::Error, text);
    let mut hidden = seen();
    hidden.objects.insert(Kind::IPAddressPool, Err("forbidden".to_owned()));
    provoked(&answers(hidden), Check::Target, Level::Unseen, "could not be seen: forbidden.");
    let entry = Service {
        cluster: "home".to_owned(),
        target: ObjectRef { namespace: Some("web".to_owned()), ..target(Kind::Service, "front") },
        dynamic_prefix: "home".to_owned(),
        part: Part::Named(vec!["lb".to_owned()]),
        suffix: None,
    };
    let mut seen = seen();
    seen.objects.insert(Kind::Service, Ok(Vec::new()));
    let answer = Ok(Box::new(seen));
    let connection = Connection::Made { url: URL.to_owned(), addresses: Vec::new(), validity: None, answer };
    let found = check(&Facts { services: vec![entry], ..facts(connection) });
    let text = "Service/web/front does not exist, or is not of type LoadBalancer; of that type: none.";
    provoked(&found, Check::Target, Level::Error, text);
}

#[test]
fn who_else_writes() {
    let managed = |by: &str| json!({"metadata": {"annotations": {"dynamic-prefix.io/managed-by": by}}});
    let found = with_pool(managed("they"));
    provoked(&found, Check::OtherWriter, Level::Error, "managed by the daemon \"they\", and we are \"we\"");
    let mut ours = managed("we");
    ours["metadata"]["managedFields"] = json!([{
        "manager": "their-operator", "operation": "Update", "time": "2026-11-21T11:00:00Z",
        "fieldsV1": {"f:spec": {"f:blocks": {}}},
    }]);
    provoked(&with_pool(ours), Check::OtherWriter, Level::Warning, "last written by \"their-operator\"");
    let found = with_pool(managed("we"));
    assert!(!found.iter().any(|finding| finding.check == Check::OtherWriter), "{found:#?}");
    for group in ["network.reith.cloud", "dynamic-prefix.io", "apps.fuwafuwatime.moe"] {
        let found = answers(Seen { groups: Ok([group.to_owned()].into()), ..seen() });
        provoked(&found, Check::OtherWriter, Level::Warning, &format!("({group}) are installed"));
    }
    let found = answers(Seen { groups: Ok(["dyn-prefix.io".to_owned()].into()), ..seen() });
    assert!(!found.iter().any(|finding| finding.check == Check::OtherWriter), "our own group: {found:#?}");
    let found = answers(Seen { groups: Err("forbidden".to_owned()), ..seen() });
    provoked(&found, Check::OtherWriter, Level::Unseen, "is installed could not be seen: forbidden.");
}

#[test]
fn git_ops_with_the_rule_to_add() {
    let argo = json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}});
    let text = provoked(&with_pool(argo.clone()), Check::GitOps, Level::Note, "comes from Argo CD");
    assert!(text.contains("ignoreDifferences: [{group: cilium.io, kind: CiliumLoadBalancerIPPool, name: lb"), "{text}");
    let flux = json!({"metadata": {"labels": {
        "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
    }}});
    let mut both = flux.clone();
    merge(&mut both, argo);
    provoked(&with_pool(both), Check::GitOps, Level::Note, "comes from Argo CD and Flux, which");
    let text = provoked(&with_pool(flux), Check::GitOps, Level::Note, "comes from Flux");
    assert!(text.contains("the Kustomization flux-system/apps: ignore:"), "{text}");
}

#[test]
fn what_the_controller_says() {
    let condition = |kind: &str, status: &str, generation: i64| json!({"type": kind, "status": status, "message": "pools overlap", "observedGeneration": generation});
    let conditions = |list: Value| json!({"status": {"conditions": list}});
    let found = with_pool(conditions(json!([condition("cilium.io/PoolConflict", "True", 1)])));
    provoked(&found, Check::Pool, Level::Error, "overlaps with it (pools overlap)");
    provoked(&with_pool(json!({"spec": {"disabled": true}})), Check::Pool, Level::Warning, "is disabled");
    let found = with_pool(conditions(json!([condition("cilium.io/IPsTotal", "Unknown", 1)])));
    provoked(&found, Check::Pool, Level::Warning, "has not taken in");
    let found = with_pool(conditions(json!([condition("cilium.io/IPsTotal", "Unknown", 2)])));
    provoked(&found, Check::Pool, Level::Ok, "is in service");

    let service = json!({
        "metadata": {"name": "front", "annotations": {"dynamic-prefix.io/name": "home"}},
        "spec": {"type": "LoadBalancer"},
        "status": {"conditions": [{
            "type": "cilium.io/IPAMRequestSatisfied", "status": "False", "reason": "no_pool", "message": "none",
        }]},
    });
    let mut seen = seen();
    seen.objects.insert(Kind::Service, Ok(vec![object(Kind::Service, service)]));
    provoked(&answers(seen), Check::Pool, Level::Warning, "did not give Service/metallb-system/front all addresses");
}
