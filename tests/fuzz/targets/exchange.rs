//! One datagram in each state of the client.

#![no_main]
#![expect(dead_code, reason = "each target uses a part of what they share")]

#[path = "../bodies/exchange.rs"]
mod exchange;
#[path = "../bodies/play.rs"]
mod play;
#[path = "../bodies/watch.rs"]
mod watch;

libfuzzer_sys::fuzz_target!(|input: &[u8]| exchange::check(input));
