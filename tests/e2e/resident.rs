//! Services that hold addresses: of a former prefix only what they hold stays in the pools.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::lab::ApiServer;
use crate::pool::residents;

const SERVICES: &str = "/api/v1/namespaces/default/services";

/// Has the Service `name` hold one address in either range of each of these prefixes, and no others.
pub(crate) fn occupy(api: &ApiServer, name: &str, prefixes: &[&str]) -> Result<()> {
    let path = format!("{SERVICES}/{name}");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
        "type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80}]}});
    // Stories that share an API server share it, too.
    let created = api.request("POST", SERVICES, Some(&service))?;
    ensure!(created.ok() || created.status == 409, "cannot make {path}: status {}", created.status);
    let ingress: Vec<Value> =
        prefixes.iter().flat_map(|prefix| residents(prefix)).map(|ip| json!({"ip": ip})).collect();
    api.patch(&format!("{path}/status"), &json!({"status": {"loadBalancer": {"ingress": ingress}}})).map(drop)
}
