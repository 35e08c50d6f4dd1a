//! Table E: Reconfigure (RFC 9915 §18.2.11), with its key (RKAP, §20.4).

use super::answer::*;
use super::world::*;
use crate::source::SourceState;
use crate::source::dhcpv6::wire::{Authentication, ClientMessage, Incoming, Rkap, ServerMessage};
use crate::source::dhcpv6::{Memory, Settings};

use ClientMessage::{InformationRequest, Rebind, Renew};

const KEY: [u8; 16] = *b"a key of 16 byte";
const OTHER_KEY: [u8; 16] = *b"quite other key!";

fn accepting() -> Settings {
    Settings { reconfigure: true, ..settings() }
}

/// A Reply's Authentication option with the key (type 1, RFC 9915 §20.4.1).
fn key(key: [u8; 16]) -> Authentication {
    Authentication { protocol: 3, algorithm: 1, rdm: 0, replay: 1, rkap: Some(Rkap::Key(key)) }
}

fn grant(answer: Answer) -> Answer {
    let answer = answer.pd(HOME, 18_000, 28_800, &[(A, 36_000, 72_000)]);
    answer.with(|message| {
        message.reconfigure_accept = true;
        message.authentication = (message.kind == ServerMessage::Reply).then(|| key(KEY));
    })
}

/// Bound to a server that gave its key.
fn bound() -> World {
    World::bound_with(accepting(), grant)
}

/// A Reconfigure of server 1, not signed yet.
fn reconfigure(kind: ClientMessage) -> Answer {
    let mut message = Incoming::new(ServerMessage::Reconfigure, [0; 3]);
    message.client_id = Some(our_duid());
    message.server_id = Some(server(1));
    message.reconfigure = Some(kind);
    Answer { message, extra: Vec::new() }
}

/// Delivers it and expects nothing; a right one afterwards works, so nothing else was in its way.
fn ignored(mut world: World, bytes: &[u8]) {
    let (count, state) = (world.sent.len(), world.state());
    world.deliver_bytes(bytes);
    world.run(secs(30.0));
    assert_eq!((world.sent.len(), world.state()), (count, state), "{:?}", world.kinds());
    world.deliver_bytes(&reconfigure(Renew).signed(&KEY, 1_000_000));
    assert_eq!(
        world.next_within(secs(1.0)).or_else(|| world.sent.get(count).cloned()).map(|sent| sent.kind),
        Some(Renew)
    );
}

#[test]
fn t099_reconfigure_accept_is_sent_when_configured() {
    for (settings, expected) in [(accepting(), true), (settings(), false)] {
        let world = World::soliciting(settings);
        assert_eq!(world.last().message.reconfigure_accept, expected);
    }
}

#[test]
fn t100_a_reconfigure_renews() {
    let mut world = bound();
    world.run(secs(100.0));
    let (count, asked) = (world.sent.len(), world.now);
    world.deliver_bytes(&reconfigure(Renew).signed(&KEY, 1));
    world.run(secs(1.0));
    let renew = world.sent[count].clone();
    assert_eq!((renew.kind, &renew.server, renew.elapsed), (Renew, &Some(server(1)), 0));
    assert!(renew.at >= asked && renew.xid != [0; 3]);
    assert_eq!((world.state(), world.usable()), (SourceState::Renewing, vec![A.to_owned()]));
    // Another one meanwhile is ignored (RFC 9915 §18.2.11).
    world.deliver_bytes(&reconfigure(Rebind).signed(&KEY, 2));
    assert_eq!(world.state(), SourceState::Renewing);
    let reply = Answer::to(&renew, ServerMessage::Reply, 1).pd(HOME, 50, 80, &[(A, 100, 200)]);
    world.deliver(&reply);
    assert_eq!(world.state(), SourceState::Bound);
    world.deliver_bytes(&reconfigure(Renew).signed(&KEY, 3));
    world.run(secs(1.0));
    assert_eq!(world.state(), SourceState::Renewing, "and when it is done, a next one counts again");
}

#[test]
fn t101_without_authentication_it_is_ignored() {
    ignored(bound(), &reconfigure(Renew).bytes());
}

#[test]
fn t102_a_wrong_digest_is_ignored() {
    let right = reconfigure(Renew).signed(&KEY, 2);
    let mut flipped = right.clone();
    *flipped.last_mut().expect("octets") ^= 1;
    ignored(bound(), &flipped);
    ignored(bound(), &reconfigure(Renew).signed(&OTHER_KEY, 2));
    let mut other_xid = right;
    other_xid[1] ^= 1;
    ignored(bound(), &other_xid);
}

