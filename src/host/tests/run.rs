//! Commands as real processes.

use std::path::Path;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::host::decide::Run;
use crate::host::run::{Tail, run};
use crate::host::{Done, Failure};

/// No test waits longer than this, whatever is wrong.
const LIMIT: Duration = Duration::from_secs(30);

fn shell(script: &str) -> Run {
    Run {
        id: 1,
        command: vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()],
        timeout: LIMIT,
        ..Run::default()
    }
}

async fn outcome(job: Run) -> Result<Done, Failure> {
    timeout(LIMIT, run(job, CancellationToken::new())).await.expect("a command ends in its time")
}

async fn failure(job: Run) -> (&'static str, String) {
    let failure = outcome(job).await.expect_err("it fails");
    (failure.reason, failure.message)
}

async fn read(path: &Path) -> String {
    let complete = async {
        loop {
            match std::fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text,
                Ok(_) | Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(LIMIT, complete).await.unwrap_or_else(|_| panic!("{} was not written", path.display()))
}

/// Waits until there is no process of this number.
async fn gone(pid: &str) {
    let stat = format!("/proc/{}/stat", pid.trim());
    let is_there = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    let gone = async {
        while is_there() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, gone).await.unwrap_or_else(|_| panic!("the process {pid} is still there"));
}

#[tokio::test]
async fn a_command_gets_its_environment_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let script = format!("{{ pwd; env; cat; ls -l /proc/self/fd; }} > {}", out.display());
    let job = Run {
        variables: vec![("DYN_PREFIX_NAME".to_owned(), "home-ipv6".to_owned())],
        input: b"{\"event\": \"start\"}\n".to_vec(),
        ..shell(&script)
    };
    // What the daemon has open is not for it.
    let _open = std::fs::File::open("/dev/zero").unwrap();
    assert_eq!(outcome(job).await, Ok(Done::Ran));
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("/\n") && text.contains("\nDYN_PREFIX_NAME=home-ipv6\n"), "{text}");
    assert!(
        text.contains("{\"event\": \"start\"}\n") && !text.contains("CARGO") && !text.contains("/dev/zero"),
        "{text}"
    );
    let environment = text.lines().filter(|line| line.split('=').count() > 1 && !line.contains("->"));
    let mut names: Vec<&str> = environment.filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    let allowed = ["DYN_PREFIX_NAME", "LANG", "OLDPWD", "PATH", "PWD", "SHLVL", "_"];
    assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
}

#[tokio::test]
async fn a_status_is_told_with_the_last_lines() {
    let (reason, message) = failure(shell("for i in 1 2 3 4 5 6 7; do echo line $i >&2; done; exit 3")).await;
    assert_eq!(reason, Failure::FAILED);
    assert_eq!(message, "/bin/sh ended with status 3: line 3 | line 4 | line 5 | line 6 | line 7");
    let (_, message) = failure(shell("printf 'a\\033[31mb\\n'; kill -9 $$")).await;
    assert_eq!(message, "/bin/sh ended with signal 9: a\u{fffd}[31mb");
    let (_, message) = failure(shell("exit 1")).await;
    assert_eq!(message, "/bin/sh ended with status 1; it printed nothing.");
    // As nft says it.
    let (_, message) =
        failure(shell("echo netlink: Error: cache initialization failed: Operation not permitted; exit 1")).await;
    assert!(message.contains("not permitted (to change packet filters or routes takes CAP_NET_ADMIN, "), "{message}");
}

#[test]
fn only_the_end_of_what_it_prints_is_kept() {
    let mut tail = Tail::default();
    for line in 0..100_000 {
        tail.take(format!("line {line}\n").as_bytes());
    }
    assert!(tail.len() <= 4096, "{}", tail.len());
    assert!(tail.lines().ends_with("line 99998 | line 99999"), "{}", tail.lines());
}

#[tokio::test]
async fn large_output_and_input_hold_up_nobody() {
    let input = vec![b'x'; 1 << 20];
    let job = Run {
        input: input.clone(),
        ..shell("yes 0123456789 | head -c 3000000; cat > /dev/null; echo; echo end; exit 1")
    };
    let (_, message) = failure(job).await;
    assert!(message.ends_with("| end") && message.len() < 200, "{message}");
    assert_eq!(outcome(Run { input, ..shell("exit 0") }).await, Ok(Done::Ran), "who reads nothing may");
    assert_eq!(outcome(shell("exec <&- >&- 2>&-; true")).await, Ok(Done::Ran), "who closes everything may");
}

