//! T1 and T2, which servers leave to the client, or set to what makes no sense.

use crate::time::{Deadline, Instant};

const INFINITY: u32 = Deadline::INFINITY;

/// T1 and T2 as they are to be used, for an IA whose leases have these preferred and valid lifetimes (in seconds, valid
/// above 0). `None`: T1 is after T2, and the IA is to be ignored (RFC 9915 §21.21).
///
/// Zero leaves the choice to the client: half and four fifths of the shortest preferred lifetime (RFC 9915 §14.2),
/// or of the valid one where the preferred one says nothing. A server that would have a lease end before it is renewed
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
    let (half, most) = (share(base, 5), share(base, 8));
    let (t1, t2) = match (t1, t2) {
        (0, 0) => (half, most),
        (0, t2) => (half.min(t2), t2),
        (t1, 0) => (t1, most.max(t1)),
        (t1, t2) => (t1, t2),
    };
    let Some(valid) = valid.filter(|valid| t1 >= *valid && t1 < INFINITY) else { return Some((t1, t2)) };
    Some((half.min(share(valid, 5)), most.min(share(valid, 8))))
}

/// So many tenths of a time; of infinity, infinity. At least a second: never at once.
fn share(seconds: u32, tenths: u64) -> u32 {
    if seconds == INFINITY {
        return INFINITY;
    }
    u32::try_from(u64::from(seconds).saturating_mul(tenths) / 10).unwrap_or(INFINITY).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INF: u32 = INFINITY;

    /// T-079 to T-082, T-075, T-039; DC-085, DC-121 to DC-125
    #[test]
    fn what_servers_send_and_what_is_done() {
        let cases: [((u32, u32), &[(u32, u32)], Option<(u32, u32)>); 15] = [
            ((50, 80), &[(100, 200)], Some((50, 80))),
            ((0, 0), &[(100, 200)], Some((50, 80))),
            ((0, 0), &[(1000, 2000), (100, 200)], Some((50, 80))),
            ((0, 0), &[(0, 200)], Some((100, 160))),
            ((0, 0), &[(INF, 200)], Some((100, 160))),
            ((0, 0), &[(0, 200), (100, 300)], Some((50, 80))),
            ((0, 0), &[(INF, INF)], Some((INF, INF))),
            ((INF, INF), &[(100, 200)], Some((INF, INF))),
            ((0, 80), &[(100, 200)], Some((50, 80))),
            ((0, 30), &[(100, 200)], Some((30, 30))),
            ((50, 0), &[(100, 200)], Some((50, 80))),
            ((90, 0), &[(100, 200)], Some((90, 90))),
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
