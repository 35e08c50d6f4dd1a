use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::record::parse;

fn start() -> Start {
    let line = r##"{"record":1,"started":"2026-01-04T10:00:00Z","config":"# \"a\"\n"}"##;
    serde_json::from_str(line).unwrap()
}

fn session(path: &Path, names: &[&str]) {
    let began = Instant::from_secs(1000);
    let recording = Recording::start(path, start(), began).unwrap();
    for (seconds, name) in (1..).zip(names) {
        let event = || Event::Release { interface: None, name: (*name).to_owned() };
        recording.recorder().write(began + Duration::from_secs(seconds), event);
    }
    recording.end(began + Duration::from_secs(60));
}

fn events(path: &Path) -> Vec<String> {
    let record = parse(&fs::read_to_string(path).unwrap()).unwrap();
    let brief = |line: &Line| {
        if let Event::Release { name, .. } = &line.event {
            return format!("{name} {}", line.at);
        }
        if matches!(line.event, Event::Start(_)) { "start".to_owned() } else { format!("{:?} {}", line.event, line.at) }
    };
    record.lines.iter().map(brief).collect()
}

#[test]
fn all_is_in_the_file_when_it_has_ended_and_a_restart_adds_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record");
    session(&path, &["a", "b"]);
    assert_eq!(events(&path), ["start", "a 1", "b 2", "End 60"]);
    session(&path, &["c"]);
    assert_eq!(events(&path), ["start", "a 1", "b 2", "End 60", "start", "c 1", "End 60"]);
}

#[test]
fn only_its_owner_may_read_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record");
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    session(&path, &[]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = Recording::start(Path::new("/dev/null"), start(), Instant::BOOT).expect_err("a device");
    assert!(format!("{error:#}").contains("not a regular file"), "{error:#}");
    let error =
        Recording::start(&directory.path().join("absent/record"), start(), Instant::BOOT).expect_err("no place");
    assert!(format!("{error:#}").contains("absent/record (--record); its directory must exist"), "{error:#}");
}

#[test]
fn a_line_that_a_crash_cut_off_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record");
    session(&path, &["a"]);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.trim_end_matches("}\n")).unwrap();
    session(&path, &["b"]);
    assert_eq!(events(&path), ["start", "a 1", "start", "b 1", "End 60"]);
}

#[test]
fn a_file_that_cannot_be_written_ends_the_record_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("record");
    fs::write(&path, "").unwrap();
    let (lines, queue) = sync_channel(1);
    let fate = Arc::new(Fate { path: path.clone(), ended: AtomicBool::new(false) });
    let recorder = Recorder { open: Some(Open { began: Instant::BOOT, lines, fate: Arc::clone(&fate) }) };
    recorder.write(Instant::BOOT, || Event::End);
    // Opened for reading only, it refuses every write, as a full disk would.
    assert!(write_all(File::open(&path).unwrap(), &queue).is_err());
    fate.end("no space left on device");
    drop(queue);
    recorder.write(Instant::BOOT, || panic!("nothing is made for a record that has ended"));
}

#[test]
fn a_disk_that_is_too_slow_ends_the_record_without_anybody_waiting() {
    let (lines, queue) = sync_channel(1);
    let fate = Arc::new(Fate { path: PathBuf::from("record"), ended: AtomicBool::new(false) });
    let recorder = Recorder { open: Some(Open { began: Instant::BOOT, lines, fate: Arc::clone(&fate) }) };
    recorder.write(Instant::BOOT, || Event::End);
    recorder.write(Instant::BOOT, || Event::End);
    assert!(fate.ended.load(Ordering::Relaxed), "a gap would make it wrong");
    assert_eq!(queue.try_iter().count(), 1);
}

#[test]
fn without_a_record_nothing_is_made() {
    Recorder::default().write(Instant::BOOT, || panic!("there is no record"));
}
