//! The page of the configuration has every key, and what it shows can be used.

use std::path::Path;

use crate::config::keys::{KeySpec, ROOT, TableSpec, ValueKind};
use crate::config::{Config, Host, Severity};

use super::configuration::{section, tables};
use super::{KEYS, configuration, networks, prose, roff};

/// A whole file for an example of a table: what stands before it, the keys that have to be there, what stands after it.
struct Context {
    title: &'static str,
    before: &'static str,
    required: &'static [(&'static str, &'static str)],
    after: &'static str,
}

const CLUSTER: &str =
    "[[cluster]]\nname = \"home\"\nkubeconfig = \"/k\"\n[[cluster]]\nname = \"lab\"\nkubeconfig = \"/l\"\n";
const PREFIX: &str = "[[dynamicPrefix]]\nname = \"home-ipv6\"\nacquisition.static = { prefix = \"2001:db8:1234::/60\" }\n\
    addressRanges = [{ name = \"loadbalancers\", start = \"::f000:0:0:0\", end = \"::f000:0:0:ffff\" }]\n\
    subnets = [{ name = \"services\", index = 5, prefixLength = 64 }]\n";
const NAMED: &str = "[[dynamicPrefix]]\nname = \"n\"\n";
const STATIC: &str = "[dynamicPrefix.acquisition.static]\nprefix = \"2001:db8::/48\"\n";

