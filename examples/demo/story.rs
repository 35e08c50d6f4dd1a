//! Four chapters: the line comes up, and the prefix changes three times. Each ends when the pools are right.

use std::process::ExitStatus;
use std::time::Duration;

use dyn_prefix::clock;
use dyn_prefix::time::Instant;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::cluster::{self, Object};
use super::daemon::Daemon;
use super::delegation::Delegated;
use super::isp::{Announced, Cause, Isp, Order};
use super::link;
use super::prefixes::{CONFIGURATION, FIRST, Prefix, SECOND, THIRD};
use super::support::api::Api;
use super::timeline::{Event, Timeline, Who, milliseconds};

/// How long a chapter may take. A client waits up to a second before it asks for the first time (RFC 9915 §18.2.1).
const PATIENCE: Duration = Duration::from_secs(6);

/// How long the daemon may take to hear that the controller of the pool has seen its last write.
const STATUS_PATIENCE: Duration = Duration::from_secs(3);

/// The host's address on the link.
const HOST: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// The words of the lines in which the daemon says what it wrote: several objects, or one.
const SAYS_IT_WROTE: [&str; 2] = [" written, the last after ", " now holds "];

/// What the ISP does, and what has to come of it.
struct Chapter {
    title: &'static str,
    lines: &'static str,
    order: Order,
    /// The prefix in use, then those that drain, newest first.
    published: &'static [Prefix],
}

static CHAPTERS: [Chapter; 4] = [
    Chapter {
        title: "1. The line comes up",
        lines: "The daemon starts, has a prefix delegated, and fills three pools that carry annotations.",
        order: Order {
            cause: Cause::Question,
            advertised: &[Announced::in_use(FIRST)],
            delegated: &[Delegated::in_use(FIRST)],
        },
        published: &[FIRST],
    },
    Chapter {
        title: "2. The ISP replaces the prefix in the middle of the lease",
        lines: "A Router Advertisement shows it first: the daemon asks at once, not in a quarter of an hour. Of the old prefix \
                the addresses in use stay in the pools while it drains, behind the new one.",
        order: Order {
            cause: Cause::Advertisement,
            advertised: &[Announced::deprecated(FIRST), Announced::in_use(SECOND)],
            delegated: &[Delegated::deprecated(FIRST), Delegated::in_use(SECOND)],
        },
        published: &[SECOND, FIRST],
    },
    Chapter {
        title: "3. The router reboots, and the line has another prefix",
        lines: "The daemon asks whether its delegation still holds. It does not: what is not valid any more leaves the pools \
                with the write that brings its successor.",
        order: Order {
            cause: Cause::Reboot,
            advertised: &[Announced::in_use(THIRD)],
            delegated: &[Delegated::deprecated(FIRST), Delegated::ended(SECOND), Delegated::in_use(THIRD)],
        },
        published: &[THIRD, FIRST],
    },
    Chapter {
        title: "4. Back to the first prefix",
        lines: "The daemon has just asked because of a Router Advertisement, and does so at most twice a minute; this time the \
                server tells it to. The first prefix is the current one again, and no longer \
                part of the past.",
        order: Order {
            cause: Cause::Reconfigure,
            advertised: &[Announced::deprecated(THIRD), Announced::in_use(FIRST)],
            delegated: &[Delegated::deprecated(THIRD), Delegated::in_use(FIRST)],
        },
        published: &[FIRST, THIRD],
    },
];

/// Tells the story; an error when a pool was not right.
pub(crate) async fn tell(mut isp: Isp, timeline: Timeline) -> anyhow::Result<()> {
    timeline.say(&introduction())?;
    isp.ready().await?;
    link::loopback().await?;
    link::up(link::WAN, HOST).await?;
    let api = cluster::start().await;
    let daemon = Daemon::prepare(&api)?;
    let mut stage = Stage { api, isp, daemon, timeline };
    let mut figures = Vec::new();
    for (number, chapter) in CHAPTERS.iter().enumerate() {
        stage.timeline.chapter(chapter.title, chapter.lines)?;
        stage.isp.order(&chapter.order);
        if number == 0 {
            stage.daemon.start()?;
        }
        figures.push((chapter.title, stage.play(chapter).await?));
    }
    stage.close().await?;
    stage.timeline.say(&summary(&figures))?;
    Ok(())
}

fn introduction() -> String {
    let configuration: String = CONFIGURATION.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "dyn-prefix {}: a line whose prefix changes, and a cluster that follows.\n\n  \
         ISP router ── Ethernet ── host, `dyn-prefix run` ── https ── Kubernetes API server (a small one, in here)\n\n\
         The daemon is the real one; the link lies in network namespaces of its own. Its configuration, but for paths:\n\n\
         {configuration}",
        dyn_prefix::VERSION
    )
}

/// Everyone who takes part.
struct Stage {
    api: Api,
    isp: Isp,
    daemon: Daemon,
    timeline: Timeline,
}

/// How long after the Reply of the ISP the first and the last object were right.
struct Figures {
    first: Duration,
    last: Duration,
}

/// What is known of a chapter while it goes on.
#[derive(Default)]
struct Progress {
    delegated: Option<Instant>,
    right: Vec<Instant>,
    has_said_so: bool,
}

