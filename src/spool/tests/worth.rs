//! What a report that waited is worth.

use super::*;
use crate::spool::entry::{MOST_BYTES, command, once_taken_up, while_written};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn lifetimes_pass_while_it_waits_and_end() {
    let entry = said(report(P, Some(600), Some(900)), 1000);
    let worth = |now| entry.clone().worth(BOOT, at(now));
    let whole = report(P, Some(600), Some(900));
    assert_eq!(worth(1000), Worth::All(whole.clone(), seconds(0)));
    assert_eq!(worth(1200), Worth::All(whole.clone(), seconds(200)));
    // Not preferred any more, and yet valid.
    assert_eq!(worth(1899), Worth::All(whole.clone(), seconds(899)));
    assert_eq!(worth(1900), Worth::RanOut(whole, seconds(900)));
    for endless in [report(P, None, None), report(P, Some(u32::MAX), Some(u32::MAX)), report(P, Some(60), None)] {
        let long = said(endless.clone(), 0).worth(BOOT, at(1_000_000));
        assert_eq!(long, Worth::All(endless, seconds(1_000_000)));
    }
    // That it is gone does not run out.
    for end in [gone(P), report(P, Some(0), Some(0))] {
        assert_eq!(said(end.clone(), 0).worth(BOOT, at(1000)), Worth::All(end, seconds(1000)));
    }
}

/// Its clock is that of the boot. In another one, or before it was said, it says nothing.
#[test]
fn another_boot_makes_it_void() {
    let entry = || said(report(P, Some(600), Some(900)), 1000);
    for boot in [Some("another"), None] {
        assert_eq!(entry().worth(boot, at(1200)), Worth::OtherBoot(report(P, Some(600), Some(900))));
    }
    assert!(matches!(entry().worth(BOOT, at(999)), Worth::OtherBoot(_)));
    let unknown = Entry::new(report(P, None, None), None, at(10));
    assert!(matches!(unknown.clone().worth(None, at(20)), Worth::All(..)));
    assert!(matches!(unknown.worth(BOOT, at(20)), Worth::OtherBoot(_)));
}

/// dhclient says of a prefix that is not preferred any more no more than that.
#[test]
fn what_is_not_said_stays_as_it_was() {
    let former = said(
        Report { excluded: vec!["2001:db8:a00:ff::/64".parse().unwrap()], ..report(P, Some(600), Some(900)) },
        1000,
    );
    let after = |report, at| said(report, at).after(&former).report().clone();
    let kept = after(report(P, Some(0), None), 1600);
    assert_eq!((kept.preferred, kept.valid), (Some(0), Some(300)));
    assert_eq!(kept.excluded.len(), 1);
    let nothing = after(report(P, None, None), 1700);
    assert_eq!((nothing.preferred, nothing.valid), (Some(0), Some(200)));
    // No prefix is preferred for longer than it is valid.
    let longer = after(report(P, Some(500), None), 1700);
    assert_eq!((longer.preferred, longer.valid), (Some(200), Some(200)));
    let all = after(report(P, Some(60), Some(120)), 1700);
    assert_eq!((all.preferred, all.valid), (Some(60), Some(120)));
    let endless = said(report(P, None, Some(u32::MAX)), 0);
    assert_eq!(said(report(P, Some(60), None), 9000).after(&endless).report().valid, Some(u32::MAX));
}

#[test]
fn an_end_takes_the_place_of_all_that_was_said() {
    let former = said(report(P, Some(600), Some(900)), 1000);
    let end = said(gone(P), 1100);
    assert_eq!(end.clone().after(&former), end);
    // What begins anew knows nothing of what was; nor does what comes when that has run out, or is of something else.
    let again = said(report(P, None, None), 1200);
    assert_eq!(again.clone().after(&end), again);
    let late = said(report(P, None, None), 1900);
    assert_eq!(late.clone().after(&former), late);
    let other = said(report("2001:db8:b00::/56", None, None), 1200);
    assert_eq!(other.clone().after(&former), other);
    let of_other_boot = Entry::new(report(P, None, None), Some("another".to_owned()), at(1200));
    assert_eq!(of_other_boot.clone().after(&former), of_other_boot);
    let before = said(report(P, None, None), 999);
    assert_eq!(before.clone().after(&former), before);
}

#[test]
fn a_line_is_read_as_it_was_written_and_damage_is_told() {
    let entry = said(report(P, Some(600), Some(u32::MAX)), 1000);
    let line = entry.encode().unwrap();
    assert_eq!(Entry::decode(&line), Ok(entry.clone()));
    let text = String::from_utf8(line).unwrap();
    let wrong = |text: &str| Entry::decode(text.as_bytes()).unwrap_err();
    assert_eq!(
        wrong(&text.replace("\"version\":1", "\"version\":2")),
        "it has version 2, this program writes version 1"
    );
    assert_eq!(wrong(text.trim_end()), "it ends in the middle of a line");
    for damaged in ["\n", "{\n", "[]\n", "{\"version\":1}\n", &text.repeat(2), &text.replace("2001", "20x1")] {
        assert!(wrong(damaged).starts_with("it cannot be understood: "), "{damaged}");
    }
    assert_eq!(wrong(&"x".repeat(MOST_BYTES + 1)), "it is longer than 4096 bytes");
    // Whoever damages it, nothing ends us.
    for cut in 0..text.len() {
        assert!(Entry::decode(&text.as_bytes()[..cut]).is_err(), "{cut}");
    }
    let parts = (0..300).map(|part| format!("2001:db8:a00:{part:x}::/64").parse().unwrap()).collect();
    let long = said(Report { excluded: parts, ..report(P, None, None) }, 0).encode().unwrap_err();
    assert!(long.ends_with("and no more than 4096 are kept"), "{long}");
}

#[test]
fn there_is_one_file_for_each_name_and_prefix() {
    let name = |report| said(report, 5).file_name("control.sock");
    let file = name(report(P, Some(1), Some(2))).unwrap();
    assert_eq!(file, "control.sock.report.home.2001:db8:a00::-56");
    assert_eq!(name(gone(P)), Ok(file.clone()));
    assert_eq!(name(Report { name: "office".to_owned(), ..gone(P) }).unwrap(), file.replace("home", "office"));
    for impossible in ["../home", "", "Home", "a/b", "home~new", "."] {
        let error = name(Report { name: impossible.to_owned(), ..gone(P) }).unwrap_err();
        assert!(error.starts_with(&format!("no dynamicPrefix can have the name {impossible:?}")), "{error}");
    }
    let stage = |file: &str| stage(file, "control.sock");
    assert_eq!(stage(&file), Some(Stage::Waiting));
    assert_eq!(stage(&while_written(&file, 77)), Some(Stage::New));
    assert_eq!(stage(&once_taken_up(&file, at(9))), Some(Stage::TakenUp));
    for other in ["control.sock", "control.new", "prefix.nft", "other.sock.report.home.2001:db8:a00::-56"] {
        assert_eq!(stage(other), None, "{other}");
    }
}

#[test]
fn it_can_be_said_again() {
    let excluded = vec!["2001:db8:a00:ff::/64".parse().unwrap()];
    let full = Report { excluded, ..report(P, Some(600), Some(u32::MAX)) };
    assert_eq!(
        command(&full),
        "dyn-prefix report home 2001:db8:a00::/56 --preferred 600 --valid infinity --excluded 2001:db8:a00:ff::/64"
    );
    assert_eq!(command(&gone(P)), "dyn-prefix report home 2001:db8:a00::/56 --gone");
}
