//! The ISP: a router in a namespace of its own that sends Router Advertisements, answers Router Solicitations, and
//! delegates prefixes by DHCPv6.

use std::fs::File;
use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

use anyhow::Context as _;
use dyn_prefix::clock;
use dyn_prefix::source::ra::packet::{Advertisement, HOP_LIMIT, PrefixInformation, ROUTER_SOLICITATION};
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use super::delegation::{Deed, Delegated, Server};
use super::link;
use super::prefixes::Prefix;
use super::timeline::{Event, Who};

const ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// How long this router thinks before it answers a solicitation; RFC 4861 §6.2.6 allows half a second.
const THINKING: Duration = Duration::from_millis(20);

/// How long the line is down when the router is started again.
const REBOOT: Duration = Duration::from_millis(300);

/// How long after the router the server tells its clients.
const LATER: Duration = Duration::from_millis(100);

/// What the ISP does: from now on it advertises and delegates other prefixes.
pub(crate) struct Order {
    /// How the host comes to know.
    pub(crate) cause: Cause,
    pub(crate) advertised: &'static [Announced],
    pub(crate) delegated: &'static [Delegated],
}

#[derive(Clone, Copy)]
pub(crate) enum Cause {
    /// It asks.
    Question,
    /// It hears a Router Advertisement, and asks.
    Advertisement,
    /// The line has been down.
    Reboot,
    /// It is told to ask by a Reconfigure, after a Router Advertisement.
    Reconfigure,
}

/// A prefix in an advertisement, with its preferred and valid lifetime in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Announced {
    pub(crate) prefix: Prefix,
    pub(crate) preferred: u32,
    pub(crate) valid: u32,
}

impl Announced {
    /// Half an hour, two hours: what home routers say.
    pub(crate) const fn in_use(prefix: Prefix) -> Self {
        Self { prefix, preferred: 1800, valid: 7200 }
    }

    /// No longer for new connections.
    pub(crate) const fn deprecated(prefix: Prefix) -> Self {
        Self { prefix, preferred: 0, valid: 7200 }
    }
}

/// The router, on a thread of its own.
pub(crate) struct Isp {
    /// What it does.
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    orders: mpsc::UnboundedSender<&'static Order>,
    ready: oneshot::Receiver<anyhow::Result<()>>,
}

impl Isp {
    /// Starts it: the cable is laid into the namespace of the calling thread.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let host = File::open("/proc/thread-self/ns/net").context("/proc/thread-self/ns/net")?;
        let (events_tx, events) = mpsc::unbounded_channel();
        let (orders, orders_rx) = mpsc::unbounded_channel();
        let (ready_tx, ready) = oneshot::channel();
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let outcome = match runtime {
                Ok(runtime) => runtime.block_on(Router::set_up(&host, events_tx)).map(|router| (runtime, router)),
                Err(error) => Err(error.into()),
            };
            match outcome {
                Ok((runtime, mut router)) => {
                    // Who waits for it is there, or else everything ends.
                    drop(ready_tx.send(Ok(())));
                    runtime.block_on(router.run(orders_rx));
                }
                Err(error) => drop(ready_tx.send(Err(error))),
            }
        };
        std::thread::Builder::new().name("isp".to_owned()).spawn(work).context("cannot start a thread")?;
        Ok(Self { events, orders, ready })
    }

    /// Waits until the cable is there.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        (&mut self.ready).await.context("the ISP has vanished")?
    }

    /// Does this now.
    pub(crate) fn order(&self, order: &'static Order) {
        // When it has ended, the daemon hears nothing, and the story fails.
        self.orders.send(order).ok();
    }
}

struct Router {
    socket: AsyncFd<Socket>,
    index: u32,
    server: Server,
    announced: &'static [Announced],
    events: mpsc::UnboundedSender<Event>,
}

