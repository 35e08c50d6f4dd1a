//! nftables, as `nft -j list ruleset` prints it (libnftables-json(5)).

use std::collections::BTreeMap;

use ipnet::Ipv6Net;
use serde_json::Value;

use super::{Action, Arriving, Base, Chains, PORTS, Packet, Rule, Truth};

/// The chains that an arriving packet meets, each rule beside the packet; without those of `ip6tables`, the text of
/// `ip6tables-save`, which can be made of nftables, and whose rules nft does not print in full.
///
/// # Errors
/// When the text is not what nft prints.
pub fn chains(text: &str, ip6tables: &str, arriving: &Arriving<'_>) -> Result<Chains, String> {
    let ruleset: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let all = ruleset["nftables"].as_array().ok_or("it has no list `nftables`")?;
    let reader = Reader { arriving, sets: sets(all) };
    let mut chains = Chains::default();
    for object in all {
        if let Some(chain) = object.get("chain") {
            let is_met = !is_of_ip6tables(chain, ip6tables) && !is_dormant(all, chain);
            chains.bases.extend(reader.base(chain).filter(|_| is_met));
        } else if let Some(rule) = object.get("rule") {
            let rules = reader.rules(rule);
            chains.rules.entry(key(rule, &rule["chain"])).or_default().extend(rules);
        }
    }
    Ok(chains)
}

fn is_of_ip6tables(chain: &Value, saved: &str) -> bool {
    let [table, name] = ["table", "name"].map(|key| chain[key].as_str().unwrap_or_default());
    let starts = |line: &str| line.strip_prefix('*') == Some(table);
    let of_table = saved.lines().skip_while(|line| !starts(line)).take_while(|line| *line != "COMMIT");
    let is_declared = |line: &str| line.strip_prefix(':').and_then(|line| line.split(' ').next()) == Some(name);
    chain["family"] == "ip6" && of_table.into_iter().any(is_declared)
}

/// Whether it lies in a table with `flags dormant`: no packet meets the chains of such a one.
fn is_dormant(all: &[Value], chain: &Value) -> bool {
    let mut tables = all.iter().filter_map(|object| object.get("table"));
    let table = tables.find(|table| table["name"] == chain["table"] && table["family"] == chain["family"]);
    table.is_some_and(|table| has_flag(table, "dormant"))
}

/// Family, table and name.
fn key(object: &Value, name: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {} {}", word(&object["family"]), word(&object["table"]), word(name))
}

/// The elements of named sets.
fn sets(all: &[Value]) -> BTreeMap<String, Vec<Value>> {
    let named = all.iter().filter_map(|object| object.get("set"));
    // One that programs fill has no elements now, and may have some in a moment.
    let fixed = named.filter(|set| !has_flag(set, "dynamic"));
    fixed.map(|set| (key(set, &set["name"]), set["elem"].as_array().cloned().unwrap_or_default())).collect()
}

/// nft prints a list of them, and newer ones a single one as it is.
fn has_flag(object: &Value, flag: &str) -> bool {
    let flags = &object["flags"];
    flags == flag || flags.as_array().into_iter().flatten().any(|found| found == flag)
}

struct Reader<'a> {
    arriving: &'a Arriving<'a>,
    sets: BTreeMap<String, Vec<Value>>,
}

/// What the packet has where an expression looks.
enum Has {
    /// This number.
    Number(u64),
    /// One of these words, whichever nft prints.
    Words(Vec<String>),
    /// An address.
    Source,
    /// An address.
    Destination,
    /// Nothing: the expression is about another protocol.
    Nothing,
    /// It cannot be said.
    Unknown,
}

