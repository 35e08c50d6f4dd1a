//! `report` while the daemon is away: what it leaves, and what the next start makes of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

use dyn_prefix::clock;
use dyn_prefix::control::Report;
use dyn_prefix::spool::Spool;
use jiff::Timestamp;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::home::{Daemon, Home};

/// A prefix that is observed where nothing can be seen.
const OBSERVED: &str = r#"[daemon]
id = "test"
stateDirectory = "DIR/state"
controlSocket = "DIR/run/control.sock"

[[dynamicPrefix]]
name = "home"
acquisition.observe = { interface = "none0" }
"#;

const A: &str = "2001:db8:a00::/56";
const B: &str = "2001:db8:b00::/56";

/// What nobody hears.
const AWAY: &str =
    "dyn-prefix is not running: nobody listens on the control socket DIR/run/control.sock (daemon.controlSocket)";

fn home() -> Home {
    let home = Home::new(OBSERVED);
    fs::create_dir(home.path().join("run")).unwrap();
    home
}

/// Reports what nobody hears.
fn leave(home: &Home, arguments: &[&str]) {
    let outcome = home.ask(&[&["report", "home"], arguments].concat());
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    let sentence = format!("{AWAY}; the report waits in DIR/run/control.sock.report.home.");
    assert!(outcome.stdout.starts_with(&sentence), "{}", outcome.stdout);
    assert_eq!(outcome.stdout.lines().count(), 1, "{}", outcome.stdout);
}

/// What waits.
fn files(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.path().join("run")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("report")).collect()
}

/// Changes the line of A that waits, as if `seconds` had passed since.
fn is_older(home: &Home, seconds: i64) {
    let file = home.path().join("run/control.sock.report.home.2001:db8:a00::-56");
    let mut line: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    line["at"] = (line["at"].as_i64().unwrap() - seconds * 1_000_000_000).into();
    fs::write(&file, format!("{line}\n")).unwrap();
}

fn current(daemon: &Daemon<'_>) -> Value {
    daemon.until("a status", |_| true)["dynamicPrefixes"][0].clone()
}

#[test]
fn a_hook_that_runs_before_the_daemon_is_heard() {
    let home = home();
    leave(&home, &[A, "--preferred", "600", "--valid", "900"]);
    assert_eq!(files(&home), ["control.sock.report.home.2001:db8:a00::-56"]);
    is_older(&home, 200);
    let mut daemon = home.start();
    // Whoever waits for the unit finds the prefix.
    let seen = current(&daemon);
    assert_eq!((&seen["currentPrefix"], &seen["prefixSource"]), (&A.into(), &"observed".into()));
    let left = |field: &str| {
        let until: Timestamp = seen[field].as_str().unwrap().parse().unwrap();
        clock::epoch().instant(until).saturating_since(clock::now()).as_secs()
    };
    assert!((350..=400).contains(&left("preferredUntil")), "{seen}");
    assert!((650..=700).contains(&left("validUntil")), "{seen}");
    let line = daemon.until_logged("A report was taken that waited for 3 min: home: 2001:db8:a00::/56 is in use from");
    assert!(line.contains("observed on none0, preferred for 3"), "{line}");
    assert!(files(&home).is_empty());
    // Again after a restart it is only remembered.
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    let mut again = home.start();
    assert_eq!(current(&again)["currentPrefix"], A);
    again.signal(Signal::SIGTERM);
    again.ended();
    assert!(!again.whole_log().iter().any(|line| line.contains("waited")), "{:?}", again.whole_log());
}

/// The last word of each prefix counts, in the order in which they came.
#[test]
fn what_came_later_counts() {
    let home = home();
    leave(&home, &[A, "--preferred", "600", "--valid", "900"]);
    leave(&home, &[B, "--preferred", "600", "--valid", "900"]);
    leave(&home, &[A, "--gone"]);
    assert_eq!(files(&home).len(), 2);
    let daemon = home.start();
    assert_eq!(current(&daemon)["currentPrefix"], B);
    drop(daemon);
    // Also of what was in use before: B ends while the daemon is away, and A comes back.
    leave(&home, &[B, "--gone"]);
    leave(&home, &[A]);
    let daemon = home.start();
    assert_eq!(current(&daemon)["currentPrefix"], A);
}

