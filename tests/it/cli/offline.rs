//! `check`, `plan` and the command line itself: no daemon runs.

use super::home::{FIXED, Home};

#[test]
fn check_says_that_a_file_can_be_used() {
    let home = Home::new(FIXED);
    home.write("kubeconfig", "");
    let outcome = home.run(&["check", "c.toml"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "c.toml: can be used\n"));
    assert_eq!(outcome.stderr, "");
}

#[test]
fn check_warns_of_what_the_host_lacks_and_the_file_can_be_used_all_the_same() {
    let outcome = Home::new(FIXED).run(&["check", "c.toml"]);
    assert_eq!(outcome.code, Some(0));
    let (first, rest) = outcome.stdout.split_once('\n').unwrap();
    assert_eq!(first, "c.toml:8:14: warning: there is no file \"DIR/kubeconfig\"");
    assert!(rest.ends_with("\nc.toml: can be used, 1 warning to look at\n"), "{rest}");
}

#[test]
fn check_prints_every_error_with_its_place_and_exits_78() {
    let text = FIXED.replace("/56", "/129").replace("prefixRef = \"home/lb\"", "prefixRef = \"home/bl\"");
    let home = Home::new(&text.replace("name = \"group\"", "nmae = \"group\""));
    home.write("kubeconfig", "");
    let outcome = home.run(&["check", "c.toml"]);
    assert_eq!(outcome.code, Some(78));
    let places: Vec<&str> = outcome.stdout.lines().filter(|line| line.starts_with("c.toml")).collect();
    let begin =
        ["c.toml:12:29: error: ", "c.toml:18:13: error: ", "c.toml:22:1: error: ", "c.toml: cannot be used, 3 err"];
    assert_eq!(places.len(), begin.len(), "{places:#?}");
    for (place, begin) in places.iter().zip(begin) {
        assert!(place.starts_with(begin), "{place}\n{begin}");
    }
    // With the source line, and with what was meant.
    assert!(outcome.stdout.contains("   22 | nmae = \"group\"\n      | ^^^^\n"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("name"), "{}", outcome.stdout);
}

#[test]
fn check_of_a_file_that_is_not_there_exits_78() {
    let outcome = Home::new("").run(&["check", "other.toml"]);
    let expected = "other.toml: error: the configuration cannot be read: No such file or directory (os error 2)\n";
    assert_eq!(outcome.code, Some(78));
    assert!(outcome.stdout.starts_with(expected), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("/etc/dyn-prefix.toml"), "the usual place: {}", outcome.stdout);
}

#[test]
fn an_empty_file_can_be_used_and_check_says_what_to_add() {
    let outcome = Home::new("").run(&["check", "c.toml"]);
    assert_eq!(outcome.code, Some(0));
    for part in ["no [[dynamicPrefix]]", "add a [[cluster]] and a [[dynamicPrefix]]", "c.toml: can be used\n"] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.stdout);
    }
}

