//! `dyn-prefix join`: the account and its kubeconfig, by the hand of an administrator.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, fill_secret, wait_for};
use crate::rig::{Cluster, Daemon, Lab, PATIENCE, cluster, dynamic_prefix, offline, prefix};

pub(crate) const STORIES: &[Story] = &[
    ("join: an account with a token that ends, and again", again),
    ("join: the kubeconfig is for the group of the daemon where there is one, else for its owner", modes),
    ("join: no controller fills the Secret", no_controller),
    ("join: an administrator who may not, and a namespace that is not there", not_allowed),
    ("join: what is not ours is left alone", not_ours),
];

/// Runs `join` for the cluster of a template, with these arguments besides.
fn run(server: &ApiServer, id: &str, template: &str, more: &[&str]) -> Result<Output> {
    let admin = server.kubeconfig_admin()?;
    let admin = admin.to_str().context("a path in UTF-8")?;
    offline(id, template, &[&["join", "--admin-kubeconfig", admin], more].concat())
}

/// Makes the account `dyn-prefix` of kube-system and the kubeconfig of a template, with what kube-controller-manager does.
pub(crate) fn join(server: &ApiServer, id: &str, template: &str) -> Result<()> {
    let secret = "/api/v1/namespaces/kube-system/secrets/dyn-prefix";
    let output = std::thread::scope(|scope| {
        let controller = scope.spawn(|| {
            wait_for("the Secret", PATIENCE, || server.find(secret))?;
            fill_secret(server, secret)
        });
        let output = run(server, id, template, &[])?;
        controller.join().ok().context("the controller panicked")??;
        Ok::<_, anyhow::Error>(output)
    })?;
    ensure!(output.status.success(), "dyn-prefix join: {output:?}");
    let told = String::from_utf8_lossy(&output.stdout);
    for part in ["created  ServiceAccount kube-system/dyn-prefix", "does not expire", "may do all", "systemctl enable"]
    {
        ensure!(told.contains(part), "{part} is not told:\n{told}");
    }
    // It is of the lab, on this machine.
    let warned = String::from_utf8_lossy(&output.stderr);
    ensure!(warned.contains("127.0.0.1 leads to this machine itself"), "{warned}");
    Ok(())
}

fn template(id: &str, path: &Path, more: &str) -> String {
    cluster("lab", path, more) + &dynamic_prefix(id, "maxPrefixHistory = 0") + &Kind::Pool.binding(id, id)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn again(_: &Lab) -> Result<()> {
    let own = Cluster::start()?;
    let (server, id) = (&own.server, "join");
    // The directory is made, too, and the context is the one that the configuration asks for.
    let path = server.dir().join("new").join("kubeconfig");
    let template = template(id, &path, "context = \"mine\"");
    let more = ["--token-duration", "2h", "--name", "other", "--namespace", "default"];
    let output = run(server, id, &template, &more)?;
    ensure!(output.status.success(), "{output:?}");
    ensure!(text(&output).contains("its token ends at "), "{}", text(&output));
    ensure!(server.find("/api/v1/namespaces/default/secrets/other")?.is_none(), "no Secret is needed");
    Kind::Pool.create(server, id, None)?;
    let mut daemon = Daemon::start(id, 'a', &template)?;
    Kind::Pool.wait(server, id, id, &Kind::Pool.of_user(), &Kind::Pool.ours(Part::Lb, 'a'))?;

    // Again: ours is replaced, and the running daemon takes it. Nobody else's file is left beside it.
    let former = std::fs::read_to_string(&path)?;
    let output = run(server, id, &template, &more)?;
    ensure!(output.status.success() && text(&output).contains("applied  ClusterRole other"), "{output:?}");
    ensure!(std::fs::read_to_string(&path)? != former, "the token is the former one");
    ensure!(std::fs::read_dir(path.parent().context("a directory")?)?.count() == 1, "something is left");
    daemon.rotate('b')?;
    Kind::Pool.wait(server, id, id, &Kind::Pool.of_user(), &Kind::Pool.ours(Part::Lb, 'b'))?;
    let user = "system:serviceaccount:default:other";
    let refused = server.audit_of(user)?.into_iter().find(|event| matches!(event.code, 401 | 403));
    ensure!(refused.is_none(), "{refused:?}");
    Ok(())
}

/// Owner, group and mode of a file or directory.
fn rights(path: &Path) -> Result<String> {
    let found = std::fs::metadata(path).with_context(|| format!("{}", path.display()))?;
    Ok(format!("{}:{} {:04o}", found.uid(), found.gid(), found.permissions().mode() & 0o7777))
}

fn modes(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "join-modes");
    let admin = server.kubeconfig_admin()?;
    for (group, umask, modes, said) in [
        ("", "022", ["0:0 0700", "0:0 0600"], "mode 0600, for its owner alone: this host has no group dyn-prefix"),
        ("dyn-prefix:x:4711:\n", "077", ["0:4711 0750", "0:4711 0640"], "mode 0640, readable for the group dyn-prefix"),
    ] {
        let etc = tempfile::tempdir()?;
        let path = etc.path().join("dyn-prefix").join("kubeconfig");
        let groups = etc.path().join("group");
        std::fs::write(&groups, format!("root:x:0:\n{group}"))?;
        let config = etc.path().join("dyn-prefix.toml");
        std::fs::write(&config, template(id, &path, "").replace("@PREFIX@", &prefix('a')))?;
        // Its own /etc/group, and the umask of a careful administrator.
        let script = "mount --bind \"$1\" /etc/group; umask \"$2\"; shift 2; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", script, "sh"]).arg(&groups).arg(umask);
        command.args([env!("CARGO_BIN_EXE_dyn-prefix"), "join", "--name", id, "--token-duration", "600s", "--config"]);
        let output = command.arg(&config).arg("--admin-kubeconfig").arg(&admin).output()?;
        ensure!(output.status.success() && text(&output).contains(said), "{said} is not said: {output:?}");
        let directory = path.parent().context("it has one")?;
        ensure!([rights(directory)?, rights(&path)?] == modes, "{} and {}", rights(directory)?, rights(&path)?);
        // A file that is there is replaced by one with the same rights.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604))?;
        ensure!(command.output()?.status.success() && rights(&path)? == modes[1], "{}", rights(&path)?);
    }
    Ok(())
}

