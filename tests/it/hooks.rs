//! The hook scripts of examples/hooks, run as the clients run them, with a `dyn-prefix` that only writes down what it is
//! asked. What is in the environment is what the clients were seen to give (dhcpcd 9.4, ISC dhclient 4.4, odhcp6c's
//! README).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// What a hook is run in.
struct Desk {
    directory: TempDir,
}

/// Writes its arguments into a file and ends as it is told.
const STUB: &str = "#!/bin/sh\necho \"$*\" >>DIR/asked\necho said\necho wrong >&2\nexit \"${STUB_EXIT:-0}\"\n";

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stub = directory.path().join("dyn-prefix");
        fs::write(&stub, STUB.replace("DIR", &directory.path().display().to_string())).unwrap();
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    /// Runs a shell with `arguments` and nothing but these variables, which fails on a variable that is not set and on
    /// anything on standard output.
    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let own = self.directory.path();
        let mut command = Command::new("sh");
        command.args(arguments).env_clear().env("PATH", format!("{}:/usr/bin:/bin", own.display()));
        command.env("DYN_PREFIX_RUN", own).envs(variables.iter().copied());
        command.output().unwrap()
    }

    /// Runs a hook and returns what it asked of dyn-prefix.
    fn asked(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
        let output = self.run(arguments, variables);
        assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
        self.taken()
    }

    /// The same of one that is not heard.
    fn unheard(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
        let output = self.run(arguments, &[variables, &[("STUB_EXIT", "4")]].concat());
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        self.taken()
    }

    /// What dyn-prefix was asked since.
    fn taken(&self) -> Vec<String> {
        let asked = self.directory.path().join("asked");
        let text = fs::read_to_string(&asked).unwrap_or_default();
        drop(fs::remove_file(asked));
        text.lines().map(str::to_owned).collect()
    }
}

fn hook(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hooks").join(name)
}

/// As a client does that sources its hooks, and goes on with what it has to do.
fn sourced(name: &str) -> Vec<String> {
    let script = format!("set -u; . '{}'; [ $? = 0 ] && [ $# = 0 ] || exit 1", hook(name).display());
    vec!["-c".to_owned(), script]
}

fn odhcp6c(desk: &Desk, event: &str, prefixes: &str) -> Vec<String> {
    let script = hook("odhcp6c").display().to_string();
    desk.asked(&[&script, "wan", event], &[("PREFIXES", prefixes)])
}

/// H9: prefix, lifetimes, exclusion.
#[test]
fn odhcp6c_reports_every_prefix_with_its_lifetimes() {
    let desk = Desk::new();
    let one = "2001:db8:1::/56,1800,3600,excluded=2001:db8:1::/64";
    assert_eq!(
        odhcp6c(&desk, "bound", one),
        ["report home 2001:db8:1::/56 --preferred 1800 --valid 3600 --excluded 2001:db8:1::/64"]
    );
    let two = "2001:db8:1::/56,1700,3500,excluded=2001:db8:1::/64,class=00000001 2001:db8:2::/60,4294967295,4294967295";
    assert_eq!(
        odhcp6c(&desk, "updated", two),
        [
            "report home 2001:db8:1::/56 --preferred 1700 --valid 3500 --excluded 2001:db8:1::/64",
            "report home 2001:db8:2::/60 --preferred 4294967295 --valid 4294967295",
        ]
    );
    assert_eq!(
        odhcp6c(&desk, "rebound", "2001:db8:2::/60,60,120"),
        ["report home 2001:db8:2::/60 --preferred 60 --valid 120", "report home 2001:db8:1::/56 --gone"]
    );
    // Q13: an event without any ends none.
    assert!(odhcp6c(&desk, "updated", "").is_empty());
    assert!(odhcp6c(&desk, "ra-updated", "").is_empty());
    assert!(odhcp6c(&desk, "started", "").is_empty());
    assert!(odhcp6c(&desk, "stopped", "").is_empty());
    assert_eq!(odhcp6c(&desk, "unbound", ""), ["report home 2001:db8:2::/60 --gone"]);
    assert!(odhcp6c(&desk, "unbound", "").is_empty(), "once");
}