const CONTEXTS: [Context; 24] = [
    Context { title: "[daemon]", before: "[daemon]\n", required: &[], after: "" },
    Context {
        title: "[[cluster]]",
        before: "[[cluster]]\n",
        required: &[("kubeconfig", "kubeconfig = \"/k\"")],
        after: "",
    },
    Context {
        title: "[[dynamicPrefix]]",
        before: "[[dynamicPrefix]]\n",
        required: &[],
        after: "acquisition.static = { prefix = \"2001:db8::/48\" }\n",
    },
    Context {
        title: "[dynamicPrefix.acquisition.dhcpv6]",
        before: "[[dynamicPrefix]]\nname = \"n\"\n[dynamicPrefix.acquisition.dhcpv6]\n",
        required: &[("interface", "interface = \"eth0\"")],
        after: "",
    },
    Context {
        title: "[[dynamicPrefix.acquisition.dhcpv6.rawOptions]]",
        before: "[[dynamicPrefix]]\nname = \"n\"\nacquisition.dhcpv6.interface = \"eth0\"\n\
            [[dynamicPrefix.acquisition.dhcpv6.rawOptions]]\n",
        required: &[("code", "code = 65001"), ("hex", "hex = \"00:01:61\"")],
        after: "",
    },
    Context {
        title: "[dynamicPrefix.acquisition.routerAdvertisement]",
        before: "[[dynamicPrefix]]\nname = \"n\"\nacquisition.static = { prefix = \"2001:db8::/48\" }\n\
            [dynamicPrefix.acquisition.routerAdvertisement]\n",
        required: &[("interface", "interface = \"eth0\"")],
        after: "",
    },
    Context {
        title: "[dynamicPrefix.acquisition.observe]",
        before: "[[dynamicPrefix]]\nname = \"n\"\n[dynamicPrefix.acquisition.observe]\n",
        required: &[],
        after: "",
    },
    Context {
        title: "[dynamicPrefix.acquisition.interface]",
        before: "[[dynamicPrefix]]\nname = \"n\"\n[dynamicPrefix.acquisition.interface]\n",
        required: &[("name", "name = \"br-lan\"")],
        after: "",
    },
    Context {
        title: "[dynamicPrefix.acquisition.http]",
        before: "[[dynamicPrefix]]\nname = \"n\"\n[dynamicPrefix.acquisition.http]\n",
        required: &[("url", "url = \"https://a.example/\""), ("prefixLength", "prefixLength = 56")],
        after: "",
    },
    Context {
        title: "[dynamicPrefix.acquisition.auto]",
        before: "[[dynamicPrefix]]\nname = \"n\"\n[dynamicPrefix.acquisition.auto]\n",
        required: &[],
        after: "",
    },
    Context {
        title: "[dynamicPrefix.acquisition.static]",
        before: "[[dynamicPrefix]]\nname = \"n\"\n[dynamicPrefix.acquisition.static]\n",
        required: &[],
        after: "",
    },
    Context {
        title: "[dynamicPrefix.acquisition.prefixFilter]",
        before: "[[dynamicPrefix]]\nname = \"n\"\nacquisition.routerAdvertisement = { interface = \"eth0\" }\n\
            [dynamicPrefix.acquisition.prefixFilter]\n",
        required: &[],
        after: "",
    },
    Context {
        title: "[[dynamicPrefix.addressRanges]]",
        before: "@STATIC[[dynamicPrefix.addressRanges]]\n",
        required: &[
            ("name", "name = \"r\""),
            ("start", "start = \"::f000:0:0:0\""),
            ("end", "end = \"::f000:0:0:ff\""),
        ],
        after: "",
    },
    Context {
        title: "[[dynamicPrefix.subnets]]",
        before: "@STATIC[[dynamicPrefix.subnets]]\n",
        required: &[("name", "name = \"s\""), ("prefixLength", "prefixLength = 112")],
        after: "",
    },
    Context {
        title: "[dynamicPrefix.transition]",
        before: "@STATIC[dynamicPrefix.transition]\nmode = \"ha\"\n",
        required: &[],
        after: "",
    },
    Context {
        title: "[[binding]]",
        before: "@ALL[[binding]]\n",
        required: &[
            ("prefixRef", "prefixRef = \"home-ipv6/services\""),
            ("target", "target = \"CiliumLoadBalancerIPPool/p\""),
        ],
        after: "",
    },
    Context {
        title: "[[service]]",
        before: "@ALL[[service]]\n",
        required: &[
            ("namespace", "namespace = \"web\""),
            ("name", "name = \"front\""),
            ("prefixRef", "prefixRef = \"home-ipv6/loadbalancers\""),
        ],
        after: "",
    },
    Context {
        title: "[[hook]]",
        before: "@ALL[[hook]]\n",
        required: &[("command", "command = [\"/bin/true\"]")],
        after: "",
    },
    Context {
        title: "[[file]]",
        before: "@ALL[[file]]\n",
        required: &[("path", "path = \"/run/x\""), ("text", "text = \"x\"")],
        after: "",
    },
    Context {
        title: "prefixRef",
        before: "@ALL[[binding]]\ntarget = \"CiliumLoadBalancerIPPool/p\"\n",
        required: &[],
        after: "",
    },
    Context {
        title: "target",
        before: "@ALL[[binding]]\nprefixRef = \"home-ipv6/services\"\n",
        required: &[],
        after: "",
    },
    Context {
        title: "updateStrategy",
        before: "@ALL[[binding]]\nprefixRef = \"home-ipv6/services\"\ntarget = \"CiliumCIDRGroup/g\"\n",
        required: &[],
        after: "",
    },
    // Neither has keys of its own with an example.
    Context { title: "the top level of this file", before: "", required: &[], after: "" },
    Context { title: "[dynamicPrefix.acquisition]", before: "", required: &[], after: "" },
];

/// The file that an example stands for.
fn file(context: &Context, key: &str, example: &str) -> String {
    let before = context.before.replace("@ALL", &format!("{CLUSTER}{PREFIX}"));
    let before = before.replace("@STATIC", &format!("{NAMED}{STATIC}"));
    let cluster = if before.contains("[[cluster]]") { "" } else { "[[cluster]]\nkubeconfig = \"/k\"\n" };
    let before = format!("{cluster}{before}");
    // Of text and hex, and of text and template, there can be one only, and a mode that the example gives is not given twice.
    let before = if key == "mode" { before.replace("mode = \"ha\"\n", "") } else { before };
    let replaced = |name: &str| name == key || (name, key) == ("hex", "text") || (name, key) == ("text", "template");
    let required: Vec<&str> =
        context.required.iter().filter(|(name, _)| !replaced(name)).map(|(_, line)| *line).collect();
    // The example is the acquisition itself.
    let after = if key == "acquisition" { "name = \"n\"\n" } else { context.after };
    format!("{before}{}\n{example}\n{after}", required.join("\n"))
}

fn errors(text: &str) -> Vec<String> {
    let host =
        Host { variable: &|_| Some("/run/credentials".to_owned()), exists: &|_| true, read: &|_| Ok(String::new()) };
    let loaded = Config::parse(text, Path::new("example"), &host);
    let wrong = loaded.findings.iter().filter(|finding| finding.severity != Severity::Note);
    wrong.map(ToString::to_string).collect()
}

