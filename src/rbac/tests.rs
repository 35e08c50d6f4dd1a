//! What is needed follows from what the daemon asks an API server for (`cluster::watch`, `cluster::session`), and what is
//! printed from the table. That no right is missing and none too many is seen on a real API server (`tests/lab_clusters`).

use std::path::Path;

use serde_json::json;

use super::kubeconfig::{Access, MARK};
use super::manifest::{self, Names, Token};
use super::{Need, Place, needs};
use crate::config::{Config, Host};

mod address;
mod printed;

/// Two pools, a group and a Service, each named.
const NAMED: &str = r#"
[[dynamicPrefix]]
name = "home"
acquisition.static.prefix = "2001:db8:a::/56"
addressRanges = [
  { name = "lb", start = "::f000:0:0:1", end = "::f000:0:0:6" },
  { name = "metallb", start = "::f000:0:0:11", end = "::f000:0:0:16" },
]
[[binding]]
prefixRef = "home/lb"
target = "CiliumLoadBalancerIPPool/pool"
[[binding]]
prefixRef = "home/metallb"
target = "IPAddressPool/metallb/public"
[[binding]]
prefixRef = "home/lb"
target = "CiliumCIDRGroup/group"
[[service]]
namespace = "web"
name = "front"
prefixRef = "home/lb"
suffix = "::f000:0:0:2"
"#;

const GROUP_ONLY: &str = r#"
[[dynamicPrefix]]
name = "home"
acquisition.static.prefix = "2001:db8:a::/56"
[[binding]]
prefixRef = { name = "home", whole = true }
target = "CiliumCIDRGroup/group"
"#;

fn config(cluster: &str, rest: &str) -> Config {
    let text = format!("[[cluster]]\nname = \"lab\"\nkubeconfig = \"in-cluster\"\n{cluster}\n{rest}");
    let host = Host { variable: &|_| None, exists: &|_| true, read: &|_| Ok(String::new()) };
    let loaded = Config::parse(&text, Path::new("c.toml"), &host);
    loaded.config.unwrap_or_else(|| panic!("{:#?}", loaded.findings))
}

fn needed(cluster: &str, rest: &str) -> Vec<Need> {
    let config = config(cluster, rest);
    needs(&config, &config.clusters[0])
}

/// Place, resource, names and verbs, one need a line.
fn lines(needs: &[Need]) -> Vec<String> {
    let line = |need: &Need| {
        let place = need.place.namespace().unwrap_or("*");
        let resource =
            if need.group.is_empty() { need.resource.to_owned() } else { format!("{}.{}", need.resource, need.group) };
        format!("{place} {resource} [{}] {}", need.names.join(" "), need.verbs.join(" "))
    };
    needs.iter().map(line).collect()
}

const DEFINITIONS: &str = "* customresourcedefinitions.apiextensions.k8s.io [ciliumloadbalancerippools.cilium.io \
                           ciliumcidrgroups.cilium.io ipaddresspools.metallb.io] list watch";

/// Any object of these kinds may carry an annotation, wherever it is.
#[test]
fn with_discovery_every_object_of_the_kinds() {
    let expected = [
        "* ciliumloadbalancerippools.cilium.io [] list watch patch",
        "* ciliumcidrgroups.cilium.io [] list watch patch",
        "* ipaddresspools.metallb.io [] list watch patch",
        "* services [] list watch patch",
        DEFINITIONS,
        "* events.events.k8s.io [] create patch",
    ];
    for discovery in ["", "discovery = true"] {
        for rest in ["", NAMED, GROUP_ONLY] {
            assert_eq!(lines(&needed(discovery, rest)), expected, "{discovery} {rest}");
        }
    }
}

#[test]
fn without_discovery_what_the_file_names() {
    let expected = [
        "* ciliumloadbalancerippools.cilium.io [pool] list watch patch",
        "* ciliumcidrgroups.cilium.io [group] list watch patch",
        "metallb ipaddresspools.metallb.io [public] list watch patch",
        "* services [] list watch",
        "web services [front] patch",
        DEFINITIONS,
        "default events.events.k8s.io [] create patch",
        "metallb events.events.k8s.io [] create patch",
        "web events.events.k8s.io [] create patch",
    ];
    assert_eq!(lines(&needed("discovery = false", NAMED)), expected);
}

/// A CIDR group hands out no addresses: which ones are in use does not matter.
#[test]
fn groups_alone_need_no_services() {
    let expected = [
        "* ciliumcidrgroups.cilium.io [group] list watch patch",
        "* customresourcedefinitions.apiextensions.k8s.io [ciliumcidrgroups.cilium.io] list watch",
        "default events.events.k8s.io [] create patch",
    ];
    assert_eq!(lines(&needed("discovery = false", GROUP_ONLY)), expected);
}

#[test]
fn nothing_is_needed_where_nothing_is_to_do() {
    assert_eq!(needed("discovery = false", ""), []);
    let two = NAMED
        .replace("[[binding]]", "[[binding]]\ncluster = \"lab\"")
        .replace("[[service]]", "[[service]]\ncluster = \"lab\"");
    let config = config("", &format!("[[cluster]]\nname = \"other\"\nkubeconfig = \"/k\"\ndiscovery = false\n{two}"));
    assert_eq!(needs(&config, &config.clusters[1]), [], "the bindings of another cluster");
}

