//! One datagram in each state of the client, and what RFC 9915 lets it do then.
//!
//! An input is an octet for the state, one for what is made right or wrong about the datagram, and the datagram.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use dyn_prefix::source::SourceState;
use dyn_prefix::source::dhcpv6::Settings;
use dyn_prefix::source::dhcpv6::wire::{self, ClientMessage, IaPd, Incoming, ServerMessage, StatusCode, server};
use dyn_prefix::time::Deadline;
use ipnet::Ipv6Net;

use super::play::{self, IFINDEX, KEY, OWN};
use super::watch::{self, Watched};

/// The datagram gets the transaction-id that is waited for.
const ANSWERS: u8 = 1;
/// The datagram is signed, if it has an Authentication option.
const SIGNED: u8 = 2;
/// The client has two IA_PDs.
const TWO: u8 = 4;
/// The datagram was sent to a multicast address.
const MULTICAST: u8 = 8;
/// The datagram came in by another interface.
const ELSEWHERE: u8 = 16;

/// What the client is doing when the datagram comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Before the end of the first RT (§18.2.1).
    Soliciting,
    /// After it: the first Advertise is good enough.
    SolicitingOn,
    SolicitingRapid,
    Requesting,
    /// Another server has offered, too.
    RequestingWithRunnerUp,
    Bound,
    Renewing,
    Rebinding,
    /// The link may be another one (§18.2.12).
    LinkCheck,
    Releasing,
    Released,
    /// Bound, with a key for Reconfigures.
    Reconfigurable,
    Informing,
    /// It has an address and no prefix, and the link may be another one (§18.2.3).
    Confirming,
}

const STARTS: [Start; 14] = [
    Start::Soliciting,
    Start::SolicitingOn,
    Start::SolicitingRapid,
    Start::Requesting,
    Start::RequestingWithRunnerUp,
    Start::Bound,
    Start::Renewing,
    Start::Rebinding,
    Start::LinkCheck,
    Start::Releasing,
    Start::Released,
    Start::Reconfigurable,
    Start::Informing,
    Start::Confirming,
];

/// Panics where an invariant is broken.
pub(crate) fn check(input: &[u8]) {
    outcome(input);
}

/// The same; where the client was and where it went, if the datagram was for it.
pub(crate) fn outcome(input: &[u8]) -> Option<String> {
    let [start, flags, datagram @ ..] = input else { return None };
    let start = STARTS[usize::from(*start) % STARTS.len()];
    let mut client = begin(start, *flags & TWO != 0);
    let mut datagram = datagram.to_vec();
    let waits_for = client.sent.last().map(|message| message.transaction_id).unwrap_or_default();
    if let Some(field) = datagram.get_mut(1..4).filter(|_| *flags & ANSWERS != 0) {
        field.copy_from_slice(&waits_for);
    }
    if *flags & SIGNED != 0 {
        server::sign(&mut datagram, &KEY);
    }
    let destination = if *flags & MULTICAST == 0 { OWN } else { Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2) };
    let ifindex = if *flags & ELSEWHERE == 0 { IFINDEX } else { IFINDEX + 1 };
    let accepted = (*flags & (MULTICAST | ELSEWHERE) == 0)
        .then(|| wire::decode(&datagram).ok())
        .flatten()
        .filter(|message| is_for(start, message, waits_for, &datagram));

    let before = Snapshot::of(&client);
    client.sent.clear();
    client.datagram(&datagram, destination, ifindex);
    let after = Snapshot::of(&client);
    match &accepted {
        Some(message) => {
            goes_where_it_may(start, message, &before, &after, &client);
            holds_what_it_was_given(start, message, &before, &after, &client);
        }
        None => assert!(before == after && client.sent.is_empty(), "{start:?}: {before:?} became {after:?}"),
    }
    // And what comes of it.
    (0..4).for_each(|_| client.wake());
    accepted.map(|_| format!("{start:?} to {:?}", after.state))
}

