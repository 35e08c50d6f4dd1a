//! The exec plugin of a kubeconfig: a command that makes credentials, as kubectl runs it
//! (`client.authentication.k8s.io`).

use std::process::{Command, Output, Stdio};

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use secrecy::SecretString;
use serde_json::{Value, json};

/// What a command gave.
pub(super) struct Given {
    /// To be shown with every request.
    pub(super) token: Option<SecretString>,
    /// A certificate and its key, both PEM, to be shown when connections are made.
    pub(super) certificate: Option<(String, SecretString)>,
    /// When new ones are needed.
    pub(super) until: Option<Timestamp>,
}

/// Runs it. Blocks until it ends.
///
/// # Errors
/// Why there are no credentials: a sentence.
pub(super) fn run(plugin: &ExecConfig) -> Result<Given, String> {
    let Some(name) = plugin.command.as_deref().filter(|name| !name.is_empty()) else {
        return Err("its exec plugin has no `command`".to_owned());
    };
    let output = command(name, plugin)?.output().map_err(|error| {
        let hint = plugin.install_hint.as_deref().map(str::trim).filter(|hint| !hint.is_empty());
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("its exec plugin {name} cannot be started: {error}{hint}")
    })?;
    if !output.status.success() {
        return Err(format!("its exec plugin {name} failed with {}{}", output.status, last_words(&output)));
    }
    // kubectl takes YAML too, of which JSON is a part. The text is not repeated, for it holds secrets.
    let answer = serde_saphyr::from_slice(&output.stdout).map_err(|error| error.without_snippet().to_string());
    answer.and_then(|answer| given(&answer)).map_err(|why| format!("the answer of its exec plugin {name} {why}"))
}

fn command(name: &str, plugin: &ExecConfig) -> Result<Command, String> {
    let mut command = Command::new(name);
    command.args(plugin.args.iter().flatten());
    for variable in plugin.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    let is_interactive = plugin.interactive_mode != Some(ExecInteractiveMode::Never);
    if is_interactive {
        command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
    } else {
        command.stdin(Stdio::null());
    }
    let mut spec = json!({ "interactive": is_interactive });
    if plugin.provide_cluster_info {
        let cluster =
            plugin.cluster.as_ref().ok_or("its exec plugin wants to know the cluster, of which there is none")?;
        spec["cluster"] = serde_json::to_value(cluster).map_err(|error| error.to_string())?;
    }
    let info = json!({ "apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec });
    command.env("KUBERNETES_EXEC_INFO", info.to_string());
    Ok(command)
}

/// What it wrote to standard error, unless that went where our own does.
fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

fn given(answer: &Value) -> Result<Given, String> {
    let status =
        answer.get("status").filter(|status| status.is_object()).ok_or("is no ExecCredential with a status")?;
    let text = |key| status.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let until = text("expirationTimestamp").map(|until| {
        until.parse().map_err(|error| format!("has the expirationTimestamp \"{until}\", which is none: {error}"))
    });
    let token = text("token").map(SecretString::from);
    let certificate = text("clientCertificateData").zip(text("clientKeyData"));
    let certificate = certificate.map(|(certificate, key)| (certificate.to_owned(), SecretString::from(key)));
    if token.is_none() && certificate.is_none() {
        return Err("has neither a token nor a certificate with its key".to_owned());
    }
    Ok(Given { token, certificate, until: until.transpose()? })
}

#[cfg(test)]
mod tests;
