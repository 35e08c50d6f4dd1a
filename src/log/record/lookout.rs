//! What the sources see that look at this host's own addresses, or ask a service, as the journal tells it.

use std::collections::BTreeSet;

use ipnet::Ipv6Net;

use super::{Priority, anywhere};
use crate::source::{Cut, SourceReport, SourceState};

/// A line for each change of the addresses that matters: other lifetimes do not.
pub(super) fn addresses(former: Option<&SourceReport>, report: &SourceReport) -> Option<(Priority, String)> {
    let interface = report.id.interface.as_deref().unwrap_or("-");
    if !is_news(former, report) {
        return None;
    }
    Some(if report.state == SourceState::Receiving {
        let (usable, deprecated) = prefixes(report);
        let message = if usable.is_empty() {
            format!("Every address of {interface} is deprecated; nothing new uses {}.", listed(&deprecated))
        } else {
            format!("{interface} has addresses in {}.", listed(&usable))
        };
        (Priority::Info, message)
    } else if report.state == SourceState::AwaitingAddress {
        (Priority::Info, format!("Waiting for an address on {interface} that a prefix can be taken from."))
    } else if report.state == SourceState::NoAddress {
        let message = format!(
            "{interface} has no address that a prefix could be taken from; waiting for one. `ip -6 address show dev \
             {interface}` lists what it has, and prefixFilter says what may be used."
        );
        (Priority::Warning, message)
    } else {
        anywhere(interface, &report.state)
    })
}

/// A line for each change of what the service answers, and for the first of several failures in a row.
pub(super) fn service(former: Option<&SourceReport>, report: &SourceReport) -> Option<(Priority, String)> {
    let url = report.id.shown_url().unwrap_or_default();
    if !is_news(former, report) {
        return None;
    }
    Some(if report.state == SourceState::Receiving {
        (Priority::Info, format!("{url} answers with an address in {}.", listed(&prefixes(report).0)))
    } else if let SourceState::Failed(reason) = &report.state {
        (Priority::Warning, reason.clone())
    } else {
        (Priority::Info, format!("Asking {url} for the address of this host."))
    })
}

/// Another state, or other prefixes that may be used.
fn is_news(former: Option<&SourceReport>, report: &SourceReport) -> bool {
    let is_same = |former: &SourceReport| {
        let is_receiving = report.state == SourceState::Receiving;
        former.state == report.state && (!is_receiving || prefixes(former).0 == prefixes(report).0)
    };
    !former.is_some_and(is_same)
}

/// What may be used, and what is deprecated; both ascending.
fn prefixes(report: &SourceReport) -> (Vec<Ipv6Net>, Vec<Ipv6Net>) {
    let of = |cut: Option<Cut>| {
        let offers = report.offers.iter().filter(|offer| offer.cut == cut);
        offers.map(|offer| offer.prefix).collect::<BTreeSet<_>>().into_iter().collect()
    };
    (of(None), of(Some(Cut::Deprecated)))
}

fn listed(prefixes: &[Ipv6Net]) -> String {
    prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Offer, SourceId, SourceKind};
    use crate::time::{Deadline, Instant};

    fn report(id: SourceId, state: SourceState, offers: &[(&str, Option<Cut>)]) -> SourceReport {
        let offer = |(prefix, cut): &(&str, Option<Cut>)| Offer {
            prefix: prefix.parse().expect("a prefix"),
            recipient: None,
            router: None,
            preferred_until: Deadline::Never,
            valid_until: Deadline::Never,
            excluded: Vec::new(),
            first_seen: Instant::BOOT,
            cut: *cut,
        };
        SourceReport { offers: offers.iter().map(offer).collect(), ..SourceReport::new(id, state) }
    }

    fn lines(reports: &[SourceReport]) -> Vec<String> {
        let formers = std::iter::once(None).chain(reports.iter().map(Some));
        let line = |(former, report)| super::super::source(former, report, Instant::BOOT);
        formers.zip(reports).filter_map(line).map(|entry| entry.message).collect()
    }

    #[test]
    fn addresses_are_told_when_their_prefixes_change() {
        let on = |state, offers: &[_]| report(SourceId::on(SourceKind::Interface, "br-lan"), state, offers);
        let (a, b) = (("2001:db8:a::/64", None), ("2001:db8:b::/64", None));
        let old = ("2001:db8:a::/64", Some(Cut::Deprecated));
        let told = lines(&[
            on(SourceState::AwaitingAddress, &[]),
            on(SourceState::Receiving, &[a]),
            on(SourceState::Receiving, &[a]),
            on(SourceState::Receiving, &[old, b]),
            on(SourceState::Receiving, &[old]),
            on(SourceState::NoAddress, &[]),
            on(SourceState::NoAddress, &[]),
        ]);
        let expected = [
            "Waiting for an address on br-lan that a prefix can be taken from.",
            "br-lan has addresses in 2001:db8:a::/64.",
            "br-lan has addresses in 2001:db8:b::/64.",
            "Every address of br-lan is deprecated; nothing new uses 2001:db8:a::/64.",
            "br-lan has no address that a prefix could be taken from; waiting for one. `ip -6 address show dev br-lan` lists \
             what it has, and prefixFilter says what may be used.",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_service_is_told_of_without_its_query() {
        let at = |state, offers: &[_]| report(SourceId::at("https://a.example/ip?token=secret"), state, offers);
        let (a, b) = (("2001:db8:a::/56", None), ("2001:db8:b::/56", None));
        let failed = || SourceState::Failed("Asking failed.".to_owned());
        let told = lines(&[
            at(SourceState::Asking, &[]),
            at(SourceState::Receiving, &[a]),
            at(SourceState::Receiving, &[a]),
            at(failed(), &[a]),
            at(failed(), &[a]),
            at(SourceState::Receiving, &[("2001:db8:a::/56", Some(Cut::Unlisted)), b]),
        ]);
        let expected = [
            "Asking https://a.example/ip?… for the address of this host.",
            "https://a.example/ip?… answers with an address in 2001:db8:a::/56.",
            "Asking failed.",
            "https://a.example/ip?… answers with an address in 2001:db8:b::/56.",
        ];
        assert_eq!(told, expected);
    }
}
