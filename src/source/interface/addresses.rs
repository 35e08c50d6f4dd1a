//! The IPv6 addresses of one interface, as netlink tells of them. Pure.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo};

use crate::source::link::own_address;
use crate::time::{Deadline, Instant};

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub address: Ipv6Addr,
    /// The length of the prefix that is on the link with it; 128: none is.
    pub prefix_len: u8,
    /// The end of its preferred lifetime.
    pub preferred_until: Deadline,
    /// The end of its valid lifetime.
    pub valid_until: Deadline,
    /// The kernel says that nothing new may use it.
    pub deprecated: bool,
    /// It is one of those that change for privacy's sake (RFC 8981); its lifetimes are shorter than its prefix's.
    pub temporary: bool,
    /// How far duplicate address detection is (RFC 4862 §5.4).
    pub detection: Detection,
}

/// How far duplicate address detection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// The address may be used: nobody else has it, or it is optimistic (RFC 4429).
    Passed,
    /// It is being looked for.
    Running,
    /// Somebody else has it.
    Failed,
}

impl Address {
    /// The prefix that it is in.
    pub fn prefix(&self) -> Option<Ipv6Net> {
        Ipv6Net::new(self.address, self.prefix_len).ok().map(|net| net.trunc())
    }
}

/// The addresses of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    ifindex: u32,
    known: BTreeMap<Ipv6Addr, Address>,
    /// Those that the kernel has taken away because somebody else has them, and of which nobody was told yet.
    duplicates: Vec<Address>,
}

impl Addresses {
    /// Of the interface with this index, none yet.
    pub fn of(ifindex: u32) -> Self {
        Self { ifindex, ..Self::default() }
    }

    /// Takes one netlink message; those that are not about IPv6 addresses of this interface change nothing. True: it
    /// was about one.
    pub fn apply(&mut self, message: &RouteNetlinkMessage, now: Instant) -> bool {
        // An `if let` per kind: the enum has dozens, and grows.
        if let RouteNetlinkMessage::NewAddress(message) = message {
            return self.add(message, now);
        }
        if let RouteNetlinkMessage::DelAddress(message) = message {
            return self.remove(message, now);
        }
        false
    }

    fn add(&mut self, message: &AddressMessage, now: Instant) -> bool {
        let own = own_address(message).filter(|_| message.header.index == self.ifindex);
        let Some(address) = own.map(|address| read(address, message, now)) else { return false };
        self.known.insert(address.address, address);
        true
    }

    fn remove(&mut self, message: &AddressMessage, now: Instant) -> bool {
        let own = own_address(message).filter(|_| message.header.index == self.ifindex);
        let Some(address) = own.filter(|address| self.known.remove(address).is_some()) else { return false };
        let address = read(address, message, now);
        // One that does not end stays where it is, until somebody removes it.
        let is_duplicate = address.detection == Detection::Failed && address.valid_until != Deadline::Never;
        self.duplicates.extend(is_duplicate.then_some(address));
        true
    }

    /// All of them, ascending.
    pub fn to_vec(&self) -> Vec<Address> {
        self.known.values().copied().collect()
    }

    /// The same, and once those that were taken away because somebody else has them.
    pub fn tell(&mut self) -> Vec<Address> {
        let duplicates = std::mem::take(&mut self.duplicates);
        self.known.values().copied().chain(duplicates).collect()
    }
}

/// The lifetimes are those that are left at this moment, not those that the address was given.
fn read(address: Ipv6Addr, message: &AddressMessage, now: Instant) -> Address {
    let flags = flags(message);
    let lifetimes = lifetimes(message);
    Address {
        address,
        prefix_len: message.header.prefix_len,
        preferred_until: lifetimes.map_or(Deadline::Never, |left| Deadline::after(now, left.ifa_preferred)),
        valid_until: lifetimes.map_or(Deadline::Never, |left| Deadline::after(now, left.ifa_valid)),
        deprecated: flags.contains(AddressFlags::Deprecated) || lifetimes.is_some_and(|left| left.ifa_preferred == 0),
        temporary: flags.contains(AddressFlags::Secondary),
        detection: if flags.contains(AddressFlags::Dadfailed) {
            Detection::Failed
        } else if flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic) {
            Detection::Running
        } else {
            Detection::Passed
        },
    }
}

/// Kernels before 3.14 know only the eight flags of the header.
fn flags(message: &AddressMessage) -> AddressFlags {
    let find = |attribute: &AddressAttribute| {
        if let AddressAttribute::Flags(flags) = attribute { Some(*flags) } else { None }
    };
    let of_header = || AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    message.attributes.iter().find_map(find).unwrap_or_else(of_header)
}