/// What can be seen of a client.
#[derive(Debug, PartialEq)]
struct Snapshot {
    state: SourceState,
    prefixes: BTreeMap<Ipv6Net, (Deadline, Deadline)>,
    memory: Option<dyn_prefix::source::dhcpv6::Memory>,
    wake: Option<(dyn_prefix::time::Instant, &'static str)>,
}

impl Snapshot {
    fn of(client: &Watched) -> Self {
        let ends = client.alive().map(|offer| (offer.prefix, (offer.preferred_until, offer.valid_until)));
        Self {
            state: client.report.state.clone(),
            prefixes: ends.collect(),
            memory: client.report.client.as_deref().cloned(),
            wake: client.report.next_wake,
        }
    }
}

fn begin(start: Start, two: bool) -> Watched {
    let single = matches!(start, Start::Releasing | Start::Released | Start::Confirming);
    let reconfigure = matches!(start, Start::Reconfigurable | Start::Informing);
    let mut client = play::fresh(Settings {
        rapid_commit: start == Start::SolicitingRapid,
        request_address: start == Start::Confirming,
        reconfigure,
        ..play::settings(if two && !single { 2 } else { 1 })
    });
    match start {
        Start::Soliciting | Start::SolicitingOn | Start::SolicitingRapid => solicit(&mut client, start),
        Start::Requesting | Start::RequestingWithRunnerUp => request(&mut client, start),
        Start::Confirming => confirm(&mut client),
        Start::Bound
        | Start::Renewing
        | Start::Rebinding
        | Start::LinkCheck
        | Start::Releasing
        | Start::Released
        | Start::Reconfigurable
        | Start::Informing => bind(&mut client, start),
    }
    client
}

fn solicit(client: &mut Watched, start: Start) {
    client.link(Some(play::link()));
    client.until_sent(ClientMessage::Solicit);
    if start == Start::SolicitingOn {
        client.wake();
    }
    assert_eq!(client.report.state, SourceState::Soliciting);
}

fn request(client: &mut Watched, start: Start) {
    solicit(client, start);
    if start == Start::RequestingWithRunnerUp {
        client.answered(|answer| Incoming { server_id: Some(play::server_id(2)), ..answer });
    }
    client.answered(|answer| Incoming { preference: 255, ..answer });
    assert_eq!(client.report.state, SourceState::Requesting);
}

fn bind(client: &mut Watched, start: Start) {
    client.until_bound();
    assert_eq!(client.report.state, SourceState::Bound);
    match start {
        Start::Renewing => client.until_sent(ClientMessage::Renew),
        Start::Rebinding => client.until_sent(ClientMessage::Rebind),
        Start::LinkCheck => {
            client.link(Some(dyn_prefix::source::link::LinkState { up: false, ..play::link() }));
            client.link(Some(play::link()));
            client.until_sent(ClientMessage::Rebind);
        }
        Start::Releasing | Start::Released => {
            client.release("p1");
            client.until_sent(ClientMessage::Release);
            if start == Start::Released {
                client.answered(|answer| answer);
                assert_eq!(client.report.state, SourceState::Released);
            }
        }
        Start::Informing => {
            let kind = Some(ClientMessage::InformationRequest);
            let order = play::message(ServerMessage::Reconfigure, [0; 3]);
            let authentication = Some(server::unsigned(2));
            let mut order = server::encode(&Incoming { reconfigure: kind, authentication, ..order }, &[]);
            assert!(server::sign(&mut order, &KEY));
            client.datagram(&order, OWN, IFINDEX);
            client.until_sent(ClientMessage::InformationRequest);
        }
        Start::Bound | Start::Reconfigurable => {}
        Start::Soliciting
        | Start::SolicitingOn
        | Start::SolicitingRapid
        | Start::Requesting
        | Start::RequestingWithRunnerUp
        | Start::Confirming => unreachable!("{start:?} holds nothing"),
    }
}

fn confirm(client: &mut Watched) {
    let without_prefix = |answer: Incoming| Incoming { delegations: Vec::new(), preference: 255, ..answer };
    client.link(Some(play::link()));
    client.until_sent(ClientMessage::Solicit);
    client.answered(without_prefix);
    client.until_sent(ClientMessage::Request);
    client.answered(without_prefix);
    client.link(Some(dyn_prefix::source::link::LinkState { up: false, ..play::link() }));
    client.link(Some(play::link()));
    client.until_sent(ClientMessage::Confirm);
}

/// Whether a client may take notice of a message: §16, and §18.2.11 for Reconfigures.
fn is_for(start: Start, message: &Incoming, waits_for: [u8; 3], bytes: &[u8]) -> bool {
    if message.client_id != Some(play::client_id()) || message.server_id.is_none() {
        return false;
    }
    let from_first = message.server_id == Some(play::server_id(1));
    match message.kind {
        ServerMessage::Advertise => {
            let soliciting = matches!(start, Start::Soliciting | Start::SolicitingOn | Start::SolicitingRapid);
            soliciting && message.transaction_id == waits_for
        }
        ServerMessage::Reply => {
            let expected = match start {
                Start::SolicitingRapid => message.rapid_commit,
                Start::Requesting | Start::RequestingWithRunnerUp | Start::Renewing => from_first,
                Start::Rebinding | Start::LinkCheck | Start::Releasing | Start::Informing | Start::Confirming => true,
                Start::Soliciting | Start::SolicitingOn | Start::Bound | Start::Released | Start::Reconfigurable => {
                    false
                }
            };
            expected && message.transaction_id == waits_for
        }
        ServerMessage::Reconfigure => {
            start == Start::Reconfigurable && from_first && message.reconfigure.is_some() && wire::verify(bytes, &KEY)
        }
    }
}

/// The states that a message may lead to, from RFC 9915: §18.2.9 for Advertises, §18.2.10 for Replies, §18.2.11 for
/// Reconfigures.
fn successors(start: Start, message: &Incoming) -> &'static [SourceState] {
    use SourceState::{Bound, Rebinding, Released, Releasing, Renewing, Requesting, Soliciting};
    let advertised = message.kind == ServerMessage::Advertise;
    match start {
        // Only the highest preference ends the first RT (§18.2.1).
        Start::Soliciting if message.preference < 255 => &[Soliciting],
        Start::SolicitingRapid if advertised && message.preference < 255 => &[Soliciting],
        Start::SolicitingRapid if !advertised => &[Soliciting, Bound],
        Start::Soliciting | Start::SolicitingOn | Start::SolicitingRapid => &[Soliciting, Requesting],
        Start::Requesting => &[Requesting, Bound, Soliciting],
        Start::RequestingWithRunnerUp => &[Requesting, Bound],
        Start::Bound | Start::Informing => &[Bound],
        // NoBinding leads to a Request; the end of all leases to a Solicit.
        Start::Renewing => &[Renewing, Bound, Requesting, Soliciting],
        Start::Rebinding | Start::LinkCheck => &[Rebinding, Bound, Requesting, Soliciting],
        // Any Reply completes a Release (§18.2.10.3).
        Start::Releasing => &[Releasing, Released],
        Start::Released => &[Released],
        Start::Reconfigurable => match message.reconfigure {
            Some(ClientMessage::Renew) => &[Renewing],
            Some(ClientMessage::Rebind) => &[Rebinding],
            _ => &[Bound],
        },
        Start::Confirming => &[Soliciting],
    }
}

