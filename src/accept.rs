//! Accepts connections, whatever happens: a host that has no file descriptor left for one connection has none for a
//! moment, and the daemon does its work meanwhile.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;

use crate::clock;
use crate::log::{self, Entry, record};
use crate::time::Instant;

/// The pause after a connection could not be accepted. The connection waits in the kernel.
const PAUSE: Duration = Duration::from_millis(100);

/// How often that is told of.
const REMINDER: Duration = Duration::from_secs(3600);

/// Accepts the connections of one socket.
#[derive(Debug)]
pub struct Acceptor {
    trouble: Trouble,
    /// Until when nothing is accepted. Kept, as whoever waits may begin anew at any time.
    again_at: Option<tokio::time::Instant>,
}

impl Acceptor {
    /// For the socket that the journal calls so.
    pub const fn new(socket: &'static str) -> Self {
        Self { trouble: Trouble::new(socket), again_at: None }
    }

    /// The next connection, of the `poll_accept` of a listener. Loses nothing when it is dropped while it waits.
    pub async fn next<S>(&mut self, mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<S>>) -> S {
        loop {
            if let Some(at) = self.again_at {
                tokio::time::sleep_until(at).await;
                self.again_at = None;
            }
            match std::future::poll_fn(&mut accept).await {
                Ok(stream) => {
                    self.trouble.end().iter().for_each(log::emit);
                    return stream;
                }
                Err(error) if is_of_one_client(&error) => {}
                Err(error) => {
                    self.trouble.handle_error(&error, clock::now()).iter().for_each(log::emit);
                    self.again_at = Some(tokio::time::Instant::now() + PAUSE);
                }
            }
        }
    }
}

/// Whether it is over with the one connection that it is about: who hung up, or an error of the network that Linux hands
/// on (accept(2)).
fn is_of_one_client(error: &io::Error) -> bool {
    let errors = [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
    ];
    Errno::from_io_error(error).is_some_and(|errno| errors.contains(&errno))
}

/// That nothing can be accepted, and what of that was told.
#[derive(Debug)]
struct Trouble {
    socket: &'static str,
    told_at: Option<Instant>,
    /// That it fails was told, and not yet that it works again.
    is_told: bool,
}

impl Trouble {
    const fn new(socket: &'static str) -> Self {
        Self { socket, told_at: None, is_told: false }
    }

    /// It fails. What to log: nothing when that was logged less than an hour ago, whatever came between.
    fn handle_error(&mut self, error: &io::Error, now: Instant) -> Option<Entry> {
        if self.told_at.is_some_and(|at| now.saturating_since(at) < REMINDER) {
            return None;
        }
        self.told_at = Some(now);
        self.is_told = true;
        Some(record::not_accepting(self.socket, &error.to_string(), advice(error)))
    }

    /// It works. What to log, if it was told that it does not.
    fn end(&mut self) -> Option<Entry> {
        std::mem::take(&mut self.is_told).then(|| record::accepting(self.socket))
    }
}

fn advice(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => {
            "This process has as many files open as it may: `ls -l /proc/$(pidof dyn-prefix)/fd` shows them, and \
             LimitNOFILE= of the unit says how many there may be (`systemctl edit dyn-prefix`)."
        }
        Some(Errno::NFILE) => {
            "All programs of this host have as many files open as they may together: `sysctl fs.file-nr` shows how many \
             these are; end what has so many open, or raise fs.file-max."
        }
        Some(Errno::NOMEM | Errno::NOBUFS) => "This host has no memory left: `free` and `ps aux --sort=-rss` show why.",
        _ => "See `journalctl -k` for what the kernel says of it.",
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn error(errno: Errno) -> io::Error {
        errno.into()
    }

    #[test]
    fn it_is_told_once_an_hour_and_once_when_it_is_over() {
        let mut trouble = Trouble::new("the control socket");
        let told = |trouble: &mut Trouble, at| trouble.handle_error(&error(Errno::MFILE), Instant::from_secs(at));
        let first = told(&mut trouble, 10).expect("the first time");
        for part in ["control socket", "Too many open files", "LimitNOFILE="] {
            assert!(first.message.contains(part), "{first:?}");
        }
        assert_eq!(told(&mut trouble, 11), None);
        assert_eq!(told(&mut trouble, 3609), None);
        assert!(told(&mut trouble, 3610).is_some(), "it lasts");
        assert!(trouble.end().is_some());
        assert_eq!(trouble.end(), None);
        // One that comes and goes is no story of its own each time.
        assert_eq!((told(&mut trouble, 3700), trouble.end()), (None, None));
        assert!(told(&mut trouble, 7210).is_some());
    }

    /// The time of tokio stands still, so that a pause is over as soon as everybody waits.
    #[tokio::test(start_paused = true)]
    async fn after_a_pause_it_is_tried_again_and_at_once_when_only_one_client_is_gone() {
        let outcomes = RefCell::new(vec![Ok(7), Err(Errno::MFILE), Err(Errno::CONNABORTED), Err(Errno::NOMEM)]);
        let accept =
            |_: &mut Context<'_>| Poll::Ready(outcomes.borrow_mut().pop().unwrap_or(Ok(8)).map_err(io::Error::from));
        let mut acceptor = Acceptor::new("the control socket");
        let start = tokio::time::Instant::now();
        // Whoever looks for something else meanwhile must not make it busy.
        let early = tokio::time::timeout(PAUSE / 2, acceptor.next(accept)).await;
        assert!(early.is_err() && outcomes.borrow().len() == 3);
        let early = tokio::time::timeout(PAUSE / 4, acceptor.next(accept)).await;
        assert!(early.is_err() && outcomes.borrow().len() == 3, "not yet");
        assert_eq!(acceptor.next(accept).await, 7);
        assert_eq!(start.elapsed(), PAUSE * 2);
        assert_eq!(acceptor.next(accept).await, 8);
    }
}
