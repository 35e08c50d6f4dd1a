//! One datagram, read as from a server and as from a client.

#![no_main]

#[path = "../bodies/decode.rs"]
mod decode;

libfuzzer_sys::fuzz_target!(|datagram: &[u8]| decode::check(datagram));