/// The state that a message has to lead to, where RFC 9915 leaves no choice.
fn successor(start: Start, message: &Incoming, client: &Watched) -> Option<SourceState> {
    let single = client.settings().delegations.len() == 1;
    let advertised = message.kind == ServerMessage::Advertise;
    let heeded = message.status.code == StatusCode::Success;
    let mut ours = message.delegations.iter().filter(|ia| ia.iaid == 1);
    let ia = ours.next().filter(|_| heeded && ours.next().is_none());
    let granted = ia.is_some_and(|ia| ia.prefixes.iter().any(|given| gives(&[ia], given.prefix)));
    let hasty = is_hasty(start, message);
    let unknown = ia.is_some_and(|ia| ia.status.code == StatusCode::NoBinding && ia.prefixes.is_empty());
    match start {
        Start::Soliciting | Start::SolicitingRapid if advertised && message.preference < 255 => None,
        Start::Soliciting | Start::SolicitingOn | Start::SolicitingRapid if advertised && granted => {
            Some(SourceState::Requesting)
        }
        Start::SolicitingRapid | Start::Requesting | Start::RequestingWithRunnerUp if granted => {
            Some(SourceState::Bound)
        }
        Start::Renewing | Start::Rebinding | Start::LinkCheck if single && granted && !hasty => {
            Some(SourceState::Bound)
        }
        // §18.2.10.1: a Request to the server that does not know the binding.
        Start::Renewing | Start::Rebinding | Start::LinkCheck if single && unknown && !hasty && ia?.t1 <= ia?.t2 => {
            Some(SourceState::Requesting)
        }
        Start::Releasing if message.server_id == Some(play::server_id(1)) => Some(SourceState::Released),
        Start::Soliciting
        | Start::SolicitingOn
        | Start::SolicitingRapid
        | Start::Requesting
        | Start::RequestingWithRunnerUp
        | Start::Bound
        | Start::Renewing
        | Start::Rebinding
        | Start::LinkCheck
        | Start::Releasing
        | Start::Released
        | Start::Reconfigurable
        | Start::Informing
        | Start::Confirming => None,
    }
}

