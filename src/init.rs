//! A configuration to start from, made of what was seen on this host: `dyn-prefix init`.
//!
//! Pure: [`crate::doctor::gather`] looks, this writes. The file says what was seen and why something was chosen, and
//! passes `dyn-prefix check` as it is.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use crate::cluster::object::Object;
use crate::config::{Kind, ObjectRef};
use crate::source::dhcpv6::others::{Client, Verdict};
use crate::source::ra::packet::Advertisement;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The interface that was asked for.
    pub wanted: Option<String>,
    /// The interfaces of this host but loopback.
    pub interfaces: Vec<Interface>,
    /// Whether this host forwards IPv6.
    pub forwards: bool,
    /// The cluster that was asked for.
    pub cluster: Option<Cluster>,
}

/// An interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Up, and with a link-local address to send from.
    pub can_send: bool,
    /// There is an IPv6 default route by it.
    pub default_route: bool,
    /// The Router Advertisements heard; or why nobody could listen.
    pub routers: Result<Vec<Advertisement>, String>,
    /// Whether another DHCPv6 client is there.
    pub client: Verdict,
}

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The kubeconfig, as an absolute path.
    pub kubeconfig: String,
    /// What it has, or why that cannot be seen.
    pub found: Result<Found, String>,
}

/// What a cluster has.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The version of its API server.
    pub version: String,
    /// Its pools and CIDR groups.
    pub objects: Vec<Object>,
    /// Kinds that could not be listed, and why.
    pub unread: Vec<(Kind, String)>,
}

/// Made by container runtimes and networks: no prefix arrives there.
const INNER: [&str; 9] = ["veth", "docker", "br-", "cni", "cilium", "lxc", "flannel", "cali", "virbr"];

/// So many interfaces are looked at, at most.
const MOST: usize = 32;

/// Whether the prefix may arrive on an interface of this name.
pub fn can_be_uplink(name: &str) -> bool {
    name != "lo" && !INNER.iter().any(|inner| name.starts_with(inner))
}

/// The interfaces to look at: the wanted one alone, else those where a prefix may arrive, the ways out of this host
/// before all others.
pub fn to_look_at(
    names: impl IntoIterator<Item = String>,
    wanted: Option<&str>,
    is_way_out: impl Fn(&str) -> bool,
) -> Vec<String> {
    let is_meant = |name: &String| wanted.map_or_else(|| can_be_uplink(name), |wanted| name == wanted);
    let mut names: Vec<String> = names.into_iter().filter(is_meant).collect();
    names.sort_by_key(|name| !is_way_out(name));
    names.truncate(MOST);
    names
}

/// Where the prefix is to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// A DHCPv6 client of our own, with Router Advertisements beside it.
    Dhcpv6,
    /// What another client on an edge router is delegated, with Router Advertisements beside it.
    Observed,
    /// Router Advertisements, alone or beside what is observed on a host that is no router.
    RouterAdvertisement,
}

/// Where the packages keep the kubeconfigs of the daemon.
const DIRECTORY: &str = "/etc/dyn-prefix/";

/// The text of the file.
pub fn write(seen: &Seen) -> String {
    let mut file = File::default();
    file.comment(
        "A configuration of dyn-prefix to start from, made by `dyn-prefix init` of what it saw on this host. Read it, \
         change what is wrong, save it as /etc/dyn-prefix.toml, and run `dyn-prefix check` and `dyn-prefix doctor`. \
         dyn-prefix.toml(5) has every key.",
    );
    cluster(&mut file, seen.cluster.as_ref());
    let choice = prefix(&mut file, seen);
    bindings(&mut file, seen.cluster.as_ref(), choice);
    file.text
}

#[derive(Default)]
struct File {
    text: String,
}

