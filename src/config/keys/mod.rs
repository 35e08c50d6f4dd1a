//! The key table: every table and key of the configuration file, with type, default and help.
//!
//! The reader takes unknown keys, wrong types and missing keys from here, and the hints and the manual page their text. The
//! build of the manual includes this module for the host (`packaging/docs`): it uses the standard library and itself.

use ValueKind::{
    Amount, Boolean, Choice, Indexes, Integer, IntegerOrNone, Names, Table, Tables, Text, TextOrTable, Texts,
};
use spec::key;

mod spec;

pub use spec::{KeySpec, TableSpec, ValueKind};

/// Where the configuration is when nothing else is said.
pub const DEFAULT_PATH: &str = "/etc/dyn-prefix.toml";

/// The file.
pub static ROOT: TableSpec = TableSpec {
    title: "the top level of this file",
    help: "What is followed, and where it is written to.",
    keys: &[
        key("daemon", Table(&DAEMON), "The daemon itself; may be absent."),
        key("cluster", Tables(&CLUSTER), "A Kubernetes cluster to write to."),
        key("dynamicPrefix", Tables(&DYNAMIC_PREFIX), "A prefix to follow, and the ranges and subnets in it."),
        key("binding", Tables(&BINDING), "Puts ranges of a prefix on an object.").also("dynamicPrefixBinding"),
        key("service", Tables(&SERVICE), "A Service whose address keeps its host part."),
        key("hook", Tables(&HOOK), "A command of this host that is run at every change of a prefix."),
        key("file", Tables(&FILE), "A file of this host that follows the prefixes."),
    ],
};

/// `[daemon]`
pub static DAEMON: TableSpec = TableSpec {
    title: "[daemon]",
    help: "The daemon itself.",
    keys: &[
        key("id", Text, "Who we are in the annotation dynamic-prefix.io/managed-by.").or("made from the machine-id"),
        key("stateDirectory", Text, "Where leases, history and managed objects are kept.")
            .or("$STATE_DIRECTORY, else /var/lib/dyn-prefix"),
        key("controlSocket", Text, "The socket that `dyn-prefix status` and `reload` talk to.")
            .or("/run/dyn-prefix/control.sock"),
        key("listen", Text, "The address and port of /metrics, /status, /healthz and /readyz, as in \"[::1]:9478\".")
            .or("not opened"),
    ],
};

/// `[[cluster]]`
pub static CLUSTER: TableSpec = TableSpec {
    title: "[[cluster]]",
    help: "A Kubernetes cluster to write to.",
    keys: &[
        key("name", Text, "What bindings and status call it; may be absent when it is the only one.").or("default"),
        key("kubeconfig", Text, "A kubeconfig file, with ${VARIABLES} of the environment, or \"in-cluster\".")
            .required(),
        key("context", Text, "The context of the kubeconfig to use.").or("its current-context"),
        key("discovery", Boolean, "Whether objects that carry dynamic-prefix.io/* annotations are managed.").or("true"),
        key("dryRun", Boolean, "Logs the patches instead of sending them.").or("false"),
        key("externalDnsAnnotationPrefixes", Texts, "What the annotations begin with that external-dns reads there.")
            .or("external-dns.kubernetes.io/ and external-dns.alpha.kubernetes.io/"),
        key("events", Boolean, "Whether Kubernetes events tell on the objects what is written there.").or("true"),
        key(
            "publishStatus",
            Boolean,
            "Keeps an object of kind DynamicPrefix there for each prefix, for kubectl to show.",
        )
        .or("false"),
    ],
};

/// `[[dynamicPrefix]]`
pub static DYNAMIC_PREFIX: TableSpec = TableSpec {
    title: "[[dynamicPrefix]]",
    help: "A prefix to follow, and the ranges and subnets in it.",
    keys: &[
        key("name", Text, "What bindings and annotations call it.").required(),
        key("acquisition", TextOrTable(&ACQUISITION), "Where the prefix comes from: sources, or \"auto\".").required(),
        key("addressRanges", Tables(&ADDRESS_RANGE), "Ranges of addresses, given by their host part."),
        key("subnets", Tables(&SUBNET), "Subnets carved from the prefix."),
        key("transition", Table(&TRANSITION), "What happens to the old prefix when a new one comes."),
    ],
};

