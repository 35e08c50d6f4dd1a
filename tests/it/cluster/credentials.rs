//! Kubeconfigs and the files they name.

use std::sync::Arc;

use dyn_prefix::cluster::ConnectionState;
use dyn_prefix::config::Discovery;

use super::rig::{FIRST, Rig, SECOND, Start, base64, cilium, cluster, install, rig};
use crate::support::api::{Api, Certificate};

/// A driver whose token lies in a file beside the kubeconfig, named by a relative path.
async fn with_token_file(token: &str) -> Rig {
    let api = cilium().await;
    api.accept_tokens(&["secret"]);
    let mut start = Start::new(&api);
    start.kubeconfig = api.kubeconfig("", "tokenFile: token");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("token"), token).unwrap();
    start.run(api, directory)
}

#[tokio::test]
async fn the_newline_at_the_end_of_a_token_file_does_not_matter() {
    let mut rig = with_token_file("secret\n").await;
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn a_token_that_is_replaced_is_taken_at_once() {
    let mut rig = with_token_file("outdated\n").await;
    let health = rig.state(ConnectionState::Unauthorized).await;
    assert!(health.retry_at.is_some());
    rig.write_file("token", "secret\n");
    rig.holds(FIRST).await;
    // And again while the connection is well, before the server refuses the former one.
    rig.api.accept_tokens(&["secret", "newer"]);
    rig.api.forget_requests();
    rig.write_file("token", "newer");
    rig.until(|api| api.count("get", "/version") > 0).await;
    rig.api.accept_tokens(&["newer"]);
    rig.want(SECOND);
    rig.holds(SECOND).await;
}

#[tokio::test]
async fn a_token_that_the_server_no_longer_takes() {
    let mut rig = with_token_file("secret").await;
    rig.holds(FIRST).await;
    rig.api.accept_tokens(&["other"]);
    rig.want(SECOND);
    let health = rig.state(ConnectionState::Unauthorized).await;
    assert!(health.reason.unwrap().1.contains("renew the token"));
    rig.api.accept_tokens(&["secret"]);
    rig.holds(SECOND).await;
}

#[tokio::test]
async fn an_empty_or_missing_token_file_is_named() {
    let mut rig = with_token_file("\n").await;
    let health = rig.state(ConnectionState::Misconfigured).await;
    let message = health.reason.unwrap().1;
    assert!(message.contains("/token of the user is empty") && message.contains("context \"test\""), "{message}");
    std::fs::remove_file(rig.directory.path().join("token")).unwrap();
    rig.health(|health| health.reason.as_ref().is_some_and(|(_, message)| message.contains("No such file"))).await;
    rig.write_file("token", "secret");
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn a_kubeconfig_is_rewritten_while_the_daemon_runs() {
    let mut rig = rig().await;
    rig.holds(FIRST).await;
    let moved = cilium().await;
    rig.write_file("kubeconfig", &moved.kubeconfig("", "token: secret"));
    rig.api = moved;
    rig.holds(FIRST).await;
}

#[tokio::test]
async fn a_kubeconfig_that_breaks_leaves_the_connection_alone() {
    let mut rig = rig().await;
    rig.holds(FIRST).await;
    rig.write_file("kubeconfig", "clusters: {");
    let health = rig.health(|health| !health.notes.is_empty()).await;
    assert_eq!(health.state, ConnectionState::Connected);
    assert!(health.notes.concat().contains("The former one stays in use"), "{:?}", health.notes);
    rig.want(SECOND);
    rig.holds(SECOND).await;
    rig.write_file("kubeconfig", &rig.api.kubeconfig("", "token: another"));
    rig.health(|health| health.notes.is_empty()).await;
}

#[tokio::test]
async fn what_is_wrong_with_a_kubeconfig_is_said() {
    let good = Api::start().await.kubeconfig("", "token: secret");
    for (content, expected) in [
        (good.replace("current-context: test", "current-context: nope"), "has no context \"nope\"; it has: test"),
        (good.replace("current-context: test\n", ""), "has no current-context; set `context`"),
        (good.replace("user: tester}", "user: nobody}"), "user \"nobody\"): it has no such user, only: tester"),
        (good.replace("{cluster: test,", "{cluster: gone,"), "it has no cluster \"gone\", only: test"),
        (good.replace("server: \"http://", "server: \""), "is no URL: write https://127.0.0.1:"),
        (good.replace("server: \"http://", "server: \"/"), "is no URL: write https://HOST:PORT"),
        (good.replace("token: secret", "tokenFile: missing"), "missing of the user: No such file"),
        (good.replace("\"}}]", "\", certificate-authority: gone.pem}}]"), "gone.pem"),
        ("clusters: {".to_owned(), "is not valid"),
    ] {
        let api = Api::start().await;
        let mut start = Start::new(&api);
        start.kubeconfig = content;
        let mut rig = start.run(api, tempfile::tempdir().unwrap());
        let message = rig.state(ConnectionState::Misconfigured).await.reason.unwrap().1;
        assert!(message.contains(expected), "{message}");
        assert!(message.contains("/kubeconfig"), "{message}");
    }
}

#[tokio::test]
async fn a_missing_kubeconfig_is_named_and_found_when_it_is_put_there() {
    let mut rig = rig().await;
    rig.holds(FIRST).await;
    let path = rig.directory.path().join("later");
    rig.cluster.send_replace(Arc::new(cluster(path.clone(), Discovery::Off)));
    let health = rig.state(ConnectionState::Misconfigured).await;
    assert!(health.reason.unwrap().1.contains("later"), "it is named");
    let moved = cilium().await;
    std::fs::write(&path, moved.kubeconfig("", "token: secret")).unwrap();
    rig.api = moved;
    rig.holds(FIRST).await;
}

/// A proxy that makes one tunnel after the other, to whatever it is asked for.
async fn proxy() -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    request.push(client.read_u8().await?);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let server =
                    request.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
                let mut server = tokio::net::TcpStream::connect(server).await?;
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    address
}

async fn behind(proxy: std::net::SocketAddr) -> Rig {
    let api = Api::start_tls(Certificate::Good).await;
    install(&api);
    let mut start = Start::new(&api);
    let authority = base64(Certificate::CA);
    let cluster = format!(", certificate-authority-data: {authority}, proxy-url: \"http://{proxy}\"");
    start.kubeconfig = api.kubeconfig(&cluster, "token: secret");
    start.run(api, tempfile::tempdir().unwrap())
}

/// proxy-url is honoured: all goes through a tunnel to the server, and TLS is spoken with the server itself.
#[tokio::test]
async fn a_proxy_of_the_kubeconfig_is_used() {
    behind(proxy().await).await.holds(FIRST).await;
}

/// Without it there is no way, though the server is there.
#[tokio::test]
async fn a_proxy_that_is_not_there() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    behind(nobody).await.reason("ConnectionRefused").await;
}