/// What the kernel says of too large an environment, and that what is left of it is one that it takes.
#[tokio::test]
async fn whatever_there_is_to_tell_a_command_is_started_and_reads_it_all() {
    let all: Vec<(String, String)> = (0..40).map(|number| (format!("V{number}"), "x".repeat(100_000))).collect();
    let input = vec![b'x'; 4 << 20];
    let script = "[ \"$DYN_PREFIX_OMITTED\" -ge 1 ] && [ -n \"$V0\" ] && [ $(wc -c) = 4194304 ]";
    let job = |variables| Run { variables, input: input.clone(), ..shell(script) };
    let (reason, message) = failure(job(all.clone())).await;
    assert!(reason == Failure::NOT_STARTED && message.contains("Argument list too long"), "{message}");
    let fitting = crate::host::environment::fitting(all);
    assert_eq!(outcome(job(fitting)).await, Ok(Done::Ran));
    let longest = vec![("V".to_owned(), "x".repeat(200_000))];
    assert_eq!(failure(Run { variables: longest.clone(), ..shell("true") }).await.0, Failure::NOT_STARTED);
    let fitting = crate::host::environment::fitting(longest);
    assert_eq!(fitting, [("DYN_PREFIX_OMITTED".to_owned(), "1".to_owned())]);
}

/// A child that goes on printing has the pipe to itself when its parent ends; nobody reads any more then.
#[tokio::test]
async fn a_child_that_keeps_the_pipe_and_floods_it_is_not_listened_to() {
    let directory = tempfile::tempdir().unwrap();
    let child = directory.path().join("child");
    let script = format!("(while echo flood; do :; done) & echo $! > {}", child.display());
    assert_eq!(outcome(shell(&script)).await, Ok(Done::Ran));
    gone(&read(&child).await).await;
    let (reason, message) = failure(Run { timeout: Duration::from_millis(300), ..shell("yes flood") }).await;
    assert_eq!(reason, Failure::TIMED_OUT);
    // Of the last line there may be no more than what was in the pipe.
    let (whole, last) = message.rsplit_once(" | ").unwrap();
    assert!(whole.ends_with("was ended: flood | flood | flood | flood"), "{message}");
    assert!(!last.is_empty() && "flood".starts_with(last), "{message}");
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended_with_all_that_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let child = directory.path().join("child");
    // Neither listens to SIGTERM.
    let script = format!(
        "trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & echo $! > {}; echo waiting; while :; do sleep 0.1; done",
        child.display()
    );
    let (reason, message) = failure(Run { timeout: Duration::from_millis(300), ..shell(&script) }).await;
    assert_eq!(reason, Failure::TIMED_OUT);
    assert_eq!(message, "/bin/sh did not end within 0.3 s and was ended: waiting");
    gone(&read(&child).await).await;
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let child = directory.path().join("child");
    let script = format!("(while :; do sleep 0.1; done) & echo $! > {}", child.display());
    assert_eq!(outcome(shell(&script)).await, Ok(Done::Ran));
    let pid: i32 = read(&child).await.trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it is still there");
}

#[tokio::test]
async fn the_end_of_the_daemon_ends_a_command() {
    let directory = tempfile::tempdir().unwrap();
    let began = directory.path().join("began");
    let stop = CancellationToken::new();
    let job = shell(&format!("echo $$ > {}; exec sleep 1000", began.display()));
    let running = tokio::spawn(run(job, stop.clone()));
    let pid = read(&began).await;
    stop.cancel();
    let ended = timeout(LIMIT, running).await.expect("it ends").unwrap();
    assert_eq!(ended.unwrap_err().reason, Failure::FAILED);
    gone(&pid).await;
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let missing = Run { command: vec!["/nonexistent/program".to_owned()], ..shell("") };
    let (reason, message) = failure(missing).await;
    assert_eq!(reason, Failure::NOT_STARTED);
    assert!(message.starts_with("/nonexistent/program cannot be started: No such file or directory; "), "{message}");
    assert!(message.ends_with(" first line names?"), "{message}");
    let script = tempfile::tempdir().unwrap();
    let path = script.path().join("x").display().to_string();
    std::fs::write(&path, "echo x\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (_, message) = failure(Run { command: vec![path], ..shell("") }).await;
    assert!(
        message.contains("Exec format error; a script has to begin with a line that names") && message.ends_with('.'),
        "{message}"
    );
    let (_, message) = failure(Run { command: vec!["/etc/passwd".to_owned()], ..shell("") }).await;
    assert!(message.contains("Permission denied"), "{message}");
    let (_, message) = failure(Run { command: vec!["/etc".to_owned()], ..shell("") }).await;
    assert_eq!(message, "/etc cannot be started: is a directory; name a program in it.");
}
