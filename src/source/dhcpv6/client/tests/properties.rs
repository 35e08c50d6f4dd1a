//! Whatever happens, in whatever order. The invariants below T-117 are checked by [`World`] after every step.

use ipnet::Ipv6Net;
use proptest::prelude::*;

use super::answer::*;
use super::world::*;
use crate::source::dhcpv6::Settings;
use crate::source::dhcpv6::wire::{ClientMessage, IaPd, IaPrefix, ServerMessage};
use crate::source::link::LinkState;
use crate::source::{Advertised, Offer};

/// What a server says of one IA_PD.
#[derive(Clone, Debug)]
struct Ia {
    iaid: u32,
    t1: u32,
    t2: u32,
    status: u16,
    prefixes: Vec<(usize, u32, u32)>,
}

#[derive(Clone, Debug)]
enum Event {
    Run(u64),
    Suspend(u64),
    Early,
    Link(Option<LinkState>),
    Answer { kind: ServerMessage, number: u8, preference: u8, status: u16, rapid: bool, ias: Vec<Ia> },
    Garbage(Vec<u8>),
    Flip(usize, u8),
    Advertised(bool, u8),
    Failure(bool),
    Settings(bool, bool),
    Release,
    Restart(u64),
}

const PREFIXES: [&str; 6] = [A, B, C, "2001:db8:a00::/60", "fe80::/64", "2001:db8::/96"];

fn lifetime() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0_u32), 6 => 1..5_000_u32, 1 => Just(INFINITY), 1 => Just(INFINITY - 1), 1 => any::<u32>()]
}

fn ia() -> impl Strategy<Value = Ia> {
    let iaid = prop_oneof![4 => Just(HOME), 2 => Just(LAB), 1 => any::<u32>()];
    let prefixes = proptest::collection::vec((0..PREFIXES.len(), lifetime(), lifetime()), 0..3);
    let status = prop_oneof![6 => Just(0_u16), 3 => 1..8_u16];
    (iaid, lifetime(), lifetime(), status, prefixes, any::<bool>()).prop_map(|(iaid, a, b, status, prefixes, sane)| {
        let (t1, t2) = if sane { (a.min(b), a.max(b)) } else { (a, b) };
        let sane = |(name, a, b): (usize, u32, u32)| (name, a.min(b), a.max(b));
        Ia { iaid, t1, t2, status, prefixes: prefixes.into_iter().map(sane).collect() }
    })
}

fn answer() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![3 => Just(ServerMessage::Advertise), 6 => Just(ServerMessage::Reply)];
    let preference = prop_oneof![Just(0_u8), Just(255), any::<u8>()];
    let status = prop_oneof![8 => Just(0_u16), 2 => 1..8_u16];
    (kind, 1..4_u8, preference, status, any::<bool>(), proptest::collection::vec(ia(), 0..4)).prop_map(
        |(kind, number, preference, status, rapid, ias)| Event::Answer { kind, number, preference, status, rapid, ias },
    )
}

fn link() -> impl Strategy<Value = Option<LinkState>> {
    prop_oneof![
        4 => Just(Some(up())),
        1 => Just(Some(down())),
        1 => Just(Some(LinkState { addresses: Vec::new(), ..up() })),
        1 => Just(Some(LinkState { ifindex: IFINDEX + 1, mac: None, ..up() })),
        1 => Just(None),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        10 => prop_oneof![0..3_000_u64, 0..10_000_000_u64].prop_map(Event::Run),
        1 => (0..10_000_000_u64).prop_map(Event::Suspend),
        1 => Just(Event::Early),
        2 => link().prop_map(Event::Link),
        12 => answer(),
        1 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(Event::Garbage),
        1 => (any::<usize>(), 1..=255_u8).prop_map(|(at, bits)| Event::Flip(at, bits)),
        1 => (any::<bool>(), 0..4_u8).prop_map(|(dhcpv6, number)| Event::Advertised(dhcpv6, number)),
        1 => any::<bool>().prop_map(Event::Failure),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(both, rapid)| Event::Settings(both, rapid)),
        1 => Just(Event::Release),
        1 => (0..10_000_u64).prop_map(Event::Restart),
    ]
}

fn chosen(both: bool, rapid_commit: bool) -> Settings {
    Settings { rapid_commit, ..if both { two() } else { settings() } }
}

fn milliseconds(count: u64) -> std::time::Duration {
    std::time::Duration::from_millis(count)
}

