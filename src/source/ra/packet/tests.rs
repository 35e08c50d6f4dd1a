//! Messages here are written as bytes from RFC 4861 §4.2 and §4.6.2, not by our encoder.

use proptest::prelude::*;

use super::*;

const ROUTER: &str = "fe80::1";
const L_AND_A: u8 = 0xc0;

/// Type 134, code 0, current hop limit 64, no flags, router lifetime 1800 s.
const HEADER_BYTES: [u8; 16] = [134, 0, 0xab, 0xcd, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

fn net(text: &str) -> Ipv6Net {
    text.parse().expect("a prefix")
}

/// A Prefix Information option: type 3, length 4, prefix length, flags, valid, preferred, reserved, prefix.
fn pio(prefix: &str, length: u8, flags: u8, preferred: u32, valid: u32) -> Vec<u8> {
    let mut option = vec![3, 4, length, flags];
    option.extend(valid.to_be_bytes());
    option.extend(preferred.to_be_bytes());
    option.extend([0, 0, 0, 0]);
    option.extend(ip(prefix).octets());
    option
}

fn advertisement(options: &[Vec<u8>]) -> Vec<u8> {
    [HEADER_BYTES.to_vec(), options.concat()].concat()
}

fn received(bytes: &[u8]) -> Received<'_> {
    Received { source: ip(ROUTER), hop_limit: Some(255), fragmented: false, bytes }
}

fn parse_options(options: &[Vec<u8>]) -> Result<Advertisement, DropReason> {
    parse(&received(&advertisement(options)))
}

#[test]
fn a_whole_advertisement_is_read() {
    let mut bytes = advertisement(&[
        vec![1, 1, 2, 0, 0, 0, 0, 1],
        vec![5, 1, 0, 0, 0, 0, 0x05, 0xdc],
        pio("2001:db8:1::", 64, L_AND_A, 120, 300),
        pio("2001:db8:2::", 56, 0x80 | 0x10, 0, u32::MAX),
    ]);
    bytes[5] = 0x80;
    let expected = Advertisement {
        router: ip(ROUTER),
        router_lifetime: 1800,
        managed: true,
        other: false,
        prefixes: vec![
            PrefixInformation {
                prefix: net("2001:db8:1::/64"),
                on_link: true,
                autonomous: true,
                pd_preferred: false,
                preferred: 120,
                valid: 300,
            },
            PrefixInformation {
                prefix: net("2001:db8:2::/56"),
                on_link: true,
                autonomous: false,
                pd_preferred: true,
                preferred: 0,
                valid: u32::MAX,
            },
        ],
        ignored: vec![],
    };
    assert_eq!(parse(&received(&bytes)), Ok(expected));
}

/// T-118, T-119, T-121, T-122, T-139 (RFC 4861 §6.1.2, RFC 6980 §5).
#[test]
fn every_receive_check_drops_the_whole_packet() {
    let valid = advertisement(&[pio("2001:db8::", 64, L_AND_A, 120, 300)]);
    let good = received(&valid);
    assert!(parse(&good).is_ok());

    let solicitation = [133, 0, 0, 0, 0, 0, 0, 0];
    let mut code_1 = valid.clone();
    code_1[1] = 1;
    let table = [
        ("T-118 global source", Received { source: ip("2001:db8::1"), ..good }, DropReason::SourceNotLinkLocal),
        ("T-118 no source", Received { source: ip("::"), ..good }, DropReason::SourceNotLinkLocal),
        ("T-119 hop limit 254", Received { hop_limit: Some(254), ..good }, DropReason::HopLimit),
        ("T-119 hop limit 0", Received { hop_limit: Some(0), ..good }, DropReason::HopLimit),
        ("hop limit unknown", Received { hop_limit: None, ..good }, DropReason::HopLimit),
        ("T-121 code 1", Received { bytes: &code_1, ..good }, DropReason::Code),
        ("T-122 15 octets", Received { bytes: &valid[..15], ..good }, DropReason::TooShort),
        ("T-122 empty", Received { bytes: &[], ..good }, DropReason::TooShort),
        ("T-139 fragmented", Received { fragmented: true, ..good }, DropReason::Fragmented),
        ("another message", Received { bytes: &solicitation, ..good }, DropReason::Type),
    ];
    for (what, packet, reason) in table {
        assert_eq!(parse(&packet), Err(reason), "{what}");
    }
    assert!(parse(&Received { bytes: &valid[..16], ..good }).is_ok(), "16 octets without options are enough");
}

