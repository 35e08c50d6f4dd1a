use super::*;

/// Runs the filter as the kernel does (net/core/filter.c); whether the packet passes.
fn passes(packet: &[u8], kind: u8, protocol: u32, vlan: u32) -> bool {
    use opcode::{
        ADD, FETCH_X, GO, IF_ANY_BIT, IF_EQUAL, IF_EQUAL_X, LOAD_HALF, LOAD_HALF_AT_X, LOAD_OCTET, LOAD_WORD, RETURN,
        SET, SET_X, SHIFT, STORE, TO_X,
    };
    let program = program();
    let (mut a, mut x, mut memory, mut at) = (0_u32, 0_u32, [0_u32; 16], 0_usize);
    let load = |offset: usize, size: usize| {
        packet.get(offset..offset + size).map(|octets| octets.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet)))
    };
    loop {
        let (code, to_if, to_else, k) = program[at];
        at += 1;
        let jump = |holds: bool| usize::from(if holds { to_if } else { to_else });
        // What lies outside the packet ends the program, and drops the packet.
        let read = |offset: u32, size| match offset {
            ancillary::PACKET_TYPE => Some(u32::from(kind)),
            ancillary::PROTOCOL => Some(protocol),
            ancillary::VLAN_TAG => Some(vlan),
            offset => load(offset as usize, size),
        };
        let loaded = match code {
            LOAD_WORD => read(k, 4),
            LOAD_HALF => read(k, 2),
            LOAD_OCTET => read(k, 1),
            LOAD_HALF_AT_X => load((x + k) as usize, 2),
            SET => Some(k),
            ADD => Some(a + k),
            SHIFT => Some(a << k),
            _ => Some(a),
        };
        let Some(loaded) = loaded else { return false };
        a = loaded;
        match code {
            SET_X => x = k,
            TO_X => x = a,
            STORE => memory[k as usize] = a,
            FETCH_X => x = memory[k as usize],
            GO => at += k as usize,
            IF_EQUAL => at += jump(a == k),
            IF_EQUAL_X => at += jump(a == x),
            IF_ANY_BIT => at += jump(a & k != 0),
            RETURN => return k != 0,
            _ => {}
        }
    }
}

const IPV6: u32 = 0x86dd;

/// An IPv6 header with this next header, and what follows it.
fn packet(next: u8, rest: &[u8]) -> Vec<u8> {
    [&[0x60, 0, 0, 0, 0, 0, next, 1], [0; 32].as_slice(), rest].concat()
}

fn udp(port: u16) -> Vec<u8> {
    [&[0x30, 0x39], port.to_be_bytes().as_slice(), &[0, 8, 0, 0]].concat()
}

#[test]
fn only_dhcpv6_of_this_host_passes() {
    let to_server = packet(17, &udp(547));
    let to_client = packet(17, &udp(546));
    assert!(passes(&to_server, OUTGOING, IPV6, 0));
    assert!(passes(&to_client, TO_HOST, IPV6, 0));
    // The other way round; to other hosts, to all of them, to groups; IPv4; another VLAN.
    assert!(!passes(&to_client, OUTGOING, IPV6, 0) && !passes(&to_server, TO_HOST, IPV6, 0));
    for kind in [1, 2, 3, 5, 6, 7] {
        assert!(!passes(&to_client, kind, IPV6, 0) && !passes(&to_server, kind, IPV6, 0), "{kind}");
    }
    assert!(!passes(&to_server, OUTGOING, 0x0800, 0));
    assert!(!passes(&to_server, OUTGOING, IPV6, 1) && !passes(&to_client, TO_HOST, IPV6, 0xcfff));
    assert!(passes(&to_client, TO_HOST, IPV6, 0xc000), "a priority is no VLAN");
    for other in [53, 123, 443, 545, 548] {
        assert!(!passes(&packet(17, &udp(other)), TO_HOST, IPV6, 0));
    }
    assert!(!passes(&packet(6, &udp(546)), TO_HOST, IPV6, 0), "TCP");
    assert!(!passes(&packet(58, &udp(546)), TO_HOST, IPV6, 0), "ICMPv6");
    assert!(!passes(&packet(17, &[0, 1]), TO_HOST, IPV6, 0), "too short");
}

#[test]
fn an_extension_header_and_the_first_fragment_pass_too() {
    for extension in [0, 43, 60] {
        for length in [0, 1, 5] {
            let mut header = vec![17, length];
            header.resize((usize::from(length) + 1) * 8, 0);
            let behind = |port| packet(extension, &[header.clone(), udp(port)].concat());
            assert!(passes(&behind(546), TO_HOST, IPV6, 0), "{extension} {length}");
            assert!(!passes(&behind(443), TO_HOST, IPV6, 0), "{extension} {length}");
        }
        // What MLD looks like (RFC 3810 §5): ICMPv6 behind hop-by-hop options.
        assert!(!passes(
            &packet(extension, &[&[58, 0, 5, 2, 0, 0, 1, 0], udp(546).as_slice()].concat()),
            TO_HOST,
            IPV6,
            0
        ));
    }
    let fragment = |next: u8, offset: u16| {
        let [high, low] = offset.to_be_bytes();
        packet(44, &[&[next, 0, high, low, 0, 0, 0, 9], udp(546).as_slice()].concat())
    };
    assert!(passes(&fragment(17, 1), TO_HOST, IPV6, 0));
    assert!(!passes(&fragment(17, 8), TO_HOST, IPV6, 0));
    assert!(!passes(&fragment(6, 1), TO_HOST, IPV6, 0));
}