fn apply(world: &mut World, event: &Event, settings: &mut Settings) {
    match event {
        Event::Run(time) => world.run(milliseconds(*time)),
        Event::Suspend(time) => world.suspend(milliseconds(*time)),
        Event::Early => world.suspend(milliseconds(0)),
        Event::Link(link) => world.link(link.clone()),
        Event::Answer { .. } => deliver(world, event, None),
        Event::Garbage(bytes) => world.deliver_bytes(bytes),
        Event::Flip(at, bits) => {
            let ias = vec![Ia { iaid: HOME, t1: 50, t2: 80, status: 0, prefixes: vec![(0, 100, 200)] }];
            let kind = ServerMessage::Reply;
            let event = Event::Answer { kind, number: 1, preference: 0, status: 0, rapid: false, ias };
            deliver(world, &event, Some((*at, *bits)));
        }
        Event::Advertised(dhcpv6, number) => {
            let prefix = format!("2001:db8:f:{number}::/64");
            world.advertised(&Advertised { dhcpv6: *dhcpv6, ..on_link(&[&prefix]) });
        }
        Event::Failure(failed) => world.failure(failed.then(|| "port 546 is taken".to_owned())),
        Event::Settings(both, rapid) => {
            *settings = chosen(*both, *rapid);
            world.reconfigure(settings.clone());
        }
        Event::Release => {
            world.release("home");
        }
        Event::Restart(away) => {
            let now = world.now + milliseconds(*away);
            *world = World::started(settings.clone(), world.memory(), now.as_nanos().unsigned_abs(), now);
        }
    }
}

/// Delivers the answer to what was sent last, with one octet of its IA_PDs or options changed if wanted.
fn deliver(world: &mut World, event: &Event, flip: Option<(usize, u8)>) {
    let Event::Answer { kind, number, preference, status: code, rapid, ias } = event else { return };
    let Some(sent) = world.sent.last() else { return };
    let mut answer = Answer::to(sent, *kind, *number).preference(*preference);
    answer.message.rapid_commit = *rapid;
    answer.message.status = status(*code);
    for Ia { iaid, t1, t2, status: code, prefixes } in ias {
        let prefixes =
            prefixes.iter().map(|(name, preferred, valid)| prefix(&(PREFIXES[*name], *preferred, *valid))).collect();
        answer = answer.ia(IaPd { iaid: *iaid, t1: *t1, t2: *t2, status: status(*code), prefixes });
    }
    let Some((at, bits)) = flip else { return world.deliver(&answer) };
    let mut bytes = answer.bytes();
    // A change in the ids (the first octets) only makes it a foreign one; lifetimes and prefixes of an accepted one
    // would be unknown to the invariants, so the length fields and codes before them are what is changed.
    let at = at % bytes.len().saturating_sub(50).max(1);
    bytes[at] ^= bits;
    world.grant(A, 200);
    world.deliver_bytes(&bytes);
}

/// The prefix of each IAID, as a server without faults has it.
fn own(iaid: u32) -> &'static str {
    if iaid == HOME { "2001:db8:4000::/56" } else { "2001:db8:5000::/56" }
}

/// What a server without faults answers: each IA its own prefix, and the end of every other one.
fn honest(sent: &Sent) -> Answer {
    let is_solicit = sent.kind == ClientMessage::Solicit;
    let kind = if is_solicit { ServerMessage::Advertise } else { ServerMessage::Reply };
    let mut answer = Answer::to(sent, kind, 9).preference(255);
    if let Some(asked) = &sent.server {
        answer.message.server_id = Some(asked.clone());
    }
    for (iaid, prefixes) in &sent.message.delegations {
        let mut granted = vec![prefix(&(own(*iaid), 3_000, 6_000))];
        let others = prefixes.iter().map(Ipv6Net::to_string).filter(|other| other != own(*iaid) && !is_solicit);
        granted.extend(others.filter(|other| !other.starts_with("::/")).map(|other| prefix(&(other.as_str(), 0, 0))));
        answer = answer.ia(IaPd { iaid: *iaid, t1: 1_500, t2: 2_400, status: status(0), prefixes: granted });
    }
    answer
}

/// What a server always says of one IA_PD to one kind of message.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Absent,
    Empty,
    Refused(u16),
    Granted(u32, u32),
    Other,
    Ended,
    Inside(u16),
}

fn habit() -> impl Strategy<Value = Habit> {
    prop_oneof![
        1 => Just(Habit::Absent),
        1 => Just(Habit::Empty),
        1 => (1..7_u16).prop_map(Habit::Refused),
        4 => Just(Habit::Granted(1_800, 2_880)),
        1 => Just(Habit::Granted(0, 0)),
        1 => Just(Habit::Granted(2_880, 1_800)),
        1 => Just(Habit::Granted(100_000, 200_000)),
        1 => Just(Habit::Granted(INFINITY, INFINITY)),
        1 => Just(Habit::Other),
        1 => Just(Habit::Ended),
        1 => (1..7_u16).prop_map(Habit::Inside),
    ]
}

/// A server of habit: for each kind of message the status of the whole, and of two IA_PDs; `None`: no answer.
type Habits = Vec<Option<(u16, [Habit; 2])>>;

fn habits() -> impl Strategy<Value = Habits> {
    let status = prop_oneof![6 => Just(0_u16), 1 => 1..7_u16];
    let answer = proptest::option::weighted(0.9, (status, [habit(), habit()]));
    proptest::collection::vec(answer, 4)
}