/// T-123: option length 0, and options that reach past the end, spoil the whole advertisement.
#[test]
fn a_malformed_option_spoils_everything() {
    let good = pio("2001:db8::", 64, L_AND_A, 120, 300);
    let cut: Vec<u8> = good[..24].to_vec();
    for bad in [vec![3, 0, 0, 0, 0, 0, 0, 0], vec![200, 0], vec![5, 2, 0, 0, 0, 0, 0, 0], vec![3], cut] {
        assert_eq!(parse_options(&[good.clone(), bad.clone()]), Err(DropReason::Option), "{bad:?} at the end");
        if bad.len() % 8 == 0 && bad[1] == 0 {
            assert_eq!(parse_options(&[bad.clone(), good.clone()]), Err(DropReason::Option), "{bad:?} in front");
        }
    }
}

/// T-174: options 200 and 253 are nobody's yet.
#[test]
fn unknown_options_are_skipped() {
    let unknown = |kind: u8, units: u8| [vec![kind, units], vec![0xff; usize::from(units) * 8 - 2]].concat();
    let good = pio("2001:db8::", 64, L_AND_A, 120, 300);
    let parsed = parse_options(&[unknown(200, 1), good.clone(), unknown(253, 255)]).expect("a valid advertisement");
    assert_eq!(parsed.prefixes, parse_options(&[good]).expect("a valid advertisement").prefixes);
    assert_eq!(parsed.prefixes.len(), 1);
}

/// T-126 to T-129: a bad Prefix Information option is left out alone.
#[test]
fn a_bad_prefix_is_left_out_alone() {
    let good = pio("2001:db8::", 64, L_AND_A, 120, 300);
    let mut long = pio("2001:db8:9::", 64, L_AND_A, 120, 300);
    long[1] = 5;
    long.extend([0; 8]);
    let table = [
        ("T-126 link-local", pio("fe80::", 64, L_AND_A, 1, 1), Ignored::NotUnicast),
        ("T-126 multicast", pio("ff05::", 64, L_AND_A, 1, 1), Ignored::NotUnicast),
        ("loopback", pio("::1", 128, L_AND_A, 1, 1), Ignored::NotUnicast),
        ("T-127 preferred > valid", pio("2001:db8:9::", 64, L_AND_A, 301, 300), Ignored::PreferredExceedsValid),
        ("T-127 infinite > valid", pio("2001:db8:9::", 64, L_AND_A, u32::MAX, 300), Ignored::PreferredExceedsValid),
        ("T-128 129", pio("2001:db8:9::", 129, L_AND_A, 1, 1), Ignored::PrefixLength),
        ("T-128 255", pio("2001:db8:9::", 255, L_AND_A, 1, 1), Ignored::PrefixLength),
        ("T-129 0", pio("2001:db8:9::", 0, L_AND_A, 1, 1), Ignored::NotUnicast),
        ("no flag", pio("2001:db8:9::", 64, 0, 1, 1), Ignored::NoFlags),
        ("P flag only", pio("2001:db8:9::", 64, 0x10, 1, 1), Ignored::NoFlags),
        ("40 octets", long, Ignored::OptionLength),
        ("8 octets", vec![3, 1, 64, 0xc0, 0, 0, 0, 1], Ignored::OptionLength),
    ];
    for (what, bad, reason) in table {
        let parsed = parse_options(&[bad, good.clone()]).expect("a valid advertisement");
        assert_eq!(parsed.ignored, [reason], "{what}");
        assert_eq!(parsed.prefixes.len(), 1, "{what}");
        assert_eq!(parsed.prefixes[0].prefix, net("2001:db8::/64"), "{what}");
    }
}

/// T-125, T-129: neither A nor a length of 64 is asked for; T-128: /128 is left to the filter, which refuses it.
#[test]
fn lengths_and_flags_are_taken_as_they_are() {
    for (length, flags) in [(56, L_AND_A), (120, 0x80), (64, 0x80), (64, 0x40), (3, 0x80), (128, 0x80)] {
        let parsed = parse_options(&[pio("2001:db8::", length, flags, 1, 2)]).expect("a valid advertisement");
        assert_eq!(parsed.prefixes.len(), 1, "/{length} with flags {flags:#x}");
        assert_eq!(parsed.prefixes[0].prefix.prefix_len(), length);
    }
    let filter = crate::prefix::PrefixFilter::default();
    assert_eq!(filter.check(net("2001:db8::1/128")), Err(crate::prefix::Rejection::SingleAddress));
}

