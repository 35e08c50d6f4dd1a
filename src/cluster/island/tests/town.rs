//! A cluster that lives: LB-IPAM and MetalLB, as far as the reference has seen them, and an eye on every Service.
//!
//! LB-IPAM (lab.md §4): ranges in the order of their appearance, lowest free address first; what is asked for is given
//! entry by entry, and nothing else. MetalLB (§5): ranges in the order of the list, all or nothing, out of one pool.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::api::object;
use super::*;
use crate::cluster::addresses;
use crate::cluster::entry::Entry;
use crate::cluster::object::{Observed, metallb_count};
use crate::cluster::schema::Schema;

pub(super) struct Town {
    pub(super) lab: Lab,
    /// Ranges of LB-IPAM in the order in which they came.
    ranges: Vec<Interval>,
    /// Who has an address.
    pub(super) held: BTreeMap<IpAddr, BTreeSet<ObjectRef>>,
    /// Whether the controllers work.
    pub(super) is_alive: bool,
    /// Whether [`Town::look`] is strict. When a range leaves the file its addresses go at once, whoever has them.
    pub(super) is_watched: bool,
    pub(super) mode: Mode,
    pub(super) scope: ServiceScope,
    pub(super) services: Vec<config::Service>,
    pub(super) bindings: Vec<Binding>,
    /// The prefixes, newest first, and those that are dead.
    pub(super) numbers: Vec<u16>,
    /// The same of a second DynamicPrefix; none: there is only one.
    pub(super) second: Vec<u16>,
    pub(super) draining: usize,
    pub(super) dead: BTreeSet<u16>,
    pub(super) few: bool,
}

pub(super) fn service(name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::Service, namespace: Some("web".to_owned()), name: name.to_owned() }
}

/// The Service annotated with our DynamicPrefix, and more.
pub(super) fn ours(more: &[(&str, &str)]) -> Value {
    let more = more.iter().map(|(key, value)| ((*key).to_owned(), json!(value)));
    let name = ("dynamic-prefix.io/name".to_owned(), json!("home-ipv6"));
    Value::Object(more.chain([name, ("dynamic-prefix.io/service-subnet".to_owned(), json!("lb"))]).collect())
}

pub(super) fn spec(families: &[&str]) -> Value {
    json!({ "type": "LoadBalancer", "ipFamilies": families })
}

pub(super) const V6: &[&str] = &["IPv6"];
pub(super) const DUAL: &[&str] = &["IPv4", "IPv6"];

impl Town {
    /// A town with one pool for the subnet "lb" of home-ipv6, beside an IPv4 range of the user.
    pub(super) fn new(mode: Mode, target: &ObjectRef) -> Self {
        let own = match target.kind {
            Kind::CiliumLoadBalancerIPPool => cidr("192.0.2.0/24"),
            Kind::CiliumCIDRGroup | Kind::IPAddressPool | Kind::Service => json!("192.0.2.0/24"),
        };
        let api = Api::new([object(target, [own])]);
        let mut town = Self {
            lab: Lab::bare(Island::new(&cluster(), Vec::new(), 7), api),
            ranges: Vec::new(),
            held: BTreeMap::new(),
            is_alive: true,
            is_watched: true,
            mode,
            scope: ServiceScope::Annotated,
            services: Vec::new(),
            bindings: vec![binding("b", "lb", target)],
            numbers: vec![1],
            second: Vec::new(),
            draining: 2,
            dead: BTreeSet::new(),
            few: false,
        };
        town.connect(at(0));
        town
    }

    pub(super) fn connect(&mut self, now: Instant) {
        self.lab.island.handle_cilium_schema(Schema::of_label(Some("1.33.12")), now);
        self.lab.connect(now);
    }

    /// A new process; `remembers`: what was reported is in the store.
    pub(super) fn restart(&mut self, remembers: bool, now: Instant) {
        let managed = if remembers { self.lab.managed() } else { Vec::new() };
        let api = std::mem::replace(&mut self.lab.api, Api::new([]));
        self.lab = Lab::bare(Island::new(&cluster(), managed, 8), api);
        self.connect(now);
        self.tell(now);
    }

    pub(super) fn wanted(&self) -> Wanted {
        let mut catalogue = prefixes(&self.numbers);
        if !self.second.is_empty() {
            let second = prefixes(&self.second).dynamic_prefixes.into_values();
            catalogue.dynamic_prefixes.extend(second.map(|computed| ("second".to_owned(), computed)));
        }
        for (name, computed) in &mut catalogue.dynamic_prefixes {
            let numbers = if name == "second" { &self.second } else { &self.numbers };
            computed.mode = self.mode;
            computed.services = self.scope;
            for (age, (generation, number)) in computed.generations.iter_mut().zip(numbers).enumerate() {
                generation.dead = self.dead.contains(number);
                if self.few {
                    generation.parts.insert("lb".to_owned(), Ok(vec![swaps::few(*number)]));
                }
                if age > self.draining || generation.dead && age > 0 {
                    generation.role = Role::Known;
                }
            }
        }
        Wanted { services: Arc::new(self.services.clone()), ..wanted(catalogue, self.bindings.clone()) }
    }

