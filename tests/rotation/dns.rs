//! The real external-dns, which writes into a real knot by RFC 2136, and a resolver of our own that asks it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::external_dns::Records;
use crate::lab::{ApiServer, Process, free_port, program, wait_for};
use crate::services::ZONE;

/// How often each name is asked for.
const PACE: Duration = Duration::from_millis(200);
const TSIG_NAME: &str = "lab";
const TSIG_SECRET: &str = "bGFiIHNlY3JldCBvZiAzMiBieXRlcyBmb3IgdHNpZyE=";

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// What DNS said of a name.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) sent: Instant,
    pub(crate) received: Instant,
    pub(crate) name: String,
    pub(crate) records: Records,
}

/// knot and external-dns; they end with the value.
pub(crate) struct RealDns {
    server: SocketAddr,
    _external_dns: Process,
    _knot: Process,
}

impl RealDns {
    /// Starts both, in the network namespace of the calling thread. external-dns reads the first annotation prefix.
    pub(crate) fn start(api: &ApiServer) -> Result<Self> {
        let dir = api.dir().join("dns");
        std::fs::create_dir_all(&dir)?;
        let server = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        std::fs::write(
            dir.join(format!("{ZONE}.zone")),
            format!("$ORIGIN {ZONE}.\n@ 1 SOA ns hostmaster 1 60 60 3600 1\n@ 1 NS ns\nns 1 A 127.0.0.1\n"),
        )?;
        let config = dir.join("knot.conf");
        std::fs::write(&config, knot_configuration(&dir.display().to_string(), server))?;
        let mut command = Command::new("knotd");
        command.arg("--config").arg(&config);
        let mut knot = Process::spawn("knotd", &mut command, &dir.join("knot.log"))?;
        wait_for("knot answers", Duration::from_secs(20), || {
            if let Err(error) = knot.check_alive() {
                return Ok(Some(Err(error)));
            }
            Ok(ask(server, &format!("ns.{ZONE}")).is_ok_and(|records| !records.a.is_empty()).then_some(Ok(())))
        })??;
        let external_dns = start_external_dns(api, server)?;
        Ok(Self { server, _external_dns: external_dns, _knot: knot })
    }

    /// What it answers for a name.
    pub(crate) fn ask(&self, name: &str) -> Result<Records> {
        ask(self.server, name)
    }

    /// Asks for names without a pause until the value goes.
    pub(crate) fn poll(&self) -> Result<(Poller, Receiver<Answered>)> {
        let (sender, answers) = channel();
        let names = Arc::new(Mutex::new(BTreeSet::<String>::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (asked, done, server) = (Arc::clone(&names), Arc::clone(&over), self.server);
        let thread = std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let names = asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
                for name in names {
                    let sent = Instant::now();
                    let Ok(records) = ask(server, &name) else { continue };
                    let answered = Answered { sent, received: Instant::now(), name, records };
                    if sender.send(answered).is_err() {
                        return;
                    }
                }
                std::thread::sleep(PACE);
            }
        })?;
        Ok((Poller { names, over, thread: Some(thread) }, answers))
    }
}

/// Asks until it goes.
pub(crate) struct Poller {
    names: Arc<Mutex<BTreeSet<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Poller {
    /// Asks for this name, too.
    pub(crate) fn add(&self, name: String) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn knot_configuration(dir: &str, server: SocketAddr) -> String {
    format!(
        r#"server:
    listen: {ip}@{port}
    rundir: "{dir}"
log:
  - target: stderr
    any: info
database:
    storage: "{dir}"
key:
  - id: {TSIG_NAME}
    algorithm: hmac-sha256
    secret: {TSIG_SECRET}
acl:
  - id: lab
    key: {TSIG_NAME}
    action: [transfer, update]
zone:
  - domain: {ZONE}
    storage: "{dir}"
    file: "{ZONE}.zone"
    acl: lab
"#,
        ip = server.ip(),
        port = server.port()
    )
}

fn start_external_dns(api: &ApiServer, server: SocketAddr) -> Result<Process> {
    let mut command = Command::new(program("external-dns")?);
    command.args([
        format!("--kubeconfig={}", api.kubeconfig_admin()?.display()),
        format!("--domain-filter={ZONE}"),
        format!("--rfc2136-host={}", server.ip()),
        format!("--rfc2136-port={}", server.port()),
        format!("--rfc2136-zone={ZONE}"),
        format!("--rfc2136-tsig-keyname={TSIG_NAME}"),
        format!("--rfc2136-tsig-secret={TSIG_SECRET}"),
        format!("--metrics-address=127.0.0.1:{}", free_port()?),
    ]);
    command.args([
        "--source=service",
        "--provider=rfc2136",
        "--policy=sync",
        "--registry=txt",
        "--txt-owner-id=lab",
        "--rfc2136-tsig-secret-alg=hmac-sha256",
        "--rfc2136-axfr",
        "--rfc2136-min-ttl=0s",
        "--interval=1m",
        "--events",
        "--min-event-sync-interval=1s",
    ]);
    let mut process = Process::spawn("external-dns", &mut command, &api.dir().join("dns/external-dns.log"))?;
    process.check_alive()?;
    Ok(process)
}

/// Asks a server for the addresses of a name.
fn ask(server: SocketAddr, name: &str) -> Result<Records> {
    let mut records = Records::default();
    for kind in [A, AAAA] {
        query(server, name, kind, &mut records)?;
    }
    Ok(records)
}

/// One question by UDP (RFC 1035 §4), and what its answer section holds.
fn query(server: SocketAddr, name: &str, kind: u16, records: &mut Records) -> Result<()> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.connect(server)?;
    // One question, nothing else.
    let mut message = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len())?);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    socket.send(&message)?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer)?;
    let answer = &answer[..length];
    let word = |at: usize| -> Result<u16> {
        let bytes = answer.get(at..at + 2).context("a short answer")?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    let code = word(2)? & 0xf;
    // NOERROR and NXDOMAIN are answers; anything else is trouble.
    ensure!(code == 0 || code == 3, "the answer for {name} has code {code}");
    ensure!(word(2)? & 0x200 == 0, "the answer for {name} was cut");
    let mut at = message.len();
    for _ in 0..word(6)? {
        at = after_name(answer, at)?;
        let (found, size) = (word(at)?, usize::from(word(at + 8)?));
        let data = answer.get(at + 10..at + 10 + size).context("a short answer")?;
        match found {
            A => drop(records.a.insert(Ipv4Addr::from(<[u8; 4]>::try_from(data)?))),
            AAAA => drop(records.aaaa.insert(Ipv6Addr::from(<[u8; 16]>::try_from(data)?))),
            CNAME => drop(records.cname.insert(format!("{data:02x?}"))),
            _ => {}
        }
        at += 10 + size;
    }
    Ok(())
}

/// The place behind a name (RFC 1035 §4.1.4).
fn after_name(message: &[u8], mut at: usize) -> Result<usize> {
    loop {
        match message.get(at) {
            Some(0) => return Ok(at + 1),
            Some(length) if length & 0xc0 == 0xc0 => return Ok(at + 2),
            Some(length) => at += 1 + usize::from(*length),
            None => bail!("a short answer"),
        }
    }
}
