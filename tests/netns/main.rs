//! Router Advertisements and DHCPv6 on a real kernel: the drivers of the sources against radvd, against forged packets
//! and against other DHCPv6 clients, in network namespaces. Needs root; `cargo test --test netns`.

#![expect(clippy::expect_used, reason = "a test: clippy only exempts functions marked #[test]")]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

#[path = "../support/netns.rs"]
mod support;

#[path = "../support/flood.rs"]
mod flood;

#[path = "../support/answers.rs"]
mod answers;
#[expect(dead_code, reason = "these tests need a part of it")]
#[path = "../support/lab/certs.rs"]
mod certs;

mod addresses;
mod dhcpv6;
mod doctor;
mod forged;
mod host;
mod http;
mod lab;
mod observed;
mod radvd;

fn main() -> ExitCode {
    if dhcpv6::holder::main() {
        return ExitCode::SUCCESS;
    }
    let missing = support::missing();
    let no_radvd = support::radvd().is_none().then(|| "radvd is not on PATH (Debian package radvd)".to_owned());
    let lookouts = [addresses::TESTS, host::TESTS, http::TESTS, observed::TESTS].concat();
    let lookouts: Vec<Trial> = lookouts.iter().map(|test| trial(test, missing.clone())).collect();
    let forged = forged::TESTS.iter().map(|test| trial(test, missing.clone()));
    let radvd = radvd::TESTS
        .iter()
        .chain(observed::WITH_RADVD)
        .map(|test| trial(test, missing.clone().or_else(|| no_radvd.clone())));
    let no_socat =
        support::on_path("socat").is_none().then(|| "socat is not on PATH (Debian package socat)".to_owned());
    let dhcpv6 = dhcpv6::tests().map(|test| trial(test, missing.clone()));
    let tun = dhcpv6::tests_with_socat().map(|test| trial(test, missing.clone().or_else(|| no_socat.clone())));
    let no_cgroup = missing.clone().or_else(dhcpv6::holder::Cgroup::missing);
    let cgroups = dhcpv6::tests_with_cgroups().map(|test| trial(test, no_cgroup.clone()));
    let no_nft = support::on_path("nft").is_none().then(|| "nft is not on PATH (Debian package nftables)".to_owned());
    let doctor = doctor::TESTS.iter().map(|test| trial(test, missing.clone()));
    let heard = doctor::WITH_RADVD.iter().map(|test| trial(test, missing.clone().or_else(|| no_radvd.clone())));
    let filters = doctor::WITH_NFT.iter().map(|test| trial(test, missing.clone().or_else(|| no_nft.clone())));
    let host = host::WITH_NFT.iter().map(|test| trial(test, missing.clone().or_else(|| no_nft.clone())));
    let no_tables = missing.clone().or_else(doctor::missing_ip6tables);
    let tables = doctor::WITH_IP6TABLES.iter().map(|test| trial(test, no_tables.clone()));
    let without = |program: &str, package: &str| {
        let absent = support::on_path(program).is_none();
        missing.clone().or_else(|| absent.then(|| format!("{program} is not on PATH (Debian package {package})")))
    };
    let no_unbound = without("unbound", "unbound");
    let names = host::WITH_UNBOUND.iter().map(|test| trial(test, no_unbound.clone()));
    let no_dnsmasq = without("dnsmasq", "dnsmasq-base");
    let dnsmasq = doctor::BESIDE_DNSMASQ.iter().map(|test| trial(test, no_dnsmasq.clone()));
    let no_kea = without("kea-dhcp6", "kea-dhcp6-server").or_else(|| no_radvd.clone());
    let kea = doctor::BESIDE_KEA.iter().map(|test| trial(test, no_kea.clone()));
    let doctor = doctor.chain(heard).chain(filters).chain(tables).chain(dnsmasq).chain(kea);
    let all = forged.chain(lookouts).chain(doctor).chain(radvd).chain(dhcpv6).chain(tun);
    let trials = all.chain(cgroups).chain(host).chain(names).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test by name.
type Test = (&'static str, fn());

fn trial((name, test): &Test, missing: Option<String>) -> Trial {
    let test = *test;
    Trial::ignorable_test(*name, move || match missing {
        Some(reason) => Ok(Completion::ignored_with(reason)),
        None => std::panic::catch_unwind(test).map(|()| Completion::Completed).map_err(|panic| failed(&*panic)),
    })
}

fn failed(panic: &(dyn std::any::Any + Send)) -> Failed {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    Failed::from(text.unwrap_or("it panicked"))
}
