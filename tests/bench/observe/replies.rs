//! From a Reply on the wire to the prefix in the status.

use std::net::{SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use dyn_prefix::source::dhcpv6::wire::server::{decode_client, encode};
use dyn_prefix::source::dhcpv6::wire::{
    ClientMessage, Duid, IaPd, IaPrefix, Incoming, Outgoing, ServerMessage, Status, encode as encode_client,
};
use ipnet::Ipv6Net;

use crate::Options;
use crate::netns::{LAN, Pair, WAN};
use crate::report::{Table, Times};
use crate::world::{Daemon, LIMIT, link, link_local};

const IAID: u32 = 1;
/// The time within which the change has to be known.
const BAR: f64 = 100.0;
/// Between two exchanges: whatever follows from one is over, and they do not come in step with anything.
const PAUSES: [u64; 5] = [20, 33, 47, 61, 79];

/// Both sides of the exchanges.
struct Exchanges {
    client: UdpSocket,
    server: UdpSocket,
    servers: SocketAddrV6,
    ids: [Duid; 2],
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let pair = link();
    let exchanges = Exchanges::new(&pair)?;
    let daemon = Daemon::start(&pair.host, &options.program, WAN)?;
    let mut times = Times::default();
    let mut held = None;
    for number in 0..options.replies {
        let new: Ipv6Net = format!("2001:db8:{:x}::/56", number + 1).parse()?;
        let (transaction, back) = exchanges.ask(number, held)?;
        let before = Instant::now();
        exchanges.answer(transaction, back, held, new)?;
        let wanted = new.to_string();
        let is_it = |status: &serde_json::Value| status["dynamicPrefixes"][0]["currentPrefix"] == wanted.as_str();
        let at = daemon.until(&format!("the prefix {wanted}"), is_it)?;
        times.push(at.saturating_duration_since(before));
        held = Some(new);
        std::thread::sleep(Duration::from_millis(PAUSES[number as usize % PAUSES.len()]));
    }
    println!("\n=== Reply on the wire → status of the observing daemon ===\n{times}");
    let mut table = Table::default();
    table.add(("Reply on the wire → observed, the worst", "ms", BAR, BAR), times.worst());
    println!("{table}");
    Ok(())
}

impl Exchanges {
    fn new(pair: &Pair) -> Result<Self> {
        let client = pair.host.inside(|| -> Result<_> {
            let (own, scope) = (link_local(WAN)?, nix::net::if_::if_nametoindex(WAN)?);
            let socket = UdpSocket::bind(SocketAddrV6::new(own, 546, 0, scope)).context("port 546")?;
            socket.set_read_timeout(Some(LIMIT))?;
            let servers = SocketAddrV6::new("ff02::1:2".parse()?, 547, 0, scope);
            Ok((socket, servers))
        });
        let server = pair.router.inside(|| -> Result<_> {
            link_local(LAN)?;
            let socket = UdpSocket::bind("[::]:547").context("port 547")?;
            socket.join_multicast_v6(&"ff02::1:2".parse()?, nix::net::if_::if_nametoindex(LAN)?)?;
            socket.set_read_timeout(Some(LIMIT))?;
            Ok(socket)
        });
        let id = |last: u8| Duid::new(&[0, 3, 0, 1, 2, 0, 0, 0, 0, last]).context("a DUID");
        let (client, servers) = client?;
        Ok(Self { client, server: server?, servers, ids: [id(2)?, id(1)?] })
    }

    /// The client asks, for what it holds or anew; the transaction and where the question came from.
    fn ask(&self, number: u32, held: Option<Ipv6Net>) -> Result<([u8; 3], std::net::SocketAddr)> {
        let [_, x0, x1, x2] = (number + 1).to_be_bytes();
        let message = Outgoing {
            kind: if held.is_some() { ClientMessage::Renew } else { ClientMessage::Request },
            transaction_id: [x0, x1, x2],
            client_id: self.ids[0].clone(),
            server_id: Some(self.ids[1].clone()),
            elapsed: 0,
            option_request: Vec::new(),
            rapid_commit: false,
            reconfigure_accept: false,
            delegations: vec![(IAID, held.into_iter().collect())],
            addresses: Vec::new(),
            raw_options: Vec::new(),
        };
        self.client.send_to(&encode_client(&message)?, self.servers)?;
        let mut buffer = [0; 1500];
        let (length, back) = self.server.recv_from(&mut buffer).context("the client's message")?;
        let read = decode_client(&buffer[..length])?;
        Ok((read.transaction_id, back))
    }

    /// The server ends what is held, and delegates another prefix.
    fn answer(
        &self,
        transaction: [u8; 3],
        to: std::net::SocketAddr,
        held: Option<Ipv6Net>,
        new: Ipv6Net,
    ) -> Result<()> {
        let prefix =
            |prefix, preferred, valid| IaPrefix { prefix, preferred, valid, status: Status::default(), excluded: None };
        let ended = held.map(|held| prefix(held, 0, 0));
        let prefixes = ended.into_iter().chain([prefix(new, 2000, 3000)]).collect();
        let message = Incoming {
            client_id: Some(self.ids[0].clone()),
            server_id: Some(self.ids[1].clone()),
            delegations: vec![IaPd { iaid: IAID, t1: 1000, t2: 1600, status: Status::default(), prefixes }],
            ..Incoming::new(ServerMessage::Reply, transaction)
        };
        self.server.send_to(&encode(&message, &[]), to)?;
        self.client.recv(&mut [0; 1500]).context("the client gets its Reply")?;
        Ok(())
    }
}
