//! A host that is short of something, as file descriptors: who asks has to wait, and the daemon does its work.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};

use nix::sys::signal::Signal;

use super::home::{FIXED, Home, PATIENCE};

#[test]
fn without_a_file_descriptor_who_asks_waits_and_the_daemon_goes_on() {
    let home = Home::new(FIXED);
    let mut daemon = home.start();
    daemon.until("its tasks have what they need", |status| status["clusters"][0]["state"] == "misconfigured");
    daemon.limit_open_files(Some(0));
    let watch = daemon.watch(&[]);
    let told = daemon.until_logged("Who asks at the control socket has to wait");
    assert!(told.contains("Too many open files") && told.contains("LimitNOFILE="), "{told}");
    daemon.limit_open_files(None);
    assert!(watch.next("the answer").starts_with("dyn-prefix"));
    daemon.until_logged("Connections to the control socket are accepted again");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
    let told = daemon.whole_log().iter().filter(|line| line.contains("has to wait")).count();
    assert_eq!(told, 1);
}

#[test]
fn metrics_are_served_again_once_there_are_file_descriptors() {
    let address = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let home = Home::new(&FIXED.replacen("[daemon]\n", &format!("[daemon]\nlisten = \"{address}\"\n"), 1));
    let mut daemon = home.start();
    daemon.until("its tasks have what they need", |status| status["clusters"][0]["state"] == "misconfigured");
    daemon.limit_open_files(Some(0));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    daemon.until_logged("Who asks at `listen` of [daemon] has to wait");
    daemon.limit_open_files(None);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    daemon.until_logged("Connections to `listen` of [daemon] are accepted again");
}

/// A cluster that comes while there is no file descriptor is told of and tried again, as one whose kubeconfig cannot be
/// read.
#[test]
fn clusters_that_come_without_a_file_descriptor_are_tried_again() {
    let home = Home::new(FIXED);
    let mut daemon = home.start();
    daemon.until("its tasks have what they need", |status| status["clusters"][0]["state"] == "misconfigured");
    let with_more = |place: &str| {
        let more = |number| format!("[[cluster]]\nname = \"more-{number}\"\nkubeconfig = \"DIR/{place}-{number}\"\n\n");
        let more: String = (0..8).map(more).collect();
        FIXED.replacen("[[dynamicPrefix]]", &format!("{more}[[dynamicPrefix]]"), 1)
    };
    home.configure(&with_more("here"));
    // One to read the file with, and not one for each of them.
    daemon.leave_open_files(1);
    daemon.signal(Signal::SIGHUP);
    let told = daemon.until_logged("Too many open files");
    assert!(told.contains("more-"), "{told}");
    daemon.limit_open_files(None);
    // Sooner than by themselves, which is after half a minute.
    home.configure(&with_more("there"));
    daemon.signal(Signal::SIGHUP);
    daemon.until("they are tried again", |status| {
        let clusters = status["clusters"].as_array().expect("clusters");
        let is_tried = |cluster: &&serde_json::Value| {
            let reason = cluster["reason"].to_string() + &cluster["message"].to_string();
            reason.contains("there-") && reason.contains("No such file")
        };
        clusters.iter().filter(is_tried).count() == 8
    });
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(), Some(0));
}
