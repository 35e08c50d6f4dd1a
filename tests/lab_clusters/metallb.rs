//! With the real MetalLB controller: what we write is what it assigns from.

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{METALLB_CLASS, MetallbController, ingress, private_network};
use crate::rig::{Cluster, Daemon, Lab, PATIENCE, cluster, dynamic_prefix, full_access};

pub(crate) const STORIES: &[Story] = &[("MetalLB: a Service follows the range of the pool", metallb)];

const ID: &str = "metallb";
const POOL: &str = "metallb-pool";
const SERVICE: &str = "/api/v1/namespaces/default/services/front";

/// In a thread of its own: the network is the thread's, and the controller must have one without neighbours.
fn metallb(_: &Lab) -> Result<()> {
    let story = std::thread::spawn(|| private_network().and_then(|()| in_private_network()));
    story.join().unwrap_or_else(|_| bail!("the story panicked"))
}

fn in_private_network() -> Result<()> {
    let own = Cluster::start()?;
    let server = &own.server;
    let user = [json!("192.0.2.1-192.0.2.9")];
    Kind::Metallb.create_with(server, POOL, Some((ID, Part::Lb)), &user)?;
    let mut controller = MetallbController::start(server)?;
    let template = cluster("lab", &full_access(server, ID)?, "");
    let mut daemon = Daemon::start(ID, 'a', &(template.clone() + &dynamic_prefix(ID, "drainPeriodMinutes = 60")))?;
    server.create(
        "/api/v1/namespaces/default/services",
        &json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "front", "namespace": "default"},
            "spec": {
                "type": "LoadBalancer", "loadBalancerClass": METALLB_CLASS, "ipFamilyPolicy": "RequireDualStack",
                "ports": [{"port": 80}], "selector": {"app": "front"},
            },
        }),
    )?;
    let wait_address = |letter: char| {
        let own = format!("2001:db8:{letter}:0:f000::");
        server.wait_object(SERVICE, PATIENCE, |service| {
            let addresses = ingress(service);
            addresses.len() == 2
                && addresses.iter().any(|address| address.starts_with(&own))
                && addresses.iter().any(|address| address.starts_with("192.0.2."))
        })
    };
    let mut follow = || -> Result<()> {
        wait_address('a')?;
        // It keeps its address as long as the old range drains, and flips when that leaves.
        let service = wait_address('a')?;
        let old = ingress(&service).into_iter().find(|address| address.contains(':')).context("no IPv6 address")?;
        daemon.rotate('b')?;
        // Of the old range the pool keeps what is in use.
        let (mut list, mut record) = Kind::Metallb.ours(Part::Lb, 'b');
        list.push(json!(format!("{old}-{old}")));
        record.push(format!("range={old}-{old}"));
        Kind::Metallb.wait(server, ID, POOL, &user, &(list, record))?;
        let flips = server.watch("/api/v1/namespaces/default/services?fieldSelector=metadata.name=front")?;
        wait_address('a')?;
        daemon.edit(&(template.clone() + &dynamic_prefix(ID, "drainPeriodMinutes = 0")))?;
        wait_address('b')?;
        let never_empty = flips.try_iter().all(|(_, event)| ingress(&event["object"]).len() == 2);
        anyhow::ensure!(never_empty, "the Service was without an address for a moment");
        daemon.wait_reason(POOL, "Synced").map(drop)
    };
    follow().with_context(|| format!("the controller's log ends with\n{}", controller.process().log_tail(15)))
}