    /// The prefix becomes 2001:db8:N::.
    pub(super) fn rotate(&mut self, number: u16, now: Instant) {
        self.numbers.retain(|known| *known != number);
        self.numbers.insert(0, number);
        self.tell(now);
    }

    /// The island hears what is wanted, and nobody acts on it yet.
    pub(super) fn tell(&mut self, now: Instant) {
        let wanted = self.wanted();
        self.lab.island.handle_wanted(wanted, now);
    }

    pub(super) fn create(&mut self, name: &str, annotations: Value, families: &[&str], now: Instant) -> ObjectRef {
        let reference = service(name);
        let object = self.lab.api.create_service(&reference, annotations, spec(families));
        self.lab.island.handle_object(object, now);
        reference
    }

    /// Somebody changes an annotation of a Service; `None` removes it.
    pub(super) fn annotate(
        &mut self,
        reference: &ObjectRef,
        manager: &str,
        key: &str,
        value: Option<&str>,
        now: Instant,
    ) {
        let object = self.lab.api.edit_service(reference, manager, |service| {
            let annotations = service["metadata"]["annotations"].as_object_mut().expect("annotations");
            match value {
                Some(value) => drop(annotations.insert(key.to_owned(), json!(value))),
                None => drop(annotations.remove(key)),
            }
        });
        self.lab.island.handle_object(object, now);
    }

    /// Nobody is told: the watch shows only Services of type LoadBalancer.
    pub(super) fn change_type(&mut self, reference: &ObjectRef, to: &str) {
        self.lab.api.edit_service(reference, "kubectl", |service| {
            service["spec"]["type"] = json!(to);
            service["status"] = json!({});
        });
    }

    /// LB-IPAM does not give a Service what it asks for.
    pub(super) fn says(&mut self, reference: &ObjectRef, reason: &str, message: &str, now: Instant) {
        let object = self.lab.api.edit_service(reference, "controller", |service| {
            service["status"]["conditions"] = json!([{
                "type": "cilium.io/IPAMRequestSatisfied", "status": "False", "reason": reason, "message": message,
            }]);
        });
        self.lab.island.handle_object(object, now);
        self.live(now);
    }

    /// One patch reaches the API server, and its answer the island; what it was about.
    pub(super) fn write(&mut self, now: Instant) -> Option<ObjectRef> {
        let write = self.lab.island.poll_write(now)?;
        let answer = self.lab.api.patch(&write);
        self.lab.island.handle_written(&write.object, answer.clone(), now);
        if let Ok(object) = answer {
            self.lab.island.handle_object(object, now);
        }
        self.look(&write.object);
        self.lab.writes.push(write.clone());
        Some(write.object)
    }

    /// Everybody does what there is to do, until all is quiet; the objects that were written, in order.
    pub(super) fn live(&mut self, now: Instant) -> Vec<ObjectRef> {
        let before = self.lab.writes.len();
        loop {
            while self.write(now).is_some() {
                assert!(self.lab.writes.len() - before < 5000, "it never ends: {:?}", self.lab.writes.last());
            }
            if !self.controllers(now) {
                break;
            }
        }
        self.lab.drain();
        self.lab.writes.get(before..).into_iter().flatten().map(|write| write.object.clone()).collect()
    }

    /// The same while time passes.
    pub(super) fn live_until(&mut self, end: Instant) -> Vec<ObjectRef> {
        let mut written = Vec::new();
        while let Some(next) = self.lab.island.poll_timeout().filter(|next| *next <= end) {
            self.lab.island.handle_timeout(next);
            assert!(
                self.lab.island.poll_timeout().is_none_or(|later| later > next),
                "the clock stands still at {next:?}"
            );
            written.extend(self.live(next));
        }
        written
    }

    /// The controllers see the pools as they are, and do no more.
    pub(super) fn pools_are_seen(&mut self, now: Instant) {
        let seen: Vec<Object> = self.pools().iter().filter_map(|pool| self.observe(pool)).collect();
        seen.into_iter().for_each(|object| self.lab.island.handle_object(object, now));
    }