/// `transition.services = "all"` needs mode ha and a pool, by design §2.
#[test]
fn every_service_with_an_address_of_ours() {
    let all = |mode: &str| {
        let transition = format!("transition = {{ mode = \"{mode}\", services = \"all\" }}\n[[binding]]");
        lines(&needed("discovery = false", &NAMED.replacen("[[binding]]", &transition, 1)))
    };
    let ha = all("ha");
    assert!(ha.contains(&"* services [] list watch patch".to_owned()), "{ha:#?}");
    assert!(!ha.contains(&"web services [front] patch".to_owned()), "said twice: {ha:#?}");
    // Any Service, in any namespace.
    let events: Vec<&String> = ha.iter().filter(|line| line.contains("events")).collect();
    assert_eq!(events, ["* events.events.k8s.io [] create patch"]);
}

#[test]
fn events_only_when_they_are_on() {
    for discovery in ["", "discovery = false"] {
        let lines = lines(&needed(&format!("{discovery}\nevents = false"), NAMED));
        assert!(lines.iter().all(|line| !line.contains("events")), "{lines:#?}");
    }
}

#[test]
fn objects_of_our_own_kind_only_when_they_are_asked_for() {
    let needs = needed("discovery = false\nevents = false\npublishStatus = true", GROUP_ONLY);
    let expected = [
        "* ciliumcidrgroups.cilium.io [group] list watch patch",
        "* customresourcedefinitions.apiextensions.k8s.io [ciliumcidrgroups.cilium.io dynamicprefixes.dyn-prefix.io] \
         list watch",
        "* dynamicprefixes.dyn-prefix.io [] get create patch delete",
        "* dynamicprefixes/status.dyn-prefix.io [] patch",
    ];
    assert_eq!(lines(&needs), expected);
}

#[test]
fn what_an_account_makes_and_deletes_is_said() {
    for (options, expected) in [
        ("events = false", "It creates and deletes nothing, and reads"),
        ("", "It creates nothing but events, deletes nothing, and reads"),
        ("events = false\npublishStatus = true", "deletes nothing but its own DynamicPrefix objects, and reads"),
        (
            "publishStatus = true",
            "nothing but events and its own DynamicPrefix objects, deletes nothing but the latter,",
        ),
        ("publishStatus = true\ndryRun = true", "It creates and deletes nothing, and reads"),
    ] {
        let said = super::boundaries(&needed(options, NAMED));
        assert!(said.contains(expected), "{options}: {said}");
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    for discovery in ["", "discovery = false"] {
        let needs = needed(&format!("{discovery}\ndryRun = true"), NAMED);
        assert!(!needs.is_empty() && needs.iter().all(|need| need.verbs == ["list", "watch"]), "{needs:#?}");
    }
}

/// `status` and the journal tell the user to grant a verb on a resource: what is needed must have it in words.
#[test]
fn every_need_says_what_for_in_full_sentences() {
    let needs = ["publishStatus = true", "discovery = false"].map(|options| needed(options, NAMED)).concat();
    for need in needs {
        for sentence in [need.reason, need.without] {
            assert!(sentence.ends_with('.') && sentence.starts_with(char::is_uppercase), "{sentence}");
        }
        let is_ours = need.group == "dyn-prefix.io" || need.resource == "events";
        let known = if is_ours { &["get", "create", "patch", "delete"][..] } else { &["list", "watch", "patch"] };
        assert!(!need.verbs.is_empty() && need.verbs.iter().all(|verb| known.contains(verb)), "{need:?}");
    }
}

/// The same file, the same text: names in order, whatever their order in the file.
#[test]
fn the_order_of_bindings_does_not_matter() {
    let binding = |name: &str| {
        format!("[[binding]]\nprefixRef = {{ name = \"home\", whole = true }}\ntarget = \"CiliumCIDRGroup/{name}\"\n")
    };
    let head = GROUP_ONLY.split("[[binding]]").next().unwrap();
    let text = |names: [&str; 3]| head.to_owned() + &names.map(binding).concat();
    let needs = |names| needed("discovery = false", &text(names));
    assert_eq!(needs(["a", "b", "c"]), needs(["c", "a", "b"]));
    assert_eq!(needs(["b", "c", "a"])[0].names, ["a", "b", "c"]);
    assert_eq!(needs(["b", "c", "a"])[0].place, Place::Cluster);
}

#[test]
fn what_a_narrower_role_takes_away_is_named() {
    let role = |rules: serde_json::Value| json!({ "rules": rules });
    let pools = |names: serde_json::Value, verbs: serde_json::Value| json!({"apiGroups": ["cilium.io"], "resources": ["ciliumcidrgroups"], "resourceNames": names, "verbs": verbs});
    let services = json!({"apiGroups": [""], "resources": ["services"], "verbs": ["list", "patch"]});
    let taken = |found: serde_json::Value, new: serde_json::Value| manifest::taken_away(&role(found), &role(new));
    let same = json!([pools(json!(["a"]), json!(["list"])), services]);
    assert!(taken(same.clone(), same.clone()).is_empty());
    assert!(taken(json!(null), same).is_empty());
    assert_eq!(taken(json!([services]), json!([])), ["list services", "patch services"]);
    // One that names no object is for all of them.
    let (all, one) = (json!([pools(json!([]), json!(["list"]))]), json!([pools(json!(["a"]), json!(["list"]))]));
    assert!(taken(one.clone(), all.clone()).is_empty());
    assert_eq!(taken(all, one.clone()), ["list ciliumcidrgroups.cilium.io"]);
    assert_eq!(taken(one, json!([])), ["list ciliumcidrgroups.cilium.io/a"]);
}
