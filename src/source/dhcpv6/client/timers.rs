//! T1 and T2, which servers leave to the client, or set to what makes no sense.

use crate::time::{Deadline, Instant};

const INFINITY: u32 = Deadline::INFINITY;

/// T1 and T2 as they are to be used, for an IA whose leases have these preferred and valid lifetimes (in seconds, valid
/// above 0). `None`: T1 is after T2, and the IA is to be ignored (RFC 9915 §21.21).
///
/// Zero leaves the choice to the client: half and four fifths of the shortest preferred lifetime (RFC 9915 §14.2),
/// or of the valid one where the preferred one says nothing; T1 is before T2 in any case. A server that would have a lease end before it is renewed
/// is not followed: lifetimes count more than T1 and T2.
pub(super) fn timers(sent: (u32, u32), lifetimes: &[(u32, u32)], now: Instant) -> Option<(Deadline, Deadline)> {
    let (t1, t2) = seconds(sent, lifetimes)?;
    Some((Deadline::after(now, t1), Deadline::after(now, t2)))
}

/// The same, in seconds after the Reply.
fn seconds((t1, t2): (u32, u32), lifetimes: &[(u32, u32)]) -> Option<(u32, u32)> {
    if t1 > t2 && t2 > 0 {
        return None;
    }
    let finite = |lifetime: &u32| *lifetime > 0 && *lifetime < INFINITY;
    let preferred = lifetimes.iter().map(|(preferred, _)| *preferred).filter(finite).min();
    let valid = lifetimes.iter().map(|(_, valid)| *valid).filter(finite).min();
    let base = preferred.or(valid).unwrap_or(INFINITY);
    let (half, most) = (scaled(base, 5, 10), scaled(base, 8, 10));
    let (t1, t2) = match (t1, t2) {
        (0, 0) => (half, most),
        (0, t2) => (half.min(scaled(t2, 5, 8)), t2),
        (t1, 0) => (t1, if most > t1 { most } else { scaled(t1, 8, 5) }),
        (t1, t2) => (t1, t2),
    };
    // T2 alone may be later than the end of one of several prefixes: the others are extended then.
    match valid.filter(|valid| t1 >= *valid && t1 < INFINITY) {
        Some(valid) => Some((half.min(scaled(valid, 5, 10)), most.min(scaled(valid, 8, 10)))),
        None => Some((t1, t2)),
    }
}

/// A share of a time; of infinity, infinity. At least a second: never at once.
fn scaled(seconds: u32, numerator: u64, denominator: u64) -> u32 {
    if seconds == INFINITY {
        return INFINITY;
    }
    u32::try_from(u64::from(seconds).saturating_mul(numerator) / denominator).unwrap_or(INFINITY).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: u32 = INFINITY;

    /// T1 and T2 as sent, lifetimes, T1 and T2 as used.
    type Case = ((u32, u32), &'static [(u32, u32)], Option<(u32, u32)>);

    /// T-079 to T-082, T-075, T-039; DC-085, DC-121 to DC-125
    #[test]
    fn what_servers_send_and_what_is_done() {
        let cases: [Case; 15] = [
            ((50, 80), &[(100, 200)], Some((50, 80))),
            ((0, 0), &[(100, 200)], Some((50, 80))),
            ((0, 0), &[(1000, 2000), (100, 200)], Some((50, 80))),
            ((0, 0), &[(0, 200)], Some((100, 160))),
            ((0, 0), &[(INF, 200)], Some((100, 160))),
            ((0, 0), &[(0, 200), (100, 300)], Some((50, 80))),
            ((0, 0), &[(INF, INF)], Some((INF, INF))),
            ((INF, INF), &[(100, 200)], Some((INF, INF))),
            ((0, 80), &[(100, 200)], Some((50, 80))),
            ((0, 32), &[(100, 200)], Some((20, 32))),
            ((50, 0), &[(100, 200)], Some((50, 80))),
            ((90, 0), &[(100, 200)], Some((90, 144))),
            ((81, 80), &[(100, 200)], None),
            ((INF, 80), &[(100, 200)], None),
            ((120, 192), &[(20, 30)], Some((10, 16))),
        ];
        for (sent, lifetimes, wanted) in cases {
            assert_eq!(seconds(sent, lifetimes), wanted, "{sent:?} {lifetimes:?}");
        }
    }

    #[test]
    fn they_count_from_the_reply() {
        let now = Instant::from_secs(77);
        let wanted = Some((Deadline::At(Instant::from_secs(127)), Deadline::Never));
        assert_eq!(timers((50, INF), &[(100, 200)], now), wanted);
    }
}