#[test]
fn a_file_that_must_not_be_read_is_told_from_one_that_is_not_there() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new(FIXED);
    std::fs::set_permissions(home.path().join("c.toml"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let outcome = home.ask_as_nobody(&["plan"]);
    assert_eq!(outcome.code, Some(78));
    assert!(outcome.stderr.contains("Permission denied"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("run this as root"), "{}", outcome.stderr);
}

#[test]
fn what_may_not_be_looked_at_is_not_said_to_be_missing() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new(&FIXED.replace("DIR/kubeconfig", "DIR/closed/kubeconfig"));
    for directory in ["closed", "state"] {
        std::fs::create_dir(home.path().join(directory)).unwrap();
        let closed = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(home.path().join(directory), closed).unwrap();
    }
    let outcome = home.ask_as_nobody(&["plan"]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.stderr);
    let expected =
        "cannot read the stored state DIR/state/state.json: Permission denied (os error 13); run this as root\n";
    assert!(outcome.stderr.ends_with(expected), "{}", outcome.stderr);
    let outcome = home.run_as_nobody(&["check", "c.toml"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(!outcome.stdout.contains("there is no file"), "{}", outcome.stdout);
    let outcome = Home::new(FIXED).run(&["check", "c.toml"]);
    assert!(outcome.stdout.contains("`dyn-prefix join` makes an account"), "{}", outcome.stdout);
}

#[test]
fn plan_shows_what_every_object_would_hold() {
    let outcome = Home::new(FIXED).ask(&["plan", "--prefix", "2001:db8:a::/56", "--prefix", "home=2001:db8:b::/56"]);
    let expected = "\
home  2001:db8:a::/56
  lb        2001:db8:a:0:f000:: - 2001:db8:a:0:f000::ffff
  web       2001:db8:a:4::/64, 2001:db8:a:5::/64, 2001:db8:a:7::/64
  (former)  2001:db8:b::/56  draining (Replaced)
targets in lab
  CiliumLoadBalancerIPPool/pool  Planned: Of former ranges, only the addresses in use stay while they drain.
    2001:db8:a:0:f000::-2001:db8:a:0:f000::ffff
    2001:db8:b:0:f000::-2001:db8:b:0:f000::ffff
  CiliumCIDRGroup/group          Planned
    2001:db8:a:4::/64
    2001:db8:a:5::/64
    2001:db8:a:7::/64
    2001:db8:b:4::/64
    2001:db8:b:5::/64
    2001:db8:b:7::/64
";
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (Some(0), expected, ""));
}

/// Beside [`FIXED`]: one Service with a host part, one without, and two that have one address.
const SERVICES: &str = r#"
[[service]]
namespace = "web"
name = "front"
prefixRef = "home/lb"
suffix = "::f000:0:0:2"

[[service]]
namespace = "web"
name = "kept"
prefixRef = "home/lb"

[[service]]
namespace = "dns"
name = "tcp"
prefixRef = "home"
suffix = "::4:0:0:0:35"

[[service]]
namespace = "dns"
name = "udp"
prefixRef = "home/web"
suffix = "::4:0:0:0:35"
"#;

/// The lines about Services of a plan, without the pools before them.
fn services(plan: &str) -> &str {
    plan.find("  Service/").map_or("", |start| &plan[start..])
}

#[test]
fn plan_shows_the_addresses_of_services_in_mode_ha() {
    let ha = FIXED.replace("subnets =", "transition.mode = \"ha\"\nsubnets =");
    let home = Home::new(&format!("{ha}{SERVICES}"));
    let outcome = home.ask(&["plan", "--prefix", "2001:db8:a::/56", "--prefix", "2001:db8:b::/56"]);
    let expected = "\n  Service/dns/tcp                Planned: Service/dns/udp has this address, too, which needs a sharing key on both. MetalLB \
gives a Service one IPv6 address: from MetalLB it has the first of these only.
    2001:db8:a:4::35
    2001:db8:b:4::35
  Service/dns/udp                Planned: Service/dns/tcp has this address, too, which needs a sharing key on both. MetalLB \
gives a Service one IPv6 address: from MetalLB it has the first of these only.
    2001:db8:a:4::35
    2001:db8:b:4::35
  Service/web/front              Planned: MetalLB gives a Service one IPv6 address: from MetalLB it has the first of these \
only.
    2001:db8:a:0:f000::2
    2001:db8:b:0:f000::2
  Service/web/kept               NotKnownOffline: It keeps the host part of the address that it has in home/lb, which is \
known in its cluster only; with `suffix` it is known here.
";
    assert_eq!((outcome.code, services(&outcome.stdout)), (Some(0), &expected[1..]), "{}", outcome.stderr);
}

/// In mode simple a Service asks for its current address only; JSON has the shape of every other target.
#[test]
fn plan_shows_the_addresses_of_services_in_mode_simple() {
    let home = Home::new(&format!("{FIXED}{SERVICES}"));
    let plan = ["plan", "--output", "json", "--prefix", "2001:db8:a::/56", "--prefix", "2001:db8:b::/56"];
    let plan: serde_json::Value = serde_json::from_str(&home.ask(&plan).stdout).unwrap();
    let targets = plan["targets"].as_array().unwrap();
    let front = targets.iter().find(|target| target["name"] == "front").unwrap();
    let expected = serde_json::json!({
        "cluster": "lab", "kind": "Service", "namespace": "web", "name": "front", "bindings": ["[[service]]"],
        "boundPrefixes": ["2001:db8:a:0:f000::2/128"], "desired": ["2001:db8:a:0:f000::2"], "reason": "Planned",
        "message": null,
    });
    assert_eq!(*front, expected);
    let kept = targets.iter().find(|target| target["name"] == "kept").unwrap();
    assert_eq!((&kept["reason"], kept["desired"].as_array().map(Vec::len)), (&"NotKnownOffline".into(), Some(0)));
}

/// A Service that has no place in the prefix says so, and the others have theirs.
#[test]
fn plan_of_services_without_a_place_or_a_prefix() {
    let home = Home::new(&format!("{FIXED}{SERVICES}"));
    let outcome = home.ask(&["plan", "--prefix", "2001:db8:a::/62"]);
    let said = services(&outcome.stdout);
    let error = "  Service/dns/tcp                EntryError: The host part ::4:0:0:0:35 has bits inside the prefix part of \
                 2001:db8:a::/62";
    assert!(said.starts_with(error), "{said}");
    assert!(said.contains("Service/web/front              Planned\n    2001:db8:a:0:f000::2\n"), "{said}");
    let outcome = home.ask(&["plan"]);
    let nothing = "  Service/web/front              NoOpinion: No prefix is known; the Service stays as it is.\n";
    assert!(services(&outcome.stdout).contains(nothing), "{}", outcome.stdout);
}

/// What a delegation would be carved into can be seen before there is one, also of another length than is asked for.
#[test]
fn plan_of_a_file_with_nothing_but_dhcpv6() {
    let dhcpv6 = "acquisition.dhcpv6 = { interface = \"wan\", requestedPrefixLength = 60 }";
    let text = FIXED.replace("acquisition.static.prefix = \"2001:db8:1::/56\"", dhcpv6);
    assert!(text.contains(dhcpv6) && !text.contains("static"), "{text}");
    let home = Home::new(&text);
    let outcome = home.ask(&["plan", "--prefix", "2001:db8:a:10::/60"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    for part in ["home  2001:db8:a:10::/60\n", "web  2001:db8:a:14::/64, 2001:db8:a:15::/64, 2001:db8:a:17::/64\n"] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.stdout);
    }
    assert_eq!(home.ask(&["plan", "--prefix", "2001:db8:a::/56"]).code, Some(0));
    assert!(home.ask(&["plan"]).stdout.starts_with("home  waits for a prefix\n"));
}

#[test]
fn plan_without_a_prefix_and_without_a_stored_one_has_no_opinion() {
    let outcome = Home::new(FIXED).ask(&["plan"]);
    let expected = "\
home  waits for a prefix
targets in lab
  CiliumLoadBalancerIPPool/pool  NoOpinion: No prefix is known; the object stays as it is.
  CiliumCIDRGroup/group          NoOpinion: No prefix is known; the object stays as it is.
";
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), expected));
}

