//! Routes of delegations that the packets do not name: left over, or of another IA_PD that is renewed in its own time.

use super::netlink::{networkd, new, numbered, seed};
use super::world::*;
use crate::source::dhcpv6::wire::ClientMessage;
use crate::source::observe::Observer;

/// Routes of A and B, whatever else, and the client renews B alone at 1000, for 2000 and 4000 s.
fn with_b_renewed(is_known: bool, is_numbered: bool) -> Observer {
    let mut observer = observer();
    if is_known {
        observer.seed(&[seed(A)], at(0));
    }
    observer.handle_dump(&[new(networkd(A)), new(networkd(B))], at(1));
    if is_numbered {
        observer.handle_events(&[numbered(8, "2001:db8:b:1::1", 9000, 9000)], at(2));
    }
    renews(&mut observer, 1, B, at(1000));
    observer
}

fn renews(observer: &mut Observer, iaid: u32, prefix: &str, now: crate::time::Instant) {
    let xid = u8::try_from(now.as_nanos() / 100_000_000_000 % 250).unwrap();
    observer.sends(&asked(ClientMessage::Renew, xid, &[(iaid, &[prefix])]), now);
    observer.gets(&reply(xid, vec![ia(iaid, &[(prefix, 2000, 4000)])]), now);
}

fn holds(observer: &Observer, prefix: &str) -> bool {
    observer.usable().iter().any(|usable| usable == prefix)
}

#[test]
fn a_route_that_is_left_over_ends_when_the_client_would_have_renewed_it() {
    for is_known in [true, false] {
        let mut observer = with_b_renewed(is_known, false);
        renews(&mut observer, 1, B, at(2000));
        observer.wait_until(at(2999));
        assert!(holds(&observer, A), "it may be a second IA_PD, known: {is_known}");
        for time in [3000, 3001, 3900, 5900] {
            observer.wait_until(at(time));
            assert_eq!(observer.usable(), [B], "{time}, known: {is_known}");
        }
        // It comes back by what is new.
        renews(&mut observer, 2, A, at(5950));
        assert!(holds(&observer, A));
    }
}

#[test]
fn a_route_that_is_not_in_use_beside_the_one_that_is_speaks_for_no_former_run() {
    let mut observer = with_b_renewed(true, true);
    observer.wait_until(at(1009));
    assert!(holds(&observer, A));
    for time in [1010, 2000, 4900] {
        observer.wait_until(at(time));
        assert_eq!(observer.usable(), [B], "{time}");
    }
}

#[test]
fn two_that_are_renewed_apart_survive_each_other() {
    for is_known in [true, false] {
        let mut observer = with_b_renewed(is_known, false);
        for round in 0..4 {
            renews(&mut observer, 2, A, at(1500 + 1000 * round));
            renews(&mut observer, 1, B, at(2000 + 1000 * round));
            observer.wait_until(at(2100 + 1000 * round));
            assert!(holds(&observer, A) && holds(&observer, B), "round {round}, known: {is_known}");
        }
    }
}

/// Its Renew could not have been seen.
#[test]
fn a_route_is_not_in_doubt_across_a_time_without_packets() {
    let mut observer = with_b_renewed(false, false);
    observer.handle_failure(Some("Cannot open a packet socket.".to_owned()), at(1100));
    observer.handle_failure(None, at(1200));
    observer.wait_until(at(3100));
    assert!(holds(&observer, A));
    renews(&mut observer, 1, B, at(3200));
    observer.wait_until(at(5200));
    assert_eq!(observer.usable(), [B]);
}

/// Nobody numbers interfaces from what is not held.
#[test]
fn a_route_from_which_interfaces_are_numbered_is_not_given_up() {
    let mut observer = with_b_renewed(false, false);
    observer.handle_events(&[numbered(8, "2001:db8:a:1::1", 9000, 9000)], at(1001));
    observer.wait_until(at(3100));
    assert!(holds(&observer, A));
}