/// As it is since T1 and T2 stand behind the lifetimes, and with one that the server has ended.
#[test]
fn odhcp6c_reports_what_its_later_versions_say() {
    let desk = Desk::new();
    let both = "2001:db8:1::/56,1800,3600,900,1440,class=0000002a,excluded=2001:db8:1::/64 2001:db8:2::/56,0,0,0,0";
    assert_eq!(
        odhcp6c(&desk, "updated", both),
        [
            "report home 2001:db8:1::/56 --preferred 1800 --valid 3600 --excluded 2001:db8:1::/64",
            "report home 2001:db8:2::/56 --preferred 0 --valid 0",
        ]
    );
}

/// odhcp6c ends the script when the next event comes, here while it says that the first one is gone.
#[test]
fn odhcp6c_remembers_what_was_reported_when_it_is_ended() {
    let desk = Desk::new();
    odhcp6c(&desk, "bound", "2001:db8:1::/56,1800,3600");
    let own = desk.directory.path().to_owned();
    let (memory, kept) = (own.join("dyn-prefix-odhcp6c.wan"), own.join("kept"));
    let stub = fs::read_to_string(own.join("dyn-prefix")).unwrap();
    let keeps = format!("case $* in *--gone) cp {memory:?} {kept:?} ;; esac\n");
    fs::write(own.join("dyn-prefix"), stub.replace("#!/bin/sh\n", &format!("#!/bin/sh\n{keeps}"))).unwrap();
    odhcp6c(&desk, "updated", "2001:db8:2::/56,1800,3600");
    fs::rename(kept, memory).unwrap();
    assert_eq!(
        odhcp6c(&desk, "updated", "2001:db8:3::/56,1800,3600")[1..],
        ["report home 2001:db8:1::/56 --gone", "report home 2001:db8:2::/56 --gone"]
    );
}

/// Whose end nobody has heard is told again; of a daemon that never comes, not for ever.
#[test]
fn odhcp6c_tells_the_end_again_that_was_not_taken() {
    let desk = Desk::new();
    let script = hook("odhcp6c").display().to_string();
    let unheard = |event: &str, prefixes: &str| desk.unheard(&[&script, "wan", event], &[("PREFIXES", prefixes)]);
    odhcp6c(&desk, "bound", "2001:db8:1::/56,1800,3600");
    unheard("updated", "2001:db8:2::/56,1800,3600");
    assert_eq!(
        odhcp6c(&desk, "updated", "2001:db8:2::/56,1700,3500"),
        ["report home 2001:db8:2::/56 --preferred 1700 --valid 3500", "report home 2001:db8:1::/56 --gone"]
    );
    assert_eq!(unheard("unbound", ""), ["report home 2001:db8:2::/56 --gone"]);
    assert_eq!(odhcp6c(&desk, "unbound", ""), ["report home 2001:db8:2::/56 --gone"]);
    assert!(odhcp6c(&desk, "unbound", "").is_empty(), "once");
    for number in 1..=20 {
        unheard("updated", &format!("2001:db8:{number}::/56,1800,3600"));
    }
    let told = odhcp6c(&desk, "unbound", "");
    assert!(told.len() < 12, "{told:?}");
    assert_eq!(told.last().unwrap(), "report home 2001:db8:20::/56 --gone");
}

#[test]
fn odhcp6c_may_source_it() {
    let desk = Desk::new();
    let script = format!("set -- wan bound; (. '{}')", hook("odhcp6c").display());
    let variables = [("PREFIXES", "2001:db8:1::/56,1800,3600"), ("DYN_PREFIX_NAME", "office")];
    assert_eq!(
        desk.asked(&["-c", &script], &variables),
        ["report office 2001:db8:1::/56 --preferred 1800 --valid 3600"]
    );
    assert!(odhcp6c(&desk, "bound", "nonsense 2001:db8::/56 ,,").is_empty());
}

