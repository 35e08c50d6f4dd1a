//! The recipes of dyn-prefix-networks(7): each file can be used, and does for a prefix what its network needs.
//!
//! The prefixes are what such a line or router gives; the ranges are worked out by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dyn-prefix");

/// File, prefix, and what its targets are to hold.
type Recipe = (&'static str, &'static str, &'static [Target]);

/// An object, and its blocks.
type Target = (&'static str, &'static [&'static str]);

const RECIPES: [Recipe; 7] = [
    (
        "debian-networkd",
        "2001:db8:1234:ab00::/56",
        &[("CiliumLoadBalancerIPPool/ipv6-pool", &["2001:db8:1234:ab05::/64"])],
    ),
    ("fritzbox-pd", "2001:db8:1234:abfc::/62", &[("CiliumLoadBalancerIPPool/ipv6-pool", &["2001:db8:1234:abfd::/64"])]),
    (
        "fritzbox-ra",
        "2001:db8:1234:ab00::/64",
        &[("IPAddressPool/metallb-system/public", &["2001:db8:1234:ab00:f000::-2001:db8:1234:ab00:f000::ffff"])],
    ),
    (
        "openwrt",
        "2001:db8:1234:ab08::/62",
        &[("CiliumLoadBalancerIPPool/ipv6-pool", &["2001:db8:1234:ab09::/64", "2001:db8:1234:ab0a::/64"])],
    ),
    (
        "talos",
        "2001:db8:1234:ab00::/64",
        &[("CiliumLoadBalancerIPPool/ipv6-pool", &["2001:db8:1234:ab00:f000::-2001:db8:1234:ab00:f000::ffff"])],
    ),
    (
        "telekom-pppoe",
        "2003:e2:1234:ab00::/56",
        &[
            ("CiliumLoadBalancerIPPool/ipv6-pool", &["2003:e2:1234:abfe::/64"]),
            ("CiliumCIDRGroup/home", &["2003:e2:1234:ab00::/56"]),
        ],
    ),
    (
        "unifi",
        "2001:db8:1234:ab30::/64",
        &[("CiliumLoadBalancerIPPool/ipv6-pool", &["2001:db8:1234:ab30:f000::-2001:db8:1234:ab30:f000::ffff"])],
    ),
];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn every_recipe_passes_the_checker() {
    for (name, ..) in RECIPES {
        let file = directory().join(format!("{name}.toml"));
        let (code, text) = run(&["check", file.to_str().unwrap()]);
        assert_eq!(code, Some(0), "{text}");
        // A kubeconfig that is not on this host is the only thing to warn of.
        let warnings: Vec<&str> = text.lines().filter(|line| line.contains(": warning: ")).collect();
        assert!(warnings.iter().all(|line| line.contains("there is no file")), "{text}");
    }
}

#[test]
fn every_recipe_puts_the_right_ranges_into_its_targets() {
    for (name, prefix, targets) in RECIPES {
        let file = directory().join(format!("{name}.toml"));
        let (code, text) = run(&["plan", "--config", file.to_str().unwrap(), "--prefix", prefix, "--output", "json"]);
        assert_eq!(code, Some(0), "{text}");
        let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
        let found: Vec<(String, Vec<String>)> = plan["targets"].as_array().unwrap().iter().map(target).collect();
        let expected: Vec<(String, Vec<String>)> = targets
            .iter()
            .map(|(target, blocks)| ((*target).to_owned(), blocks.iter().map(|block| (*block).to_owned()).collect()))
            .collect();
        assert_eq!(found, expected, "{name}: {text}");
    }
}

fn target(target: &serde_json::Value) -> (String, Vec<String>) {
    let parts = ["kind", "namespace", "name"].map(|key| target[key].as_str());
    let name = parts.into_iter().flatten().collect::<Vec<_>>().join("/");
    let desired = target["desired"].as_array().unwrap().iter();
    (name, desired.map(|block| block.as_str().unwrap().to_owned()).collect())
}

#[test]
fn every_file_is_a_recipe_of_the_page_and_of_this_test() {
    let names = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> = names
        .filter_map(|name| Some(name.strip_suffix(".toml")?.to_owned()))
        .filter(|name| !["dyn-prefix", "home"].contains(&name.as_str()))
        .collect();
    files.sort();
    assert_eq!(files, RECIPES.map(|(name, ..)| name));
    let page = dyn_prefix::manual::networks("1.2.3");
    for name in files {
        assert!(page.contains(&format!("\n.I {}.toml\n", name.replace('-', "\\-"))), "{name} is not in the page");
    }
    assert!(!page.contains(".\\\" @"), "a recipe of the page has no file");
}
