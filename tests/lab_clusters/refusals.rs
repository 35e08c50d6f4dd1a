//! Writes that the API server does not take: 422, and an admission webhook that cannot be called.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, free_port, wait_for};
use crate::rig::{Daemon, Lab, PATIENCE, cluster, dynamic_prefix, full_access, writes_to};

pub(crate) const STORIES: &[Story] = &[
    (
        "refusals: what the API server calls invalid (422) is told, and sent again only when it is something else",
        invalid,
    ),
    ("refusals: a webhook that cannot be called is told, and tried again", webhook),
];

/// A pool that is refused and its neighbour, which is not.
fn create(server: &ApiServer, id: &str) -> Result<(String, String)> {
    let names = (format!("{id}-refused"), format!("{id}-neighbour"));
    for name in [&names.0, &names.1] {
        Kind::Pool.create(server, name, Some((id, Part::Lb)))?;
    }
    Ok(names)
}

fn start(server: &ApiServer, id: &str) -> Result<Daemon> {
    let template = cluster("lab", &full_access(server, id)?, "") + &dynamic_prefix(id, "maxPrefixHistory = 0");
    Daemon::start(id, 'a', &template)
}

fn wait(server: &ApiServer, id: &str, name: &str, part: Part, letter: char) -> Result<Value> {
    Kind::Pool.wait(server, id, name, &Kind::Pool.of_user(), &Kind::Pool.ours(part, letter))
}

/// Waits until the administrator's own patch of the object is refused with this status, or taken.
fn wait_patch(server: &ApiServer, name: &str, status: u16) -> Result<()> {
    let path = format!("{}?dryRun=All", Kind::Pool.path(name));
    wait_for(&format!("status {status} for a patch of {name}"), PATIENCE, || {
        let patch = json!({"metadata": {"labels": {"try": "yes"}}});
        Ok((server.request("PATCH", &path, Some(&patch))?.status == status).then_some(()))
    })
}

fn invalid(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "invalid");
    let (refused, neighbour) = create(server, id)?;
    annotate_web(server, &neighbour)?;
    let api = "/apis/admissionregistration.k8s.io/v1";
    let of = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "lab-invalid"},
            "spec": spec,
        })
    };
    let rule = json!({
        "apiGroups": ["cilium.io"], "apiVersions": ["*"], "operations": ["UPDATE"],
        "resources": ["ciliumloadbalancerippools"], "resourceNames": [refused],
    });
    let policy = json!({
        "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "the lab does not want this"}],
    });
    server.apply(&of("ValidatingAdmissionPolicy", policy))?;
    let binding = json!({"policyName": "lab-invalid", "validationActions": ["Deny"]});
    server.apply(&of("ValidatingAdmissionPolicyBinding", binding))?;
    wait_patch(server, &refused, 422)?;

    let mut daemon = start(server, id)?;
    wait(server, id, &neighbour, Part::Web, 'a')?;
    let target = daemon.wait_reason(&refused, "Invalid")?;
    let message = target["message"].as_str().unwrap_or_default();
    ensure!(message.contains("the lab does not want this"), "the API server's words are missing: {message}");
    ensure!(target["retryAt"].is_string() && target["synced"] == false, "{target:#}");
    daemon.wait_log(&["warning", &refused, "the lab does not want this"])?;
    // Another label is no reason to send the same again. A reload is, once: whoever reloads has mended something. And so
    // is another prefix, which a reload brings here.
    server.patch(&Kind::Pool.path(&neighbour), &json!({"metadata": {"labels": {"touched": "yes"}}}))?;
    ensure!(writes_to(server, id, &refused)? == 1, "the same was sent again");
    daemon.reload()?;
    wait_for("the attempt of a reload", PATIENCE, || Ok((writes_to(server, id, &refused)? == 2).then_some(())))?;
    daemon.wait_reason(&refused, "Invalid")?;
    daemon.rotate('b')?;
    wait(server, id, &neighbour, Part::Web, 'b')?;
    wait_for("another attempt", PATIENCE, || Ok((writes_to(server, id, &refused)? >= 3).then_some(())))?;

    server.delete(&format!("{api}/validatingadmissionpolicybindings/lab-invalid"))?;
    server.delete(&format!("{api}/validatingadmissionpolicies/lab-invalid"))?;
    wait_patch(server, &refused, 200)?;
    daemon.rotate('c')?;
    wait(server, id, &refused, Part::Lb, 'c')?;
    daemon.wait_reason(&refused, "Synced")?;
    Ok(())
}

/// The same range on two pools of one cluster is an error: the neighbour takes the subnet.
fn annotate_web(server: &ApiServer, name: &str) -> Result<()> {
    let other = json!({"dynamic-prefix.io/address-range": null, "dynamic-prefix.io/subnet": "web"});
    server.patch(&Kind::Pool.path(name), &json!({"metadata": {"annotations": other}})).map(drop)
}

fn webhook(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "webhook");
    let (refused, neighbour) = create(server, id)?;
    annotate_web(server, &neighbour)?;
    let closed = format!("https://127.0.0.1:{}/", free_port()?);
    server.apply(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "lab-webhook"},
        "webhooks": [{
            "name": "closed.lab.invalid", "failurePolicy": "Fail", "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "clientConfig": {"url": closed}, "timeoutSeconds": 2,
            "matchConditions": [{"name": "one", "expression": format!("object.metadata.name == '{refused}'")}],
            "rules": [{
                "apiGroups": ["cilium.io"], "apiVersions": ["*"], "operations": ["UPDATE"],
                "resources": ["ciliumloadbalancerippools"],
            }],
        }],
    }))?;
    wait_patch(server, &refused, 500)?;

    let mut daemon = start(server, id)?;
    wait(server, id, &neighbour, Part::Web, 'a')?;
    let target = daemon.wait_reason(&refused, "WebhookFailed")?;
    let message = target["message"].as_str().unwrap_or_default();
    ensure!(message.contains("closed.lab.invalid"), "the webhook is not named: {message}");
    daemon.wait_log(&["warning", &refused, "closed.lab.invalid"])?;
    // Its pods are back: it is tried again without anything else.
    server.delete("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/lab-webhook")?;
    wait_patch(server, &refused, 200)?;
    wait(server, id, &refused, Part::Lb, 'a')?;
    daemon.wait_reason(&refused, "Synced")?;
    daemon.wait_log(&[&refused, "in order again"])?;
    Ok(())
}