/// Who sources it may end at whatever fails, and a full disk leaves an empty file.
#[test]
fn odhcp6c_reports_whatever_is_left_of_its_memory() {
    let desk = Desk::new();
    fs::write(desk.directory.path().join("dyn-prefix-odhcp6c.wan"), "").unwrap();
    let script = format!("set -e; set -- wan bound; . '{}'; dyn-prefix goes on >&- 2>&-", hook("odhcp6c").display());
    assert_eq!(
        desk.asked(&["-c", &script], &[("PREFIXES", "2001:db8:1::/56,1800,3600")]),
        ["report home 2001:db8:1::/56 --preferred 1800 --valid 3600", "goes on"]
    );
    assert_eq!(odhcp6c(&desk, "unbound", ""), ["report home 2001:db8:1::/56 --gone"]);
}

#[test]
fn dhcpcd_reports_what_its_variables_say() {
    let desk = Desk::new();
    let asked = |variables: &[(&str, &str)]| {
        let script = sourced("dhcpcd");
        desk.asked(&[&script[0], &script[1]], variables)
    };
    let new = [
        ("interface", "wan"),
        ("new_dhcp6_ia_pd1_iaid", "00000001"),
        ("new_dhcp6_ia_pd1_t1", "900"),
        ("new_dhcp6_ia_pd1_t2", "1440"),
        ("new_dhcp6_ia_pd1_prefix1", "2001:db8:8000:100::"),
        ("new_dhcp6_ia_pd1_prefix1_length", "56"),
        ("new_dhcp6_ia_pd1_prefix1_pltime", "1800"),
        ("new_dhcp6_ia_pd1_prefix1_vltime", "3600"),
        ("new_dhcp6_ia_pd3_prefix2", "2001:db8:9000::"),
        ("new_dhcp6_ia_pd3_prefix2_length", "60"),
        ("old_dhcp6_ia_pd1_prefix1", "2001:db8:8000:0::"),
        ("old_dhcp6_ia_pd1_prefix1_length", "56"),
    ];
    let with = |reason: &'static str| [&[("reason", reason)][..], &new].concat();
    for reason in ["BOUND6", "RENEW6", "REBIND6", "REBOOT6"] {
        assert_eq!(
            asked(&with(reason)),
            ["report home 2001:db8:8000:100::/56 --preferred 1800 --valid 3600", "report home 2001:db8:9000::/60"],
            "{reason}"
        );
    }
    for reason in ["EXPIRE6", "RELEASE6"] {
        assert_eq!(asked(&with(reason)), ["report home 2001:db8:8000:0::/56 --gone"], "{reason}");
    }
    // As dhcpcd 9.4 has it when the cable is pulled, after NOCARRIER: what it holds has not expired.
    let up = [&[("reason", "EXPIRE6"), ("ifcarrier", "up")][..], &new].concat();
    assert_eq!(asked(&up), ["report home 2001:db8:8000:0::/56 --gone"]);
    let down = [&[("reason", "EXPIRE6"), ("ifcarrier", "down"), ("if_down", "true")][..], &new].concat();
    assert!(asked(&down).is_empty(), "nothing has ended");
    for reason in ["STOP6", "STOPPED", "DELEGATED6", "ROUTERADVERT", "BOUND", "PREINIT", "CARRIER"] {
        assert!(asked(&with(reason)).is_empty(), "{reason}");
    }
    assert!(asked(&[("reason", "RENEW6"), ("new_dhcp6_ia_na1_ia_addr1", "2001:db8::5")]).is_empty(), "Q13");
    assert!(asked(&[]).is_empty());
}

#[test]
fn dhclient_reports_what_its_variables_say() {
    let desk = Desk::new();
    let asked = |variables: &[(&str, &str)]| {
        let script = sourced("dhclient");
        desk.asked(&[&script[0], &script[1]], variables)
    };
    let new = [
        ("new_ip6_prefix", "2001:db8:8000:100::/56"),
        ("new_preferred_life", "1800"),
        ("new_max_life", "3600"),
        ("new_life_starts", "1769000000"),
        ("old_ip6_prefix", "2001:db8:8000:100::/56"),
        ("cur_ip6_prefix", "2001:db8:8000:100::/56"),
    ];
    let with = |reason: &'static str| [&[("reason", reason)][..], &new].concat();
    for reason in ["BOUND6", "RENEW6", "REBIND6"] {
        let reported = ["report home 2001:db8:8000:100::/56 --preferred 1800 --valid 3600"];
        assert_eq!(asked(&with(reason)), reported, "{reason}");
    }
    assert_eq!(asked(&with("DEPREF6")), ["report home 2001:db8:8000:100::/56 --preferred 0"]);
    for reason in ["EXPIRE6", "RELEASE6"] {
        assert_eq!(asked(&with(reason)), ["report home 2001:db8:8000:100::/56 --gone"], "{reason}");
    }
    for reason in ["PREINIT6", "STOP6", "BOUND", "EXPIRE"] {
        assert!(asked(&with(reason)).is_empty(), "{reason}");
    }
    assert!(
        asked(&[("reason", "RENEW6"), ("new_ip6_address", "2001:db8::5"), ("new_max_life", "60")]).is_empty(),
        "Q13"
    );
    assert!(asked(&[]).is_empty());
}

