//! Reads the configuration file: the only part of `config` that touches the host.

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use super::finding::{Finding, Report, Span};
pub use super::keys::DEFAULT_PATH;
use super::{Config, Host, Loaded};

/// Nobody writes a megabyte of configuration: it is another file, and must not be read into memory whole.
const MAX_BYTES: u64 = 1024 * 1024;

impl Config {
    /// Reads and checks a text as a file of this host.
    pub fn parse_here(text: &str, path: &Path) -> Loaded {
        Self::parse(text, path, &Host { variable: &variable, exists: &exists, read: &template })
    }

    /// Reads and checks a file, with the environment and the files of this host.
    pub fn load(path: &Path) -> Loaded {
        Self::load_with_text(path).0
    }

    /// The same, and the text of the file as it was read; empty when it could not be.
    pub fn load_with_text(path: &Path) -> (Loaded, String) {
        let findings = match read(path).map(String::from_utf8) {
            Ok(Ok(text)) => {
                let loaded = Self::parse_here(&text, path);
                return (loaded, text);
            }
            Ok(Err(error)) => not_utf8(path, &error),
            Err(error) => vec![unreadable(path, &error)],
        };
        (Loaded { config: None, at_start: None, findings }, String::new())
    }
}

/// The `daemon.controlSocket` of a file, whatever else is wrong with it: a daemon that runs with a former version of
/// the file probably listens there.
pub fn control_socket(path: &Path) -> Option<PathBuf> {
    let text = String::from_utf8(read(path).ok()?).ok()?;
    let (document, _) = toml::de::DeTable::parse_recoverable(&text);
    let daemon = document.get_ref().get("daemon")?.get_ref().as_table()?;
    let socket = PathBuf::from(daemon.get("controlSocket")?.get_ref().as_str()?);
    socket.is_absolute().then_some(socket)
}

/// An error of a key of `[daemon]` that only a running daemon can know of, with the place of the key in the text of the
/// file.
pub fn of_daemon(path: &Path, text: &str, key: &str, code: &'static str, message: String) -> Finding {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (document, _) = toml::de::DeTable::parse_recoverable(text);
    let daemon = document.get_ref().get("daemon").and_then(|daemon| daemon.get_ref().as_table());
    let found = daemon.and_then(|daemon| daemon.get_key_value(key)).map(|(key, _)| Span::from(key.span()));
    let mut report = Report::new(path, text);
    if let Some(span) = found {
        report.error(code, span, message.clone());
    }
    let whole = || Finding { hint: None, ..Finding::of_file(path, code, message, "") };
    report.finish().pop().unwrap_or_else(whole)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn template(path: &Path) -> Result<String, String> {
    let bytes = read(path).map_err(|error| {
        let kind = error.kind();
        if kind == ErrorKind::FileTooLarge {
            "it is larger than 1 MiB".to_owned()
        } else if kind == ErrorKind::NotFound {
            "there is no such file".to_owned()
        } else {
            error.to_string()
        }
    })?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed, to see that there is more.
    open_regular(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Opens a regular file. Others may have no end, or wait for somebody who writes into them, as a FIFO does.
///
/// # Errors
/// When it cannot be opened, or is something else.
pub fn open_regular(path: &Path) -> std::io::Result<File> {
    let not_waiting = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = File::options().read(true).custom_flags(not_waiting).open(path)?;
    let kind = file.metadata()?.file_type();
    // What a directory is, reading it tells.
    if kind.is_file() || kind.is_dir() {
        Ok(file)
    } else {
        Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"))
    }
}

/// What may not be looked for may be there: the daemon can have the right.
fn exists(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

/// A reload whose file could not be read in this time.
pub fn too_slow(path: &Path, limit: Duration) -> Finding {
    let message = format!("the configuration could not be read within {} s", limit.as_secs());
    Finding::of_file(path, "unreadable", message, "see whether its file system hangs, then reload again")
}

fn unreadable(path: &Path, error: &Error) -> Finding {
    let kind = error.kind();
    if kind == ErrorKind::FileTooLarge {
        let message = "the file is larger than 1 MiB, so it is no configuration of dyn-prefix".to_owned();
        return Finding::of_file(path, "too-large", message, "check which file was named");
    }
    let hint = if kind == ErrorKind::NotFound {
        format!("write it, or name another one with --config; the usual place is {DEFAULT_PATH}")
    } else if kind == ErrorKind::PermissionDenied {
        "run this as root, or let the user of the daemon read the file".to_owned()
    } else {
        "a regular file is needed that can be read".to_owned()
    };
    Finding::of_file(path, "unreadable", format!("the configuration cannot be read: {error}"), &hint)
}

fn not_utf8(path: &Path, error: &std::string::FromUtf8Error) -> Vec<Finding> {
    // Up to the place the text is the same; there stands a replacement character.
    let text = String::from_utf8_lossy(error.as_bytes());
    let start = error.utf8_error().valid_up_to();
    let span = Span { start, end: start + char::REPLACEMENT_CHARACTER.len_utf8() };
    let mut report = Report::new(path, &text);
    report
        .error("not-utf-8", span, "the file is not UTF-8 text: it goes wrong here")
        .hint("save it as UTF-8; editors have it as an option of \"save as\"");
    report.finish()
}