#[test]
fn plan_names_the_entry_that_does_not_fit_and_goes_on_with_the_others() {
    // The 56 of the file has room for the subnets 4, 5 and 7; a 62 has not.
    let outcome = Home::new(FIXED).ask(&["plan", "--prefix", "2001:db8:a::/62"]);
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stdout.contains("  lb  2001:db8:a:0:f000:: - 2001:db8:a:0:f000::ffff\n"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("  error in subnets[web]: "), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("\n  CiliumCIDRGroup/group          EntryError: "), "{}", outcome.stdout);
}

#[test]
fn plan_refuses_a_prefix_that_no_source_could_bring() {
    let home = Home::new(FIXED);
    let outcome = home.ask(&["plan", "--prefix", "::/0"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""));
    let says = "the prefix ::/0 would never be used: a prefix of length 0 holds every address";
    assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    // A site that uses ULAs is a matter of its prefixFilter.
    assert_eq!(home.ask(&["plan", "--prefix", "fd00:1::/56"]).code, Some(0));
}

#[test]
fn plan_refuses_a_name_that_the_file_does_not_have() {
    let outcome = Home::new(FIXED).ask(&["plan", "--prefix", "house=2001:db8:a::/56"]);
    let expected = "dyn-prefix: no dynamicPrefix \"house\" in the file; it has home\n";
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), expected));
}

#[test]
fn plan_of_a_wrong_file_exits_78() {
    let outcome = Home::new("[[cluster]]\n").ask(&["plan"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(78), ""));
    assert!(outcome.stderr.starts_with("c.toml:1:1: error: "), "{}", outcome.stderr);
}

#[test]
fn a_wrong_command_line_exits_2_and_help_0() {
    let home = Home::new(FIXED);
    for wrong in [&["plan", "--prefix", "192.0.2.0/24"][..], &["explode"], &["status", "--output", "xml"], &[]] {
        let outcome = home.run(wrong);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(!outcome.stderr.is_empty());
    }
    let version = format!("dyn-prefix {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(home.run(&["--version"]).stdout, version);
    let help = home.run(&["--help"]);
    assert_eq!(help.code, Some(0));
    for command in ["run", "check", "plan", "status", "history", "reload"] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{command}: {}", help.stdout);
        assert_eq!(home.run(&[command, "--help"]).code, Some(0));
    }
}

#[test]
fn who_asks_a_daemon_that_does_not_run_gets_4() {
    let home = Home::new(FIXED);
    let expected =
        "dyn-prefix is not running: nobody listens on the control socket DIR/control.sock (daemon.controlSocket)\n";
    for command in [&["status"][..], &["status", "--watch"], &["history"], &["reload"]] {
        let outcome = home.ask(command);
        assert_eq!((outcome.code, outcome.stderr.as_str(), outcome.stdout.as_str()), (Some(4), expected, ""));
    }
}
