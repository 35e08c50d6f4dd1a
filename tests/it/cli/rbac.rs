//! `rbac`: prints what is to be applied, and nothing else on standard output.

use super::home::{FIXED, Home};

#[test]
fn the_example_is_what_is_printed_for_the_configuration_of_the_readme() {
    let outcome = Home::new(include_str!("../../../examples/home.toml")).ask(&["rbac"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let example = include_str!("../../../examples/rbac.yaml");
    assert_eq!(outcome.stdout, example, "examples/rbac.yaml is that of examples/home.toml");
}

/// For a pod, behind the namespace that it lives in.
#[test]
fn the_manifest_of_the_pod_is_what_is_printed() {
    let home = Home::new("[[cluster]]\nkubeconfig = \"in-cluster\"\n");
    let outcome = home.ask(&["rbac", "--namespace", "dyn-prefix"]);
    let manifest = include_str!("../../../packaging/kubernetes/rbac.yaml");
    let (namespace, account) = manifest.split_once("---\n").unwrap();
    assert!(namespace.contains("kind: Namespace\n") && namespace.contains("  name: dyn-prefix\n"), "{namespace}");
    assert_eq!(outcome.stdout, account);
}

/// Each has an account of its own: printed together they would be applied to the wrong one.
#[test]
fn one_cluster_at_a_time() {
    let two = FIXED.replacen("[[cluster]]", "[[cluster]]\nname = \"home\"\nkubeconfig = \"/k\"\n\n[[cluster]]", 1);
    let home = Home::new(&two.replace("[[binding]]", "[[binding]]\ncluster = \"lab\""));
    let outcome = home.ask(&["rbac"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    assert!(outcome.stderr.contains("choose one with --cluster, of home, lab"), "{}", outcome.stderr);
    let outcome = home.ask(&["rbac", "--cluster", "hmoe"]);
    assert!(outcome.stderr.contains("no cluster \"hmoe\", only home, lab"), "{}", outcome.stderr);
    let outcome = home.ask(&["rbac", "--cluster", "lab", "--namespace", "ops"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let command = "#   dyn-prefix rbac --cluster lab --namespace ops | kubectl apply -f -\n";
    assert!(outcome.stdout.contains(command) && outcome.stdout.contains("  namespace: ops\n"), "{}", outcome.stdout);
}

#[test]
fn names_that_are_none_and_files_that_cannot_be_used() {
    let home = Home::new(FIXED);
    for name in ["Ops", "a_b", "-a", "", "a.b"] {
        let outcome = home.ask(&["rbac", &format!("--namespace={name}")]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{name}");
    }
    home.configure(&FIXED.replace("/56", "/129"));
    let outcome = home.ask(&["rbac"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(78), ""));
    assert!(outcome.stderr.contains("c.toml:12:29: error: "), "{}", outcome.stderr);
    home.configure("");
    let outcome = home.ask(&["rbac"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("no [[cluster]]"), "{}", outcome.stderr);
}

/// It is said before anything is asked of a cluster.
#[test]
fn the_address_of_an_api_server_is_a_url() {
    let home = Home::new(FIXED);
    let join = |server: &str| home.ask(&["join", "--admin-kubeconfig", "/nowhere", "--server", server]);
    let wrong = [
        "home:6443",
        "http://home:6443",
        "https://",
        "https://:6443",
        "https://2001:db8::1",
        "https://[::1",
        "https://a:b",
    ];
    for server in wrong.into_iter().chain(["https://home:66000", "https://me@home", "https://ho me", "https://[home]"])
    {
        let outcome = join(server);
        assert_eq!(outcome.code, Some(2), "{server}");
        assert!(outcome.stderr.contains("wanted: https://HOST:PORT"), "{}", outcome.stderr);
    }
    for server in ["https://home", "https://home:6443/", "https://[2001:db8::1]:6443/path", "https://192.0.2.1:6443"] {
        assert_ne!(join(server).code, Some(2), "{server}");
    }
}
