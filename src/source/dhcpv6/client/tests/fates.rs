//! What becomes of leases when servers, links and settings do what they rarely do.

use ClientMessage::{Rebind, Release, Renew, Request, Solicit};

use super::answer::*;
use super::world::*;
use crate::source::dhcpv6::client::Client;
use crate::source::dhcpv6::wire::{ClientMessage, IaPd, ServerMessage};
use crate::source::dhcpv6::{AddressLease, Duid, DuidSetting, Memory, Settings};
use crate::source::link::LinkState;
use crate::source::{Cut, SourceState};
use crate::time::Deadline;

fn is_pending(world: &World) -> bool {
    world.report().pending.contains("home")
}

#[test]
fn sources_of_lower_rank_do_not_wait_for_a_link_that_stays_down() {
    let mut world = World::absent(settings(), Memory::new(our_duid()), 1, START);
    world.link(Some(down()));
    world.run(secs(59.0));
    assert!(is_pending(&world), "it may come up yet");
    world.run(secs(2.0));
    assert!(!is_pending(&world), "nothing is held, and nothing can be asked");
    world.link(Some(up()));
    assert!(is_pending(&world), "now it is asked");
    world.run(secs(61.0));
    assert!(!is_pending(&world), "in vain");
}

#[test]
fn a_lease_that_ends_while_the_link_is_down_leaves_the_field() {
    let mut world = World::bound();
    world.link(Some(down()));
    world.run(secs(199.0));
    assert!(is_pending(&world), "a lease that is held is used to its end");
    world.run(secs(2.0));
    assert!(world.alive().is_empty() && !is_pending(&world));
}
