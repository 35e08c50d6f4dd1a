//! What a DHCPv6 client does, as the journal tells it.

use std::collections::BTreeSet;

use ipnet::Ipv6Net;

use super::{Priority, anywhere, duration};
use crate::source::{Cut, Offer, SourceReport, SourceState};
use crate::time::{Deadline, Instant};

/// One line for each change that a person wants to hear of; a renewal that goes well is none.
pub(super) fn client(former: Option<&SourceReport>, report: &SourceReport, now: Instant) -> Option<(Priority, String)> {
    let lease = Lease { report, now };
    let refusal = new_refusal(former, report).map(|why| (Priority::Warning, format!("{}: {why}.", lease.interface())));
    let doubt = new_doubt(former, report).map(|why| (Priority::Warning, format!("{why}.")));
    match of_state(former, &lease) {
        Some((priority, message)) => {
            let more = refusal.filter(|_| report.state != SourceState::Silent).into_iter().chain(doubt);
            Some(
                more.fold((priority, message), |(_, message), (priority, more)| {
                    (priority, format!("{message} {more}"))
                }),
            )
        }
        None => refusal.or(doubt).or_else(|| lease.confirmed(former)),
    }
}

/// What has begun to speak against the delegation.
fn new_doubt<'a>(former: Option<&SourceReport>, report: &'a SourceReport) -> Option<&'a String> {
    report.doubt.as_ref().filter(|_| former.is_none_or(|former| former.doubt.is_none()))
}

/// What a server has answered instead of a prefix; what is refused again and again is told once.
fn new_refusal<'a>(former: Option<&SourceReport>, report: &'a SourceReport) -> Option<&'a String> {
    report.refusal.as_ref().filter(|_| former.is_none_or(|former| former.refusal.is_none()))
}

