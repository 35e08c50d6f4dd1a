//! The account that `dyn-prefix rbac` prints, with each single verb taken away: the status says which one is missing on
//! what, and everything else goes on.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, Credentials, fill_secret, kubeconfig, wait_for};
use crate::rig::{Daemon, Lab, PATIENCE, cluster, dynamic_prefix, offline};
use crate::services::sees;

pub(crate) const STORIES: &[Story] = &[
    ("RBAC: with discovery, each verb taken away from what is printed", with_discovery),
    ("RBAC: by name, each verb taken away from what is printed", by_name),
    (
        "RBAC: what is taken away from a running daemon costs nothing that is there, and is noticed when it is back",
        while_running,
    ),
];

const CRD: &str = include_str!("../../packaging/kubernetes/dynamicprefixes.yaml");
const PUBLISHES: &str = "publishStatus = true";
const GROUP: &str = "/apis/rbac.authorization.k8s.io/v1";

fn with_discovery(lab: &Lab) -> Result<()> {
    each(lab.shared()?, "verb", "")
}

fn by_name(lab: &Lab) -> Result<()> {
    each(lab.shared()?, "named-verb", "discovery = false")
}

/// A right: the role that has it, its rule there, its place in the verbs.
struct Right {
    role: String,
    rule: usize,
    resource: String,
    verb: String,
}

impl Right {
    /// Whether it is for what only tells of the targets, and keeps nobody from writing them.
    fn is_of_a_courtesy(&self) -> bool {
        self.resource == "events" || self.resource.starts_with("dynamicprefixes")
    }

    /// Whether the daemon does not need it at first: an event that is true again, an object of our own that has to go.
    fn is_used_late(&self) -> bool {
        matches!((self.resource.as_str(), self.verb.as_str()), ("events", "patch") | ("dynamicprefixes", "delete"))
    }
}

fn each(server: &ApiServer, id: &str, option: &str) -> Result<()> {
    server.install_crds(CRD)?;
    let rights = rights(server, id, option)?;
    // Pools, groups and Services are seen and written, definitions seen only.
    // Events are created and patched, in each namespace of a role; our own objects seen, made, written and deleted.
    let namespaces = rights.iter().filter(|right| right.resource == "events" && right.verb == "create").count();
    ensure!(rights.len() == 14 + 2 * namespaces + 5 && namespaces > 0, "{} rights", rights.len());
    for number in 0..rights.len() {
        let id = format!("{id}-{number}");
        // The same account once more, without this one.
        let right = rights_of(server, &id, option)?.into_iter().nth(number).context("the same rights")?;
        take_away(server, &right)?;
        let outcome = without(server, &id, option, &right);
        outcome.with_context(|| format!("{option} without {} on {}", right.verb, right.resource))?;
    }
    Ok(())
}

fn take_away(server: &ApiServer, right: &Right) -> Result<()> {
    let mut role = server.get(&right.role)?;
    let verbs = role["rules"][right.rule]["verbs"].as_array_mut().context("verbs")?;
    verbs.retain(|verb| *verb != json!(right.verb));
    // A rule without verbs is none; the API server takes no empty list.
    if verbs.is_empty() {
        role["rules"].as_array_mut().context("rules")?.remove(right.rule);
    }
    server.replace(&right.role, &role).map(drop)
}

fn while_running(lab: &Lab) -> Result<()> {
    let (server, id, pool) = (lab.shared()?, "taken-away", Kind::Pool);
    let rights = rights_of(server, id, "")?;
    let token = fill_secret(server, &format!("/api/v1/namespaces/kube-system/secrets/{id}"))?;
    kubeconfig(server, &server.dir().join(format!("{id}.kubeconfig")), &json!({"token": token}))?;
    Kind::ALL.into_iter().try_for_each(|kind| kind.create(server, &name(id, kind), None).map(drop))?;
    let mut daemon = Daemon::start(id, 'a', &template(server, id, ""))?;
    let holds = |kind: Kind, letter| {
        kind.wait(server, id, &name(id, kind), &kind.of_user(), &kind.ours(Part::Lb, letter)).map(drop)
    };
    Kind::ALL.into_iter().try_for_each(|kind| holds(kind, 'a'))?;

    let is_it = |right: &&Right| right.resource == resource(pool) && right.verb == "patch";
    take_away(server, rights.iter().find(is_it).context("it may patch pools")?)?;
    let client = server.client_as(&Credentials::Token(token))?;
    let wait_patch = |status: u16| {
        wait_for(&format!("status {status} for a patch by the account"), PATIENCE, || {
            let (path, nothing) = (pool.path(&name(id, pool)), ("application/merge-patch+json", &b"{}"[..]));
            let answer = client.request("PATCH", &format!("{path}?dryRun=All"), Some(nothing))?;
            Ok((answer.status == status).then_some(()))
        })
    };
    wait_patch(403)?;
    daemon.rotate('b')?;
    let target = daemon.wait_reason(&name(id, pool), "Forbidden")?;
    let message = target["message"].as_str().unwrap_or_default();
    ensure!(message.contains("cannot patch resource \"ciliumloadbalancerippools\""), "{message}");
    holds(Kind::Group, 'b')?;
    holds(Kind::Metallb, 'b')?;
    // What nobody may write stays as it was.
    holds(pool, 'a')?;

    rights_of(server, id, "")?;
    wait_patch(200)?;
    daemon.reload()?;
    holds(pool, 'b')?;
    daemon.wait_reason(&name(id, pool), "Synced").map(drop)
}

fn rights(server: &ApiServer, id: &str, option: &str) -> Result<Vec<Right>> {
    rights_of(server, &format!("{id}-all"), option)
}

