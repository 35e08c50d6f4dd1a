//! A second look at option trees, written on its own from RFC 9915 §21, without recursion, to compare the scan with.

/// Least and most octets, step, and whether it may be there once only. `None`: not ours.
fn rule(code: usize) -> Option<(usize, usize, usize, bool)> {
    let any = usize::MAX;
    Some(match code {
        1 | 2 => (3, 130, 1, true),
        3 | 25 => (12, any, 1, false),
        4 | 16 | 17 => (4, any, 1, false),
        5 => (24, any, 1, false),
        6 => (0, any, 2, true),
        7 | 19 => (1, 1, 1, true),
        8 => (2, 2, 1, true),
        11 => (11, any, 1, true),
        12 => (16, 16, 1, true),
        13 => (2, any, 1, true),
        14 | 20 => (0, 0, 1, true),
        26 => (25, any, 1, false),
        32 | 82 | 83 => (4, 4, 1, true),
        64 | 67 => (0, any, 1, true),
        _ => return None,
    })
}

/// Whether the scan has to accept a datagram.
pub(super) fn accepts(datagram: &[u8]) -> bool {
    if !(4..=4096).contains(&datagram.len()) {
        return false;
    }
    // Ranges that are still to be walked, with their level.
    let mut ranges = vec![(4, datagram.len(), 1)];
    while let Some((mut at, end, level)) = ranges.pop() {
        if at < end && level > 3 {
            return false;
        }
        let mut seen = std::collections::BTreeSet::new();
        while at < end {
            if end - at < 4 {
                return false;
            }
            let code = usize::from(datagram[at]) * 256 + usize::from(datagram[at + 1]);
            let length = usize::from(datagram[at + 2]) * 256 + usize::from(datagram[at + 3]);
            at += 4;
            if code == 0 || end - at < length {
                return false;
            }
            if let Some((least, most, step, once)) = rule(code) {
                let new = seen.insert(code);
                if length < least || length > most || length % step != 0 || once && !new {
                    return false;
                }
            }
            let fixed = match code {
                3 | 25 => 12,
                4 => 4,
                5 => 24,
                26 => 25,
                _ => length,
            };
            ranges.push((at + fixed, at + length, level + 1));
            at += length;
        }
    }
    true
}