#[test]
fn what_cannot_be_taken_is_told_and_removed() {
    let home = home();
    let outcome = home.ask(&["report", "office", A, "--valid", "900"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    leave(&home, &[A, "--preferred", "600", "--valid", "900"]);
    is_older(&home, 1000);
    let run = home.path().join("run");
    let file = |name: &str| run.join(format!("control.sock.report.{name}.2001:db8:a00::-56"));
    fs::write(file("damaged"), "{").unwrap();
    symlink("/etc/passwd", file("link")).unwrap();
    let mut other_boot: Value = serde_json::from_str(&fs::read_to_string(file("home")).unwrap()).unwrap();
    other_boot["boot"] = "another".into();
    fs::write(file("other-boot"), format!("{other_boot}\n")).unwrap();
    let mut daemon = home.start();
    daemon.until_logged(
        "is dropped: there is no dynamicPrefix \"office\"; there are: home. Once that is mended, have the client report \
         again; it was `dyn-prefix report office 2001:db8:a00::/56 --valid 900`",
    );
    daemon
        .until_logged("home: a report of 2001:db8:a00::/56 is dropped: it waited for 17 min, and the prefix was valid");
    daemon.until_logged("is dropped: it was made before this boot");
    daemon.until_logged("report.damaged.2001:db8:a00::-56~taken.");
    let line = daemon.until_logged("report.link.2001:db8:a00::-56~taken.");
    assert!(line.contains("is not a regular file"), "{line}");
    assert!(current(&daemon)["currentPrefix"].is_null());
    assert!(files(&home).is_empty(), "{:?}", files(&home));
}

/// What makes no sense whatever the configuration says is refused at once.
#[test]
fn nonsense_is_not_left() {
    let home = home();
    let cases = [
        (&["home", "2001:db8:a00::1/56"][..], "2001:db8:a00::1/56 is an address in a prefix"),
        (&["home", A, "--preferred", "2", "--valid", "1"], "the preferred lifetime (2 s) cannot be longer than"),
        (&["../home", A], "no dynamicPrefix can have the name \"../home\""),
    ];
    for (arguments, sentence) in cases {
        let outcome = home.ask(&[&["report"], arguments].concat());
        assert!(outcome.stdout.is_empty() && outcome.stderr.contains(sentence), "{outcome:?}");
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
    }
    assert!(files(&home).is_empty());
}

/// Exit status 4 has both reasons; who has no right on the socket has none here.
#[test]
fn where_nothing_can_be_left_both_reasons_are_told() {
    let home = Home::new(&OBSERVED.replace("DIR/run", "DIR/no/run"));
    let outcome = home.ask(&["report", "home", A]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(4), ""));
    assert!(
        outcome.stderr.contains("; nor could the report be left for its next start: cannot open the directory DIR")
    );
    if nix::unistd::geteuid().is_root() {
        let home = self::home();
        let outcome = home.ask_as_nobody(&["report", "home", A]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(4), ""));
        assert!(outcome.stderr.starts_with(&format!("{AWAY}; nor could")), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("Permission denied"), "{}", outcome.stderr);
    }
}

/// As where nothing makes /run/dyn-prefix at boot.
#[test]
fn a_directory_that_is_not_there_is_made() {
    let home = Home::new(OBSERVED);
    leave(&home, &[A]);
    let daemon = home.start();
    assert_eq!(current(&daemon)["currentPrefix"], A);
}

/// The daemon's user reads and removes what root has left in its directory.
#[test]
fn what_root_leaves_is_for_the_user_of_the_daemon() {
    let home = home();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(home.path().join("run"), Some(65534), Some(65534)).unwrap();
    }
    leave(&home, &[A]);
    let daemon = home.start_as_nobody();
    assert_eq!(current(&daemon)["currentPrefix"], A);
    assert!(files(&home).is_empty());
}

