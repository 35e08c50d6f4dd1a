//! `acquisition = "auto"` where there is nothing to choose from.

use super::home::Home;

const AUTO: &str = r#"[daemon]
id = "test"
stateDirectory = "DIR/state"
controlSocket = "DIR/control.sock"

[[dynamicPrefix]]
name = "home"
acquisition = { auto = { interface = "none0" } }
"#;

#[test]
fn the_daemon_is_ready_and_says_what_it_waits_for() {
    let home = Home::new(AUTO);
    let mut daemon = home.start();
    daemon.until_logged("home: acquisition.auto has not chosen a source yet: there is no interface none0 yet.");
    let is_told = |status: &serde_json::Value| {
        status["dynamicPrefixes"][0]["errors"][0]["message"]
            == "No source is chosen yet: there is no interface none0 yet."
    };
    daemon.until("the status says it", is_told);
    let reload = home.ask(&["reload"]);
    assert_eq!(reload.code, Some(0), "{reload:?}");
    daemon.until("it still does", is_told);
}

#[test]
fn plan_live_says_that_nobody_was_asked() {
    let home = Home::new(AUTO);
    let plan = home.ask(&["plan", "--live", "--timeout", "1"]);
    let note = "home: what acquisition.auto chooses is the daemon's to say; nobody was asked for it.";
    assert!(plan.stderr.contains(note) || plan.stdout.contains(note), "{plan:?}");
    assert_eq!(plan.code, Some(3), "{plan:?}");
}
