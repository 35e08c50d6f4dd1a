//! Messages here are written as octets from RFC 9915 §8 and §21, not by our encoders, unless a test is about those.

use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::*;

mod authentication;
mod content;
mod duids;
mod exclusions;
mod hostile;
mod outgoing;
mod properties;
mod reference;

const ADVERTISE: u8 = 2;
const REPLY: u8 = 7;
const RECONFIGURE: u8 = 10;

const XID: TransactionId = [0xab, 0xcd, 0xef];

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

/// option-code, option-len, option-data (RFC 9915 §21.1).
fn option(code: u16, data: &[u8]) -> Vec<u8> {
    let mut octets = code.to_be_bytes().to_vec();
    octets.extend(u16::try_from(data.len()).expect("a length of 16 bits").to_be_bytes());
    octets.extend(data);
    octets
}

/// msg-type, transaction-id, options (RFC 9915 §8).
fn message(kind: u8, options: &[Vec<u8>]) -> Vec<u8> {
    let mut octets = vec![kind, 0xab, 0xcd, 0xef];
    octets.extend(options.concat());
    octets
}

/// IAID, T1, T2, options (RFC 9915 §21.21).
fn ia_pd(iaid: u32, options: &[Vec<u8>]) -> Vec<u8> {
    option(25, &[numbers(&[iaid, 60, 96]), options.concat()].concat())
}

/// Preferred and valid lifetime, length, prefix, options (RFC 9915 §21.22).
fn ia_prefix(prefix: &str, length: u8, options: &[Vec<u8>]) -> Vec<u8> {
    option(26, &[numbers(&[120, 300]), vec![length], ip(prefix).octets().to_vec(), options.concat()].concat())
}

fn numbers(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

fn status(code: u16, text: &[u8]) -> Vec<u8> {
    option(13, &[&code.to_be_bytes()[..], text].concat())
}

fn reply(options: &[Vec<u8>]) -> Incoming {
    decode(&message(REPLY, options)).expect("a message that is in order")
}

fn refused(options: &[Vec<u8>]) -> Malformed {
    decode(&message(REPLY, options)).expect_err("a message that is malformed")
}
