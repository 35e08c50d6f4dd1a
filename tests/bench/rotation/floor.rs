//! The floor: the least that can be done. A loop that hears the advertisement and sends one merge patch per pool over
//! warm connections, knowing nothing, checking nothing.

use std::io::{IoSliceMut, Read as _};
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dyn_prefix::source::ra::packet::ROUTER_ADVERTISEMENT;
use nix::sys::socket::{MsgFlags, recvmsg};
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::{Client, Credentials};
use crate::netns::WAN;
use crate::router::Router;
use crate::world::{POOLS, Rotations, World, pool};

const MERGE: &str = "application/merge-patch+json";
const LIMIT: Duration = Duration::from_secs(60);
const ADDRESS: usize = 16;

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
    socket: Socket,
}

impl Worker {
    fn new(world: &World) -> Result<Self> {
        let client = world.server.client_as(&Credentials::Token(world.server.admin_token().to_owned()))?;
        ensure!(client.request("GET", "/version", None)?.ok(), "the API server does not answer");
        let socket = Socket::new_raw(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        socket.bind_device(Some(WAN.as_bytes()))?;
        socket.set_read_timeout(Some(LIMIT))?;
        Ok(Self { client, socket })
    }

    fn rotate(&self, numbers: &[usize]) -> Result<()> {
        let prefix = self.hear()?.segments();
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

    /// The last prefix of the next advertisement: the router names the new one last.
    fn hear(&self) -> Result<Ipv6Addr> {
        loop {
            let mut message = [0; 1500];
            let mut slices = [IoSliceMut::new(&mut message)];
            let received = recvmsg::<()>(self.socket.as_raw_fd(), &mut slices, None, MsgFlags::empty())
                .context("no advertisement came")?;
            let length = received.bytes;
            if message[0] == ROUTER_ADVERTISEMENT {
                let mut address = [0; ADDRESS];
                (&message[length - ADDRESS..length]).read_exact(&mut address)?;
                return Ok(address.into());
            }
        }
    }
}
