//! dhcpcd: what it calls itself, and what its configuration keeps it from (dhcpcd.conf(5)).

/// Whether its configuration keeps it from DHCPv6 on an interface.
pub(super) fn leaves_alone(conf: &str, interface: &str) -> bool {
    let mut applies = true;
    let mut allowed = None;
    for line in conf.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let keyword = words.next().unwrap_or_default();
        let matches = |mut words: std::str::SplitWhitespace<'_>| words.any(|pattern| is_like(interface, pattern));
        match keyword {
            "denyinterfaces" if matches(words.clone()) => return true,
            "allowinterfaces" => allowed = Some(allowed.unwrap_or(false) || matches(words)),
            "interface" => applies = words.next() == Some(interface),
            "ssid" | "profile" => applies = false,
            "ipv4only" | "noipv6" | "nodhcp6" if applies => return true,
            _ => {}
        }
    }
    allowed == Some(false)
}

/// Whether the title of a dhcpcd process is that of one that asks by DHCPv6 for some interface: `None` for its helpers and
/// for one of IPv4 alone, else the interface, or an empty string for all.
pub(super) fn title(words: &[&str]) -> Option<String> {
    let ipv4_alone = words.contains(&"[ip4]") && !words.contains(&"[ip6]");
    match words.first() {
        Some(_) if ipv4_alone => None,
        Some(&("[manager]" | "[master]")) => Some(String::new()),
        Some(word) if !word.starts_with('[') => Some((*word).to_owned()),
        _ => None,
    }
}

/// A pattern of the shell, of which interface names need `*` and `?`.
fn is_like(name: &str, pattern: &str) -> bool {
    let (Some(first), rest) = (pattern.chars().next(), pattern.chars().skip(1).collect::<String>()) else {
        return name.is_empty();
    };
    let mut letters = name.chars();
    match first {
        '*' => (0..=name.len()).filter_map(|from| name.get(from..)).any(|tail| is_like(tail, &rest)),
        '?' => letters.next().is_some() && is_like(letters.as_str(), &rest),
        _ => letters.next() == Some(first) && is_like(letters.as_str(), &rest),
    }
}
