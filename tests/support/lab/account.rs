//! The account of a daemon as a user makes it: what `dyn-prefix rbac` prints for the very configuration, applied by an
//! administrator, and a kubeconfig with its token. It may do that and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::apiserver::ApiServer;
use super::token::{fill_secret, kubeconfig};
use super::wait_for;

/// Where the printed account is.
const NAMESPACE: &str = "kube-system";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
/// How long the API server may take to notice a new role.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the audit log calls the account of this name.
pub(crate) fn account_user(name: &str) -> String {
    format!("system:serviceaccount:{NAMESPACE}:{name}")
}

impl ApiServer {
    /// Makes the account of this name by what `program` prints for a cluster of a configuration, waits until it may do
    /// all of that, and writes its kubeconfig to `path`.
    pub(crate) fn make_account(
        &self,
        program: &str,
        config: &Path,
        cluster: &str,
        name: &str,
        path: &Path,
    ) -> Result<()> {
        let mut command = Command::new(program);
        command.args(["rbac", "--cluster", cluster, "--name", name, "--config"]).arg(config);
        let printed = command.output().with_context(|| format!("cannot run {program}"))?;
        ensure!(printed.status.success(), "dyn-prefix rbac: {printed:?}");
        let applied = self.apply_yaml(&String::from_utf8(printed.stdout)?)?;
        let roles: Vec<&Value> = applied.iter().filter(|object| object["rules"].is_array()).collect();
        ensure!(!roles.is_empty(), "an account without a role: {applied:#?}");
        for role in roles {
            let namespace = role["metadata"]["namespace"].as_str();
            for rule in role["rules"].as_array().into_iter().flatten() {
                self.wait_granted(&account_user(name), namespace, rule)?;
            }
        }
        let token = self.token_of(&format!("/api/v1/namespaces/{NAMESPACE}/secrets/{name}"))?;
        kubeconfig(self, path, &json!({"token": token})).map(drop)
    }

    /// The token in a Secret, which gets one if it has none: a second one would end the first.
    fn token_of(&self, path: &str) -> Result<String> {
        match self.get(path)?["metadata"]["annotations"][TOKEN].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => {
                let token = fill_secret(self, path)?;
                self.patch(path, &json!({"metadata": {"annotations": {TOKEN: token}}}))?;
                Ok(token)
            }
        }
    }

    /// Waits until the API server lets a user do what a rule allows.
    fn wait_granted(&self, user: &str, namespace: Option<&str>, rule: &Value) -> Result<()> {
        let list = |key: &str| rule[key].as_array().cloned().unwrap_or_default();
        let names = if rule["resourceNames"].is_array() { list("resourceNames") } else { vec![Value::Null] };
        for (resource, name) in list("resources").iter().flat_map(|one| names.iter().map(move |name| (one, name))) {
            let (resource, subresource) = resource
                .as_str()
                .unwrap_or_default()
                .split_once('/')
                .map_or((resource.as_str().unwrap_or_default(), Value::Null), |(resource, sub)| (resource, json!(sub)));
            for verb in list("verbs") {
                let asked = json!({"group": list("apiGroups")[0], "resource": resource, "subresource": subresource,
                    "namespace": namespace, "name": name, "verb": verb});
                let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                    "spec": {"user": user, "resourceAttributes": asked}});
                wait_for(&format!("{user} may {asked}"), PATIENCE, || {
                    Ok((self.create(REVIEWS, &review)?["status"]["allowed"] == true).then_some(()))
                })?;
            }
        }
        Ok(())
    }

    /// Fails if an account has asked for anything that it may not do, and unless it has asked for something. What was
    /// allowed another time does not count: an API server that has just started knows no roles for a moment.
    pub(crate) fn expect_nothing_refused(&self, name: &str) -> Result<()> {
        let (mut refused, mut allowed) = (BTreeSet::new(), BTreeSet::new());
        for event in self.audit_of(&account_user(name))? {
            let path = event.uri.split('?').next().unwrap_or_default();
            let asked = format!("{} {path}", event.verb);
            if event.code == 403 {
                refused.insert(asked)
            } else {
                allowed.insert(asked)
            };
        }
        let never: Vec<&String> = refused.difference(&allowed).collect();
        ensure!(never.is_empty(), "the printed role does not let the daemon {never:#?}");
        ensure!(!allowed.is_empty(), "nobody has asked as {name}");
        Ok(())
    }
}

/// What keeps the token beside the Secret's data, which is in base64.
const TOKEN: &str = "lab/token";