#[test]
fn every_example_of_a_key_passes_the_checker() {
    let (mut tried, mut refused) = (0, Vec::new());
    for ((title, key), text) in prose::parse(KEYS).unwrap() {
        let context = CONTEXTS.iter().find(|context| context.title == title);
        let context = context.unwrap_or_else(|| panic!("write a context for examples of {title} in this test"));
        for example in text.examples {
            // The key itself has to be in its example, or it is an example of something else.
            assert!(example.contains(&format!("{key} =")), "{title} {key}: {example}");
            let file = file(context, &key, &example);
            let errors = errors(&file);
            refused.extend(errors.iter().map(|error| format!("{title} {key}: {error}\n{file}")));
            tried += 1;
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
    assert!(tried > 60, "{tried} examples were found");
}

#[test]
fn an_example_that_the_checker_refuses_is_noticed() {
    let context = CONTEXTS.iter().find(|context| context.title == "[[cluster]]").unwrap();
    assert_eq!(errors(&file(context, "dryRun", "dryRun = \"yes\"")).len(), 1);
}

#[test]
fn every_key_of_the_table_is_in_the_page_with_its_default() {
    let page = configuration("1.2.3").unwrap();
    let mut keys = 0;
    for table in tables(&ROOT) {
        for key in table.keys {
            assert!(page.contains(&format!("\n\\fB{}\\fR\n", key.name)), "{} {}", table.title, key.name);
            // Where a line is broken is no matter.
            let flat = page.replace('\n', " ");
            let default = key.default.map(|default| roff::inline(&format!("Default: {default}.")).replace('\n', " "));
            assert!(default.is_none_or(|default| flat.contains(&default)), "{} {}", table.title, key.name);
            keys += 1;
        }
    }
    assert!(keys > 60 && page.contains("dyn\\-prefix 1.2.3"), "{keys}");
}

#[test]
fn a_key_without_a_text_and_a_text_without_a_key_are_refused() {
    static TABLE: TableSpec = TableSpec {
        title: "[x]",
        help: "A table.",
        keys: &[KeySpec {
            name: "y",
            alias: Some("z"),
            kind: ValueKind::Boolean,
            required: false,
            default: Some("true"),
            help: "A key.",
        }],
    };
    let of = |text: &str| section(&TABLE, &prose::parse(text).unwrap());
    assert!(of("").unwrap_err().contains("has no text with an example for `y` of [x]"));
    assert!(of("# [x]\n\n## y\nText, but no example.").unwrap_err().contains("no text with an example"));
    assert!(of("# [x]\n\n## y\nText.\n\n    y = false\n\n## w\nText.").unwrap_err().contains("speaks of [x] w"));
    let page = of("# [x]\nAll of\nit.\n\n## y\nText.\n\n    y = false\n").unwrap();
    assert_eq!(
        page,
        ".SS \"[x]\"\nAll of it.\n.TP\n\\fBy\\fR\nValue: true or false.\nDefault: true.\n\\fBz\\fR may be written \
         instead.\n.IP\nA key.\n.IP\nText.\n.IP\n.EX\ny = false\n.EE\n"
    );
}

#[test]
fn what_would_be_a_request_is_text() {
    assert_eq!(roff::escape(".so x\n'a \\fB-"), "\\&.so x\n\\&\\(aqa \\efB\\-");
    assert_eq!(roff::inline("see `.a-b`, a-b"), "see \\fB\\&.a\\-b\\fR, a-b");
    assert_eq!(roff::inline("Over. .so x"), "Over.\n\\&.so x");
}

#[test]
fn no_placeholder_is_left() {
    for page in [configuration("1").unwrap(), networks("1")] {
        assert!(!page.contains('@') || !page.contains("@VERSION@") && !page.contains(".\\\" @"));
    }
}

/// The program that writes the pages for a package is a package of its own, and says its version by itself.
#[test]
fn the_writer_of_the_pages_has_the_version_of_the_program() {
    let manifest = include_str!("../../packaging/manual/Cargo.toml");
    assert!(manifest.contains(&format!("\nversion = \"{}\"\n", crate::VERSION)), "{manifest}");
}