/// `[dynamicPrefix.acquisition]`
pub static ACQUISITION: TableSpec = TableSpec {
    title: "[dynamicPrefix.acquisition]",
    help: "Where the prefix comes from; one source at least.",
    keys: &[
        key("dhcpv6", Table(&DHCPV6), "Delegated to a DHCPv6 client of our own; the others stand in for it.")
            .also("dhcpv6pd"),
        key("observe", Table(&OBSERVE), "Delegated to another DHCPv6 client on this host, which is watched."),
        key("routerAdvertisement", Table(&ROUTER_ADVERTISEMENT), "From Router Advertisements heard on an interface."),
        key("interface", Table(&INTERFACE), "From the addresses of an interface of this host."),
        key("http", Table(&HTTP), "From a service that says which address asks it."),
        key("static", Table(&STATIC), "A prefix that does not change."),
        key("auto", Table(&AUTO), "Chooses one of dhcpv6, observe and routerAdvertisement by what there is."),
        key("prefixFilter", Table(&PREFIX_FILTER), "Which prefixes are accepted."),
    ],
};

/// `[dynamicPrefix.acquisition.dhcpv6]`
pub static DHCPV6: TableSpec = TableSpec {
    title: "[dynamicPrefix.acquisition.dhcpv6]",
    help: "Delegated to a DHCPv6 client of our own; DynamicPrefixes on one interface share the client.",
    keys: &[
        key("interface", Text, "The interface to ask on: the uplink. No other DHCPv6 client may run there.").required(),
        key("requestedPrefixLength", Integer(1, 64), "The length to ask for; the server may delegate another.")
            .or("what the server chooses"),
        key("prefixHint", Text, "A prefix to ask for, as ADDRESS/LENGTH, as long as none was ever delegated."),
        key("duid", Text, "Who we are to servers: \"auto\", \"ll\", \"llt\", or a DUID in hexadecimal.")
            .or("auto: a DUID-UUID made from the machine-id"),
        key("iaid", Integer(0, 0xffff_ffff), "The number of this delegation among those of the client.")
            .or("made from the name, and kept"),
        key("rapidCommit", Boolean, "Asks for the exchange of two messages.").or("false"),
        key("reconfigure", Boolean, "Lets the server say that there is something new, authenticated by a key.")
            .or("false"),
        key("requireRouterAdvertisement", Boolean, "Asks only when a router says that there is DHCPv6 (flag M or O).")
            .or("false"),
        key("requestAddress", Boolean, "Asks for an address beside the prefix, as some providers want it.").or("false"),
        key("rawOptions", Tables(&RAW_OPTION), "Options that the provider wants, sent as they are."),
        key("priority", Integer(0, 7), "The priority of what is sent, which a VLAN maps to 802.1p.").or("0"),
        key("takeOver", Boolean, "Asks although another DHCPv6 client was seen on the interface.").or("false"),
        key("unreachableRoute", Boolean, "Keeps an unreachable route for what is delegated, against loops.")
            .or("false"),
    ],
};

/// `[[dynamicPrefix.acquisition.dhcpv6.rawOptions]]`
pub static RAW_OPTION: TableSpec = TableSpec {
    title: "[[dynamicPrefix.acquisition.dhcpv6.rawOptions]]",
    help: "An option that the provider wants, sent as it is.",
    keys: &[
        key("code", Integer(1, 65_535), "The number of the option, as in 15 for the User Class.").required(),
        key("hex", Text, "What it holds, in hexadecimal, as in \"00:1f:a0\"."),
        key("text", Text, "Instead of hex: what it holds, as text."),
        key("messages", Choice(&["all", "establishing"]), "Where it goes; establishing: Solicit and Request.")
            .or("all"),
    ],
};

/// `[dynamicPrefix.acquisition.observe]`
pub static OBSERVE: TableSpec = TableSpec {
    title: "[dynamicPrefix.acquisition.observe]",
    help: "Delegated to another DHCPv6 client on this host, which is watched and left alone.",
    keys: &[key("interface", Text, "The interface that the other client asks on: the uplink.").required()],
};

/// `[dynamicPrefix.acquisition.interface]`
pub static INTERFACE: TableSpec = TableSpec {
    title: "[dynamicPrefix.acquisition.interface]",
    help: "From the addresses of an interface of this host.",
    keys: &[
        key("name", Text, "The interface that has the addresses.").required(),
        key("delegatedPrefixLength", Integer(1, 64), "The prefix of the addresses is part of one of this length.")
            .or("the length of the addresses' prefix"),
    ],
};

