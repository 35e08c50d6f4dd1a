//! The image: a static program in an OCI archive, and nothing beside it.

use std::process::Command;

use serde_json::Value;

use super::Lab;

pub(crate) const TESTS: &[super::Test] = &[("the_image_runs_with_nothing_beside_it", image)];

/// Unpacks the archive $1 below $2, as a runtime does: index, manifest, then the layer.
const UNPACK: &str = r#"set -e
mkdir "$2/image" "$2/unpacked" "$2/unpacked/run" "$2/unpacked/var" "$2/unpacked/proc"
tar -xf "$1" -C "$2/image"
cd "$2/image"
for file in blobs/sha256/*; do echo "${file##*/}  $file"; done | sha256sum --check --quiet"#;

fn run(words: &[&str]) -> (bool, String) {
    let output = Command::new(words[0]).args(&words[1..]).output().expect(words[0]);
    (output.status.success(), super::guest::text(&output.stdout) + &super::guest::text(&output.stderr))
}

fn image(lab: &Lab) {
    let Some(archive) = lab.packages.image() else {
        panic!("there is no image: `rustup target add x86_64-unknown-linux-musl` first");
    };
    let directory = tempfile::tempdir().expect("a directory");
    let at = |path: &str| format!("{}/{path}", directory.path().display());
    let (done, said) = run(&["sh", "-c", UNPACK, "sh", &archive.display().to_string(), &at("")]);
    assert!(done, "{said}");
    let read = |path: &str| -> Value {
        let text = std::fs::read_to_string(at(path)).expect(path);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    };
    let blob = |reference: &Value| {
        let digest = reference["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:"));
        format!("image/blobs/sha256/{}", digest.expect("a digest"))
    };
    assert_eq!(read("image/oci-layout")["imageLayoutVersion"], "1.0.0");
    let manifest = read(&blob(&read("image/index.json")["manifests"][0]));
    let config = read(&blob(&manifest["config"]));
    assert_eq!((&config["os"], &config["architecture"]), (&Value::from("linux"), &Value::from("amd64")));
    let entry = config["config"]["Entrypoint"][0].as_str().expect("an entry point");
    let layer = blob(&manifest["layers"][0]);
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    let (done, said) = run(&["tar", "-xf", &at(&layer), "-C", &at("unpacked")]);
    assert!(done, "{said}");
    // No loader and no library are there.
    let (done, said) = run(&["chroot", &at("unpacked"), entry, "--version"]);
    assert_eq!((done, said.trim()), (true, concat!("dyn-prefix ", env!("CARGO_PKG_VERSION"))), "{said}");
    let (done, said) = run(&["chroot", &at("unpacked"), entry, "check"]);
    assert!(done && said.ends_with("/etc/dyn-prefix.toml: can be used\n"), "{said}");
    idles(&at("unpacked"), entry);
}

/// As a runtime starts it: ready, idle, and answering.
fn idles(root: &str, entry: &str) {
    let namespace = super::netns::Namespace::new("pod");
    let mut command = namespace.command("chroot");
    let mut daemon = command.args([root, entry, "run"]).stderr(std::process::Stdio::null()).spawn().expect("chroot");
    let answered = super::guest::wait(super::guest::SOON, || run(&["chroot", root, entry, "history"]).0.then_some(()));
    let (_, status) = run(&["chroot", root, entry, "status"]);
    daemon.kill().expect("it runs");
    daemon.wait().expect("it ends");
    assert!(answered.is_some(), "{status}");
}
