//! NetworkManager: its state file of an interface, and the connection profile (nm-settings-keyfile(5)).

use super::ini::{boolean, entries, last};
use super::{Client, Says};

/// What NetworkManager says about an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Whether it manages the interface.
    pub managed: bool,
    /// The UUID of the active connection.
    pub connection: Option<String>,
    /// `method` in the section `[ipv6]` of that connection; `None`: it cannot be read.
    pub ipv6_method: Option<String>,
}

/// The state of an interface, from /run/NetworkManager/devices/INDEX.
pub(super) fn parse_device(text: &str) -> Device {
    let entries = entries(text);
    Device {
        managed: last(&entries, "device", "managed").and_then(boolean).unwrap_or(false),
        connection: last(&entries, "device", "connection-uuid").map(str::to_owned),
        ipv6_method: None,
    }
}

/// The method of a connection profile, if it is the one with this UUID. Without one it is "auto".
pub(super) fn parse_method(profile: &str, uuid: &str) -> Option<String> {
    let entries = entries(profile);
    (last(&entries, "connection", "uuid") == Some(uuid))
        .then(|| last(&entries, "ipv6", "method").unwrap_or("auto").to_owned())
}

pub(super) fn judge(device: &Device, interface: &str) -> Says {
    if !device.managed {
        return Says::Nothing;
    }
    let Some(uuid) = &device.connection else {
        return Says::Undecided(format!("NetworkManager manages {interface} and has no connection active there yet"));
    };
    let why = match device.ipv6_method.as_deref() {
        Some("ignore" | "disabled" | "link-local" | "manual" | "shared") => return Says::Nothing,
        Some(method) => format!("runs a DHCPv6 client there when a router asks for it (ipv6.method is {method})"),
        None => "may run a DHCPv6 client there (the profile cannot be read)".to_owned(),
    };
    Says::Client(Client {
        who: format!("NetworkManager manages {interface} by the connection {uuid} and {why}"),
        advice: format!(
            "Run `nmcli connection modify {uuid} ipv6.method ignore`, or `nmcli device set {interface} managed no`"
        ),
    })
}