/// Applies the account of a daemon with this id; gives what it may do.
fn rights_of(server: &ApiServer, id: &str, option: &str) -> Result<Vec<Right>> {
    let printed = offline(id, &template(server, id, option), &["rbac", "--name", id])?;
    ensure!(printed.status.success(), "{printed:?}");
    let mut rights = Vec::new();
    for object in server.apply_yaml(&String::from_utf8(printed.stdout)?)? {
        let path = match (object["kind"].as_str(), object["metadata"]["namespace"].as_str()) {
            (Some("ClusterRole"), _) => format!("{GROUP}/clusterroles/{id}"),
            (Some("Role"), Some(namespace)) => format!("{GROUP}/namespaces/{namespace}/roles/{id}"),
            _ => continue,
        };
        for (rule, value) in object["rules"].as_array().into_iter().flatten().enumerate() {
            for verb in value["verbs"].as_array().into_iter().flatten() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                rights.push(Right {
                    role: path.clone(),
                    rule,
                    resource: text(&value["resources"][0]),
                    verb: text(verb),
                });
            }
        }
    }
    Ok(rights)
}

fn template(server: &ApiServer, id: &str, option: &str) -> String {
    let path = server.dir().join(format!("{id}.kubeconfig"));
    let bindings = Kind::ALL.map(|kind| kind.binding(id, &name(id, kind))).concat();
    let service = format!(
        "\n[[service]]\nnamespace = \"default\"\nname = \"{id}\"\nprefixRef = \"{id}/lb\"\nsuffix = \"::f000:0:0:2\"\n"
    );
    cluster("lab", &path, &format!("{option}\n{PUBLISHES}"))
        + &dynamic_prefix(id, "maxPrefixHistory = 0")
        + &bindings
        + &service
}

fn name(id: &str, kind: Kind) -> String {
    format!("{id}-{}", kind.field().to_lowercase())
}

fn resource(kind: Kind) -> &'static str {
    match kind {
        Kind::Pool => "ciliumloadbalancerippools",
        Kind::Group => "ciliumcidrgroups",
        Kind::Metallb => "ipaddresspools",
    }
}

fn without(server: &ApiServer, id: &str, option: &str, right: &Right) -> Result<()> {
    let token = fill_secret(server, &format!("/api/v1/namespaces/kube-system/secrets/{id}"))?;
    kubeconfig(server, &server.dir().join(format!("{id}.kubeconfig")), &json!({"token": token}))?;
    Kind::ALL.into_iter().try_for_each(|kind| kind.create(server, &name(id, kind), None).map(drop))?;
    create_service(server, id)?;
    let mut daemon = Daemon::start(id, 'a', &template(server, id, option))?;
    let said = format!("cannot {} resource \"{}\"", right.verb, right.resource);
    let says = |value: &Value| value.to_string().replace("\\\"", "\"").contains(&said);
    if right.resource != resource(Kind::Pool) {
        sees(server, &name(id, Kind::Pool))?;
    }
    if right.is_used_late() {
        daemon.wait_reason(&name(id, Kind::Pool), "Synced")?;
    } else if right.verb == "patch" && !right.is_of_a_courtesy() {
        let target = Kind::ALL.into_iter().find(|kind| resource(*kind) == right.resource);
        let target = target.map_or_else(|| id.to_owned(), |kind| name(id, kind));
        let target = daemon.wait_reason(&target, "Forbidden")?;
        ensure!(says(&target["message"]), "{said} is missing in {target:#}");
        ensure!(daemon.status()?.0 == 3, "`status` exits with {}", daemon.status()?.0);
    } else {
        daemon.wait_cluster("lab", |cluster| says(&cluster["notes"]))?;
    }
    for letter in ['a', 'b'] {
        if letter == 'b' {
            // Without an operator it would wait for its next address for ever, and hold the old range.
            server.delete(&format!("/api/v1/namespaces/default/services/{id}"))?;
            daemon.rotate('b')?;
        }
        for kind in Kind::ALL.into_iter().filter(|kind| resource(*kind) != right.resource) {
            let ours = kind.ours(Part::Lb, letter);
            kind.wait(server, id, &name(id, kind), &kind.of_user(), &ours)?;
        }
    }
    if right.is_used_late() {
        use_late(server, id, &mut daemon, &template(server, id, option), right)?;
        daemon.wait_cluster("lab", |cluster| says(&cluster["notes"]))?;
    }
    let state = daemon.status()?.1["clusters"][0]["state"].take();
    ensure!(state == "connected", "the cluster is {state}");
    daemon.stop()
}

/// Our own object is not wanted any more; or the bindings are removed and come back, so that the same is told once more.
fn use_late(server: &ApiServer, id: &str, daemon: &mut Daemon, template: &str, right: &Right) -> Result<()> {
    if right.resource != "events" {
        server.wait_object(&format!("/apis/dyn-prefix.io/v1alpha1/dynamicprefixes/{id}"), PATIENCE, |_| true)?;
        return daemon.edit(&template.replace(PUBLISHES, ""));
    }
    daemon.edit(template.split("[[binding]]").next().unwrap_or_default())?;
    for kind in Kind::ALL {
        server.wait_object(&kind.path(&name(id, kind)), PATIENCE, |object| {
            object["metadata"]["annotations"]["dynamic-prefix.io/managed-by"].is_null()
        })?;
    }
    daemon.edit(template)
}

fn create_service(server: &ApiServer, id: &str) -> Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": id, "namespace": "default"},
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": "io.cilium/bgp-control-plane", "ports": [{"port": 80}],
            "ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack", "selector": {"app": id},
        },
    });
    server.create("/api/v1/namespaces/default/services", &service).map(drop)
}
