use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::time::Duration;

use super::*;
use crate::arbiter::{Current, Generation, Previous, PreviousState, Reason, Restored, Snapshot};
use crate::cluster::Managed;
use crate::config::{Kind, ObjectRef};
use crate::source::{SourceId, SourceKind};
use crate::time::{Deadline, Epoch, Instant};

const NOW: Instant = Instant::from_secs(1000);

fn wall(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn epoch() -> Epoch {
    Epoch::new(NOW, wall("2026-01-04T10:00:00Z"))
}

fn snapshot() -> Snapshot {
    let source = SourceId::on(SourceKind::RouterAdvertisement, "eth0");
    Snapshot {
        current: Some(Current {
            generation: Generation(2),
            prefix: "2001:db8:2::/48".parse().unwrap(),
            source: source.clone(),
            routers: vec!["fe80::1".parse().unwrap()],
            acquired_at: Instant::from_secs(-5),
            preferred_until: Deadline::At(NOW + Duration::from_secs(1800)),
            valid_until: Deadline::Never,
            excluded: vec!["2001:db8:2:ff::/64".parse().unwrap()],
            lost: None,
        }),
        history: vec![Previous {
            generation: Generation(1),
            prefix: "2001:db8:1::/48".parse().unwrap(),
            source,
            routers: vec!["fe80::2".parse().unwrap()],
            acquired_at: Instant::from_secs(-500),
            deprecated_at: Instant::from_secs(-5),
            valid_until: Deadline::At(NOW + Duration::from_secs(60)),
            drain_ends_at: Deadline::At(NOW + Duration::from_secs(3600)),
            excluded: Vec::new(),
            state: PreviousState::Draining,
            reason: Reason::Replaced,
            died_later: false,
        }],
    }
}

fn managed() -> Managed {
    Managed {
        object: ObjectRef {
            kind: Kind::IPAddressPool,
            namespace: Some("metallb-system".to_owned()),
            name: "public".to_owned(),
        },
        uid: "1-2-3".to_owned(),
        contributions: [("home".to_owned(), vec!["cidr=2001:db8:2::/64".to_owned()])].into(),
        unclaimed: Vec::new(),
        strays: [("cidr=2001:db8:9::/64".to_owned(), Instant::from_secs(900))].into(),
    }
}

fn state() -> State {
    let mut state = State::new(&epoch());
    state.insert_prefix("home", &snapshot(), Generation(2), &epoch());
    state.insert_managed("lab", &managed(), &epoch());
    state
}

#[test]
fn what_is_saved_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Store::open(directory.path(), epoch().wall_now()).unwrap();
    assert_eq!(opened.state, None);
    opened.store.save(&state()).unwrap();
    drop(opened);

    let opened = Store::open(directory.path(), epoch().wall_now()).unwrap();
    let read = opened.state.unwrap();
    assert_eq!(read.restore("home", &epoch()), Some(Restored { snapshot: snapshot(), last_generation: Generation(2) }));
    assert_eq!(read.managed("lab", &epoch()), vec![managed()]);
    assert_eq!(read.restore("other", &epoch()), None);
    let mode = fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// The version before knew neither which routers a former prefix had nor whether it died after its drain. It takes what
/// this one writes, as it ignores keys that it does not know, and this one takes what it wrote.
#[test]
fn a_former_prefix_is_read_with_and_without_what_was_added() {
    let mut snapshot = snapshot();
    snapshot.history[0].state = PreviousState::Expired;
    snapshot.history[0].reason = Reason::TooMany;
    snapshot.history[0].died_later = true;
    let mut state = State::new(&epoch());
    state.insert_prefix("home", &snapshot, Generation(2), &epoch());
    let mut json = serde_json::to_value(&state).unwrap();
    let read = |json: &serde_json::Value| {
        let state: State = serde_json::from_value(json.clone()).unwrap();
        state.restore("home", &epoch()).unwrap().snapshot
    };
    assert_eq!(read(&json), snapshot);

    let former = json["dynamicPrefixes"]["home"]["history"][0].as_object_mut().unwrap();
    let before = serde_json::json!({
        "generation": 1, "prefix": "2001:db8:1::/48",
        "source": {"kind": "router-advertisement", "interface": "eth0"},
        "acquiredAt": "2026-01-04T09:35:00Z", "deprecatedAt": "2026-01-04T09:43:15Z",
        "validUntil": "2026-01-04T10:01:00Z", "drainEndsAt": "2026-01-04T11:00:00Z",
        "excluded": [], "draining": false, "reason": "TooMany",
    });
    let added: std::collections::BTreeSet<String> =
        former.keys().filter(|key| before.get(key.as_str()).is_none()).cloned().collect();
    assert_eq!(added, ["diedLater".to_owned(), "routers".to_owned()].into());
    *former = before.as_object().unwrap().clone();
    let mut expected = snapshot;
    expected.history[0].routers.clear();
    expected.history[0].died_later = false;
    assert_eq!(read(&json), expected);
}

#[test]
fn time_that_passed_while_we_were_down_counts() {
    let later = Epoch::new(Instant::from_secs(20), wall("2026-01-04T10:10:00Z"));
    let current = state().restore("home", &later).unwrap().snapshot.current.unwrap();
    assert_eq!(current.preferred_until.remaining(later.now()), Some(Duration::from_secs(1200)));
}

#[test]
fn a_clock_that_woke_up_in_the_past_prolongs_nothing() {
    let past = Epoch::new(Instant::from_secs(20), wall("1970-01-01T00:00:09Z"));
    let current = state().restore("home", &past).unwrap().snapshot.current.unwrap();
    assert_eq!(current.preferred_until.remaining(past.now()), Some(Duration::from_secs(1800)));
}

#[test]
fn a_clock_far_in_the_future_ends_every_lifetime() {
    let future = Epoch::new(Instant::from_secs(20), wall("2036-01-01T00:00:00Z"));
    let current = state().restore("home", &future).unwrap().snapshot.current.unwrap();
    assert!(current.preferred_until.is_over(future.now()));
    assert_eq!(current.valid_until, Deadline::Never);
}

#[test]
fn a_second_daemon_is_refused_and_told_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let _first = Store::open(directory.path(), epoch().wall_now()).unwrap();
    let error = Store::open(directory.path(), epoch().wall_now()).unwrap_err().to_string();
    assert!(error.contains("in use by another dyn-prefix"), "{error}");
    assert!(error.contains("daemon.stateDirectory"), "{error}");
}

