use secrecy::ExposeSecret as _;

use super::*;

/// A plugin that runs a line of shell.
fn shell(line: &str) -> ExecConfig {
    plugin(&json!({"command": "sh", "args": ["-c", line], "interactiveMode": "Never"}))
}

fn plugin(of: &Value) -> ExecConfig {
    serde_json::from_value(of.clone()).unwrap()
}

fn fails(plugin: &ExecConfig) -> String {
    run(plugin).err().expect("it has no credentials")
}

/// `ExecCredential` of client.authentication.k8s.io/v1, as JSON and as YAML, both of which kubectl reads.
#[test]
fn what_a_plugin_answers_is_read() {
    let json = r#"{"kind":"ExecCredential","status":{"token":"t","expirationTimestamp":"2030-01-01T00:00:00Z"}}"#;
    let yaml = "kind: ExecCredential\nstatus:\n  token: t\n  expirationTimestamp: 2030-01-01T00:00:00Z\n";
    for answer in [json, yaml] {
        let given = run(&shell(&format!("printf %s '{answer}'"))).unwrap_or_else(|why| panic!("{answer}: {why}"));
        assert_eq!(given.token.unwrap().expose_secret(), "t");
        assert_eq!(given.until, Some("2030-01-01T00:00:00Z".parse().unwrap()));
        assert!(given.certificate.is_none());
    }
    let both = r#"{"status":{"clientCertificateData":"c","clientKeyData":"k"}}"#;
    let given = run(&shell(&format!("printf %s '{both}'"))).unwrap_or_else(|why| panic!("{why}"));
    let (certificate, key) = given.certificate.unwrap();
    assert_eq!((certificate.as_str(), key.expose_secret(), given.until), ("c", "k", None));
    assert!(given.token.is_none());
}

#[test]
fn a_plugin_learns_what_it_is_asked_for() {
    let asked = |of: &Value, is_interactive| -> Value {
        let command = command("sh", &plugin(of), is_interactive).unwrap();
        let (_, info) = command.get_envs().find(|(name, _)| *name == "KUBERNETES_EXEC_INFO").expect("it is set");
        serde_json::from_str(info.unwrap().to_str().unwrap()).unwrap()
    };
    let version = "client.authentication.k8s.io/v1";
    assert_eq!(
        asked(&json!({"apiVersion": version, "command": "sh"}), false),
        json!({"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": false}})
    );
    assert_eq!(asked(&json!({"apiVersion": version, "command": "sh"}), true)["spec"], json!({"interactive": true}));
    // Its own variables reach it, too.
    let greeting = r#"printf '{"status":{"token":"%s"}}' "$GREETING""#;
    let given = run(&plugin(&json!({
        "command": "sh", "args": ["-c", greeting], "env": [{"name": "GREETING", "value": "hello"}]
    })));
    assert_eq!(given.unwrap_or_else(|why| panic!("{why}")).token.unwrap().expose_secret(), "hello");
}

#[test]
fn the_cluster_is_told_to_a_plugin_that_wants_to_know() {
    let mut plugin = plugin(&json!({"command": "sh", "provideClusterInfo": true}));
    assert!(command("sh", &plugin, false).is_err());
    plugin.cluster =
        Some(serde_json::from_value(json!({"server": "https://k8s.example:6443", "tls-server-name": "k8s"})).unwrap());
    let command = command("sh", &plugin, false).unwrap();
    let (_, info) = command.get_envs().find(|(name, _)| *name == "KUBERNETES_EXEC_INFO").expect("it is set");
    let info: Value = serde_json::from_str(info.unwrap().to_str().unwrap()).unwrap();
    assert_eq!(info["spec"]["cluster"]["server"], "https://k8s.example:6443");
    assert_eq!(info["spec"]["cluster"]["tls-server-name"], "k8s");
}

#[test]
fn why_there_are_no_credentials_is_said() {
    for (line, expected) in [
        ("echo wrong password >&2; exit 3", "its exec plugin sh failed with exit status: 3: wrong password"),
        ("echo '{}'", "the answer of its exec plugin sh is no ExecCredential with a status"),
        (r#"echo '{"status":{}}'"#, "has neither a token nor a certificate with its key"),
        (r#"echo '{"status":{"clientKeyData":"k"}}'"#, "has neither a token nor a certificate with its key"),
        (r#"echo '{"status":{"token":"t","expirationTimestamp":"soon"}}'"#, "expirationTimestamp \"soon\""),
    ] {
        let why = fails(&shell(line));
        assert!(why.contains(expected), "{line}: {why}");
    }
    assert_eq!(fails(&plugin(&json!({}))), "its exec plugin has no `command`");
    let why = fails(&plugin(&json!({"command": "/nonexistent/login", "installHint": "Install login.\n"})));
    assert!(why.starts_with("its exec plugin /nonexistent/login cannot be started: No such file"), "{why}");
    assert!(why.ends_with("; Install login."), "{why}");
}

#[test]
fn what_cannot_be_read_is_not_repeated() {
    let why = fails(&shell("printf 'status:\\n  token: s3cret\\n : [\\n'"));
    assert!(why.starts_with("the answer of its exec plugin sh ") && !why.contains("s3cret"), "{why}");
}

/// It may wait for a connection that has died with the former prefix.
#[test]
fn a_plugin_that_hangs_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let plugin = shell(&format!("echo $$ >{}; exec sleep 3600", pid.display()));
    let why = run_within(&plugin, Duration::from_secs(1)).err().expect("it gives nothing");
    assert!(why.ends_with("it had not ended after 1 s, and was killed"), "{why}");
    let process: u32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    let name = || std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    // Whoever waits for it reads its end a moment later.
    while name() == "sleep\n"
        && !std::fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| stat.contains(") Z"))
    {
        std::thread::yield_now();
    }
}

#[test]
fn only_the_last_line_of_what_a_plugin_complains_is_repeated() {
    let why = fails(&shell("printf 'token=s3cret\n\ndenied\n\n' >&2; exit 1"));
    assert_eq!(why, "its exec plugin sh failed with exit status: 1: denied");
    let why = fails(&shell("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1"));
    assert!(why.len() < 700, "{} octets", why.len());
}