/// dhc6.c prints lifetimes with %d: without end is -1, and what is longer than 68 years is less than that.
#[test]
fn dhclient_reports_lifetimes_that_are_printed_with_a_sign() {
    let desk = Desk::new();
    let script = sourced("dhclient");
    let asked = |preferred: &str, valid: &str| {
        let lifetimes = [("new_preferred_life", preferred), ("new_max_life", valid)];
        let prefix = [("reason", "BOUND6"), ("new_ip6_prefix", "2001:db8:1::/56")];
        desk.asked(&[&script[0], &script[1]], &[prefix, lifetimes].concat())
    };
    assert_eq!(asked("-1", "-1"), ["report home 2001:db8:1::/56 --preferred 4294967295 --valid 4294967295"]);
    assert_eq!(asked("0", "-2147483648"), ["report home 2001:db8:1::/56 --preferred 0 --valid 2147483648"]);
}

/// What other uplinks are delegated is for another dynamicPrefix, or for none.
#[test]
fn a_hook_is_for_the_interface_that_it_names() {
    let desk = Desk::new();
    let with = |variables: &[(&'static str, &'static str)], interface: &'static str| {
        [variables, &[("DYN_PREFIX_INTERFACE", interface)]].concat()
    };
    let sourced_ones = [
        ("dhclient", vec![("new_ip6_prefix", "2001:db8:1::/56")]),
        ("dhcpcd", vec![("new_dhcp6_ia_pd1_prefix1", "2001:db8:1::"), ("new_dhcp6_ia_pd1_prefix1_length", "56")]),
    ];
    for (name, mut variables) in sourced_ones {
        variables.extend([("reason", "BOUND6"), ("interface", "wan")]);
        let script = sourced(name);
        let asked = |interface| desk.asked(&[&script[0], &script[1]], &with(&variables, interface));
        assert!(asked("wan2").is_empty(), "{name}");
        assert_eq!(asked("wan"), ["report home 2001:db8:1::/56"], "{name}");
    }
    let script = hook("odhcp6c").display().to_string();
    let variables = [("PREFIXES", "2001:db8:1::/56,1800,3600")];
    let asked = |interface| desk.asked(&[&script, "wan", "bound"], &with(&variables, interface));
    assert!(asked("wan2").is_empty());
    assert_eq!(asked("wan").len(), 1);
    // Each that dials in is a session of its own.
    let script = hook("pppd").display().to_string();
    let asked = |interface| desk.asked(&[&script, "ppp7", "", "0", "fe80::1", "fe80::2", ""], &with(&[], interface));
    assert!(asked("ppp0").is_empty());
    assert_eq!(asked("ppp7"), ["reload"]);
}

#[test]
fn wide_dhcpv6_reports_what_its_forks_tell() {
    let desk = Desk::new();
    let script = hook("wide-dhcpv6").display().to_string();
    let asked = |variables: &[(&str, &str)]| desk.asked(&[&script], variables);
    assert!(asked(&[("REASON", "NfD"), ("new_domain_name_servers", "2001:db8::53")]).is_empty());
    for reason in ["REQUEST", "RENEW", "REBIND"] {
        assert_eq!(
            asked(&[("REASON", reason), ("PDINFO", "2001:db8:1::/56 2001:db8:2::/60")]),
            ["report home 2001:db8:1::/56", "report home 2001:db8:2::/60"],
            "{reason}"
        );
        assert!(asked(&[("REASON", reason)]).is_empty(), "Q13");
    }
    assert_eq!(asked(&[("REASON", "RELEASE"), ("PDINFO", "2001:db8:1::/56")]), ["report home 2001:db8:1::/56 --gone"]);
    assert!(asked(&[("REASON", "EXIT"), ("PDINFO", "2001:db8:1::/56")]).is_empty());
}

