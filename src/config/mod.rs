//! The configuration file: the checked types that the rest of the program uses.
//!
//! [`Config::parse`] makes them from a text, without touching the host: `read` compares the text with the key table in
//! [`keys`], `check` holds the rules, and both say what they find with the place in the file. [`Config::load`] (in
//! [`mod@file`]) is the same for a file of this host.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::Ipv6Net;

use crate::prefix::PrefixFilter;
use crate::source::dhcpv6::{DuidSetting, RawOption};
use crate::source::{SourceId, SourceKind};

mod auto;
mod check;
pub mod file;
mod finding;
mod host;
pub mod keys;
mod object;
mod read;
mod suggest;

#[cfg(test)]
mod tests;

pub use auto::{Auto, Chosen};
pub(crate) use check::is_label;
pub use finding::{Excerpt, Finding, RULES, Severity};
pub use host::{COMMAND_TIMEOUT, FileTarget, Hook};
pub use object::{Binding, Kind, ObjectRef, Part, Service, Strategy};

/// What a file says: the configuration, if it can be used, and everything there is to say about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Present exactly when no finding is an error.
    pub config: Option<Config>,
    /// What a daemon starts with: the same, and also where nothing but files with templates is wrong. The `[[file]]` of
    /// such a one stays as it is and says why. An entry in error takes no neighbour down, and a file of the host that
    /// somebody has edited must not be found out at the next reboot by all clusters.
    pub at_start: Option<Config>,
    /// In the order of their places in the file.
    pub findings: Vec<Finding>,
}

/// What the rules ask the host for.
pub struct Host<'a> {
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a file exists.
    pub exists: &'a dyn Fn(&Path) -> bool,
    /// The text of a file, or why there is none.
    pub read: &'a dyn Fn(&Path) -> Result<String, String>,
}

impl Config {
    /// Reads and checks the text of a file. `path` is only for the findings.
    pub fn parse(text: &str, path: &Path, host: &Host<'_>) -> Loaded {
        // Windows editors begin a file with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut report = finding::Report::new(path, text);
        let entries = read::parse(text, &mut report);
        let root = read::document(&entries, &mut report);
        let config = check::config(&root, host, &mut report);
        report.drop_consequences();
        let at_start = config.filter(|_| !report.has_errors_beside(finding::TEMPLATE_FILE));
        let config = at_start.clone().filter(|_| !report.has_errors());
        Loaded { config, at_start, findings: report.finish() }
    }
}

/// A whole configuration file, checked: every name it mentions exists, every value is in its range.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[daemon]`
    pub daemon: Daemon,
    /// `[[cluster]]`, in file order; names are unique.
    pub clusters: Vec<Cluster>,
    /// `[[dynamicPrefix]]`, in file order; names are unique.
    pub dynamic_prefixes: Vec<DynamicPrefix>,
    /// `[[binding]]` and `[[dynamicPrefixBinding]]`, in file order, one per cluster: a binding for two clusters
    /// stands here twice.
    pub bindings: Vec<Binding>,
    /// `[[service]]`, in file order, one per cluster.
    pub services: Vec<Service>,
    /// `[[hook]]`, in file order; names are unique.
    pub hooks: Vec<Hook>,
    /// `[[file]]`, in file order; paths are unique.
    pub files: Vec<FileTarget>,
}

/// `[daemon]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Daemon {
    /// `id`: who we are in `managed-by`; `None`: derived from the machine-id.
    pub id: Option<String>,
    /// `stateDirectory`; `None`: $STATE_DIRECTORY, else /var/lib/dyn-prefix.
    pub state_directory: Option<PathBuf>,
    /// `controlSocket`; `None`: /run/dyn-prefix/control.sock.
    pub control_socket: Option<PathBuf>,
    /// `listen`: where metrics, health and status are served by HTTP; `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

/// `[[cluster]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// `name`; "default" when it is the only one and has none.
    pub name: String,
    /// `kubeconfig`, with variables expanded.
    pub kubeconfig: Kubeconfig,
    /// `context`; `None`: the file's current-context.
    pub context: Option<String>,
    /// `discovery`: whether objects with our annotations are managed.
    pub discovery: Discovery,
    /// `dryRun`: log the patches instead of sending them.
    pub dry_run: bool,
    /// `externalDnsAnnotationPrefixes`: what the annotations that external-dns reads begin with, each ending in "/".
    /// Its own default became `external-dns.kubernetes.io/` in 0.22, and it reads only one.
    pub external_dns: Vec<String>,
    /// `events`: whether Kubernetes events are sent.
    pub events: bool,
    /// `publishStatus`: whether an object of kind DynamicPrefix mirrors the status of each prefix.
    pub publish_status: bool,
}