/// `[dynamicPrefix.acquisition.http]`
pub static HTTP: TableSpec = TableSpec {
    title: "[dynamicPrefix.acquisition.http]",
    help: "From a service that says which address asks it, as text or JSON; asked by IPv6 only.",
    keys: &[
        key("url", Text, "What to ask, by http or https.").required(),
        key("prefixLength", Integer(1, 64), "The address that is answered is part of a prefix of this length.")
            .required(),
        key("intervalSeconds", Integer(10, 86_400), "How long after an answer it is asked again.").or("60"),
    ],
};

/// `[dynamicPrefix.acquisition.routerAdvertisement]`
pub static ROUTER_ADVERTISEMENT: TableSpec = TableSpec {
    title: "[dynamicPrefix.acquisition.routerAdvertisement]",
    help: "From Router Advertisements heard on an interface.",
    keys: &[
        key("interface", Text, "The interface to listen on.").required(),
        key("enabled", Boolean, "Whether this source is used.").or("true"),
        key("delegatedPrefixLength", Integer(1, 64), "The /64 that is seen is part of a prefix of this length.")
            .or("the length that is seen"),
        key("routers", Texts, "Listens only to these routers, by link-local address.").or("all"),
    ],
};

/// `[dynamicPrefix.acquisition.static]`
pub static STATIC: TableSpec = TableSpec {
    title: "[dynamicPrefix.acquisition.static]",
    help: "A prefix that does not change.",
    keys: &[key("prefix", Text, "The prefix, as ADDRESS/LENGTH.").required()],
};

/// `[dynamicPrefix.acquisition.auto]`
pub static AUTO: TableSpec = TableSpec {
    title: "[dynamicPrefix.acquisition.auto]",
    help: "Chooses where the prefix comes from by what there is; acquisition = \"auto\" is short for it.",
    keys: &[key("interface", Text, "The interface that the prefix arrives on: the uplink.")
        .or("that of the IPv6 default route, else the only one where a router is heard")],
};

/// `[dynamicPrefix.acquisition.prefixFilter]`
pub static PREFIX_FILTER: TableSpec = TableSpec {
    title: "[dynamicPrefix.acquisition.prefixFilter]",
    help: "Which prefixes are accepted.",
    keys: &[
        key("requireGlobalUnicast", Boolean, "Only prefixes inside 2000::/3.").or("true"),
        key("allow", Texts, "Only prefixes inside one of these.").or("all"),
    ],
};

/// `[[dynamicPrefix.addressRanges]]`
pub static ADDRESS_RANGE: TableSpec = TableSpec {
    title: "[[dynamicPrefix.addressRanges]]",
    help: "A range of addresses, given by its host part.",
    keys: &[
        key("name", Text, "What bindings and annotations call it.").required(),
        key("start", Text, "The host part of the first address, as in \"::f000:0:0:0\".").required(),
        key("end", Text, "The host part of the last address.").required(),
    ],
};

/// `[[dynamicPrefix.subnets]]`
pub static SUBNET: TableSpec = TableSpec {
    title: "[[dynamicPrefix.subnets]]",
    help: "A subnet carved from the prefix.",
    keys: &[
        key("name", Text, "What bindings and annotations call it.").required(),
        key("index", Indexes, "The Nth subnet of this length, from 0; or a list.").or("0"),
        key("offset", Amount, "Instead of index: its distance from the start of the prefix, in addresses."),
        key("prefixLength", Integer(1, 128), "The length of the subnet.").required(),
    ],
};

/// `[dynamicPrefix.transition]`
pub static TRANSITION: TableSpec = TableSpec {
    title: "[dynamicPrefix.transition]",
    help: "What happens to the old prefix when a new one comes.",
    keys: &[
        key(
            "mode",
            Choice(&["simple", "ha"]),
            "simple: pools follow the prefix; ha: Services and DNS, too, without a gap.",
        )
        .or("simple"),
        key(
            "services",
            Choice(&["annotated", "all"]),
            "Which Services follow in mode ha; all: every one that has an address of ours.",
        )
        .or("annotated"),
        // A year: more is a unit mixed up.
        key(
            "drainPeriodMinutes",
            IntegerOrNone(0, 525_600),
            "How long an old prefix stays; \"none\": no limit by time.",
        )
        .or("60, or less when the old prefix is known to be dead"),
        key("maxPrefixHistory", Integer(0, 10), "How many old prefixes stay at most.").or("2"),
        key("onLoss", Choice(&["keep", "withdraw"]), "What happens to a prefix that is lost without a successor.")
            .or("keep"),
    ],
};

