//! `daemon.listen`: what is served there, to whom, and what nobody can do with it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::home::{FIXED, Home, PATIENCE};

/// A port of the loopback interface that is free at the moment.
pub(super) fn free() -> SocketAddr {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// [`FIXED`], listening there.
fn listening(address: SocketAddr) -> String {
    FIXED.replacen("[daemon]\n", &format!("[daemon]\nlisten = \"{address}\"\n"), 1)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends this, and reads until the other side ends it: the status, the head, and the body.
fn exchange(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head[9..12].parse().unwrap(), head.to_lowercase(), body.to_owned())
}

pub(super) fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

/// The value of a sample, by its name and labels.
pub(super) fn sample(metrics: &str, name: &str) -> Option<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

#[test]
fn metrics_status_and_health_are_served() {
    let address = free();
    let home = Home::new(&listening(address));
    let daemon = home.start();
    daemon.until("the cluster is away", |status| status["clusters"][0]["state"] == "misconfigured");
    let (code, _, body) = get(address, "/healthz");
    assert_eq!((code, body.as_str()), (200, "ok\n"));
    let (code, _, body) = get(address, "/readyz");
    assert_eq!(
        (code, body.as_str()),
        (200, "ready: home 2001:db8:1::/56; 0 of 2 targets in sync; not connected: lab\n")
    );
    let (code, head, body) = get(address, "/status");
    assert!(code == 200 && head.contains("content-type: application/json"), "{head}");
    let status: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["dynamicPrefixes"][0]["currentPrefix"], "2001:db8:1::/56");
    let (code, head, metrics) = get(address, "/metrics");
    assert!(code == 200 && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let prefix = "dyn_prefix_prefix_info{dynamic_prefix=\"home\",prefix=\"2001:db8:1::/56\",source=\"static\"}";
    let pool = "cluster=\"lab\",kind=\"CiliumLoadBalancerIPPool\",namespace=\"\",name=\"pool\"";
    for (name, value) in [
        (prefix, 1.0),
        ("dyn_prefix_ready", 1.0),
        ("dyn_prefix_healthy", 0.0),
        ("dyn_prefix_config_last_reload_successful", 1.0),
        ("dyn_prefix_prefix_generation{dynamic_prefix=\"home\"}", 1.0),
        ("dyn_prefix_prefix_valid_until_timestamp_seconds{dynamic_prefix=\"home\"}", f64::INFINITY),
        ("dyn_prefix_prefix_condition{dynamic_prefix=\"home\",type=\"PrefixAcquired\"}", 1.0),
        ("dyn_prefix_prefix_transitions_total{dynamic_prefix=\"home\",transition=\"acquired\"}", 1.0),
        ("dyn_prefix_source_working{source=\"static\",interface=\"\"}", 1.0),
        ("dyn_prefix_cluster_connected{cluster=\"lab\"}", 0.0),
        (&format!("dyn_prefix_target_synced{{{pool}}}"), 0.0),
    ] {
        assert_eq!(sample(&metrics, name), Some(value), "{name}: {metrics}");
    }
    let memory = sample(&metrics, "process_resident_memory_bytes").unwrap();
    assert!((1e6..1e9).contains(&memory), "{memory}");
    let since_start = jiff_now() - sample(&metrics, "process_start_time_seconds").unwrap();
    assert!((-2.0..120.0).contains(&since_start), "{since_start}");
    assert!(sample(&metrics, "process_open_fds").unwrap() >= 5.0);
}

/// Two services, of which only what nobody may see differs, and a third: Prometheus refuses a scrape that has a series twice.
#[test]
fn several_services_that_are_asked_by_http_are_several_series() {
    let address = free();
    let nobody = free();
    let service = |name: &str, query: &str| {
        format!(
            "[[dynamicPrefix]]\nname = \"{name}\"\nacquisition.http = {{ url = \"http://{nobody}/ip{query}\", prefixLength = 56 }}\n"
        )
    };
    let services = [service("home", "?key=secret1"), service("office", "?key=secret2"), service("lab", "")].concat();
    let home = Home::new(&format!("[daemon]\nlisten = \"{address}\"\n{services}"));
    let daemon = home.start();
    daemon.until("three sources", |status| status["sources"].as_array().is_some_and(|sources| sources.len() == 3));
    let (code, _, metrics) = get(address, "/metrics");
    assert!(code == 200 && !metrics.contains("secret"), "{metrics}");
    for url in ["/ip", "/ip?…", "/ip?… (2)"] {
        let name = format!("dyn_prefix_source_working{{source=\"http\",interface=\"\",url=\"http://{nobody}{url}\"}}");
        assert!(sample(&metrics, &name).is_some(), "{name}: {metrics}");
    }
    let states = metrics.lines().filter(|line| line.starts_with("dyn_prefix_source_info{source=\"http\","));
    assert_eq!(states.count(), 3, "{metrics}");
    let mut series: Vec<&str> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, _)| series)
        .collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all, "a series is there twice: {metrics}");
}

