//! T-109 to T-116, T-173: no datagram may panic, overflow the stack, or lose options without a word.

use super::*;

#[test]
fn t109_options_shorter_than_their_fixed_part_are_refused() {
    let short = [
        (1, 2),
        (2, 2),
        (3, 11),
        (4, 3),
        (5, 23),
        (7, 0),
        (8, 1),
        (11, 10),
        (12, 15),
        (13, 0),
        (13, 1),
        (16, 0),
        (16, 3),
        (17, 0),
        (17, 3),
        (19, 0),
        (25, 11),
        (26, 24),
        (32, 3),
        (82, 3),
        (83, 3),
    ];
    for (code, length) in short {
        let bad = option(code, &vec![0; length]);
        assert_eq!(refused(std::slice::from_ref(&bad)), Malformed::Size { code, at: 4, length }, "option {code}");
        // Inside others too, whatever they have to say there.
        assert_eq!(
            refused(&[ia_pd(1, std::slice::from_ref(&bad))]),
            Malformed::Size { code, at: 20, length },
            "option {code}"
        );
        let deep = ia_pd(1, &[ia_prefix("2001:db8::", 56, &[bad])]);
        assert_eq!(refused(&[deep]), Malformed::Size { code, at: 49, length }, "option {code}");
    }
}

#[test]
fn options_of_one_size_are_refused_in_any_other() {
    for (code, length) in [(7, 2), (8, 3), (12, 17), (14, 1), (19, 2), (20, 1), (32, 5), (82, 5), (83, 8), (6, 3)] {
        assert_eq!(
            refused(&[option(code, &vec![0; length])]),
            Malformed::Size { code, at: 4, length },
            "option {code}"
        );
    }
}

/// `levels` options in each other, each with its fixed part.
fn nested(code: u16, fixed: usize, levels: usize) -> Vec<u8> {
    (0..levels).fold(Vec::new(), |inner, _| option(code, &[vec![0; fixed], inner].concat()))
}

#[test]
fn t110_options_nested_in_options_are_refused() {
    for (code, fixed) in [(3, 12), (4, 4), (5, 24), (25, 12), (26, 25)] {
        for levels in [4, 5, 50, 100] {
            let message = message(REPLY, &[nested(code, fixed, levels)]);
            let at = 4 + 3 * (4 + fixed);
            assert_eq!(decode(&message), Err(Malformed::Deep { code, at }), "{levels} levels of option {code}");
        }
    }
    // 500 IA_TA are all that fit into what is read, and 4000 more than that.
    let most = message(REPLY, &[nested(4, 4, 500)]);
    assert!(most.len() <= 4096);
    assert!(matches!(decode(&most), Err(Malformed::Deep { code: 4, .. })));
    let more = message(REPLY, &[nested(4, 4, 4000)]);
    assert_eq!(decode(&more), Err(Malformed::Long(more.len())));
}

#[test]
fn t110_three_levels_are_read() {
    let ia = ia_pd(7, &[ia_prefix("2001:db8::", 56, &[status(6, b"none left")])]);
    let read = reply(&[ia]);
    assert_eq!(read.delegations[0].prefixes[0].status.code, StatusCode::NoPrefixAvail);
}

#[test]
fn t111_an_option_without_content_hides_none() {
    // dhcproto reads the content of this Rapid Commit as an option of its own: Preference 255.
    let smuggled = option(14, &option(7, &[255]));
    assert_eq!(refused(&[smuggled]), Malformed::Size { code: 14, at: 4, length: 5 });
    let smuggled = option(20, &option(7, &[255]));
    assert_eq!(refused(&[smuggled]), Malformed::Size { code: 20, at: 4, length: 5 });
}

#[test]
fn t112_a_malformed_option_that_is_not_for_us_hides_none() {
    let useless = [
        option(23, &[0; 5]),
        option(24, &[0xff; 9]),
        option(56, &[0, 1, 0, 40]),
        option(17, &[0, 0, 0, 9, 0, 1, 0, 99]),
        option(61, &[1]),
        option(9, &[13]),
        option(65_535, b"who knows"),
    ];
    for bad in useless {
        let read = reply(&[bad.clone(), ia_pd(1, &[bad.clone(), ia_prefix("2001:db8::", 56, &[bad])])]);
        assert_eq!(read.delegations[0].prefixes[0].prefix, net("2001:db8::/56"));
        assert!(read.oddities.is_empty());
    }
}

#[test]
fn t113_a_message_that_is_cut_short_is_refused() {
    for octets in [&[][..], &[7], &[7, 1], &[7, 1, 2]] {
        assert_eq!(decode(octets), Err(Malformed::Short(octets.len())));
    }
    let whole = message(REPLY, &[option(2, b"server"), ia_pd(1, &[ia_prefix("2001:db8::", 56, &[])])]);
    let boundaries = [4, 14];
    for end in 4..whole.len() {
        let read = decode(&whole[..end]);
        assert_eq!(read.is_ok(), boundaries.contains(&end), "cut after {end} octets: {read:?}");
    }
    assert_eq!(
        decode(&message(REPLY, &[vec![0, 25, 0, 13, 1, 2]])),
        Err(Malformed::PastEnd { code: 25, at: 4, length: 13, left: 2 })
    );
    assert_eq!(refused(&[vec![0, 25, 0]]), Malformed::LeftOver { at: 4, octets: 3 });
}

