//! Hooks and files of the real daemon: a change of the prefix by a reload, commands that fail, and what `status` and
//! `plan` show of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::home::Home;
use super::listen::{free, get, sample};

/// A hook that appends a line for each run, unless there is a file `broken`; and a file that is reloaded the same way.
const CONFIG: &str = r#"[daemon]
id = "test"
stateDirectory = "DIR/state"
controlSocket = "DIR/control.sock"

[[dynamicPrefix]]
name = "home"
acquisition.static.prefix = "2001:db8:1::/56"
addressRanges = [{ name = "lb-a", start = "::f000:0:0:0", end = "::f000:0:0:ffff" }]

[[hook]]
name = "follow"
command = ["/bin/sh", "DIR/hook", "DIR"]

[[file]]
path = "DIR/set"
template = "DIR/set.in"
mode = "0600"
reload = ["/bin/sh", "-c", "cat DIR/set >> DIR/reloads"]
"#;

const HOOK: &str = r#"
if [ -e "$1/broken" ]; then echo "it is broken" >&2; exit 4; fi
cat > "$1/input.$DYN_PREFIX_EVENT"
ls -l /proc/self/fd > "$1/open"
cp "$1/set" "$1/seen.$DYN_PREFIX_EVENT"
echo "$DYN_PREFIX_EVENT $DYN_PREFIX_NAME $DYN_PREFIX_CURRENT $DYN_PREFIX_PREVIOUS $DYN_PREFIX_CURRENT_LB_A" >> "$1/runs"
"#;

const TEMPLATE: &str = "set ${home.current}\n- ${*home/lb-a.all}\n";

/// A directory with all of it.
fn home() -> Home {
    let home = Home::new(CONFIG);
    home.write("hook", HOOK);
    home.write("set.in", TEMPLATE);
    home
}

fn holds(path: &Path, wanted: &str) {
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), wanted, "{}", path.display());
}

fn all_synced(status: &Value) -> bool {
    ["hooks", "files"].iter().all(|list| {
        let all = status[list].as_array().map_or(&[][..], Vec::as_slice);
        all.len() == 1 && all.iter().all(|one| one["synced"] == true && one["reason"] == "Synced")
    })
}

#[test]
fn a_hook_and_a_file_see_the_old_and_the_new_prefix() {
    let home = home();
    let mut daemon = home.start();
    let at = |name: &str| home.path().join(name);
    daemon.until("all is done", all_synced);
    holds(&at("runs"), "start home 2001:db8:1::/56  2001:db8:1:0:f000::/112\n");
    let first = "set 2001:db8:1::/56\n- 2001:db8:1:0:f000::/112\n";
    holds(&at("reloads"), first);
    assert_eq!(home.ask(&["status"]).code, Some(0));

    home.configure(&CONFIG.replace("2001:db8:1::", "2001:db8:2::"));
    assert_eq!(home.ask(&["reload"]).code, Some(0));
    daemon.until("all is done", all_synced);
    let run = "acquired home 2001:db8:2::/56 2001:db8:1::/56 2001:db8:2:0:f000::/112\n";
    holds(&at("runs"), &format!("start home 2001:db8:1::/56  2001:db8:1:0:f000::/112\n{run}"));
    let second = "set 2001:db8:2::/56\n- 2001:db8:2:0:f000::/112\n- 2001:db8:1:0:f000::/112\n";
    holds(&at("reloads"), &format!("{first}{second}"));
    holds(&at("set"), second);
    holds(&at("seen.acquired"), second);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(at("set")).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o600);

    let input: Value = serde_json::from_str(&fs::read_to_string(at("input.acquired")).unwrap()).unwrap();
    assert_eq!((&input["schemaVersion"], &input["event"]), (&1.into(), &"acquired".into()));
    assert_eq!(input["dynamicPrefix"]["currentPrefix"], "2001:db8:2::/56");
    assert_eq!(input["dynamicPrefix"]["history"][0]["prefix"], "2001:db8:1::/56");
    assert_eq!(input["previous"]["currentPrefix"], "2001:db8:1::/56");
    assert_eq!(input["previous"]["addressRanges"][0]["cidrs"][0], "2001:db8:1:0:f000::/112");
    // Nothing of the daemon is open, only what whoever started it has left open for everybody, as this test may have.
    let open = fs::read_to_string(at("open")).unwrap();
    let given = Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap().stdout;
    let count = |listing: &str| listing.lines().filter(|line| line.contains("->")).count();
    assert_eq!(count(&open), count(&String::from_utf8(given).unwrap()), "{open}");
    let lines =
        ["The hook follow ran for home (acquired) in ", "; its reload command is run.", "The reload command of "];
    lines.iter().for_each(|line| drop(daemon.until_logged(line)));
}

