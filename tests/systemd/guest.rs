//! A booted container.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::image::Image;
use super::journal::Journal;

/// How long to wait for what should happen at once; a busy machine may take its time.
pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) const UNIT: &str = "dyn-prefix.service";

/// Where the configuration is; the unit names no other.
const CONFIG: &str = "/etc/dyn-prefix.toml";

#[derive(Debug)]
pub(crate) struct Guest {
    nspawn: Child,
    /// Its process 1, as this machine numbers it.
    pub(crate) pid: u32,
    root: PathBuf,
    _directory: tempfile::TempDir,
}

impl Guest {
    /// Boots the image, after `prepare` was given its root, with more arguments for systemd-nspawn. What is written goes
    /// to memory; mounts and container end with this process.
    pub(crate) fn boot(image: &Image, prepare: impl FnOnce(&Path), arguments: &[String]) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let root = overlay(&image.root, directory.path())
            .map_err(|error| format!("cannot mount an overlay over {}: {error}", image.root.display()))?;
        prepare(&root);
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "systemd-nspawn", "-D"]).arg(&root).env("PATH", &image.path);
        command.args(["--register=no", "--keep-unit", "--private-network", "--console=read-only", "--boot", "--quiet"]);
        command.args(arguments);
        let log = fs::File::create(directory.path().join("console")).expect("a log file");
        let errors = log.try_clone().expect("a second handle");
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let nspawn = command.spawn().map_err(|error| format!("cannot run systemd-nspawn: {error}"))?;
        let mut guest = Self { nspawn, pid: 0, root, _directory: directory };
        guest.wait_for_init().map_err(|reason| {
            let console = fs::read_to_string(guest._directory.path().join("console")).unwrap_or_default();
            format!("{reason}; systemd-nspawn said: {}", console.trim())
        })?;
        Ok(guest)
    }

    fn wait_for_init(&mut self) -> Result<(), String> {
        let spawned = self.nspawn.id();
        let mut ended = None;
        let init = wait(SOON, || {
            ended = self.nspawn.try_wait().expect("a child of ours");
            if ended.is_some() { Some(None) } else { init_of(spawned).map(Some) }
        });
        self.pid = init.flatten().ok_or_else(|| format!("the container has not started (exit status: {ended:?})"))?;
        let mut last = String::new();
        let running = wait(SOON, || {
            let output = self.try_run(&["systemctl", "is-system-running", "--wait"]);
            last = text(&output.stdout) + &text(&output.stderr);
            // A unit of the image that fails in a container is not our business.
            matches!(last.trim(), "running" | "degraded").then_some(())
        });
        running.ok_or_else(|| format!("systemd is not up in the container: {last}"))
    }

    fn try_run(&self, words: &[&str]) -> Output {
        let mut command = self.command(words);
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// A command that will run inside.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--all", "--"]).args(words).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        command
    }

    /// Runs a command inside to its end: whether it succeeded, and what it said.
    pub(crate) fn run(&self, words: &[&str]) -> (bool, String) {
        let output = self.try_run(words);
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    }

    /// The same for a command that must succeed.
    pub(crate) fn done(&self, words: &[&str]) -> String {
        let (success, said) = self.run(words);
        assert!(success, "{words:?}: {said}\n{}", self.run(&["journalctl", "-u", UNIT, "-n", "30"]).1);
        said
    }

    /// Runs `work` on a thread of its own in the container's network namespace, outside of everything else of it.
    pub(crate) fn network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let file = fs::File::open(format!("/proc/{}/ns/net", self.pid)).expect("it runs");
                setns(file, CloneFlags::CLONE_NEWNET).expect("setns");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Stops the service and forgets everything about it; then this is its configuration.
    pub(crate) fn fresh(&self, config: &str) -> Journal {
        self.run(&["systemctl", "stop", UNIT]);
        self.done(&["rm", "-rf", "/var/lib/dyn-prefix", "/run/dyn-prefix", "/etc/systemd/system/dyn-prefix.service.d"]);
        self.done(&["systemctl", "daemon-reload"]);
        self.run(&["systemctl", "reset-failed", UNIT]);
        self.configure(config);
        Journal::follow(self)
    }

    pub(crate) fn configure(&self, config: &str) {
        self.write(CONFIG, config);
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().expect("an absolute path")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// A file of this machine, executable.
    pub(crate) fn copy(&self, from: &Path, path: &str) {
        let text = fs::read(from).expect("it can be read");
        let path = self.root.join(path.trim_start_matches('/'));
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }

    pub(crate) fn remove_config(&self) {
        self.done(&["rm", CONFIG]);
    }

    /// `systemctl start`, which must succeed.
    pub(crate) fn start(&self) {
        self.done(&["systemctl", "start", UNIT]);
    }

    /// A property of the unit.
    pub(crate) fn show(&self, property: &str) -> String {
        self.done(&["systemctl", "show", "--value", "-p", property, UNIT]).trim().to_owned()
    }

    /// Several at once, for comparing.
    pub(crate) fn shown<const N: usize>(&self, properties: [&str; N]) -> [String; N] {
        let said = self.done(&["systemctl", "show", "-p", &properties.join(","), UNIT]);
        let values: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once('=')).collect();
        properties.map(|property| values.get(property).copied().unwrap_or_default().to_owned())
    }

    /// Waits until a property of the unit is as wished.
    pub(crate) fn until(&self, property: &str, wish: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let found = wait(SOON, || {
            last = self.show(property);
            wish(&last).then(|| last.clone())
        });
        found.unwrap_or_else(|| panic!("{property} is {last:?} after {SOON:?}"))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Process 1 first: it outlives a systemd-nspawn that is killed, and with it ends everything inside.
        if let Some(init) = i32::try_from(self.pid).ok().filter(|pid| *pid > 1) {
            let _ = kill(Pid::from_raw(init), Signal::SIGKILL);
        }
        drop(self.nspawn.kill());
        drop(self.nspawn.wait());
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Mounts an overlay over `image` in a mount namespace of this process; what is written stays in memory.
fn overlay(image: &Path, directory: &Path) -> nix::Result<PathBuf> {
    const NONE: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
    let memory = directory.join("memory");
    for path in [&memory, &directory.join("root")] {
        fs::create_dir(path).expect("a directory");
    }
    mount(Some("tmpfs"), &memory, Some("tmpfs"), MsFlags::empty(), NONE)?;
    for name in ["upper", "work"] {
        fs::create_dir(memory.join(name)).expect("a directory");
    }
    let show = |path: &Path| path.display().to_string();
    let (upper, work) = (show(&memory.join("upper")), show(&memory.join("work")));
    let options = format!("lowerdir={},upperdir={upper},workdir={work}", show(image));
    let root = directory.join("root");
    mount(Some("overlay"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    Ok(root)
}

/// The process below `ancestor` that is process 1 of a namespace of its own.
fn init_of(ancestor: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{ancestor}/task/{ancestor}/children")).ok()?;
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).find_map(|pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let is_init = numbers.split_whitespace().count() > 1 && numbers.trim_end().ends_with("\t1");
        if is_init { Some(pid) } else { init_of(pid) }
    })
}

/// Asks again and again until there is an answer; none after `limit`.
#[expect(clippy::disallowed_methods, reason = "systemd has no event for what is asked here")]
pub(crate) fn wait<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
