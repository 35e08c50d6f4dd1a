//! Every command of the README does what the README says. Those that are not run here are run by a layer of
//! `tests/run`, which is looked up there.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use dyn_prefix::plan::annotation;
use tempfile::TempDir;

const README: &str = include_str!("../../README.md");
const RUN: &str = include_str!("../run");
/// What makes and installs the packages, and what happens to them then.
const PACKAGE: &str = concat!(
    include_str!("../package/make"),
    include_str!("../package/life.rs"),
    include_str!("../package/household.rs"),
    include_str!("../systemd/image.rs")
);
const PROGRAM: &str = env!("CARGO_BIN_EXE_dyn-prefix");
const CONFIG: &str = "/etc/dyn-prefix.toml";
const KUBECONFIG: &str = "/etc/dyn-prefix/home.kubeconfig";

/// The content of the fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix("```").filter(|found| !found.is_empty()) {
            let content: String =
                lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            if found == language {
                blocks.push(content);
            }
        }
    }
    blocks
}

/// The commands of the blocks without output.
fn commands() -> Vec<String> {
    blocks("sh").concat().lines().map(ToOwned::to_owned).collect()
}

/// Where the README's paths lead for a test.
struct Root {
    directory: TempDir,
}

impl Root {
    /// A host on which the README's file is installed, with a state directory and a control socket of its own.
    fn new() -> Self {
        let root = Self { directory: tempfile::tempdir().unwrap() };
        let [config, _] = blocks("toml").try_into().expect("a configuration, and a file for it");
        fs::create_dir_all(root.path("/etc/dyn-prefix")).unwrap();
        fs::write(root.path(KUBECONFIG), "").unwrap();
        let daemon = format!(
            "[daemon]\nstateDirectory = \"{}\"\ncontrolSocket = \"{}\"\n",
            root.path("/state").display(),
            root.path("/socket").display()
        );
        fs::write(root.path(CONFIG), root.inside(&config) + &daemon).unwrap();
        root
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path.trim_start_matches('/'))
    }

    /// Text with its absolute paths below this root.
    fn inside(&self, text: &str) -> String {
        let root = self.directory.path().display();
        text.replace("/etc/", &format!("{root}/etc/"))
    }

    /// Runs a command line of the README that calls dyn-prefix.
    fn dyn_prefix(&self, line: &str) -> Output {
        let words: Vec<&str> = line.trim_start_matches("sudo ").split(' ').collect();
        let [program, subcommand, arguments @ ..] = words.as_slice() else { panic!("no subcommand: {line}") };
        assert_eq!(*program, "dyn-prefix");
        let mut command = Command::new(PROGRAM);
        command.arg(subcommand).args(arguments);
        // The one path that is not in the text, as it is the default.
        match *subcommand {
            "check" => command.arg(self.path(CONFIG)),
            "help" => &mut command,
            _ => command.arg("--config").arg(self.path(CONFIG)),
        };
        command.output().unwrap()
    }

    /// A daemon with more arguments that has said that it started.
    fn daemon(&self, arguments: &[&str]) -> Running {
        let mut command = Command::new(PROGRAM);
        command
            .arg("run")
            .args(arguments)
            .arg("--config")
            .arg(self.path(CONFIG))
            .env_remove("JOURNAL_STREAM")
            .env_remove("NOTIFY_SOCKET");
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut running = Running { child, lines: Box::new(lines.map_while(Result::ok)) };
        assert!(running.lines.any(|line| line.contains(" started with ")), "the daemon ended");
        running
    }
}

