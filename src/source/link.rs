//! The interfaces of this host and what happens to them, by netlink.
//!
//! [`Links`] is pure: it takes netlink messages and knows the interfaces. [`run`] owns the netlink socket and
//! publishes the latest [`Links`]. An interface is found by its name every time: it may be absent, vanish, come back
//! with another index, or get its name only later by a rename.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::log::{self, record};
use anyhow::Context;
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long to wait after a dump failed.
const DUMP_RETRY: Duration = Duration::from_secs(1);

/// How long to wait for what tells that everything before it was read.
const READ_OUT: Duration = Duration::from_secs(5);

/// How many messages are taken before the outcome is published.
const CHUNK: usize = 1024;

/// What is known of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Its index: another one means another interface, even under the same name.
    pub ifindex: u32,
    /// Whether it is operational: administratively up, and with a carrier (RFC 2863 ifOperStatus).
    pub up: bool,
    /// Its MAC address; PPP and tunnels have none.
    pub mac: Option<[u8; 6]>,
    /// Its IPv6 addresses, ascending.
    pub addresses: Vec<LinkAddress>,
}

/// An IPv6 address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkAddress {
    /// The address.
    pub address: Ipv6Addr,
    /// Duplicate address detection has not ended, or has failed: nothing can be sent from it (RFC 4862 §5.4).
    pub tentative: bool,
}

impl LinkState {
    /// Whether there is a link-local address to send from.
    pub fn can_send(&self) -> bool {
        self.addresses.iter().any(|own| own.address.is_unicast_link_local() && !own.tentative)
    }

    /// Whether the interface has this address.
    pub fn has_address(&self, address: Ipv6Addr) -> bool {
        self.addresses.iter().any(|own| own.address == address)
    }
}

/// Every interface of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    loaded: bool,
    links: BTreeMap<u32, Link>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Link {
    name: String,
    up: bool,
    mac: Option<[u8; 6]>,
    addresses: BTreeMap<Ipv6Addr, bool>,
}

impl Links {
    /// Whether the interfaces have been read at least once. Before that, an absent one may well exist.
    pub fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// The interface with this name, if it exists.
    pub fn get(&self, name: &str) -> Option<LinkState> {
        let (ifindex, link) = self.links.iter().find(|(_, link)| link.name == name)?;
        let addresses = link
            .addresses
            .iter()
            .map(|(address, tentative)| LinkAddress { address: *address, tentative: *tentative })
            .collect();
        Some(LinkState { ifindex: *ifindex, up: link.up, mac: link.mac, addresses })
    }

    /// The names of all interfaces.
    pub fn names(&self) -> Vec<String> {
        self.links.values().map(|link| link.name.clone()).collect()
    }

    /// The name of the interface with this index, if it exists.
    pub fn name(&self, ifindex: u32) -> Option<&str> {
        self.links.get(&ifindex).map(|link| link.name.as_str())
    }

    /// Takes one netlink message; those that are not about links and IPv6 addresses change nothing.
    pub fn apply(&mut self, message: &RouteNetlinkMessage) {
        // An `if let` per kind: the enum has dozens, and grows.
        if let RouteNetlinkMessage::NewLink(link) = message {
            self.add_link(link);
        } else if let RouteNetlinkMessage::DelLink(link) = message {
            self.remove_link(link);
        } else if let RouteNetlinkMessage::NewAddress(address) = message {
            self.add_address(address);
        } else if let RouteNetlinkMessage::DelAddress(address) = message {
            self.remove_address(address);
        }
    }

    /// Takes a whole dump: what is not in it does not exist.
    pub fn replace(&mut self, dump: impl IntoIterator<Item = RouteNetlinkMessage>) {
        *self = Self { loaded: true, links: BTreeMap::new() };
        for message in dump {
            self.apply(&message);
        }
    }

    fn add_link(&mut self, message: &LinkMessage) {
        if !is_about_the_interface(message) {
            return;
        }
        let link = self.links.entry(message.header.index).or_default();
        let flags = message.header.flags;
        link.up = flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::Running);
        link.mac = None;
        for attribute in &message.attributes {
            if let LinkAttribute::IfName(name) = attribute {
                link.name.clone_from(name);
            } else if let LinkAttribute::Address(bytes) = attribute {
                link.mac = bytes.as_slice().try_into().ok().filter(|mac| *mac != [0; 6]);
            }
        }
    }

    fn remove_link(&mut self, message: &LinkMessage) {
        if is_about_the_interface(message) {
            self.links.remove(&message.header.index);
        }
    }

    fn add_address(&mut self, message: &AddressMessage) {
        let Some(address) = own_address(message) else { return };
        // The kernel announces a link before its addresses, so an unknown one has just been deleted.
        if let Some(link) = self.links.get_mut(&message.header.index) {
            link.addresses.insert(address, is_tentative(message));
        }
    }

    fn remove_address(&mut self, message: &AddressMessage) {
        let Some(address) = own_address(message) else { return };
        if let Some(link) = self.links.get_mut(&message.header.index) {
            link.addresses.remove(&address);
        }
    }
}

