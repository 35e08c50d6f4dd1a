//! Drives the [`Table`]: owns the netlink socket, reads the clock.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::stream::ReadyChunks;
use futures_util::{Stream, StreamExt, TryStreamExt};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::addresses::Addresses;
use super::table::{Settings, Table};
use crate::clock::{self, Alarm};
use crate::record::{Decider, Recorder, Tape};
use crate::source::head::{self, Head};
use crate::source::link::{self, LinkState, Links};
use crate::source::{Offer, SourceReport};
use crate::time::Instant;

/// How long to wait after a dump failed.
const DUMP_RETRY: Duration = Duration::from_secs(1);
/// How long a dump may take: its answer may be lost, like everything for which the kernel has no room.
const DUMP_LIMIT: Duration = Duration::from_secs(5);
/// How many messages are taken before reports and timers have their turn.
const CHUNK: usize = 1024;

type Messages = Pin<Box<dyn Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Send>>;

/// Follows the addresses of one interface until cancelled, and reports what they amount to.
///
/// `settings` may change, all but the interface. `seed` is what was in use in a former run.
///
/// # Errors
/// When the netlink socket cannot be opened or ends, or a timer cannot be created. A list of addresses that cannot be
/// had is no error: it is reported, and asked for again.
pub async fn run(
    settings: watch::Receiver<Settings>,
    seed: Vec<Offer>,
    links: watch::Receiver<Arc<Links>>,
    reports: mpsc::Sender<SourceReport>,
    recorder: Recorder,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let (connection, handle, messages) = rtnetlink::new_multicast_connection(&[MulticastGroup::Ipv6Ifaddr]).context(
        "cannot open a netlink socket to follow the addresses of an interface (RestrictAddressFamilies= needs AF_NETLINK)",
    )?;
    let connection = tokio::spawn(connection);
    let messages: Messages = Box::pin(messages.map(|(message, _)| message));
    let mut driver = Driver::new(settings, links, handle, messages, Alarm::new()?, &recorder);
    driver.table.seed(&seed);
    let outcome = tokio::select! {
        // Who is told to end says no more: whoever cancelled it would take that for news.
        biased;
        () = cancel.cancelled() => Ok(()),
        outcome = driver.follow(&reports) => outcome,
    };
    connection.abort();
    outcome
}

struct Driver {
    settings: watch::Receiver<Settings>,
    links: watch::Receiver<Arc<Links>>,
    handle: Handle,
    /// In chunks, so that what queued up during a dump, and is older than it, is not told step by step.
    messages: ReadyChunks<Messages>,
    alarm: Alarm,
    tape: Tape,
    table: Table,
    interface: String,
    link: Option<LinkState>,
    addresses: Addresses,
    /// When to ask for all addresses again, after that failed.
    dump_at: Option<Instant>,
}

impl Driver {
    fn new(
        mut settings: watch::Receiver<Settings>,
        links: watch::Receiver<Arc<Links>>,
        handle: Handle,
        messages: Messages,
        alarm: Alarm,
        recorder: &Recorder,
    ) -> Self {
        let current = settings.borrow_and_update().clone();
        let interface = current.interface.clone();
        Self {
            tape: recorder.tape(Decider::Addresses, &interface),
            settings,
            links,
            handle,
            messages: messages.ready_chunks(CHUNK),
            alarm,
            table: Table::new(current),
            interface,
            link: None,
            addresses: Addresses::default(),
            dump_at: None,
        }
    }

    /// Ends when whoever gave the channels is gone.
    async fn follow(&mut self, reports: &mpsc::Sender<SourceReport>) -> anyhow::Result<()> {
        if self.links.wait_for(|links| links.is_loaded()).await.is_err() {
            return Ok(());
        }
        self.take_links().await;
        loop {
            let wake = self.table.poll_timeout().map(|(at, _)| at).into_iter().chain(self.dump_at).min();
            tokio::select! {
                biased;
                head = head::next(reports, self.table.has_news(), Some(&mut self.links), &mut self.settings) => match head {
                    Head::Place(place) => self.report(place),
                    Head::Links => self.take_links().await,
                    Head::Settings => {
                        self.table.reconfigure(self.settings.borrow_and_update().clone(), clock::now());
                    }
                    Head::Gone => return Ok(()),
                },
                batch = self.messages.next() => match batch {
                    Some(batch) => self.take(&batch).await,
                    None => anyhow::bail!("the netlink socket that follows the addresses of {} was closed", self.interface),
                },
                () = self.alarm.wait(wake) => self.handle_timeout().await,
            }
        }
    }

