//! The rules: from tables of the right shape to the checked types.
//!
//! A function that cannot make its value reports why and returns `None`; everything else is still checked.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::finding::{At, NOTHING_TO_DO, Report, Span, quoted};
use super::read::Table;
use super::{Config, Daemon, Host};

mod acquisition;
mod binding;
mod cluster;
mod dhcpv6;
mod host;
mod observe;
mod overlap;
mod prefix;
mod range;
mod reference;
mod service;
mod suffix;
mod target;
mod values;

use values::Unique;
pub(crate) use values::is_label;

/// Checks a whole file. `None` comes with at least one error in the report.
pub(super) fn config(root: &Table<'_>, host: &Host<'_>, report: &mut Report<'_>) -> Option<Config> {
    let daemon = daemon(root, report);
    let clusters = cluster::clusters(root, host, report);
    let prefixes = prefix::dynamic_prefixes(root, report);
    let asked = prefixes.iter().filter_map(|prefix| Some((prefix.name, prefix.dhcpv6.as_ref()?)));
    dhcpv6::client::clients(asked, report);
    observe::contradictions(root, report);
    let choices = cluster::Choices::among(root, &clusters);
    let bindings = binding::bindings(root, &choices, &prefixes, report);
    let services = service::services(root, &choices, &prefixes, report);
    let hooks = host::hooks(root, &prefixes, host, report);
    let files = host::files(root, &prefixes, host, report);
    purpose(root, report);
    Some(Config {
        daemon: daemon?,
        clusters: clusters.into_iter().map(|cluster| cluster.checked).collect::<Option<_>>()?,
        dynamic_prefixes: prefixes.into_iter().map(|prefix| prefix.checked).collect::<Option<_>>()?,
        bindings: bindings?,
        services: services?,
        hooks: hooks?,
        files: files?,
    })
}

/// Says when the file leaves the daemon without work.
fn purpose(root: &Table<'_>, report: &mut Report<'_>) {
    if report.has_errors() {
        return;
    }
    let Some(first) = root.tables("dynamicPrefix").first().copied() else {
        report
            .note(NOTHING_TO_DO, Span::default(), "no prefix is followed: the file has no [[dynamicPrefix]]")
            .hint("add a [[cluster]] and a [[dynamicPrefix]] to this file, then `systemctl reload dyn-prefix`");
        return;
    };
    let targets = ["cluster", "binding", "hook", "file"];
    if targets.iter().all(|target| root.tables(target).is_empty()) {
        report
            .warning(
                "no-cluster",
                first.span,
                "the prefix is followed, but written nowhere: the file has no [[cluster]]",
            )
            .hint("add [[cluster]] with kubeconfig = \"/etc/dyn-prefix/NAME.kubeconfig\", or a [[hook]] or [[file]]");
    }
}

fn daemon(root: &Table<'_>, report: &mut Report<'_>) -> Option<Daemon> {
    let Some(table) = root.table("daemon") else {
        return (!root.has("daemon")).then(Daemon::default);
    };
    let id = optional(&table, "id", report, |id, report| values::label(id, "id", report));
    let state_directory = optional(&table, "stateDirectory", report, |path, report| {
        values::absolute_path(path, "stateDirectory", report)
    });
    let control_socket = optional(&table, "controlSocket", report, socket_path);
    let listen = optional(&table, "listen", report, socket_address);
    Some(Daemon { id: id?, state_directory: state_directory?, control_socket: control_socket?, listen: listen? })
}

fn socket_path(text: At<&str>, report: &mut Report<'_>) -> Option<PathBuf> {
    // sun_path of unix(7) has room for 108 bytes, one of them the end.
    const MAX_BYTES: usize = 107;
    let path = values::absolute_path(text, "controlSocket", report)?;
    if text.value.len() > MAX_BYTES {
        report
            .error("invalid-path", text.span, format!("`controlSocket` is longer than {MAX_BYTES} bytes"))
            .hint("the kernel takes no longer path for a socket: choose one below /run");
        return None;
    }
    Some(path)
}

fn socket_address(text: At<&str>, report: &mut Report<'_>) -> Option<SocketAddr> {
    let address: Option<SocketAddr> = text.value.parse().ok();
    if let Some(address) = address.filter(|address| address.port() != 0) {
        warn_of_exposed(address, text.span, report);
        return Some(address);
    }
    let wanted = "wanted: an address and a port, as in \"[::1]:9478\" or \"127.0.0.1:9478\"";
    let found =
        report.error("listen-address", text.span, format!("`listen`: {} cannot be listened on", quoted(text.value)));
    match text.value.rsplit_once(':') {
        Some(("", port)) if port.parse::<u16>().is_ok() => {
            found.hint(format!("{wanted}; for every address of this host: \"[::]:{port}\""))
        }
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => {
            found.hint(format!("{wanted}; a name may have several addresses: write \"[::1]:{port}\""))
        }
        _ if text.value.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) => {
            found.hint(format!("{wanted}; an IPv6 address stands in brackets: \"[{}]:9478\"", text.value))
        }
        _ => found.hint(wanted),
    };
    None
}

/// Nobody is asked who he is there.
fn warn_of_exposed(address: SocketAddr, span: Span, report: &mut Report<'_>) {
    const READ: &str = "/status and /metrics without a password: the prefixes, clusters and targets, and why they fail";
    let (ip, port) = (address.ip().to_canonical(), address.port());
    if ip.is_loopback() {
        return;
    }
    let message = if ip.is_unspecified() {
        format!("on every address of this host, those the internet reaches too, anybody can read {READ}")
    } else {
        format!("whoever reaches {ip} can read {READ}")
    };
    let local = if address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
    report.warning("listen-exposed", span, message).hint(format!(
        "\"{local}:{port}\" is for this host only; for a Prometheus elsewhere, let a packet filter pass only its address"
    ));
}

/// The checked text of a key that may be absent; `None` when it is there and wrong.
fn optional<T>(
    table: &Table<'_>,
    key: &str,
    report: &mut Report<'_>,
    check: impl FnOnce(At<&str>, &mut Report<'_>) -> Option<T>,
) -> Option<Option<T>> {
    match table.text(key) {
        Some(text) => check(text, report).map(Some),
        None => (!table.has(key)).then_some(None),
    }
}