impl Progress {
    /// Once every object is right and the daemon has said so.
    fn figures(&self) -> Option<Figures> {
        let (delegated, first, last) = (self.delegated?, self.right.first()?, self.right.last()?);
        let is_done = self.right.len() == Object::ALL.len() && self.has_said_so;
        is_done.then(|| Figures { first: first.saturating_since(delegated), last: last.saturating_since(delegated) })
    }
}

impl Stage {
    /// Prints what happens until the chapter is over.
    async fn play(&mut self, chapter: &Chapter) -> anyhow::Result<Figures> {
        let Self { api, isp, daemon, timeline } = self;
        let mut progress = Progress::default();
        let objects = Object::ALL.into_iter().map(|object| right(api, object, chapter.published));
        let mut objects: FuturesUnordered<_> = objects.collect();
        let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
        loop {
            if let Some(figures) = progress.figures() {
                return Ok(figures);
            }
            tokio::select! {
                biased;
                Some(event) = isp.events.recv() => {
                    if event.delegates {
                        progress.delegated.get_or_insert(event.at);
                    }
                    timeline.event(&event)?;
                }
                Some(event) = daemon.lines.recv() => {
                    progress.has_said_so |= SAYS_IT_WROTE.iter().any(|words| event.text.contains(words));
                    timeline.event(&event)?;
                }
                Some((object, at)) = objects.next() => {
                    progress.right.push(at);
                    show(timeline, object, at, chapter.published)?;
                }
                () = cluster::operate(api) => {}
                () = &mut patience => return Err(wrong(api, chapter, &progress)),
            }
        }
    }

    /// Asks the daemon how it is, stops it, and sees that this has taken nothing away.
    async fn close(&mut self) -> anyhow::Result<()> {
        let Self { api, daemon, timeline, .. } = self;
        timeline.chapter("$ dyn-prefix status", "")?;
        let (text, status) = tokio::select! {
            answer = status(daemon) => answer?,
            () = cluster::operate(api) => anyhow::bail!("the cluster's operator has ended"),
        };
        timeline.say(&text)?;
        anyhow::ensure!(status.success(), "`dyn-prefix status` says that something is not well ({status})");
        timeline
            .chapter("The daemon is stopped", "Nothing is withdrawn: a restart must not cost anybody an address.")?;
        let status = daemon.stop().await?;
        while let Some(event) = daemon.lines.recv().await {
            timeline.event(&event)?;
        }
        anyhow::ensure!(status.success(), "the daemon ended with {status}");
        let published = CHAPTERS.last().map_or(&[][..], |chapter| chapter.published);
        for object in Object::ALL {
            anyhow::ensure!(is_right(api, object, published), "{} has lost something", object.title());
        }
        Ok(())
    }
}

/// What `dyn-prefix status` prints. It is asked again while the daemon waits for the pool's controller.
async fn status(daemon: &Daemon) -> anyhow::Result<(String, ExitStatus)> {
    let deadline = clock::now() + STATUS_PATIENCE;
    loop {
        let (text, status) = daemon.status().await?;
        if status.success() || clock::now() >= deadline {
            return Ok((text, status));
        }
    }
}

/// Waits until the object holds what it should, and tells when that was.
async fn right(api: &Api, object: Object, published: &[Prefix]) -> (Object, Instant) {
    api.until(|api| is_right(api, object, published)).await;
    (object, clock::now())
}

fn is_right(api: &Api, object: Object, published: &[Prefix]) -> bool {
    object.held(api) == cluster::list(&object.wanted(published))
}

fn show(timeline: &mut Timeline, object: Object, at: Instant, published: &[Prefix]) -> std::io::Result<()> {
    let title = format!("{} holds in spec.{}", object.title(), object.field());
    let lines = object.wanted(published);
    let entries = lines.iter().map(|line| format!("  {:<52}{}", line.shown, line.role));
    for text in std::iter::once(title).chain(entries) {
        timeline.event(&Event { at, who: Who::Cluster, text, delegates: false })?;
    }
    Ok(())
}

/// What is wrong when the time of a chapter is over.
fn wrong(api: &Api, chapter: &Chapter, progress: &Progress) -> anyhow::Error {
    let held = Object::ALL.map(|object| {
        format!(
            "  {} holds {}\n    and should hold {}",
            object.title(),
            object.held(api),
            cluster::list(&object.wanted(chapter.published))
        )
    });
    let said = if progress.has_said_so { "has" } else { "has not" };
    anyhow::anyhow!(
        "\"{}\" is not over after {PATIENCE:?}; the daemon {said} said that it wrote.\n{}",
        chapter.title,
        held.join("\n")
    )
}

fn summary(figures: &[(&str, Figures)]) -> String {
    let mut text = "\nFrom the DHCPv6 Reply to the first and to the last of the three objects\n\n".to_owned();
    for (title, Figures { first, last }) in figures {
        text.push_str(&format!("  {title:<60}{:>10}{:>10}\n", milliseconds(*first), milliseconds(*last)));
    }
    text.push_str("\nThe pools were right each time. The namespaces and the daemon are gone again.\n");
    text
}
