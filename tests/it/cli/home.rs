//! A directory with a configuration, commands that run there, and a daemon.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

/// Bounds how long a failing test takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

const BINARY: &str = env!("CARGO_BIN_EXE_dyn-prefix");

/// A user without any right.
const NOBODY: u32 = 65_534;

/// A cluster that is not there, and a prefix written in the file. `DIR` becomes the directory.
pub(super) const FIXED: &str = r#"[daemon]
id = "test"
stateDirectory = "DIR/state"
controlSocket = "DIR/control.sock"

[[cluster]]
name = "lab"
kubeconfig = "DIR/kubeconfig"

[[dynamicPrefix]]
name = "home"
acquisition.static.prefix = "2001:db8:1::/56"
addressRanges = [{ name = "lb", start = "::f000:0:0:0", end = "::f000:0:0:ffff" }]
subnets = [{ name = "web", index = [4, 5, 7], prefixLength = 64 }]

[[binding]]
name = "pool"
prefixRef = "home/lb"
target = "CiliumLoadBalancerIPPool/pool"

[[binding]]
name = "group"
prefixRef = { name = "home", subnet = "web" }
target = "CiliumCIDRGroup/group"
"#;

pub(super) struct Home(tempfile::TempDir);

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Home {
    /// With this configuration.
    pub(super) fn new(config: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.configure(config);
        home
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Replaces the configuration.
    pub(super) fn configure(&self, config: &str) {
        self.write("c.toml", config);
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text.replace("DIR", &self.path().display().to_string())).unwrap();
    }

    fn command(&self, binary: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for variable in ["JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_USEC", "STATE_DIRECTORY", "DYN_PREFIX_LOG"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs `dyn-prefix` with these arguments to its end.
    pub(super) fn run(&self, arguments: &[&str]) -> Outcome {
        self.outcome(self.command(BINARY, arguments))
    }

    /// Runs a command with `--config`.
    pub(super) fn ask(&self, arguments: &[&str]) -> Outcome {
        self.run(&[arguments, &["--config", "c.toml"]].concat())
    }

    /// The same for a user without any right, who may enter the directory.
    pub(super) fn ask_as_nobody(&self, arguments: &[&str]) -> Outcome {
        self.run_as_nobody(&[arguments, &["--config", "c.toml"]].concat())
    }

    /// The same without `--config`.
    pub(super) fn run_as_nobody(&self, arguments: &[&str]) -> Outcome {
        self.outcome(self.command_of_nobody(arguments))
    }

    /// As whoever runs the tests, unless that is root.
    fn command_of_nobody(&self, arguments: &[&str]) -> Command {
        if !nix::unistd::geteuid().is_root() {
            return self.command(BINARY, arguments);
        }
        // The build directory may be closed to others.
        let binary = self.path().join("dyn-prefix");
        // By a process of its own: a program that another test's child has open for writing cannot be run.
        assert!(Command::new("cp").args([BINARY.as_ref(), binary.as_os_str()]).status().unwrap().success());
        fs::set_permissions(self.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = self.command(binary, arguments);
        command.uid(NOBODY).gid(NOBODY);
        command
    }

    /// Starts the daemon as a user without any right, to whom the directory belongs.
    pub(super) fn start_as_nobody(&self) -> Daemon<'_> {
        let command = self.command_of_nobody(&["run", "--config", "c.toml"]);
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(self.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        self.started(command)
    }

    /// Runs a command with `--config` whose standard output nobody reads.
    pub(super) fn ask_unheard(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command(BINARY, &[arguments, &["--config", "c.toml"]].concat());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let code = ended(&mut child).unwrap_or_else(|| panic!("{arguments:?} goes on although nobody reads it"));
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        Outcome { code, stdout: String::new(), stderr }
    }

    fn outcome(&self, mut command: Command) -> Outcome {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| self.masked(&String::from_utf8_lossy(bytes));
        Outcome { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    fn masked(&self, text: &str) -> String {
        without_times(&text.replace(&self.path().display().to_string(), "DIR"))
    }

    /// Starts the daemon and waits until it is ready.
    pub(super) fn start(&self) -> Daemon<'_> {
        self.start_with(&[])
    }

    /// The same, with more arguments.
    pub(super) fn start_with(&self, arguments: &[&str]) -> Daemon<'_> {
        self.started(self.command(BINARY, &[&["run", "--config", "c.toml"], arguments].concat()))
    }

    /// The same, when no file can grow beyond a few kilobytes.
    pub(super) fn start_with_small_files(&self, arguments: &[&str]) -> Daemon<'_> {
        // An ignored signal stays ignored: writing then fails, as on a full disk. The unit is 512 octets.
        let script = "trap '' XFSZ; ulimit -f 6; exec \"$0\" run --config c.toml \"$@\"";
        self.started(self.command("sh", &[&["-c", script, BINARY], arguments].concat()))
    }

    fn started(&self, mut command: Command) -> Daemon<'_> {
        let notify = self.path().join("notify");
        drop(fs::remove_file(&notify));
        let socket = UnixDatagram::bind(&notify).unwrap();
        fs::set_permissions(&notify, fs::Permissions::from_mode(0o666)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut child = command.env("NOTIFY_SOCKET", &notify).stderr(Stdio::piped()).spawn().unwrap();
        let log = lines(child.stderr.take().unwrap());
        let mut daemon = Daemon { home: self, child, log, logged: Vec::new(), socket, notes: Vec::new() };
        daemon.until_noted("READY=1");
        daemon
    }
}

/// A running daemon; killed with the value.
pub(super) struct Daemon<'a> {
    home: &'a Home,
    child: Child,
    log: Receiver<String>,
    logged: Vec<String>,
    socket: UnixDatagram,
    notes: Vec<String>,
}

impl Daemon<'_> {
    /// Waits until it has told its supervisor a line that begins so, and returns the line.
    pub(super) fn until_noted(&mut self, line: &str) -> String {
        loop {
            if let Some(found) = self.notes.iter().position(|noted| noted.starts_with(line)) {
                return self.notes.remove(found);
            }
            let mut datagram = [0; 4096];
            let length = self.socket.recv(&mut datagram).unwrap_or_else(|error| {
                panic!("no {line} ({error}); {:#?}", self.log.try_iter().collect::<Vec<_>>());
            });
            self.notes.extend(String::from_utf8_lossy(&datagram[..length]).lines().map(str::to_owned));
        }
    }

    /// Waits until the log has a line with this text, from its beginning on, and returns the line.
    pub(super) fn until_logged(&mut self, text: &str) -> String {
        loop {
            if let Some(line) = self.logged.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => self.logged.push(self.home.masked(&line)),
                Err(error) => panic!("{text:?} is not logged ({error}): {:#?}", self.logged),
            }
        }
    }

    /// Waits until the status, as `status --watch` tells it, is as wished.
    pub(super) fn until(&self, what: &str, wish: impl Fn(&Value) -> bool) -> Value {
        let watch = self.watch(&["--output", "json"]);
        loop {
            let status = serde_json::from_str(&watch.next(what)).unwrap();
            if wish(&status) {
                return status;
            }
        }
    }

    /// A `status --watch` that runs.
    pub(super) fn watch(&self, arguments: &[&str]) -> Watch {
        let arguments = [&["status", "--watch", "--config", "c.toml"], arguments].concat();
        let mut command = self.home.command(BINARY, &arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = lines(child.stdout.take().unwrap());
        Watch { child, lines }
    }

    /// Every line of its log; it has ended.
    pub(super) fn whole_log(&mut self) -> &[String] {
        self.logged.extend(self.log.iter().map(|line| self.home.masked(&line)));
        &self.logged
    }

    /// Lets it have this many open files from now on; those that it has stay open. `None`: as many as we.
    pub(super) fn limit_open_files(&self, limit: Option<u64>) {
        let own = getrlimit(Resource::Nofile);
        let limit = Rlimit { current: limit.or(own.current), maximum: own.maximum };
        prlimit(rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Resource::Nofile, limit)
            .unwrap();
    }

    /// Lets it open this many more files.
    pub(super) fn leave_open_files(&self, more: usize) {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let open: Vec<u64> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
        // The kernel gives the lowest number that is free.
        let last = (0..).filter(|number| !open.contains(number)).nth(more).unwrap();
        self.limit_open_files(Some(last));
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end, and returns its exit status.
    pub(super) fn ended(&mut self) -> Option<i32> {
        ended(&mut self.child).expect("it ends")
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A `status --watch` that runs; killed with the value.
pub(super) struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    /// The next line.
    pub(super) fn next(&self, what: &str) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Waits for its end: exit status and what it says on standard error.
    pub(super) fn ended(&mut self) -> (Option<i32>, String) {
        let code = ended(&mut self.child).expect("it ends");
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (code, stderr)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits for the end of a process; `None` when it does not end in time.
fn ended(child: &mut Child) -> Option<Option<i32>> {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (done, waiting) = mpsc::channel();
    // A process that is waited for by two is fine as long as only one of them reaps it.
    std::thread::spawn(move || {
        let id = nix::sys::wait::Id::Pid(pid);
        let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
        let outcome = nix::sys::wait::waitid(id, flags).map(|_| ());
        // Who waited may have given up.
        let _ = done.send(outcome);
    });
    waiting.recv_timeout(PATIENCE).ok()?.unwrap();
    Some(child.wait().unwrap().code())
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Replaces every time like 2026-01-04T10:00:00Z.
fn without_times(text: &str) -> String {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    let is_time = |window: &[u8]| {
        let alike = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
        window.len() == SHAPE.len() && window.iter().zip(SHAPE).all(alike)
    };
    let mut out = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (taken, shown) = match rest.as_bytes().get(..SHAPE.len()) {
            Some(window) if is_time(window) => (SHAPE.len(), "TIME".to_owned()),
            _ => (next.len_utf8(), next.to_string()),
        };
        out.push_str(&shown);
        rest = &rest[taken..];
    }
    out
}

/// Where the socket of [`FIXED`] is.
pub(super) fn socket(home: &Home) -> PathBuf {
    home.path().join("control.sock")
}
