//! Takes UDP port 546 of an interface, or says why not. Blocks while it reads files: not for the threads of the runtime.

use std::io;
use std::path::Path;

use nix::libc;

use super::others::{self, Facts, Verdict};
use super::owner::Owner;
use super::socket::{self, Local};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The interface.
    pub interface: String,
    /// What to bind to.
    pub local: Local,
    /// The SO_PRIORITY of what is sent.
    pub priority: Option<u32>,
    /// `takeOver`: other clients are not looked for.
    pub take_over: bool,
    /// The port is ours already: only look whether another client has come.
    pub held: bool,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// The port is ours.
    Bound(socket2::Socket),
    /// It was and stays ours.
    Kept,
    /// There is another client on the interface; the text says who and what to do.
    Taken(String),
    /// It cannot be said yet; the text says what is waited for.
    Undecided(String),
    /// It cannot be had; the text says why and what to do.
    Failed(String),
}

/// Looks for other clients and takes the port if there are none. `root` is `/`.
pub fn acquire(request: &Request, root: &Path) -> Outcome {
    if !request.take_over {
        match others::judge(&others::gather(&request.interface, request.local.ifindex, root)) {
            Verdict::Free => {}
            Verdict::Undecided(who) => return Outcome::Undecided(who),
            Verdict::Taken(client) => return Outcome::Taken(client.refusal(&request.interface)),
        }
    }
    if request.held {
        return Outcome::Kept;
    }
    match socket::bind(request.local, request.priority) {
        Ok(socket) => Outcome::Bound(socket),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            in_use(request, others::owners(request.local.ifindex, root))
        }
        Err(error) => Outcome::Failed(failure(request, &error)),
    }
}

/// Somebody has it, although nobody was seen or nobody was looked for.
fn in_use(request: &Request, owners: Vec<Owner>) -> Outcome {
    let interface = &request.interface;
    if owners.iter().any(Owner::is_this_process) {
        return Outcome::Undecided(format!("a former socket of dyn-prefix on {interface} is still open"));
    }
    let named: Vec<String> = owners.iter().map(Owner::to_string).collect();
    let named =
        if named.is_empty() { "a program that the kernel does not name".to_owned() } else { named.join(" and ") };
    if !request.take_over {
        let facts = Facts { interface: interface.clone(), owners, ..Facts::default() };
        if let Verdict::Taken(client) = others::judge(&facts) {
            return Outcome::Taken(client.refusal(interface));
        }
    }
    Outcome::Failed(format!(
        "Cannot open UDP port 546 on {interface} for DHCPv6: it is held by {named}. Stop that program, or keep it off \
         {interface}: the port cannot be shared, for all answers of the servers reach only one of two clients"
    ))
}

fn failure(request: &Request, error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(libc::EACCES) => {
            "The capability CAP_NET_BIND_SERVICE is missing: run it by its systemd unit \
             (AmbientCapabilities=CAP_NET_BIND_SERVICE), as root, or after `setcap cap_net_bind_service,cap_net_raw=ep` \
             on the binary"
        }
        Some(libc::EPERM) if request.priority.is_some() => {
            "The kernel refuses the priority: above 6 it takes the capability CAP_NET_ADMIN, or CAP_NET_RAW since \
             Linux 5.16; a lower priority in acquisition.dhcpv6 needs none"
        }
        Some(libc::EAFNOSUPPORT) => {
            "IPv6 is disabled in the kernel (ipv6.disable=1), or the unit's RestrictAddressFamilies= lacks AF_INET6"
        }
        _ => "The interface may just have changed",
    };
    format!("Cannot open UDP port 546 on {} for DHCPv6: {error}. {advice}", request.interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(take_over: bool) -> Request {
        let local = Local { ifindex: 7, address: "fe80::2".parse().unwrap() };
        Request { interface: "wan".to_owned(), local, priority: Some(7), take_over, held: false }
    }

    fn owner(pid: u32) -> Owner {
        Owner { process: Some((pid, "odhcp6c".to_owned())), unit: None, uid: 0 }
    }

    #[test]
    fn a_missing_capability_is_named_and_how_to_get_it() {
        let text = failure(&request(false), &io::Error::from_raw_os_error(libc::EACCES));
        assert!(text.starts_with("Cannot open UDP port 546 on wan for DHCPv6: Permission denied"), "{text}");
        assert!(text.contains("AmbientCapabilities=CAP_NET_BIND_SERVICE"), "{text}");
        let text = failure(&request(false), &io::Error::from_raw_os_error(libc::EPERM));
        assert!(text.contains("priority") && text.contains("CAP_NET_RAW"), "{text}");
    }

    #[test]
    fn whoever_has_the_port_is_named() {
        let Outcome::Taken(text) = in_use(&request(false), vec![owner(1)]) else { panic!("it is another client") };
        assert!(text.starts_with("odhcp6c (process 1) holds UDP port 546 on wan"), "{text}");
        let Outcome::Failed(text) = in_use(&request(true), vec![owner(1)]) else { panic!("it is tried again") };
        assert!(text.contains("it is held by odhcp6c (process 1)."), "{text}");
        let Outcome::Failed(text) = in_use(&request(false), vec![]) else { panic!("nobody was seen") };
        assert!(text.contains("a program that the kernel does not name"), "{text}");
        assert!(matches!(in_use(&request(false), vec![owner(std::process::id())]), Outcome::Undecided(_)));
    }
}
