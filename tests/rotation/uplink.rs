//! Who announces the prefix: a router of the test's own making, radvd, or Kea.

use std::net::Ipv6Addr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::ra::packet::{Advertisement, PrefixInformation};
use ipnet::Ipv6Net;

use crate::netns::{Forged, Forger, LAN, Pair, Radvd, WAN};
use crate::servers::{Kind, Pool, Server, wait_for_link_local};

/// How often the router repeats itself: that confirms what it says.
const INTERVAL: Duration = Duration::from_millis(250);
const PREFERRED: u32 = 1200;
const VALID: u32 = 3000;

/// What the router says of the prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// The prefix.
    pub(crate) current: Option<Ipv6Net>,
    /// Former ones, which are valid for a while: preferred 0.
    pub(crate) deprecated: Vec<Ipv6Net>,
    /// Former ones that are gone: valid 0.
    pub(crate) dead: Vec<Ipv6Net>,
}

impl Said {
    /// Each with its preferred and its valid lifetime; the current one last, as it comes from no decent router first.
    fn lifetimes(&self) -> impl Iterator<Item = (Ipv6Net, u32, u32)> {
        let dead = self.dead.iter().map(|net| (*net, 0, 0));
        let deprecated = self.deprecated.iter().map(|net| (*net, 0, VALID));
        dead.chain(deprecated).chain(self.current.map(|net| (net, PREFERRED, VALID)))
    }
}

/// A source of prefixes.
pub(crate) enum Uplink<'a> {
    /// Advertisements of the test's own making.
    Forged(Repeating),
    /// radvd, which starts with the first prefix.
    Radvd(&'a Pair, Option<Radvd>),
    /// Kea, which does, too. It delegates one prefix; a former one is dead.
    Kea(&'a Pair, Option<Server<'a>>),
    /// Nobody: it stands in the configuration.
    Static,
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Forged,
    Radvd,
    Kea,
    Static,
}

impl Source {
    /// The uplink at the router's end of the link.
    pub(crate) fn start(self, pair: &Pair) -> Result<Uplink<'_>> {
        Ok(match self {
            Self::Forged => Uplink::Forged(Repeating::start(Forger::new(&pair.router, LAN))?),
            Self::Radvd => Uplink::Radvd(pair, None),
            Self::Kea => {
                pair.router.ip(&format!("addr add 2001:db8:100::1/64 dev {LAN} nodad"));
                wait_for_link_local(&pair.router, LAN)?;
                Uplink::Kea(pair, None)
            }
            Self::Static => Uplink::Static,
        })
    }

    /// The prefix with this number.
    pub(crate) fn prefix(self, number: u16) -> Result<Ipv6Net> {
        let length = if self == Self::Kea { 56 } else { 64 };
        let mark = if self == Self::Kea { 0x8000 } else { 0x1000 } + number;
        Ok(Ipv6Net::new(Ipv6Addr::new(0x2001, 0xdb8, mark, 0, 0, 0, 0, 0), length)?)
    }

    /// The lines of `[dynamicPrefix]` that make the daemon listen to it.
    pub(crate) fn acquisition(self) -> String {
        match self {
            Self::Forged | Self::Radvd => format!("acquisition.routerAdvertisement = {{ interface = \"{WAN}\" }}"),
            Self::Static => String::new(),
            Self::Kea => format!("acquisition.dhcpv6 = {{ interface = \"{WAN}\", requestedPrefixLength = 56 }}"),
        }
    }
}

impl Uplink<'_> {
    /// Says something else from now on.
    pub(crate) fn say(&mut self, said: &Said) -> Result<()> {
        match self {
            Self::Forged(router) => router.say(said),
            Self::Radvd(pair, radvd) => {
                let block = |(net, preferred, valid)| {
                    format!("prefix {net} {{ AdvPreferredLifetime {preferred}; AdvValidLifetime {valid}; }};")
                };
                let blocks: String = said.lifetimes().map(block).collect();
                match radvd {
                    Some(radvd) => radvd.reload(&blocks),
                    None => *radvd = Some(Radvd::start(&pair.router, &blocks)),
                }
                Ok(())
            }
            Self::Static => Ok(()),
            Self::Kea(pair, server) => {
                ensure!(said.deprecated.is_empty(), "Kea ends what it does not know any more");
                let net = said.current.context("Kea has a prefix")?;
                let mut pool = Pool::from(&net.network().to_string());
                pool.prefixes = 1;
                match server {
                    Some(server) => server.wipe(&pool),
                    None => {
                        *server = Some(Server::start(Kind::Kea, &pair.router, &pool)?);
                        Ok(())
                    }
                }
            }
        }
    }
}

/// A router that repeats its advertisement until it is told another one; it ends with the value.
pub(crate) struct Repeating {
    orders: Option<Sender<Forged>>,
    thread: Option<JoinHandle<()>>,
}

impl Repeating {
    fn start(forger: Forger) -> Result<Self> {
        let (orders, received) = channel::<Forged>();
        let thread = std::thread::Builder::new().name("router".to_owned()).spawn(move || {
            let Ok(mut message) = received.recv() else { return };
            loop {
                forger.send(&message);
                match received.recv_timeout(INTERVAL) {
                    Ok(new) => message = new,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    fn say(&self, said: &Said) -> Result<()> {
        let information = |(prefix, preferred, valid)| PrefixInformation {
            prefix,
            on_link: true,
            autonomous: true,
            pd_preferred: false,
            preferred,
            valid,
        };
        let prefixes = said.lifetimes().map(information).collect();
        let router = Ipv6Addr::UNSPECIFIED;
        let advertisement =
            Advertisement { router, router_lifetime: 1800, managed: false, other: false, prefixes, ignored: vec![] };
        let orders = self.orders.as_ref().context("it runs")?;
        orders.send(Forged::proper(advertisement.encode())).context("the router's thread has ended")
    }
}

impl Drop for Repeating {
    fn drop(&mut self) {
        drop(self.orders.take());
        drop(self.thread.take().map(JoinHandle::join));
    }
}
