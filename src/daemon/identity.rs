//! Who we are: in `dynamic-prefix.io/managed-by` and to DHCPv6 servers; the same on every start of the same machine.

use std::fs;

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::source::dhcpv6::Duid;

/// Keeps the machine-id itself to the machine, as machine-id(5) asks.
const SALT: &[u8] = b"dyn-prefix managed-by";

/// The same for the DUID.
const DUID_SALT: &[u8] = b"dyn-prefix DUID";

/// An id of 16 hexadecimal digits derived from the machine-id; from the host name where there is none.
pub fn daemon_id() -> String {
    let seed = machine_id().unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    derive(seed.trim())
}

/// The DUID of this host to begin with: a DUID-UUID (RFC 6355) derived from the machine-id, random where there is none.
///
/// # Errors
/// When there is no machine-id and the kernel gives no random numbers.
pub fn duid() -> anyhow::Result<Duid> {
    let uuid = match machine_id().as_deref().and_then(octets) {
        Some(machine_id) => app_specific(&machine_id),
        None => {
            let mut random = [0; 16];
            let failed = |_| anyhow::anyhow!("cannot make a DUID: the kernel gives no random numbers");
            SystemRandom::new().fill(&mut random).map_err(failed)?;
            uuid_version_4(random)
        }
    };
    Ok(Duid::new(&[&DUID_UUID[..], &uuid].concat())?)
}

/// Tells one boot of the machine from another; `None` where the kernel does not say.
pub fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// The DUID type of a DUID-UUID (RFC 6355 §4).
const DUID_UUID: [u8; 2] = [0, 4];

fn machine_id() -> Option<String> {
    let paths = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
    paths.into_iter().find_map(|path| fs::read_to_string(path).ok().filter(|text| is_machine_id(text)))
}

/// The octets of a machine-id.
fn octets(machine_id: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(machine_id.trim(), 16).ok().map(u128::to_be_bytes)
}

/// A UUID that is of this program and this machine, as `sd_id128_get_machine_app_specific` makes it.
fn app_specific(machine_id: &[u8; 16]) -> [u8; 16] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, machine_id), DUID_SALT);
    let mut uuid = [0; 16];
    uuid.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    uuid_version_4(uuid)
}

/// Sets version and variant of a UUID (RFC 9562 §5.4).
fn uuid_version_4(mut uuid: [u8; 16]) -> [u8; 16] {
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

/// An image that was never booted says "uninitialized" there.
fn is_machine_id(text: &str) -> bool {
    let text = text.trim();
    text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn derive(seed: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, seed.as_bytes());
    let tag = hmac::sign(&key, SALT);
    tag.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_salted_hmac_of_the_machine_id() {
        // printf 'dyn-prefix managed-by' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        assert_eq!(derive("0123456789abcdef0123456789abcdef"), "d15a562db2af4821");
    }

    /// HMAC-SHA-256 with the 16 octets of the machine-id as key, its first 16 octets, then octet 6 is 4x and octet 8 is
    /// 8x to bx: printf 'dyn-prefix DUID' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0123456789abcdef0123456789abcdef
    #[test]
    fn the_duid_is_a_uuid_of_the_machine_id() {
        let machine_id = octets("0123456789abcdef0123456789abcdef\n").unwrap();
        let text: String = app_specific(&machine_id).iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(text, "b15359a1b285449d8897c8df7edae491");
        assert_eq!(uuid_version_4([0xff; 16])[6..9], [0x4f, 0xff, 0xbf]);
        assert_eq!(uuid_version_4([0; 16])[6..9], [0x40, 0, 0x80]);
    }

    #[test]
    fn the_duid_of_this_machine_stays() {
        let duid = duid().unwrap();
        assert_eq!((duid.as_bytes().len(), &duid.as_bytes()[..2]), (18, &[0, 4][..]));
        if machine_id().is_some() {
            assert_eq!(super::duid().unwrap(), duid);
        }
    }

    #[test]
    fn only_a_real_machine_id_counts() {
        assert!(is_machine_id("0123456789abcdef0123456789abcdef\n"));
        assert!(!is_machine_id("uninitialized\n"));
        assert!(!is_machine_id(""));
    }
}