impl File {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A comment of lines that fit a screen.
    fn comment(&mut self, text: &str) {
        let mut line = String::from("#");
        for word in text.split_whitespace().map(printable) {
            if line.chars().count() + word.chars().count() >= 100 {
                self.line(&line);
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(&word);
        }
        self.line(&line);
    }

    fn pair(&mut self, key: &str, value: &str) {
        let _infallible = writeln!(self.text, "{key} = {}", quoted(value));
    }
}

/// Names come from the network and from clusters: none of them may end a comment.
fn printable(word: &str) -> String {
    word.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

/// As a basic string of TOML, which has the escapes of JSON.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

fn cluster(file: &mut File, cluster: Option<&Cluster>) {
    file.line("");
    let Some(Cluster { kubeconfig, found }) = cluster else {
        file.comment(
            "No cluster was looked at: `dyn-prefix init --kubeconfig FILE` does. `dyn-prefix join` makes an account with \
             the rights that are needed, and a kubeconfig for it.",
        );
        file.line("# [[cluster]]");
        file.line("# kubeconfig = \"/etc/dyn-prefix/home.kubeconfig\"");
        return;
    };
    let tried = if found.is_ok() { "looked at" } else { "tried" };
    match found {
        Ok(found) => {
            let version = if found.version.is_empty() { "which keeps its version to itself" } else { &found.version };
            file.comment(&format!("An API server answers ({version})."));
            for (kind, why) in &found.unread {
                file.comment(&format!("Objects of kind {} could not be listed: {why}", kind.as_str()));
            }
        }
        Err(why) => file.comment(&format!("The cluster could not be looked at: {why}")),
    }
    if kubeconfig.starts_with(DIRECTORY) {
        file.line("[[cluster]]");
        return file.pair("kubeconfig", kubeconfig);
    }
    file.comment(&format!(
        "It was {tried} with {kubeconfig}. The daemon gets an account and a kubeconfig of its own, with no more rights \
         than it needs: once this file is in place, `dyn-prefix join --admin-kubeconfig {kubeconfig}` makes both."
    ));
    file.line("[[cluster]]");
    file.pair("kubeconfig", &format!("{DIRECTORY}home.kubeconfig"));
}

/// The interface that the prefix most likely arrives on, and why.
fn choose(seen: &Seen) -> (String, Option<&Interface>, String) {
    if let Some(wanted) = &seen.wanted {
        let found = seen.interfaces.iter().find(|interface| interface.name == *wanted);
        let why = match found {
            Some(_) => format!("{wanted}, as was asked for."),
            None => format!("{wanted}, as was asked for; there is no such interface at the moment."),
        };
        return (wanted.clone(), found, why);
    }
    let heard = |interface: &&Interface| interface.routers.as_ref().is_ok_and(|routers| !routers.is_empty());
    let all = || seen.interfaces.iter();
    let by_route = all().find(|interface| interface.default_route).map(|found| (found, "has the IPv6 default route"));
    let by_router = || all().find(heard).map(|found| (found, "is where a router announces itself"));
    let usable = || {
        let mut usable = all().filter(|interface| interface.can_send);
        let first = usable.next()?;
        Some((
            first,
            if usable.next().is_none() { "is the only one that is up" } else { "is the first one that is up" },
        ))
    };
    match by_route.or_else(by_router).or_else(usable) {
        Some((found, why)) => (found.name.clone(), Some(found), format!("{}, which {why}.", found.name)),
        None => {
            let why = "no interface of this host is up: write the one that the prefix arrives on.".to_owned();
            ("eth0".to_owned(), None, why)
        }
    }
}

fn prefix(file: &mut File, seen: &Seen) -> Choice {
    let (name, interface, why) = choose(seen);
    file.line("");
    file.comment(&format!("The interface is {why}"));
    let others: Vec<&str> =
        seen.interfaces.iter().map(|other| other.name.as_str()).filter(|other| *other != name).collect();
    if !others.is_empty() {
        file.comment(&format!("Others: {}.", others.join(", ")));
    }
    let routers = interface.map(|interface| &interface.routers);
    told(file, &name, routers);
    let choice = source(file, &name, interface, seen.forwards);
    file.line("[[dynamicPrefix]]");
    file.pair("name", "home");
    let quoted_name = quoted(&name);
    let delegation = format!("acquisition.dhcpv6 = {{ interface = {quoted_name}, requestedPrefixLength = 60 }}");
    if choice == Choice::Dhcpv6 {
        file.line(&delegation);
    } else if interface.is_some_and(|interface| matches!(interface.client, Verdict::Taken(_))) {
        file.line(&format!("acquisition.observe = {{ interface = {quoted_name} }}"));
    } else {
        file.comment("If the router delegates prefixes (DHCPv6-PD), one of your own is better:");
        file.line(&format!("# {delegation}"));
    }
    file.line(&format!("acquisition.routerAdvertisement = {{ interface = {quoted_name} }}"));
    file.comment("Instead of these sources, to have the daemon choose at its start by what there is then:");
    file.line(&format!("# acquisition.auto = {{ interface = {quoted_name} }}"));
    if has_only_ula(routers) {
        file.comment("Only unique local prefixes are announced; by themselves they are not used.");
        file.line("acquisition.prefixFilter.requireGlobalUnicast = false");
    }
    range(file, choice);
    choice
}

fn told(file: &mut File, name: &str, routers: Option<&Result<Vec<Advertisement>, String>>) {
    match routers {
        None => {}
        Some(Err(why)) => file.comment(&format!("Nobody could listen to Router Advertisements there: {why}.")),
        Some(Ok(routers)) if routers.is_empty() => {
            file.comment(&format!("No Router Advertisement was heard on {name}."));
        }
        Some(Ok(routers)) => {
            for router in routers {
                let prefixes: Vec<String> = router.prefixes.iter().map(|prefix| prefix.prefix.to_string()).collect();
                let prefixes = if prefixes.is_empty() { "no prefix".to_owned() } else { prefixes.join(", ") };
                file.comment(&format!("The router {} announces {prefixes}.", router.router));
            }
        }
    }
}

fn source(file: &mut File, name: &str, interface: Option<&Interface>, forwards: bool) -> Choice {
    let routers = interface.and_then(|interface| interface.routers.as_ref().ok());
    let announces = routers.is_some_and(|routers| routers.iter().any(|router| !router.prefixes.is_empty()));
    let prefers_pd = routers
        .is_some_and(|routers| routers.iter().flat_map(|router| &router.prefixes).any(|prefix| prefix.pd_preferred));
    match interface.map(|interface| &interface.client) {
        Some(Verdict::Taken(Client { who, advice })) => {
            file.comment(&format!(
                "{who}. What it is delegated is observed; Router Advertisements stand in where that is nothing. For a \
                 client of our own instead: {advice}; then reboot, and run `dyn-prefix init` again."
            ));
            return if forwards { Choice::Observed } else { Choice::RouterAdvertisement };
        }
        Some(Verdict::Undecided(who)) => {
            file.comment(&format!("Whether there will be another DHCPv6 client on {name} is still open: {who}."));
        }
        Some(Verdict::Free) | None => {}
    }
    if announces && !forwards && !prefers_pd && !name.starts_with("ppp") {
        file.comment(
            "This host does not forward IPv6 and a router announces a prefix, so it is taken for a host on the link, not \
             for the edge router.",
        );
        return Choice::RouterAdvertisement;
    }
    let why = if prefers_pd {
        "The router asks for delegation (flag P of RFC 9762)"
    } else if forwards {
        "This host forwards IPv6, so it is taken for the edge router"
    } else {
        "No router announces a prefix that could be taken instead"
    };
    file.comment(&format!(
        "{why}: a DHCPv6 client asks for a prefix, and Router Advertisements are the second best. The length is a wish; \
         providers give /56 to /64."
    ));
    Choice::Dhcpv6
}

/// Whether something is announced, and nothing of it is global.
fn has_only_ula(routers: Option<&Result<Vec<Advertisement>, String>>) -> bool {
    let Some(Ok(routers)) = routers else { return false };
    let mut prefixes = routers.iter().flat_map(|router| &router.prefixes).map(|prefix| prefix.prefix.network());
    let is_ula = |address: Ipv6Addr| address.is_unique_local();
    prefixes.clone().next().is_some() && prefixes.all(is_ula)
}

fn range(file: &mut File, choice: Choice) {
    match choice {
        // A range would move with the prefix into the /64 of the uplink, which nobody routes to this host.
        Choice::Dhcpv6 | Choice::Observed => {
            file.comment(
                "The second /64 of the delegation for Services; the first is often the one of the LAN. Of a mere /64 there \
                 is no second: then take addressRanges.",
            );
            file.line("subnets = [{ name = \"loadbalancers\", index = 1, prefixLength = 64 }]");
        }
        Choice::RouterAdvertisement => {
            file.comment(
                "A part of the /64 of the link where hosts hardly ever are. The nodes have to announce its addresses there \
                 (L2 announcements of Cilium since 1.19, or of MetalLB).",
            );
            file.line("addressRanges = [");
            file.line("  { name = \"loadbalancers\", start = \"::f000:0:0:0\", end = \"::f000:0:0:ffff\" },");
            file.line("]");
        }
    }
    file.comment("With \"ha\" Services keep their former address beside the new one until it has drained.");
    file.line("# transition.mode = \"ha\"");
}

fn bindings(file: &mut File, cluster: Option<&Cluster>, choice: Choice) {
    let Some(Ok(found)) = cluster.map(|cluster| &cluster.found) else {
        file.line("");
        file.comment("Which pool of the cluster gets the range:");
        file.line("# [[binding]]");
        file.line("# prefixRef = \"home/loadbalancers\"");
        file.line("# target = \"CiliumLoadBalancerIPPool/NAME\"");
        return;
    };
    let mut pools: Vec<&Object> = found.objects.iter().filter(|object| object.reference.kind.is_pool()).collect();
    // The one that has IPv6 already is meant for it.
    pools.sort_by_key(|pool| !has_ipv6(pool));
    let mut pools = pools.into_iter();
    file.line("");
    match pools.next() {
        None => file.comment(
            "There is no pool of Cilium or MetalLB that gets the range. Create one and name it in a [[binding]], or give it \
             the annotations dynamic-prefix.io/name: home and the one for the range.",
        ),
        Some(pool) => {
            let why = if has_ipv6(pool) { "it has IPv6 addresses already" } else { "it was found" };
            file.comment(&format!("This pool gets the range, for {why}. What is in it stays."));
            file.line("[[binding]]");
            file.pair("prefixRef", "home/loadbalancers");
            file.pair("target", &target(&pool.reference));
        }
    }
    for pool in pools {
        file.comment(&format!(
            "Another pool: {}. It needs a range of its own, for two pools must not have the same.",
            target(&pool.reference)
        ));
    }
    for group in found.objects.iter().filter(|object| object.reference.kind == Kind::CiliumCIDRGroup) {
        let part = if choice != Choice::RouterAdvertisement { "the whole prefix" } else { "the range" };
        file.comment(&format!("A CIDR group that could have {part} for policies: {}.", target(&group.reference)));
    }
}

fn has_ipv6(pool: &Object) -> bool {
    pool.list.iter().any(|entry| entry.to_string().contains(':') && entry.to_string().matches(':').count() > 2)
}

/// As `target` has it.
fn target(reference: &ObjectRef) -> String {
    reference.to_string()
}

#[cfg(test)]
mod tests;
