//! OPTION_AUTH with RKAP.

use super::*;

const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// HMAC-MD5 of [`reconfigure`] with [`KEY`], by Python's hmac and hashlib.
const DIGEST: [u8; 16] =
    [0xfb, 0x87, 0x45, 0xd1, 0x9c, 0x5a, 0x51, 0x08, 0xe7, 0x83, 0x64, 0x9e, 0x34, 0xcd, 0x08, 0x41];

fn information(protocol: u8, algorithm: u8, rdm: u8, replay: u64, information: &[u8]) -> Vec<u8> {
    option(11, &[&[protocol, algorithm, rdm][..], &replay.to_be_bytes(), information].concat())
}

/// A Reconfigure for a Renew: options in no order (19, 2, 11, 1).
fn reconfigure(digest: [u8; 16]) -> Vec<u8> {
    let client = [0, 4, 1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef];
    let options = [
        option(19, &[5]),
        option(2, &[0, 3, 0, 1, 2, 0, 0x5e, 0x10, 0, 1]),
        information(3, 1, 0, 1, &[&[2][..], &digest].concat()),
        option(1, &client),
    ];
    [vec![10, 0, 0, 0], options.concat()].concat()
}

#[test]
fn a_digest_is_verified_over_the_octets_as_they_came() {
    let datagram = reconfigure(DIGEST);
    assert!(verify(&datagram, &KEY));
    let expected = Some(Authentication::rkap(1, Rkap::Digest(DIGEST)));
    assert_eq!(decode(&datagram).expect("in order").authentication, expected);
}

#[test]
fn a_wrong_digest_is_not_verified() {
    let datagram = reconfigure(DIGEST);
    let mut other = KEY;
    other[15] ^= 1;
    assert!(!verify(&datagram, &other));
    assert!(!verify(&reconfigure([0; 16]), &KEY));
    // Whatever bit is turned, digest or not.
    for at in 0..datagram.len() {
        let mut changed = datagram.clone();
        changed[at] ^= 0x10;
        assert!(!verify(&changed, &KEY), "octet {at}");
    }
}

#[test]
fn without_a_digest_nothing_is_verified() {
    assert!(!verify(&[], &KEY));
    assert!(!verify(&message(RECONFIGURE, &[option(19, &[5])]), &KEY));
    assert!(!verify(&message(RECONFIGURE, &[information(3, 1, 0, 1, &[&[1][..], &KEY].concat())]), &KEY));
    let mut twice = reconfigure(DIGEST);
    twice.extend(information(3, 1, 0, 2, &[&[2][..], &DIGEST].concat()));
    assert!(!server::sign(&mut twice, &KEY));
    assert!(!verify(&twice, &KEY));
}

#[test]
fn a_server_signs_what_clients_verify() {
    let mut datagram = reconfigure([0xff; 16]);
    assert!(server::sign(&mut datagram, &KEY));
    assert_eq!(datagram, reconfigure(DIGEST));
    assert!(!server::sign(&mut message(RECONFIGURE, &[option(19, &[5])]), &KEY));
}

#[test]
fn only_what_rkap_defines_is_taken_for_it() {
    let read = |octets: Vec<u8>| reply(&[octets]).authentication.expect("there is one");
    let key = [&[1][..], &KEY].concat();
    assert_eq!(read(information(3, 1, 0, 7, &key)), Authentication::rkap(7, Rkap::Key(KEY)));
    for octets in [
        information(2, 1, 0, 7, &key),
        information(3, 2, 0, 7, &key),
        information(3, 1, 1, 7, &key),
        information(3, 1, 0, 7, &[&[0][..], &KEY].concat()),
        information(3, 1, 0, 7, &[&[3][..], &KEY].concat()),
        information(3, 1, 0, 7, &key[..16]),
        information(3, 1, 0, 7, &[&key[..], &[0]].concat()),
        information(3, 1, 0, 7, &[]),
    ] {
        let read = read(octets);
        assert_eq!((read.rkap, read.replay), (None, 7));
    }
}

#[test]
fn a_key_is_not_printed() {
    let printed = format!("{:?}", Authentication::rkap(7, Rkap::Key(KEY)));
    assert!(printed.contains("Key(…)") && !printed.contains("15"), "{printed}");
}
