//! The DHCPv6 server of the ISP: it delegates what it is told to, and says when that is another prefix.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use anyhow::Context as _;
use dyn_prefix::source::dhcpv6::Duid;
use dyn_prefix::source::dhcpv6::wire::server::{decode_client, encode, sign, unsigned};
use dyn_prefix::source::dhcpv6::wire::{
    Authentication, ClientMessage, IaPd, IaPrefix, Incoming, Outgoing, Rkap, ServerMessage, Status,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::prefixes::Prefix;

/// RFC 9915 §7.1, §7.2.
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;

/// A DUID-EN with the enterprise number for examples (RFC 5612).
const DUID: [u8; 9] = [0, 2, 0, 0, 0x7e, 0xd9, b'i', b's', b'p'];

/// The key for Reconfigure messages; a real server makes one for each client.
const KEY: [u8; 16] = *b"a key for a demo";

/// A prefix that is delegated, with its preferred and valid lifetime in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Delegated {
    pub(crate) prefix: Prefix,
    pub(crate) preferred: u32,
    pub(crate) valid: u32,
}

impl Delegated {
    /// Half an hour, two hours.
    pub(crate) const fn in_use(prefix: Prefix) -> Self {
        Self { prefix, preferred: 1800, valid: 7200 }
    }

    /// No longer for new connections.
    pub(crate) const fn deprecated(prefix: Prefix) -> Self {
        Self { prefix, preferred: 0, valid: 7200 }
    }

    /// Not for anything any more.
    pub(crate) const fn ended(prefix: Prefix) -> Self {
        Self { prefix, preferred: 0, valid: 0 }
    }

    fn described(&self) -> String {
        let Self { prefix, preferred, valid } = self;
        match (preferred, valid) {
            (0, 0) => format!("{prefix} no longer valid"),
            (0, _) => format!("{prefix} deprecated"),
            _ => format!("{prefix} preferred for {} min", preferred / 60),
        }
    }
}

/// What the server did.
pub(crate) struct Deed {
    /// What it heard and what it answered.
    pub(crate) text: String,
    /// Whether the client has been told what is delegated.
    pub(crate) delegates: bool,
}

pub(crate) struct Server {
    socket: UdpSocket,
    index: u32,
    delegated: &'static [Delegated],
    /// Who has a delegation: where it is, and its DUID.
    client: Option<(SocketAddr, Duid)>,
    /// The replay detection value of the last message that had one.
    replay: u64,
}

impl Server {
    pub(crate) fn open(index: u32) -> anyhow::Result<Self> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        let any = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, SERVER_PORT, 0, 0);
        socket.bind(&any.into()).context("cannot open the port of the DHCPv6 server")?;
        socket.join_multicast_v6(&SERVERS, index)?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, index, delegated: &[], client: None, replay: 0 })
    }

    /// From now on this is delegated.
    pub(crate) const fn delegate(&mut self, delegated: &'static [Delegated]) {
        self.delegated = delegated;
    }

    /// Waits for a message of a client and answers it.
    pub(crate) async fn serve(&mut self) -> io::Result<Deed> {
        loop {
            let mut buffer = [0; 1500];
            let (length, from) = self.socket.recv_from(&mut buffer).await?;
            let Some(asked) = buffer.get(..length).and_then(|datagram| decode_client(datagram).ok()) else { continue };
            if let Some(answer) = self.answer(&asked) {
                self.socket.send_to(&encode(&answer, &[]), from).await?;
                self.client = Some((from, asked.client_id.clone()));
                return Ok(self.told(asked.kind, &answer));
            }
        }
    }

    fn told(&self, heard: ClientMessage, answer: &Incoming) -> Deed {
        let delegated = self.delegated.iter().map(Delegated::described).collect::<Vec<_>>().join(", ");
        let (verb, delegates) = match answer.kind {
            ServerMessage::Advertise => ("offers", false),
            ServerMessage::Reply | ServerMessage::Reconfigure => ("delegates", true),
        };
        Deed { text: format!("hears a DHCPv6 {heard:?} and {verb} {delegated}"), delegates }
    }

    /// `None` when it is not for this server, or there is nothing to say.
    fn answer(&mut self, asked: &Outgoing) -> Option<Incoming> {
        let own = Duid::new(&DUID).ok()?;
        if self.delegated.is_empty() || asked.server_id.as_ref().is_some_and(|server| *server != own) {
            return None;
        }
        let kind = match asked.kind {
            ClientMessage::Solicit => ServerMessage::Advertise,
            ClientMessage::Request | ClientMessage::Renew | ClientMessage::Rebind => ServerMessage::Reply,
            ClientMessage::Confirm | ClientMessage::Release | ClientMessage::InformationRequest => return None,
        };
        let mut answer = Incoming::new(kind, asked.transaction_id);
        answer.client_id = Some(asked.client_id.clone());
        answer.server_id = Some(own);
        // There is no other server to wait for (RFC 9915 §18.2.1).
        answer.preference = 255;
        answer.reconfigure_accept = asked.reconfigure_accept;
        if asked.reconfigure_accept && kind == ServerMessage::Reply {
            self.replay += 1;
            answer.authentication = Some(Authentication::rkap(self.replay, Rkap::Key(KEY)));
        }
        answer.delegations = asked.delegations.iter().map(|(iaid, _)| self.delegation(*iaid)).collect();
        Some(answer)
    }

    fn delegation(&self, iaid: u32) -> IaPd {
        let prefix = |delegated: &Delegated| IaPrefix {
            prefix: delegated.prefix.delegation(),
            preferred: delegated.preferred,
            valid: delegated.valid,
            status: Status::default(),
            excluded: None,
        };
        // RFC 9915 §21.21: half and four fifths of the preferred lifetime.
        IaPd {
            iaid,
            t1: 900,
            t2: 1440,
            status: Status::default(),
            prefixes: self.delegated.iter().map(prefix).collect(),
        }
    }

    /// Tells the client to ask again (RFC 9915 §18.3.11).
    pub(crate) async fn reconfigure(&mut self) -> io::Result<Deed> {
        let Some((SocketAddr::V6(client), duid)) = &self.client else {
            return Err(io::Error::other("no client has asked for anything yet"));
        };
        let mut message = Incoming::new(ServerMessage::Reconfigure, [0; 3]);
        message.client_id = Some(duid.clone());
        message.server_id = Duid::new(&DUID).ok();
        message.reconfigure = Some(ClientMessage::Renew);
        self.replay += 1;
        message.authentication = Some(unsigned(self.replay));
        let mut datagram = encode(&message, &[]);
        if !sign(&mut datagram, &KEY) {
            return Err(io::Error::other("the Reconfigure cannot be signed"));
        }
        let to = SocketAddrV6::new(*client.ip(), CLIENT_PORT, 0, self.index);
        self.socket.send_to(&datagram, to).await?;
        Ok(Deed { text: "sends a DHCPv6 Reconfigure, signed with the key of the client".to_owned(), delegates: false })
    }
}
