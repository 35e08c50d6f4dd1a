//! The floor: a plain client that takes the same steps, one request after the other.

use std::net::Ipv6Addr;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ipnet::Ipv6Net;
use serde_json::{Value, json};

use crate::ear::Ear;
use crate::lab::{ApiServer, Client, Credentials, condition, ingress};
use crate::phases::Rotations;
use crate::router::Router;
use crate::view::{IPS, Step, TARGETS, View};
use crate::world::{ALL_SERVICES, POOLS, SERVICES, World, pool};

const MERGE: &str = "application/merge-patch+json";
const LIMIT: Duration = Duration::from_secs(60);
const BREATH: Duration = Duration::from_millis(700);

/// Rotates a cluster that no daemon cares for.
pub(crate) fn rotate(world: &mut World, router: &Router) -> Result<Rotations> {
    let (times, mut plain) = (world.scene.floor, Plain::new(world)?);
    std::thread::scope(|scope| {
        let running = scope.spawn(move || (0..times).try_for_each(|_| plain.rotate()));
        let mut rotations = Rotations::default();
        for _ in 0..times {
            world.eyes.rest(BREATH);
            let (prefix, sent) = router.rotate()?;
            rotations.add(sent, &world.eyes.reach(&Step::MOVE, prefix, None)?)?;
            world.eyes.reach(&[Step::Tidy], prefix, None)?;
        }
        running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(rotations)
    })
}

struct Plain {
    client: Client,
    ear: Ear,
    pools: Receiver<(Instant, Value)>,
    services: Receiver<(Instant, Value)>,
    /// Each with its address.
    all: Vec<(String, Ipv6Addr)>,
}

impl Plain {
    fn new(world: &World) -> Result<Self> {
        let server = &world.server;
        let client = server.client_as(&Credentials::Token(server.admin_token().to_owned()))?;
        let address = |view: &View| match view {
            View::Service { holds, .. } => holds.first().copied(),
            View::Pool(_) => None,
        };
        let all: Vec<_> =
            world.eyes.services().filter_map(|(name, view)| Some((name.clone(), address(view)?))).collect();
        Ok(Self { client, ear: Ear::open()?, pools: watch(server, POOLS)?, services: watch(server, SERVICES)?, all })
    }

    fn rotate(&mut self) -> Result<()> {
        let prefix = self.ear.hear()?;
        let moved = |old: Ipv6Addr| Ipv6Addr::from_bits(prefix.to_bits() | (old.to_bits() & u128::from(u64::MAX)));
        let one = |address: Ipv6Addr| json!({"start": address, "stop": address});
        let (_, old) = self.all.first().context("there are Services")?;
        let whole = |address: Ipv6Addr| json!({"cidr": Ipv6Net::new_assert(address, 112).trunc()});
        let reserved = self.all.iter().map(|(_, old)| one(moved(*old)));
        self.offer([whole(*old)].into_iter().chain(reserved).collect())?;
        for (name, old) in &self.all {
            self.annotate(name, &json!({IPS: format!("{},{old}", moved(*old))}))?;
        }
        let mut left = self.all.len();
        while left > 0 {
            let (_, event) = self.services.recv_timeout(LIMIT).context("LB-IPAM gives nothing")?;
            let (object, name) = (&event["object"], event["object"]["metadata"]["name"].as_str());
            let is_named = object["metadata"]["annotations"][TARGETS[0]].as_str();
            let Some((name, old)) = self.all.iter().find(|(known, _)| Some(&**known) == name) else { continue };
            let new = moved(*old).to_string();
            if ingress(object).contains(&&*new) && is_named != Some(&new) {
                self.annotate(name, &json!({TARGETS[0]: new, TARGETS[1]: new}))?;
                left -= 1;
            }
        }
        let narrowed = self.all.iter().map(|(_, old)| one(*old));
        self.offer([whole(prefix)].into_iter().chain(narrowed).collect())?;
        for (_, old) in &mut self.all {
            *old = moved(*old);
        }
        for (name, new) in &self.all {
            self.annotate(name, &json!({IPS: new.to_string()}))?;
        }
        self.offer(vec![whole(prefix)])
    }

    /// Writes the pool, and waits until LB-IPAM has seen that.
    fn offer(&self, blocks: Vec<Value>) -> Result<()> {
        let written = self.patch(&format!("{POOLS}/{}", pool(0)), &json!({"spec": {"blocks": blocks}}))?;
        let generation = written["metadata"]["generation"].as_i64();
        loop {
            let (_, event) = self.pools.recv_timeout(LIMIT).context("LB-IPAM does not see the pool")?;
            let seen = condition(&event["object"], "cilium.io/IPsTotal");
            if seen.and_then(|seen| seen["observedGeneration"].as_i64()) >= generation {
                return Ok(());
            }
        }
    }

    fn annotate(&self, name: &str, annotations: &Value) -> Result<()> {
        let patch = json!({"metadata": {"annotations": annotations}});
        self.patch(&format!("{ALL_SERVICES}/{name}"), &patch).map(drop)
    }

    fn patch(&self, path: &str, patch: &Value) -> Result<Value> {
        let answer = self.client.request("PATCH", path, Some((MERGE, patch.to_string().as_bytes())))?;
        ensure!(answer.ok(), "{path}: status {}: {}", answer.status, answer.body);
        Ok(answer.body)
    }
}

fn watch(server: &ApiServer, path: &str) -> Result<Receiver<(Instant, Value)>> {
    let version = server.version_of(path)?;
    let joint = if path.contains('?') { '&' } else { '?' };
    server.watch(&format!("{path}{joint}resourceVersion={version}"))
}
