//! A network namespace of our own.

use std::fs;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

/// Moves this process into a new network namespace. Who is not root gets a user namespace first.
pub(crate) fn enter() -> anyhow::Result<()> {
    if !geteuid().is_root() || unshare(CloneFlags::CLONE_NEWNET).is_err() {
        enter_as_root_of_its_own().map_err(|errno| forbidden(errno, sysctl))?;
    }
    // The kernel would solicit routers, too, and confuse the reader. Where /proc/sys cannot be written it just does.
    drop(fs::write("/proc/sys/net/ipv6/conf/default/accept_ra", "0"));
    Ok(())
}

fn enter_as_root_of_its_own() -> Result<(), Errno> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    let write = |file: &str, text: String| {
        let written = fs::write(format!("/proc/self/{file}"), text);
        written.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    // Without it the kernel lets nobody but root map groups (user_namespaces(7)).
    write("setgroups", "deny".to_owned())?;
    write("uid_map", format!("0 {uid} 1"))?;
    write("gid_map", format!("0 {gid} 1"))?;
    unshare(CloneFlags::CLONE_NEWNET)
}

fn sysctl(key: &str) -> Option<String> {
    let value = fs::read_to_string(format!("/proc/sys/{}", key.replace('.', "/"))).ok()?;
    Some(value.trim().to_owned())
}

/// Switches that forbid it, with the value that does and the one that allows it.
const SWITCHES: [(&str, &str, &str); 3] = [
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("user.max_user_namespaces", "0", "10000"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
];

fn forbidden(errno: Errno, sysctl: impl Fn(&str) -> Option<String>) -> anyhow::Error {
    let program = std::env::current_exe().unwrap_or_else(|_| "target/release/examples/demo".into());
    let switch = SWITCHES.iter().find(|(key, bad, _)| sysctl(key).is_some_and(|value| value == *bad));
    let mend = match switch {
        Some((key, bad, good)) => format!(
            "This machine forbids user namespaces: {key} is {bad}. Allow them for now with\n\n    \
             sudo sysctl {key}={good}\n\nor run the demo as root:"
        ),
        None => format!(
            "Here they are not allowed, and neither are user namespaces ({}). A container has to be a privileged one; \
             elsewhere, run the demo as root:",
            errno.desc()
        ),
    };
    anyhow::anyhow!(
        "it needs network namespaces of its own, so that it touches nothing of this machine.\n{mend}\n\n    sudo \
         {}\n",
        program.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_that_forbids_it_is_named_and_so_is_sudo() {
        for (forbidding, bad, good) in SWITCHES {
            let error = forbidden(Errno::EPERM, |key| (key == forbidding).then(|| bad.to_owned())).to_string();
            assert!(error.contains(&format!("{forbidding} is {bad}")), "{error}");
            assert!(error.contains(&format!("sudo sysctl {forbidding}={good}")), "{error}");
            assert!(error.contains("\n    sudo /"), "{error}");
        }
    }

    #[test]
    fn without_such_a_switch_it_says_what_is_left() {
        let error = forbidden(Errno::EPERM, |_| None).to_string();
        assert!(error.contains("as root") && !error.contains("sysctl"), "{error}");
    }
}
