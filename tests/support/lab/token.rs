//! The part of kube-controller-manager that fills a Secret of type kubernetes.io/service-account-token. The lab has no
//! controllers, and the API server takes such a token only while its Secret holds it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::apiserver::ApiServer;

/// Fills the Secret at `path` and gives the token.
pub(crate) fn fill_secret(server: &ApiServer, path: &str) -> Result<String> {
    fill_secret_with(server, path, &json!({}))
}

/// The same with more claims.
pub(crate) fn fill_secret_with(server: &ApiServer, path: &str, more: &Value) -> Result<String> {
    let secret = server.get(path)?;
    let text = |pointer: &str| secret.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let account = text("/metadata/annotations/kubernetes.io~1service-account.name");
    ensure!(secret["type"] == "kubernetes.io/service-account-token", "{path} is of type {}", secret["type"]);
    let owner = server.get(&format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}"))?;
    let mut claims = json!({
        "iss": "kubernetes/serviceaccount",
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": name,
        "kubernetes.io/serviceaccount/service-account.name": account,
        "kubernetes.io/serviceaccount/service-account.uid": owner["metadata"]["uid"],
    });
    for (claim, value) in more.as_object().into_iter().flatten() {
        claims[claim] = value.clone();
    }
    let header = json!({"alg": "ES256", "typ": "JWT"});
    let signed = format!("{}.{}", base64_url(header.to_string().as_bytes()), base64_url(claims.to_string().as_bytes()));
    let key = server.ca().with_file_name("sa.key");
    let token = format!("{signed}.{}", base64_url(&sign(&key, &signed)?));
    server.patch(path, &json!({"stringData": {"token": token}}))?;
    Ok(token)
}

/// A kubeconfig whose user has these keys, beside the others of its API server.
pub(crate) fn kubeconfig(server: &ApiServer, path: &Path, user: &Value) -> Result<PathBuf> {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": server.url(), "certificate-authority": server.ca()}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "users": [{"name": "lab", "user": user}],
    });
    let new = path.with_extension("new");
    std::fs::write(&new, config.to_string())?;
    std::fs::rename(new, path)?;
    Ok(path.to_owned())
}

fn sign(key: &Path, text: &str) -> Result<Vec<u8>> {
    let mut command = Command::new("openssl");
    command.args(["dgst", "-sha256", "-sign"]).arg(key).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot run openssl")?;
    child.stdin.take().context("openssl without stdin")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "openssl dgst: {output:?}");
    raw_signature(&output.stdout).context("openssl gave no ECDSA signature of P-256")
}

/// The two numbers of a signature in DER, as JWT has them: each in 32 bytes.
fn raw_signature(der: &[u8]) -> Option<Vec<u8>> {
    let [0x30, _, numbers @ ..] = der else { return None };
    let (first, rest) = number(numbers)?;
    let (second, _) = number(rest)?;
    Some([first, second].concat())
}

/// An INTEGER of DER in 32 bytes, and what follows it.
fn number(der: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let [0x02, length, rest @ ..] = der else { return None };
    let (bytes, rest) = rest.split_at_checked(usize::from(*length))?;
    let significant = bytes.get(bytes.len().saturating_sub(32)..)?;
    let padding = vec![0; 32 - significant.len()];
    Some(([&padding, significant].concat(), rest))
}

fn base64_url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let encode = |chunk: &[u8]| -> String {
        let bits = (0..3).fold(0_usize, |bits, index| bits << 8 | usize::from(chunk.get(index).copied().unwrap_or(0)));
        let letters = [18, 12, 6, 0].map(|shift| char::from(LETTERS[bits >> shift & 63]));
        letters.iter().take(chunk.len() + 1).collect()
    };
    bytes.chunks(3).map(encode).collect()
}
