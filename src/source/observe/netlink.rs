//! The routes and addresses of this host and what happens to them, by netlink.
//!
//! Messages of a kind that the crates do not know (RTM_NEWNDUSEROPT and the like) come from groups that are not joined.

use std::future::ready;
use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt};
use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::{Handle, MulticastGroup, RouteMessageBuilder};
use tokio::sync::mpsc;

use super::onlink::is_announcement;
use super::traces::is_evidence;
use crate::log::{self, record};
use crate::source::link;

/// How long to wait after a dump failed.
const DUMP_RETRY: Duration = Duration::from_secs(1);
/// How many messages are handed on at once.
const CHUNK: usize = 1024;

/// What is heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// All routes and addresses: what is not among them does not exist.
    Dump(Vec<RouteNetlinkMessage>),
    /// What has changed since.
    Events(Vec<RouteNetlinkMessage>),
}

/// Says what there is, and then what happens, until nobody listens any more.
///
/// # Errors
/// When the netlink socket cannot be opened or ends.
pub(super) async fn run(tell: mpsc::Sender<Heard>) -> anyhow::Result<()> {
    let groups = [MulticastGroup::Ipv6Ifaddr, MulticastGroup::Ipv6Route, MulticastGroup::Ipv6Prefix];
    let (connection, listening, messages) = rtnetlink::new_multicast_connection(&groups)
        .context("cannot open a netlink socket to watch the routes (RestrictAddressFamilies= needs AF_NETLINK)")?;
    // What is asked for comes by a socket of its own: a storm that fills the other one's queue would take it away, too.
    let (asking, handle, _nothing) = rtnetlink::new_connection().context("cannot open a second netlink socket")?;
    let connections = [tokio::spawn(connection), tokio::spawn(asking)];
    let mut batches = messages.map(|(message, _)| message).ready_chunks(CHUNK);
    let mut heard = Heard::Dump(reload(&handle).await);
    loop {
        // A route table may have a million of others.
        let is_news = !matches!(&heard, Heard::Events(messages) if messages.is_empty());
        if is_news && tell.send(heard).await.is_err() {
            break;
        }
        let Some(batch) = batches.next().await else {
            anyhow::bail!("the netlink socket that watches the routes was closed");
        };
        let is_short = batch.iter().any(|message| matches!(message.payload, NetlinkPayload::Overrun(_)));
        heard = if is_short {
            tracing::debug!("Netlink messages about routes were lost; reading all of them again.");
            link::read_out(&listening, &mut batches).await;
            Heard::Dump(reload(&handle).await)
        } else {
            let messages = batch.into_iter().filter_map(|message| inner(message.payload));
            Heard::Events(messages.filter(|message| is_evidence(message) || is_announcement(message)).collect())
        };
    }
    connections.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(())
}

fn inner(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<RouteNetlinkMessage> {
    if let NetlinkPayload::InnerMessage(message) = payload { Some(message) } else { None }
}

async fn reload(handle: &Handle) -> Vec<RouteNetlinkMessage> {
    let mut told = false;
    loop {
        match dump(handle).await {
            Ok(dump) => return dump,
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    log::emit(&record::routes(&error.to_string(), DUMP_RETRY));
                }
                tokio::time::sleep(DUMP_RETRY).await;
            }
        }
    }
}

async fn dump(handle: &Handle) -> Result<Vec<RouteNetlinkMessage>, rtnetlink::Error> {
    // One after the other: the kernel refuses a second dump on a socket while the first one runs (EBUSY).
    let addresses = handle.address().get().execute().map_ok(RouteNetlinkMessage::NewAddress);
    let mut messages: Vec<_> = addresses.try_filter(|message| ready(is_evidence(message))).try_collect().await?;
    let routes = handle.route().get(RouteMessageBuilder::<Ipv6Addr>::new().build()).execute();
    let routes = routes.map_ok(RouteNetlinkMessage::NewRoute).try_filter(|message| ready(is_evidence(message)));
    messages.extend(routes.try_collect::<Vec<_>>().await?);
    Ok(messages)
}