struct Running {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then the test has failed already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn every_command_is_run_by_a_test() {
    let here = ["sudo dyn-prefix doctor", "sudo dyn-prefix status", "sudo dyn-prefix history", "tests/run"];
    // Commands that take longer or need a systemd, where they are run, and the words by which that is known.
    let elsewhere = [
        ("cargo run --release --example demo", RUN, "run demo cargo run --release --example demo"),
        ("sudo apt-get install build-essential debhelper", PACKAGE, r#""build-essential", "debhelper""#),
        ("dpkg-buildpackage -us -uc -b", PACKAGE, "dpkg-buildpackage -us -uc -b"),
        ("sudo dpkg --install ../dyn-prefix_*.deb", PACKAGE, r#"["dpkg", "--install", "/srv/first.deb"]"#),
        ("sudo dyn-prefix join --admin-kubeconfig admin.kubeconfig", RUN, "on_request lab"),
        ("sudo systemctl reload dyn-prefix", PACKAGE, r#"["systemctl", "reload", UNIT]"#),
        ("systemctl status dyn-prefix", PACKAGE, r#"["systemctl", "status", "#),
        ("journalctl -u dyn-prefix", PACKAGE, r#"["journalctl", "-u", UNIT, "#),
    ];
    assert!(RUN.contains("on_request package"), "tests/run runs the tests of the packages");
    for command in commands() {
        let by = elsewhere.iter().find(|(known, ..)| *known == command);
        let is_run = here.contains(&command.as_str()) || by.is_some_and(|(_, text, words)| text.contains(words));
        assert!(is_run, "no test runs this command of the README: {command}");
    }
}

#[test]
fn the_configuration_is_the_example() {
    let [config, _] = blocks("toml").try_into().expect("a configuration, and a file for it");
    assert_eq!(config, include_str!("../../examples/home.toml"));
}

/// What it does to packets is for the layer netns.
#[test]
fn the_file_fits_the_configuration() {
    assert!(include_str!("../netns/host.rs").contains("nth(\"toml\", 2)") && RUN.contains("on_request netns"));
    let root = Root::new();
    let [_, file] = blocks("toml").try_into().expect("a configuration, and a file for it");
    let config = fs::read_to_string(root.path(CONFIG)).unwrap();
    fs::write(root.path(CONFIG), config + &file).unwrap();
    let printed = String::from_utf8(root.dyn_prefix("dyn-prefix check").stdout).unwrap();
    // That nft is not installed here is a warning.
    assert!(printed.contains(": can be used"), "{printed}");
    let plan = root.dyn_prefix("dyn-prefix plan --prefix 2001:db8:1234::/64").stdout;
    let plan = String::from_utf8_lossy(&plan);
    assert!(plan.contains("add element inet home loadbalancers { 2001:db8:1234:0:f000::/112 }"), "{plan}");
}

/// The delegation that the README offers instead is one that the checker takes, with the rights that the unit has.
#[test]
fn the_delegation_of_the_readme_can_be_asked_for() {
    let start = README.find("acquisition.dhcpv6 = {").expect("acquisition.dhcpv6");
    let delegation = README[start..].split('`').next().unwrap();
    let root = Root::new();
    let heard = "acquisition.routerAdvertisement = { interface = \"eth0\" }";
    let text = fs::read_to_string(root.path(CONFIG)).unwrap();
    for acquisition in [delegation.to_owned(), format!("{delegation}\n{heard}")] {
        assert!(text.contains(heard));
        fs::write(root.path(CONFIG), text.replace(heard, &acquisition)).unwrap();
        let output = root.dyn_prefix("dyn-prefix check");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && printed.ends_with(": can be used\n"), "{acquisition}: {printed}");
    }
    let unit = include_str!("../../systemd/dyn-prefix.service");
    for right in unit.lines().find_map(|line| line.strip_prefix("AmbientCapabilities=")).unwrap().split(' ') {
        assert!(README.contains(right), "{right}");
    }
    let keys = include_str!("../../examples/dyn-prefix.toml");
    assert!(README.contains("takeOver = true") && keys.contains("takeOver = "));
}

#[test]
fn check_and_plan_print_what_the_readme_shows() {
    let root = Root::new();
    let [session] = blocks("console").try_into().expect("one session");
    let mut shown = session.split("$ ").skip(1).map(|part| part.split_once('\n').unwrap());
    for (line, expected) in shown.by_ref() {
        let output = root.dyn_prefix(line);
        let printed = String::from_utf8_lossy(&output.stdout).replace(&root.inside("/etc/"), "/etc/");
        assert_eq!(printed, expected, "{line}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line}");
    }
    assert!(README.contains("`--prefix NEW --prefix OLD`"));
    let line = "dyn-prefix plan --prefix 2001:db8:2::/64 --prefix 2001:db8:1::/64";
    let printed = String::from_utf8(root.dyn_prefix(line).stdout).unwrap();
    let places = ["2001:db8:2:0:f000::-", "2001:db8:1:0:f000::-"].map(|entry| printed.find(entry).expect(entry));
    assert!(places[0] < places[1], "the current prefix comes first:\n{printed}");
}

#[test]
fn status_and_history_answer_with_the_exit_status_that_the_readme_names() {
    let root = Root::new();
    let code = |line: &str| root.dyn_prefix(line).status.code();
    assert_eq!(code("sudo dyn-prefix status"), Some(4), "not running");
    let daemon = root.daemon(&[]);
    // Its kubeconfig is empty and there is no prefix.
    assert_eq!(code("sudo dyn-prefix status"), Some(3), "not well");
    assert_eq!(code("sudo dyn-prefix history"), Some(0));
    let json = root.dyn_prefix("dyn-prefix status --output json").stdout;
    let status: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(status["dynamicPrefixes"][0]["name"], "home-ipv6");
    assert_eq!(status["clusters"][0]["state"], "misconfigured");
    drop(daemon);
}

/// Neither has much to see here; what they find elsewhere is for the layers netns and lab.
#[test]
fn doctor_and_init_are_there() {
    assert!(README.contains("`sudo dyn-prefix init --kubeconfig FILE`"));
    let root = Root::new();
    let found = root.dyn_prefix("sudo dyn-prefix doctor");
    let printed = String::from_utf8_lossy(&found.stdout);
    assert_eq!(found.status.code(), Some(3), "a kubeconfig is empty: {printed}");
    assert!(printed.contains(&root.inside(KUBECONFIG)), "{printed}");
    let file = Command::new(PROGRAM).args(["init", "--interface", "lo"]).output().unwrap();
    fs::write(root.path(CONFIG), &file.stdout).unwrap();
    let checked = root.dyn_prefix("dyn-prefix check");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn what_is_recorded_can_be_replayed() {
    assert!(README.contains("`dyn-prefix run --record FILE`") && README.contains("`dyn-prefix replay FILE`"));
    let root = Root::new();
    let file = root.path("/record");
    let daemon = root.daemon(&["--record", file.to_str().unwrap()]);
    assert_eq!(root.dyn_prefix("dyn-prefix status").status.code(), Some(3), "it runs");
    drop(daemon);
    let output = Command::new(PROGRAM).arg("replay").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains(&format!("dyn-prefix {} starts", dyn_prefix::VERSION)), "{told}");
}

/// The annotations of its Service are such as the program reads, and what they say fits its configuration.
#[test]
fn the_annotations_of_the_readme_are_known() {
    let [block] = blocks("yaml").try_into().expect("one list of annotations");
    let (keys, values): (Vec<&str>, Vec<&str>) = block.lines().filter_map(|line| line.split_once(": ")).unzip();
    let skip = README.split('`').find(|word| word.starts_with("dynamic-prefix.io/skip")).expect("the fourth");
    let named = keys.iter().copied().chain(skip.split(": ").next());
    let known = [annotation::NAME, annotation::SERVICE_ADDRESS_RANGE, annotation::SUFFIX];
    assert!(named.eq(known.into_iter().chain([annotation::SKIP_EXTERNAL_DNS_UPDATE])), "{keys:?}, {skip}");
    let [config, _] = blocks("toml").try_into().expect("a configuration, and a file for it");
    assert!(values[..2].iter().all(|value| config.contains(&format!("name = \"{value}\""))), "{values:?}");
    // The same as a [[service]] is taken by the checker.
    let service = format!(
        "[[service]]\nnamespace = \"web\"\nname = \"front\"\nprefixRef = \"{}/{}\"\nsuffix = {}\n",
        values[0], values[1], values[2]
    );
    let root = Root::new();
    let text = fs::read_to_string(root.path(CONFIG)).unwrap();
    let with_mode = text.replacen("[daemon]", &format!("{service}[daemon]"), 1);
    let ha = "addressRanges = [";
    assert!(README.contains("`transition.mode = \"ha\"`") && with_mode.contains(ha));
    fs::write(root.path(CONFIG), with_mode.replacen(ha, &format!("transition.mode = \"ha\"\n{ha}"), 1)).unwrap();
    let output = root.dyn_prefix("dyn-prefix check");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.ends_with(": can be used\n"), "{printed}");
}

#[test]
fn the_help_that_the_readme_names_is_there() {
    for line in ["dyn-prefix help run", "dyn-prefix help plan"] {
        assert!(README.contains(&format!("`{line}`")));
        let root = Root::new();
        assert!(root.dyn_prefix(line).status.success(), "{line}");
    }
    for option in ["--output", "--watch"] {
        assert!(README.contains(option));
        let help = Command::new(PROGRAM).args(["help", "status"]).output().unwrap();
        assert!(String::from_utf8_lossy(&help.stdout).contains(option), "{option}");
    }
}

#[test]
fn the_files_and_the_rights_that_it_names_are_there() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["examples/dyn-prefix.toml", "src/lib.rs", "packaging/README.md"] {
        assert!(README.contains(file) && here.join(file).is_file(), "{file}");
    }
    let rights = fs::read_to_string(here.join("examples/rbac.yaml")).expect("examples/rbac.yaml");
    assert_eq!(in_readme(), in_file(&rights));
    assert!(README.lines().count() <= 205 && README.lines().all(|line| line.chars().count() <= 120));
}

/// Resource and verb, of the README's table.
fn in_readme() -> Vec<(String, String)> {
    let rows = README.lines().filter(|line| line.starts_with("| `"));
    sorted(rows.flat_map(|row| {
        let [_, resources, verbs, _] = row.split('|').collect::<Vec<_>>().try_into().expect("two columns");
        let resources: Vec<String> = names(resources.split(" in ").next().unwrap_or_default());
        let known = ["get", "list", "watch", "create", "update", "patch", "delete"];
        let verbs: Vec<String> =
            verbs.split([' ', ',', ';']).filter(|word| known.contains(word)).map(ToOwned::to_owned).collect();
        pairs(&resources, &verbs)
    }))
}

/// Resource and verb, of the rules of the file, in which a list stands on one line.
fn in_file(text: &str) -> Vec<(String, String)> {
    let lists = |key: &str| -> Vec<Vec<String>> {
        text.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key)).map(names).collect()
    };
    let (resources, verbs) = (lists("resources:"), lists("verbs:"));
    assert_eq!(resources.len(), verbs.len());
    sorted(resources.iter().zip(&verbs).flat_map(|(resources, verbs)| pairs(resources, verbs)))
}

fn names(text: &str) -> Vec<String> {
    let words = text.split([',', ' ', '[', ']', '"', '`']).filter(|word| !word.is_empty());
    words.map(ToOwned::to_owned).collect()
}

fn pairs(resources: &[String], verbs: &[String]) -> Vec<(String, String)> {
    resources.iter().flat_map(|resource| verbs.iter().map(move |verb| (resource.clone(), verb.clone()))).collect()
}

fn sorted(pairs: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort();
    pairs.dedup();
    pairs
}
