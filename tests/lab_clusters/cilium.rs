//! With the real Cilium operator: what we write is what LB-IPAM uses.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Story;
use crate::kinds::{Kind, Part};
use crate::lab::{ApiServer, CiliumOperator, condition, ingress};
use crate::rig::{Cluster, Daemon, Lab, PATIENCE, cluster, dynamic_prefix, full_access};

pub(crate) const STORIES: &[Story] =
    &[("Cilium: LB-IPAM takes the pool over, Services follow the prefix, a conflict is told", cilium)];

const ID: &str = "cilium";
const POOL: &str = "cilium-pool";
const SERVICE: &str = "/api/v1/namespaces/default/services/front";

fn cilium(_: &Lab) -> Result<()> {
    let own = Cluster::start()?;
    let server = &own.server;
    // Older than ours, so that it is ours that Cilium puts out of service when they come to overlap.
    let theirs = [json!({"cidr": "2001:db8:c:0:f000::/112"})];
    Kind::Pool.create_with(server, "older-pool", None, &theirs)?;
    // Disabled, or else the Service would get its address there.
    server
        .patch(&Kind::Pool.path("older-pool"), &json!({"spec": {"serviceSelector": {"matchLabels": {"no": "one"}}}}))?;
    wait_next_second();
    Kind::Pool.create_with(server, POOL, Some((ID, Part::Lb)), &[json!({"cidr": "192.0.2.0/28"})])?;
    let mut operator = CiliumOperator::start(server)?;
    let template = cluster("lab", &full_access(server, ID)?, "");
    let mut daemon = Daemon::start(ID, 'a', &(template.clone() + &dynamic_prefix(ID, "drainPeriodMinutes = 60")))?;
    create_service(server)?;
    let outcome = follow(server, &mut daemon, &template);
    outcome.with_context(|| format!("the operator's log ends with\n{}", operator.process().log_tail(15)))
}

/// Cilium compares the ages of pools in whole seconds.
fn wait_next_second() {
    std::thread::sleep(std::time::Duration::from_millis(1100)); // the age is the state, there is none to wait for
}

fn create_service(server: &ApiServer) -> Result<()> {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "front", "namespace": "default"},
        "spec": {
            "type": "LoadBalancer", "ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}],
            "selector": {"app": "front"},
        },
    });
    server.create("/api/v1/namespaces/default/services", &service).map(drop)
}

/// Waits until the Service has exactly one IPv6 address, and that inside our range of the prefix of a letter; the IPv4
/// address stays all the time.
fn wait_address(server: &ApiServer, letter: char) -> Result<Value> {
    let own = format!("2001:db8:{letter}:0:f000::");
    server.wait_object(SERVICE, PATIENCE, |service| {
        let (v6, v4): (Vec<&str>, Vec<&str>) = ingress(service).into_iter().partition(|address| address.contains(':'));
        v6.len() == 1 && v6.iter().all(|address| address.starts_with(&own)) && v4.len() == 1
    })
}

/// The IPv6 address of a Service.
fn in_use(service: &Value) -> Result<String> {
    let address = ingress(service).into_iter().find(|address| address.contains(':'));
    address.map(str::to_owned).context("no IPv6 address")
}

fn follow(server: &ApiServer, daemon: &mut Daemon, template: &str) -> Result<()> {
    wait_address(server, 'a')?;
    let seen = |target: &Value| target["reason"] == "Synced" && target["observed"] == true;
    daemon.wait_target(POOL, seen)?;
    let pool = server.get(&Kind::Pool.path(POOL))?;
    let conflict = condition(&pool, "cilium.io/PoolConflict").context("no condition PoolConflict on the pool")?;
    ensure!(conflict["status"] == "False", "{conflict:#}");

    // While the old range drains the Service keeps its address, and the pool of that range no more than this.
    let old = in_use(&wait_address(server, 'a')?)?;
    daemon.rotate('b')?;
    let user = [json!({"cidr": "192.0.2.0/28"})];
    let (mut list, mut record) = Kind::Pool.ours(Part::Lb, 'b');
    list.push(json!({"start": old, "stop": old}));
    record.push(format!("range={old}-{old}"));
    let pool = Kind::Pool.wait(server, ID, POOL, &user, &(list, record))?;
    daemon.wait_target(POOL, seen)?;
    // What the status calls observed is what the operator says of the generation that we wrote.
    let total = condition(&server.get(&Kind::Pool.path(POOL))?, "cilium.io/IPsTotal").cloned();
    let total = total.context("no condition IPsTotal on the pool")?;
    let generation = &pool["metadata"]["generation"];
    ensure!(total["observedGeneration"] == *generation, "generation {generation} is not observed: {total:#}");
    wait_address(server, 'a')?;
    // It gets one of the new prefix when the old range leaves.
    daemon.edit(&(template.to_owned() + &dynamic_prefix(ID, "drainPeriodMinutes = 0")))?;
    wait_address(server, 'b')?;
    daemon.wait_target(POOL, seen)?;

    // The new prefix is one that the older pool lies in.
    daemon.rotate('c')?;
    let target = daemon.wait_reason(POOL, "PoolConflict")?;
    ensure!(target["observed"] == false && target["synced"] == true, "{target:#}");
    let message = target["message"].as_str().unwrap_or_default();
    ensure!(message.contains("older-pool"), "the other pool is not named: {message}");
    ensure!(daemon.status()?.0 == 3, "`status` exits with {}", daemon.status()?.0);
    daemon.wait_log(&[POOL, "PoolConflict"])?;
    server.delete(&Kind::Pool.path("older-pool"))?;
    daemon.wait_target(POOL, seen)?;
    wait_address(server, 'c')?;
    ensure!(daemon.status()?.0 == 0, "`status` exits with {}", daemon.status()?.0);
    Ok(())
}
