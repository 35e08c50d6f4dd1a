//! metallb-dyn6: one range of host parts in one IPAddressPool.

use std::net::Ipv6Addr;

use super::Draft;
use super::page::{self, Page};
use super::yaml::Node;

const ENVIRONMENT: &str = "METALLB_DYN6_";

/// The options that take a value, with the environment variable's name behind [`ENVIRONMENT`].
const OPTIONS: [(&str, &str); 6] = [
    ("--source", "SOURCE"),
    ("--subnet-override", "SUBNET_OVERRIDE"),
    ("--prefix-length", "PREFIX_LENGTH"),
    ("--update-interval", "UPDATE_INTERVAL"),
    ("--metallb-namespace", "METALLB_NAMESPACE"),
    ("--metallb-label-selector", "METALLB_LABEL_SELECTOR"),
];

/// What it was told, by the name of the environment variable.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    values: Vec<(&'static str, String)>,
    /// Environment variables that it does not know.
    unknown: Vec<String>,
}

/// Whether it runs metallb-dyn6, or is the values of its chart.
pub(super) fn is_settings(document: &Node) -> bool {
    document.at(&["metallb", "hostRange"]).is_some() || container(document).is_some()
}

fn container(document: &Node) -> Option<&Node> {
    let pod = [&["spec", "template", "spec"][..], &["spec"][..]];
    let containers = pod.iter().find_map(|path| document.at(path)?.get("containers")?.list())?;
    let is_image =
        |node: &Node| node.get("image").and_then(Node::text).is_some_and(|image| image.contains("metallb-dyn6"));
    containers.iter().find(|node| is_image(node))
}

impl Settings {
    fn get(&self, name: &str) -> Option<&str> {
        self.values.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn from_arguments(words: &[String]) -> Result<Self, String> {
        let mut settings = Self::default();
        let mut positional = ["HOST_RANGE", "METALLB_POOL"].into_iter();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) if word.starts_with("--") => (option, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            if option == "--dry-run" {
                settings.values.push(("DRY_RUN", value.unwrap_or_else(|| "true".to_owned())));
            } else if let Some((_, name)) = OPTIONS.iter().find(|(known, _)| *known == option) {
                let value = value.or_else(|| words.next().cloned());
                settings.values.push((name, value.ok_or_else(|| format!("{option} has no value"))?));
            } else if option.starts_with('-') {
                return Err(format!("metallb-dyn6 has no option {option}"));
            } else if let Some(name) = positional.next() {
                settings.values.push((name, word.clone()));
            } else {
                return Err(format!("\"{word}\" is one argument too many, after the host range and the pool"));
            }
        }
        Ok(settings)
    }

    pub(super) fn from_document(document: &Node) -> Result<Self, String> {
        let Some(container) = container(document) else { return Ok(Self::from_values(document)) };
        let texts = |key: &str| {
            let items = container.get(key).and_then(Node::list).unwrap_or_default();
            items.iter().map(scalar).collect::<Vec<_>>()
        };
        let mut settings = Self::default();
        for variable in container.get("env").and_then(Node::list).unwrap_or_default() {
            let name = variable.get("name").and_then(Node::text).unwrap_or_default();
            let Some(name) = name.strip_prefix(ENVIRONMENT) else { continue };
            let known = ["HOST_RANGE", "METALLB_POOL", "DRY_RUN"].into_iter().chain(OPTIONS.map(|(_, name)| name));
            match (known.into_iter().find(|known| *known == name), variable.get("value")) {
                (Some(known), Some(value)) => settings.values.push((known, scalar(value))),
                _ => settings.unknown.push(format!("{ENVIRONMENT}{name}")),
            }
        }
        // The command may be the program itself.
        let words: Vec<String> = texts("command").into_iter().skip(1).chain(texts("args")).collect();
        settings.values.extend(Self::from_arguments(&words)?.values);
        Ok(settings)
    }

    /// The values of its chart.
    fn from_values(document: &Node) -> Self {
        let at = |path: &[&str]| document.at(path).map(scalar);
        let is_on = document.at(&["dyn6", "subnetOverride", "enabled"]).and_then(Node::boolean) == Some(true);
        let values = [
            ("HOST_RANGE", at(&["metallb", "hostRange"])),
            ("METALLB_POOL", at(&["metallb", "pool"])),
            ("SUBNET_OVERRIDE", at(&["dyn6", "subnetOverride", "override"]).filter(|_| is_on)),
            ("PREFIX_LENGTH", at(&["dyn6", "subnetOverride", "prefixLen"]).filter(|_| is_on)),
        ];
        let values = values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Self { values, unknown: Vec::new() }
    }
}

fn scalar(node: &Node) -> String {
    node.text().map_or_else(|| node.written(), str::to_owned)
}

pub(super) fn convert(draft: &mut Draft, settings: &Settings) {
    match parsed(settings) {
        Ok(parsed) => write(draft, settings, &parsed),
        Err(message) => draft.problems.push(super::Problem { line: None, message }),
    }
}

