use serde_json::{Value, json};

use super::*;

fn user(of: Value) -> AuthInfo {
    serde_json::from_value(of).unwrap()
}

async fn shown(user: &AuthInfo) -> Result<Option<HeaderValue>, Unauthenticated> {
    let credentials = Credentials::of(user).unwrap_or_else(|why| panic!("{why}"));
    credentials.authorization.header().await
}

#[tokio::test]
async fn what_a_user_shows() {
    for (of, expected) in [
        (json!({}), None),
        (json!({"token": "t"}), Some("Bearer t")),
        // echo -n 'admin:secret' | base64
        (json!({"username": "admin", "password": "secret"}), Some("Basic YWRtaW46c2VjcmV0")),
        (json!({"auth-provider": {"name": "oidc", "config": {"id-token": "i"}}}), Some("Bearer i")),
        (json!({"token": "t", "exec": {"command": "false"}}), Some("Bearer t")),
    ] {
        let header = shown(&user(of.clone())).await.unwrap();
        assert_eq!(header.as_ref().map(|header| header.to_str().unwrap()), expected, "{of}");
        assert!(header.is_none_or(|header| header.is_sensitive()), "{of}");
    }
}

#[test]
fn a_user_that_cannot_show_anything() {
    for (of, expected) in [
        (json!({"token": "a\nb"}), "characters that no header may have"),
        (json!({"auth-provider": {"name": "oidc", "config": {}}}), "\"oidc\" gives no id-token"),
        (json!({"auth-provider": {"name": "azure", "config": {"id-token": "i"}}}), "use an exec plugin"),
        (json!({"exec": {"command": "false", "interactiveMode": "Never"}}), "failed with exit status: 1"),
    ] {
        let why = Credentials::of(&user(of.clone())).err().expect("no credentials").to_string();
        assert!(why.contains(expected), "{of}: {why}");
    }
}

/// A plugin that gives another token each time, which ends then.
fn counting(directory: &std::path::Path, end: &str) -> AuthInfo {
    let line =
        format!(r#"echo >>"$0"; printf '{{"status":{{"token":"%s","expirationTimestamp":"{end}"}}}}' $(wc -l <"$0")"#);
    let args = ["-c", &line, directory.join("runs").to_str().unwrap()].map(str::to_owned);
    user(json!({"exec": {"command": "sh", "args": args, "interactiveMode": "Never"}}))
}

#[tokio::test]
async fn a_token_is_made_anew_when_it_ends_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let credentials = Credentials::of(&counting(directory.path(), "2001-01-01T00:00:00Z")).unwrap();
    assert_eq!(credentials.valid_until, None, "the client stays");
    for expected in ["Bearer 2", "Bearer 3"] {
        assert_eq!(credentials.authorization.header().await.unwrap().unwrap(), expected);
    }
    let directory = tempfile::tempdir().unwrap();
    let credentials = Credentials::of(&counting(directory.path(), "2101-01-01T00:00:00Z")).unwrap();
    for _ in 0..2 {
        assert_eq!(credentials.authorization.header().await.unwrap().unwrap(), "Bearer 1");
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_made_anew_is_shown_until_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let once = |seconds: i64| {
        let end = clock::epoch().wall_now() + jiff::SignedDuration::from_secs(seconds);
        let answer = json!({"status": {"token": "t", "expirationTimestamp": end.to_string()}});
        let mark = directory.path().join(seconds.to_string());
        let args = ["-c", r#"mkdir "$0" && printf %s "$1""#, mark.to_str().unwrap()];
        let args = args.map(str::to_owned).into_iter().chain([answer.to_string()]).collect::<Vec<_>>();
        Credentials::of(&user(json!({"exec": {"command": "sh", "args": args, "interactiveMode": "Never"}}))).unwrap()
    };
    // Both end so soon that new ones are asked for, and the plugin fails the second time.
    assert_eq!(once(30).authorization.header().await.unwrap().unwrap(), "Bearer t");
    let error = once(-1).authorization.header().await.expect_err("it has ended").to_string();
    assert!(error.contains("failed with exit status: 1"), "{error}");
}

#[tokio::test]
async fn with_a_certificate_the_whole_client_ends() {
    let answer = json!({"status": {
        "token": "t", "clientCertificateData": "c", "clientKeyData": "k", "expirationTimestamp": "2001-01-01T00:00:00Z"
    }});
    let of = json!({"exec": {"command": "printf", "args": ["%s", answer.to_string()], "interactiveMode": "Never"}});
    let credentials = Credentials::of(&user(of)).unwrap();
    assert_eq!(credentials.valid_until, Some("2001-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(credentials.certificate.map(|(certificate, _)| certificate).as_deref(), Some("c"));
    assert_eq!(credentials.authorization.header().await.unwrap().unwrap(), "Bearer t");
}
