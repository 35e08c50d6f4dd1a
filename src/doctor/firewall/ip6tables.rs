//! ip6tables, as `ip6tables-save` prints it.

use ipnet::Ipv6Net;

use super::{Action, Arriving, Base, Chains, PORTS, Packet, Rule, Truth};

/// The chains that an arriving packet meets, each rule beside the packet.
pub fn chains(text: &str, arriving: &Arriving<'_>) -> Chains {
    let mut chains = Chains::default();
    let mut table = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split_whitespace();
            let (name, policy) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let is_met = ["PREROUTING", "INPUT"].contains(&name) && table != "nat";
            chains.bases.extend(is_met.then(|| Base { chain: key(table, name), drops: policy == "DROP" }));
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let words = words(rule);
            let Some((chain, words)) = words.split_first() else { continue };
            let rule = Reader { arriving, table }.rule(words, line);
            chains.rules.entry(key(table, chain)).or_default().push(rule);
        }
    }
    chains
}

fn key(table: &str, chain: &str) -> String {
    format!("{table} {chain} of ip6tables")
}

/// Words, with what stands in quotes as one.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => words.last_mut().into_iter().for_each(|word| word.extend(letters.next())),
            ' ' if !is_quoted => words.push(String::new()),
            other => words.last_mut().into_iter().for_each(|word| word.push(other)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

struct Reader<'a> {
    arriving: &'a Arriving<'a>,
    table: &'a str,
}

impl Reader<'_> {
    fn rule(&self, words: &[String], line: &str) -> Rule {
        let mut matches = Truth::Yes;
        let mut action = Action::Nothing;
        let mut is_negated = false;
        let mut rest = words.iter().map(String::as_str);
        while let Some(word) = rest.next() {
            if word == "!" {
                is_negated = true;
                continue;
            }
            let negated = std::mem::take(&mut is_negated);
            match word {
                "-j" | "-g" => {
                    action = self.action(word, rest.next().unwrap_or_default());
                    break; // what follows are options of the target
                }
                "-m" => drop(rest.next()),
                "--comment" => drop(rest.next()),
                option => {
                    let truth = self.option(option, &mut rest);
                    matches = matches.and(if negated { truth.not() } else { truth });
                }
            }
        }
        Rule { matches, action, text: format!("the rule `{line}` of ip6tables, table {}", self.table) }
    }

    fn action(&self, how: &str, target: &str) -> Action {
        match target {
            "ACCEPT" => Action::Accept,
            "DROP" | "REJECT" => Action::Drop,
            "RETURN" => Action::Return,
            "LOG" | "NFLOG" | "MARK" | "CONNMARK" | "CT" | "NOTRACK" | "TRACE" | "TOS" | "DSCP" | "SET" => {
                Action::Nothing
            }
            "NFQUEUE" | "QUEUE" | "TPROXY" => Action::Unknown,
            chain if how == "-g" => Action::Goto(key(self.table, chain)),
            chain => Action::Jump(key(self.table, chain)),
        }
    }

    /// Takes the values of an option. One that is not known may be followed by words that look like options; then
    /// nothing is certain, which is right.
    fn option<'w>(&self, option: &str, rest: &mut impl Iterator<Item = &'w str>) -> Truth {
        let is_dhcpv6 = self.arriving.packet == Packet::Dhcpv6;
        let mut value = || rest.next().unwrap_or_default();
        match option {
            "-i" => interface(value(), self.arriving.interface),
            "-o" => Truth::No,
            "-p" => {
                let wanted: &[&str] = if is_dhcpv6 { &["udp", "17"] } else { &["ipv6-icmp", "icmpv6", "58"] };
                let value = value();
                Truth::of(value == "all" || wanted.contains(&value))
            }
            "-s" => network(value()).map_or(Truth::Maybe, |network| self.arriving.source_in(network)),
            "-d" => network(value()).map_or(Truth::Maybe, |network| self.arriving.destination_in(network)),
            "--dport" | "--dports" => self.ports(value(), PORTS.1),
            "--sport" | "--sports" => self.ports(value(), PORTS.0),
            "--icmpv6-type" => {
                let value = value();
                Truth::of(!is_dhcpv6 && ["134", "134/0", "router-advertisement"].contains(&value))
            }
            "--ctstate" | "--state" => {
                let state = if is_dhcpv6 { "NEW" } else { "UNTRACKED" };
                Truth::of(value().split(',').any(|found| found == state))
            }
            "--hl-eq" if !is_dhcpv6 => Truth::of(value() == "255"),
            "--pkt-type" if is_dhcpv6 => Truth::of(value() == "unicast"),
            _ => Truth::Maybe,
        }
    }

    fn ports(&self, list: &str, port: u16) -> Truth {
        let is_inside = |part: &str| {
            let (first, last) = part.split_once(':').unwrap_or((part, part));
            let [Ok(first), Ok(last)] = [first, last].map(str::parse::<u16>) else { return false };
            (first..=last).contains(&port)
        };
        Truth::of(self.arriving.packet == Packet::Dhcpv6 && list.split(',').any(is_inside))
    }
}

/// A trailing + stands for anything.
fn interface(wanted: &str, name: &str) -> Truth {
    Truth::of(match wanted.strip_suffix('+') {
        Some(start) => name.starts_with(start),
        None => wanted == name,
    })
}

fn network(text: &str) -> Option<Ipv6Net> {
    text.parse().ok().or_else(|| Ipv6Net::new(text.parse().ok()?, 128).ok())
}