#[tokio::test]
async fn a_token_of_an_exec_plugin_is_made_anew_when_it_ends() {
    let api = cilium().await;
    api.accept_tokens(&["first", "second"]);
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "first").unwrap();
    // The token has ended when it comes: there is another one for each request.
    let answer = directory.path().join("plugin");
    let line = r#"printf '{"status":{"token":"%s","expirationTimestamp":"2001-01-01T00:00:00Z"}}' "$(cat "$1")""#;
    std::fs::write(&answer, line).unwrap();
    let args = format!("[\"{}\", \"{}\"]", answer.display(), token.display());
    let user = format!("exec: {{command: sh, interactiveMode: Never, args: {args}}}");
    let mut start = Start::new(&api);
    start.kubeconfig = api.kubeconfig("", &user);
    let mut rig = start.run(api, directory);
    rig.holds(FIRST).await;
    std::fs::write(&token, "second").unwrap();
    rig.api.accept_tokens(&["second"]);
    rig.want(SECOND);
    rig.holds(SECOND).await;
    // A plugin that fails is named.
    std::fs::remove_file(&token).unwrap();
    std::fs::write(rig.directory.path().join("kubeconfig"), rig.api.kubeconfig("", "exec: {command: \"false\"}"))
        .unwrap();
    let health = rig
        .health(|health| {
            health.notes.concat().contains("exec plugin")
                || health.reason.as_ref().is_some_and(|(_, message)| message.contains("exec plugin"))
        })
        .await;
    let text = format!("{:?}{:?}", health.reason, health.notes);
    assert!(text.contains("its exec plugin false failed with exit status: 1"), "{text}");
}
