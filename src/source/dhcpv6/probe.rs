//! Asks what would be delegated, and takes nothing: a Solicit without the Request (RFC 9915 §18.2.1).
//!
//! The [`Client`] decides what is sent and which Advertise counts, as in the daemon. What it would send next, the Request,
//! stays here.

use std::path::Path;
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::watch;

use super::client::Client;
use super::port::{self, Outcome, Request};
use super::socket::{Local, Socket};
use super::wire::{self, IaPrefix, Incoming, ServerMessage};
use super::{Memory, Settings};
use crate::clock::{self, Alarm};
use crate::source::link::{LinkState, Links};

/// The msg-type of a Solicit.
const SOLICIT: u8 = 1;

/// The prefix that a server has in mind for each DynamicPrefix of an interface.
pub type Advertised = Vec<(String, IaPrefix)>;

/// Asks the servers on an interface. Ends with the first Advertise that the client would follow; whoever calls it puts an
/// end to the waiting.
///
/// # Errors
/// When nothing can be asked there, as beside another client: a sentence.
pub async fn solicit(
    settings: Settings,
    memory: &Memory,
    links: watch::Receiver<Arc<Links>>,
) -> Result<Advertised, String> {
    let fails = |error: std::io::Error| format!("DHCPv6 cannot be asked on {}: {error}", settings.interface);
    let (link, local) = usable(links, &settings.interface).await?;
    let mut socket = Socket::new(bind(&settings, local).await?, local).map_err(fails)?;
    let mut client = new_client(&settings, memory, &link)?;
    let mut alarm = Alarm::new().map_err(fails)?;
    let mut last: Option<Incoming> = None;
    loop {
        while let Some(message) = client.poll_transmit() {
            match (message.first(), &last) {
                (Some(&SOLICIT), _) => socket.send(&message).map_err(fails)?,
                (_, Some(advertise)) => return Ok(of_names(&settings, advertise)),
                (_, None) => {}
            }
        }
        let wake = client.poll_timeout().map(|(at, _)| at);
        tokio::select! {
            ready = socket.readable() => {
                ready.map_err(fails)?;
                while let Some(received) = socket.try_receive().map_err(fails)? {
                    let message = wire::decode(received.bytes).ok();
                    last = message.filter(|it| it.kind == ServerMessage::Advertise && it.has_prefix()).or(last);
                    client.handle_datagram(&received, clock::now());
                }
            }
            () = alarm.wait(wake) => client.handle_timeout(clock::now()),
        }
    }
}

/// The interface, once there is an address to ask from.
async fn usable(mut links: watch::Receiver<Arc<Links>>, interface: &str) -> Result<(LinkState, Local), String> {
    let gone = |_| "the interfaces cannot be watched".to_owned();
    let is_usable = |links: &Arc<Links>| links.get(interface).is_some_and(|link| link.up && Local::of(&link).is_some());
    let links = links.wait_for(is_usable).await.map_err(gone)?;
    let found = links.get(interface).and_then(|link| Some((link.clone(), Local::of(&link)?)));
    found.ok_or_else(|| format!("{interface} has no link-local address"))
}

async fn bind(settings: &Settings, local: Local) -> Result<socket2::Socket, String> {
    let request = Request {
        interface: settings.interface.clone(),
        local,
        priority: settings.priority,
        take_over: settings.take_over,
        held: false,
    };
    match tokio::task::spawn_blocking(move || port::acquire(&request, Path::new("/"))).await {
        Ok(Outcome::Bound(socket)) => Ok(socket),
        Ok(Outcome::Taken(text) | Outcome::Undecided(text) | Outcome::Failed(text)) => Err(text),
        Ok(Outcome::Kept) | Err(_) => Err(format!("UDP port 546 on {} was not looked at", settings.interface)),
    }
}

/// One that holds nothing, so that it begins with a Solicit, and waits for no router to tell it to.
fn new_client(settings: &Settings, memory: &Memory, link: &LinkState) -> Result<Client, String> {
    let now = clock::now();
    let wall = u64::try_from(clock::epoch().wall_now().as_second()).unwrap_or_default();
    let duid = settings.duid.settled(&memory.duid, link.mac, wall);
    let settings = Settings {
        duid: duid.ok_or_else(|| format!("{} has no MAC address to make a DUID of", settings.interface))?,
        rapid_commit: false,
        reconfigure: false,
        require_router_advertisement: false,
        ..settings.clone()
    };
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| "the kernel gives no random numbers".to_owned())?;
    let mut client = Client::new(settings, Memory::new(memory.duid.clone()), seed, now);
    client.handle_link(Some(link.clone()), now);
    Ok(client)
}

impl Incoming {
    fn has_prefix(&self) -> bool {
        self.delegations.iter().any(|delegation| !delegation.prefixes.is_empty())
    }
}

fn of_names(settings: &Settings, advertise: &Incoming) -> Advertised {
    let prefixes =
        |iaid: u32| advertise.delegations.iter().filter(move |it| it.iaid == iaid).flat_map(|it| &it.prefixes);
    let named =
        settings.delegations.iter().filter_map(|delegation| Some((&delegation.dynamic_prefix, delegation.iaid?)));
    named.flat_map(|(name, iaid)| prefixes(iaid).map(move |prefix| (name.clone(), prefix.clone()))).collect()
}
