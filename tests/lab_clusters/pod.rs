//! `kubeconfig = "in-cluster"`: the daemon as a pod finds its credentials.

use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, Credentials, fill_secret, wait_for};
use crate::rig::{Daemon, Lab, PATIENCE, Pod, cluster, dynamic_prefix, offline};

pub(crate) const STORIES: &[Story] = &[
    ("in-cluster: a pod with the printed account, and a token that the kubelet renews", in_cluster),
    ("in-cluster: outside of a pod", outside),
];

fn template(id: &str) -> String {
    let kubeconfig = Path::new("in-cluster");
    cluster("lab", kubeconfig, "") + &dynamic_prefix(id, "maxPrefixHistory = 0") + &Kind::Pool.binding(id, id)
}

/// What the kubelet writes, switched by one rename (k8s.io/kubernetes pkg/volume/util/atomic_writer.go).
fn mount(directory: &Path, generation: &str, server: &ApiServer, token: &str) -> Result<()> {
    let files = directory.join(generation);
    std::fs::create_dir(&files)?;
    std::fs::copy(server.ca(), files.join("ca.crt"))?;
    std::fs::write(files.join("namespace"), "kube-system")?;
    std::fs::write(files.join("token"), token)?;
    symlink(generation, directory.join("..tmp"))?;
    std::fs::rename(directory.join("..tmp"), directory.join("..data"))?;
    for name in ["ca.crt", "namespace", "token"] {
        let link = directory.join(name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new("..data").join(name), link)?;
        }
    }
    Ok(())
}

/// Makes a Secret with a token of the account; gives the token.
fn token(server: &ApiServer, account: &str, name: &str) -> Result<String> {
    server.apply(&serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {
            "name": name, "namespace": "kube-system", "annotations": {"kubernetes.io/service-account.name": account},
        },
    }))?;
    fill_secret(server, &format!("/api/v1/namespaces/kube-system/secrets/{name}"))
}

fn in_cluster(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "in-cluster");
    let printed = offline(id, &template(id), &["rbac", "--name", id])?;
    let printed = String::from_utf8(printed.stdout)?;
    ensure!(!printed.contains("kind: Secret"), "a pod has its token:\n{printed}");
    server.apply_yaml(&printed)?;
    let first = token(server, id, "in-cluster-1")?;
    let directory = tempfile::tempdir()?;
    mount(directory.path(), "..1", server, &first)?;
    Kind::Pool.create(server, id, None)?;
    let pod = Pod { account: directory.path().to_owned(), server: server.address() };
    let mut daemon = Daemon::start_in(Some(pod), id, 'a', &template(id))?;
    let wait = |letter| Kind::Pool.wait(server, id, id, &Kind::Pool.of_user(), &Kind::Pool.ours(Part::Lb, letter));
    wait('a')?;

    mount(directory.path(), "..2", server, &token(server, id, "in-cluster-2")?)?;
    server.delete("/api/v1/namespaces/kube-system/secrets/in-cluster-1")?;
    wait_for("the refusal of the former token", PATIENCE * 2, || {
        let client = server.client_as(&Credentials::Token(first.clone()))?;
        Ok((client.request("GET", &Kind::Pool.collection(), None)?.status == 401).then_some(()))
    })?;
    daemon.rotate('b')?;
    wait('b')?;
    ensure!(!daemon.log().contains("renew the token"), "a credential was refused:\n{}", daemon.log());
    Ok(())
}

fn outside(_: &Lab) -> Result<()> {
    let mut daemon = Daemon::start("outside", 'a', &template("outside"))?;
    let seen = daemon.wait_cluster("lab", |cluster| cluster["state"] == "misconfigured")?;
    ensure!(seen["reason"] == "KubeconfigUnusable", "{seen:#}");
    daemon.wait_log(&["works only in a pod", "KUBERNETES_SERVICE_HOST", "name a kubeconfig file"])?;
    let refused = offline("outside", &template("outside"), &["join", "--admin-kubeconfig", "/nowhere"])?;
    let told = String::from_utf8_lossy(&refused.stderr);
    ensure!(refused.status.code() == Some(1) && told.contains("dyn-prefix rbac"), "{told}");
    Ok(())
}
