//! `run --record`, and the replay of what it wrote. Real lines are recorded by `tests/interop`.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;

use nix::sys::signal::Signal;

use super::home::{FIXED, Home};

const RECORD: [&str; 2] = ["--record", "record"];

/// The places of these texts in the output, which have to be in this order.
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let place = rest.find(part).unwrap_or_else(|| panic!("{part:?} is not there, or not in this order:\n{text}"));
        rest = &rest[place + part.len()..];
    }
}

#[test]
fn a_record_has_reloads_and_restarts_and_the_state_between_them() {
    let home = Home::new(FIXED);
    let mut daemon = home.start_with(&RECORD);
    home.configure(&FIXED.replace("2001:db8:1::/56", "2001:db8:2::/56"));
    assert_eq!(home.ask(&["reload"]).code, Some(0));
    home.configure(&format!("{FIXED}\n[daemno]\n"));
    assert_eq!(home.ask(&["reload"]).code, Some(78), "what is refused is no input");
    home.configure(&FIXED.replace("2001:db8:1::/56", "2001:db8:2::/56"));
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    drop(home.start_with(&RECORD));
    let mode = std::fs::metadata(home.path().join("record")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it has the keys of the line");

    let replay = home.run(&["replay", "record"]);
    assert_eq!((replay.code, replay.stderr.as_str()), (Some(0), ""));
    in_order(
        &replay.stdout,
        &[
            "starts; it writes as test.\n",
            "home: 2001:db8:1::/56 is the prefix (static, generation 1)",
            "| home  2001:db8:1::/56 from static, generation 1\n",
            "|     2001:db8:1:0:f000::-2001:db8:1:0:f000::ffff\n",
            "Read c.toml again; the new configuration is in use.\n",
            "home: 2001:db8:2::/56 takes the place of 2001:db8:1::/56 (static, generation 2)",
            "|   (former)  2001:db8:1::/56  draining until TIME (Replaced)\n",
            "The daemon was stopped.\n",
            // The next one remembers.
            "starts; it writes as test.\n",
            "| home  2001:db8:2::/56 from static, generation 2\n",
            "|   (former)  2001:db8:1::/56  draining until TIME (Replaced)\n",
        ],
    );
    assert_eq!(home.run(&["replay", "record"]), replay, "the same again");
}

#[test]
fn a_record_that_cannot_be_written_is_told_before_anything_runs() {
    let home = Home::new(FIXED);
    let outcome = home.ask(&["run", "--record", "absent/record"]);
    assert_eq!(outcome.code, Some(1));
    let expected =
        "cannot write the record absent/record (--record); its directory must exist and be writable: No such file";
    assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
    let help = home.run(&["help", "run"]).stdout;
    for part in ["--record <FILE>", "keys", "only its owner"] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

#[test]
fn a_full_disk_ends_the_record_and_nothing_else() {
    let home = Home::new(FIXED);
    let mut daemon = home.start_with_small_files(&RECORD);
    for _ in 0..8 {
        assert_eq!(home.ask(&["reload"]).code, Some(0));
    }
    daemon.until_logged("The record record ends here: it cannot be written to (File too large (os error 27))");
    assert_eq!(home.ask(&["reload"]).code, Some(0), "the daemon goes on");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    let told = daemon.whole_log().iter().filter(|line| line.contains("ends here")).count();
    assert_eq!(told, 1);
    let replay = home.run(&["replay", "record"]);
    assert_eq!(replay.code, Some(0));
    assert!(replay.stderr.contains("this line was cut off, by a crash or a full disk"), "{}", replay.stderr);
    in_order(&replay.stdout, &["starts", "2001:db8:1::/56 is the prefix", "Read c.toml again"]);
}

/// Answers everyone who asks with this address.
fn service(address: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let length = address.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{address}");
            let _question = stream.read(&mut [0; 2048]);
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    port
}

#[test]
fn what_a_service_answered_and_what_auto_came_to_is_replayed() {
    let port = service("2001:db8:a:1::5");
    let http = format!("http = {{ url = \"http://[::1]:{port}/?token=secret\", prefixLength = 56 }}");
    let other = "[[dynamicPrefix]]\nname = \"other\"\nacquisition.auto = { interface = \"none0\" }\n\n[[binding]]\n";
    let text = FIXED.replace("static.prefix = \"2001:db8:1::/56\"", &http).replacen("[[binding]]\n", other, 1);
    let home = Home::new(&text);
    let mut daemon = home.start_with(&RECORD);
    daemon.until("it was answered", |status| status["dynamicPrefixes"][0]["currentPrefix"] == "2001:db8:a::/56");
    let waits = "other: acquisition.auto has not chosen a source yet: there is no interface none0 yet.";
    daemon.until_logged(waits);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    let replay = home.run(&["replay", "record"]);
    assert_eq!((replay.code, replay.stderr.as_str()), (Some(0), ""));
    let source = format!("(http from http://[::1]:{port}/?…, generation 1)");
    in_order(
        &replay.stdout,
        &[
            " > the question for the address of this host\n",
            &format!("home: 2001:db8:a::/56 is the prefix {source}"),
            "The daemon was stopped.\n",
        ],
    );
    assert!(replay.stdout.contains(waits), "{}", replay.stdout);
    assert!(!replay.stdout.contains("secret"), "{}", replay.stdout);
}
