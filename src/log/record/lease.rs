//! What a DHCPv6 client does, as the journal tells it.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::Ipv6Net;

use super::{Priority, anywhere, duration};
use crate::source::{Cut, Offer, SourceReport, SourceState};
use crate::time::{Deadline, Instant};

/// One line for each change that a person wants to hear of; a renewal that goes well is none.
pub(super) fn client(former: Option<&SourceReport>, report: &SourceReport, now: Instant) -> Option<(Priority, String)> {
    let told = former.map(|former| &former.state);
    let same_state = told == Some(&report.state);
    let interface = report.id.interface.as_deref().unwrap_or("-");
    let lease = Lease { report, now };
    match &report.state {
        SourceState::Renewing => None,
        SourceState::Bound => {
            let undisturbed = matches!(told, Some(SourceState::Bound | SourceState::Renewing));
            let same = former.is_some_and(|former| Lease { report: former, now }.prefixes() == lease.prefixes());
            (!(undisturbed && same)).then(|| (Priority::Info, lease.granted(interface)))
        }
        _ if same_state => None,
        // Whether it comes to a delegation is told, in a moment, by what follows.
        SourceState::Requesting => None,
        SourceState::Soliciting => Some((Priority::Info, lease.soliciting(interface))),
        SourceState::Silent => Some((
            Priority::Warning,
            format!(
                "No DHCPv6 server on {interface} has answered; asking on, less and less often. Does the router delegate \
                 prefixes, and does a firewall of this host drop UDP port 546?"
            ),
        )),
        SourceState::Rebinding => {
            let failed = matches!(told, Some(SourceState::Bound | SourceState::Renewing));
            let priority = if failed { Priority::Warning } else { Priority::Info };
            Some((priority, lease.rebinding(interface, failed)))
        }
        SourceState::Releasing => {
            Some((Priority::Info, format!("Giving a delegation back to {} on {interface}.", lease.server())))
        }
        SourceState::Released => Some((
            Priority::Info,
            format!("The delegation on {interface} was given back; a reload or restart asks for one again."),
        )),
        state @ (SourceState::InterfaceAbsent
        | SourceState::LinkDown
        | SourceState::NoLinkLocal
        | SourceState::AwaitingRouter
        | SourceState::Receiving
        | SourceState::Configured
        | SourceState::Failed(_)) => {
            let (priority, message) = anywhere(interface, state);
            Some((priority, format!("{message}{}", lease.kept())))
        }
    }
}

/// What a client holds.
struct Lease<'a> {
    report: &'a SourceReport,
    now: Instant,
}