#[test]
fn t113_an_option_ends_inside_what_holds_it() {
    // The IA Prefix would end inside the message, but outside its IA_PD.
    let ia = option(25, &[numbers(&[1, 0, 0]), vec![0, 26, 0, 25], vec![0; 24]].concat());
    assert_eq!(refused(&[ia, option(2, b"server")]), Malformed::PastEnd { code: 26, at: 20, length: 25, left: 24 });
}

#[test]
fn t113_option_0_is_refused() {
    assert_eq!(refused(&[option(2, b"server"), option(0, b"")]), Malformed::Reserved { at: 14 });
    assert_eq!(refused(&[ia_pd(1, &[option(0, b"")])]), Malformed::Reserved { at: 20 });
}

#[test]
fn t114_forty_ia_pds_are_all_seen() {
    let ias: Vec<_> = (0..40).map(|iaid| ia_pd(iaid, &[ia_prefix("2001:db8::", 64, &[])])).collect();
    let iaids: Vec<_> = reply(&ias).delegations.iter().map(|ia| (ia.iaid, ia.prefixes.len())).collect();
    assert_eq!(iaids, (0..40).map(|iaid| (iaid, 1)).collect::<Vec<_>>());

    let prefixes: Vec<_> = (0..40).map(|n| ia_prefix(&format!("2001:db8:{n:x}::"), 64, &[])).collect();
    let read = reply(&[ia_pd(1, &prefixes)]);
    let expected: Vec<_> = (0..40).map(|n| net(&format!("2001:db8:{n:x}::/64"))).collect();
    assert_eq!(read.delegations[0].prefixes.iter().map(|prefix| prefix.prefix).collect::<Vec<_>>(), expected);
}

#[test]
fn t115_a_datagram_longer_than_what_is_read_is_refused() {
    let filled = |length: usize| message(REPLY, &[option(65_000, &vec![0; length - 8])]);
    assert!(decode(&filled(4096)).is_ok());
    assert_eq!(decode(&filled(4097)), Err(Malformed::Long(4097)));
    assert_eq!(decode(&filled(65_507)), Err(Malformed::Long(65_507)));
}

#[test]
fn t116_a_status_counts_whatever_its_text_is() {
    let text = [b"no \xff\xfe prefix\n\x1b[2J\0 left\xe2\x80\xae".to_vec(), vec![b'x'; 1024]].concat();
    let read = reply(&[status(6, &text)]).status;
    assert_eq!(read.code, StatusCode::NoPrefixAvail);
    assert!(read.text.starts_with("no \u{fffd}\u{fffd} prefix\u{fffd}\u{fffd}[2J\u{fffd} left\u{fffd}xxx"));
    assert_eq!(read.text.chars().count(), 200);
    let zero = reply(&[status(0, b"all assigned\0")]).status;
    assert_eq!((zero.code, zero.text.as_str()), (StatusCode::Success, "all assigned"));
    assert_eq!(reply(&[status(3, b"")]).status, Status { code: StatusCode::NoBinding, text: String::new() });
}

#[test]
fn what_may_be_there_once_is_refused_twice() {
    let single = [
        option(1, b"client"),
        option(2, b"server"),
        option(7, &[1]),
        option(11, &[0; 11]),
        status(0, b""),
        option(14, b""),
        option(19, &[5]),
        option(20, b""),
        option(32, &[0; 4]),
        option(64, &[1, b'a', 0]),
        option(82, &[0; 4]),
        option(83, &[0; 4]),
    ];
    for one in single {
        let code = u16::from_be_bytes([one[0], one[1]]);
        assert!(decode(&message(REPLY, std::slice::from_ref(&one))).is_ok(), "option {code}");
        assert_eq!(refused(&[one.clone(), one.clone()]), Malformed::Repeated { code, at: 4 + one.len() });
    }
    let twice = ia_pd(1, &[status(0, b""), status(6, b"")]);
    assert_eq!(refused(&[twice]), Malformed::Repeated { code: 13, at: 26 });
    // Once in each place is once.
    let each = ia_pd(1, &[status(0, b""), ia_prefix("2001:db8::", 56, &[status(0, b"")])]);
    assert!(decode(&message(REPLY, &[status(0, b""), each.clone(), each])).is_ok());
}

#[test]
fn t173_messages_that_clients_do_not_get_are_refused_before_they_are_read() {
    let inner = message(REPLY, &[ia_pd(1, &[ia_prefix("2001:db8::", 56, &[])])]);
    let relayed = [vec![13, 0], vec![0; 32], option(9, &inner)].concat();
    assert_eq!(decode(&relayed), Err(Malformed::ForRelay(13)));
    assert_eq!(decode(&message(12, &[])), Err(Malformed::ForRelay(12)));
    for kind in [1, 3, 4, 5, 6, 8, 9, 11] {
        assert_eq!(decode(&message(kind, &[vec![1]])), Err(Malformed::FromClient(kind)));
    }
    for kind in [0, 14, 21, 36, 255] {
        assert_eq!(decode(&message(kind, &[vec![1]])), Err(Malformed::UnknownType(kind)));
    }
    for kind in [ADVERTISE, REPLY, RECONFIGURE] {
        assert!(decode(&message(kind, &[])).is_ok());
    }
}