/// A bridge sends RTM_NEWLINK and RTM_DELLINK of family AF_BRIDGE about its ports: they say that a port joined or left
/// the bridge, not that the interface came or went.
fn is_about_the_interface(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

/// The local address; on a point-to-point link IFA_ADDRESS is the peer's, and IFA_LOCAL ours.
pub(super) fn own_address(message: &AddressMessage) -> Option<Ipv6Addr> {
    if message.header.family != AddressFamily::Inet6 {
        return None;
    }
    let find = |wanted: fn(&AddressAttribute) -> Option<&IpAddr>| message.attributes.iter().find_map(wanted);
    let local = find(|attribute| if let AddressAttribute::Local(address) = attribute { Some(address) } else { None });
    let address =
        find(|attribute| if let AddressAttribute::Address(address) = attribute { Some(address) } else { None });
    match local.or(address) {
        Some(IpAddr::V6(address)) => Some(*address),
        Some(IpAddr::V4(_)) | None => None,
    }
}

/// Optimistic addresses may be used while duplicate address detection runs (RFC 4429).
fn is_tentative(message: &AddressMessage) -> bool {
    let flags = message
        .attributes
        .iter()
        .find_map(|attribute| if let AddressAttribute::Flags(flags) = attribute { Some(*flags) } else { None });
    match flags {
        Some(flags) => {
            flags.contains(AddressFlags::Dadfailed)
                || flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic)
        }
        None => message.header.flags.intersects(AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed),
    }
}

/// A channel for [`run`] to publish on and everyone else to watch.
pub fn channel() -> (watch::Sender<Arc<Links>>, watch::Receiver<Arc<Links>>) {
    watch::channel(Arc::default())
}

/// Publishes the interfaces of this network namespace until cancelled.
///
/// # Errors
/// When the netlink socket cannot be opened or ends; nothing works without it.
pub async fn run(publish: watch::Sender<Arc<Links>>, cancel: CancellationToken) -> anyhow::Result<()> {
    let (connection, handle, messages) =
        rtnetlink::new_multicast_connection(&[MulticastGroup::Link, MulticastGroup::Ipv6Ifaddr]).context(
            "cannot open a netlink socket to watch the interfaces (RestrictAddressFamilies= needs AF_NETLINK)",
        )?;
    let connection = tokio::spawn(connection);
    let followed = tokio::select! {
        () = cancel.cancelled() => Ok(()),
        followed = follow(&handle, messages.map(|(message, _)| message), &publish) => followed,
    };
    connection.abort();
    followed
}

async fn follow(
    handle: &Handle,
    messages: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin,
    publish: &watch::Sender<Arc<Links>>,
) -> anyhow::Result<()> {
    let mut links = Links::default();
    reload(handle, &mut links).await;
    // In chunks, so that what queued up during a dump, and is older than it, is not published step by step.
    let mut batches = messages.ready_chunks(CHUNK);
    loop {
        publish_if_changed(publish, &links);
        let Some(batch) = batches.next().await else {
            anyhow::bail!("the netlink socket that watches the interfaces was closed");
        };
        if take(&mut links, &batch) == Completeness::MessagesLost {
            tracing::debug!("Netlink messages about interfaces were lost; reading all interfaces again.");
            read_out(handle, &mut batches).await;
            reload(handle, &mut links).await;
        }
    }
}

/// Whether all messages arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Completeness {
    Complete,
    /// The socket's queue was full, and the kernel dropped some.
    MessagesLost,
}

fn take(links: &mut Links, batch: &[NetlinkMessage<RouteNetlinkMessage>]) -> Completeness {
    let mut completeness = Completeness::Complete;
    for message in batch {
        if let NetlinkPayload::InnerMessage(message) = &message.payload {
            links.apply(message);
        } else if let NetlinkPayload::Overrun(_) = message.payload {
            completeness = Completeness::MessagesLost;
        }
    }
    completeness
}

fn publish_if_changed(publish: &watch::Sender<Arc<Links>>, links: &Links) {
    publish.send_if_modified(|published| {
        let changed = **published != *links;
        if changed {
            *published = Arc::new(links.clone());
        }
        changed
    });
}

/// Reads out what queued up on a socket before messages were lost: it may come after the loss is told, and tells of what
/// has ended meanwhile. `handle` is that of the socket.
pub(super) async fn read_out(handle: &Handle, messages: &mut (impl Stream + Unpin)) {
    // It is all there once the answer to a request is. A list is asked for because the kernel goes on with it where it had
    // no room, and drops other answers; not before it was read is there room for what happens next.
    let list = handle.link().get().execute().try_collect::<Vec<_>>();
    if !matches!(tokio::time::timeout(READ_OUT, list).await, Ok(Ok(_))) {
        tracing::debug!("No answer by a netlink socket that was short of room; what it had is read as far as it came.");
    }
    while messages.next().now_or_never().flatten().is_some() {}
}

async fn reload(handle: &Handle, links: &mut Links) {
    let mut told = false;
    loop {
        match dump(handle).await {
            Ok(dump) => return links.replace(dump),
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    log::emit(&record::links(&error.to_string(), DUMP_RETRY));
                }
                tokio::time::sleep(DUMP_RETRY).await;
            }
        }
    }
}

async fn dump(handle: &Handle) -> Result<Vec<RouteNetlinkMessage>, rtnetlink::Error> {
    // One after the other: the kernel refuses a second dump on a socket while the first one runs (EBUSY).
    let links = handle.link().get().execute().map_ok(RouteNetlinkMessage::NewLink);
    let mut messages: Vec<_> = links.try_collect().await?;
    let addresses = handle.address().get().execute().map_ok(RouteNetlinkMessage::NewAddress);
    messages.extend(addresses.try_collect::<Vec<_>>().await?);
    Ok(messages)
}

#[cfg(test)]
mod tests;
