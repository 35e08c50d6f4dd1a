//! The exec plugin of a kubeconfig: a command that makes credentials, as kubectl runs it
//! (`client.authentication.k8s.io`).

use std::io::{self, IsTerminal as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::failure::shorten;

/// How long one may take that talks to nobody at a terminal.
const LIMIT: Duration = Duration::from_secs(60);

/// What a command gave.
pub(super) struct Given {
    /// To be shown with every request.
    pub(super) token: Option<SecretString>,
    /// A certificate and its key, both PEM, to be shown when connections are made.
    pub(super) certificate: Option<(String, SecretString)>,
    /// When new ones are needed.
    pub(super) until: Option<Timestamp>,
}

/// Runs it. Blocks until it ends, or is ended after a minute; a person at a terminal may take his time.
///
/// # Errors
/// Why there are no credentials: a sentence.
pub(super) fn run(plugin: &ExecConfig) -> Result<Given, String> {
    run_within(plugin, LIMIT)
}

fn run_within(plugin: &ExecConfig, limit: Duration) -> Result<Given, String> {
    let Some(name) = plugin.command.as_deref().filter(|name| !name.is_empty()) else {
        return Err("its exec plugin has no `command`".to_owned());
    };
    let is_interactive = plugin.interactive_mode != Some(ExecInteractiveMode::Never) && io::stdin().is_terminal();
    let mut command = command(name, plugin, is_interactive)?;
    let child = command.stdout(Stdio::piped()).spawn().map_err(|error| {
        let hint = plugin.install_hint.as_deref().map(str::trim).filter(|hint| !hint.is_empty());
        let hint = hint.map(|hint| format!("; {}", shorten(hint))).unwrap_or_default();
        format!("its exec plugin {name} cannot be started: {error}{hint}")
    })?;
    let ended = if is_interactive { child.wait_with_output() } else { output(child, limit) };
    let output = ended.map_err(|error| format!("its exec plugin {name} gives no answer: {error}"))?;
    if !output.status.success() {
        return Err(format!("its exec plugin {name} failed with {}{}", output.status, last_words(&output)));
    }
    // kubectl takes YAML too, of which JSON is a part. The text is not repeated, for it holds secrets.
    let answer = serde_saphyr::from_slice(&output.stdout).map_err(|error| error.without_snippet().to_string());
    answer.and_then(|answer| given(&answer)).map_err(|why| format!("the answer of its exec plugin {name} {why}"))
}

/// Waits for its end.
fn output(child: Child, limit: Duration) -> io::Result<Output> {
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    receiver.recv_timeout(limit).unwrap_or_else(|_| {
        pidfd_send_signal(&process, Signal::KILL)?;
        let text = format!("it had not ended after {} s, and was killed", limit.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    })
}

fn command(name: &str, plugin: &ExecConfig, is_interactive: bool) -> Result<Command, String> {
    let mut command = Command::new(name);
    command.args(plugin.args.iter().flatten());
    for variable in plugin.env.iter().flatten() {
        if let (Some(name), Some(value)) = (variable.get("name"), variable.get("value")) {
            command.env(name, value);
        }
    }
    if is_interactive {
        command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
    } else {
        command.stdin(Stdio::null()).stderr(Stdio::piped());
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

/// The last line that it wrote to standard error, unless that went where our own does. The rest may be a whole page.
fn last_words(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.map(|line| format!(": {}", shorten(line))).unwrap_or_default()
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