impl Reader<'_> {
    fn base(&self, chain: &Value) -> Option<Base> {
        let family = chain["family"].as_str()?;
        let is_met = match (family, chain["hook"].as_str()?) {
            ("inet" | "ip6", "prerouting" | "input") => true,
            ("inet" | "netdev", "ingress") => {
                let device = &chain["dev"];
                device == self.arriving.interface
                    || device.as_array().into_iter().flatten().any(|name| name == self.arriving.interface)
            }
            _ => false,
        };
        let drops = chain["policy"] == "drop";
        is_met.then(|| Base { chain: key(chain, &chain["name"]), drops })
    }

    fn rules(&self, rule: &Value) -> Vec<Rule> {
        let text = describe(rule);
        let mut matches = Truth::Yes;
        let mut rules = Vec::new();
        for expression in rule["expr"].as_array().into_iter().flatten() {
            let Some((kind, value)) = expression.as_object().and_then(|object| object.iter().next()) else { continue };
            if kind == "match" {
                matches = matches.and(self.matches(value, rule));
            } else if kind == "vmap" {
                rules.extend(self.vmap(value, matches, rule, &text));
            } else if let Some(action) = action(kind, value, rule) {
                rules.push(Rule { matches, action, text: text.clone() });
            } else if !is_harmless(kind) {
                // A limit, for instance.
                matches = matches.and(Truth::Maybe);
            }
        }
        rules
    }

    fn vmap(&self, map: &Value, matches: Truth, rule: &Value, text: &str) -> Vec<Rule> {
        let unknown =
            || vec![Rule { matches: matches.and(Truth::Maybe), action: Action::Unknown, text: text.to_owned() }];
        let Some(pairs) = map["data"]["set"].as_array() else { return unknown() };
        let has = self.has(&map["key"]);
        let one = |pair: &Value| {
            let verdict = pair[1].as_object()?.iter().next()?;
            let action = action(verdict.0, verdict.1, rule)?;
            let matches = matches.and(self.is(&has, &pair[0], rule));
            Some(Rule { matches, action, text: text.to_owned() })
        };
        pairs.iter().map(one).collect::<Option<Vec<_>>>().unwrap_or_else(unknown)
    }

    fn matches(&self, value: &Value, rule: &Value) -> Truth {
        let has = self.has(&value["left"]);
        if matches!(has, Has::Nothing) {
            return Truth::No;
        }
        let right = &value["right"];
        match value["op"].as_str() {
            Some("==" | "in") => self.is(&has, right, rule),
            Some("!=") => self.is(&has, right, rule).not(),
            Some(order @ ("<" | ">" | "<=" | ">=")) => match (&has, right.as_u64()) {
                (Has::Number(number), Some(limit)) => Truth::of(match order {
                    "<" => *number < limit,
                    ">" => *number > limit,
                    "<=" => *number <= limit,
                    _ => *number >= limit,
                }),
                _ => Truth::Maybe,
            },
            _ => Truth::Maybe,
        }
    }

    /// What the packet has there.
    fn has(&self, left: &Value) -> Has {
        let words = |words: &[&str]| Has::Words(words.iter().map(|word| (*word).to_owned()).collect());
        let is_dhcpv6 = self.arriving.packet == Packet::Dhcpv6;
        if let Some(key) = left["meta"]["key"].as_str() {
            return match key {
                "iif" | "iifname" => words(&[self.arriving.interface]),
                "l4proto" => words(if is_dhcpv6 { &["udp"] } else { &["ipv6-icmp", "icmpv6"] }),
                "nfproto" => words(&["ipv6"]),
                "protocol" => words(&["ip6"]),
                "pkttype" if is_dhcpv6 => words(&["host", "unicast"]),
                _ => Has::Unknown,
            };
        }
        if left["ct"]["key"] == "state" {
            return words(&[if is_dhcpv6 { "new" } else { "untracked" }]);
        }
        let payload = &left["payload"];
        match (payload["protocol"].as_str(), payload["field"].as_str()) {
            (Some("udp" | "th"), Some(field)) if is_dhcpv6 => match field {
                "sport" => Has::Number(PORTS.0.into()),
                "dport" => Has::Number(PORTS.1.into()),
                _ => Has::Unknown,
            },
            (Some("icmpv6"), Some(field)) if !is_dhcpv6 => match field {
                "type" => words(&["nd-router-advert"]),
                "code" => Has::Number(0),
                _ => Has::Unknown,
            },
            (Some("ip6"), Some(field)) => match field {
                "saddr" => Has::Source,
                "daddr" => Has::Destination,
                "hoplimit" if !is_dhcpv6 => Has::Number(255),
                "nexthdr" => words(if is_dhcpv6 { &["udp"] } else { &["ipv6-icmp", "icmpv6"] }),
                _ => Has::Unknown,
            },
            (Some("ether"), _) | (None, _) => Has::Unknown,
            (Some(_), _) => Has::Nothing,
        }
    }

    /// Whether what the packet has is, or is among, what stands on the right.
    fn is(&self, has: &Has, right: &Value, rule: &Value) -> Truth {
        if matches!(has, Has::Unknown) {
            return Truth::Maybe;
        }
        let among = |elements: &[Value]| {
            elements
                .iter()
                .map(|element| self.is(has, element, rule))
                .max_by_key(|truth| *truth as u8)
                .unwrap_or(Truth::No)
        };
        if let Some(elements) = right["set"].as_array().or_else(|| right.as_array()) {
            return among(elements);
        }
        if let Some(name) = right.as_str().and_then(|text| text.strip_prefix('@')) {
            let found = self.sets.get(&key(rule, &Value::from(name)));
            return found.map_or(Truth::Maybe, |elements| among(elements));
        }
        // An element with a time-out or a comment.
        if let Some(inner) = right["elem"].get("val") {
            return self.is(has, inner, rule);
        }
        match has {
            Has::Number(number) => is_number(*number, right),
            Has::Words(words) => right.as_str().map_or(Truth::Maybe, |text| is_word(words, text)),
            Has::Source => network(right).map_or(Truth::Maybe, |network| self.arriving.source_in(network)),
            Has::Destination => network(right).map_or(Truth::Maybe, |network| self.arriving.destination_in(network)),
            Has::Nothing => Truth::No,
            Has::Unknown => Truth::Maybe,
        }
    }
}