/// After a link event the server of the lease is waited for: another one may know nothing of it.
fn is_hasty(start: Start, message: &Incoming) -> bool {
    start == Start::LinkCheck && message.server_id != Some(play::server_id(1))
}

fn goes_where_it_may(start: Start, message: &Incoming, before: &Snapshot, after: &Snapshot, client: &Watched) {
    let allowed = successors(start, message);
    assert!(allowed.contains(&after.state), "{start:?} became {:?} by {message:?}", after.state);
    if let Some(only) = successor(start, message, client) {
        assert_eq!(after.state, only, "{start:?}: {message:?}");
    }
    let sent: Vec<_> = client.sent.iter().map(|message| message.kind).collect();
    let moved = before.state != after.state;
    let state = &after.state;
    let expected: &[ClientMessage] = if *state == SourceState::Requesting && moved {
        &[ClientMessage::Request]
    } else if *state == SourceState::Renewing && moved {
        &[ClientMessage::Renew]
    } else if *state == SourceState::Rebinding && moved {
        &[ClientMessage::Rebind]
    } else if *state == SourceState::Requesting && start == Start::RequestingWithRunnerUp && !sent.is_empty() {
        assert_eq!(client.sent[0].server_id, Some(play::server_id(2)), "the runner-up is asked");
        &[ClientMessage::Request]
    } else {
        &[]
    };
    assert_eq!(sent, expected, "{start:?} became {:?} by {message:?}", after.state);
}

/// Leases come, grow and end only as a Reply says.
fn holds_what_it_was_given(start: Start, message: &Incoming, before: &Snapshot, after: &Snapshot, client: &Watched) {
    let leasing = !matches!(start, Start::Releasing | Start::Informing | Start::Confirming);
    let reply = message.kind == ServerMessage::Reply && leasing;
    let ours: Vec<_> = message.delegations.iter().filter(|ia| (1..=2).contains(&ia.iaid)).collect();
    for (prefix, ends) in &after.prefixes {
        if before.prefixes.get(prefix) != Some(ends) {
            let shorter = before.prefixes.get(prefix).is_some_and(|was| ends.0 <= was.0 && ends.1 <= was.1);
            assert!(reply && (shorter || gives(&ours, *prefix)), "{start:?}: {prefix} is held by {message:?}");
        }
    }
    let gone = before.prefixes.keys().filter(|prefix| !after.prefixes.contains_key(prefix));
    assert!(reply || gone.count() == 0, "{start:?}: {before:?} became {after:?}");
    let heeded = matches!(message.status.code, StatusCode::Success | StatusCode::NoPrefixAvail);
    if reply && heeded && start != Start::SolicitingRapid && !is_hasty(start, message) {
        // §18.2.10.1: valid lifetime 0 ends a lease, whatever the status of its IA.
        for ia in ours.iter().filter(|ia| ours.iter().filter(|other| other.iaid == ia.iaid).count() == 1) {
            let is_right = ia.t1 <= ia.t2 || ia.t2 == 0;
            let ended = |prefix: &Ipv6Net| {
                let mut all = ours.iter().flat_map(|ia| &ia.prefixes).filter(|given| given.prefix == *prefix);
                all.clone().count() > 0 && all.all(|given| given.valid == 0)
            };
            let alive = client.alive().filter(|offer| offer.recipient == Some(format!("p{}", ia.iaid)));
            let mut alive = alive.filter(|offer| is_right && ended(&offer.prefix));
            assert!(alive.next().is_none(), "{start:?}: {message:?} ended nothing");
        }
    }
}

/// Whether a Reply gives a prefix, and in an order that may be followed (§21.21, §21.22).
fn gives(ours: &[&IaPd], prefix: Ipv6Net) -> bool {
    ours.iter().filter(|ia| ia.t1 <= ia.t2 || ia.t2 == 0).any(|ia| {
        let mut prefixes = ia.prefixes.iter();
        ia.status.code == StatusCode::Success
            && prefixes.any(|given| {
                let right = given.prefix == prefix && given.valid > 0 && given.preferred <= given.valid;
                right && given.status.code == StatusCode::Success && watch::is_usable(prefix)
            })
    })
}
