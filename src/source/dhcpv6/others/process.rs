//! Running programs, judged by their command lines, which everyone may read.

use super::{Client, Facts, dhcpcd};

/// A running program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Its command line; argument 0 is how it calls itself.
    pub arguments: Vec<String>,
}

impl Process {
    /// The name of the program; `None` when it is none that speaks DHCPv6.
    pub fn program(&self) -> Option<&'static str> {
        let first = self.arguments.first()?;
        // A program may write a title over its arguments: "dhcpcd: [manager] [ip4] [ip6]".
        let word = first.split_whitespace().next()?.trim_end_matches(':');
        let name = word.rsplit('/').next()?;
        ["dhcpcd", "odhcp6c", "dhclient", "dhcp6c", "dibbler-client", "udhcpc6"]
            .into_iter()
            .find(|known| *known == name)
    }

    fn has(&self, options: &[&str]) -> bool {
        self.arguments.iter().any(|argument| options.contains(&argument.as_str()))
    }
}

pub(super) fn judge(process: &Process, facts: &Facts) -> Option<Client> {
    let program = process.program()?;
    let interface = facts.interface.as_str();
    if !asks(program, process, facts) {
        return None;
    }
    let advice = match program {
        "dhcpcd" => format!("Write `denyinterfaces {interface}` into /etc/dhcpcd.conf and restart dhcpcd"),
        _ => format!("Stop {program}, or keep it off {interface}"),
    };
    Some(Client { who: format!("{program} (process {}) runs as a DHCPv6 client on {interface}", process.pid), advice })
}

/// Whether it asks by DHCPv6 on the interface.
fn asks(program: &str, process: &Process, facts: &Facts) -> bool {
    let interface = facts.interface.as_str();
    match program {
        "dhcpcd" => {
            let denied = facts.dhcpcd_conf.as_deref().is_some_and(|conf| dhcpcd::leaves_alone(conf, interface));
            !denied && dhcpcd_asks(process, facts)
        }
        "dhclient" => process.has(&["-6"]) && not_only_elsewhere(process, facts),
        "dibbler-client" => process.has(&["start", "run"]) && not_only_elsewhere(process, facts),
        "udhcpc6" => {
            names(process, facts).contains(&interface) || names(process, facts).is_empty() && interface == "eth0"
        }
        // These serve the interfaces of their arguments and no others.
        _ => names(process, facts).contains(&interface),
    }
}

fn dhcpcd_asks(process: &Process, facts: &Facts) -> bool {
    let first = process.arguments.first().map(String::as_str).unwrap_or_default();
    let Some(rest) = first.strip_prefix("dhcpcd:") else {
        return !process.has(&["-4", "--ipv4only"]) && not_only_elsewhere(process, facts);
    };
    let words: Vec<&str> = rest.split_whitespace().collect();
    dhcpcd::title(&words).is_some_and(|name| name.is_empty() || name == facts.interface)
}

/// Whether its arguments name the interface, or none at all.
fn not_only_elsewhere(process: &Process, facts: &Facts) -> bool {
    let names = names(process, facts);
    names.is_empty() || names.contains(&facts.interface.as_str())
}

/// The arguments that are names of interfaces, also written `-iNAME` and `--interface=NAME`.
fn names<'a>(process: &'a Process, facts: &Facts) -> Vec<&'a str> {
    let arguments = process.arguments.iter().skip(1).map(|argument| {
        argument.strip_prefix("--interface=").or_else(|| argument.strip_prefix("-i")).unwrap_or(argument)
    });
    arguments.filter(|name| *name == facts.interface || facts.interfaces.contains(*name)).collect()
}