impl Router {
    async fn set_up(host: &File, events: mpsc::UnboundedSender<Event>) -> anyhow::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).context("cannot make a second network namespace")?;
        link::lay(host).await?;
        let index = link::up(link::ISP, ADDRESS).await?;
        let socket = open(index).context("cannot open a raw socket for the router")?;
        Ok(Self { socket, index, server: Server::open(index)?, announced: &[], events })
    }

    async fn run(&mut self, mut orders: mpsc::UnboundedReceiver<&'static Order>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    if let Err(error) = self.obey(order).await {
                        self.tell(format!("has failed: {error:#}"), false);
                    }
                }
                heard = solicitation(&self.socket) => {
                    if heard.is_ok() && !self.announced.is_empty() {
                        self.tell("hears a Router Solicitation".to_owned(), false);
                        tokio::time::sleep(THINKING).await;
                        self.send("answers with");
                    }
                }
                deed = self.server.serve() => self.done(deed),
            }
        }
    }

    async fn obey(&mut self, order: &Order) -> anyhow::Result<()> {
        self.announced = order.advertised;
        self.server.delegate(order.delegated);
        match order.cause {
            Cause::Question => {}
            Cause::Advertisement => self.send("advertises"),
            Cause::Reboot => {
                self.tell("is started again: the line is down".to_owned(), false);
                link::down(link::ISP).await?;
                tokio::time::sleep(REBOOT).await;
                link::up(link::ISP, ADDRESS).await?;
                self.tell("is back".to_owned(), false);
            }
            Cause::Reconfigure => {
                self.send("advertises");
                tokio::time::sleep(LATER).await;
                let deed = self.server.reconfigure().await;
                self.done(deed);
            }
        }
        Ok(())
    }

    fn done(&self, deed: io::Result<Deed>) {
        match deed {
            Ok(Deed { text, delegates }) => self.tell(text, delegates),
            Err(error) => self.tell(format!("has failed at DHCPv6: {error}"), false),
        }
    }

    fn send(&self, what: &str) {
        let prefixes: Vec<String> = self.announced.iter().map(describe).collect();
        self.tell(format!("{what} {}", prefixes.join(", ")), false);
        let to = SocketAddrV6::new(ALL_NODES, 0, 0, self.index);
        if let Err(error) = self.socket.get_ref().send_to(&encode(self.announced), &to.into()) {
            self.tell(format!("cannot send: {error}"), false);
        }
    }

    fn tell(&self, text: String, delegates: bool) {
        // Nobody listens any more at the very end.
        drop(self.events.send(Event { at: clock::now(), who: Who::Isp, text, delegates }));
    }
}

fn describe(announced: &Announced) -> String {
    match announced.preferred {
        0 => format!("{} deprecated", announced.prefix.on_link()),
        preferred => format!("{} preferred for {} min", announced.prefix.on_link(), preferred / 60),
    }
}

fn encode(announced: &[Announced]) -> Vec<u8> {
    let information = |announced: &Announced| PrefixInformation {
        prefix: announced.prefix.on_link(),
        on_link: true,
        autonomous: true,
        pd_preferred: false,
        preferred: announced.preferred,
        valid: announced.valid,
    };
    Advertisement {
        router: ADDRESS,
        router_lifetime: 1800,
        managed: false,
        other: true,
        prefixes: announced.iter().map(information).collect(),
        ignored: Vec::new(),
    }
    .encode()
}

fn open(index: u32) -> io::Result<AsyncFd<Socket>> {
    let socket = Socket::new_raw(Domain::IPV6, Type::RAW.nonblocking().cloexec(), Some(Protocol::ICMPV6))?;
    socket.bind(&SocketAddrV6::new(ADDRESS, 0, 0, index).into())?;
    socket.join_multicast_v6(&ALL_ROUTERS, index)?;
    // RFC 4861 §6.1.2: hosts ignore an advertisement that may have come through a router.
    socket.set_multicast_hops_v6(u32::from(HOP_LIMIT))?;
    #[expect(deprecated, reason = "its successor is unsafe; a Socket keeps its descriptor open, as that one asks")]
    let socket = AsyncFd::with_interest(socket, Interest::READABLE)?;
    Ok(socket)
}

/// Waits for a Router Solicitation.
async fn solicitation(socket: &AsyncFd<Socket>) -> io::Result<()> {
    loop {
        let mut ready = socket.readable().await?;
        let mut first = [0; 1];
        let read = ready.try_io(|socket| io::Read::read(&mut socket.get_ref(), &mut first));
        match read {
            Ok(Ok(_)) if first == [ROUTER_SOLICITATION] => return Ok(()),
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => return Err(error),
        }
    }
}
