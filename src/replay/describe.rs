//! DHCPv6 messages in one line.

use std::fmt::Write as _;

use crate::source::dhcpv6::Duid;
use crate::source::dhcpv6::wire::server::decode_client;
use crate::source::dhcpv6::wire::{IaAddress, IaNa, IaPd, IaPrefix, Incoming, Outgoing, Status, StatusCode, decode};

/// A message of a client.
pub(super) fn sent(bytes: &[u8]) -> String {
    match decode_client(bytes) {
        Ok(message) => outgoing(&message),
        Err(error) => format!("DHCPv6 message of {} octets that no server would read: {error}", bytes.len()),
    }
}

/// A datagram that came in.
pub(super) fn received(bytes: &[u8]) -> String {
    match decode(bytes) {
        Ok(message) => incoming(&message),
        Err(error) => format!("datagram of {} octets that is no message to a client: {error}", bytes.len()),
    }
}

fn outgoing(message: &Outgoing) -> String {
    let [a, b, c] = message.transaction_id;
    let (seconds, hundredths) = (message.elapsed / 100, message.elapsed % 100);
    let mut text = format!("{:?} {a:02x}{b:02x}{c:02x}, {seconds}.{hundredths:02} s elapsed", message.kind);
    if let Some(server) = &message.server_id {
        let _ = write!(text, ", to server {server}");
    }
    for (iaid, prefixes) in &message.delegations {
        let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
        let _ = write!(text, ", {}", asked("IA_PD", *iaid, &prefixes));
    }
    for (iaid, addresses) in &message.addresses {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let _ = write!(text, ", {}", asked("IA_NA", *iaid, &addresses));
    }
    flag(&mut text, message.rapid_commit, "Rapid Commit");
    flag(&mut text, message.reconfigure_accept, "Reconfigure Accept");
    text
}

fn asked(what: &str, iaid: u32, values: &[String]) -> String {
    if values.is_empty() { format!("{what} {iaid:08x}") } else { format!("{what} {iaid:08x} ({})", values.join(", ")) }
}

fn incoming(message: &Incoming) -> String {
    let [a, b, c] = message.transaction_id;
    let server = message.server_id.as_ref().map_or_else(|| "no server".to_owned(), Duid::to_string);
    let mut text = format!("{:?} {a:02x}{b:02x}{c:02x} from {server}", message.kind);
    if message.preference != 0 {
        let _ = write!(text, ", preference {}", message.preference);
    }
    text.push_str(&status(&message.status));
    if let Some(wanted) = message.reconfigure {
        let _ = write!(text, ", asks for {wanted:?}");
    }
    for delegation in &message.delegations {
        text.push_str(&ia_pd(delegation));
    }
    for addresses in &message.addresses {
        text.push_str(&ia_na(addresses));
    }
    let limits = [("SOL_MAX_RT", message.sol_max_rt), ("INF_MAX_RT", message.inf_max_rt)];
    for (name, seconds) in limits.iter().filter_map(|(name, seconds)| Some((name, (*seconds)?))) {
        let _ = write!(text, ", {name} {seconds} s");
    }
    flag(&mut text, message.rapid_commit, "Rapid Commit");
    flag(&mut text, message.reconfigure_accept, "Reconfigure Accept");
    flag(&mut text, message.authentication.is_some(), "Authentication");
    text
}

fn ia_pd(ia: &IaPd) -> String {
    let mut text =
        format!(", IA_PD {:08x} T1 {} T2 {}{}", ia.iaid, lifetime(ia.t1), lifetime(ia.t2), status(&ia.status));
    for IaPrefix { prefix, preferred, valid, status: said, excluded } in &ia.prefixes {
        let without = excluded.map(|excluded| format!(" without {excluded}")).unwrap_or_default();
        let _ = write!(
            text,
            ", {prefix}{without} preferred {} valid {}{}",
            lifetime(*preferred),
            lifetime(*valid),
            status(said)
        );
    }
    text
}

fn ia_na(ia: &IaNa) -> String {
    let mut text =
        format!(", IA_NA {:08x} T1 {} T2 {}{}", ia.iaid, lifetime(ia.t1), lifetime(ia.t2), status(&ia.status));
    for IaAddress { address, preferred, valid, status: said } in &ia.addresses {
        let _ =
            write!(text, ", {address} preferred {} valid {}{}", lifetime(*preferred), lifetime(*valid), status(said));
    }
    text
}

fn lifetime(seconds: u32) -> String {
    if seconds == u32::MAX { "infinite".to_owned() } else { format!("{seconds} s") }
}

/// Nothing for Success, which is as good as none.
fn status(status: &Status) -> String {
    let Status { code, text } = status;
    if *code == StatusCode::Success {
        return String::new();
    }
    if text.is_empty() { format!(", {code:?}") } else { format!(", {code:?} \"{text}\"") }
}

fn flag(text: &mut String, set: bool, name: &str) {
    if set {
        let _ = write!(text, ", {name}");
    }
}
