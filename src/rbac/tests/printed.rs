//! What is printed.

use super::*;

const ACCOUNT: Token = Token::Secret;

fn names() -> Names {
    Names { name: "dyn-prefix".to_owned(), namespace: "ops".to_owned() }
}

fn printed(cluster: &str, rest: &str, token: Token) -> String {
    manifest::text(&manifest::documents(&needed(cluster, rest), &names(), token), "A heading.\n\n   a command")
}

#[test]
fn a_role_by_name() {
    assert_eq!(printed("discovery = false", NAMED, ACCOUNT), include_str!("by-name.yaml"));
}

/// A pod finds its token where the kubelet puts it.
#[test]
fn no_secret_for_a_pod() {
    let text = printed("", NAMED, Token::Mounted);
    assert!(!text.contains("kind: Secret") && !text.contains("automount"), "{text}");
    assert!(!printed("", NAMED, Token::Requested).contains("kind: Secret"));
}

#[test]
fn the_paths_of_the_objects() {
    let documents = manifest::documents(&needed("discovery = false", NAMED), &names(), ACCOUNT);
    let paths: Vec<String> = documents.iter().map(manifest::Document::path).collect();
    let group = "/apis/rbac.authorization.k8s.io/v1";
    let expected = [
        "/api/v1/namespaces/ops/serviceaccounts/dyn-prefix".to_owned(),
        "/api/v1/namespaces/ops/secrets/dyn-prefix".to_owned(),
        format!("{group}/clusterroles/dyn-prefix"),
        format!("{group}/clusterrolebindings/dyn-prefix"),
        format!("{group}/namespaces/default/roles/dyn-prefix"),
        format!("{group}/namespaces/default/rolebindings/dyn-prefix"),
        format!("{group}/namespaces/metallb/roles/dyn-prefix"),
        format!("{group}/namespaces/metallb/rolebindings/dyn-prefix"),
        format!("{group}/namespaces/web/roles/dyn-prefix"),
        format!("{group}/namespaces/web/rolebindings/dyn-prefix"),
    ];
    assert_eq!(paths, expected);
}

/// Words that a YAML reader would take for something else, and a list that is too long for a line.
#[test]
fn what_could_be_misread_is_in_quotes() {
    let names = Names { name: "1e3".to_owned(), namespace: "on".to_owned() };
    let many: String = (0..20).map(|n| format!("[[binding]]\nprefixRef = {{ name = \"home\", whole = true }}\ntarget = \"CiliumCIDRGroup/group-{n:02}\"\n")).collect();
    let head = GROUP_ONLY.split("[[binding]]").next().unwrap();
    let needs = needed("discovery = false", &(head.to_owned() + &many));
    let text = manifest::text(&manifest::documents(&needs, &names, ACCOUNT), "");
    assert!(text.contains("  name: \"1e3\"\n  namespace: \"on\"\n"), "{text}");
    assert!(text.contains("    resourceNames:\n      - \"group-00\"\n      - \"group-01\"\n"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 120), "{text}");
}

fn access() -> Access {
    Access {
        cluster: "home".to_owned(),
        context: "dyn-prefix@home".to_owned(),
        server: "https://192.0.2.1:6443".to_owned(),
        authorities: Vec::new(),
        tls_server_name: None,
        proxy_url: None,
        account: "kube-system/dyn-prefix".to_owned(),
        token: "eyJ.e30.c2ln".to_owned(),
    }
}

/// kube reads it as what it is meant to be.
#[test]
fn a_kubeconfig() {
    let der = vec![0x30, 0x03, 0x02, 0x01, 0x05];
    let text = Access {
        authorities: vec![der, vec![0xff; 100]],
        tls_server_name: Some("kubernetes".to_owned()),
        proxy_url: Some("socks5://192.0.2.9:1080".to_owned()),
        ..access()
    }
    .text();
    assert!(text.starts_with(MARK), "{text}");
    let read = kube::config::Kubeconfig::from_yaml(&text).unwrap();
    assert_eq!(read.current_context.as_deref(), Some("dyn-prefix@home"));
    let context = read.contexts[0].context.clone().unwrap();
    assert_eq!(
        (read.contexts[0].name.as_str(), context.cluster.as_str()),
        ("dyn-prefix@home", read.clusters[0].name.as_str())
    );
    assert_eq!(context.user.as_deref(), Some(read.auth_infos[0].name.as_str()));
    let cluster = read.clusters[0].cluster.clone().unwrap();
    assert_eq!(cluster.server.as_deref(), Some("https://192.0.2.1:6443"));
    assert_eq!(cluster.tls_server_name.as_deref(), Some("kubernetes"));
    assert_eq!(cluster.proxy_url.as_deref(), Some("socks5://192.0.2.9:1080"));
    // echo ... | base64 -d
    let pem = "-----BEGIN CERTIFICATE-----\nMAMCAQU=\n-----END CERTIFICATE-----\n";
    let data = cluster.certificate_authority_data.unwrap();
    assert!(
        data.starts_with("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1BTUNBUVU9Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K"),
        "{data}"
    );
    assert!(pem.len() < data.len());
}

#[test]
fn a_kubeconfig_without_more_than_it_needs() {
    let text = access().text();
    for key in ["certificate-authority", "tls-server-name", "proxy-url"] {
        assert!(!text.contains(key), "{text}");
    }
    assert!(text.contains("server: \"https://192.0.2.1:6443\"\n"), "{text}");
}
