//! What a DHCPv6 client on the same interface is told.

use super::links::dynamic_prefix;
use super::*;
use crate::config::Dhcpv6;
use crate::prefix::PrefixFilter;

fn told(lab: &Lab) -> Advertised {
    lab.table.report().advertised.expect("a router was heard")
}

fn prefixes(lab: &Lab) -> Vec<String> {
    told(lab).prefixes.iter().map(ToString::to_string).collect()
}

/// T-176: the flags of the latest advertisement count.
#[test]
fn the_latest_flags_win() {
    let mut lab = Lab::settled();
    assert_eq!(lab.table.report().advertised, None, "nothing was heard");
    let managed = Advertisement { managed: true, ..advertisement(ROUTER, &[(A, 120, 300)]) };
    lab.table.handle_advertisement(&managed, lab.now);
    assert!(told(&lab).dhcpv6);
    lab.hear(30, ROUTER, &[(A, 120, 300)]);
    assert!(!told(&lab).dhcpv6);
    let other = Advertisement { other: true, ..advertisement(OTHER_ROUTER, &[]) };
    lab.table.handle_advertisement(&other, lab.now);
    assert!(told(&lab).dhcpv6, "one router is enough");
}

/// T-136: the flag counts on prefixes whose preferred lifetime is not over (RFC 9762).
#[test]
fn the_p_flag_appears_and_disappears() {
    let mut lab = Lab::settled();
    let flagged = |preferred, pd_preferred| {
        let mut advertisement = advertisement(ROUTER, &[(A, preferred, 300)]);
        advertisement.prefixes[0].pd_preferred = pd_preferred;
        advertisement
    };
    for (preferred, flag, expected) in [(120, false, false), (120, true, true), (120, false, false), (0, true, false)] {
        lab.table.handle_advertisement(&flagged(preferred, flag), lab.now);
        assert_eq!(told(&lab).delegation_preferred, expected, "preferred {preferred}, flag {flag}");
    }
}

#[test]
fn only_prefixes_that_may_be_used_are_told() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 120, 300), (ULA, 120, 300)]);
    assert_eq!(prefixes(&lab), [A, ULA]);
    lab.hear(30, ROUTER, &[(A, 0, 300), (B, 120, 300)]);
    assert_eq!(prefixes(&lab), [B, ULA], "A is deprecated");
}

#[test]
fn what_was_heard_on_the_former_link_is_no_news_of_this_one() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 120, 300)]);
    lab.link(30, None);
    lab.link(31, Some(up()));
    assert_eq!(lab.table.report().advertised, None);
    lab.hear(32, ROUTER, &[(A, 120, 300)]);
    assert_eq!(prefixes(&lab), [A]);
}

/// What the store knows was heard by a former run, perhaps of another network.
#[test]
fn a_stored_prefix_is_told_only_once_it_is_heard() {
    let mut lab = Lab::settled();
    lab.hear(20, ROUTER, &[(A, 120, 300)]);
    let seed = lab.offer(A);
    let mut lab = Lab::settled();
    lab.table.seed(&[seed], lab.now);
    lab.hear(21, OTHER_ROUTER, &[(B, 120, 300)]);
    assert_eq!(prefixes(&lab), [B]);
    lab.hear(22, ROUTER, &[(A, 120, 300)]);
    assert_eq!(prefixes(&lab), [A, B]);
}

/// Every router of the link is a witness, whatever the DynamicPrefix of the client thinks of Router Advertisements
/// elsewhere.
#[test]
fn a_client_alone_hears_every_router() {
    let mut delegated = dynamic_prefix("lan", &[ROUTER], &[]);
    delegated.acquisition.dhcpv6 = Some(Dhcpv6::on("wan"));
    let everything = Interest { filter: PrefixFilter::default(), routers: vec![] };
    assert_eq!(Settings::for_interface("wan", &[delegated.clone()]), settings(vec![everything]));
    delegated.acquisition.dhcpv6 = Some(Dhcpv6::on("lan"));
    let listed = Interest { filter: PrefixFilter::default(), routers: vec![ip(ROUTER)] };
    let expected = Settings { interface: "lan".to_owned(), interests: vec![listed] };
    assert_eq!(Settings::for_interface("lan", &[delegated]), expected, "it is listened to as it is configured");
}