fn lifetimes(message: &AddressMessage) -> Option<CacheInfo> {
    let find = |attribute: &AddressAttribute| {
        if let AddressAttribute::CacheInfo(info) = attribute { Some(*info) } else { None }
    };
    message.attributes.iter().find_map(find)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use netlink_packet_route::AddressFamily;

    use super::*;

    fn at(seconds: i64) -> Instant {
        Instant::from_secs(seconds)
    }

    fn message(index: u32, address: &str, flags: AddressFlags, left: Option<(u32, u32)>) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet6;
        message.header.index = index;
        message.header.prefix_len = 64;
        let address = IpAddr::V6(address.parse().expect("an address"));
        message.attributes = vec![AddressAttribute::Address(address), AddressAttribute::Flags(flags)];
        if let Some((preferred, valid)) = left {
            let mut info = CacheInfo::default();
            info.ifa_preferred = preferred;
            info.ifa_valid = valid;
            message.attributes.push(AddressAttribute::CacheInfo(info));
        }
        message
    }

    fn read_one(flags: AddressFlags, left: Option<(u32, u32)>) -> Address {
        let mut addresses = Addresses::of(2);
        let message = message(2, "2001:db8::5", flags, left);
        assert!(addresses.apply(&RouteNetlinkMessage::NewAddress(message), at(100)));
        addresses.to_vec()[0]
    }

    #[test]
    fn lifetimes_count_from_the_moment_of_the_message() {
        let address = read_one(AddressFlags::empty(), Some((60, 600)));
        assert_eq!(address.prefix().expect("a prefix").to_string(), "2001:db8::/64");
        assert_eq!((address.preferred_until, address.valid_until), (Deadline::At(at(160)), Deadline::At(at(700))));
        assert!(!address.deprecated && !address.temporary && address.detection == Detection::Passed);
    }

    #[test]
    fn infinite_lifetimes_never_end_nor_do_those_that_nobody_tells() {
        for left in [Some((u32::MAX, u32::MAX)), None] {
            let address = read_one(AddressFlags::Permanent, left);
            assert_eq!((address.preferred_until, address.valid_until), (Deadline::Never, Deadline::Never), "{left:?}");
        }
    }

    #[test]
    fn deprecated_is_what_the_flag_or_the_lifetime_says() {
        assert!(read_one(AddressFlags::Deprecated, Some((0, 600))).deprecated);
        assert!(read_one(AddressFlags::empty(), Some((0, u32::MAX))).deprecated);
        assert!(read_one(AddressFlags::Deprecated | AddressFlags::Permanent, None).deprecated);
    }

    #[test]
    fn flags_say_what_an_address_is_good_for() {
        assert!(read_one(AddressFlags::Secondary, None).temporary);
        assert!(!read_one(AddressFlags::Managetempaddr, None).temporary);
        let detection = |flags| read_one(flags, None).detection;
        assert_eq!(detection(AddressFlags::Tentative), Detection::Running);
        assert_eq!(detection(AddressFlags::Tentative | AddressFlags::Optimistic), Detection::Passed);
        assert_eq!(detection(AddressFlags::Tentative | AddressFlags::Dadfailed), Detection::Failed);
    }

    /// Of one with a lifetime the kernel says only in its last message that somebody else has it.
    #[test]
    fn a_duplicate_is_told_of_once_when_the_kernel_takes_it_away() {
        let failed = AddressFlags::Tentative | AddressFlags::Dadfailed;
        for (left, flags, told) in
            [(600, failed, vec![Detection::Failed]), (u32::MAX, failed, vec![]), (600, AddressFlags::Tentative, vec![])]
        {
            let mut addresses = Addresses::of(2);
            let tentative = message(2, "2001:db8::5", AddressFlags::Tentative, Some((left, left)));
            addresses.apply(&RouteNetlinkMessage::NewAddress(tentative), at(100));
            let gone = RouteNetlinkMessage::DelAddress(message(2, "2001:db8::5", flags, Some((left, left))));
            assert!(addresses.apply(&gone, at(101)));
            let detections = |told: Vec<Address>| told.iter().map(|address| address.detection).collect::<Vec<_>>();
            assert_eq!(detections(addresses.tell()), told, "{left} {flags:?}");
            assert_eq!(addresses.tell(), []);
        }
    }

    #[test]
    fn an_old_kernel_has_its_flags_in_the_header() {
        let mut message = message(2, "2001:db8::5", AddressFlags::empty(), None);
        message.attributes.truncate(1);
        message.header.flags = netlink_packet_route::address::AddressHeaderFlags::Deprecated;
        let mut addresses = Addresses::of(2);
        addresses.apply(&RouteNetlinkMessage::NewAddress(message), at(0));
        assert!(addresses.to_vec()[0].deprecated);
    }

    #[test]
    fn what_is_not_of_this_interface_changes_nothing() {
        let mut addresses = Addresses::of(2);
        let other = message(3, "2001:db8::5", AddressFlags::empty(), None);
        assert!(!addresses.apply(&RouteNetlinkMessage::NewAddress(other.clone()), at(0)));
        let own = message(2, "2001:db8::5", AddressFlags::empty(), None);
        assert!(addresses.apply(&RouteNetlinkMessage::NewAddress(own.clone()), at(0)));
        assert!(!addresses.apply(&RouteNetlinkMessage::DelAddress(other), at(0)));
        assert_eq!(addresses.to_vec().len(), 1);
        assert!(addresses.apply(&RouteNetlinkMessage::DelAddress(own), at(0)));
        assert_eq!(addresses.to_vec(), []);
    }
}
