//! etcd and kube-apiserver: a cluster without nodes and controllers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::audit::{self, AuditEvent};
use super::certs::Authority;
use super::http::{Client, Credentials};
use super::process::Process;
use super::{free_port, program, wait_for};

/// How long etcd or the API server may take to get ready, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(90);
const ADMIN_TOKEN: &str = "lab-admin-token";

/// How much the audit log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuditLevel {
    /// Who asked what, when, with which answer.
    Metadata,
    /// The bodies of request and answer, too.
    Bodies,
}

/// What differs from one API server to another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Write an audit log.
    pub(crate) audit: Option<AuditLevel>,
    /// Users that have a static token, with their groups; see [`ApiServer::kubeconfig_token`].
    pub(crate) users: Vec<(String, Vec<String>)>,
    /// Names the serving certificate is also valid for, as `DNS:name` or `IP:address`.
    pub(crate) names: Vec<String>,
    /// More arguments for kube-apiserver.
    pub(crate) arguments: Vec<String>,
}

/// A running API server with its etcd.
#[derive(Debug)]
pub(crate) struct ApiServer {
    dir: PathBuf,
    port: u16,
    etcd_port: u16,
    peer_port: u16,
    options: Options,
    authority: Authority,
    client: Client,
    etcd: Option<Process>,
    server: Option<Process>,
}

