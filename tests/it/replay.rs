//! `dyn-prefix replay`: lines of providers as test cases. A record `tests/replay/X.jsonl` has to print what `X.txt` says.
//!
//! What stands there was compared with the RFCs by hand, which is worth doing again for whoever changes it:
//!
//! `forgetful-router`: nothing is asked before a router says that there is DHCPv6. The first Solicit comes within a second,
//! the next one 1 to 1.1 s later (RFC 9915 §15, §18.2.1); preference 255 is taken at once, but not before (§18.2.1). T1 = 0
//! leaves the time to the client: half of the preferred lifetime, 900 s (§14.2, §21.21). NoBinding is answered with a
//! Request to that server (§18.2.10.1). The prefix that nobody knows any longer leaves with the write that brings its
//! successor.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dyn-prefix");

fn records() -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay")).unwrap();
    let mut records: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    records.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    records.sort();
    assert!(!records.is_empty());
    records
}

fn replay(file: &Path, more: &[&str]) -> Output {
    Command::new(PROGRAM).arg("replay").arg(file).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_record_tells_what_it_should() {
    for record in records() {
        let output = replay(&record, &[]);
        assert_eq!(text(&output.stderr), "", "{}", record.display());
        assert_eq!(text(&output.stdout), fs::read_to_string(record.with_extension("txt")).unwrap());
        assert!(output.status.success());
    }
}

#[test]
fn programs_get_one_object_a_line_with_the_same_story() {
    for record in records() {
        let output = text(&replay(&record, &["--output", "json"]).stdout);
        let moments: Vec<serde_json::Value> =
            output.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        let for_people = text(&replay(&record, &[]).stdout);
        let people: Vec<&str> = for_people.lines().filter(|line| !line.starts_with(' ')).collect();
        assert_eq!(moments.len(), people.len());
        for (moment, line) in moments.iter().zip(people) {
            assert!(line.starts_with(moment["at"].as_str().unwrap()), "{moment}: {line}");
            if let Some(message) = moment["message"].as_str() {
                assert!(line.ends_with(message), "{moment}: {line}");
            }
        }
        let plan = moments.iter().find(|moment| moment["kind"] == "plan").expect("a plan");
        assert_eq!(plan["plan"]["dynamicPrefixes"][0]["subnets"][0]["name"], "lb");
    }
}

#[test]
fn a_record_that_a_crash_cut_off_is_told_up_to_there() {
    let record = &records()[0];
    let whole = fs::read_to_string(record).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("record");
    fs::write(&file, whole.trim_end_matches("\"end\"}\n")).unwrap();
    let output = replay(&file, &[]);
    let number = whole.lines().count();
    let complaint =
        format!("{}:{number}: this line was cut off, by a crash or a full disk; it is left out\n", file.display());
    assert_eq!(text(&output.stderr), complaint);
    assert!(output.status.success());
    let expected = fs::read_to_string(record.with_extension("txt")).unwrap();
    let (before_the_end, _) = expected.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(text(&output.stdout).trim_end(), before_the_end);
}

#[test]
fn what_is_no_record_is_refused_with_the_number_of_the_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("record");
    let whole = fs::read_to_string(&records()[0]).unwrap();
    fs::write(&file, whole.replacen("\"link\"", "\"lnik\"", 1)).unwrap();
    let output = replay(&file, &[]);
    let complaint = text(&output.stderr);
    assert!(
        complaint.contains("is no record of `dyn-prefix run --record`: line 2: unknown variant `lnik`"),
        "{complaint}"
    );
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let absent = replay(&directory.path().join("absent"), &[]);
    assert!(text(&absent.stderr).contains("absent: No such file or directory"), "{}", text(&absent.stderr));
    assert_eq!(absent.status.code(), Some(1));
}
