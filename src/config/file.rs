//! Reads the configuration file: the only part of `config` that touches the host.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use super::{Config, Host, Loaded};

/// Where the configuration is when nothing else is said.
pub const DEFAULT_PATH: &str = "/etc/dyn-prefix.toml";

/// Nobody writes a megabyte of configuration: it is another file, and must not be read into memory whole.
const MAX_BYTES: u64 = 1024 * 1024;

impl Config {
    /// Reads and checks a file, with the environment and the files of this host.
    pub fn load(path: &Path) -> Loaded {
        match read(path) {
            Ok(text) => Self::parse(&text, path, &Host { variable: &variable, exists: &|path| path.exists() }),
            Err(finding) => Loaded { config: None, findings: vec![finding] },
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn read(path: &Path) -> Result<String, Finding> {
    let bytes = read_bytes(path).map_err(|error| unreadable(path, &error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Finding::of_file(
            path,
            "too-large",
            "the file is larger than 1 MiB, so it is no configuration of dyn-prefix".to_owned(),
            "check the path given to --config",
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        Finding::of_file(
            path,
            "not-utf-8",
            format!("the file is not UTF-8 text: line {line} has a byte that no character of it begins with"),
            "save it as UTF-8; in editors this is an option of \"save as\"",
        )
    })
}

fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed, to see that there is more.
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Finding {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("write it, or name another one with --config; the usual place is {DEFAULT_PATH}")
        }
        std::io::ErrorKind::PermissionDenied => {
            "run as root, or let the user of the daemon read it: it names credentials, so not everybody".to_owned()
        }
        _ => "a regular file that can be read is needed".to_owned(),
    };
    Finding::of_file(path, "unreadable", format!("the configuration cannot be read: {error}"), &hint)
}

/// Which file to read: the one asked for, else the usual one.
pub fn path_or_default(path: Option<PathBuf>) -> PathBuf {
    path.unwrap_or_else(|| PathBuf::from(DEFAULT_PATH))
}
