//! The journal of the unit, from a moment on.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};

use serde_json::Value;

use super::guest::{Guest, SOON, UNIT};

/// `journalctl -f -o json`; it ends with the value.
#[derive(Debug)]
pub(crate) struct Journal {
    reader: Child,
    lines: Receiver<Value>,
    seen: Vec<Value>,
}

impl Journal {
    /// Everything from now on, what systemd itself says about the unit included.
    pub(crate) fn follow(guest: &Guest) -> Self {
        let said = guest.done(&["journalctl", "-n", "1", "--show-cursor", "-q"]);
        let cursor = said.lines().find_map(|line| line.strip_prefix("-- cursor: ")).expect("a cursor").to_owned();
        let mut command =
            guest.command(&["journalctl", "-u", UNIT, "-f", "-o", "json", "--no-tail", "--after-cursor", &cursor]);
        let mut reader = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("journalctl");
        let stream = reader.stdout.take().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if serde_json::from_str(&line).is_ok_and(|entry| sender.send(entry).is_err()) {
                    return;
                }
            }
        });
        Self { reader, lines, seen: Vec::new() }
    }

    /// Waits for an entry that was not asked for before, and returns it.
    pub(crate) fn until(&mut self, what: &str, wish: impl Fn(&Value) -> bool) -> Value {
        let mut asked = 0;
        loop {
            while asked < self.seen.len() {
                if wish(&self.seen[asked]) {
                    return self.seen.remove(asked);
                }
                asked += 1;
            }
            match self.lines.recv_timeout(SOON) {
                Ok(entry) => self.seen.push(entry),
                Err(error) => {
                    let messages: Vec<&str> = self.seen.iter().filter_map(|entry| entry["MESSAGE"].as_str()).collect();
                    panic!("{what}: {error}; the journal has {messages:#?}");
                }
            }
        }
    }

    /// Waits for an entry with this text in its message.
    pub(crate) fn says(&mut self, text: &str) -> Value {
        self.until(text, |entry| entry["MESSAGE"].as_str().is_some_and(|message| message.contains(text)))
    }

    /// Whether there was an entry with this text, of those that were waited for or came before.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.seen.iter().any(|entry| entry["MESSAGE"].as_str().is_some_and(|message| message.contains(text)))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.reader.kill());
        drop(self.reader.wait());
    }
}