fn is_number(number: u64, right: &Value) -> Truth {
    if let Some(ends) = right["range"].as_array() {
        let [Some(first), Some(last)] = [0, 1].map(|end| ends.get(end).and_then(Value::as_u64)) else {
            return Truth::Maybe;
        };
        return Truth::of((first..=last).contains(&number));
    }
    right.as_u64().map_or(Truth::Maybe, |other| Truth::of(number == other))
}

fn is_word(words: &[String], text: &str) -> Truth {
    Truth::of(words.iter().any(|word| match text.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => word == text,
    }))
}

fn network(right: &Value) -> Option<Ipv6Net> {
    if let Some(prefix) = right.get("prefix") {
        let length = u8::try_from(prefix["len"].as_u64()?).ok()?;
        return Ipv6Net::new(prefix["addr"].as_str()?.parse().ok()?, length).ok();
    }
    Ipv6Net::new(right.as_str()?.parse().ok()?, 128).ok()
}

fn action(kind: &str, value: &Value, rule: &Value) -> Option<Action> {
    let target = || key(rule, &value["target"]);
    Some(match kind {
        "xt" if value["type"] == "target" => match value["name"].as_str() {
            Some("REJECT") => Action::Drop,
            Some("LOG" | "NFLOG" | "MARK" | "CONNMARK" | "CT") => Action::Nothing,
            _ => Action::Unknown,
        },
        // A comment of iptables; its other matches are Maybe.
        "xt" if value["name"] == "comment" => Action::Nothing,
        "accept" => Action::Accept,
        "drop" | "reject" => Action::Drop,
        "return" => Action::Return,
        "continue" => Action::Nothing,
        "jump" => Action::Jump(target()),
        "goto" => Action::Goto(target()),
        "queue" | "tproxy" | "redirect" | "dnat" | "synproxy" | "fwd" => Action::Unknown,
        _ => return None,
    })
}

/// What does not decide whether a rule matches.
fn is_harmless(kind: &str) -> bool {
    const HARMLESS: [&str; 9] =
        ["counter", "log", "mangle", "notrack", "set", "ct helper", "comment", "quota_consumed", "flow"];
    HARMLESS.contains(&kind)
}

fn describe(rule: &Value) -> String {
    let chain = key(rule, &rule["chain"]);
    let comment = rule["comment"].as_str().map(|text| format!(" ({text:?})")).unwrap_or_default();
    let handle = rule["handle"].as_u64().unwrap_or_default();
    format!("the rule with the handle {handle}{comment} of the chain {chain} (`nft -a list chain {chain}`)")
}
