//! Whether the time is right: certificates, tokens and stored leases go by it.

use jiff::Timestamp;

use super::{Check, Finding};

/// What is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What the clock says.
    pub now: Timestamp,
    /// Whether somebody keeps it right; `None`: it could not be seen.
    pub synchronised: Option<bool>,
}

/// The first day of the year this program was written in, in Unix time: no clock that is right says less.
const WRITTEN: i64 = 1_767_225_600;

/// Looks at the clock.
pub fn check(facts: &Facts) -> Finding {
    let now = facts.now.strftime("%Y-%m-%d %H:%M:%S UTC");
    if facts.now.as_second() < WRITTEN {
        let message = format!("The clock says {now}, which is over: certificates and tokens count as not valid yet.");
        let advice = "Set it, and have it kept by systemd-timesyncd, chrony or ntpd.";
        return Finding::error(Check::Clock, "clock", message, advice);
    }
    match facts.synchronised {
        Some(true) => Finding::ok(Check::Clock, "clock", format!("The clock says {now} and is kept by NTP.")),
        Some(false) => {
            let message = format!("The clock says {now}, and nobody keeps it: the kernel calls it unsynchronised.");
            let advice = "Have it kept by systemd-timesyncd, chrony or ntpd: a clock that is wrong makes valid \
                          certificates and tokens invalid.";
            Finding::warning(Check::Clock, "clock", message, advice)
        }
        None => {
            let message = format!("The clock says {now}; whether somebody keeps it could not be seen.");
            Finding::unseen(Check::Clock, "clock", message, "Look at `timedatectl` or `chronyc tracking`.")
        }
    }
}
