//! Every daemon of these tests records its session. What a replay says has to be what happened: the same messages in the
//! same order, and the same lines in the journal,
//! no more and no less.

use std::collections::VecDeque;

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::record;
use dyn_prefix::replay::{self, What};
use dyn_prefix::source::dhcpv6::wire::Outgoing;
use dyn_prefix::source::dhcpv6::wire::server::decode_client;

use crate::scene::Scene;

/// What a replay has sent and told.
#[derive(Default)]
struct Story {
    sent: Vec<Outgoing>,
    told: Vec<String>,
}

/// Fails unless the record tells what the link and the log of the daemon have seen.
pub(crate) fn expect_the_same(scene: &Scene) -> Result<()> {
    let path = scene.path("dyn-prefix.record");
    if !path.exists() {
        // A test without a daemon.
        return Ok(());
    }
    let text = std::fs::read_to_string(path)?;
    let story = story(&text).context("the record")?;
    let on_link = scene.link.sent(0);
    ensure!(story.sent == on_link, "replayed:\n{}\non the link:\n{}", lines(&story.sent), lines(&on_link));
    let log = std::fs::read_to_string(scene.path("dyn-prefix.log"))?;
    let mut log: VecDeque<&str> = log.lines().collect();
    let mut left = Vec::new();
    for line in &story.told {
        let place = log.iter().position(|logged| logged.ends_with(line.as_str()));
        let place = place.with_context(|| format!("not in the log, or not in this order: {line}"))?;
        left.extend(log.drain(..=place).take(place));
    }
    left.extend(log);
    let untold: Vec<&str> = left.into_iter().filter(|line| is_of_a_source(line)).collect();
    ensure!(untold.is_empty(), "in the log, and not in the replay:\n{}", untold.join("\n"));
    Ok(())
}

/// Whether a line of the log follows from what the sources take in: it is none about the start, the end or the status.
fn is_of_a_source(line: &str) -> bool {
    let about_itself = [" ", "dyn-prefix ", "Stopping on "];
    line.ends_with('.') && !about_itself.iter().any(|start| line.starts_with(start))
}

fn story(text: &str) -> Result<Story> {
    let mut story = Story::default();
    replay::run(&record::parse(text)?, &mut |moment| match moment.what {
        What::Sent { octets: Some(octets), .. } => story.sent.extend(decode_client(&octets).ok()),
        What::Journal(entry) => story.told.push(entry.message),
        What::Sent { octets: None, .. }
        | What::Started { .. }
        | What::Transition { .. }
        | What::Received { .. }
        | What::Plan { .. }
        | What::Unheard(_)
        | What::Stopped => {}
    })?;
    Ok(story)
}

fn lines(messages: &[Outgoing]) -> String {
    let line =
        |message: &Outgoing| format!("{:?} {:02x?} elapsed {}", message.kind, message.transaction_id, message.elapsed);
    messages.iter().map(line).collect::<Vec<_>>().join("\n")
}
