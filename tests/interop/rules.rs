//! What holds for everything the client sends, whatever a test is about (RFC 9915 §7, §14.1, §18.2).

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::time::Duration;

use dyn_prefix::source::dhcpv6::wire::{ClientMessage, Outgoing};

use crate::capture::{Message, Seen};

/// All_DHCP_Relay_Agents_and_Servers
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// Options that RFC 9915 §24 wants in no Option Request option.
const NEVER_REQUESTED: [u16; 20] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 18, 19, 20, 25, 26];

const SOL_MAX_RT: u16 = 82;

/// What is wrong with what was sent: a sentence each.
pub(crate) fn complaints(all: &[Seen]) -> Vec<String> {
    let mut complaints = Vec::new();
    for seen in all.iter().filter(|seen| seen.destination.port() == 547) {
        match &seen.message {
            Message::Client(message) => complaints.extend(of_one(seen, message)),
            Message::Unreadable(why) => complaints.push(format!("a message of the client cannot be read: {why}")),
            Message::Server(_) => {}
        }
    }
    let sent: Vec<_> = all.iter().filter_map(|seen| Some((seen, seen.client()?))).collect();
    complaints.extend(identity(&sent));
    complaints.extend(exchanges(&sent));
    complaints.extend(rate(&sent));
    complaints
}

fn of_one(seen: &Seen, message: &Outgoing) -> Vec<String> {
    let kind = message.kind;
    let with_server = matches!(kind, ClientMessage::Request | ClientMessage::Renew | ClientMessage::Release);
    let asks = !matches!(kind, ClientMessage::Release);
    let requested = &message.option_request;
    let whole = message.delegations.iter().flat_map(|(_, prefixes)| prefixes).any(|net| net.prefix_len() == 0);
    [
        (*seen.destination.ip() != SERVERS, "does not go to ff02::1:2"),
        (!seen.source.ip().is_unicast_link_local(), "does not come from a link-local address"),
        (seen.source.port() != 546, "does not come from port 546"),
        (kind != ClientMessage::InformationRequest && message.server_id.is_some() != with_server, "server identifier"),
        (requested.iter().any(|code| NEVER_REQUESTED.contains(code)), "asks for an option that must not be asked for"),
        (asks && kind != ClientMessage::InformationRequest && !requested.contains(&SOL_MAX_RT), "does not ask for 82"),
        (message.rapid_commit && kind != ClientMessage::Solicit, "Rapid Commit"),
        (whole, "asks for ::/0"),
        (kind == ClientMessage::Confirm, "is a Confirm, although prefixes are asked for"),
    ]
    .into_iter()
    .filter(|(wrong, _)| *wrong)
    .map(|(_, what)| format!("{kind:?}: {what}"))
    .collect()
}

/// One DUID, and the same IAIDs, for ever.
fn identity(sent: &[(&Seen, &Outgoing)]) -> Option<String> {
    let duids: BTreeSet<_> = sent.iter().map(|(_, message)| message.client_id.to_string()).collect();
    let whole =
        |message: &&Outgoing| !matches!(message.kind, ClientMessage::Release | ClientMessage::InformationRequest);
    let iaids: BTreeSet<BTreeSet<u32>> = sent
        .iter()
        .map(|(_, message)| *message)
        .filter(whole)
        .map(|message| message.delegations.iter().map(|(iaid, _)| *iaid).collect())
        .collect();
    (duids.len() > 1 || iaids.len() > 1).then(|| format!("DUIDs {duids:?}, IAIDs {iaids:x?}"))
}

/// Of one exchange all messages are of one kind, and tell the time since the first of them.
fn exchanges(sent: &[(&Seen, &Outgoing)]) -> Vec<String> {
    // The hundredths are cut off, and the machine is busy with other tests.
    const SLACK: f32 = 0.25;
    let mut first: BTreeMap<[u8; 3], (&Seen, ClientMessage)> = BTreeMap::new();
    let mut complaints = Vec::new();
    for (seen, message) in sent {
        let (began, kind) = *first.entry(message.transaction_id).or_insert((seen, message.kind));
        let since = seen.at.saturating_duration_since(began.at).as_secs_f32();
        let told = f32::from(message.elapsed) / 100.0;
        if (since - told).abs() > SLACK || since == 0.0 && message.elapsed != 0 {
            complaints.push(format!("{:?}: elapsed time {told} s after {since} s", message.kind));
        }
        if kind != message.kind {
            complaints.push(format!("{kind:?} and {:?} with one transaction-id", message.kind));
        }
    }
    complaints
}

/// No more than 20 messages in 20 seconds (RFC 9915 §14.1).
fn rate(sent: &[(&Seen, &Outgoing)]) -> Option<String> {
    const WINDOW: Duration = Duration::from_secs(20);
    let most = sent.windows(21).find(|window| {
        let (first, last) = (window[0].0.at, window[20].0.at);
        last.saturating_duration_since(first) < WINDOW
    });
    most.map(|_| "more than 20 messages in 20 s".to_owned())
}
