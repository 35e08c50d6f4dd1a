//! The image: a static program in an OCI archive, and nothing beside it; and the pod that it is made for.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use super::Lab;
use super::guest::{SOON, wait};
use super::netns::Namespace;

pub(crate) const TESTS: &[super::Test] =
    &[("the_image_runs_with_nothing_beside_it", image), ("the_pod_answers_where_the_kubelet_asks", probes)];

const POD: &str = include_str!("../../packaging/kubernetes/dyn-prefix.yaml");

/// Unpacks the archive $1 below $2, as a runtime does: index, manifest, then the layer.
const UNPACK: &str = r#"set -e
mkdir "$2/image" "$2/unpacked" "$2/unpacked/run" "$2/unpacked/var" "$2/unpacked/proc"
tar -xf "$1" -C "$2/image"
cd "$2/image"
for file in blobs/sha256/*; do echo "${file##*/}  $file"; done | sha256sum --check --quiet"#;

/// The file system of a container of the image.
struct Unpacked {
    directory: TempDir,
    entry: String,
}

fn image(lab: &Lab) {
    let unpacked = Unpacked::new(lab);
    // No loader and no library are there.
    let (done, said) = unpacked.run(&["--version"]);
    assert_eq!((done, said.trim()), (true, concat!("dyn-prefix ", env!("CARGO_PKG_VERSION"))), "{said}");
    let (done, said) = unpacked.run(&["check"]);
    assert!(done && said.ends_with("/etc/dyn-prefix.toml: can be used\n"), "{said}");
    // As a runtime starts it: ready, idle, and answering.
    let namespace = Namespace::new("pod");
    let mut daemon = unpacked.start(&namespace);
    let answered = wait(SOON, || unpacked.run(&["history"]).0.then_some(()));
    let (_, status) = unpacked.run(&["status"]);
    end(&mut daemon);
    assert!(answered.is_some(), "{status}");
}

fn probes(lab: &Lab) {
    let objects: Vec<Value> = serde_saphyr::from_multiple(POD).expect("YAML");
    let find = |kind: &str| objects.iter().find(|object| object["kind"] == kind).expect(kind);
    let text = find("ConfigMap")["data"]["dyn-prefix.toml"].as_str().expect("a configuration");
    let container = &find("Deployment")["spec"]["template"]["spec"]["containers"][0];
    let unpacked = Unpacked::new(lab);
    // What the manifest mounts there.
    unpacked.write("etc/dyn-prefix.toml", text);
    unpacked.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    let (done, said) = unpacked.run(&["check"]);
    assert!(done, "{said}");
    let namespace = Namespace::new("pod");
    namespace.ip("link add eth0 type veth peer name router");
    namespace.ip("link set eth0 up");
    namespace.ip("link set router up");
    let mut daemon = unpacked.start(&namespace);
    for probe in ["livenessProbe", "readinessProbe"] {
        let mut last = None;
        let fine = wait(SOON, || {
            last = probed(&namespace, &container[probe]);
            (last == Some(200)).then_some(())
        });
        assert!(fine.is_some(), "{probe} got {last:?} of {}", container[probe]);
    }
    // A daemon that hangs is not alive.
    kill(Pid::from_raw(i32::try_from(daemon.id()).expect("a process id")), Signal::SIGSTOP).expect("it runs");
    assert_eq!(probed(&namespace, &container["livenessProbe"]), None);
    end(&mut daemon);
}

/// The status code that the kubelet gets for a probe; none without an answer.
fn probed(namespace: &Namespace, probe: &Value) -> Option<u16> {
    let asked = &probe["httpGet"];
    let (host, port) = (asked["host"].as_str()?, u16::try_from(asked["port"].as_u64()?).ok()?);
    namespace.inside(|| {
        let mut stream = TcpStream::connect((host, port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        write!(stream, "GET {} HTTP/1.1\r\nHost: {host}\r\n\r\n", asked["path"].as_str()?).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split_whitespace().nth(1)?.parse().ok()
    })
}

fn end(daemon: &mut Child) {
    daemon.kill().expect("it runs");
    daemon.wait().expect("it ends");
}

impl Unpacked {
    /// Takes the archive apart by what refers to what, down to the one layer.
    fn new(lab: &Lab) -> Self {
        let Some(archive) = lab.packages.image() else {
            panic!("there is no image: `rustup target add x86_64-unknown-linux-musl` first");
        };
        let mut unpacked = Self { directory: tempfile::tempdir().expect("a directory"), entry: String::new() };
        run(&["sh", "-c", UNPACK, "sh", &archive.display().to_string(), &unpacked.at("")]);
        assert_eq!(unpacked.read("image/oci-layout")["imageLayoutVersion"], "1.0.0");
        let manifest = unpacked.read(&blob(&unpacked.read("image/index.json")["manifests"][0]));
        let config = unpacked.read(&blob(&manifest["config"]));
        assert_eq!((&config["os"], &config["architecture"]), (&Value::from("linux"), &Value::from("amd64")));
        assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
        run(&["tar", "-xf", &unpacked.at(&blob(&manifest["layers"][0])), "-C", &unpacked.at("unpacked")]);
        unpacked.entry = config["config"]["Entrypoint"][0].as_str().expect("an entry point").to_owned();
        unpacked
    }

    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.directory.path().display())
    }

    fn read(&self, path: &str) -> Value {
        let text = std::fs::read_to_string(self.at(path)).expect(path);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// Puts a file into the root of the container.
    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.at("unpacked/") + path, text).expect(path);
    }

    /// Runs the program there: whether it succeeded, and what it said.
    fn run(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new("chroot");
        let output = command.arg(self.at("unpacked")).arg(&self.entry).args(words).output().expect("chroot");
        (output.status.success(), super::guest::text(&output.stdout) + &super::guest::text(&output.stderr))
    }

    fn start(&self, namespace: &Namespace) -> Child {
        let mut command = namespace.command("chroot");
        command.arg(self.at("unpacked")).args([&self.entry, "run"]).stderr(std::process::Stdio::null());
        command.spawn().expect("chroot")
    }
}

/// The path of a blob, by what refers to it.
fn blob(reference: &Value) -> String {
    let digest = reference["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
    format!("image/blobs/sha256/{}", digest.expect("a digest"))
}

/// Runs a command that must succeed.
fn run(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().expect(words[0]);
    assert!(output.status.success(), "{words:?}: {}", super::guest::text(&output.stderr));
}
