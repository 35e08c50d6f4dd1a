//! The host part of a Service, and the addresses that it makes.

use std::net::Ipv6Addr;

use super::super::object::of_generation;
use super::super::{Block, Catalogue, Computed, ComputedGeneration, EntryError, Role, annotation, range};
use super::ServiceWant;
use crate::config::Part;
use crate::prefix::Interval;

/// How many intervals a message lists.
const MAX_LISTED: usize = 4;

impl ServiceWant {
    /// Its DynamicPrefix; `None`: the catalogue does not know it (yet).
    pub fn computed<'a>(&self, catalogue: &'a Catalogue) -> Option<&'a Computed> {
        catalogue.dynamic_prefixes.get(&self.dynamic_prefix)
    }

    /// Its host part: the one asked for, else the `recorded` one, else that of the newest generation in whose part it
    /// `holds` an address (of several, the lowest). `None`: the allocator gives it its first address.
    pub fn host_part(&self, catalogue: &Catalogue, recorded: Option<Ipv6Addr>, holds: &[Ipv6Addr]) -> Option<Ipv6Addr> {
        self.suffix.or(recorded).or_else(|| held_host_part(self.computed(catalogue)?, &self.part, holds))
    }

    /// Its address in the current generation; `None`: there is no current prefix, or no opinion yet.
    pub fn current_address(&self, catalogue: &Catalogue, host: Ipv6Addr) -> Option<Result<Ipv6Addr, EntryError>> {
        let current = self.computed(catalogue)?.current()?;
        Some(self.address(current, host))
    }

    /// Whether it may have `address` in the current generation.
    pub fn has_place_for(&self, catalogue: &Catalogue, address: Ipv6Addr) -> bool {
        let current = self.computed(catalogue).and_then(Computed::current);
        current.is_some_and(|current| self.address(current, host_part(current, address)) == Ok(address))
    }

    /// Its addresses in the former generations, in their order: draining ones, newest first, then those only known. One
    /// in whose prefix it has no place is left out: nothing of it was ever asked for there.
    pub fn former_addresses(&self, catalogue: &Catalogue, host: Ipv6Addr) -> Vec<Ipv6Addr> {
        let generations = self.computed(catalogue).map_or(&[][..], |computed| &computed.generations);
        let former = generations.iter().filter(|generation| generation.role != Role::Current);
        former.filter_map(|generation| self.address(generation, host).ok()).collect()
    }

    /// Its address in one generation.
    ///
    /// # Errors
    /// The part cannot be computed, or the host part has bits inside the prefix, lies outside the part, or in what the
    /// server excludes: it is never silently cut.
    pub fn address(&self, generation: &ComputedGeneration, host: Ipv6Addr) -> Result<Ipv6Addr, EntryError> {
        let joined = range::join(generation.prefix, host);
        if let Ok(address) = joined
            && holds(generation, &self.part, address)
        {
            return Ok(address);
        }
        let blocks = of_generation(generation, &self.part)?;
        let error = |why: String| {
            let message = format!("The host part {why} {}", self.advice(generation, &blocks));
            EntryError { entry: "suffix".to_owned(), message }
        };
        let address = joined.map_err(|why| error(format!("{why}.")))?;
        let prefix = generation.prefix;
        if !hold(generation.whole.iter(), address) {
            return Err(error(format!(
                "{host} makes {address}, which lies in a part of {prefix} that the server excludes from use."
            )));
        }
        let listed = list(&blocks, Interval::to_string);
        Err(error(format!("{host} makes {address} in {prefix}, which lies outside {} ({listed}).", self.part_name())))
    }

    /// What to do about a host part that has no place.
    fn advice(&self, generation: &ComputedGeneration, blocks: &[Block]) -> String {
        let host = |address: Ipv6Addr| host_part(generation, address);
        let places = list(blocks, |interval| format!("{} to {}", host(interval.first()), host(interval.last())));
        let suffix = annotation::SUFFIX;
        match (self.suffix, &self.part) {
            (Some(_), Part::Named(_)) => format!("Write a suffix from {places}, or name another range or subnet."),
            (Some(_), Part::Whole) => format!("Write a suffix from {places}."),
            (None, _) => format!(
                "It was kept from the address that the Service had; give it another one ({suffix}, or suffix of a \
                 [[service]]) from {places}."
            ),
        }
    }

    /// Its ranges and subnets, for a sentence.
    fn part_name(&self) -> String {
        match &self.part {
            Part::Whole => format!("the whole of {}", self.dynamic_prefix),
            Part::Named(names) => names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "),
        }
    }
}

/// The host part of the first generation in whose `part` one of these addresses lies.
pub(super) fn held_host_part(computed: &Computed, part: &Part, addresses: &[Ipv6Addr]) -> Option<Ipv6Addr> {
    computed.generations.iter().find_map(|generation| {
        let held = addresses.iter().copied().filter(|address| holds(generation, part, *address)).min()?;
        Some(host_part(generation, held))
    })
}

/// Whether a host part has its place in `part` of this generation.
pub(super) fn has_place(generation: &ComputedGeneration, part: &Part, host: Ipv6Addr) -> bool {
    range::join(generation.prefix, host).is_ok_and(|address| holds(generation, part, address))
}

/// Whether an address lies in `part` of this generation. A range that cannot be computed does not take the others down;
/// a name that does not exist does, because nobody knows what was meant.
fn holds(generation: &ComputedGeneration, part: &Part, address: Ipv6Addr) -> bool {
    let (names, whole) = match part {
        Part::Named(names) => (&names[..], &[][..]),
        Part::Whole => (&[][..], &generation.whole[..]),
    };
    let computed = names.iter().filter_map(|name| generation.parts.get(name)?.as_ref().ok()).flatten();
    names.iter().all(|name| generation.parts.contains_key(name)) && hold(whole.iter().chain(computed), address)
}

fn host_part(generation: &ComputedGeneration, address: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & generation.prefix.hostmask().to_bits())
}

fn hold<'a>(mut blocks: impl Iterator<Item = &'a Block>, address: Ipv6Addr) -> bool {
    blocks.any(|block| block.interval().first() <= address && address <= block.interval().last())
}

fn list(blocks: &[Block], show: impl Fn(&Interval) -> String) -> String {
    let mut listed: Vec<String> = blocks.iter().take(MAX_LISTED).map(|block| show(&block.interval())).collect();
    if blocks.len() > MAX_LISTED {
        listed.push(format!("or {} more", blocks.len() - MAX_LISTED));
    }
    listed.join(", ")
}