struct Parsed {
    first: Ipv6Addr,
    last: Ipv6Addr,
    pool: String,
    /// How many bits of the network are kept, where some of it is overridden.
    kept: Option<u8>,
}

fn parsed(settings: &Settings) -> Result<Parsed, String> {
    let range = settings.get("HOST_RANGE").ok_or("the host range is missing, as in ::1000-::1999")?;
    let pool = settings.get("METALLB_POOL").ok_or("the name of the pool is missing")?.to_owned();
    let wrong = || format!("the host range is \"{range}\", and should be two host parts with - between them");
    let (first, last) = range.split_once('-').ok_or_else(wrong)?;
    let parse = |text: &str| text.trim().parse::<Ipv6Addr>().map_err(|_| wrong());
    let (first, last) = (parse(first)?, parse(last)?);
    for end in [first, last] {
        if end.to_bits() >> 64 != 0 {
            return Err(format!("{end} of the host range has bits in the first half, which belongs to the prefix"));
        }
    }
    if first >= last {
        return Err(format!("the host range ends before or where it starts: {first}-{last}"));
    }
    let (subnet, kept) = subnet(settings)?;
    let with = |end: Ipv6Addr| Ipv6Addr::from_bits(end.to_bits() | subnet);
    Ok(Parsed { first: with(first), last: with(last), pool, kept })
}

/// The bits that are put into the network, and how many of its own are kept.
fn subnet(settings: &Settings) -> Result<(u128, Option<u8>), String> {
    let (address, length) = match (settings.get("SUBNET_OVERRIDE"), settings.get("PREFIX_LENGTH")) {
        (None, None) => return Ok((0, None)),
        (Some(address), Some(length)) => (address, length),
        _ => return Err("--subnet-override and --prefix-length go together".to_owned()),
    };
    let bits = address
        .parse::<Ipv6Addr>()
        .map_err(|_| format!("the subnet override is \"{address}\", which is no IPv6 address"))?;
    let kept = length.parse::<u8>().ok().filter(|length| (1..=63).contains(length));
    let kept = kept.ok_or_else(|| format!("the prefix length is \"{length}\", and should be 1 to 63"))?;
    let bits = bits.to_bits();
    if bits & u128::from(u64::MAX) != 0 || bits.leading_zeros() < u32::from(kept) {
        return Err(format!("the subnet override {address} has bits outside of those from {kept} to 64"));
    }
    Ok((bits, Some(kept)))
}

fn write(draft: &mut Draft, settings: &Settings, parsed: &Parsed) {
    let mut page = Page::default();
    page.comment("metallb-dyn6.");
    page.line("[[dynamicPrefix]]");
    page.entry("name", &page::text("home-ipv6"));
    page.blank();
    page.line("[dynamicPrefix.acquisition.routerAdvertisement]");
    page.comment(
        "metallb-dyn6 asked a service on the internet every minute for the address that it was seen with. Here the prefix is \
         what a router advertises: put in the interface on its link.",
    );
    page.entry("interface", &page::text("eth0"));
    if let Some(kept) = parsed.kept {
        page.comment("The subnet override put its own bits behind these: they are a part of the range now.");
        page.entry("delegatedPrefixLength", &kept.to_string());
    }
    page.blank();
    page.line("[[dynamicPrefix.addressRanges]]");
    page.entry("name", &page::text("loadbalancers"));
    page.entry("start", &page::text(&parsed.first.to_string()));
    page.entry("end", &page::text(&parsed.last.to_string()));
    page.blank();
    for name in &settings.unknown {
        page.comment(&format!("{name} is not known here, and is left out."));
    }
    for (name, why) in [
        ("UPDATE_INTERVAL", "nothing is polled"),
        ("METALLB_LABEL_SELECTOR", "no pod is restarted: since 0.14.2 MetalLB takes a changed pool as it is"),
    ] {
        if settings.get(name).is_some() {
            page.comment(&format!("{ENVIRONMENT}{name} has no equivalent: {why}."));
        }
    }
    draft.prefixes.append(page);
    let namespace = settings.get("METALLB_NAMESPACE").unwrap_or("metallb-system");
    draft.bindings.comment(
        "metallb-dyn6 removed every other IPv6 entry of the pool. Here they stay: take out the range of the old prefix, if it is \
         there when dyn-prefix starts. An old prefix drains behind the new one; metallb-dyn6 took it out at once.",
    );
    draft.bindings.line("[[binding]]");
    draft.bindings.entry("prefixRef", &page::text("home-ipv6/loadbalancers"));
    draft.bindings.entry("target", &page::text(&format!("IPAddressPool/{namespace}/{}", parsed.pool)));
    draft.bindings.blank();
    if settings.get("DRY_RUN").is_some_and(|value| value == "true") {
        draft.cluster.entry("dryRun", "true");
    }
}
