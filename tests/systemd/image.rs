//! The container's file system: a minimal Debian with systemd, made once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGES: &str = "systemd,systemd-sysv,dbus,iproute2";

/// A file system to boot from, and where the programs are that it takes.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) root: PathBuf,
    pub(crate) path: String,
}

/// What the packages are made with, and what runs them: the base image with these on top.
const TOOLS: [&str; 5] = ["build-essential", "debhelper", "lintian", "rpm", "musl-tools"];

/// The image in the cache; made when it is not there. The error says why there is none.
pub(crate) fn find_or_make() -> Result<Image, String> {
    find_or_make_of(&release()?)
}

/// The same of a later release of Debian, whose systemd is newer: what runs here runs there, too.
pub(crate) fn find_or_make_of(release: &str) -> Result<Image, String> {
    let (path, mirror) = programs()?;
    let root = cache().join(format!("container-{release}"));
    if !root.join("usr/bin/systemctl").is_file() {
        make(&root, release, &path, &mirror)?;
    }
    Ok(Image { root, path })
}

/// The same with the tools for packages.
pub(crate) fn find_or_make_builder() -> Result<Image, String> {
    let Image { root: base, path } = find_or_make()?;
    let root = cache().join(format!("builder-{}", release()?));
    if TOOLS.iter().any(|tool| !root.join(format!("usr/share/doc/{tool}")).exists()) {
        add_tools(&base, &root)?;
    }
    Ok(Image { root, path })
}

/// The release of this machine: the binary is linked against its C library.
fn release() -> Result<String, String> {
    let text = fs::read_to_string("/etc/os-release").map_err(|error| format!("no /etc/os-release: {error}"))?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(|text| text.trim_matches('"'));
    match (value("ID="), value("VERSION_CODENAME=")) {
        (Some("debian"), Some(release)) => Ok(release.to_owned()),
        (other, _) => Err(format!("the container is made for Debian only, and this is {}", other.unwrap_or("unknown"))),
    }
}

/// A PATH with debootstrap and systemd-nspawn on it, and the mirror to get packages from.
fn programs() -> Result<(String, String), String> {
    const SCRIPT: &str = r#"exports=$("$1" debootstrap systemd-container) || exit 1
eval "$exports"; printf '%s\n%s\n' "$PATH" "${DEBOOTSTRAP_MIRROR:-}""#;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lab/debs");
    let output = Command::new("bash").args(["-c", SCRIPT, "bash", script]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run bash: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines().map(str::to_owned);
    Ok((lines.next().unwrap_or_default(), lines.next().unwrap_or_default()))
}

fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    base.unwrap_or_else(|| "/var/cache".into()).join("dyn-prefix-lab")
}

/// Under another name first: what was interrupted is not taken for an image.
fn make(root: &Path, release: &str, path: &str, mirror: &str) -> Result<(), String> {
    let unfinished = root.with_extension(format!("new-{}", std::process::id()));
    fs::create_dir_all(&unfinished).map_err(|error| format!("{}: {error}", unfinished.display()))?;
    let mut command = Command::new("debootstrap");
    command.args(["--variant=minbase", &format!("--include={PACKAGES}"), release]).arg(&unfinished).env("PATH", path);
    if !mirror.is_empty() {
        command.arg(mirror);
    }
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run debootstrap: {error}"))?;
    if output.status.success() {
        // What the packages came in is of no use any more.
        drop(fs::remove_dir_all(unfinished.join("var/cache/apt/archives")));
        return fs::rename(&unfinished, root).map_err(|error| format!("{}: {error}", root.display()));
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // What is left over is of no use, and the reason for it is told below.
    drop(fs::remove_dir_all(&unfinished));
    Err(format!("debootstrap failed: {}", said.lines().last().unwrap_or("it said nothing")))
}

/// The same care with a copy of the base, in which apt installs the tools.
fn add_tools(base: &Path, root: &Path) -> Result<(), String> {
    const SCRIPT: &str = r#"set -e
rm -rf "$2" "$3"
cp -a "$1" "$2"
export DEBIAN_FRONTEND=noninteractive
chroot "$2" apt-get -qq update
chroot "$2" apt-get -qq -y --no-install-recommends install $4
mv "$2" "$3""#;
    let unfinished = root.with_extension(format!("new-{}", std::process::id()));
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh"]).args([base, &unfinished, root]).arg(TOOLS.join(" "));
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run sh: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    drop(fs::remove_dir_all(&unfinished));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("cannot install {TOOLS:?} into {}: {}", root.display(), said.trim()))
}