#[test]
fn t103_a_replay_is_ignored() {
    for replayed in [7, 6, 0] {
        let mut world = bound();
        // The first one is recorded without a comparison.
        world.deliver_bytes(&reconfigure(Renew).signed(&KEY, 7));
        world.run(secs(1.0));
        let reply = world.reply().pd(HOME, 18_000, 28_800, &[(A, 36_000, 72_000)]);
        world.deliver(&reply);
        ignored(world, &reconfigure(Renew).signed(&KEY, replayed));
    }
}

#[test]
fn t104_another_server_is_ignored() {
    ignored(bound(), &reconfigure(Renew).from(2).signed(&KEY, 2));
    ignored(bound(), &reconfigure(Renew).with(|message| message.server_id = None).signed(&KEY, 2));
    ignored(bound(), &reconfigure(Renew).with(|message| message.client_id = Some(server(3))).signed(&KEY, 2));
    ignored(bound(), &reconfigure(Renew).with(|message| message.client_id = None).signed(&KEY, 2));
}

#[test]
fn t105_a_wrong_reconfigure_message_option_is_ignored() {
    let without = || reconfigure(Renew).with(|message| message.reconfigure = None);
    ignored(bound(), &without().signed(&KEY, 2));
    ignored(bound(), &reconfigure(Renew).option(19, &[5]).signed(&KEY, 2));
    ignored(bound(), &without().option(19, &[]).signed(&KEY, 2));
    ignored(bound(), &without().option(19, &[7]).signed(&KEY, 2));
    ignored(bound(), &without().option(19, &[5, 5]).signed(&KEY, 2));
}

#[test]
fn t106_the_order_of_options_does_not_matter() {
    // The server's encoder writes Server ID, Client ID, Reconfigure Message, …, Authentication; then these.
    let unordered = reconfigure(Renew).option(200, &[1, 2, 3]).option(39, &[]).option(7, &[9]);
    let bytes = unordered.signed(&KEY, 2);
    let mut world = bound();
    let count = world.sent.len();
    world.deliver_bytes(&bytes);
    world.run(secs(1.0));
    assert_eq!(world.sent.get(count).map(|sent| sent.kind), Some(Renew));
}

#[test]
fn t107_it_can_ask_for_a_rebind() {
    let mut world = bound();
    let count = world.sent.len();
    world.deliver_bytes(&reconfigure(Rebind).signed(&KEY, 2));
    world.run(secs(1.0));
    assert_eq!(world.sent.get(count).map(|sent| sent.kind), Some(Rebind));
    assert_eq!(world.usable(), [A]);
}

#[test]
fn t107_t152_it_can_ask_for_an_information_request() {
    let mut world = bound();
    let count = world.sent.len();
    world.deliver_bytes(&reconfigure(InformationRequest).signed(&KEY, 2));
    world.run(secs(1.5));
    let sent = world.sent.get(count).expect("a message").clone();
    assert_eq!((sent.kind, &sent.server), (InformationRequest, &Some(server(1))));
    assert!(sent.asks_for(83) && sent.asks_for(32));
    assert!(sent.message.delegations.is_empty() && sent.message.addresses.is_empty());
    assert_eq!(world.usable(), [A]);
    let reply = Answer::to(&sent, ServerMessage::Reply, 1);
    world.deliver(&reply);
    let renew = world.next_of(Renew);
    assert_eq!(renew.at.saturating_since(world.sent[1].at), secs(18_000.0), "the lease goes on as it was");
}

#[test]
fn t108_a_multicast_reconfigure_is_ignored() {
    let mut world = bound();
    let (count, bytes) = (world.sent.len(), reconfigure(Renew).signed(&KEY, 2));
    world.deliver_to(ip("ff02::1:2"), IFINDEX, &bytes);
    world.run(secs(30.0));
    assert_eq!(world.sent.len(), count);
    world.deliver_bytes(&bytes);
    world.run(secs(1.0));
    assert_eq!(world.sent.len(), count + 1);
}

