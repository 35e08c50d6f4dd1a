//! What the kernel tells by netlink, which needs no privileges.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::Handle;
use tokio_util::sync::CancellationToken;

use super::in_time;
use crate::source::dhcpv6::route::{self, Route};
use crate::source::interface::addresses::{Address, Addresses};
use crate::source::link::{self, Links};

/// How long a dump may take.
const DUMP: Duration = Duration::from_secs(3);

/// The interfaces, or why they cannot be read.
pub(super) async fn links() -> Result<Arc<Links>, String> {
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let (publish, mut links) = link::channel();
    let reading = tokio::spawn(link::run(publish, cancel));
    let read = async { links.wait_for(|links| links.is_loaded()).await.map(|links| Arc::clone(&links)) };
    match in_time(DUMP, read).await {
        Some(Ok(links)) => Ok(links),
        None => Err(format!("the kernel does not tell the interfaces within {DUMP:?}")),
        Some(Err(_)) => match reading.await {
            Ok(Err(error)) => Err(format!("{error:#}")),
            _ => Err("reading the interfaces was aborted".to_owned()),
        },
    }
}

/// Routes, neighbours and addresses.
pub(super) struct Tables {
    pub(super) addresses: Result<Vec<RouteNetlinkMessage>, String>,
    pub(super) routes: Result<Vec<Route>, String>,
    pub(super) neighbours: Result<BTreeSet<(Ipv6Addr, u32)>, String>,
}

/// Reads them.
pub(super) async fn tables() -> Tables {
    let failed = |why: &str| Tables {
        addresses: Err(why.to_owned()),
        routes: Err(why.to_owned()),
        neighbours: Err(why.to_owned()),
    };
    let (connection, handle, _messages) = match rtnetlink::new_connection() {
        Ok(connection) => connection,
        Err(error) => return failed(&format!("there is no netlink socket to be had: {error}")),
    };
    let connection = tokio::spawn(connection);
    let reading = async {
        let routes = route::table(&handle).await.map_err(|error| error.to_string());
        let neighbours = neighbours(&handle).await.map_err(|error| error.to_string());
        let addresses = handle.address().get().execute().map_ok(RouteNetlinkMessage::NewAddress);
        let addresses = addresses.try_collect().await.map_err(|error: rtnetlink::Error| error.to_string());
        Tables { addresses, routes, neighbours }
    };
    let tables = in_time(DUMP, reading).await;
    connection.abort();
    tables.unwrap_or_else(|| failed("the kernel does not answer by netlink"))
}

impl Tables {
    /// The IPv6 addresses of one interface.
    pub(super) fn addresses_of(&self, ifindex: u32) -> Result<Vec<Address>, String> {
        let mut addresses = Addresses::of(ifindex);
        let now = crate::clock::now();
        let messages = self.addresses.as_ref().map_err(Clone::clone)?;
        for message in messages {
            addresses.apply(message, now);
        }
        Ok(addresses.to_vec())
    }
}

async fn neighbours(handle: &Handle) -> Result<BTreeSet<(Ipv6Addr, u32)>, rtnetlink::Error> {
    let dump = handle.neighbours().get().set_address_family(AddressFamily::Inet6).execute();
    dump.try_filter_map(async |message| Ok(answering(&message))).try_collect().await
}

/// A neighbour that has answered.
fn answering(message: &NeighbourMessage) -> Option<(Ipv6Addr, u32)> {
    const ANSWERED: [NeighbourState; 5] = [
        NeighbourState::Reachable,
        NeighbourState::Stale,
        NeighbourState::Delay,
        NeighbourState::Probe,
        NeighbourState::Permanent,
    ];
    let address = message.attributes.iter().find_map(|attribute| {
        if let NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) = attribute {
            Some(*address)
        } else {
            None
        }
    })?;
    let is_host = ANSWERED.contains(&message.header.state) && !address.is_multicast();
    is_host.then_some((address, message.header.ifindex))
}
