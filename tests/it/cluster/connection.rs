//! Paths and servers that fail.

use std::time::Duration;

use dyn_prefix::cluster::ConnectionState;

use super::rig::{FIRST, SECOND, Start, THIRD, base64, blocks, cilium, install, pool, rig, timeouts};
use crate::support::api::{Action, Api, Certificate, Fault};

#[tokio::test]
async fn the_server_version_is_told() {
    let mut rig = rig().await;
    let health = rig.state(ConnectionState::Connected).await;
    assert_eq!(health.server_version.as_deref(), Some("v1.36.3"));
    assert_eq!((health.reason, health.retry_at), (None, None));
}

#[tokio::test]
async fn a_server_that_was_away_gets_one_write_for_two_changes() {
    let mut rig = rig().await;
    rig.holds(FIRST).await;
    rig.api.close();
    let health = rig.reason("ConnectionRefused").await;
    assert_eq!(health.state, ConnectionState::Unreachable);
    assert!(health.retry_at.is_some());
    assert!(health.reason.unwrap().1.contains(&rig.api.url()));
    rig.api.forget_requests();
    rig.want(THIRD);
    rig.want(SECOND);
    rig.api.reopen().await;
    rig.holds(SECOND).await;
    assert_eq!(rig.api.count("patch", ""), 1);
    rig.state(ConnectionState::Connected).await;
}

/// Everything hangs, as with a server that is stopped (SIGSTOP) or a path that swallows packets.
#[tokio::test]
async fn a_frozen_server_is_noticed_by_a_write_and_gets_one_when_it_thaws() {
    let mut rig = rig().await;
    rig.holds(FIRST).await;
    rig.api.fault(Fault::new("", "", Action::Hang));
    rig.want(THIRD);
    let health = rig.state(ConnectionState::Unreachable).await;
    assert_eq!(health.reason.unwrap().0, "TimedOut");
    rig.want(SECOND);
    rig.api.forget_requests();
    rig.api.clear_faults();
    rig.holds(SECOND).await;
    assert_eq!(rig.api.count("patch", ""), 1);
}

/// HTTP/1.1 has no PING, so a request is made now and then, and notices a frozen server without a write.
#[tokio::test]
async fn an_idle_connection_is_kept_warm_and_checked() {
    let api = cilium().await;
    let mut start = Start::new(&api);
    start.timeouts.warm = Duration::from_millis(20);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
    rig.until(|api| api.count("get", "/version") > 3).await;
    rig.api.fault(Fault::new("get", "/version", Action::Hang));
    rig.state(ConnectionState::Unreachable).await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_begun_again_without_a_stir() {
    let mut rig = rig().await;
    rig.holds(FIRST).await;
    rig.api.reopen().await;
    rig.api.put(pool("pool", &[]));
    rig.holds(FIRST).await;
    rig.want(SECOND);
    rig.holds(SECOND).await;
}

#[tokio::test]
async fn a_server_that_starts_later_is_found() {
    let api = cilium().await;
    api.close();
    let start = Start::new(&api);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.reason("ConnectionRefused").await;
    rig.api.reopen().await;
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn requests_that_are_cut_off_are_made_again() {
    let mut rig = rig().await;
    rig.holds(FIRST).await;
    rig.api.fault(Fault::new("patch", "", Action::Drop).times(2));
    rig.want(SECOND);
    rig.holds(SECOND).await;
}

#[tokio::test]
async fn all_requests_share_one_http2_connection_where_there_is_tls() {
    let api = Api::start_tls(Certificate::Good).await;
    install(&api);
    let start = Start::new(&api);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
    let requests = rig.api.requests();
    assert!(requests.iter().all(|request| request.is_http2), "{requests:?}");
}

/// The PING goes unanswered although TCP is well: the whole process is stopped.
#[tokio::test]
async fn pings_find_a_dead_http2_connection_without_a_request() {
    let api = Api::start_tls(Certificate::Good).await;
    install(&api);
    let relay = Relay::start(&api).await;
    let mut start = Start::new(&api);
    start.kubeconfig = start.kubeconfig.replace(&api.url(), &relay.url);
    start.timeouts.ping_interval = Duration::from_millis(50);
    start.timeouts.ping_timeout = Duration::from_millis(50);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
    relay.freeze.send_replace(true);
    rig.state(ConnectionState::Unreachable).await;
    rig.want(SECOND);
    relay.freeze.send_replace(false);
    rig.holds(SECOND).await;
}

#[tokio::test]
async fn tls_failures_name_their_cause() {
    for (certificate, authority, reason) in [
        (Certificate::Good, Certificate::OTHER_CA, "UnknownCertificateAuthority"),
        (Certificate::OtherName, Certificate::CA, "CertificateNameMismatch"),
        (Certificate::Expired, Certificate::CA, "CertificateExpired"),
    ] {
        let api = Api::start_tls(certificate).await;
        install(&api);
        let mut start = Start::new(&api);
        let trust = format!(", certificate-authority-data: {}", base64(authority));
        start.kubeconfig = api.kubeconfig(&trust, "token: secret");
        let mut rig = start.run(api, tempfile::tempdir().unwrap());
        let health = rig.reason(reason).await;
        assert_eq!(health.state, ConnectionState::Unreachable, "{reason}");
    }
}

#[tokio::test]
async fn tls_server_name_is_honoured() {
    let api = Api::start_tls(Certificate::OtherName).await;
    install(&api);
    let mut start = Start::new(&api);
    let trust =
        format!(", tls-server-name: elsewhere.example, certificate-authority-data: {}", base64(Certificate::CA));
    start.kubeconfig = api.kubeconfig(&trust, "token: secret");
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn a_server_that_is_no_kubernetes_says_so() {
    let api = cilium().await;
    api.fault(Fault::new("get", "/version", Action::Status(502, "bad gateway")));
    let start = Start::new(&api);
    let mut rig = start.run(api, tempfile::tempdir().unwrap());
    let health = rig.reason("ServerError").await;
    assert!(health.reason.unwrap().1.contains("bad gateway"));
    rig.api.clear_faults();
    rig.holds(FIRST).await;
    assert_eq!(blocks(&rig.api, "pool"), [FIRST]);
    assert!(timeouts().operation < Duration::from_secs(1));
}

/// A TCP relay that can stop passing bytes without closing anything.
struct Relay {
    url: String,
    freeze: tokio::sync::watch::Sender<bool>,
}

impl Relay {
    async fn start(api: &Api) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let freeze = tokio::sync::watch::Sender::new(false);
        let (server, gate) = (api.url().replace("https://", ""), freeze.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = tokio::net::TcpStream::connect(&server).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(pass(near_in, far_out, gate.subscribe()));
                tokio::spawn(pass(far_in, near_out, gate.subscribe()));
            }
        });
        Self { url, freeze }
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut frozen: tokio::sync::watch::Receiver<bool>,
) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut buffer = vec![0; 65536];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if frozen.wait_for(|frozen| !frozen).await.is_err() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
