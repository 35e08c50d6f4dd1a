//! Records: every input of the source-side deciders with its time, so that a session can be run again offline.
//!
//! A record is a text of JSON objects, one a line. The first of a session is [`Event::Start`]: the configuration, what a
//! former run left and the clocks; a restart of the daemon appends another one. All that follows has the moment, in
//! seconds since that start, at which a decider was given it. What deciders give each other (reports, settings) is not
//! in it: it follows from the rest. Nothing of the clusters is in it.
//!
//! `dyn-prefix run --record FILE` writes one ([`Recorder`]), `dyn-prefix replay FILE` reads it ([`crate::replay`]); one
//! written by hand serves as well:
//!
//! ```
//! let text = r#"
//! {"event": "start", "record": 1, "started": "2026-01-04T10:00:00Z", "config": ""}
//! {"at": "0.5", "event": "link", "interface": "wan", "link": {"ifindex": 2, "up": true}}
//! {"at": "2", "event": "end"}
//! "#;
//! assert_eq!(dyn_prefix::record::parse(text).expect("a record").lines.len(), 3);
//! ```

use std::net::Ipv6Addr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::source::link::{LinkAddress, LinkState};
use crate::source::observe::{Filed, Told};
use crate::store::State;

mod choice;
mod encoding;
mod recorder;

pub use choice::Choice;
pub use encoding::{Hex, Mac, Seconds};
pub use recorder::{Recorder, Recording, Tape};

/// The version of the format that this program writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// Tasks note the time a little before they write a line.
const DISORDER: Duration = Duration::from_secs(1);

/// One line: an event and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Since the start of the session.
    #[serde(default)]
    pub at: Seconds,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// A daemon started. Begins every session.
    Start(Box<Start>),
    /// The DHCPv6 client of an interface begins, with this seed for its random numbers.
    Client {
        /// The interface.
        interface: String,
        /// 32 octets.
        seed: Hex,
    },
    /// An interface is now like this.
    Link {
        /// Its name.
        interface: String,
        /// Who was told; everyone when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Decider>,
        /// `None`: it does not exist.
        link: Option<Link>,
    },
    /// An ICMPv6 message came in.
    RouterAdvertisement {
        /// The interface.
        interface: String,
        /// Its IPv6 source address.
        source: Ipv6Addr,
        /// Its hop limit, as far as the kernel said.
        #[serde(default = "a_neighbours_hop_limit")]
        hop_limit: Option<u8>,
        /// It came in fragments.
        #[serde(default, skip_serializing_if = "is_false")]
        fragmented: bool,
        /// The ICMPv6 message.
        bytes: Hex,
    },
    /// A DHCPv6 message came in. In a record made by hand the transaction-id 000000 stands for that of the last message
    /// that was sent.
    Datagram {
        /// The interface.
        interface: String,
        /// The address it was sent to.
        destination: Ipv6Addr,
        /// The index of the interface it came in by.
        ifindex: u32,
        /// The content of the UDP datagram.
        bytes: Hex,
    },
    /// A DHCPv6 message went out. It follows from the rest; but another version of the program may choose another
    /// transaction-id, and then takes the answers to this one for answers to its own.
    Sent {
        /// The interface.
        interface: String,
        /// The content of the UDP datagram.
        bytes: Hex,
    },
    /// A packet with a DHCPv6 message of a client that is observed, or to it.
    Observed {
        /// The interface.
        interface: String,
        /// It is the client's.
        #[serde(default, skip_serializing_if = "is_false")]
        sent: bool,
        /// The kernel had verified its checksum, or had not computed it yet.
        #[serde(default, skip_serializing_if = "is_false")]
        checksum_known: bool,
        /// From its IPv6 header on.
        bytes: Hex,
    },
    /// An observer heard of routes and addresses.
    Netlink {
        /// The interface that it observes.
        interface: String,
        /// These are all there are.
        #[serde(default, skip_serializing_if = "is_false")]
        dump: bool,
        /// Netlink messages ([`crate::source::observe::to_octets`]).
        messages: Vec<Hex>,
    },
    /// What the client that is observed has written down.
    Filed {
        /// The interface that it is observed on.
        interface: String,
        /// What.
        filed: Vec<Filed>,
    },
    /// All that the client that is observed holds, as it says.
    Described {
        /// The interface that it is observed on.
        interface: String,
        /// What.
        described: Vec<Filed>,
    },
    /// Somebody told an observer of a delegation.
    Told {
        /// The interface that it observes.
        interface: String,
        /// What.
        told: Told,
    },
    /// The kernel told of the addresses of an interface that a prefix is taken from.
    Addresses {
        /// The interface.
        interface: String,
        /// These are all there are on the interface of this index; absent: they have changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        dump: Option<u32>,
        /// Netlink messages ([`crate::source::observe::to_octets`]).
        messages: Vec<Hex>,
    },
    /// A service begins to be asked for the address of this host, with this seed for the pauses.
    Service {
        /// Its URL.
        url: String,
        /// The seed.
        seed: u64,
    },
    /// A service has answered, or has not.
    Answer {
        /// Its URL.
        url: String,
        /// The address that it answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<Ipv6Addr>,
        /// Without an address: why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
        /// For how long it asked to be left alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<Seconds>,
    },
    /// `acquisition = "auto"` has come to something.
    Chosen(Choice),
    /// There is no socket, or there is one again.
    Failure {
        /// The interface.
        interface: String,
        /// Whose.
        to: Decider,
        /// Why and what to do; `None`: there is one.
        text: Option<String>,
    },
    /// A decider looked at its timers.
    Wake {
        /// Which.
        to: Decider,
        /// Its interface, if it has one; of a service the URL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interface: Option<String>,
    },
    /// What a decider knew was taken to the coordinator.
    Report {
        /// Which.
        to: Decider,
        /// Its interface; of a service the URL.
        interface: String,
    },
    /// Another configuration was taken into use.
    Reload {
        /// The text of the file.
        config: String,
    },
    /// A DHCPv6 client got its settings anew.
    Settings {
        /// Its interface.
        interface: String,
        /// The DUID that the configuration means there; `None`: the client's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        duid: Option<Hex>,
    },
    /// The delegation of a DynamicPrefix is to be given back.
    Release {
        /// The interface of the client, which does it; absent: it leaves the targets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interface: Option<String>,
        /// The DynamicPrefix.
        name: String,
    },
    /// The machine was suspended, and goes on.
    Resumed {
        /// For how long it slept.
        slept: Seconds,
    },
    /// The daemon was stopped.
    End,
}

