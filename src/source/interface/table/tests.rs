use super::*;
use crate::source::Cut;
use crate::source::interface::addresses::Detection;
use crate::time::Deadline;

mod absence;
mod meaning;

const A: &str = "2001:db8:a::/64";
const B: &str = "2001:db8:b::/64";
const A1: &str = "2001:db8:a::1/64";
const B1: &str = "2001:db8:b::1/64";

/// A table on an interface, and its time.
struct Lab {
    table: Table,
    now: Instant,
    addresses: Vec<Address>,
}

fn at(seconds: i64) -> Instant {
    Instant::from_secs(seconds)
}

fn interest(delegated_length: Option<u8>) -> Interest {
    Interest { name: "home".to_owned(), filter: PrefixFilter::default(), delegated_length }
}

fn link(ifindex: u32, up: bool) -> Option<LinkState> {
    Some(LinkState { ifindex, up, mac: None, addresses: Vec::new() })
}

/// An address with lifetimes in seconds from `now` on; `None`: it lives for ever.
fn address(text: &str, now: Instant, left: Option<(u32, u32)>) -> Address {
    let net: Ipv6Net = text.parse().expect("an address with a prefix length");
    let (preferred, valid) = left.unwrap_or((Deadline::INFINITY, Deadline::INFINITY));
    Address {
        address: net.addr(),
        prefix_len: net.prefix_len(),
        preferred_until: Deadline::after(now, preferred),
        valid_until: Deadline::after(now, valid),
        deprecated: preferred == 0,
        temporary: false,
        detection: Detection::Passed,
    }
}

impl Lab {
    /// Up since second 0, without an address.
    fn new(interests: Vec<Interest>) -> Self {
        let mut lab = Self {
            table: Table::new(Settings { interface: "br-lan".to_owned(), interests }),
            now: at(0),
            addresses: Vec::new(),
        };
        lab.table.handle_link(link(2, true), lab.now);
        lab.table.handle_addresses(&[], lab.now);
        lab
    }

    /// Lets time pass as a driver would: what is due happens when it is due.
    fn advance_to(&mut self, seconds: i64) {
        while let Some((due, _)) = self.table.poll_timeout().filter(|(due, _)| *due <= at(seconds)) {
            self.now = self.now.max(due);
            self.table.handle_timeout(self.now);
        }
        self.now = at(seconds);
    }

    fn link(&mut self, seconds: i64, link: Option<LinkState>) {
        self.advance_to(seconds);
        self.table.handle_link(link, self.now);
    }

    /// The interface has `address` from now on, or has it with other lifetimes.
    fn add(&mut self, seconds: i64, text: &str, left: Option<(u32, u32)>) {
        self.change(seconds, address(text, at(seconds), left));
    }

    fn change(&mut self, seconds: i64, address: Address) {
        self.advance_to(seconds);
        self.addresses.retain(|known| known.address != address.address);
        self.addresses.push(address);
        self.table.handle_addresses(&self.addresses, self.now);
    }

    fn remove(&mut self, seconds: i64, text: &str) {
        self.advance_to(seconds);
        let net: Ipv6Net = text.parse().expect("an address with a prefix length");
        self.addresses.retain(|known| known.address != net.addr());
        self.table.handle_addresses(&self.addresses, self.now);
    }

    fn offer(&self, prefix: &str) -> Option<Offer> {
        self.table.report().offers.into_iter().find(|offer| offer.prefix.to_string() == prefix)
    }

    fn cut(&self, prefix: &str) -> Option<Cut> {
        self.offer(prefix).expect("it is offered").cut
    }

    fn state(&self) -> SourceState {
        self.table.report().state
    }
}
