use std::sync::LazyLock;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::record::{Hex, parse};

mod live;
mod lookouts;
mod observed;

use live::{CONFIG, Live};

const START: &str = r#""event":"start","record":1,"started":"2026-01-04T10:00:00Z","bootTime":"1000""#;

/// What a replay has to say, in lines.
fn told(record: &Record) -> Vec<String> {
    let mut told = Vec::new();
    run(record, &mut |moment| told.push(line(&moment.what))).unwrap();
    told
}

fn line(what: &What) -> String {
    match what {
        What::Started { .. } => "started".to_owned(),
        What::Journal(entry) => entry.message.clone(),
        What::Transition { text, .. } => text.clone(),
        What::Received { message, .. } => format!("< {message}"),
        What::Sent { message, .. } => format!("> {message}"),
        What::Plan { snapshots, .. } => {
            let current = |snapshot: &Snapshot| snapshot.current.as_ref().map(|current| current.prefix);
            format!("plan {:?}", snapshots.values().filter_map(current).collect::<Vec<_>>())
        }
        What::Unheard(why) => format!("not used: {why}"),
        What::Stopped => "stopped".to_owned(),
    }
}

/// When messages were sent, in milliseconds since the start.
fn sent_at(text: &str) -> Vec<u128> {
    let mut times = Vec::new();
    let began = Instant::from_secs(1000);
    run(&parse(text).unwrap(), &mut |moment| {
        if let What::Sent { message, .. } = &moment.what
            && message.starts_with("Solicit")
        {
            times.push(moment.at.saturating_since(began).as_millis());
        }
    })
    .unwrap();
    times
}

fn by_hand(lines: &[&str]) -> String {
    let config = serde_json::to_string(CONFIG).unwrap();
    format!("{{{START},\"config\":{config}}}\n{}\n", lines.join("\n"))
}

const UP: &str =
    r#"{"at":"1","event":"link","interface":"wan","link":{"ifindex":2,"up":true,"addresses":["fe80::1"]}}"#;