/// What follows from the state.
fn of_state(former: Option<&SourceReport>, lease: &Lease<'_>) -> Option<(Priority, String)> {
    let (report, now) = (lease.report, lease.now);
    let told = former.map(|former| &former.state);
    let same_state = told == Some(&report.state);
    match &report.state {
        SourceState::Renewing => None,
        SourceState::Bound => {
            let undisturbed = matches!(told, Some(SourceState::Bound | SourceState::Renewing));
            let same = former.is_some_and(|former| Lease { report: former, now }.prefixes() == lease.prefixes());
            (!(undisturbed && same)).then(|| (Priority::Info, lease.granted()))
        }
        _ if same_state => None,
        // Whether it comes to a delegation is told, in a moment, by what follows.
        SourceState::Requesting => None,
        SourceState::Soliciting => {
            let bound = matches!(told, Some(SourceState::Bound | SourceState::Renewing | SourceState::Rebinding));
            let over = if bound { lease.over() } else { None };
            let priority = if over.is_some() { Priority::Warning } else { Priority::Info };
            Some((priority, format!("{}{}", over.unwrap_or_default(), lease.soliciting())))
        }
        SourceState::Silent => Some((Priority::Warning, lease.silent())),
        SourceState::Rebinding => {
            let failed = matches!(told, Some(SourceState::Bound | SourceState::Renewing));
            let priority = if failed { Priority::Warning } else { Priority::Info };
            Some((priority, lease.rebinding(failed)))
        }
        SourceState::Releasing => {
            Some((Priority::Info, format!("Giving a delegation back to {} on {}.", lease.server(), lease.interface())))
        }
        SourceState::Released => Some((
            Priority::Info,
            format!("The delegation on {} was given back; a reload or restart asks for one again.", lease.interface()),
        )),
        state @ (SourceState::InterfaceAbsent
        | SourceState::LinkDown
        | SourceState::NoLinkLocal
        | SourceState::AwaitingRouter
        | SourceState::AwaitingAddress
        | SourceState::NoAddress
        | SourceState::Asking
        | SourceState::Receiving
        | SourceState::Configured
        | SourceState::Failed(_)) => {
            let (priority, message) = anywhere(lease.interface(), state);
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

    /// That what was in doubt is none any longer.
    fn confirmed(&self, former: Option<&SourceReport>) -> Option<(Priority, String)> {
        let doubted = former.is_some_and(|former| former.doubt.is_some()) && self.report.doubt.is_none();
        let holds = doubted && self.held().next().is_some();
        holds.then(|| {
            (Priority::Info, format!("On {}, {} has confirmed {}.", self.interface(), self.server(), self.listed()))
        })
    }

    fn interface(&self) -> &str {
        self.report.id.interface.as_deref().unwrap_or("-")
    }

    fn granted(&self) -> String {
        let granted: Vec<String> = self.held().map(|offer| self.described(offer)).collect();
        let what = if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") };
        let next = self.report.next_wake.map(|(at, reason)| {
            let rest = at.saturating_since(self.now);
            format!("; next: {reason} in {}", duration(rest))
        });
        format!("On {}, {} delegates {what}{}.", self.interface(), self.server(), next.unwrap_or_default())
    }

    /// A prefix with all that is known about it.
    fn described(&self, offer: &Offer) -> String {
        let mut line = offer.prefix.to_string();
        if !offer.excluded.is_empty() {
            let excluded: Vec<String> = offer.excluded.iter().map(ToString::to_string).collect();
            line.push_str(&format!(" without {}", excluded.join(", ")));
        }
        let name = offer.recipient.as_deref();
        line.push_str(&name.map(|name| format!(" to {name}")).unwrap_or_default());
        let leases = self.report.client.iter().flat_map(|memory| &memory.leases);
        let iaid = leases.filter(|lease| Some(lease.dynamic_prefix.as_str()) == name).map(|lease| lease.iaid).next();
        let iaid = iaid.map(|iaid| format!("IAID {iaid:08x}, ")).unwrap_or_default();
        let [preferred, valid] = [offer.preferred_until, offer.valid_until].map(|until| self.for_how_long(until));
        format!("{line} ({iaid}preferred {preferred}, valid {valid})")
    }

    /// That nothing is held any longer.
    fn over(&self) -> Option<String> {
        let ended: Vec<String> = self.report.offers.iter().map(|offer| offer.prefix.to_string()).collect();
        let over = !ended.is_empty() && self.held().next().is_none();
        over.then(|| format!("The lease of {} on {} is over. ", ended.join(" and "), self.interface()))
    }

    fn soliciting(&self) -> String {
        format!("Asking the DHCPv6 servers on {} for a prefix.{}", self.interface(), self.kept())
    }

    fn silent(&self) -> String {
        let interface = self.interface();
        match &self.report.refusal {
            Some(why) => format!(
                "The DHCPv6 servers on {interface} delegate nothing. {why}. Asking on, less and less often. Does the \
                 router have prefixes to delegate?"
            ),
            None => format!(
                "No DHCPv6 server on {interface} has answered; asking on, less and less often. Does the router delegate \
                 prefixes, and does a firewall of this host drop UDP port 546?"
            ),
        }
    }

    fn rebinding(&self, failed: bool) -> String {
        let (interface, prefixes) = (self.interface(), self.listed());
        if failed {
            let server = self.server();
            return format!(
                "On {interface}, {server} has not extended the lease of {prefixes}; every server is asked now.{}",
                self.kept()
            );
        }
        let verb = if self.held().count() > 1 { "are" } else { "is" };
        format!("Asking the DHCPv6 servers on {interface} whether {prefixes} {verb} still delegated.")
    }

    fn listed(&self) -> String {
        let prefixes: Vec<String> = self.held().map(|offer| offer.prefix.to_string()).collect();
        if prefixes.is_empty() { "the prefix".to_owned() } else { prefixes.join(" and ") }
    }

    /// What is used on meanwhile, and for how long.
    fn kept(&self) -> String {
        let [stays, it_is] = if self.held().count() > 1 { ["stay", "they are"] } else { ["stays", "it is"] };
        match self.held().map(|offer| offer.valid_until).min() {
            Some(until) => {
                format!(" {} {stays} in use; {it_is} valid {}.", self.listed(), self.for_how_long(until))
            }
            None => String::new(),
        }
    }

    fn for_how_long(&self, until: Deadline) -> String {
        match until.remaining(self.now) {
            None => "without end".to_owned(),
            Some(rest) if rest.is_zero() => "no more".to_owned(),
            Some(rest) => format!("for {}", duration(rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::source::dhcpv6::{self, Duid, Memory};
    use crate::source::{SourceId, SourceKind};

    const NOW: Instant = Instant::from_secs(1000);

    fn report(state: SourceState, prefixes: &[&str]) -> SourceReport {
        let id = SourceId::on(SourceKind::Dhcpv6Pd, "eth0");
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
        let lease = dhcpv6::Lease {
            dynamic_prefix: "home".to_owned(),
            iaid: 7,
            received_at: Some(NOW),
            t1: Deadline::after(NOW, 1800),
            t2: Deadline::after(NOW, 2880),
            prefixes: Vec::new(),
        };
        memory.leases.push(lease);
        let next_wake = Some((NOW + Duration::from_secs(1800), "renew"));
        SourceReport { offers, next_wake, client: Some(Arc::new(memory)), ..SourceReport::new(id, state) }
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
                "On eth0, the DHCPv6 server 00030001aa delegates 2001:db8::/60 to home (IAID 00000007, preferred for 60 \
                 min, valid for 2 h); next: renew in 30 min."
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
             now. 2001:db8::/60 stays in use; it is valid for 2 h."
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

    #[test]
    fn a_refusal_is_told_once_and_never_as_silence() {
        use SourceState::{Bound, Requesting, Silent, Soliciting};
        let why = "For home the DHCPv6 server answered NoPrefixAvail: none left";
        let refused = |state| SourceReport { refusal: Some(why.to_owned()), ..report(state, &[]) };
        let lines = told(&[report(Soliciting, &[]), refused(Soliciting), refused(Soliciting), refused(Silent)]);
        assert_eq!(
            lines,
            [
                "Asking the DHCPv6 servers on eth0 for a prefix.",
                "eth0: For home the DHCPv6 server answered NoPrefixAvail: none left.",
                "The DHCPv6 servers on eth0 delegate nothing. For home the DHCPv6 server answered NoPrefixAvail: none \
                 left. Asking on, less and less often. Does the router have prefixes to delegate?"
            ]
        );
        let lines = told(&[refused(Silent), refused(Requesting), report(Bound, &["2001:db8::/60"]), refused(Silent)]);
        assert_eq!(lines.len(), 3, "{lines:#?}");
        let both = SourceReport { refusal: Some(why.to_owned()), ..report(Bound, &["2001:db8::/60"]) };
        let lines = told(&[report(Soliciting, &[]), both]);
        assert!(lines[1].contains("delegates 2001:db8::/60") && lines[1].ends_with(&format!("{why}.")), "{lines:#?}");
    }

    #[test]
    fn a_doubt_is_told_when_it_begins_and_when_the_server_has_confirmed() {
        use SourceState::{Bound, Renewing};
        let held = &["2001:db8::/60"];
        let doubted = |state| SourceReport { doubt: Some("Routers say otherwise".to_owned()), ..report(state, held) };
        let lines =
            told(&[report(Bound, held), doubted(Bound), doubted(Renewing), doubted(Bound), report(Bound, held)]);
        assert_eq!(
            lines[1..],
            ["Routers say otherwise.", "On eth0, the DHCPv6 server 00030001aa has confirmed 2001:db8::/60."]
        );
        let moved = report(Bound, &["2001:db8:1::/60"]);
        let lines = told(&[report(Bound, held), doubted(Bound), doubted(Renewing), moved]);
        assert!(lines[2].contains("delegates 2001:db8:1::/60") && lines.len() == 3, "{lines:#?}");
    }

    #[test]
    fn a_lease_that_ends_is_news() {
        use SourceState::{Rebinding, Soliciting};
        let mut ended = report(Soliciting, &["2001:db8::/60"]);
        ended.offers[0].valid_until = Deadline::At(NOW);
        assert_eq!(
            told(&[report(Rebinding, &["2001:db8::/60"]), ended])[1],
            "The lease of 2001:db8::/60 on eth0 is over. Asking the DHCPv6 servers on eth0 for a prefix."
        );
    }

    #[test]
    fn two_prefixes_are_two() {
        let held = &["2001:db8::/60", "2001:db8:1::/60"];
        assert_eq!(
            told(&[report(SourceState::LinkDown, held)]),
            [
                "The link of eth0 is down; waiting for it. 2001:db8::/60 and 2001:db8:1::/60 stay in use; they are valid \
                 for 2 h."
            ]
        );
        assert_eq!(
            told(&[report(SourceState::Rebinding, held)]),
            ["Asking the DHCPv6 servers on eth0 whether 2001:db8::/60 and 2001:db8:1::/60 are still delegated."]
        );
    }
}
