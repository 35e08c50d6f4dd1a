//! systemd-networkd: its state file of an interface, and the `.network` file (systemd.network(5)).

use super::ini::{boolean, entries, last};
use super::{Client, Says};

/// What systemd-networkd says about an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// ADMIN_STATE: "unmanaged", "pending", "configured", …
    pub admin_state: String,
    /// The `.network` file and its drop-ins: path, and text as far as it can be read.
    pub files: Vec<(String, Option<String>)>,
}

/// The state of an interface and the paths of its files, from /run/systemd/netif/links/INDEX.
pub(super) fn parse_link(text: &str) -> (String, Vec<String>) {
    let entries = entries(text);
    let value = |key| last(&entries, "", key).unwrap_or_default();
    let drop_ins = value("NETWORK_FILE_DROPINS").split_whitespace().map(str::to_owned);
    let files = [value("NETWORK_FILE").to_owned()].into_iter().filter(|path| !path.is_empty()).chain(drop_ins);
    (value("ADMIN_STATE").to_owned(), files.collect())
}

pub(super) fn judge(network: &Network, interface: &str) -> Says {
    match network.admin_state.as_str() {
        "pending" | "initialized" => {
            Says::Undecided(format!("systemd-networkd has not decided yet whether {interface} is its own"))
        }
        "unmanaged" | "" => Says::Nothing,
        _ => match network.files.first() {
            Some((path, _)) => client(network, path, interface).map_or(Says::Nothing, Says::Client),
            None => Says::Nothing,
        },
    }
}

fn client(network: &Network, path: &str, interface: &str) -> Option<Client> {
    let unread = network.files.iter().find(|(_, text)| text.is_none());
    let why = match unread {
        Some((unread, _)) => format!("{unread} cannot be read, so that it is taken to"),
        None => reason(&texts(network))?.to_owned(),
    };
    Some(Client {
        who: format!("systemd-networkd manages {interface} by {path} and runs a DHCPv6 client there when asked: {why}"),
        advice: "Set `DHCPv6Client=no` in the section [IPv6AcceptRA] of that file, with `DHCP=no` or `DHCP=ipv4` in \
                 [Network] and without `WithoutRA=`"
            .to_owned(),
    })
}

/// The drop-ins come after the file and overrule it key by key.
fn texts(network: &Network) -> Vec<(String, String, String)> {
    network.files.iter().flat_map(|(_, text)| entries(text.as_deref().unwrap_or_default())).collect()
}

/// Why there will be a client. A Router Advertisement with the M or O flag starts one, unless `DHCPv6Client=no`; it is
/// started without one by `WithoutRA=` and for a delegation from the interface itself.
fn reason(entries: &[(String, String, String)]) -> Option<&'static str> {
    let value = |section, key| last(entries, section, key).unwrap_or_default().to_ascii_lowercase();
    if matches!(value("Network", "LinkLocalAddressing").as_str(), "no" | "false" | "off" | "0" | "ipv4") {
        return None;
    }
    let dhcp = value("Network", "DHCP");
    let asked = matches!(dhcp.as_str(), "ipv6" | "v6" | "both") || boolean(&dhcp) == Some(true);
    let without_ra = !matches!(value("DHCPv6", "WithoutRA").as_str(), "" | "no" | "false" | "off" | "0");
    let uplink = value("DHCPPrefixDelegation", "UplinkInterface") == ":self";
    let client = value("IPv6AcceptRA", "DHCPv6Client");
    let started_by_router = boolean(&client) != Some(false);
    match () {
        () if asked && without_ra => Some("[DHCPv6] WithoutRA= starts it"),
        () if asked && uplink => Some("[DHCPPrefixDelegation] UplinkInterface=:self starts it"),
        () if !started_by_router => None,
        () if asked => Some("[Network] DHCP= includes DHCPv6"),
        () if accepts_router_advertisements(&value) => {
            Some("IPv6AcceptRA= is on, and [IPv6AcceptRA] DHCPv6Client= is not \"no\"")
        }
        () => None,
    }
}

/// On by default, unless the interface forwards.
fn accepts_router_advertisements(value: &impl Fn(&'static str, &'static str) -> String) -> bool {
    let forwards = matches!(value("Network", "IPForward").as_str(), "ipv6")
        || [value("Network", "IPForward"), value("Network", "IPv6Forwarding")]
            .iter()
            .any(|word| boolean(word) == Some(true));
    boolean(&value("Network", "IPv6AcceptRA")).unwrap_or(!forwards)
}