/// How a session starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// [`FORMAT`]
    pub record: u32,
    /// The version of the program that wrote it.
    #[serde(default)]
    pub program: String,
    /// The wall clock at the start.
    pub started: Timestamp,
    /// CLOCK_BOOTTIME at the start.
    #[serde(default)]
    pub boot_time: Seconds,
    /// The id of this boot, where the kernel tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The id that the daemon writes as.
    #[serde(default)]
    pub daemon_id: String,
    /// The DUID of its DHCPv6 clients, unless the configuration says otherwise.
    #[serde(default)]
    pub duid: Hex,
    /// The path of the configuration file.
    #[serde(default)]
    pub path: String,
    /// The text of the configuration file.
    pub config: String,
    /// What a former run left.
    #[serde(default)]
    pub state: Option<State>,
}

/// Who is given inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decider {
    /// The table of routers on an interface.
    RouterAdvertisement,
    /// The DHCPv6 client on an interface.
    Dhcpv6,
    /// The observer of another client on an interface.
    Observer,
    /// The table of the addresses of an interface.
    Addresses,
    /// Who asks a service for the address of this host.
    Service,
    /// The coordinator, which has all arbiters.
    Coordinator,
}

/// A [`LinkState`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its index.
    pub ifindex: u32,
    /// It is up and has a carrier.
    pub up: bool,
    /// Its MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Its IPv6 addresses.
    #[serde(default)]
    pub addresses: Vec<Ipv6Addr>,
    /// Those of them that nothing can be sent from yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tentative: Vec<Ipv6Addr>,
}

impl From<&LinkState> for Link {
    fn from(link: &LinkState) -> Self {
        let tentative = link.addresses.iter().filter(|own| own.tentative);
        Self {
            ifindex: link.ifindex,
            up: link.up,
            mac: link.mac.map(Mac),
            addresses: link.addresses.iter().map(|own| own.address).collect(),
            tentative: tentative.map(|own| own.address).collect(),
        }
    }
}

impl From<&Link> for LinkState {
    fn from(link: &Link) -> Self {
        let own = |address: &Ipv6Addr| LinkAddress { address: *address, tentative: link.tentative.contains(address) };
        Self {
            ifindex: link.ifindex,
            up: link.up,
            mac: link.mac.map(|mac| mac.0),
            addresses: link.addresses.iter().map(own).collect(),
        }
    }
}

/// What a hand-made record has no need to say.
#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's own type")]
const fn a_neighbours_hop_limit() -> Option<u8> {
    Some(crate::source::ra::packet::HOP_LIMIT)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// A record that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Its lines, the first of them a start.
    pub lines: Vec<Line>,
    /// The numbers of lines that a crash of the machine or a full disk cut off: the last ones of their sessions.
    pub cut_off: Vec<usize>,
}

/// A line that is no part of a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {number}: {problem}")]
pub struct Wrong {
    /// Its number, from 1 on.
    pub number: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads a record. Empty lines are left out, and so is a line that was cut off at the end of a session.
///
/// # Errors
/// When a line is none of a record, or is of a newer format; or the first is no start; or time goes backwards.
pub fn parse(text: &str) -> Result<Record, Wrong> {
    let mut record = Record::default();
    let mut doubtful: Option<Wrong> = None;
    for (number, line) in (1..).zip(text.split_inclusive('\n')).filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |problem: String| Wrong { number, problem };
        let parsed = serde_json::from_str::<Line>(line);
        let starts = parsed.as_ref().is_ok_and(|line| matches!(line.event, Event::Start(_)));
        match (doubtful.take(), starts) {
            (Some(cut), true) => record.cut_off.push(cut.number),
            (Some(cut), false) => return Err(cut),
            (None, _) => {}
        }
        match parsed {
            Ok(line) => {
                fits(record.lines.last(), &line).map_err(wrong)?;
                record.lines.push(line);
            }
            Err(error) => doubtful = Some(wrong(error.to_string())),
        }
    }
    match doubtful {
        Some(cut) if !text.ends_with('\n') && !record.lines.is_empty() => record.cut_off.push(cut.number),
        Some(wrong) => return Err(wrong),
        None => {}
    }
    Ok(record)
}

/// Whether a line can follow on the one before it.
fn fits(before: Option<&Line>, line: &Line) -> Result<(), String> {
    match (&line.event, before) {
        (Event::Start(start), _) if start.record > FORMAT => Err(format!(
            "the record has format {}, this program reads up to {FORMAT}; use a newer dyn-prefix",
            start.record
        )),
        (Event::Start(_), _) => Ok(()),
        (_, None) => Err("a record begins with a line of the event \"start\"".to_owned()),
        (_, Some(before)) if line.at.0 + DISORDER < before.at.0 && !matches!(before.event, Event::Start(_)) => {
            Err(format!("it is of second {}, which is before the line above it, second {}", line.at, before.at))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