#[test]
fn t096_an_unreadable_state_is_kept_aside() {
    for text in
        ["{", "", "[]", r#"{"version": 99, "savedAt": "2026-01-04T10:00:00Z", "dynamicPrefixes": {}, "managed": {}}"#]
    {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), text).unwrap();
        let opened = Store::open(directory.path(), epoch().wall_now()).unwrap();
        assert_eq!(opened.state, None);
        let warning = opened.warning.unwrap();
        let aside = directory.path().join("state.json.unreadable-1767520800");
        assert!(warning.contains(&aside.display().to_string()), "{warning}");
        assert_eq!(fs::read_to_string(aside).unwrap(), text);
    }
}

#[test]
fn a_crash_before_the_rename_leaves_the_old_state() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Store::open(directory.path(), epoch().wall_now()).unwrap();
    opened.store.save(&state()).unwrap();
    drop(opened);
    fs::write(directory.path().join(NEW_FILE), r#"{"version": 1, "sav"#).unwrap();
    let opened = Store::open(directory.path(), epoch().wall_now()).unwrap();
    assert_eq!(opened.state, Some(state()));
}

#[test]
fn a_save_that_fails_leaves_the_old_state_and_says_where() {
    let directory = tempfile::tempdir().unwrap();
    let opened = Store::open(directory.path(), epoch().wall_now()).unwrap();
    opened.store.save(&state()).unwrap();
    // A directory in the place of the new file fails for root too, as a full disk would.
    fs::create_dir(directory.path().join(NEW_FILE)).unwrap();
    let error = opened.store.save(&State::new(&epoch())).unwrap_err();
    assert!(error.to_string().contains("state.json"), "{error:#}");
    assert_eq!(peek(directory.path()).unwrap(), Some(state()));
}

/// Root writes into the directory of the daemon's user; anybody else owns the directory himself.
#[test]
fn what_is_written_belongs_to_the_owner_of_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        chown(directory.path(), Some(4711), Some(4712)).unwrap();
    }
    let owner = fs::metadata(directory.path()).map(|directory| (directory.uid(), directory.gid())).unwrap();
    let opened = Store::open(directory.path(), epoch().wall_now()).unwrap();
    opened.store.save(&state()).unwrap();
    for name in ["state.json", "lock"] {
        let file = fs::metadata(directory.path().join(name)).unwrap();
        assert_eq!(((file.uid(), file.gid()), file.mode() & 0o7777), (owner, 0o600), "{name}");
    }
}

#[test]
fn no_link_is_followed() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    for name in ["state.json.new", "state.json", "lock"] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, directory.path().join(name)).unwrap();
        match Store::open(directory.path(), epoch().wall_now()) {
            Ok(opened) => {
                assert_ne!(name, "lock");
                assert_eq!(opened.warning.is_some(), name == "state.json", "{name}");
                opened.store.save(&state()).unwrap();
                assert_eq!(peek(directory.path()).unwrap(), Some(state()));
            }
            Err(error) => {
                assert_eq!(name, "lock");
                let text = format!("{error:#}");
                assert!(text.contains("lock is not a regular file; remove it"), "{text}");
            }
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{name}");
    }
    let directory = tempfile::tempdir().unwrap();
    symlink(outside.path().join("absent"), directory.path().join("lock")).unwrap();
    assert!(Store::open(directory.path(), epoch().wall_now()).is_err());
    assert!(!outside.path().join("absent").exists());
}

#[test]
fn a_command_in_the_daemons_stead_makes_nothing_and_moves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("absent");
    assert!(Store::open_existing(&absent).unwrap().is_none());
    assert!(!absent.exists());
    assert!(Store::open_existing(directory.path()).unwrap().is_none());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);

    let path = directory.path().join(FILE);
    fs::write(&path, r#"{"version": 99, "savedAt": "2026-01-04T10:00:00Z", "dynamicPrefixes": {}, "managed": {}}"#)
        .unwrap();
    for _ in 0..2 {
        let error = format!("{:#}", Store::open_existing(directory.path()).unwrap_err());
        assert!(error.contains("state.json") && error.contains("it has version 99"), "{error}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
    fs::remove_file(&path).unwrap();
    drop(Store::open(directory.path(), epoch().wall_now()).map(|opened| opened.store.save(&state())).unwrap());
    let (_store, read) = Store::open_existing(directory.path()).unwrap().unwrap();
    assert_eq!(read, state());
}
