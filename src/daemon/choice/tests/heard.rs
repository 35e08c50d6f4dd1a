//! A client of somebody else that begins to ask while something else is chosen.

use super::*;
use crate::daemon::choice::heard::Heard;
use crate::source::dhcpv6::wire::ClientMessage;

/// `home`, where this was chosen on wan.
fn after(kind: Option<SourceKind>) -> Coordinator {
    let mut coordinator = coordinator(&AUTO.replace("\"auto\"", "{ auto = { interface = \"wan\" } }"));
    if let Some(kind) = kind {
        coordinator.chooses_now(Ok(chosen(kind)));
    }
    coordinator
}

fn awaited(heard: &Heard, coordinator: &Coordinator) -> Vec<String> {
    heard.awaited(coordinator.config(), &coordinator.sources()).into_iter().collect()
}

fn on_wan() -> Heard {
    let mut heard = Heard::default();
    heard.hear("wan", ClientMessage::Solicit);
    heard
}

#[test]
fn a_client_is_waited_for_where_nothing_or_silence_speaks() {
    let heard = Heard::default();
    for kind in [None, Some(SourceKind::RouterAdvertisement)] {
        assert_eq!(awaited(&heard, &after(kind)), ["wan"], "{kind:?}");
    }
    for kind in [SourceKind::Observed, SourceKind::Dhcpv6Pd] {
        assert!(awaited(&heard, &after(Some(kind))).is_empty(), "{kind}");
    }
    assert!(awaited(&heard, &coordinator(AUTO)).is_empty(), "nobody knows where");
    // A client of our own for somebody else.
    let other = "[[dynamicPrefix]]\nname = \"other\"\nacquisition.dhcpv6 = { interface = \"wan\" }\n";
    let text = AUTO.replace("\"auto\"", "{ auto = { interface = \"wan\" } }") + other;
    assert!(awaited(&heard, &coordinator(&text)).is_empty());
}

#[test]
fn who_is_heard_is_observed_at_once_although_there_is_a_prefix() {
    let mut coordinator = after(Some(SourceKind::RouterAdvertisement));
    coordinator.says(SourceKind::RouterAdvertisement, Some("2001:db8:a::/64"));
    let heard = on_wan();
    let made = heard.choices(coordinator.config());
    assert!(coordinator.take_choices(&made, now()));
    assert_eq!(coordinator.source_names(), ["observed on wan", "router-advertisement on wan"]);
    let id = SourceId::on(SourceKind::Observed, "wan");
    let reason = "Chosen for home (acquisition.auto): another DHCPv6 client on wan asks for a prefix: a message of it was \
                  seen to leave (Solicit).";
    assert_eq!(coordinator.notes_on_choice(&id).collect::<Vec<_>>(), [reason]);
    assert!(awaited(&heard, &coordinator).is_empty());
    assert!(heard.choices(coordinator.config()).is_empty(), "once");
}

#[test]
fn what_is_heard_elsewhere_is_no_reason() {
    let mut heard = Heard::default();
    heard.hear("lan", ClientMessage::Solicit);
    assert!(heard.choices(after(Some(SourceKind::RouterAdvertisement)).config()).is_empty());
    assert!(on_wan().choices(after(Some(SourceKind::Dhcpv6Pd)).config()).is_empty(), "nobody asks beside ours");
}

/// A look takes seconds, and may have begun before the client did. One that knows the client says who it is.
#[test]
fn a_look_that_has_not_seen_the_client_changes_nothing() {
    let mut heard = on_wan();
    let kind = |heard: &Heard, outcome: Result<Chosen, String>| {
        let config = after(None).config().clone();
        let made = heard.overrule(&config, vec![("home".to_owned(), outcome)]);
        made.into_iter().map(|(_, outcome)| outcome.map(|chosen| chosen.id().to_string())).next().unwrap()
    };
    let why = || Err("whether there will be another DHCPv6 client on wan is still open".to_owned());
    for outcome in [Ok(chosen(SourceKind::RouterAdvertisement)), Ok(chosen(SourceKind::Dhcpv6Pd)), why()] {
        assert_eq!(kind(&heard, outcome.clone()).unwrap(), "observed on wan", "{outcome:?}");
    }
    let known = Chosen { reason: "dhclient (process 12) runs.".to_owned(), ..chosen(SourceKind::Observed) };
    let made = vec![("home".to_owned(), Ok(known))];
    assert_eq!(heard.overrule(after(None).config(), made.clone()), made);
    let elsewhere = Chosen { interface: "lan".to_owned(), ..chosen(SourceKind::RouterAdvertisement) };
    assert_eq!(kind(&heard, Ok(elsewhere)).unwrap(), "router-advertisement on lan");
    // At a reload it is looked at anew.
    heard.clear();
    assert_eq!(kind(&heard, Ok(chosen(SourceKind::RouterAdvertisement))).unwrap(), "router-advertisement on wan");
    assert_eq!(kind(&heard, why()), why().map(|_: Chosen| String::new()));
}