/// `[[binding]]`
pub static BINDING: TableSpec = TableSpec {
    title: "[[binding]]",
    help: "Puts ranges of a prefix on an object.",
    keys: &[
        key("name", Text, "What status calls it.").or("made from cluster, target and prefixRef"),
        key("cluster", Names, "The cluster or clusters it is for.").or("every cluster"),
        key("prefixRef", TextOrTable(&PREFIX_REF), "What is put there: \"PREFIX/RANGE\", or \"PREFIX\" for all of it.")
            .required(),
        key("target", TextOrTable(&TARGET), "Where it is put: \"KIND/NAME\", or \"KIND/NAMESPACE/NAME\".").required(),
        key("updateStrategy", TextOrTable(&UPDATE_STRATEGY), "Whether the user's own entries of the list stay.")
            .or("Append"),
    ],
};

/// `[[service]]`
pub static SERVICE: TableSpec = TableSpec {
    title: "[[service]]",
    help: "A Service of type LoadBalancer whose address keeps its host part when the prefix changes.",
    keys: &[
        key("cluster", Names, "The cluster or clusters it is in.").or("every cluster"),
        key("namespace", Text, "The namespace of the Service.").required(),
        key("name", Text, "The name of the Service.").required(),
        key(
            "prefixRef",
            TextOrTable(&PREFIX_REF),
            "Where its address lies: \"PREFIX/RANGE\", or \"PREFIX\" for anywhere.",
        )
        .required(),
        key("suffix", Text, "The host part, counted from the start of the prefix, as in \"::f000:0:0:2\".")
            .or("that of the address it has"),
    ],
};

/// `[[hook]]`
pub static HOOK: TableSpec = TableSpec {
    title: "[[hook]]",
    help: "A command of this host that is run at every change of a prefix, until it has succeeded.",
    keys: &[
        key("name", Text, "What status and the journal call it.").or("the name of the program"),
        key("command", Texts, "The program by its absolute path, and its arguments; no shell reads them.").required(),
        key("dynamicPrefix", Names, "The DynamicPrefix or DynamicPrefixes it is run for.").or("every DynamicPrefix"),
        key("timeoutSeconds", Integer(1, 3600), "How long it may take before it is ended.").or("30"),
    ],
};

/// `[[file]]`
pub static FILE: TableSpec = TableSpec {
    title: "[[file]]",
    help: "A file of this host that follows the prefixes: a template with what is known of them.",
    keys: &[
        key("path", Text, "The file that is written.").required(),
        key("template", Text, "The file with the template."),
        key("text", Text, "Instead of template: the template itself."),
        key("mode", Text, "The permissions of the file, in octal.").or("0644"),
        key("reload", Texts, "A command that is run after each change of the file, as that of a hook."),
        key("timeoutSeconds", Integer(1, 3600), "How long reload may take before it is ended.").or("30"),
    ],
};

/// `prefixRef` at length
pub static PREFIX_REF: TableSpec = TableSpec {
    title: "prefixRef",
    help: "Which part of which prefix.",
    keys: &[
        key("name", Text, "The DynamicPrefix.").required(),
        key("addressRange", Names, "An entry of its addressRanges, or a list of them."),
        key("subnet", Names, "An entry of its subnets, or a list of them."),
        key("whole", Boolean, "All of the prefix.").or("false, and true without a range, except for a pool"),
    ],
};

/// `target` at length
pub static TARGET: TableSpec = TableSpec {
    title: "target",
    help: "A Kubernetes object.",
    keys: &[
        key("kind", Text, "CiliumLoadBalancerIPPool, CiliumCIDRGroup or IPAddressPool.").required(),
        key("name", Text, "The name of the object.").required(),
        key("namespace", Text, "Its namespace, for an IPAddressPool.").or("metallb-system"),
    ],
};

/// `updateStrategy` at length
pub static UPDATE_STRATEGY: TableSpec = TableSpec {
    title: "updateStrategy",
    help: "Whether the user's own entries of the list stay.",
    keys: &[key("type", Choice(STRATEGIES), "Append keeps them, Replace removes them.").or("Append")],
};

/// The values of `updateStrategy`, short and at length.
pub const STRATEGIES: &[&str] = &["Append", "Replace"];