/// The default of `externalDnsAnnotationPrefixes`: that of external-dns since 0.22, and the one before.
pub const EXTERNAL_DNS: [&str; 2] = ["external-dns.kubernetes.io/", "external-dns.alpha.kubernetes.io/"];

/// Where the credentials of a cluster come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kubeconfig {
    /// A kubeconfig file.
    File(PathBuf),
    /// "in-cluster": the ServiceAccount of the pod we run in.
    InCluster,
}

/// `discovery` of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// Not written: on, and a missing permission is a note.
    Default,
    /// `true`: a missing permission is an error.
    Required,
    /// `false`: only bindings.
    Off,
}

/// `[[dynamicPrefix]]`
#[derive(Clone, Debug, PartialEq)]
pub struct DynamicPrefix {
    /// `name`
    pub name: String,
    /// `acquisition.*`
    pub acquisition: Acquisition,
    /// `addressRanges`, in file order.
    pub address_ranges: Vec<AddressRange>,
    /// `subnets`, in file order; names are unique over both lists.
    pub subnets: Vec<Subnet>,
    /// `transition`
    pub transition: Transition,
}

impl DynamicPrefix {
    /// The sources this prefix may come from, best rank first.
    pub fn sources(&self) -> Vec<SourceId> {
        let Acquisition { dhcpv6, observe, router_advertisement, interface, http, fixed, auto: _, filter: _ } =
            &self.acquisition;
        let all = [
            dhcpv6.as_ref().map(|dhcpv6| SourceId::on(SourceKind::Dhcpv6Pd, &dhcpv6.interface)),
            observe.as_ref().map(|observe| SourceId::on(SourceKind::Observed, &observe.interface)),
            router_advertisement.as_ref().map(|ra| SourceId::on(SourceKind::RouterAdvertisement, &ra.interface)),
            interface.as_ref().map(|interface| SourceId::on(SourceKind::Interface, &interface.name)),
            http.as_ref().map(|http| SourceId::at(&http.url)),
            fixed.map(|_| SourceId::of(SourceKind::Static)),
        ];
        all.into_iter().flatten().collect()
    }

    /// The length of the prefix that what a source of this kind sees is a part of; `None`: what it sees is the prefix.
    pub fn delegated_length(&self, kind: SourceKind) -> Option<u8> {
        match kind {
            SourceKind::RouterAdvertisement => self.acquisition.router_advertisement.as_ref()?.delegated_prefix_length,
            SourceKind::Interface => self.acquisition.interface.as_ref()?.delegated_prefix_length,
            SourceKind::Http => Some(self.acquisition.http.as_ref()?.prefix_length),
            SourceKind::Dhcpv6Pd | SourceKind::Observed | SourceKind::Static => None,
        }
    }
}

/// `acquisition`: at least one source is present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acquisition {
    /// `dhcpv6` or `dhcpv6pd`
    pub dhcpv6: Option<Dhcpv6>,
    /// `observe`
    pub observe: Option<Observe>,
    /// `routerAdvertisement`; `None` also when `enabled = false`.
    pub router_advertisement: Option<RouterAdvertisement>,
    /// `interface`
    pub interface: Option<InterfaceAddresses>,
    /// `http`
    pub http: Option<Http>,
    /// `static.prefix`
    pub fixed: Option<Ipv6Net>,
    /// `auto`: which of `dhcpv6`, `observe` and `router_advertisement` there are is chosen while the daemon runs.
    pub auto: Option<Auto>,
    /// `prefixFilter`
    pub filter: PrefixFilter,
}