    fn report(&mut self, place: mpsc::Permit<'_, SourceReport>) {
        if let Some(report) = self.table.poll_report() {
            self.tape.report(clock::now());
            place.send(report);
        }
    }

    /// Of a link only the index and whether it is up matter here; its addresses come by another way.
    async fn take_links(&mut self) {
        let link = self.links.borrow_and_update().get(&self.interface);
        let link = link.map(|link| LinkState { addresses: Vec::new(), ..link });
        if link == self.link {
            return;
        }
        tracing::debug!(interface = %self.interface, ?link, "The interface changed.");
        let former = std::mem::replace(&mut self.link, link);
        let now = clock::now();
        self.tape.link(self.link.as_ref(), now);
        self.table.handle_link(self.link.clone(), now);
        let index = self.link.as_ref().map(|link| link.ifindex);
        if index.is_some() && index != former.map(|former| former.ifindex) {
            self.dump().await;
        }
    }

    async fn take(&mut self, batch: &[NetlinkMessage<RouteNetlinkMessage>]) {
        let now = clock::now();
        let mut changes: Vec<&RouteNetlinkMessage> = Vec::new();
        let mut lost = false;
        for message in batch {
            if let NetlinkPayload::InnerMessage(message) = &message.payload {
                let is_own = self.addresses.apply(message, now);
                changes.extend(is_own.then_some(message));
            } else if let NetlinkPayload::Overrun(_) = message.payload {
                lost = true;
            }
        }
        if lost {
            tracing::debug!(interface = %self.interface, "Netlink messages were lost; reading all addresses again.");
            link::read_out(&self.handle, &mut self.messages).await;
            self.dump().await;
        } else if !changes.is_empty() && self.dump_at.is_none() {
            self.tape.addresses(None, &changes, now);
            self.tell(now);
        }
    }

    /// Takes all addresses of the interface, as far as there is one.
    async fn dump(&mut self) {
        let Some(ifindex) = self.link.as_ref().map(|link| link.ifindex) else {
            // There is nothing to read until it is back, which asks again.
            if self.dump_at.take().is_some() {
                self.fail(None, clock::now());
            }
            return;
        };
        let mut addresses = Addresses::of(ifindex);
        let read = read(&self.handle).await;
        let now = clock::now();
        match read {
            Ok(messages) => {
                let own: Vec<_> = messages.iter().filter(|message| addresses.apply(message, now)).collect();
                if self.dump_at.take().is_some() {
                    self.fail(None, now);
                }
                self.tape.addresses(Some(ifindex), &own, now);
                self.addresses = addresses;
                self.tell(now);
            }
            Err(error) => {
                self.dump_at = Some(now + DUMP_RETRY);
                self.fail(Some(dump_failure(&self.interface, &error)), now);
            }
        }
    }

    fn fail(&mut self, failure: Option<String>, now: Instant) {
        self.tape.failure(failure.as_deref(), now);
        self.table.handle_failure(failure);
    }

    fn tell(&mut self, now: Instant) {
        let addresses = self.addresses.tell();
        self.table.handle_addresses(&addresses, now);
    }

    async fn handle_timeout(&mut self) {
        let now = clock::now();
        self.tape.wake(now);
        self.table.handle_timeout(now);
        if self.dump_at.is_some_and(|at| at <= now) {
            self.dump().await;
        }
    }
}

async fn read(handle: &Handle) -> Result<Vec<RouteNetlinkMessage>, String> {
    let dump = handle.address().get().execute().map_ok(RouteNetlinkMessage::NewAddress).try_collect();
    match tokio::time::timeout(DUMP_LIMIT, dump).await {
        Ok(dump) => dump.map_err(|error: rtnetlink::Error| error.to_string()),
        Err(_elapsed) => Err(format!("no whole answer within {} s", DUMP_LIMIT.as_secs())),
    }
}

fn dump_failure(interface: &str, error: &str) -> String {
    format!(
        "Cannot list the addresses of {interface} by netlink ({error}); trying again every {} s.",
        DUMP_RETRY.as_secs()
    )
}