#[test]
fn t162_without_reconfigure_accept_it_is_ignored() {
    let mut world = World::bound_with(settings(), grant);
    let count = world.sent.len();
    world.deliver_bytes(&reconfigure(Renew).signed(&KEY, 2));
    world.run(secs(30.0));
    assert_eq!((world.sent.len(), world.state()), (count, SourceState::Bound));
    assert_eq!(world.memory().reconfigure_key, None);
}

#[test]
fn t163_the_key_is_that_of_the_first_reply() {
    let world = bound();
    assert_eq!(world.memory().reconfigure_key.map(|kept| kept.key), Some(KEY));
    // One octet less and one more than the type and 128 bits.
    for length in [16, 18] {
        let mut data = vec![3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
        data.resize(11 + length, 7);
        let world = World::bound_with(accepting(), |answer| {
            let plain = grant(answer).with(|message| message.authentication = None);
            if plain.message.kind == ServerMessage::Reply { plain.option(11, &data) } else { plain }
        });
        assert_eq!(world.memory().reconfigure_key, None, "information of {length} octets");
    }
}

#[test]
fn t163_a_second_key_replaces_or_not_but_one_works() {
    let mut world = bound();
    world.until_sent(Renew);
    let reply = world.reply().pd(HOME, 18_000, 28_800, &[(A, 36_000, 72_000)]);
    let reply = reply.with(|message| message.authentication = Some(key(OTHER_KEY)));
    world.deliver(&reply);
    let kept = world.memory().reconfigure_key.expect("a key").key;
    assert!(kept == KEY || kept == OTHER_KEY);
    let count = world.sent.len();
    let other = if kept == KEY { OTHER_KEY } else { KEY };
    world.deliver_bytes(&reconfigure(Renew).signed(&other, 5));
    world.run(secs(10.0));
    assert_eq!(world.sent.len(), count);
    world.deliver_bytes(&reconfigure(Renew).signed(&kept, 6));
    world.run(secs(1.0));
    assert_eq!(world.sent.len(), count + 1);
}

#[test]
fn t164_an_unanswered_rebind_by_reconfigure_leaves_the_times_as_they_were() {
    let mut world = bound();
    let start = world.now;
    world.deliver_bytes(&reconfigure(Rebind).signed(&KEY, 2));
    world.run(secs(17_000.0));
    assert_eq!(world.usable(), [A]);
    // Whichever way: when T2 has come, any server is asked, and the lease lives to its end.
    world.run_until(start + secs(28_800.0 + 700.0));
    assert_eq!((world.last().kind, world.usable()), (Rebind, vec![A.to_owned()]));
    world.run_until(start + secs(71_999.0));
    assert_eq!(world.alive(), [A]);
    world.run_until(start + secs(72_000.0));
    assert!(world.alive().is_empty());
}

/// Started again with what a former run knew.
fn restarted(memory: Memory) -> World {
    let mut world = World::started(accepting(), memory, 3, START + secs(1000.0));
    world.run(secs(15.0));
    assert_eq!(world.state(), SourceState::Bound, "nobody answered the Rebind; the lease goes on");
    world
}

#[test]
fn t165_the_key_survives_a_restart() {
    let mut world = bound();
    world.deliver_bytes(&reconfigure(Renew).signed(&KEY, 7));
    world.run(secs(1.0));
    let reply = world.reply().pd(HOME, 18_000, 28_800, &[(A, 36_000, 72_000)]);
    world.deliver(&reply);
    let memory = world.memory();
    ignored(restarted(memory.clone()), &reconfigure(Renew).signed(&KEY, 7));

    let mut without = restarted(Memory { reconfigure_key: None, ..memory });
    let count = without.sent.len();
    without.deliver_bytes(&reconfigure(Renew).signed(&KEY, 8));
    without.run(secs(30.0));
    assert_eq!(without.sent.len(), count, "without the key there is nothing to trust");
}

/// A server that has lost everything makes another key with the next lease (RFC 9915 §20.4.2).
#[test]
fn a_lease_that_is_delegated_anew_brings_its_own_key() {
    let mut world = bound();
    world.next_of(Renew);
    let unknown = world.reply().pd_status(HOME, NO_BINDING);
    world.deliver(&unknown);
    assert_eq!(world.last().kind, ClientMessage::Request);
    let reply = grant(world.reply()).with(|message| message.authentication = Some(key([9; 16])));
    world.deliver(&reply);
    world.deliver_bytes(&reconfigure(Renew).signed(&[9; 16], 1));
    assert_eq!(world.last().kind, Renew, "{:?}", world.notices);
}