/// `acquisition.dhcpv6`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcpv6 {
    /// `interface`
    pub interface: String,
    /// `requestedPrefixLength`, 1 to 64: a wish that the server may ignore.
    pub requested_prefix_length: Option<u8>,
    /// `prefixHint`: a prefix to ask for as long as none is remembered.
    pub prefix_hint: Option<Ipv6Net>,
    /// `duid`
    pub duid: DuidSetting,
    /// `iaid`; `None`: made from the name of the DynamicPrefix.
    pub iaid: Option<u32>,
    /// `rapidCommit`
    pub rapid_commit: bool,
    /// `reconfigure`
    pub reconfigure: bool,
    /// `requireRouterAdvertisement`
    pub require_router_advertisement: bool,
    /// `requestAddress`
    pub request_address: bool,
    /// `rawOptions`
    pub raw_options: Vec<RawOption>,
    /// `priority`, 0 to 7.
    pub priority: Option<u32>,
    /// `takeOver`
    pub take_over: bool,
    /// `unreachableRoute`
    pub unreachable_route: bool,
}

impl Dhcpv6 {
    /// On this interface, with the defaults.
    pub fn on(interface: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            requested_prefix_length: None,
            prefix_hint: None,
            duid: DuidSetting::default(),
            iaid: None,
            rapid_commit: false,
            reconfigure: false,
            require_router_advertisement: false,
            request_address: false,
            raw_options: Vec::new(),
            priority: None,
            take_over: false,
            unreachable_route: false,
        }
    }
}

/// `acquisition.observe`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observe {
    /// `interface`: where the other DHCPv6 client runs.
    pub interface: String,
}

/// `acquisition.interface`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceAddresses {
    /// `name`: the interface that has the addresses.
    pub name: String,
    /// `delegatedPrefixLength`: the prefix of the addresses is part of a delegation of this length.
    pub delegated_prefix_length: Option<u8>,
}

/// `acquisition.http`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// `url`: http or https.
    pub url: String,
    /// `prefixLength`, 1 to 64: the address is part of a prefix of this length.
    pub prefix_length: u8,
    /// `intervalSeconds`: how long after an answer it is asked again.
    pub interval: Duration,
}

/// `acquisition.routerAdvertisement`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterAdvertisement {
    /// `interface`
    pub interface: String,
    /// `delegatedPrefixLength`: the prefix seen is part of a delegation of this length.
    pub delegated_prefix_length: Option<u8>,
    /// `routers`: link-local addresses to listen to; empty: all.
    pub routers: Vec<Ipv6Addr>,
}

/// An entry of `addressRanges`: both ends included, given by their host part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressRange {
    /// `name`
    pub name: String,
    /// `start`, not after `end`.
    pub start: Ipv6Addr,
    /// `end`
    pub end: Ipv6Addr,
}

/// An entry of `subnets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// `name`
    pub name: String,
    /// `offset` or `index`
    pub place: Place,
    /// `prefixLength`, 1 to 128.
    pub prefix_length: u8,
}

/// Where in the prefix a subnet lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `offset`: in addresses from the start of the prefix, a multiple of the subnet's size.
    Offset(u128),
    /// `index`: the Nth subnets of that length, each N once, ascending as written.
    Index(Vec<u128>),
}

/// `transition`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// `mode`
    pub mode: Mode,
    /// `services`
    pub services: ServiceScope,
    /// How long a replaced prefix drains; `None`: no limit by time.
    pub drain_period: Option<Duration>,
    /// `drainPeriodMinutes` is written in the file: it keeps even a dead prefix.
    pub keep_dead: bool,
    /// `maxPrefixHistory`, 0 to 10: how many previous prefixes are kept.
    pub max_prefix_history: usize,
    /// `onLoss`
    pub on_loss: OnLoss,
}

impl Default for Transition {
    fn default() -> Self {
        Self {
            mode: Mode::Simple,
            services: ServiceScope::Annotated,
            drain_period: Some(Duration::from_secs(60 * 60)),
            keep_dead: false,
            max_prefix_history: 2,
            on_loss: OnLoss::Keep,
        }
    }
}

/// `transition.mode`: what a change of the prefix means for Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Pools hold the current prefix, and of draining ones the addresses in use.
    #[default]
    Simple,
    /// Managed Services hold the new and the old address until the old prefix has drained; DNS names the new one.
    Ha,
}

/// `transition.services`: which Services are managed in mode ha.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceScope {
    /// Those with our annotation or a `[[service]]`.
    #[default]
    Annotated,
    /// Also those that hold an address of ours.
    All,
}

/// `transition.onLoss`: what happens to the targets when the prefix is lost without a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnLoss {
    /// They keep it.
    Keep,
    /// It is taken out.
    Withdraw,
}
