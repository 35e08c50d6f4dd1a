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
    for kind in [None, Some(SourceKind::RouterAdvertisement)] {
        let mut coordinator = after(kind);
        if let Some(kind) = kind {
            coordinator.says(kind, Some("2001:db8:a::/64"));
        }
        let heard = on_wan();
        let made = heard.choices(coordinator.config());
        assert!(coordinator.take_choices(&made, now()), "{kind:?}");
        assert_eq!(coordinator.source_names(), ["observed on wan", "router-advertisement on wan"]);
        let id = SourceId::on(SourceKind::Observed, "wan");
        let reason = "Chosen for home (acquisition.auto): another DHCPv6 client on wan asks for a prefix: a message of it \
                      was seen to leave (Solicit).";
        assert_eq!(coordinator.notes_on_choice(&id).collect::<Vec<_>>(), [reason]);
        assert!(awaited(&heard, &coordinator).is_empty());
        assert!(heard.choices(coordinator.config()).is_empty(), "once");
    }
}

#[test]
fn what_is_heard_elsewhere_is_no_reason() {
    let mut heard = Heard::default();
    heard.hear("lan", ClientMessage::Solicit);
    assert!(heard.choices(after(Some(SourceKind::RouterAdvertisement)).config()).is_empty());
    assert!(on_wan().choices(after(Some(SourceKind::Dhcpv6Pd)).config()).is_empty(), "nobody asks beside ours");
}

/// A look takes seconds, and may have begun before the client did.
#[test]
fn a_look_that_has_not_seen_the_client_changes_nothing() {
    let mut heard = on_wan();
    let of = |kind| vec![("home".to_owned(), Ok(chosen(kind)))];
    for (kind, stays) in
        [(SourceKind::RouterAdvertisement, false), (SourceKind::Dhcpv6Pd, false), (SourceKind::Observed, true)]
    {
        assert_eq!(heard.overrule(of(kind)).len(), usize::from(stays), "{kind}");
    }
    let elsewhere = Chosen { interface: "lan".to_owned(), ..chosen(SourceKind::RouterAdvertisement) };
    let why = Err("there is no interface wan yet".to_owned());
    let others = vec![("home".to_owned(), Ok(elsewhere)), ("work".to_owned(), why)];
    assert_eq!(heard.overrule(others.clone()), others);
    // At a reload it is looked at anew.
    heard.clear();
    assert_eq!(heard.overrule(of(SourceKind::RouterAdvertisement)).len(), 1);
}
