//! The lab: the real etcd, kube-apiserver, cilium-operator and MetalLB controller on loopback.
//!
//! The programs are those that `tests/lab/build` leaves in the cache directory. A layer whose program is missing is an
//! error that names it. Each process started here ends with the value that holds it, and also when the test process
//! itself dies, however that happens.
//!
//! ```ignore
//! let dir = tempfile::tempdir()?;
//! let server = lab::ApiServer::start(dir.path())?;
//! server.install_cilium_crds(&["v2", "v2alpha1"])?;
//! let events = server.watch("/apis/cilium.io/v2/ciliumloadbalancerippools")?;
//! server.apply_yaml(POOL)?;
//! let operator = lab::CiliumOperator::start(&server)?;
//! ```
#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    dead_code,
    unused_imports,
    reason = "each test binary uses a part of the lab, and the lab waits for real programs"
)]

#[path = "lab/account.rs"]
mod account;
#[path = "lab/apiserver.rs"]
mod apiserver;
#[path = "lab/audit.rs"]
mod audit;
#[path = "lab/certs.rs"]
pub(crate) mod certs;
#[path = "lab/cilium.rs"]
mod cilium;
#[path = "lab/http.rs"]
mod http;
#[path = "lab/metallb.rs"]
mod metallb;
#[path = "lab/objects.rs"]
mod objects;
#[path = "lab/process.rs"]
mod process;
#[path = "lab/scrape.rs"]
mod scrape;
#[path = "lab/token.rs"]
mod token;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};

pub(crate) use account::account_user;
pub(crate) use apiserver::{ApiServer, AuditLevel, Options};
pub(crate) use audit::AuditEvent;
pub(crate) use cilium::CiliumOperator;
pub(crate) use http::{Client, Credentials, Response};
pub(crate) use metallb::{CLASS as METALLB_CLASS, MetallbController, NAMESPACE as METALLB_NAMESPACE};
pub(crate) use objects::{condition, crd_files, ingress, split_yaml};
pub(crate) use process::Process;
pub(crate) use scrape::{Scrape, http_get, promtool};
pub(crate) use token::{fill_secret, fill_secret_with, kubeconfig};

/// Where `tests/lab/build` keeps programs and CRDs.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?).join(".cache"),
    };
    Ok(base.join("dyn-prefix-lab"))
}

/// Whether the program of a layer was built.
pub(crate) fn available(name: &str) -> bool {
    program(name).is_ok()
}

/// The path of a program of the lab.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let path = cache_dir()?.join("bin").join(name);
    ensure!(
        path.is_file(),
        "the {name} layer of the lab is missing ({} is not there): run tests/run, which builds it",
        path.display()
    );
    Ok(path)
}

/// Gives the calling thread, and whatever it starts from now on, a network namespace with nothing but loopback.
///
/// Needs root. Other threads stay where they were.
pub(crate) fn private_network() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace (this layer needs root)")?;
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("cannot run ip")?;
    ensure!(status.success(), "ip link set lo up failed: {status}");
    Ok(())
}

/// A free port of 127.0.0.1, below those that the kernel gives to outgoing connections, so that it stays free while
/// its server restarts. No port is given twice by one process.
pub(crate) fn free_port() -> Result<u16> {
    const FIRST: u16 = 18_000;
    const COUNT: u16 = 14_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() * 97 % u32::from(COUNT))?;
    for _ in 0..1000 {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        let port = FIRST + offset;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1");
}

/// Asks `check` every few milliseconds until it gives a value; the last error, or `what`, is the time-out's cause.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let seen = check();
        if let Ok(Some(value)) = seen {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            let late = format!("{what}: not within {limit:?}");
            return match seen {
                Err(cause) => Err(cause.context(late)),
                Ok(_) => bail!(late),
            };
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