    /// The controllers of the cluster act on what they see. Whether anything changed.
    pub(super) fn controllers(&mut self, now: Instant) -> bool {
        if !self.is_alive {
            return false;
        }
        let seen: Vec<Object> = self.pools().iter().filter_map(|pool| self.observe(pool)).collect();
        self.held = BTreeMap::new();
        for service in self.all() {
            for address in self.ingress(&service) {
                self.held.entry(address).or_default().insert(service.clone());
            }
        }
        let given: Vec<Object> = self.all().iter().filter_map(|service| self.allocate(service)).collect();
        let changed = !seen.is_empty() || !given.is_empty();
        given.iter().for_each(|service| self.look(&service.reference));
        seen.into_iter().chain(given).for_each(|object| self.lab.island.handle_object(object, now));
        changed
    }

    fn pools(&self) -> Vec<ObjectRef> {
        let kinds = [Kind::CiliumLoadBalancerIPPool, Kind::IPAddressPool];
        kinds.iter().flat_map(|kind| self.lab.api.list(*kind)).map(|pool| pool.reference).collect()
    }

    pub(super) fn all(&self) -> Vec<ObjectRef> {
        self.lab.api.list(Kind::Service).into_iter().map(|service| service.reference).collect()
    }

    fn observe(&mut self, pool: &ObjectRef) -> Option<Object> {
        let object = self.lab.api.get(pool);
        let observed = match pool.kind {
            Kind::IPAddressPool => Observed { addresses: metallb_count(&object.list), ..Observed::default() },
            Kind::CiliumLoadBalancerIPPool | Kind::CiliumCIDRGroup | Kind::Service => {
                Observed { generation: object.generation, ..object.observed.clone().unwrap_or_default() }
            }
        };
        if object.observed.as_ref() == Some(&observed) {
            return None;
        }
        Some(self.lab.api.edit(pool, "controller", |object| object.observed = Some(observed)))
    }

    fn entries(&self, kind: Kind, service: &ObjectRef) -> Vec<Entry> {
        let labels = &self.lab.api.get(service).service.as_ref().expect("a Service").labels;
        let pools = self.lab.api.list(kind).into_iter();
        let serves = |pool: &Object| pool.clientele.iter().all(|whom| whom.refuses(service, labels).is_none());
        let pools: Vec<Object> = pools.filter(serves).collect();
        pools.iter().flat_map(|pool| &pool.list).filter_map(|value| Entry::parse(kind, value)).collect()
    }

    fn is_metallb(&self) -> bool {
        self.bindings.iter().any(|binding| binding.target.kind == Kind::IPAddressPool)
    }

    fn allocate(&mut self, service: &ObjectRef) -> Option<Object> {
        let before = self.ingress(service);
        let (after, condition) =
            if self.is_metallb() { (self.of_metallb(service), None) } else { self.of_cilium(service) };
        let status = &self.lab.api.service(service)["status"];
        let same = before == after && condition.as_ref().is_none_or(|condition| status["conditions"][0] == *condition);
        if same {
            return None;
        }
        self.held.values_mut().for_each(|who| who.retain(|holder| holder != service));
        for address in &after {
            self.held.entry(*address).or_default().insert(service.clone());
        }
        let from = self.is_metallb() && !after.is_empty();
        let ingress: Vec<Value> = after.iter().map(|address| json!({ "ip": address.to_string() })).collect();
        Some(self.lab.api.edit_service(service, "controller", |value| {
            value["status"] = json!({ "loadBalancer": { "ingress": ingress }, "conditions": condition.into_iter().collect::<Vec<_>>() });
            if from {
                value["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"] = json!("public");
            }
        }))
    }

    pub(super) fn ingress(&self, service: &ObjectRef) -> BTreeSet<IpAddr> {
        let object = self.lab.api.get(service);
        object.service.as_ref().expect("a Service").ingress.iter().copied().collect()
    }

    pub(super) fn note(&self, service: &ObjectRef, key: &str) -> Option<String> {
        self.lab.api.get(service).annotations.get(key).cloned()
    }

    fn is_free(&self, address: IpAddr, service: &ObjectRef) -> bool {
        let name = if self.is_metallb() { "metallb.io/allow-shared-ip" } else { "lbipam.cilium.io/sharing-key" };
        let key = |of: &ObjectRef| self.lab.api.get(of).annotations.get(name).cloned();
        let mut others = self.held.get(&address).into_iter().flatten().filter(|other| *other != service);
        others.all(|other| key(other).is_some() && key(other) == key(service))
    }