#[test]
fn a_restart_with_the_same_prefix_runs_the_hook_and_leaves_the_file() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    let run = "start home 2001:db8:1::/56  2001:db8:1:0:f000::/112\n";
    let set = "set 2001:db8:1::/56\n- 2001:db8:1:0:f000::/112\n";
    for runs in 1..=2 {
        let daemon = home.start();
        daemon.until("all is done", all_synced);
        holds(&at("runs"), &run.repeat(runs));
        holds(&at("reloads"), set);
    }
}

/// However the daemon ended.
#[test]
fn a_reload_command_that_failed_runs_again_after_a_restart() {
    let home = home();
    let at = |name: &str| home.path().join(name);
    let reload = "[ ! -e DIR/broken ] && cat DIR/set >> DIR/reloads";
    home.configure(&CONFIG.replace("cat DIR/set >> DIR/reloads", reload));
    home.write("broken", "");
    let daemon = home.start();
    daemon.until("it fails", |status| status["files"][0]["reason"] == "Failed");
    // It is killed.
    drop(daemon);
    assert!(!at("reloads").exists());
    fs::remove_file(at("broken")).unwrap();
    let set = "set 2001:db8:1::/56\n- 2001:db8:1:0:f000::/112\n";
    for _ in 1..=2 {
        let daemon = home.start();
        daemon.until("all is done", all_synced);
        holds(&at("reloads"), set);
    }
}

#[test]
fn a_hook_that_fails_is_degraded_told_and_run_again() {
    let home = home();
    home.write("broken", "");
    let mut daemon = home.start();
    let status = daemon.until("the hook fails", |status| status["hooks"][0]["reason"] == "Failed");
    let message = status["hooks"][0]["message"].as_str().unwrap_or_default();
    assert_eq!(message, "/bin/sh ended with status 4: it is broken");
    let shown = home.ask(&["status"]);
    assert_eq!(shown.code, Some(3), "{}", shown.stdout);
    let lines =
        ["; failing: hook follow\n", "hooks\n  follow for home  Failed: /bin/sh ended with status 4: it is broken"];
    lines.iter().for_each(|line| assert!(shown.stdout.contains(line), "{line}: {}", shown.stdout));
    daemon.until_logged(
        "The hook follow did not run well for home (start): /bin/sh ended with status 4: it is broken. It is run again",
    );
    daemon.until_noted("STATUS=home 2001:db8:1::/56; 0 of 0 targets in sync; failing: hook follow");
    fs::remove_file(home.path().join("broken")).unwrap();
    daemon.until_logged("The hook follow runs well again: it ran for home (start) in ");
    daemon.until("all is done", all_synced);
    assert_eq!(home.ask(&["status"]).code, Some(0));
}

#[test]
fn a_reload_refuses_a_template_that_names_what_is_not_there_and_keeps_the_former_one() {
    let home = home();
    let daemon = home.start();
    daemon.until("all is done", all_synced);
    home.write("set.in", "one\n${home/lb.cidrs}\n");
    let reload = home.ask(&["reload"]);
    assert_eq!(reload.code, Some(78), "{reload:?}");
    let said = format!("{}{}", reload.stdout, reload.stderr);
    assert!(said.contains("DIR/set.in:2:1: error: ${home/lb.cidrs}: the dynamicPrefix \"home\" has no"), "{said}");
    holds(&home.path().join("set"), "set 2001:db8:1::/56\n- 2001:db8:1:0:f000::/112\n");
    home.write("set.in", "other ${home.current}\n");
    assert_eq!(home.ask(&["reload"]).code, Some(0));
    daemon.until("all is done", all_synced);
    holds(&home.path().join("set"), "other 2001:db8:1::/56\n");
}

/// Somebody who has edited a template must not be told by clusters that nobody serves after the next reboot.
#[test]
fn a_template_that_cannot_be_used_at_a_start_holds_up_nothing_else() {
    let faults = [
        (None, "the template \"DIR/set.in\" cannot be read: there is no such file"),
        (Some("one\n${home/lb.cidrs}\n"), "DIR/set.in:2: ${home/lb.cidrs}: the dynamicPrefix \"home\" has no range"),
    ];
    for (text, why) in faults {
        let home = home();
        fs::remove_file(home.path().join("set.in")).unwrap();
        if let Some(text) = text {
            home.write("set.in", text);
        }
        home.write("set", "as it was");
        assert_eq!(home.run(&["check", "c.toml"]).code, Some(78), "it is an error all the same");
        let mut daemon = home.start();
        daemon.until("the hook has run", |status| status["hooks"][0]["synced"] == true);
        let stays = format!("DIR/set stays as it is: when the configuration was read, {}", why);
        daemon.until_logged(&stays);
        let shown = home.ask(&["status"]);
        assert!(shown.code == Some(3) && shown.stdout.contains("DIR/set  NotRendered: when the"), "{}", shown.stdout);
        let found = home.ask(&["doctor"]);
        assert!(found.code == Some(3) && found.stdout.contains("set.in"), "{}", found.stdout);
        assert_eq!(home.ask(&["reload"]).code, Some(78), "who reloads is there to mend it");
        holds(&home.path().join("set"), "as it was");
        home.write("set.in", TEMPLATE);
        assert_eq!(home.ask(&["reload"]).code, Some(0));
        daemon.until("all is done", all_synced);
        holds(&home.path().join("reloads"), "set 2001:db8:1::/56\n- 2001:db8:1:0:f000::/112\n");
    }
}

