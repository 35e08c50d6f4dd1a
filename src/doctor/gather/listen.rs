//! Listens to Router Advertisements for a moment, with a socket of its own beside the daemon's.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use tokio::time::Instant;

use crate::source::link::LinkState;
use crate::source::ra::packet::{Advertisement, parse};
use crate::source::ra::socket::Socket;

/// How long to wait for further routers after the first one.
const OTHERS: Duration = Duration::from_millis(1500);

/// What is heard within `limit` after a solicitation, the last of each router.
///
/// # Errors
/// Why there is no listening.
pub(super) async fn listen(name: &str, link: &LinkState, limit: Duration) -> Result<Vec<Advertisement>, String> {
    let mut socket = Socket::open(name, link).map_err(|error| {
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            return "it takes the capability CAP_NET_RAW".to_owned();
        }
        format!("no socket for it could be opened: {error}")
    })?;
    // A link on which nothing can be sent may still be heard.
    let _unsent = socket.solicit();
    let mut heard: BTreeMap<Ipv6Addr, Advertisement> = BTreeMap::new();
    let mut end = Instant::now() + limit;
    while tokio::time::timeout_at(end, socket.readable()).await.is_ok_and(|readable| readable.is_ok()) {
        while let Ok(Some(packet)) = socket.try_receive() {
            if let Ok(advertisement) = parse(&packet) {
                end = end.min(Instant::now() + OTHERS);
                heard.insert(advertisement.router, advertisement);
            }
        }
    }
    Ok(heard.into_values().collect())
}
