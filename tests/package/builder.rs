//! Makes the packages in a container: `tests/package/make` runs there, on a copy of the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::image::Image;

const TREE: &str = env!("CARGO_MANIFEST_DIR");

/// For work on the tests: packages that an earlier `tests/package/make` has left in this directory.
const MADE: &str = "DYN_PREFIX_PACKAGES";

/// What `tests/package/make` has left.
#[derive(Debug)]
pub(crate) struct Packages {
    out: PathBuf,
    _directory: Option<TempDir>,
}

impl Packages {
    fn out(&self) -> &Path {
        &self.out
    }

    /// What lintian says of the .deb.
    pub(crate) fn lintian(&self) -> String {
        fs::read_to_string(self.out().join("lintian")).expect("lintian has run")
    }

    /// The container image, where the toolchain can build one.
    pub(crate) fn image(&self) -> Option<PathBuf> {
        Some(self.out().join("image.tar")).filter(|path| path.is_file())
    }

    /// Copies the two packages of a format to /srv of a machine: first.FORMAT and next.FORMAT.
    pub(crate) fn copy(&self, format: &str, root: &Path) {
        for which in ["first", "next"] {
            let from = self.find(format, which);
            fs::copy(&from, root.join("srv").join(format!("{which}.{format}"))).expect("room for a package");
        }
    }

    fn find(&self, format: &str, which: &str) -> PathBuf {
        let directory = self.out().join(format).join(which);
        let entries = fs::read_dir(&directory).expect("make has made it");
        let mut found = entries.flatten().map(|entry| entry.path());
        let wanted = found.find(|path| path.extension().is_some_and(|extension| extension == format));
        wanted.unwrap_or_else(|| panic!("no .{format} in {}", directory.display()))
    }
}

/// Makes them. The tree is copied to where it is here, with its times, and the build directory is the same: what
/// `cargo build --release` has built here counts there, too.
pub(crate) fn make(image: &Image) -> Result<Packages, String> {
    if let Some(made) = std::env::var_os(MADE) {
        return Ok(Packages { out: made.into(), _directory: None });
    }
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let (copy, out) = (directory.path().join("tree"), directory.path().join("out"));
    for directory in [&copy, &out] {
        fs::create_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    said(Command::new("sh").args(["-c", "packaging/files | tar -c --null -T- | tar -x -C \"$1\"", "sh"]).arg(&copy))?;
    let toolchain = said(Command::new("rustc").args(["--print", "sysroot"]))?;
    if toolchain == "/usr" {
        return Err("the Rust toolchain of the distribution is not in the container".to_owned());
    }
    let home = std::env::var("HOME").map_err(|_| "HOME is not set".to_owned())?;
    let crates = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| format!("{TREE}/target"));
    fs::create_dir_all(&target).map_err(|error| format!("{target}: {error}"))?;
    let mut command = Command::new("systemd-nspawn");
    command.args(["--quiet", "--register=no", "--keep-unit", "--private-network", "--volatile=overlay"]);
    command.args(["--console=pipe", "-D"]).arg(&image.root).env("PATH", &image.path).stdin(Stdio::null());
    command.arg(format!("--bind={}:{TREE}", copy.display())).arg(format!("--bind={}:/out", out.display()));
    command.args([format!("--bind={target}"), format!("--bind-ro={crates}"), format!("--bind-ro={toolchain}")]);
    for (name, value) in [
        ("PATH", format!("{toolchain}/bin:/usr/sbin:/usr/bin:/sbin:/bin")),
        ("CARGO_HOME", crates),
        ("CARGO_TARGET_DIR", target),
        ("CARGO_NET_OFFLINE", "true".to_owned()),
        ("CARGO_INCREMENTAL", "0".to_owned()),
    ] {
        command.arg(format!("--setenv={name}={value}"));
    }
    command.args([&format!("--chdir={TREE}"), "--", "tests/package/make", "/out"]);
    // Here everything is there: whatever fails now is a fault of the packages.
    let output = command.output().map_err(|error| format!("cannot run systemd-nspawn: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    assert!(output.status.success(), "the packages: {}", lines[lines.len().saturating_sub(40)..].join("\n"));
    Ok(Packages { out, _directory: Some(directory) })
}

/// What a command prints.
fn said(command: &mut Command) -> Result<String, String> {
    let output = command.current_dir(TREE).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