/// pppd(8), SCRIPTS: interface, tty, speed, both link-local addresses, ipparam; nothing in the environment but what it
/// names there. Debian's /etc/ppp/ipv6-up adds PATH and PPP_* and has run-parts run what is in ipv6-up.d, as a program.
#[test]
fn pppd_makes_it_look_again_when_a_session_begins() {
    let desk = Desk::new();
    let installed = |directory: &str| {
        let directory = desk.directory.path().join(directory);
        fs::create_dir(&directory).unwrap();
        fs::copy(hook("pppd"), directory.join("dyn-prefix")).unwrap();
        directory.join("dyn-prefix").display().to_string()
    };
    // By PPPoE: the tty is the interface below, and there is no speed.
    let arguments = ["ppp0", "eth1", "0", "fe80::1", "fe80::2", ""];
    let of_pppd = [("DEVICE", "eth1"), ("IFNAME", "ppp0"), ("SPEED", "0"), ("ORIG_UID", "0"), ("PPPLOGNAME", "root")];
    let names = ["PPP_IFACE", "PPP_TTY", "PPP_SPEED", "PPP_LOCAL", "PPP_REMOTE", "PPP_IPPARAM"];
    let of_debian = names.into_iter().zip(arguments);
    let variables: Vec<(&str, &str)> = of_pppd.into_iter().chain(of_debian).collect();
    let (up, down) = (installed("ipv6-up.d"), installed("ipv6-down.d"));
    let run = |script: &str| {
        let script = ["-c", "exec \"$0\" \"$@\" </dev/null", script];
        desk.asked(&[&script[..], &arguments].concat(), &variables)
    };
    assert_eq!(run(&up), ["reload"]);
    assert!(run(&down).is_empty());
}

/// What is wrong is no error of the client's: it is said, and ends nothing. A report that could not even be left (4) is
/// lost; that nobody looks again (pppd) is no news.
#[test]
fn what_goes_wrong_is_said_and_ends_nothing() {
    let desk = Desk::new();
    let scripts = ["odhcp6c", "dhcpcd", "dhclient", "wide-dhcpv6", "pppd"];
    let variables = [
        ("PREFIXES", "2001:db8:1::/56,1800,3600"),
        ("new_dhcp6_ia_pd1_prefix1", "2001:db8:1::"),
        ("new_dhcp6_ia_pd1_prefix1_length", "56"),
        ("new_ip6_prefix", "2001:db8:1::/56"),
        ("reason", "BOUND6"),
        ("REASON", "REQUEST"),
        ("PDINFO", "2001:db8:1::/56"),
    ];
    for script in scripts {
        let path = hook(script).display().to_string();
        let run = |exit: &str| desk.run(&[&path, "wan", "bound"], &[&[("STUB_EXIT", exit)][..], &variables].concat());
        for (exit, said) in [("0", ""), ("1", "wrong\n"), ("4", if script == "pppd" { "" } else { "wrong\n" })] {
            let told = run(exit);
            assert!(told.status.success() && told.stdout.is_empty(), "{script}: {told:?}");
            assert_eq!(String::from_utf8_lossy(&told.stderr), said, "{script}: {exit}");
        }
        // Removed, with the hook left behind.
        let mut absent = Command::new("/bin/sh");
        absent.args([&path, "wan", "bound"]).env_clear().envs(variables).env("PATH", "/nowhere");
        let absent = absent.output().unwrap();
        assert!(absent.status.success() && absent.stderr.is_empty(), "{script}: {absent:?}");
    }
}

#[test]
fn the_scripts_are_for_every_posix_shell() {
    for entry in fs::read_dir(hook("")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for word in ["[[", "local ", "function ", "<<<", "+=", "=="] {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
        let checked = Command::new("sh").arg("-n").arg(&path).output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
    }
}
