//! What a year of renewals costs: the DHCPv6 client in virtual time, with a server that always answers, 20 ms later.
//!
//! What is measured is all that the daemon does of itself for a renewal: the timer, the Renew, the Reply read, the
//! report. Not in it are the kernel, the store and whoever reads the report. The server is a Reply whose transaction-id
//! is replaced, so that it costs nothing.
//!
//! `cargo bench --bench year`, with `-- --days 7` for a first impression. Never a part of CI.

#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program that prints and looks at the clock"
)]

use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use dyn_prefix::source::dhcpv6::client::Received;
use dyn_prefix::source::dhcpv6::wire::{Duid, IaPd, IaPrefix, Incoming, ServerMessage, Status, server};
use dyn_prefix::source::dhcpv6::{Client, Delegation, DuidSetting, Memory, Settings};
use dyn_prefix::source::link::{LinkAddress, LinkState};
use dyn_prefix::source::{SourceReport, SourceState};
use dyn_prefix::time::Instant;
use nix::time::{ClockId, clock_gettime};

/// How long a datagram takes to the server and back.
const ROUND_TRIP: Duration = Duration::from_millis(20);
const OWN: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const IFINDEX: u32 = 2;
const IAID: u32 = 1;

/// Measures what a year of renewals costs
#[derive(clap::Parser)]
struct Options {
    /// Valid lifetimes of the leases, in seconds; they are renewed after half of it
    #[arg(long, value_delimiter = ',', default_value = "30,1800,86400")]
    leases: Vec<u32>,
    /// How long a year is
    #[arg(long, default_value = "365")]
    days: i64,
    /// `cargo bench` says so to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// What happened in a year.
#[derive(Default)]
struct Year {
    renewals: u64,
    wakes: u64,
    octets: usize,
    reports: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    println!("{} days each; load before: {}", options.days, std::fs::read_to_string("/proc/loadavg")?.trim());
    println!(
        "| lease     | renewals | wakes    | reports  | sent, MiB |   wall, ms |    CPU, ms | per renewal | RSS grew |"
    );
    println!(
        "|-----------|---------:|---------:|---------:|----------:|-----------:|-----------:|------------:|---------:|"
    );
    for lease in &options.leases {
        let (resident, wall, cpu) = (resident()?, std::time::Instant::now(), cpu()?);
        let year = live(*lease, options.days)?;
        let (wall, cpu) = (wall.elapsed(), self::cpu()? - cpu);
        let grown = self::resident()?.saturating_sub(resident);
        let Year { renewals, wakes, octets, reports } = year;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let (each, sent) = (cpu.as_secs_f64() * 1e6 / renewals.max(1) as f64, octets as f64 / f64::from(1 << 20));
        println!(
            "| {lease:>7} s | {renewals:>8} | {wakes:>8} | {reports:>8} | {sent:>9.2} | {:>10.1} | {:>10.1} | \
             {each:>8.2} µs | {grown:>4} KiB |",
            wall.as_secs_f64() * 1e3,
            cpu.as_secs_f64() * 1e3,
        );
    }
    Ok(())
}

/// Lives so many days with a lease of so many seconds.
fn live(lease: u32, days: i64) -> Result<Year> {
    let start = Instant::from_secs(1000);
    let mut now = start;
    let mut client = Client::new(settings(), Memory::new(client_id()), [7; 32], now);
    client.handle_link(Some(link()), now);
    let (mut advertise, mut reply) = (answer(ServerMessage::Advertise, lease), answer(ServerMessage::Reply, lease));
    let mut year = Year::default();
    let mut latest = None;
    while now.saturating_since(start) < Duration::from_secs(86_400 * u64::try_from(days)?) {
        (now, _) = client.poll_timeout().context("a client with a lease has something to do")?;
        client.handle_timeout(now);
        year.wakes += 1;
        while let Some(sent) = client.poll_transmit() {
            year.octets += sent.len();
            now = now + ROUND_TRIP;
            let is_solicit = sent.first() == Some(&1);
            year.renewals += u64::from(sent.first() == Some(&5));
            let bytes = if is_solicit { &mut advertise } else { &mut reply };
            bytes[1..4].copy_from_slice(&sent[1..4]);
            client.handle_datagram(&Received { destination: OWN, ifindex: IFINDEX, bytes }, now);
        }
        while client.poll_notice().is_some() {}
        while let Some(report) = client.poll_report() {
            year.reports += 1;
            latest = Some(report);
        }
    }
    // Whatever the cost: it is the cost of having kept the prefix.
    let held = |report: &SourceReport| report.state == SourceState::Bound && report.offers.len() == 1;
    ensure!(latest.is_some_and(|report| held(&report)), "the prefix was lost");
    let expected = 86_400 * u64::try_from(days)? / u64::from(lease / 2);
    ensure!(year.renewals.abs_diff(expected) <= expected / 100 + 1, "{} renewals, not {expected}", year.renewals);
    Ok(year)
}

fn settings() -> Settings {
    Settings {
        interface: "wan0".to_owned(),
        duid: DuidSetting::Auto,
        rapid_commit: false,
        reconfigure: false,
        require_router_advertisement: false,
        request_address: false,
        raw_options: Vec::new(),
        priority: None,
        take_over: false,
        delegations: vec![Delegation {
            dynamic_prefix: "home".to_owned(),
            iaid: Some(IAID),
            requested_length: None,
            hint: None,
            unreachable_route: false,
        }],
    }
}

fn client_id() -> Duid {
    Duid::uuid([7; 16])
}

fn link() -> LinkState {
    let addresses = vec![LinkAddress { address: OWN, tentative: false }];
    LinkState { ifindex: IFINDEX, up: true, mac: Some([2, 0, 0, 0, 0, 1]), addresses }
}

/// What the server sends, but for the transaction-id.
fn answer(kind: ServerMessage, valid: u32) -> Vec<u8> {
    let prefix = "2001:db8:1::/56".parse().expect("a prefix");
    let prefix = IaPrefix { prefix, preferred: valid, valid, status: Status::default(), excluded: None };
    let t2 = valid / 5 * 4;
    let delegation = IaPd { iaid: IAID, t1: valid / 2, t2, status: Status::default(), prefixes: vec![prefix] };
    let message = Incoming {
        client_id: Some(client_id()),
        server_id: Some(Duid::uuid([9; 16])),
        preference: u8::MAX,
        delegations: vec![delegation],
        ..Incoming::new(kind, [0; 3])
    };
    server::encode(&message, &[])
}

/// The processor time that this process has used.
fn cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// VmRSS, in KiB.
fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
