//! Credentials that end, and new ones that are noticed without a restart.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, Credentials, Scrape, fill_secret_with, free_port, kubeconfig, wait_for};
use crate::rig::{Daemon, Lab, PATIENCE, cluster, dynamic_prefix};

pub(crate) const STORIES: &[Story] = &[
    ("credentials: a token that is revoked, and a kubeconfig that replaces it", revoked),
    ("credentials: 14 days before a token ends it is said, and no more once there is a new one", ending),
    ("credentials: a token file with a newline at its end, and a new token in it", token_file),
];

const NAMESPACE: &str = "credentials";

/// Makes a ServiceAccount of this name that may do what the daemon does, and a Secret with its token; gives that.
fn account(server: &ApiServer, name: &str) -> Result<String> {
    server.ensure_namespace(NAMESPACE)?;
    server.apply(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE},
    }))?;
    server.grant(
        &format!("system:serviceaccount:{NAMESPACE}:{name}"),
        &json!([{"apiGroups": ["cilium.io", "metallb.io"], "resources": ["*"], "verbs": ["list", "watch", "patch"]}]),
    )?;
    secret(server, name, name)
}

/// Makes a Secret with a token of an account; gives the token.
fn secret(server: &ApiServer, account: &str, name: &str) -> Result<String> {
    secret_with(server, account, name, &json!({}))
}

/// The same with more claims in the token.
fn secret_with(server: &ApiServer, account: &str, name: &str, claims: &Value) -> Result<String> {
    server.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": name, "namespace": NAMESPACE,
            "annotations": {"kubernetes.io/service-account.name": account},
        },
    }))?;
    fill_secret_with(server, &secret_path(name), claims)
}

fn secret_path(name: &str) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}")
}

/// Deletes a Secret and waits until its token is refused: the API server remembers it for a while.
fn revoke(server: &ApiServer, name: &str, token: &str) -> Result<()> {
    server.delete(&secret_path(name))?;
    wait_for("the refusal of the revoked token", PATIENCE * 2, || {
        let client = server.client_as(&Credentials::Token(token.to_owned()))?;
        Ok((client.request("GET", &Kind::Pool.collection(), None)?.status == 401).then_some(()))
    })
}

fn wait_filled(server: &ApiServer, id: &str, letter: char) -> Result<Value> {
    Kind::Pool.wait(server, id, id, &Kind::Pool.of_user(), &Kind::Pool.ours(Part::Lb, letter))
}

fn revoked(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "revoked");
    let directory = tempfile::tempdir()?;
    let token = account(server, id)?;
    let path = kubeconfig(server, &directory.path().join("kubeconfig"), &json!({"token": token}))?;
    Kind::Pool.create(server, id, Some((id, Part::Lb)))?;
    let template = cluster("lab", &path, "") + &dynamic_prefix(id, "maxPrefixHistory = 0");
    let mut daemon = Daemon::start(id, 'a', &template)?;
    wait_filled(server, id, 'a')?;

    revoke(server, id, &token)?;
    daemon.rotate('b')?;
    let seen = daemon.wait_cluster("lab", |cluster| cluster["state"] == "unauthorized")?;
    ensure!(seen["reason"].is_string() && seen["retryAt"].is_string(), "it says too little: {seen:#}");
    ensure!(daemon.status()?.0 == 3, "`status` exits with {} while nothing works", daemon.status()?.0);
    daemon.wait_log(&["lab", "renew the token or certificate"])?;

    let token = secret(server, id, "revoked-2")?;
    kubeconfig(server, &path, &json!({"token": token}))?;
    wait_filled(server, id, 'b')?;
    daemon.wait_cluster("lab", |cluster| cluster["state"] == "connected" && cluster["reason"].is_null())?;
    daemon.wait_reason(id, "Synced")?;
    Ok(())
}

/// A token of a year, which ends in so many days.
fn year(server: &ApiServer, id: &str, days: u64) -> Result<(String, u64)> {
    const DAY: u64 = 24 * 3600;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    // A little more, so that it does not become a day less meanwhile.
    let end = now + days * DAY + 3600;
    let claims = json!({"iat": end - 365 * DAY, "nbf": end - 365 * DAY, "exp": end});
    Ok((secret_with(server, id, &format!("{id}-{days}"), &claims)?, end))
}

fn ending(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "ending");
    let directory = tempfile::tempdir()?;
    account(server, id)?;
    let (token, end) = year(server, id, 13)?;
    let path = kubeconfig(server, &directory.path().join("kubeconfig"), &json!({"token": token}))?;
    Kind::Pool.create(server, id, Some((id, Part::Lb)))?;
    let port = free_port()?;
    let template = format!("listen = \"127.0.0.1:{port}\"\n\n")
        + &cluster("lab", &path, "")
        + &dynamic_prefix(id, "maxPrefixHistory = 0");
    let mut daemon = Daemon::start(id, 'a', &template)?;
    wait_filled(server, id, 'a')?;
    daemon.wait_log(&["warning: ", "The credentials for the cluster lab end in 13 days"])?;
    let expiry = "dyn_prefix_cluster_credential_expiry_timestamp_seconds{cluster=\"lab\"}";
    let wait_expiry = |end: u64| {
        let end: f64 = u32::try_from(end)?.into();
        wait_for("the end in the metrics", PATIENCE, || Ok((Scrape::of(port)?.find(expiry) == Some(end)).then_some(())))
    };
    wait_expiry(end)?;

    let (token, end) = year(server, id, 15)?;
    kubeconfig(server, &path, &json!({"token": token}))?;
    wait_expiry(end)?;
    daemon.rotate('b')?;
    wait_filled(server, id, 'b')?;
    let told = daemon.log().matches("The credentials for the cluster").count();
    ensure!(told == 1, "told {told} times:\n{}", daemon.log());
    Ok(())
}

fn token_file(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "token-file");
    let directory = tempfile::tempdir()?;
    let (file, path) = (directory.path().join("token"), directory.path().join("kubeconfig"));
    let token = account(server, id)?;
    // As `kubectl create token … > token` leaves it.
    std::fs::write(&file, format!("{token}\n"))?;
    let path = kubeconfig(server, &path, &json!({"tokenFile": file}))?;
    Kind::Pool.create(server, id, Some((id, Part::Lb)))?;
    let template = cluster("lab", &path, "") + &dynamic_prefix(id, "maxPrefixHistory = 0");
    let mut daemon = Daemon::start(id, 'a', &template)?;
    wait_filled(server, id, 'a')?;

    // Renewed in time: the former one ends unnoticed.
    let renewed = secret(server, id, "token-file-2")?;
    std::fs::write(&file, format!("{renewed}\n"))?;
    revoke(server, id, &token)?;
    daemon.rotate('b')?;
    wait_filled(server, id, 'b')?;
    ensure!(!daemon.log().contains("renew the token"), "a credential was refused:\n{}", daemon.log());
    Ok(())
}