impl Lease<'_> {
    fn held(&self) -> impl Iterator<Item = &Offer> {
        let lives = |offer: &&Offer| offer.cut != Some(Cut::Withdrawn) && !offer.valid_until.is_over(self.now);
        self.report.offers.iter().filter(lives)
    }

    fn prefixes(&self) -> BTreeSet<(Option<&str>, Ipv6Net)> {
        self.held().map(|offer| (offer.recipient.as_deref(), offer.prefix)).collect()
    }

    /// "the DHCPv6 server 00030001…", as far as it is known.
    fn server(&self) -> String {
        match self.report.client.as_ref().and_then(|memory| memory.server.as_ref()) {
            Some(server) => format!("the DHCPv6 server {server}"),
            None => "the DHCPv6 server".to_owned(),
        }
    }

    fn granted(&self, interface: &str) -> String {
        let granted: Vec<String> = self
            .held()
            .map(|offer| {
                let to = offer.recipient.as_deref().map(|name| format!(" to {name}")).unwrap_or_default();
                let excluded: Vec<String> = offer.excluded.iter().map(ToString::to_string).collect();
                let without =
                    if excluded.is_empty() { String::new() } else { format!(" without {}", excluded.join(", ")) };
                format!(
                    "{}{without}{to} (preferred {}, valid {})",
                    offer.prefix,
                    self.for_how_long(offer.preferred_until),
                    self.for_how_long(offer.valid_until)
                )
            })
            .collect();
        let server = self.server();
        let what = if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") };
        format!("On {interface}, {server} delegates {what}.")
    }

    fn soliciting(&self, interface: &str) -> String {
        format!("Asking the DHCPv6 servers on {interface} for a prefix.{}", self.kept())
    }

    fn rebinding(&self, interface: &str, failed: bool) -> String {
        let prefixes = self.listed();
        if failed {
            let server = self.server();
            return format!(
                "On {interface}, {server} has not extended the lease of {prefixes}; every server is asked now.{}",
                self.kept()
            );
        }
        format!("Asking the DHCPv6 servers on {interface} whether {prefixes} is still delegated.")
    }

    fn listed(&self) -> String {
        let prefixes: Vec<String> = self.held().map(|offer| offer.prefix.to_string()).collect();
        if prefixes.is_empty() { "the prefix".to_owned() } else { prefixes.join(", ") }
    }

    /// What is used on meanwhile, and for how long.
    fn kept(&self) -> String {
        match self.held().map(|offer| offer.valid_until).max() {
            Some(until) => format!(" {} stays in use; it is valid {}.", self.listed(), self.for_how_long(until)),
            None => String::new(),
        }
    }

    fn for_how_long(&self, until: Deadline) -> String {
        match until.remaining(self.now) {
            None => "without end".to_owned(),
            Some(rest) if rest.is_zero() => "no more".to_owned(),
            // What was granted for 90 s a moment ago reads so.
            Some(rest) => format!("for {}", duration(rest + Duration::from_millis(500))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::source::dhcpv6::{Duid, Memory};
    use crate::source::{SourceId, SourceKind};

    const NOW: Instant = Instant::from_secs(1000);

    fn report(state: SourceState, prefixes: &[&str]) -> SourceReport {
        let id = SourceId { kind: SourceKind::Dhcpv6Pd, interface: Some("eth0".to_owned()) };
        let mut memory = Memory::new(Duid::new(&[0, 4, 1]).unwrap());
        memory.server = Some(Duid::new(&[0, 3, 0, 1, 0xaa]).unwrap());
        let offers = prefixes.iter().map(|prefix| Offer {
            prefix: prefix.parse().unwrap(),
            recipient: Some("home".to_owned()),
            router: None,
            preferred_until: Deadline::after(NOW, 3600),
            valid_until: Deadline::after(NOW, 7200),
            excluded: Vec::new(),
            first_seen: NOW,
            cut: None,
        });
        let offers = offers.collect();
        SourceReport { offers, client: Some(Arc::new(memory)), ..SourceReport::new(id, state) }
    }

    /// The lines of these reports, one after the other.
    fn told(reports: &[SourceReport]) -> Vec<String> {
        let formers = std::iter::once(None).chain(reports.iter().map(Some));
        formers.zip(reports).filter_map(|(former, report)| client(former, report, NOW)).map(|(_, line)| line).collect()
    }

    #[test]
    fn a_delegation_is_one_line_with_its_facts() {
        use SourceState::{Bound, Requesting, Soliciting};
        let lines = told(&[report(Soliciting, &[]), report(Requesting, &[]), report(Bound, &["2001:db8::/60"])]);
        assert_eq!(
            lines,
            [
                "Asking the DHCPv6 servers on eth0 for a prefix.",
                "On eth0, the DHCPv6 server 00030001aa delegates 2001:db8::/60 to home (preferred for 60 min, valid for \
                 2 h 0 min)."
            ]
        );
    }

    #[test]
    fn a_renewal_that_goes_well_is_no_news_and_one_that_fails_is() {
        use SourceState::{Bound, Rebinding, Renewing};
        let held = &["2001:db8::/60"];
        let well = [report(Bound, held), report(Renewing, held), report(Bound, held), report(Bound, held)];
        assert_eq!(told(&well).len(), 1);
        let changed = [report(Bound, held), report(Renewing, held), report(Bound, &["2001:db8:1::/60"])];
        assert_eq!(told(&changed).len(), 2, "another prefix");
        let ill = [report(Bound, held), report(Renewing, held), report(Rebinding, held), report(Bound, held)];
        assert_eq!(
            told(&ill)[1],
            "On eth0, the DHCPv6 server 00030001aa has not extended the lease of 2001:db8::/60; every server is asked \
             now. 2001:db8::/60 stays in use; it is valid for 2 h 0 min."
        );
        assert_eq!(told(&ill).len(), 3, "and that it is well again");
    }

    #[test]
    fn a_restart_asks_whether_the_lease_stands() {
        assert_eq!(
            told(&[report(SourceState::Rebinding, &["2001:db8::/60"])]),
            ["Asking the DHCPv6 servers on eth0 whether 2001:db8::/60 is still delegated."]
        );
    }
}