#[test]
fn host_bits_are_masked() {
    let parsed = parse_options(&[pio("2001:db8:0:1234:5678::9", 60, L_AND_A, 1, 2)]).expect("a valid advertisement");
    assert_eq!(parsed.prefixes[0].prefix.to_string(), "2001:db8:0:1230::/60");
}

/// T-136: the P flag is bit 3 of the flags (RFC 9762 §4).
#[test]
fn the_p_flag_is_read() {
    let p_flag = |flags| {
        parse_options(&[pio("2001:db8::", 64, flags, 1, 2)]).expect("a valid advertisement").prefixes[0].pd_preferred
    };
    assert!(p_flag(0xd0));
    assert!(!p_flag(0xe0));
}

/// T-130, T-131: 0 and infinity are lifetimes like others here; what they mean is the table's to say.
#[test]
fn extreme_lifetimes_are_read() {
    for (preferred, valid) in [(0, 0), (0, u32::MAX), (u32::MAX, u32::MAX)] {
        let parsed = parse_options(&[pio("2001:db8::", 64, L_AND_A, preferred, valid)]).expect("valid");
        assert_eq!((parsed.prefixes[0].preferred, parsed.prefixes[0].valid), (preferred, valid));
    }
}

/// RFC 4861 §4.1: type 133, code 0, checksum (the kernel's), reserved, Source Link-Layer Address option.
#[test]
fn solicitations_are_those_of_the_rfc() {
    assert_eq!(router_solicitation(None), [133, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        router_solicitation(Some([2, 0, 0, 0xaa, 0xbb, 0xcc])),
        [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0xaa, 0xbb, 0xcc]
    );
}

fn any_information() -> impl Strategy<Value = PrefixInformation> {
    let address = (0x2000_u128..0x4000).prop_flat_map(|high| (Just(high), 0..1_u128 << 112));
    let flags = prop_oneof![Just((true, true)), Just((true, false)), Just((false, true))];
    (address, 1..=128_u8, flags, any::<bool>(), any::<[u32; 2]>()).prop_map(
        |((high, low), length, (on_link, autonomous), pd_preferred, lifetimes)| PrefixInformation {
            prefix: Ipv6Net::new(Ipv6Addr::from_bits(high << 112 | low), length).expect("1 to 128").trunc(),
            on_link,
            autonomous,
            pd_preferred,
            preferred: lifetimes[0].min(lifetimes[1]),
            valid: lifetimes[0].max(lifetimes[1]),
        },
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(
        prefixes in proptest::collection::vec(any_information(), 0..20),
        router_lifetime: u16, managed: bool, other: bool,
    ) {
        // A prefix of 001/3 cut to less than 3 bits may be ::/1 or ::/2, which nobody can number from.
        let prefixes: Vec<_> = prefixes.into_iter().filter(|info| !info.prefix.addr().is_unspecified()).collect();
        let sent = Advertisement { router: ip(ROUTER), router_lifetime, managed, other, prefixes, ignored: vec![] };
        prop_assert_eq!(parse(&received(&sent.encode())), Ok(sent));
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(parse(&received(&bytes)).is_ok_and(|parsed| parsed.router == ip(ROUTER)) || bytes != HEADER_BYTES);
    }

    /// Random options behind a good header come further than random bytes.
    #[test]
    fn no_options_are_too_strange(options in proptest::collection::vec((0..6_u8, 0..6_u8, any::<[u8; 40]>()), 0..30)) {
        let options: Vec<Vec<u8>> = options
            .into_iter()
            .map(|(kind, units, body)| [&[kind, units][..], &body[..(usize::from(units) * 8).saturating_sub(2)]].concat())
            .collect();
        let expected = options.iter().any(|option| option[1] == 0);
        prop_assert_eq!(parse_options(&options) == Err(DropReason::Option), expected);
    }

    /// A bit flip anywhere never makes a prefix that breaks the rules.
    #[test]
    fn what_is_accepted_keeps_the_rules(
        at in 0..80_usize, bit in 0..8_u32, infos in proptest::collection::vec(any_information(), 2),
    ) {
        let sent = Advertisement {
            router: ip(ROUTER), router_lifetime: 0, managed: false, other: false, prefixes: infos, ignored: vec![],
        };
        let mut bytes = sent.encode();
        bytes[at] ^= 1 << bit;
        for info in parse(&received(&bytes)).map(|parsed| parsed.prefixes).unwrap_or_default() {
            prop_assert!(info.preferred <= info.valid);
            prop_assert!(!info.prefix.addr().is_multicast() && !info.prefix.addr().is_unspecified());
            prop_assert_eq!(info.prefix, info.prefix.trunc());
        }
    }
}