fn jiff_now() -> f64 {
    #[expect(clippy::disallowed_methods, reason = "compared with what the program says of its start")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_secs_f64()
}

#[test]
fn there_is_nothing_but_reading() {
    let address = free();
    let home = Home::new(&listening(address));
    let _daemon = home.start();
    for method in ["POST", "DELETE", "PUT", "PATCH"] {
        let (code, head, _) =
            exchange(address, &format!("{method} /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
        assert!(code == 405 && head.contains("allow: get, head"), "{method}: {head}");
    }
    let (code, head, body) = exchange(address, "HEAD /status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(code == 200 && body.is_empty(), "{head}");
    assert_eq!(get(address, "/etc/passwd").0, 404);
    assert_eq!(get(address, "/metrics?x=1").0, 200);
    // What is no request, or too long a one, ends the connection; a head of 8 kB is more than any client sends.
    let (code, _, _) = exchange(address, "what is this\r\n\r\n");
    assert_eq!(code, 400);
    let long = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(20_000));
    let mut stream = connect(address);
    // It may hang up before it was all sent.
    let _sent = stream.write_all(long.as_bytes());
    let mut answer = Vec::new();
    let _until = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    let many: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    let (code, _, _) = exchange(address, &format!("GET /healthz HTTP/1.1\r\n{many}\r\n"));
    assert_eq!(code, 431);
    assert_eq!(get(address, "/healthz").0, 200);
}

/// As a page of the web has it asked that lets its own name point here.
#[test]
fn a_name_of_somebody_else_is_not_answered() {
    let address = free();
    let home = Home::new(&listening(address));
    let _daemon = home.start();
    let ask = |host: &str| exchange(address, &format!("GET /status HTTP/1.1\r\n{host}\r\n"));
    for host in ["Host: rebind.example\r\n", "Host: x:9478\r\n", "Host: localhost\r\nHost: rebind.example\r\n"] {
        let (code, _, body) = ask(host);
        assert!(code == 421 && !body.contains("2001:db8"), "{host}: {code} {body}");
    }
    let (code, _, _) = exchange(address, "GET http://rebind.example/status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(code, 421);
    let own = format!("Host: {address}\r\n");
    for host in [own.as_str(), "Host: localhost:9478\r\n", "Host: 127.0.0.1\r\n"] {
        assert_eq!(ask(host).0, 200, "{host}");
    }
}

/// Ten thousand connections that say nothing, a byte, or half a request, a thousand of them held at the same time.
#[test]
#[expect(clippy::disallowed_methods, reason = "measures how long an answer takes")]
fn who_dawdles_is_in_nobodys_way() {
    let address = free();
    let home = Home::new(&listening(address));
    let daemon = home.start();
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
    let at_once = usize::try_from(most / 2).unwrap().min(1000);
    let mut held = std::collections::VecDeque::new();
    for number in 0..10_000 {
        let mut stream = connect(address);
        let said = ["", "G", "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"][number % 3];
        // It may have been ended already, in favour of a newer one.
        let _sent = stream.write_all(said.as_bytes());
        held.push_back(stream);
        if held.len() > at_once {
            held.pop_front();
        }
        if number % 500 == 499 {
            let asked = Instant::now();
            assert_eq!(get(address, "/healthz").0, 200);
            assert!(asked.elapsed() < Duration::from_secs(2), "after {number}: {:?}", asked.elapsed());
        }
    }
    let (_, _, metrics) = get(address, "/metrics");
    let open = sample(&metrics, "process_open_fds").unwrap();
    assert!(open < 64.0 + 40.0, "at most 64 connections are kept: {open}");
    let memory = sample(&metrics, "process_resident_memory_bytes").unwrap();
    assert!(memory < 64e6, "{memory}");
    // The newest of them is ended, too, once its time is over.
    let mut last = held.pop_back().unwrap();
    let mut rest = Vec::new();
    match last.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert!(error.kind() == ErrorKind::ConnectionReset, "it is ended: {error}"),
    }
    daemon.until("it works on", |status| status["dynamicPrefixes"][0]["currentPrefix"] == "2001:db8:1::/56");
}

#[test]
fn an_address_that_is_taken_is_named_and_had_once_it_is_free() {
    let taken = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let home = Home::new(&listening(address));
    let mut daemon = home.start();
    let expected = format!(
        "cannot listen on {address} (daemon.listen): Address already in use (os error 98); another program has it (`ss \
         -ltnp sport = :{}` names it): choose another port",
        address.port()
    );
    daemon.until_logged(&expected);
    let works_without = |status: &Value| {
        status["daemon"]["listenError"] == *expected
            && status["dynamicPrefixes"][0]["currentPrefix"] == "2001:db8:1::/56"
    };
    daemon.until("it works on", works_without);
    let status = home.ask(&["status"]);
    assert!(status.code == Some(3) && status.stdout.contains(&format!("  no metrics: {expected}\n")), "{status:?}");
    // What else a reload changes is taken into use.
    home.configure(&listening(address).replace("2001:db8:1::", "2001:db8:2::"));
    assert_eq!(home.ask(&["reload"]).code, Some(0));
    drop(taken);
    daemon.until_logged(&format!("can be read on {address} now"));
    assert!(get(address, "/readyz").2.contains("home 2001:db8:2::/56"));
    daemon.until("the status is well of it", |status| status["daemon"]["listenError"].is_null());
}

#[test]
fn a_reload_moves_it_and_one_that_cannot_keeps_the_former() {
    let (first, second) = (free(), free());
    let home = Home::new(&listening(first));
    let _daemon = home.start();
    assert_eq!(get(first, "/healthz").0, 200);
    let taken = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    home.configure(&listening(taken.local_addr().unwrap()).replace("2001:db8:1::", "2001:db8:2::"));
    let refused = home.ask(&["reload"]);
    assert_eq!(refused.code, Some(78), "{refused:?}");
    let said = format!("{}{}", refused.stdout, refused.stderr);
    assert!(said.contains("cannot listen on") && said.contains("Address already in use"), "{said}");
    assert!(said.contains(":1: error: cannot listen on") && said.contains("| listen = \"[::1]:"), "{said}");
    let (code, _, body) = get(first, "/readyz");
    assert!(code == 200 && body.contains("home 2001:db8:1::/56"), "the former configuration stays whole: {body}");
    let (_, _, metrics) = get(first, "/metrics");
    assert_eq!(sample(&metrics, "dyn_prefix_config_last_reload_successful"), Some(0.0));
    for (address, gone) in [(second, Some(first)), (second, None)] {
        home.configure(&listening(address));
        assert_eq!(home.ask(&["reload"]).code, Some(0));
        assert_eq!(get(address, "/healthz").0, 200);
        assert!(gone.is_none_or(is_free));
    }
    // The same port on all addresses: the former one has to be left first.
    let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, second.port()));
    home.configure(&listening(all));
    let outcome = home.ask(&["reload"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(get(second, "/healthz").0, 200);
    home.configure(FIXED);
    assert_eq!(home.ask(&["reload"]).code, Some(0));
    assert!(is_free(second));
}

/// Whether nobody listens there, within a while: who served it is told to end when the new one runs.
#[expect(clippy::disallowed_methods, reason = "a limit to how long it may take")]
fn is_free(address: SocketAddr) -> bool {
    let begun = Instant::now();
    while TcpStream::connect(address).is_ok() {
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::thread::yield_now();
    }
    true
}
