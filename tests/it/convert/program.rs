//! The program: what the operators' documents begin with, converted, checked and planned.

use std::fs;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dyn-prefix");

const MANIFESTS: &str = "\
apiVersion: dynamic-prefix.io/v1alpha1
kind: DynamicPrefix
metadata:
  name: home-ipv6
spec:
  acquisition:
    routerAdvertisement:
      interface: eth0
      enabled: true
  addressRanges:
    - name: loadbalancers
      start: \"::f000:0:0:0\"
      end: \"::ffff:ffff:ffff:ffff\"
  transition:
    mode: ha
    maxPrefixHistory: 2
---
apiVersion: cilium.io/v2
kind: CiliumLoadBalancerIPPool
metadata:
  name: ipv6-lb-pool
  annotations:
    dynamic-prefix.io/name: home-ipv6
    dynamic-prefix.io/address-range: loadbalancers
spec:
  blocks: []
---
apiVersion: v1
kind: Service
metadata:
  name: my-service
  annotations:
    dynamic-prefix.io/name: home-ipv6
    dynamic-prefix.io/suffix: \"::ffff:0:1\"
    lbipam.cilium.io/ips: \"198.51.100.10\"
spec:
  type: LoadBalancer
";

const PLAN: &str = "\
home-ipv6  2001:db8:1234::/64
  loadbalancers  2001:db8:1234:0:f000:: - 2001:db8:1234:0:ffff:ffff:ffff:ffff
targets in default
  CiliumLoadBalancerIPPool/ipv6-lb-pool  Planned
    2001:db8:1234:0:f000::-2001:db8:1234:0:ffff:ffff:ffff:ffff
  Service/default/my-service             Planned
    2001:db8:1234::ffff:0:1
";

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_manifests_of_the_operators_give_the_same_ranges() {
    let directory = tempfile::tempdir().unwrap();
    let (manifests, config) = (directory.path().join("m.yaml"), directory.path().join("c.toml"));
    fs::write(&manifests, MANIFESTS).unwrap();
    let converted = run(&["convert", manifests.to_str().unwrap()]);
    assert_eq!((converted.status.code(), text(&converted.stderr).as_str()), (Some(0), ""));
    fs::write(&config, &converted.stdout).unwrap();
    let config = config.to_str().unwrap();
    let checked = run(&["check", config]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stdout));
    let planned = run(&["plan", "--config", config, "--prefix", "2001:db8:1234::/64"]);
    assert_eq!(text(&planned.stdout), PLAN);
}

#[test]
fn what_cannot_be_converted_ends_with_1_and_nothing_on_standard_output() {
    let directory = tempfile::tempdir().unwrap();
    let manifests = directory.path().join("m.yaml");
    fs::write(&manifests, MANIFESTS.replace("interface: eth0", "interface: [a]")).unwrap();
    let refused = run(&["convert", manifests.to_str().unwrap()]);
    let name = manifests.display();
    assert_eq!(
        (refused.status.code(), text(&refused.stdout).as_str(), text(&refused.stderr)),
        (
            Some(1),
            "",
            format!("{name}:8: spec.acquisition.routerAdvertisement.interface is a list, and should be a string\n")
        )
    );
    let usage = run(&["convert"]);
    assert_eq!((usage.status.code(), usage.stdout.len()), (Some(2), 0));
    let arguments = run(&["convert", "--from", "metallb-dyn6", "--", "::1000-::1999", "pool"]);
    assert_eq!(arguments.status.code(), Some(0), "{}", text(&arguments.stderr));
}

#[test]
fn pages_and_completions_are_printed() {
    for (page, wanted) in [
        ("dyn-prefix", ".SH COMMANDS"),
        ("dyn-prefix.toml", "[[dynamicPrefix.subnets]]"),
        ("dyn-prefix-networks", ".SH"),
    ] {
        let printed = run(&["man", page]);
        assert!(printed.status.success() && text(&printed.stdout).contains(wanted), "{page}");
        assert!(text(&printed.stdout).starts_with(".TH DYN\\-PREFIX"), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let printed = run(&["completions", shell]);
        assert!(printed.status.success() && text(&printed.stdout).contains("dhcp-release"), "{shell}");
    }
}
