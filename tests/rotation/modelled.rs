//! The model of external-dns: its rules as they were seen (table of the lab), and with `full` against the real one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Test;
use crate::dns::RealDns;
use crate::external_dns::{DELAY, ExternalDns, PREFIXES, Records, records};
use crate::lab::{ApiServer, private_network, wait_for};
use crate::services::{SERVICES, ZONE};

pub(crate) const TESTS: &[Test] = &[
    Test { name: "model_rules_of_external_dns", programs: &[], others: &[], only_full: false, run: rules },
    Test { name: "model_is_as_late_as_external_dns", programs: &[], others: &[], only_full: false, run: late },
    Test {
        name: "model_agrees_with_external_dns",
        programs: &["etcd", "kube-apiserver", "external-dns"],
        others: &["knotd"],
        only_full: true,
        run: agrees,
    },
];

const V4: &str = "192.0.2.1";
const V6: &str = "2001:db8::1";
const OTHER: &str = "2001:db8::2";

/// A case: what is behind the annotation prefixes (new, then old), the addresses in the status, and what DNS answers.
struct Case {
    new: &'static [(&'static str, &'static str)],
    old: &'static [(&'static str, &'static str)],
    status: &'static [&'static str],
    a: &'static [&'static str],
    aaaa: &'static [&'static str],
}

const HOSTNAME: (&str, &str) = ("hostname", "case.lab.invalid");

/// What external-dns with its default annotation prefix was seen to do.
const CASES: &[Case] = &[
    // From the status: both families.
    Case { new: &[HOSTNAME], old: &[], status: &[V4, V6], a: &[V4], aaaa: &[V6] },
    // Both addresses are published while both are in the status.
    Case { new: &[HOSTNAME], old: &[], status: &[V6, OTHER], a: &[], aaaa: &[V6, OTHER] },
    // A target restricts at once.
    Case { new: &[HOSTNAME, ("target", OTHER)], old: &[], status: &[V6, OTHER], a: &[], aaaa: &[OTHER] },
    // The dual-stack trap: a target with IPv6 only takes the A record away.
    Case { new: &[HOSTNAME, ("target", V6)], old: &[], status: &[V4, V6], a: &[], aaaa: &[V6] },
    Case {
        new: &[HOSTNAME, ("target", "192.0.2.1, 2001:db8::1 ,2001:db8::2")],
        old: &[],
        status: &[],
        a: &[V4],
        aaaa: &[V6, OTHER],
    },
    // A name beside an address: no CNAME.
    Case { new: &[HOSTNAME, ("target", "192.0.2.1,name.example.com")], old: &[], status: &[V6], a: &[V4], aaaa: &[] },
    // Nothing at all.
    Case { new: &[HOSTNAME, ("target", "")], old: &[], status: &[], a: &[], aaaa: &[] },
    // The old annotation prefix is not read; with both the new one counts.
    Case { new: &[], old: &[HOSTNAME, ("target", V6)], status: &[V4], a: &[], aaaa: &[] },
    Case { new: &[HOSTNAME, ("target", V6)], old: &[("target", OTHER)], status: &[V4], a: &[], aaaa: &[V6] },
    Case { new: &[("target", V6)], old: &[HOSTNAME], status: &[V4], a: &[], aaaa: &[] },
    // Somebody else's.
    Case { new: &[HOSTNAME, ("controller", "mine")], old: &[], status: &[V6], a: &[], aaaa: &[] },
];

impl Case {
    fn annotations(&self) -> Value {
        let of = |prefix: &'static str, list: &'static [(&str, &str)]| {
            list.iter().map(move |(key, value)| (format!("{prefix}{key}"), json!(value)))
        };
        Value::Object(of(PREFIXES[0], self.new).chain(of(PREFIXES[1], self.old)).collect())
    }

    fn status(&self) -> Value {
        let ingress: Vec<Value> = self.status.iter().map(|address| json!({"ip": address})).collect();
        json!({"loadBalancer": {"ingress": ingress}})
    }

