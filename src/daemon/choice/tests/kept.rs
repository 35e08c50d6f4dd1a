//! Reports that nobody could take yet.

use std::time::Duration;

use super::*;
use crate::daemon::choice::kept::Kept;
use crate::daemon::choice::round::share_reports;
use crate::source::observe::Told;

fn told(name: &str, prefix: &str, valid: Option<u32>) -> Told {
    let (dynamic_prefix, prefix) = (name.to_owned(), prefix.parse().unwrap());
    Told { dynamic_prefix, prefix, preferred: valid, valid, excluded: Vec::new(), gone: false, ago: Duration::ZERO }
}

#[test]
fn what_was_told_is_handed_out_as_of_now() {
    let mut kept = Kept::default();
    kept.keep(told("home", P, Some(100)), now());
    kept.keep(told("home", P, Some(3600)), now());
    kept.keep(told("home", "2001:db8:b00::/56", None), now());
    kept.keep(told("home", "2001:db8:c00::/56", Some(u32::MAX)), now());
    kept.keep(told("home", "2001:db8:d00::/56", Some(20)), now());
    kept.keep(told("work", P, Some(60)), now());
    assert_eq!(kept.names(now()), BTreeSet::from(["home".to_owned(), "work".to_owned()]));
    let later = kept.take("home", Instant::from_secs(1020));
    let lifetimes: Vec<_> = later.iter().map(|told| (told.valid, told.preferred, told.gone)).collect();
    let (told_last, ended) = ((Some(3600), Some(3600), false), (Some(20), Some(20), true));
    assert_eq!(lifetimes, [told_last, (None, None, false), (Some(u32::MAX), Some(u32::MAX), false), ended]);
    assert!(later.iter().all(|told| told.ago == Duration::from_secs(20)), "{later:?}");
    assert_eq!(kept.names(now()), BTreeSet::from(["work".to_owned()]));
    kept.retain(|name| name == "home");
    assert_eq!(kept.take("work", now()), Vec::new());
}

/// It waited for the daemon before it waited for an observer.
#[test]
fn what_waited_before_is_as_old_as_it_is() {
    let mut kept = Kept::default();
    kept.keep(Told { ago: Duration::from_secs(70), ..told("home", P, Some(100)) }, now());
    assert_eq!(kept.names(Instant::from_secs(1029)).len(), 1);
    assert!(kept.names(Instant::from_secs(1030)).is_empty());
    let later = kept.take("home", Instant::from_secs(1029));
    assert_eq!((later[0].ago, later[0].gone), (Duration::from_secs(99), false));
}

/// What is over by now proves nothing any more.
#[test]
fn a_report_speaks_for_observing_as_long_as_it_holds() {
    let mut kept = Kept::default();
    kept.keep(told("home", P, Some(100)), now());
    assert_eq!(kept.names(Instant::from_secs(1099)).len(), 1);
    assert!(kept.names(Instant::from_secs(1100)).is_empty());
}

/// A second client beside the one that was told of would ask for what is his.
#[test]
fn what_is_observed_because_of_reports_stays_observed() {
    let mut kept = Kept::default();
    kept.keep(told("home", P, Some(100)), now());
    let work = ("work".to_owned(), Ok(Chosen { interface: "lan".to_owned(), ..chosen(SourceKind::Observed) }));
    kept.handle_choices(&vec![("home".to_owned(), Ok(chosen(SourceKind::Observed))), work], now());
    kept.take("home", now());
    assert_eq!(*kept.interfaces(), BTreeSet::from(["wan".to_owned()]), "for work another client was seen");
    // A router speaks of DHCPv6, and nothing is delegated just now.
    let look = |name: &str, interface_name: &str, is_told| {
        let auto = format!("{{ auto = {{ interface = {interface_name:?} }} }}");
        let prefix = config(&AUTO.replace("\"auto\"", &auto).replace("home", name)).dynamic_prefixes.remove(0);
        let seen = ["wan", "lan"].map(|name| with(vec![router(true, false, false)], interface(name)));
        Look { prefix, is_told, seen: seen.into() }
    };
    let kinds = |mut looks: Vec<Look>, told_on: &BTreeSet<String>| {
        share_reports(&mut looks, told_on);
        let made = outcomes(&looks, &BTreeMap::new()).into_iter();
        made.map(|(_, outcome)| outcome.unwrap().kind).collect::<Vec<_>>()
    };
    let (observed, asked) = (SourceKind::Observed, SourceKind::Dhcpv6Pd);
    let looks = || vec![look("home", "wan", false), look("work", "lan", false), look("guests", "wan", false)];
    assert_eq!(kinds(looks(), kept.interfaces()), [observed, asked, observed]);
    assert_eq!(kinds(looks(), &BTreeSet::new()), [asked; 3]);
    // Who is told for one DynamicPrefix is told for all of the interface.
    let looks = vec![look("home", "wan", true), look("guests", "wan", false), look("work", "lan", false)];
    assert_eq!(kinds(looks, &BTreeSet::new()), [observed, observed, asked]);
}

/// It proves that there is another client, whatever else is seen; but not that it has nothing.
#[test]
fn a_report_speaks_for_observing() {
    let client = Verdict::Undecided("systemd-networkd configures wan".to_owned());
    let wan = with(vec![router(true, false, false)], Interface { client, ..interface("wan") });
    let Step::Take(chosen) = choose(&on("wan"), &[wan], true, None) else { panic!("it is clear") };
    assert_eq!(chosen.id(), SourceId::on(SourceKind::Observed, "wan"));
    let mut kept = Kept::default();
    kept.keep(Told { gone: true, ..told("home", P, None) }, now());
    assert!(kept.names(now()).is_empty());
}

/// A report is taken before anything is chosen, and while nobody answered; not beside our own client.
#[test]
fn who_takes_a_report() {
    let report = || Report {
        name: "home".to_owned(),
        prefix: P.parse().unwrap(),
        preferred: None,
        valid: None,
        excluded: Vec::new(),
        gone: false,
    };
    let mut coordinator = coordinator(AUTO);
    let taker = |coordinator: &Coordinator| coordinator.check_report(report()).map(|(taker, _)| taker);
    assert_eq!(taker(&coordinator), Ok(Taker::Choice));
    coordinator.chooses_now(Ok(chosen(SourceKind::RouterAdvertisement)));
    assert_eq!(taker(&coordinator), Ok(Taker::Choice));
    coordinator.chooses_now(Ok(chosen(SourceKind::Observed)));
    assert_eq!(taker(&coordinator), Ok(Taker::Observer("wan".to_owned())));
    let mut coordinator = self::coordinator(AUTO);
    coordinator.chooses_now(Ok(chosen(SourceKind::Dhcpv6Pd)));
    let why = taker(&coordinator).unwrap_err();
    assert!(
        why.starts_with("acquisition.auto has chosen a DHCPv6 client of dyn-prefix's own on wan for home"),
        "{why}"
    );
}
