//! What each server has to be told, and how it is started.

use std::path::Path;

use anyhow::Result;
use ipnet::Ipv6Net;
use serde_json::json;

use super::{INTERFACE, KNOWN_CLIENT, Kind, Pool, touch, write};

/// The prefix of the link.
const LINK: &str = "2001:db8:100::";

/// Writes the configuration of a server; the arguments that start it in the foreground.
pub(super) fn write_for(kind: Kind, directory: &Path, pool: &Pool) -> Result<Vec<String>> {
    let words = match kind {
        Kind::Kea => vec!["-c".to_owned(), write(directory, "kea.json", &kea(directory, pool))?],
        Kind::Isc => {
            let mut words: Vec<String> = ["-6", "-d", "-f", "-cf"].map(str::to_owned).into();
            words.extend([write(directory, "dhcpd.conf", &isc(pool))?, "-lf".to_owned()]);
            words.extend([touch(directory, "lib/dhcpd.leases")?, "-pf".to_owned()]);
            words.extend([path(directory, "pid"), INTERFACE.to_owned()]);
            words
        }
        Kind::Dnsmasq => vec![
            "--keep-in-foreground".to_owned(),
            format!("--conf-file={}", write(directory, "dnsmasq.conf", &dnsmasq(pool))?),
            format!("--pid-file={}", path(directory, "pid")),
        ],
        Kind::Dibbler => {
            write(directory, "etc/dibbler/server.conf", &dibbler(pool))?;
            vec!["run".to_owned()]
        }
        Kind::Wide => vec![
            "-f".to_owned(),
            "-c".to_owned(),
            write(directory, "dhcp6s.conf", &wide(pool))?,
            "-P".to_owned(),
            path(directory, "pid"),
            INTERFACE.to_owned(),
        ],
    };
    Ok(words)
}

fn path(directory: &Path, name: &str) -> String {
    directory.join(name).display().to_string()
}

/// The whole pool of a server with 256 prefixes, or with one.
fn whole(pool: &Pool) -> Ipv6Net {
    let length = if pool.prefixes == 1 { pool.length } else { pool.length - 8 };
    Ipv6Net::new(pool.base, length).expect("a length")
}

fn kea(directory: &Path, pool: &Pool) -> String {
    let [t1, t2, preferred, valid] = pool.times;
    let whole = whole(pool);
    let mut delegated = json!({"prefix": whole.addr(), "prefix-len": whole.prefix_len(), "delegated-len": pool.length});
    if let Some(excluded) = pool.excluded {
        let excluded: Ipv6Net = excluded.parse().expect("a prefix");
        delegated["excluded-prefix"] = json!(excluded.addr());
        delegated["excluded-prefix-len"] = json!(excluded.prefix_len());
    }
    let pools = if pool.prefixes == 0 { vec![] } else { vec![delegated] };
    let identifier = format!("010203{:02x}", pool.server);
    json!({"Dhcp6": {
        "interfaces-config": {"interfaces": [INTERFACE]},
        // Without lfc-interval 0 it looks for a program of its own that is not where it was built for.
        "lease-database": {"type": "memfile", "lfc-interval": 0, "name": path(directory, "lib/kea/leases.csv")},
        "server-id": {"type": "EN", "enterprise-id": 32473, "identifier": identifier, "persist": false},
        "renew-timer": t1, "rebind-timer": t2, "preferred-lifetime": preferred, "valid-lifetime": valid,
        "subnet6": [{"subnet": format!("{LINK}/64"), "interface": INTERFACE, "rapid-commit": pool.rapid_commit,
            "pd-pools": pools}],
        "loggers": [{"name": "kea-dhcp6", "severity": "INFO", "output_options": [{"output": "stdout"}]}],
    }})
    .to_string()
}

fn isc(pool: &Pool) -> String {
    let [t1, t2, preferred, valid] = pool.times;
    let last = Ipv6Net::new(whole(pool).broadcast(), pool.length).expect("a length").network();
    let prefixes = format!("prefix6 {} {last} /{};", pool.base, pool.length);
    let prefixes = if pool.prefixes == 0 { "" } else { &prefixes };
    let rapid = if pool.rapid_commit { "option dhcp6.rapid-commit;" } else { "" };
    format!(
        "server-duid ll ethernet 02:00:00:00:01:{:02x};
authoritative;
default-lease-time {valid};
preferred-lifetime {preferred};
option dhcp-renewal-time {t1};
option dhcp-rebinding-time {t2};
{rapid}
subnet6 {LINK}/64 {{ {prefixes} }}
",
        pool.server
    )
}

fn dnsmasq(pool: &Pool) -> String {
    format!(
        "port=0
interface={INTERFACE}
enable-ra
dhcp-range={LINK}1000,{LINK}ffff,64,300
dhcp-duid=32473,01:02:03:{:02x}
log-dhcp
log-facility=-
leasefile-ro
user=root
",
        pool.server
    )
}

fn dibbler(pool: &Pool) -> String {
    let [t1, t2, preferred, valid] = pool.times;
    let (whole, length) = (whole(pool), pool.length);
    format!(
        "log-level 7
iface \"{INTERFACE}\" {{
  prefered-lifetime {preferred}
  valid-lifetime {valid}
  preference 10
  pd-class {{
    pd-pool {whole}
    pd-length {length}
    t1 {t1}
    t2 {t2}
  }}
}}
"
    )
}

/// It has neither a pool nor T1 and T2.
fn wide(pool: &Pool) -> String {
    let [_, _, preferred, valid] = pool.times;
    let duid: Vec<String> =
        KNOWN_CLIENT.as_bytes().chunks(2).map(|octet| String::from_utf8_lossy(octet).into_owned()).collect();
    format!("host client {{ duid {}; prefix {}/{} {preferred} {valid}; }};\n", duid.join(":"), pool.base, pool.length)
}