fn no_controller(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "join-no-controller");
    let path = server.dir().join("join-no-controller.kubeconfig");
    let output = run(server, id, &template(id, &path, ""), &["--name", id])?;
    let told = text(&output);
    ensure!(output.status.code() == Some(1) && !path.exists(), "{output:?}");
    for part in
        ["Secret kube-system/join-no-controller has no token after 10 s", "kube-controller-manager", "--token-duration"]
    {
        ensure!(told.contains(part), "{part} is missing in: {told}");
    }
    Ok(())
}

fn not_allowed(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "join-not-allowed");
    let path = server.dir().join("join-not-allowed.own.kubeconfig");
    // May make accounts and Secrets, and no roles.
    let verbs = ["get", "create", "patch"];
    server.grant(id, &json!([{"apiGroups": [""], "resources": ["serviceaccounts", "secrets"], "verbs": verbs}]))?;
    let viewer = server.kubeconfig_for(id, &[])?;
    let admin = viewer.to_str().context("a path in UTF-8")?;
    let template = template(id, &path, "");
    let output = offline(id, &template, &["join", "--admin-kubeconfig", admin, "--name", id])?;
    let told = text(&output);
    ensure!(output.status.code() == Some(1) && !path.exists(), "{output:?}");
    for part in [
        "nothing was changed",
        "ClusterRole join-not-allowed is refused",
        "cannot patch resource \"clusterroles\"",
        "cannot patch resource \"clusterrolebindings\"",
        "cluster-admin",
    ] {
        ensure!(told.contains(part), "{part} is missing in: {told}");
    }
    ensure!(
        server.find("/api/v1/namespaces/kube-system/serviceaccounts/join-not-allowed")?.is_none(),
        "it was changed"
    );

    let output = run(server, id, &template, &["--namespace", "nowhere"])?;
    ensure!(text(&output).contains("kubectl create namespace nowhere"), "{output:?}");
    let output = offline(id, &template, &["join", "--admin-kubeconfig", "/nowhere"])?;
    ensure!(text(&output).contains("cannot read the kubeconfig /nowhere"), "{output:?}");
    Ok(())
}

fn not_ours(lab: &Lab) -> Result<()> {
    let (server, id) = (lab.shared()?, "join-not-ours");
    let path = server.dir().join("join-not-ours.kubeconfig");
    let template = template(id, &path, "");
    let more = ["--name", id, "--token-duration", "600s"];
    std::fs::write(&path, "apiVersion: v1\n")?;
    let output = run(server, id, &template, &more)?;
    ensure!(output.status.code() == Some(1) && text(&output).contains("--force replaces it"), "{output:?}");
    ensure!(std::fs::read_to_string(&path)? == "apiVersion: v1\n", "it was replaced");

    // Somebody has given the account more.
    let rule = json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]);
    server.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": id}, "rules": rule,
    }))?;
    std::fs::remove_file(&path)?;
    let output = run(server, id, &template, &more)?;
    ensure!(text(&output).contains("conflict with \"lab\"") && text(&output).contains("--force"), "{output:?}");
    ensure!(output.status.code() == Some(1) && !path.exists(), "{output:?}");
    let role = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{id}");
    ensure!(server.get(&role)?["rules"] == rule, "it was changed");
    let output = run(server, id, &template, &[&more[..], &["--force"]].concat())?;
    ensure!(output.status.success(), "{output:?}");
    let has_nodes = |rule: &Value| rule["resources"] == json!(["nodes"]);
    ensure!(!server.get(&role)?["rules"].as_array().context("rules")?.iter().any(has_nodes), "it was not taken over");
    narrower(server, id, &path, &more)
}

/// Another host joins by the same name, and needs less: who joined first would lose rights.
fn narrower(server: &ApiServer, id: &str, path: &Path, more: &[&str]) -> Result<()> {
    let role = format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{id}");
    let before = server.get(&role)?["rules"].clone();
    let dry = template(id, path, "").replace("[[cluster]]\n", "[[cluster]]\ndryRun = true\n");
    let output = run(server, id, &dry, more)?;
    let told = text(&output);
    for part in
        ["nothing was changed", "allows more than this configuration needs: ", "patch services", "--name", "--force"]
    {
        ensure!(told.contains(part), "{part} is missing in: {told}");
    }
    ensure!(server.get(&role)?["rules"] == before, "it was changed");
    let output = run(server, id, &dry, &[more, &["--force"]].concat())?;
    ensure!(output.status.success() && server.get(&role)?["rules"] != before, "{output:?}");

    // The administrator's own file is nothing to write into, however it is asked for.
    let admin = server.dir().join("join-own.kubeconfig");
    std::fs::write(&admin, "apiVersion: v1\n")?;
    let own = template(id, &admin, "");
    let output = offline(id, &own, &["join", "--force", "--admin-kubeconfig", &admin.display().to_string()])?;
    ensure!(text(&output).contains("is the administrator's kubeconfig"), "{output:?}");
    ensure!(std::fs::read_to_string(&admin)? == "apiVersion: v1\n", "it was replaced");
    Ok(())
}