impl ApiServer {
    /// Starts both, with everything they keep below `dir`, and waits until they are ready.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        Self::start_with(dir, Options::default())
    }

    /// The same with options.
    pub(crate) fn start_with(dir: &Path, options: Options) -> Result<Self> {
        program("etcd")?;
        program("kube-apiserver")?;
        let authority = Authority::create(&dir.join("pki"))?;
        authority.sign_server(&options.names)?;
        let mut tokens = format!("{ADMIN_TOKEN},admin,admin,\"system:masters\"\n");
        for (user, groups) in &options.users {
            tokens.push_str(&format!("{},{user},{user},\"{}\"\n", user_token(user), groups.join(",")));
        }
        std::fs::write(dir.join("tokens.csv"), tokens)?;
        let port = free_port()?;
        let admin = Credentials::Token(ADMIN_TOKEN.to_owned());
        let client = Client::new(loopback(port), &authority.path("ca.crt"), &admin)?;
        let (etcd_port, peer_port) = (free_port()?, free_port()?);
        let dir = dir.to_owned();
        let mut lab = Self { dir, port, etcd_port, peer_port, options, authority, client, etcd: None, server: None };
        lab.launch()?;
        Ok(lab)
    }

    /// Starts what is not running, on the same ports and data, and waits until it is ready.
    pub(crate) fn launch(&mut self) -> Result<()> {
        if self.etcd.is_none() {
            self.etcd = Some(self.launch_etcd()?);
        }
        if self.server.is_none() {
            self.server = Some(self.launch_server()?);
        }
        let (client, server, etcd) = (&self.client, &mut self.server, &mut self.etcd);
        wait_for("the API server's /readyz", START_LIMIT, || {
            let dead = [&mut *server, &mut *etcd].into_iter().flatten().find_map(|child| child.check_alive().err());
            if let Some(error) = dead {
                return Ok(Some(Err(error)));
            }
            // A little after it is ready, it makes the namespaces that every cluster has.
            let ready = client.request("GET", "/readyz", None)?.ok()
                && client.request("GET", "/api/v1/namespaces/default", None)?.ok();
            Ok(ready.then_some(Ok(())))
        })?
    }

    fn launch_etcd(&self) -> Result<Process> {
        let url = format!("http://127.0.0.1:{}", self.etcd_port);
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let mut command = Command::new(program("etcd")?);
        command.arg("--data-dir").arg(self.dir.join("etcd"));
        command.args(["--unsafe-no-fsync", "--log-level", "warn", "--name", "lab"]);
        command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url, "--listen-peer-urls", &peer]);
        command.args(["--initial-advertise-peer-urls", &peer, "--initial-cluster", &format!("lab={peer}")]);
        Process::spawn("etcd", &mut command, &self.dir.join("etcd.log"))
    }

    fn launch_server(&self) -> Result<Process> {
        let pki = |option: &str, file: &str| format!("--{option}={}", self.authority.path(file).display());
        let mut command = Command::new(program("kube-apiserver")?);
        command.args([
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--secure-port={}", self.port),
            format!("--token-auth-file={}", self.dir.join("tokens.csv").display()),
            format!("--cert-dir={}", self.dir.join("pki").display()),
            pki("tls-cert-file", "server.crt"),
            pki("tls-private-key-file", "server.key"),
            pki("client-ca-file", "ca.crt"),
            pki("service-account-key-file", "sa.pub"),
            pki("service-account-signing-key-file", "sa.key"),
        ]);
        command.args([
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/16,fd00:1234::/112",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://lab.invalid",
            "--disable-admission-plugins=ServiceAccount",
            "--profiling=false",
        ]);
        if let Some(level) = self.options.audit {
            command.arg(format!("--audit-policy-file={}", self.write_audit_policy(level)?.display()));
            command.arg(format!("--audit-log-path={}", self.audit_log().display()));
        }
        command.args(&self.options.arguments);
        Process::spawn("kube-apiserver", &mut command, &self.dir.join("kube-apiserver.log"))
    }

    fn write_audit_policy(&self, level: AuditLevel) -> Result<PathBuf> {
        let level = match level {
            AuditLevel::Metadata => "Metadata",
            AuditLevel::Bodies => "RequestResponse",
        };
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
            "rules": [
                {"level": "None", "users": ["system:apiserver"]},
                {"level": level},
            ],
        });
        let path = self.dir.join("audit-policy.yaml");
        std::fs::write(&path, policy.to_string())?;
        Ok(path)
    }

    fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    /// The requests so far, in the order of their answers, but for those of the API server to itself.
    pub(crate) fn audit(&self) -> Result<Vec<AuditEvent>> {
        ensure!(self.options.audit.is_some(), "this API server was started without an audit log");
        audit::read(&self.audit_log())
    }

    /// The requests so far of one user.
    pub(crate) fn audit_of(&self, user: &str) -> Result<Vec<AuditEvent>> {
        Ok(self.audit()?.into_iter().filter(|event| event.user == user).collect())
    }

    /// Where everything is kept.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The address of the API server.
    pub(crate) fn address(&self) -> SocketAddr {
        loopback(self.port)
    }

    /// Its URL.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// The PEM file of its authority.
    pub(crate) fn ca(&self) -> PathBuf {
        self.authority.path("ca.crt")
    }

    /// The administrator's client that the helpers use.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// A client of its own connection.
    pub(crate) fn client_as(&self, credentials: &Credentials) -> Result<Client> {
        Client::new(self.address(), &self.ca(), credentials)
    }

    /// The administrator's token.
    pub(crate) fn admin_token(&self) -> &'static str {
        ADMIN_TOKEN
    }

    /// A kubeconfig of the administrator (system:masters).
    pub(crate) fn kubeconfig_admin(&self) -> Result<PathBuf> {
        self.write_kubeconfig("admin", &json!({"token": ADMIN_TOKEN}))
    }

    /// A kubeconfig of any user, by a client certificate. What it may do is for [`ApiServer::grant`] or the test's
    /// own RBAC objects to say.
    pub(crate) fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let (certificate, key) = self.authority.sign_client(user, groups)?;
        let user_entry = json!({"client-certificate": certificate, "client-key": key});
        self.write_kubeconfig(&[&[user], groups].concat().join("+"), &user_entry)
    }

    /// A kubeconfig with the static token of a user named in [`Options::users`].
    pub(crate) fn kubeconfig_token(&self, user: &str) -> Result<PathBuf> {
        let known = self.options.users.iter().any(|(name, _)| name == user);
        ensure!(known, "user {user} is not among the users this API server was started with");
        self.write_kubeconfig(user, &json!({"token": user_token(user)}))
    }

    /// A kubeconfig with a token of a ServiceAccount, which is made when it is not there.
    pub(crate) fn kubeconfig_service_account(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, name)?;
        self.write_kubeconfig(&format!("{namespace}+{name}"), &json!({"token": token}))
    }

    /// A token of a ServiceAccount (TokenRequest), which is made when it is not there.
    pub(crate) fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        self.ensure_namespace(namespace)?;
        self.apply(&json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace},
        }))?;
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let answer = self.create(&path, &request)?;
        let token = answer.pointer("/status/token").and_then(Value::as_str);
        Ok(token.context("TokenRequest without a token")?.to_owned())
    }

    fn write_kubeconfig(&self, name: &str, user: &Value) -> Result<PathBuf> {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": self.url(), "certificate-authority": self.ca()}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "users": [{"name": "lab", "user": user}],
        });
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = self.dir.join(format!("{name}.kubeconfig"));
        std::fs::write(&path, serde_json::to_string_pretty(&config)?)?;
        Ok(path)
    }

    /// The pids of etcd and kube-apiserver, as far as they run.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes().map(Process::pid).collect()
    }

    /// Stops both where they are (SIGSTOP): connections stay open, nothing is answered.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.processes().try_for_each(Process::freeze)
    }

    /// Lets them go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.processes().try_for_each(Process::thaw)
    }

    /// Sends a signal to the API server alone.
    pub(crate) fn signal_server(&self, signal: Signal) -> Result<()> {
        self.server.as_ref().context("the API server is not running")?.signal(signal)
    }

    /// Kills both: connections are refused from now on.
    pub(crate) fn kill(&mut self) -> Result<()> {
        for process in [self.server.take(), self.etcd.take()].iter_mut().flatten() {
            process.kill()?;
        }
        Ok(())
    }

    /// Kills both and starts them again, with the same data and ports.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.launch()
    }

    fn processes(&self) -> impl Iterator<Item = &Process> {
        self.server.iter().chain(&self.etcd)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        drop(self.kill());
    }
}

fn user_token(user: &str) -> String {
    format!("lab-token-of-{user}")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