/// The line of a client's start, with the seed of one by hand.
fn client() -> String {
    format!(r#"{{"at":"0","event":"client","interface":"wan","seed":"{}"}}"#, Hex(vec![0; 32]))
}

/// Binds, renews late, loses the server, finds another one, sleeps, is reconfigured; every timer comes a little late.
fn session() -> (String, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record");
    let mut live = Live::start(&path);
    live.link_up();
    live.advertisement();
    live.run(Duration::from_secs(2000));
    live.server_is_gone(true);
    live.run(Duration::from_secs(2200));
    live.server_is_gone(false);
    live.run(Duration::from_secs(900));
    live.sleep(Duration::from_secs(7200));
    live.run(Duration::from_secs(100));
    live.reload(&CONFIG.replace("requestedPrefixLength = 56", "requestedPrefixLength = 60"));
    live.run(Duration::from_secs(3000));
    let told = live.end();
    (std::fs::read_to_string(&path).unwrap(), told)
}

#[test]
fn a_replay_says_what_the_recorded_session_said() {
    let (text, expected) = session();
    let record = parse(&text).unwrap();
    let replayed: Vec<String> = told(&record)
        .into_iter()
        .filter(|line| line != "started" && line != "stopped" && !line.starts_with("plan ") && !line.starts_with("< "))
        .collect();
    assert_eq!(replayed, expected);
    for word in ["> Solicit", "> Renew", "> Rebind", "> Router Solicitation", "takes the place of", "slept for"] {
        assert!(expected.iter().any(|line| line.contains(word)), "{word}: {expected:#?}");
    }
    assert_eq!(told(&record), told(&record), "the same record, the same words");
}

/// It chooses other transaction-ids and other moments within those that RFC 9915 §15 allows.
#[test]
fn another_version_of_the_program_takes_the_recorded_answers_for_answers_to_its_own() {
    let (text, expected) = session();
    let (seed, other) = (Hex(vec![1; 32]).to_string(), Hex(vec![9; 32]).to_string());
    assert!(text.contains(&seed));
    let replayed = told(&parse(&text.replace(&seed, &other)).unwrap());
    let solicit = |lines: &[String]| lines.iter().find(|line| line.starts_with("> Solicit")).cloned();
    assert_ne!(solicit(&replayed), solicit(&expected), "it is another one");
    let prefixes = |lines: &[String]| -> Vec<String> {
        let changes = lines.iter().filter(|line| line.starts_with("home: "));
        changes.map(|line| line.split(';').next().unwrap().to_owned()).collect()
    };
    assert!(prefixes(&expected).len() > 3);
    assert_eq!(prefixes(&replayed), prefixes(&expected));
}

/// Without the recorded wakes everything happens in its time, and a retransmission is as late as RFC 9915 §15 has it.
#[test]
fn a_record_by_hand_has_no_need_of_wakes() {
    let times = sent_at(&by_hand(&[UP, r#"{"at":"8","event":"end"}"#]));
    let [first, second, third] = times[..] else { panic!("three Solicits in seven seconds: {times:?}") };
    // RFC 9915 §18.2.1: up to a second of delay; IRT is 1 s and a little more, for the first message of a Solicit.
    assert!((1000..=2000).contains(&first), "{first}");
    assert!((1000..=1100).contains(&(second - first)), "{times:?}");
    // RT = 2*RTprev + RAND*RTprev (§15).
    let (before, after) = (second - first, third - second);
    assert!((before * 19 / 10..=before * 21 / 10 + 1).contains(&after), "{times:?}");
}

/// A daemon of another version has written that it woke at other times.
#[test]
fn what_no_wake_was_recorded_for_happens_when_it_is_due() {
    let wake = r#"{"at":"1","event":"wake","to":"dhcpv6","interface":"wan"}"#;
    let client = client();
    let late = r#"{"at":"60","event":"wake","to":"coordinator"}"#;
    let end = r#"{"at":"61","event":"end"}"#;
    let without = sent_at(&by_hand(&[UP, end]));
    assert_eq!(sent_at(&by_hand(&[&client, UP, wake, late, end])), without);
}

#[test]
fn while_the_machine_sleeps_nothing_happens() {
    let client = client();
    let resumed = r#"{"at":"3600.5","event":"resumed","slept":"3590"}"#;
    let wake = r#"{"at":"3600","event":"wake","to":"dhcpv6","interface":"wan"}"#;
    let times = sent_at(&by_hand(&[&client, UP, wake, resumed, r#"{"at":"3601","event":"end"}"#]));
    assert!(times.iter().all(|at| *at <= 10_000 || *at >= 3_600_000), "{times:?}");
    assert!(times.iter().any(|at| *at <= 10_000), "before it slept it asked: {times:?}");
}

/// RFC 9915 §16: a client drops what has another transaction-id than its own, so a record by hand would need to know it.
#[test]
fn an_answer_by_hand_is_for_the_last_message() {
    let answer = |octets: &str| {
        format!(
            r#"{{"at":"4","event":"datagram","interface":"wan","destination":"fe80::1","ifindex":2,"bytes":"{octets}"}}"#
        )
    };
    let told = |line: &str| told(&parse(&by_hand(&[UP, line, r#"{"at":"4.5","event":"end"}"#])).unwrap());
    let for_the_last = told(&answer("02 000000"));
    let solicit = for_the_last.iter().find_map(|line| line.strip_prefix("> Solicit ")).unwrap();
    let advertise = for_the_last.iter().find_map(|line| line.strip_prefix("< Advertise ")).unwrap();
    assert_eq!(solicit[..6], advertise[..6]);
    assert!(told(&answer("02 123456")).iter().any(|line| line.starts_with("< Advertise 123456")), "as it is written");
}

#[test]
fn what_nobody_is_there_for_is_told() {
    let told = |line: &str| told(&parse(&by_hand(&[line])).unwrap());
    let elsewhere = told(&UP.replace("wan", "wna"));
    assert_eq!(elsewhere.last().unwrap(), "not used: the configuration has nothing for this on wna");
    let release = told(r#"{"at":"1","event":"release","name":"hoem"}"#);
    assert!(release.last().unwrap().starts_with("not used: there is no dynamicPrefix \"hoem\""), "{release:?}");
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_with_its_place() {
    let text = format!("{{{START},\"path\":\"/etc/dyn-prefix.toml\",\"config\":\"[daemno]\\n\"}}\n");
    let error = run(&parse(&text).unwrap(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.starts_with("the session of 2026-01-04T10:00:00Z: its configuration cannot be used:\n"), "{error}");
    assert!(error.contains("/etc/dyn-prefix.toml:1:2: error"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Lines are missing, and in others stands something else; their times are left alone.
    #[test]
    fn no_record_makes_it_panic(
        missing in vec(any::<Index>(), 0..6),
        changes in vec((any::<Index>(), any::<Index>(), proptest::char::range(' ', '~')), 0..12),
    ) {
        static WHOLE: LazyLock<String> = LazyLock::new(|| session().0);
        let mut lines: Vec<String> = WHOLE.lines().map(ToOwned::to_owned).collect();
        for (line, place, letter) in changes {
            let line = line.get(&lines).clone();
            let after_the_time = line.find(',').unwrap();
            let at = after_the_time + place.index(line.len() - after_the_time);
            let changed = format!("{}{letter}{}", &line[..at], &line[at + 1..]);
            lines.iter_mut().filter(|other| **other == line).for_each(|line| line.clone_from(&changed));
        }
        for missing in missing {
            lines.remove(missing.index(lines.len()));
        }
        // What is left may be no record, or one whose configuration cannot be used.
        if let Ok(record) = parse(&lines.join("\n")) {
            drop(run(&record, &mut |_| {}));
        }
        // Such changes mostly break the JSON; without the broken lines it goes on.
        lines.retain(|line| serde_json::from_str::<Line>(line).is_ok());
        if let Ok(record) = parse(&lines.join("\n")) {
            drop(run(&record, &mut |_| {}));
        }
    }
}