#[test]
fn what_leaves_the_configuration_is_told_and_stays_as_it_is() {
    let home = home();
    let mut daemon = home.start();
    daemon.until("all is done", all_synced);
    let (config, _) = CONFIG.split_once("[[hook]]").unwrap();
    home.configure(config);
    assert_eq!(home.ask(&["reload"]).code, Some(0));
    daemon.until_logged("The hook follow has left the configuration and is run no more; it was not told.");
    daemon.until_logged("DIR/set has left the configuration; it stays as it is, and is no longer kept up to date.");
    holds(&home.path().join("set"), "set 2001:db8:1::/56\n- 2001:db8:1:0:f000::/112\n");
}

#[test]
fn plan_shows_what_a_file_would_hold_and_writes_nothing() {
    let home = home();
    let plan = home.ask(&["plan", "--prefix", "2001:db8:3::/56", "--prefix", "2001:db8:1::/56"]);
    let files = "files\n  DIR/set  Planned\n    set 2001:db8:3::/56\n    - 2001:db8:3:0:f000::/112\n    \
                 - 2001:db8:1:0:f000::/112\n";
    assert!(plan.code == Some(0) && plan.stdout.ends_with(files), "{}", plan.stdout);
    let json = home.ask(&["plan", "--prefix", "2001:db8:3::/56", "--output", "json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["files"][0]["content"], "set 2001:db8:3::/56\n- 2001:db8:3:0:f000::/112\n");
    assert_eq!(json["hooks"], Value::Null, "what runs is only known where it runs");
    let unknown = home.ask(&["plan"]);
    assert!(unknown.stdout.contains("NoOpinion: No prefix of home is known; the file stays as it is."), "{unknown:?}");
    assert!(!home.path().join("set").exists() && !home.path().join("runs").exists());
}

#[test]
fn metrics_count_what_ran_and_what_failed() {
    let (home, address) = (home(), free());
    home.configure(&CONFIG.replacen("[daemon]\n", &format!("[daemon]\nlisten = \"{address}\"\n"), 1));
    home.write("broken", "");
    let daemon = home.start();
    daemon.until("the hook fails", |status| {
        status["hooks"][0]["reason"] == "Failed" && status["files"][0]["synced"] == true
    });
    let path = home.path().join("set").display().to_string();
    let expect = |samples: &[(&str, f64)]| {
        let (_, _, metrics) = get(address, "/metrics");
        for (name, value) in samples {
            let name = name.replace("PATH", &path);
            assert_eq!(sample(&metrics, &name), Some(*value), "{name}: {metrics}");
        }
    };
    let synced = "dyn_prefix_hook_synced{hook=\"follow\",dynamic_prefix=\"home\"}";
    expect(&[
        ("dyn_prefix_healthy", 0.0),
        (synced, 0.0),
        ("dyn_prefix_file_synced{path=\"PATH\"}", 1.0),
        ("dyn_prefix_file_writes_total{path=\"PATH\",outcome=\"success\"}", 1.0),
        ("dyn_prefix_file_reloads_total{path=\"PATH\",outcome=\"success\"}", 1.0),
    ]);
    fs::remove_file(home.path().join("broken")).unwrap();
    daemon.until("all is done", all_synced);
    let succeeded = "dyn_prefix_hook_runs_total{hook=\"follow\",outcome=\"success\"}";
    expect(&[("dyn_prefix_healthy", 1.0), (synced, 1.0), (succeeded, 1.0)]);
    let (_, _, metrics) = get(address, "/metrics");
    let of = |name: &str| sample(&metrics, name).unwrap_or_else(|| panic!("{name}: {metrics}"));
    let failed = of("dyn_prefix_hook_runs_total{hook=\"follow\",outcome=\"failure\"}");
    assert!(failed >= 1.0);
    assert_eq!(of("dyn_prefix_hook_duration_seconds_count{hook=\"follow\"}"), failed + 1.0);
}
