//! `dyn-prefix replay`: what a recorded daemon did, or this version of it would do.

use std::path::Path;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::record;
use crate::replay::{self, Moment, What};
use crate::time::{Epoch, Instant};

use super::{Exit, Output, preview, terminal};

/// Prints every transition, message and plan of a record.
pub(super) fn replay(file: &Path, output: Output) -> anyhow::Result<Exit> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read the record {shown}"))?;
    let record = record::parse(&text).with_context(|| format!("{shown} is no record of `dyn-prefix run --record`"))?;
    for number in &record.cut_off {
        terminal::complain(&format!(
            "{shown}:{number}: this line was cut off, by a crash or a full disk; it is left out"
        ));
    }
    let mut said = Ok(true);
    let print = &mut |moment: Moment| {
        if matches!(said, Ok(true)) {
            said = format(&moment, output).and_then(|text| terminal::say(&text));
        }
    };
    replay::run(&record, print).with_context(|| format!("cannot replay {shown}"))?;
    said.map(|_| Exit::Done)
}

fn format(moment: &Moment, output: Output) -> anyhow::Result<String> {
    let at = wall(&moment.epoch, moment.at);
    Ok(match output {
        Output::Text => lines(&format!("{at:.3}"), &text(moment)),
        Output::Json => {
            let mut value = value(moment)?;
            if let Value::Object(fields) = &mut value {
                fields.shift_insert(0, "at".to_owned(), json!(format!("{at:.3}")));
            }
            // One line each, so that a program can read them one by one.
            serde_json::to_string(&value)?
        }
    })
}

/// To the nanosecond: a message and its answer are in one second.
fn wall(epoch: &Epoch, at: Instant) -> Timestamp {
    let since = SignedDuration::from_nanos(at.as_nanos().saturating_sub(epoch.now().as_nanos()));
    epoch.wall_now().saturating_add(since).unwrap_or(Timestamp::MAX)
}

/// The time before the first line, and nothing before the others.
fn lines(at: &str, text: &str) -> String {
    let indent = " ".repeat(at.len());
    let lines = text.lines().enumerate().map(|(number, line)| {
        let before = if number == 0 { at } else { indent.as_str() };
        format!("{before}  {line}\n")
    });
    lines.collect()
}

fn text(moment: &Moment) -> String {
    match &moment.what {
        What::Started { program, daemon_id } => format!("dyn-prefix {program} starts; it writes as {daemon_id}."),
        What::Journal(entry) => entry.message.clone(),
        What::Transition { text, .. } => text.clone(),
        What::Received { interface, message } => format!("{interface} < {message}"),
        What::Sent { interface, message, .. } => format!("{interface} > {message}"),
        What::Plan { daemon_id, config, snapshots } => {
            let status = preview::status(config, daemon_id.clone(), snapshots, &moment.epoch);
            preview::text(&status).lines().map(|line| format!("| {line}\n")).collect()
        }
        What::Unheard(why) => format!("Not used: {why}."),
        What::Stopped => "The daemon was stopped.".to_owned(),
    }
}

fn value(moment: &Moment) -> anyhow::Result<Value> {
    Ok(match &moment.what {
        What::Started { program, daemon_id } => json!({"kind": "start", "program": program, "daemonId": daemon_id}),
        What::Journal(entry) => json!({
            "kind": "journal",
            "messageId": entry.id,
            "message": entry.message,
            "name": entry.name,
            "current": entry.current,
            "previous": entry.previous,
            "source": entry.source,
        }),
        What::Transition { interface, text } => {
            json!({"kind": "transition", "interface": interface, "message": text})
        }
        What::Received { interface, message } => {
            json!({"kind": "received", "interface": interface, "message": message})
        }
        What::Sent { interface, message, octets } => {
            let octets = octets.clone().map(|octets| record::Hex(octets).to_string());
            json!({"kind": "sent", "interface": interface, "message": message, "octets": octets})
        }
        What::Plan { daemon_id, config, snapshots } => {
            let status = preview::status(config, daemon_id.clone(), snapshots, &moment.epoch);
            json!({"kind": "plan", "plan": preview::offline(&status)?})
        }
        What::Unheard(why) => json!({"kind": "not-used", "message": why}),
        What::Stopped => json!({"kind": "stop"}),
    })
}