fn habitual(sent: &Sent, habits: &Habits) -> Option<Answer> {
    let kind = match sent.kind {
        ClientMessage::Solicit => 0,
        ClientMessage::Request => 1,
        ClientMessage::Renew => 2,
        ClientMessage::Rebind | ClientMessage::Confirm | ClientMessage::Release | ClientMessage::InformationRequest => {
            3
        }
    };
    let (code, of_ias) = habits[kind]?;
    let is_solicit = sent.kind == ClientMessage::Solicit;
    let reply = if is_solicit { ServerMessage::Advertise } else { ServerMessage::Reply };
    let mut answer = Answer::to(sent, reply, 1).preference(255).status(code);
    for ((iaid, _), habit) in sent.message.delegations.iter().zip(of_ias) {
        let prefix = own(*iaid);
        let ended = IaPd { iaid: *iaid, t1: 0, t2: 0, status: status(0), prefixes: Vec::new() };
        answer = match habit {
            Habit::Absent => answer,
            Habit::Empty => answer.ia(ended),
            Habit::Refused(code) => answer.pd_status(*iaid, code),
            Habit::Granted(t1, t2) => answer.pd(*iaid, t1, t2, &[(prefix, 3_600, 7_200)]),
            Habit::Other => answer.pd(*iaid, 1_800, 2_880, &[(own(HOME ^ LAB ^ *iaid), 3_600, 7_200)]),
            Habit::Ended => answer.pd(*iaid, 0, 0, &[(prefix, 0, 0)]),
            Habit::Inside(code) => {
                let refused = IaPrefix { status: status(code), ..super::answer::prefix(&(prefix, 3_600, 7_200)) };
                answer.ia(IaPd { prefixes: vec![refused], ..ended })
            }
        };
    }
    Some(answer)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn t117_no_order_of_events_breaks_the_invariants(
        seed in any::<u64>(),
        rapid in any::<bool>(),
        both in any::<bool>(),
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut settings = chosen(both, rapid);
        let mut world = World::seeded(settings.clone(), seed);
        for event in &events {
            apply(&mut world, event, &mut settings);
        }
        // It never stops for good: on a link that works, it holds something for ever, or speaks again.
        world.failure(None);
        world.link(Some(up()));
        let holds = world.report().offers.iter().any(|offer| !offer.valid_until.is_over(world.now));
        let released = world.release_asked;
        prop_assert!(holds || released || world.next_within(secs(200_000.0)).is_some(), "{:?}", world.state());
    }

    /// Whatever happened before: a link that works and a server that works are enough.
    #[test]
    fn a_server_without_faults_ends_every_trouble(
        seed in any::<u64>(),
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut settings = chosen(true, false);
        let mut world = World::seeded(settings.clone(), seed);
        for event in &events {
            apply(&mut world, event, &mut settings);
        }
        settings = chosen(true, false);
        world.reconfigure(settings);
        world.failure(None);
        world.link(Some(down()));
        let mut count = world.sent.len();
        world.link(Some(up()));
        let end = world.now + secs(300.0);
        while let Some(sent) = world.sent_within(count, end.saturating_since(world.now)) {
            count += 1;
            let answer = honest(&sent);
            world.deliver(&answer);
        }
        prop_assert_eq!(world.usable(), [own(HOME), own(0)], "{:?} {:?}", world.notices, world.kinds());
    }

    /// Whatever happened before: what is not held is not waited for longer than 60 s of asking and 60 s of a link that is
    /// down, flaps or not.
    #[test]
    fn sources_of_lower_rank_have_their_turn(
        seed in any::<u64>(),
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut settings = chosen(true, false);
        let mut world = World::seeded(settings.clone(), seed);
        for event in &events {
            apply(&mut world, event, &mut settings);
        }
        world.run(secs(121.0));
        for name in ["home", "lab"] {
            let report = world.report();
            let own = |offer: &&Offer| offer.recipient.as_deref() == Some(name);
            let held = report.offers.iter().filter(own).any(|offer| !offer.valid_until.is_over(world.now));
            prop_assert!(held || !report.pending.contains(name), "{name} {:?} {:?}", report.state, world.notices);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// DC-013: whatever a server does again and again, it is not asked at the limit of the rate. Requests in vain are ten in
    /// five minutes in the end.
    #[test]
    fn no_habit_of_a_server_makes_a_tight_loop(seed in any::<u64>(), habits in habits()) {
        let mut world = World::seeded(chosen(true, false), seed);
        let end = world.now + secs(14_400.0);
        let mut count = 0;
        while let Some(sent) = world.sent_within(count, end.saturating_since(world.now)) {
            count += 1;
            if let Some(answer) = habitual(&sent, &habits) {
                world.deliver(&answer);
            }
        }
        prop_assert!(count < 700, "{count} messages in 4 h: {:?}", &world.kinds()[count - 20..]);
    }
}
