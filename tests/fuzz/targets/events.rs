//! Random sequences of events.

#![no_main]
#![expect(dead_code, reason = "each target uses a part of what they share")]

#[path = "../bodies/events.rs"]
mod events;
#[path = "../bodies/play.rs"]
mod play;
#[path = "../bodies/watch.rs"]
mod watch;

libfuzzer_sys::fuzz_target!(|input: &[u8]| events::check(input));
