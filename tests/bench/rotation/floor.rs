//! The floor: the least that can be done. A loop that hears the advertisement and sends one merge patch per pool over
//! warm connections, knowing nothing, checking nothing.

use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::ear::Ear;
use crate::lab::{Client, Credentials};
use crate::router::Router;
use crate::world::{POOLS, Rotations, World, pool};

const MERGE: &str = "application/merge-patch+json";

/// Rotates so many times with `connections` workers, each with a part of the pools.
pub(crate) fn rotate(
    world: &World,
    router: &Router,
    connections: usize,
    times: usize,
    pause: Duration,
) -> Result<Rotations> {
    let workers: Vec<Worker> = (0..connections).map(|_| Worker::new(world)).collect::<Result<_>>()?;
    std::thread::scope(|scope| {
        let running: Vec<_> = workers
            .into_iter()
            .enumerate()
            .map(|(index, worker)| {
                let numbers: Vec<usize> = (index..world.pools).step_by(connections).collect();
                scope.spawn(move || (0..times).try_for_each(|_| worker.rotate(&numbers)))
            })
            .collect();
        let rotations = world.rotate(router, None, times, pause);
        for worker in running {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        rotations
    })
}

struct Worker {
    client: Client,
    ear: Ear,
}

impl Worker {
    fn new(world: &World) -> Result<Self> {
        let client = world.server.client_as(&Credentials::Token(world.server.admin_token().to_owned()))?;
        ensure!(client.request("GET", "/version", None)?.ok(), "the API server does not answer");
        Ok(Self { client, ear: Ear::open()? })
    }

    fn rotate(&self, numbers: &[usize]) -> Result<()> {
        let prefix = self.ear.hear()?.segments();
        for number in numbers {
            let mut address = prefix;
            address[6] = u16::try_from(*number)?;
            let cidr = format!("{}/112", Ipv6Addr::from(address));
            let record = format!("cidr={cidr}");
            let annotations = json!({"dynamic-prefix.io/managed-blocks": record});
            let patch = json!({"metadata": {"annotations": annotations}, "spec": {"blocks": [{"cidr": cidr}]}});
            let path = format!("{POOLS}/{}", pool(*number));
            let body = patch.to_string();
            let answer = self.client.request("PATCH", &path, Some((MERGE, body.as_bytes())))?;
            ensure!(answer.ok(), "{path}: status {}", answer.status);
        }
        Ok(())
    }
}
