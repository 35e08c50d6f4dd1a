//! Who we are in `dynamic-prefix.io/managed-by`: the same on every start of the same machine.

use std::fs;

use ring::hmac;

/// Keeps the machine-id itself to the machine, as machine-id(5) asks.
const SALT: &[u8] = b"dyn-prefix managed-by";

/// An id of 16 hexadecimal digits derived from the machine-id; from the host name where there is none.
pub fn daemon_id() -> String {
    let machine_id = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .into_iter()
        .find_map(|path| fs::read_to_string(path).ok().filter(|text| is_machine_id(text)));
    let seed = machine_id.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    derive(seed.trim())
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

    #[test]
    fn only_a_real_machine_id_counts() {
        assert!(is_machine_id("0123456789abcdef0123456789abcdef\n"));
        assert!(!is_machine_id("uninitialized\n"));
        assert!(!is_machine_id(""));
    }
}
