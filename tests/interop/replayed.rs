//! Every daemon of these tests records its session. What a replay says has to be what happened: the same messages in the
//! same order, and the same lines in the journal, no more and no less.
//!
//! Most daemons are killed, and not all that they did in their last moment is on the link, in the log and in the record.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::record::{self, Event, Record};
use dyn_prefix::replay::{self, What};
use dyn_prefix::source::dhcpv6::wire::Outgoing;
use dyn_prefix::source::dhcpv6::wire::server::decode_client;
use dyn_prefix::time::Instant;

use super::scene::Scene;

/// How long the last moment of a daemon is: a busy machine may let it wait between two steps.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// What a replay has sent and told; and whether that was in the last moment of a daemon that was killed.
#[derive(Default)]
struct Story {
    sent: Vec<(Outgoing, bool)>,
    told: Vec<(String, bool)>,
}

/// Fails unless the record tells what the link and the log of the daemon have seen.
pub(crate) fn expect_the_same(scene: &Scene) -> Result<()> {
    let path = scene.path("dyn-prefix.record");
    if !path.exists() {
        // A test without a daemon.
        return Ok(());
    }
    let story = story(&record::parse(&std::fs::read_to_string(path)?)?).context("the record")?;
    expect_the_same_messages(scene, &story)?;
    expect_the_same_lines(scene, story)
}

/// The same for a daemon that sends nothing, beside a client that does.
pub(crate) fn expect_the_same_journal(scene: &Scene) -> Result<()> {
    let text = std::fs::read_to_string(scene.path("dyn-prefix.record"))?;
    let story = story(&record::parse(&text)?).context("the record")?;
    ensure!(story.sent.is_empty(), "an observer sends nothing:\n{}", lines(story.sent.iter().map(|(sent, _)| sent)));
    expect_the_same_lines(scene, story)
}

fn expect_the_same_messages(scene: &Scene, story: &Story) -> Result<()> {
    let left =
        left_over(story.sent.iter().map(|(message, last)| (message, *last)), scene.link.sent(0), |one, other| {
            *one == other
        });
    let left = left.with_context(|| format!("replayed:\n{}", lines(story.sent.iter().map(|(message, _)| message))))?;
    // The record may miss the last message of each daemon that was killed.
    let last = story.sent.iter().filter(|(_, last)| *last).count().max(1);
    ensure!(left.len() <= last, "on the link, and not in the replay:\n{}", lines(&left));
    Ok(())
}

fn expect_the_same_lines(scene: &Scene, story: Story) -> Result<()> {
    let log = std::fs::read_to_string(scene.path("dyn-prefix.log"))?;
    let told = story.told.iter().map(|(line, last)| (line.as_str(), *last));
    let left = left_over(told, log.lines().collect(), |line, logged| logged.ends_with(line))?;
    let clusters = clusters(scene)?;
    let untold: Vec<&str> = left.into_iter().filter(|line| is_of_a_source(line, &clusters)).collect();
    ensure!(untold.is_empty(), "in the log, and not in the replay:\n{}", untold.join("\n"));
    Ok(())
}

/// Finds everything of the replay in what happened, in its order, and gives what is left. What may be missing there is
/// marked.
fn left_over<T: std::fmt::Debug, U>(
    replayed: impl Iterator<Item = (T, bool)>,
    happened: Vec<U>,
    same: impl Fn(&T, &U) -> bool,
) -> Result<Vec<U>> {
    let mut happened = VecDeque::from(happened);
    let mut left = Vec::new();
    for (one, may_be_missing) in replayed {
        match happened.iter().position(|other| same(&one, other)) {
            Some(place) => left.extend(happened.drain(..=place).take(place)),
            None => ensure!(may_be_missing, "in the replay, and did not happen, or not in this order: {one:?}"),
        }
    }
    left.extend(happened);
    Ok(left)
}

/// Whether a line of the log follows from what the sources take in: it is none about the start, the end or the status,
/// and none about what a cluster has answered.
fn is_of_a_source(line: &str, clusters: &[String]) -> bool {
    let about_itself = [" ", "dyn-prefix ", "Stopping on "];
    let said = line.strip_prefix("warning: ").unwrap_or(line);
    let of_a_cluster = clusters.iter().any(|cluster| said.starts_with(&format!("{cluster}: ")));
    line.ends_with('.') && !of_a_cluster && !about_itself.iter().any(|start| line.starts_with(start))
}

/// The names of the clusters in the configuration, which no DynamicPrefix may have here.
fn clusters(scene: &Scene) -> Result<Vec<String>> {
    let config: toml::Table = std::fs::read_to_string(scene.path("dyn-prefix.toml"))?.parse()?;
    let clusters = config.get("cluster").and_then(toml::Value::as_array).into_iter().flatten();
    Ok(clusters.filter_map(|cluster| Some(cluster.get("name")?.as_str()?.to_owned())).collect())
}

fn story(record: &Record) -> Result<Story> {
    let mut ends = last_moments(record).into_iter();
    let (mut story, mut last_moment) = (Story::default(), None);
    replay::run(record, &mut |moment| {
        let last = last_moment.is_some_and(|from| moment.at >= from);
        match moment.what {
            What::Started { .. } => last_moment = ends.next().flatten(),
            What::Sent { octets: Some(octets), .. } => {
                story.sent.extend(decode_client(&octets).ok().map(|sent| (sent, last)));
            }
            What::Journal(entry) => story.told.push((entry.message, last)),
            What::Sent { octets: None, .. }
            | What::Transition { .. }
            | What::Received { .. }
            | What::Plan { .. }
            | What::Unheard(_)
            | What::Stopped => {}
        }
    })?;
    Ok(story)
}

/// From when on each session was in its last moment; `None`: it was stopped, not killed.
fn last_moments(record: &Record) -> Vec<Option<Instant>> {
    let mut sessions = Vec::new();
    let mut began = Instant::BOOT;
    for line in &record.lines {
        if let Event::Start(start) = &line.event {
            began = Instant::BOOT + start.boot_time.0;
            sessions.push(None);
        }
        if let Some(session) = sessions.last_mut() {
            *session = (line.event != Event::End).then(|| began + line.at.0 - LAST_MOMENT);
        }
    }
    sessions
}

fn lines<'a>(messages: impl IntoIterator<Item = &'a Outgoing>) -> String {
    let line =
        |message: &Outgoing| format!("{:?} {:02x?} elapsed {}", message.kind, message.transaction_id, message.elapsed);
    messages.into_iter().map(line).collect::<Vec<_>>().join("\n")
}