    fn lowest(&self, range: Interval, service: &ObjectRef) -> Option<IpAddr> {
        let first = range.first().to_bits();
        let all = (first..=range.last().to_bits()).take(5000).map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits)));
        all.into_iter().find(|address| self.is_free(*address, service))
    }

    fn asked(&self, service: &ObjectRef, key: &str) -> Vec<IpAddr> {
        let text = self.note(service, key).unwrap_or_default();
        addresses::entries(&text).filter_map(|entry| entry.parse().ok()).collect()
    }

    fn of_cilium(&mut self, service: &ObjectRef) -> (BTreeSet<IpAddr>, Option<Value>) {
        let entries = self.entries(Kind::CiliumLoadBalancerIPPool, service);
        let there: Vec<Interval> = entries.iter().filter_map(|entry| entry.v6()).collect();
        self.ranges.retain(|range| there.contains(range));
        let new: Vec<Interval> = there.into_iter().filter(|range| !self.ranges.contains(range)).collect();
        self.ranges.extend(new);
        let is_in = |address: &IpAddr| entries.iter().any(|entry| holds(*entry, *address));
        let asked = self.asked(service, "lbipam.cilium.io/ips");
        let mut answer = json!({ "type": "cilium.io/IPAMRequestSatisfied", "status": "True", "reason": "satisfied" });
        let mut no = |reason: &str, text: String| {
            answer = json!({ "type": "cilium.io/IPAMRequestSatisfied", "status": "False", "reason": reason, "message": text });
        };
        let mut has: BTreeSet<IpAddr> = self.ingress(service).into_iter().filter(is_in).collect();
        if !asked.is_empty() {
            has.clear();
            for address in asked {
                if !is_in(&address) {
                    no("no_pool", format!("No pool exists with a CIDR containing '{address}'"));
                } else if !self.is_free(address, service) {
                    no("already_allocated", format!("The IP '{address}' is already allocated to another service"));
                } else {
                    has.insert(address);
                }
            }
            return (has, Some(answer));
        }
        let families = &self.lab.api.get(service).service.as_ref().expect("a Service").families;
        if families.v6 && !has.iter().any(IpAddr::is_ipv6) {
            has.extend(self.ranges.iter().find_map(|range| self.lowest(*range, service)));
        }
        if families.v4 && !has.iter().any(IpAddr::is_ipv4) {
            let v4 = (1..250).map(|n| IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)));
            has.extend(v4.into_iter().find(|address| is_in(address) && self.is_free(*address, service)));
        }
        if has.is_empty() {
            no("no_pool", "There are no enabled CiliumLoadBalancerIPPools that match this service".to_owned());
        }
        (has, Some(answer))
    }

    fn of_metallb(&self, service: &ObjectRef) -> BTreeSet<IpAddr> {
        let entries = self.entries(Kind::IPAddressPool, service);
        let is_in = |address: &IpAddr| entries.iter().any(|entry| holds(*entry, *address));
        let asked = self.asked(service, "metallb.io/loadBalancerIPs");
        if !asked.is_empty() {
            let v6 = asked.iter().filter(|address| address.is_ipv6()).count();
            if v6 > 1 {
                return self.ingress(service);
            }
            let all = asked.iter().all(|address| is_in(address) && self.is_free(*address, service));
            return if all { asked.into_iter().collect() } else { BTreeSet::new() };
        }
        let has = self.ingress(service);
        if !has.is_empty() && has.iter().all(is_in) {
            return has;
        }
        let families = &self.lab.api.get(service).service.as_ref().expect("a Service").families;
        let mut ranges = entries.iter().filter_map(|entry| entry.v6());
        let v6 = ranges.find_map(|range| self.lowest(range, service)).filter(|_| families.v6);
        let v4 = (1..250).map(|n| IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)));
        let v4 =
            v4.into_iter().find(|address| is_in(address) && self.is_free(*address, service)).filter(|_| families.v4);
        v6.into_iter().chain(v4).collect()
    }

    /// At no instant does DNS name, on our behalf, an address that the Service does not have. (With MetalLB, which gives
    /// it one address, DNS can only follow.)
    fn look(&self, service: &ObjectRef) {
        if service.kind != Kind::Service
            || self.is_metallb()
            || !self.is_alive
            || !self.is_watched
            || !self.lab.api.shows(service)
        {
            return;
        }
        let named = self.note(service, "dynamic-prefix.io/managed-targets").unwrap_or_default();
        let has = self.ingress(service);
        for address in addresses::read_record(&named) {
            assert!(has.contains(&address), "{service}: DNS names {address}, it has {has:?}");
        }
    }
}

fn holds(entry: Entry, address: IpAddr) -> bool {
    match (entry, address) {
        (Entry::V4(first, last), IpAddr::V4(address)) => first <= address && address <= last,
        (Entry::V6(range), IpAddr::V6(address)) => range.first() <= address && address <= range.last(),
        _ => false,
    }
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(super) fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}
