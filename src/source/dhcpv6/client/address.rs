//! The address beside the prefixes (IA_NA): leased and extended, as some providers give no prefix without it, but never
//! put on the interface.

use super::reply::is_success;
use super::{Client, timers};
use crate::source::dhcpv6::AddressLease;
use crate::source::dhcpv6::wire::{IaAddress, IaNa, Incoming};
use crate::time::{Deadline, Instant};

impl Client {
    /// The IAID of the IA_NA: that of the first IA_PD, as some providers want it.
    pub(super) fn address_iaid(&self) -> Option<u32> {
        self.ias.first().map(|ia| ia.iaid)
    }

    /// Takes what a Reply says of the address; whether there is one. One that is not extended lives on to its end,
    /// and makes nobody ask sooner.
    pub(super) fn take_address(&mut self, message: &Incoming, now: Instant) -> bool {
        let Some(iaid) = self.address_iaid().filter(|_| self.settings.request_address) else { return false };
        let options: Vec<_> = message.addresses.iter().filter(|option| option.iaid == iaid).collect();
        let ended = |lease: &AddressLease| {
            let mut addresses = options.iter().flat_map(|option| &option.addresses);
            addresses.any(|offered| offered.valid == 0 && offered.address == lease.address)
        };
        self.address = self.address.take().filter(|lease| !ended(lease));
        let granted = options.into_iter().filter(|option| is_success(&option.status));
        if let Some(lease) = granted.filter_map(|option| lease(iaid, option, now)).next() {
            self.address = Some(lease);
            return true;
        }
        if let Some(lease) = &mut self.address {
            (lease.t1, lease.t2) = (Deadline::Never, Deadline::Never);
        }
        false
    }
}

fn lease(iaid: u32, option: &IaNa, now: Instant) -> Option<AddressLease> {
    let granted = option.addresses.iter().find(|offered| offered.valid > 0 && is_usable(offered))?;
    let (t1, t2) = timers::timers((option.t1, option.t2), &[(granted.preferred, granted.valid)], now)?;
    Some(AddressLease {
        iaid,
        address: granted.address,
        t1,
        t2,
        preferred_until: Deadline::after(now, granted.preferred),
        valid_until: Deadline::after(now, granted.valid),
    })
}

/// Whether an address could be used.
pub(super) fn is_usable(offered: &IaAddress) -> bool {
    let address = offered.address;
    let special =
        address.is_multicast() || address.is_unspecified() || address.is_loopback() || address.is_unicast_link_local();
    is_success(&offered.status) && offered.preferred <= offered.valid && !special
}