/// A daemon that ends hangs up. Then another one may be there already: it is asked to look.
#[test]
fn a_report_at_a_restart_is_not_lost() {
    let home = home();
    let socket = home.path().join("run/control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let run = home.path().join("run");
    let daemon = std::thread::spawn(move || {
        let ask = |stream: UnixStream| {
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            (stream, line)
        };
        let (ending, first) = ask(listener.accept().unwrap().0);
        assert!(first.contains("\"command\":\"report\""), "{first}");
        drop(ending);
        let (mut started, second) = ask(listener.accept().unwrap().0);
        assert_eq!(second, "{\"command\":\"take-up-reports\"}\n");
        assert!(run.join("control.sock.report.home.2001:db8:a00::-56").exists(), "it asks once it lies there");
        started.write_all(b"{\"answer\":\"handled\",\"done\":[\"It has it.\"],\"left\":[]}\n").unwrap();
    });
    let outcome = home.ask(&["report", "home", A]);
    assert_eq!((outcome.code, outcome.stdout.as_str(), outcome.stderr.as_str()), (Some(0), "It has it.\n", ""));
    daemon.join().unwrap();
    // Nobody there at all.
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let outcome = home.ask(&["report", "home", B]);
    let sentence =
        "dyn-prefix is stopping: it hung up without an answer; the report waits in DIR/run/control.sock.report.";
    assert!(outcome.code == Some(0) && outcome.stdout.starts_with(sentence), "{outcome:?}");
    daemon.join().unwrap();
}

/// What came too late for the look at the start is taken up when somebody says so, once.
#[test]
fn a_daemon_that_has_looked_looks_again_when_it_is_asked() {
    let home = home();
    let daemon = home.start();
    let socket = home.path().join("run/control.sock");
    let ask = || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"{\"command\": \"take-up-reports\"}\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()
    };
    assert_eq!((&ask()["done"], &ask()["left"]), (&Value::Array(Vec::new()), &Value::Array(Vec::new())));
    for (name, prefix) in [("home", A), ("home", B), ("office", A)] {
        let (name, prefix) = (name.to_owned(), prefix.parse().unwrap());
        let report = Report { name, prefix, preferred: None, valid: None, excluded: Vec::new(), gone: false };
        Spool::make(&socket).unwrap().leave(report, clock::now()).unwrap();
    }
    let answer = ask();
    assert_eq!(answer["done"].as_array().unwrap().len(), 2, "{answer}");
    assert!(answer["left"][0].as_str().unwrap().starts_with("there is no dynamicPrefix \"office\""), "{answer}");
    assert!(!current(&daemon)["currentPrefix"].is_null());
    assert!(files(&home).is_empty());
    assert_eq!(ask()["done"], Value::Array(Vec::new()), "nothing is taken twice");
}

/// Hooks that run while the daemon starts: each prefix is taken once, whoever is first.
#[test]
fn no_report_is_lost_while_the_daemon_starts() {
    // Fewer than root may have connections.
    const HOOKS: usize = 12;
    let home = home();
    let prefix = |number: usize| format!("2001:db8:{:x}::/48", number + 1);
    let (mut daemon, answers) = std::thread::scope(|scope| {
        let hook = |number| {
            let home = &home;
            scope.spawn(move || home.ask(&["report", "home", &prefix(number), "--valid", "900"]))
        };
        let hooks: Vec<_> = (0..HOOKS).map(hook).collect();
        let daemon = home.start();
        (daemon, hooks.into_iter().map(|hook| hook.join().unwrap()).collect::<Vec<_>>())
    });
    assert!(files(&home).is_empty(), "{:?}", files(&home));
    daemon.signal(Signal::SIGTERM);
    daemon.ended();
    for (number, outcome) in answers.into_iter().enumerate() {
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{}", outcome.stdout);
        let told = format!("home: {} is ", prefix(number));
        let lines = daemon.whole_log().iter().filter(|line| line.contains("A report was taken that waited"));
        let waited = lines.filter(|line| line.contains(&told)).count();
        assert!(waited == 1 || (waited == 0 && outcome.stdout.starts_with(&told)), "{waited}: {}", outcome.stdout);
    }
}

/// The mode is what keeps it to the daemon's user and root.
#[test]
fn others_may_not_look() {
    let home = home();
    leave(&home, &[A]);
    let file = home.path().join("run").join(&files(&home)[0]);
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}