    fn object(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "default", "uid": name, "annotations": self.annotations()},
            "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "ipFamilyPolicy": "PreferDualStack",
                "loadBalancerClass": "lab/none"},
            "status": self.status(),
        })
    }

    fn answer(&self) -> Records {
        let mut records = Records::default();
        records.a.extend(self.a.iter().filter_map(|address| address.parse::<std::net::Ipv4Addr>().ok()));
        records.aaaa.extend(self.aaaa.iter().filter_map(|address| address.parse::<std::net::Ipv6Addr>().ok()));
        records
    }
}

fn rules() -> Result<()> {
    for (index, case) in CASES.iter().enumerate() {
        let mut model = ExternalDns::new(PREFIXES[0], Duration::ZERO);
        let now = Instant::now();
        model.observe(now, &json!({"type": "ADDED", "object": case.object("case")}));
        let answered = model.answers(now).get(HOSTNAME.1).cloned().unwrap_or_default();
        ensure!(answered == case.answer(), "case {index}: {answered:?}");
    }
    // The other external-dns reads the other annotations: exactly the reverse.
    let (names, answer) = records(&CASES[7].object("case"), PREFIXES[1]);
    ensure!(names == [HOSTNAME.1] && answer.aaaa.len() == 1, "{names:?} {answer:?}");
    // A name alone is a CNAME.
    let name = Case { new: &[HOSTNAME, ("target", "a.example.com.")], old: &[], status: &[V6], a: &[], aaaa: &[] };
    let (_, answer) = records(&name.object("case"), PREFIXES[0]);
    ensure!(answer.cname.iter().eq(["a.example.com"]) && answer.aaaa.is_empty(), "{answer:?}");
    Ok(())
}

fn late() -> Result<()> {
    let mut model = ExternalDns::new(PREFIXES[0], DELAY);
    let start = Instant::now();
    model.observe(start, &json!({"type": "ADDED", "object": CASES[0].object("case")}));
    ensure!(model.told().len() == 1, "it is told at once");
    ensure!(model.answers(start + DELAY - Duration::from_millis(1)).is_empty(), "it is late");
    ensure!(model.answers(start + DELAY).len() == 1, "and then it is there");
    model.observe(start + DELAY, &json!({"type": "DELETED", "object": CASES[0].object("case")}));
    ensure!(model.answers(start + DELAY).len() == 1 && model.answers(start + DELAY * 2).is_empty(), "so is the end");
    Ok(())
}

/// Each case as a Service of its own, with a name of its own, in the real ones.
fn agrees() -> Result<()> {
    let story = std::thread::spawn(|| private_network().and_then(|()| agrees_inside()));
    story.join().unwrap_or_else(|_| anyhow::bail!("the story panicked"))
}

fn agrees_inside() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let api = ApiServer::start(dir.path())?;
    let dns = RealDns::start(&api)?;
    for (index, case) in CASES.iter().enumerate() {
        let name = format!("case-{index}");
        let mut object = case.object(&name);
        for prefix in PREFIXES {
            let key = format!("{prefix}hostname");
            if object["metadata"]["annotations"][&key].is_string() {
                object["metadata"]["annotations"][&key] = json!(format!("{name}.{ZONE}"));
            }
        }
        api.create(SERVICES, &object)?;
        api.patch(&format!("{SERVICES}/{name}/status"), &json!({"status": case.status()}))?;
    }
    // Those that answer nothing prove nothing until the others have come through.
    let (nothing, something): (Vec<_>, Vec<_>) =
        CASES.iter().enumerate().partition(|(_, case)| case.answer().is_empty());
    for (index, case) in something.into_iter().chain(nothing) {
        let name = format!("case-{index}.{ZONE}");
        let mut last = Records::default();
        let agreed = wait_for(&format!("knot answers for {name}"), Duration::from_secs(40), || {
            last = dns.ask(&name)?;
            Ok((last == case.answer()).then_some(()))
        });
        agreed.with_context(|| format!("{last:?} instead of {:?}", case.answer()))?;
    }
    Ok(())
}
