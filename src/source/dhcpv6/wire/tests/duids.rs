//! DUIDs: octets that are never looked into.

use super::*;

#[test]
fn t149_a_server_may_have_any_duid_of_3_to_130_octets() {
    for length in [3, 10, 129, 130] {
        let octets = vec![0xee; length];
        let read = reply(&[option(2, &octets)]).server_id.expect("there is one");
        assert_eq!(read.as_bytes(), octets);
        let request = Outgoing { server_id: Some(read), ..outgoing::solicit() };
        let wire = encode(&request).expect("short");
        let echoed = option(2, &octets);
        assert!(wire.windows(echoed.len()).any(|window| window == echoed), "{length} octets come back as they were");
    }
    for length in [0, 1, 2, 131, 200] {
        for code in [1, 2] {
            assert_eq!(refused(&[option(code, &vec![0; length])]), Malformed::Size { code, at: 4, length });
        }
    }
}

#[test]
fn t171_a_duid_ll_of_a_mac_address_has_10_octets() {
    let mac = [2, 0, 0x5e, 0x10, 0, 1];
    let duid = Duid::link_layer(1, &mac).expect("short");
    assert_eq!(duid.as_bytes(), [0, 3, 0, 1, 2, 0, 0x5e, 0x10, 0, 1]);
    let wire = encode(&Outgoing { client_id: duid, ..outgoing::solicit() }).expect("short");
    assert_eq!(wire[4..18], [0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0x5e, 0x10, 0, 1]);
    assert_eq!(Duid::new(&[4]), Err(InvalidDuid { length: 1 }));
}

#[test]
fn duids_of_each_type() {
    let mac = [2, 0, 0x5e, 0x10, 0, 1];
    let llt = Duid::link_layer_and_time(1, 0x1c39_cf88, &mac).expect("short");
    assert_eq!(llt.as_bytes(), [0, 1, 0, 1, 0x1c, 0x39, 0xcf, 0x88, 2, 0, 0x5e, 0x10, 0, 1]);
    // The example of RFC 9915 §11.3.
    let en = Duid::enterprise(9, &[0x0c, 0xc0, 0x84, 0xd3, 0x03, 0x00, 0x09, 0x12]).expect("short");
    assert_eq!(en.as_bytes(), [0, 2, 0, 0, 0, 9, 0x0c, 0xc0, 0x84, 0xd3, 3, 0, 9, 0x12]);
    let uuid = Duid::uuid([0xaa; 16]);
    assert_eq!(uuid.to_string(), "0004aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(Duid::enterprise(9, &[0; 125]), Err(InvalidDuid { length: 131 }));
}

#[test]
fn a_duid_is_read_from_a_text() {
    let expected = Duid::new(&[0, 3, 0, 1, 2, 0, 0x5e, 0x10, 0, 0xab]).expect("10 octets");
    for text in [
        "0003000102005e1000ab",
        "0003000102005E1000AB",
        "00:03:00:01:02:00:5e:10:00:ab",
        "00-03-00-01-02-00-5e-10-00-AB",
        "0003:0001:02005e1000ab",
    ] {
        assert_eq!(Duid::parse(text), Ok(expected.clone()), "{text}");
    }
    assert_eq!(Duid::parse(&expected.to_string()), Ok(expected));
}

#[test]
fn a_text_that_is_no_duid_is_refused() {
    let half = |group: &str| Err(InvalidDuidText::HalfAnOctet(group.to_owned()));
    assert_eq!(Duid::parse(""), half(""));
    assert_eq!(Duid::parse("00:3:00"), half("3"));
    assert_eq!(Duid::parse("000300010"), half("000300010"));
    assert_eq!(Duid::parse("00::03"), half(""));
    assert_eq!(Duid::parse("00:03:"), half(""));
    assert_eq!(Duid::parse("0x000300"), Err(InvalidDuidText::NoDigit('x')));
    assert_eq!(Duid::parse("auto"), Err(InvalidDuidText::NoDigit('u')));
    assert_eq!(Duid::parse("00 03 00"), Err(InvalidDuidText::NoDigit(' ')));
    assert_eq!(Duid::parse("００"), Err(InvalidDuidText::NoDigit('０')));
    assert_eq!(Duid::parse("0003"), Err(InvalidDuidText::Length(InvalidDuid { length: 2 })));
    assert_eq!(Duid::parse(&"00".repeat(131)), Err(InvalidDuidText::Length(InvalidDuid { length: 131 })));
}
