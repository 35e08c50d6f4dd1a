//! The kubeconfig of the daemon's own account, as `dyn-prefix join` writes it.

use serde_json::{Value, json};

use super::yaml;

/// The first line of every kubeconfig that we wrote: a file without it is not ours to replace.
pub const MARK: &str = "# Written by `dyn-prefix join`";

/// What is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The name of the cluster in our configuration.
    pub cluster: String,
    /// The name of the context: the one that our configuration names, if it does.
    pub context: String,
    /// The URL of the API server.
    pub server: String,
    /// The certificates of the authorities that sign the server's, each in DER. Empty: those of the host.
    pub authorities: Vec<Vec<u8>>,
    /// The name that the server's certificate is for, when it is not that of the URL.
    pub tls_server_name: Option<String>,
    /// The proxy on the way.
    pub proxy_url: Option<String>,
    /// The account: "namespace/name".
    pub account: String,
    /// Its token.
    pub token: String,
}

impl Access {
    /// The text of the file.
    pub fn text(&self) -> String {
        let mut cluster = json!({"server": self.server});
        if !self.authorities.is_empty() {
            let pem: String = self.authorities.iter().map(|der| pem(der)).collect();
            cluster["certificate-authority-data"] = Value::from(base64(pem.as_bytes()));
        }
        for (key, value) in [("tls-server-name", &self.tls_server_name), ("proxy-url", &self.proxy_url)] {
            if let Some(value) = value {
                cluster[key] = Value::from(value.as_str());
            }
        }
        let user = self.account.replace('/', ":");
        let whole = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": self.context,
            "clusters": [{"name": self.cluster, "cluster": cluster}],
            "contexts": [{"name": self.context, "context": {"cluster": self.cluster, "user": user}}],
            "users": [{"name": user, "user": {"token": self.token}}],
        });
        let heading = format!(
            "{MARK} for the cluster \"{}\": the ServiceAccount {}.\n# What it may do: `dyn-prefix rbac --cluster {}`. Who \
             reads this file may do the same.\n",
            self.cluster, self.account, self.cluster
        );
        heading + &whole.as_object().map(|whole| yaml::block(whole, 0, &|_, _| String::new())).unwrap_or_default()
    }
}

fn pem(der: &[u8]) -> String {
    let encoded = base64(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64)); // ASCII only
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, index| bits << 8 | usize::from(chunk.get(index).copied().unwrap_or(0)));
        for (index, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = LETTERS.get(bits >> shift & 63).copied().filter(|_| index <= chunk.len());
            text.push(letter.map_or('=', char::from));
        }
    }
    text
}
