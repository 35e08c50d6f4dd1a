//! Waits for such a client: owns the packet socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::asked;
use crate::source::dhcpv6::wire::{ClientMessage, Duid};
use crate::source::link::{LinkState, Links};
use crate::source::observe::socket::{Direction, Socket};

/// After how long a socket that cannot be had is tried again, unless the interface changes before.
const REOPEN: Duration = Duration::from_secs(60);
/// How many packets are read in one go.
const BURST: usize = 64;

/// Waits until a client that is not `own` asks for a prefix on the interface. What it asked; `None`: the interfaces are not
/// watched any more.
pub async fn another_client(
    interface: &str,
    own: &Duid,
    mut links: watch::Receiver<Arc<Links>>,
) -> Option<ClientMessage> {
    let mut socket: Option<Socket> = None;
    let mut is_blocked = false;
    loop {
        let link = links.borrow_and_update().get(interface);
        let is_there = |socket: &Socket| link.as_ref().is_some_and(|link| link.ifindex == socket.ifindex());
        socket = socket.filter(|socket| is_there(socket) && socket.is_bound());
        if let (None, Some(link), false) = (&socket, &link, is_blocked) {
            socket = usable(interface, Socket::open(link.ifindex));
            is_blocked = socket.is_none();
        }
        tokio::select! {
            changed = links.changed() => {
                changed.ok()?;
                is_blocked = false;
            }
            ready = super::super::driver::readable(socket.as_ref()) => {
                match usable(interface, ready.and_then(|()| read(socket.as_mut(), link.as_ref(), own))) {
                    Some(None) => {}
                    Some(Some(asked)) => return Some(asked),
                    None => (socket, is_blocked) = (None, true),
                }
            }
            () = tokio::time::sleep(REOPEN), if is_blocked && link.is_some() => is_blocked = false,
        }
    }
}

/// Nobody depends on it: what it would see is seen at a reload, too.
fn usable<T>(interface: &str, outcome: io::Result<T>) -> Option<T> {
    outcome.inspect_err(|error| tracing::debug!(interface, %error, "Cannot see whether a DHCPv6 client begins.")).ok()
}

fn read(socket: Option<&mut Socket>, link: Option<&LinkState>, own: &Duid) -> io::Result<Option<ClientMessage>> {
    let (Some(socket), Some(link)) = (socket, link) else { return Ok(None) };
    for _ in 0..BURST {
        match socket.try_receive()? {
            Some((Direction::Sent, captured)) => {
                if let Some(asked) = asked(&captured, link, own) {
                    return Ok(Some(asked));
                }
            }
            Some((Direction::Received, _)) => {}
            None => break,
        }
    }
    Ok(None)
}
