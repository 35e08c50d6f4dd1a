//! The three objects that the daemon fills, what they should hold, and watches on them.

use std::net::Ipv6Addr;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ipnet::Ipv6Net;
use serde_json::{Value, json};

use crate::lab::{ApiServer, wait_for};

/// The pool; bound to a range.
pub(crate) const POOL: &str = "/apis/cilium.io/v2/ciliumloadbalancerippools/pool";
/// The CIDR group; bound to the whole prefix.
pub(crate) const CIDR_GROUP: &str = "/apis/cilium.io/v2/ciliumcidrgroups/group";
/// MetalLB's pool; bound to another range.
pub(crate) const METALLB_POOL: &str = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools/public";

pub(crate) const A: &str = "2001:db8:a::/64";
pub(crate) const B: &str = "2001:db8:b::/64";
pub(crate) const C: &str = "2001:db8:c::/64";
pub(crate) const D: &str = "2001:db8:d::/64";

/// How long to wait for what should happen at once; a busy machine may take its time.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// What the user has in the pool, in spellings that are not canonical.
pub(crate) fn user_blocks() -> Vec<Value> {
    vec![
        json!({"cidr": "10.9.0.0/24"}),
        json!({"cidr": "2001:DB8:FFFF:0::/64"}),
        json!({"start": "2001:0db8:fffe::1", "stop": "2001:db8:fffe:0::ff"}),
    ]
}

/// The first and the last address of a range in `prefix`, as it is configured: `::MARK:0:0:0` to `::MARK:0:0:ffff`.
fn range(prefix: &str, mark: u16) -> (Ipv6Addr, Ipv6Addr) {
    let net: Ipv6Net = prefix.parse().unwrap_or_else(|error| panic!("{prefix}: {error}"));
    let [a, b, c, d, ..] = net.network().segments();
    (Ipv6Addr::new(a, b, c, d, mark, 0, 0, 0), Ipv6Addr::new(a, b, c, d, mark, 0, 0, 0xffff))
}

/// The range in `prefix` as a block of Cilium's.
pub(crate) fn block(prefix: &str) -> Value {
    let (start, stop) = range(prefix, 0xf000);
    json!({"start": start, "stop": stop})
}

/// The addresses that a Service holds in a prefix ([`crate::resident`]), one in each range.
pub(crate) fn residents(prefix: &str) -> [Ipv6Addr; 2] {
    [0xf000, 0xf001].map(|mark| Ipv6Addr::from_bits(range(prefix, mark).0.to_bits() + 1))
}

/// What stays of the range of a former prefix, as a block of Cilium's.
pub(crate) fn remainder(prefix: &str) -> Value {
    let [address, _] = residents(prefix);
    json!({"start": address, "stop": address})
}

/// What the pool should hold when these prefixes are in it, the current one first. Of the others it is what Services hold.
pub(crate) fn blocks(prefixes: &[&str]) -> Vec<Value> {
    let current = prefixes.iter().take(1).map(|prefix| block(prefix));
    let former = prefixes.iter().skip(1).map(|prefix| remainder(prefix));
    user_blocks().into_iter().chain(current).chain(former).collect()
}

/// The same for the CIDR group, which holds nothing else.
pub(crate) fn cidrs(prefixes: &[&str]) -> Vec<Value> {
    prefixes.iter().map(|prefix| json!(prefix)).collect()
}

/// The same for MetalLB's pool, in which the user has one IPv4 block.
pub(crate) fn addresses(prefixes: &[&str]) -> Vec<Value> {
    let ranges = prefixes.iter().enumerate().map(|(age, prefix)| {
        let (start, stop) = if age == 0 { range(prefix, 0xf001) } else { (residents(prefix)[1], residents(prefix)[1]) };
        json!(format!("{start}-{stop}"))
    });
    [json!("10.9.1.0/24")].into_iter().chain(ranges).collect()
}

/// The list of any of the three objects.
pub(crate) fn list(object: &Value) -> Vec<Value> {
    let spec = &object["spec"];
    let list = ["blocks", "externalCIDRs", "addresses"].into_iter().find_map(|field| spec[field].as_array());
    list.cloned().unwrap_or_default()
}

/// A watch on one object, and everything it has shown.
#[derive(Debug)]
pub(crate) struct Watched {
    path: String,
    events: Receiver<(Instant, Value)>,
    /// Each list in turn with the instant at which it was seen, the first one being what was there at the start.
    pub(crate) seen: Vec<(Instant, Vec<Value>)>,
}

impl Watched {
    pub(crate) fn start(api: &ApiServer, path: &str) -> Result<Self> {
        let (lists, name) = path.rsplit_once('/').unwrap_or_default();
        let lists = format!("{lists}?fieldSelector=metadata.name%3D{name}");
        // An API server that has just started answers 429 for a while.
        let events = wait_for("a watch", SOON, || api.watch(&lists).map(Some))?;
        let mut watched = Self { path: path.to_owned(), events, seen: Vec::new() };
        watched.next(Instant::now() + SOON)?;
        Ok(watched)
    }

    /// Takes in one event, if one comes in time.
    fn next(&mut self, deadline: Instant) -> Result<bool> {
        let Ok((at, event)) = self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
            if Instant::now() < deadline {
                bail!("the watch on {} has ended", self.path);
            }
            return Ok(false);
        };
        self.seen.push((at, list(&event["object"])));
        Ok(true)
    }

    /// Takes in what has come, and gives the latest list.
    pub(crate) fn latest(&mut self) -> Result<&[Value]> {
        while self.next(Instant::now())? {}
        Ok(self.seen.last().map_or(&[], |(_, list)| list))
    }

    /// Waits until the object holds exactly `wanted`; gives the instant.
    pub(crate) fn until(&mut self, what: &str, wanted: &[Value]) -> Result<Instant> {
        self.until_within(SOON, what, wanted)
    }

    /// The same with a limit of its own.
    pub(crate) fn until_within(&mut self, limit: Duration, what: &str, wanted: &[Value]) -> Result<Instant> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some((at, _)) = self.seen.last().filter(|(_, list)| list == wanted) {
                return Ok(*at);
            }
            if !self.next(deadline)? {
                let shown = self.seen.last().map(|(_, list)| json!(list).to_string()).unwrap_or_default();
                let wanted = json!(wanted);
                bail!("{what}: {}: not within {limit:?}\n  wanted {wanted}\n  it is  {shown}", self.path);
            }
        }
    }
}
