//! Who the client is: the `duid` of the configuration, and the DUIDs that are made from a MAC address.
//!
//! Servers tie a delegation to the DUID and never look into it, so all that matters is that it stays (RFC 9915 §11).
//! One that is made is made once and then kept in [`Memory`](super::Memory), also when the interface gets another MAC.

use super::Duid;

/// `duid`: where the client's DUID comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DuidSetting {
    /// "auto": the one of [`Memory`](super::Memory), which is derived from the machine-id at first (RFC 6355).
    #[default]
    Auto,
    /// "ll": from the MAC address of the interface (RFC 9915 §11.4).
    LinkLayer,
    /// "llt": from the MAC address of the interface and the time when it is made (RFC 9915 §11.2).
    LinkLayerTime,
    /// Written in full.
    Fixed(Duid),
}

/// The DUID types of RFC 9915 §11.1 that we make from a MAC address.
const LINK_LAYER_TIME: u16 = 1;
const LINK_LAYER: u16 = 3;

/// The hardware type of Ethernet (RFC 9915 §11.2; IANA "Hardware Types").
const ETHERNET: u16 = 1;

/// 2000-01-01T00:00:00Z, from where the time in a DUID-LLT counts (RFC 9915 §11.2), in Unix time.
const EPOCH: u64 = 946_684_800;

impl DuidSetting {
    /// The DUID that is written in full, if one is. In every other case the client uses that of its memory.
    pub const fn fixed(&self) -> Option<&Duid> {
        match self {
            Self::Fixed(duid) => Some(duid),
            Self::Auto | Self::LinkLayer | Self::LinkLayerTime => None,
        }
    }

    /// What a client can use, `Auto` or `Fixed`: what has to be made from a MAC address is taken from `remembered`,
    /// the DUID of a former run, if that is of the wanted kind, and otherwise made. `None`: there is no MAC to make it
    /// from. `now` is in seconds of Unix time.
    #[must_use]
    pub fn settled(&self, remembered: &Duid, mac: Option<[u8; 6]>, now: u64) -> Option<Self> {
        let made = |kind: u16, make: &dyn Fn([u8; 6]) -> Option<Duid>| {
            let kept = remembered.as_bytes().starts_with(&kind.to_be_bytes());
            let duid = if kept { Some(remembered.clone()) } else { mac.and_then(make) };
            duid.map(Self::Fixed)
        };
        match self {
            Self::Auto | Self::Fixed(_) => Some(self.clone()),
            Self::LinkLayer => made(LINK_LAYER, &link_layer),
            Self::LinkLayerTime => made(LINK_LAYER_TIME, &|mac| link_layer_time(mac, now)),
        }
    }

    /// Why [`Self::settled`] gives nothing on this interface, and what to do.
    pub fn without_mac(interface: &str) -> String {
        format!(
            "the DUID cannot be made: acquisition.dhcpv6.duid is \"ll\" or \"llt\", and {interface} has no MAC address; \
             write duid = \"auto\", or the DUID itself in hexadecimal"
        )
    }
}

/// A DUID-LL of an Ethernet interface.
pub fn link_layer(mac: [u8; 6]) -> Option<Duid> {
    let octets = [&LINK_LAYER.to_be_bytes()[..], &ETHERNET.to_be_bytes(), &mac].concat();
    Duid::new(&octets).ok()
}

/// A DUID-LLT of an Ethernet interface, made at this Unix time.
pub fn link_layer_time(mac: [u8; 6], now: u64) -> Option<Duid> {
    // Seconds modulo 2^32 (RFC 9915 §11.2). A clock that was never set is before the epoch, and as good as any other.
    let seconds = now.wrapping_sub(EPOCH) & u64::from(u32::MAX);
    let seconds = u32::try_from(seconds).ok()?;
    let header = [LINK_LAYER_TIME.to_be_bytes(), ETHERNET.to_be_bytes()].concat();
    Duid::new(&[&header[..], &seconds.to_be_bytes(), &mac].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x02, 0x00, 0x5e, 0x10, 0x00, 0x01];

    /// T-171: 10 octets for an Ethernet address, not the 20 of a link-layer address taken for an IPv6 one.
    #[test]
    fn a_link_layer_duid_has_ten_octets() {
        assert_eq!(link_layer(MAC).map(|duid| duid.to_string()).as_deref(), Some("0003000102005e100001"));
    }

    /// RFC 9915 §11.2: type, hardware type, seconds since 2000-01-01 modulo 2^32, address.
    #[test]
    fn a_link_layer_time_duid_counts_from_2000() {
        let at = |now| link_layer_time(MAC, now).map(|duid| duid.to_string());
        assert_eq!(at(946_684_800).as_deref(), Some("000100010000000002005e100001"));
        // date -u -d 2026-11-21T12:00:00Z +%s; minus the epoch it is 848577600 = 0x32944440.
        assert_eq!(at(1_795_262_400).as_deref(), Some("000100013294444002005e100001"));
        assert_eq!(at(946_684_800 + (1 << 32) + 5).as_deref(), Some("000100010000000502005e100001"));
        assert_eq!(at(946_684_799).as_deref(), Some("00010001ffffffff02005e100001"));
    }

    fn duid(octets: &[u8]) -> Duid {
        Duid::new(octets).expect("a DUID")
    }

    /// DC-010, T-011: made once; another MAC address changes nothing.
    #[test]
    fn a_made_duid_survives_another_mac() {
        let uuid = duid(&[0, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        for setting in [DuidSetting::LinkLayer, DuidSetting::LinkLayerTime] {
            let Some(DuidSetting::Fixed(first)) = setting.settled(&uuid, Some(MAC), 1_795_262_400) else {
                panic!("there is a MAC")
            };
            assert!(first.as_bytes().ends_with(&MAC));
            let again = setting.settled(&first, Some([0x02, 0, 0x5e, 0x10, 0, 2]), 1_795_262_500);
            assert_eq!(again, Some(DuidSetting::Fixed(first.clone())));
            assert_eq!(setting.settled(&first, None, 0), Some(DuidSetting::Fixed(first)));
        }
    }

    /// DC-008: PPP has no MAC.
    #[test]
    fn without_a_mac_only_these_two_wait() {
        let uuid = duid(&[0, 4, 1]);
        let fixed = DuidSetting::Fixed(duid(&[0, 2, 0, 0, 0, 9, 1]));
        assert_eq!(DuidSetting::LinkLayer.settled(&uuid, None, 0), None);
        assert_eq!(DuidSetting::LinkLayerTime.settled(&uuid, None, 0), None);
        assert_eq!(DuidSetting::Auto.settled(&uuid, None, 0), Some(DuidSetting::Auto));
        assert_eq!(fixed.settled(&uuid, None, 0), Some(fixed.clone()));
        assert_eq!((DuidSetting::Auto.fixed(), fixed.fixed().is_some()), (None, true));
        assert!(DuidSetting::without_mac("ppp0").contains("ppp0 has no MAC address"));
    }
}
