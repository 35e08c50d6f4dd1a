//! The certificates of one API server: an authority of its own, a serving certificate, client certificates.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// A directory with `ca.crt` and `ca.key`, and what they signed.
#[derive(Debug)]
pub(crate) struct Authority {
    dir: PathBuf,
}

impl Authority {
    /// Makes the authority and, beside it, the key that signs ServiceAccount tokens (`sa.key`, `sa.pub`).
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let authority = Self { dir: dir.to_owned() };
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key"];
        let certificate = ["-x509", "-days", "3650", "-out", "ca.crt", "-subj", "/CN=lab authority"];
        let extensions = ["-addext", "keyUsage=critical,keyCertSign,digitalSignature"];
        authority.openssl(&[&["req"][..], &new_key, &certificate, &extensions].concat())?;
        authority.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "sa.key"])?;
        authority.openssl(&["ec", "-in", "sa.key", "-pubout", "-out", "sa.pub"])?;
        Ok(authority)
    }

    /// The path of a file of the authority.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.join(file)
    }

    /// Signs `server.crt` for loopback and `extra` names (`DNS:name`, `IP:address`), with `server.key`.
    pub(crate) fn sign_server(&self, extra: &[String]) -> Result<()> {
        let mut names = "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost,DNS:kubernetes.default.svc".to_owned();
        for name in extra {
            names.push(',');
            names.push_str(name);
        }
        self.sign("server", "/CN=lab API server", &format!("{names}\nextendedKeyUsage=serverAuth\n"))
    }

    /// Signs a client certificate; gives the paths of certificate and key.
    pub(crate) fn sign_client(&self, user: &str, groups: &[&str]) -> Result<(PathBuf, PathBuf)> {
        let name = [&[user], groups].concat().join("+");
        let file: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let file = format!("client-{file}");
        let subject: String = groups.iter().map(|group| format!("/O={group}")).collect();
        self.sign(&file, &format!("{subject}/CN={user}"), "extendedKeyUsage=clientAuth\n")?;
        Ok((self.path(&format!("{file}.crt")), self.path(&format!("{file}.key"))))
    }

    fn sign(&self, file: &str, subject: &str, extensions: &str) -> Result<()> {
        let [key, request, certificate, extension_file] =
            ["key", "csr", "crt", "ext"].map(|suffix| format!("{file}.{suffix}"));
        std::fs::write(self.path(&extension_file), format!("basicConstraints=CA:FALSE\n{extensions}"))?;
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", &key];
        self.openssl(&[&["req"][..], &new_key, &["-out", &request, "-subj", subject]].concat())?;
        // Without a serial number openssl counts in a file, and two at a time trip over each other there.
        let serial = format!("0x{:032x}", request_serial(file));
        let authority = ["-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", &serial, "-days", "3650"];
        let files = ["-in", &request, "-out", &certificate, "-extfile", &extension_file];
        self.openssl(&[&["x509", "-req"][..], &authority, &files].concat())
    }

    fn openssl(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new("openssl").args(arguments).current_dir(&self.dir).output();
        let output = output.context("cannot run openssl (tests/lab/debs openssl gets it)")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "openssl {} failed: {errors}", arguments.join(" "));
        Ok(())
    }
}

/// A number for the certificate in this file, which no other file of the authority has.
fn request_serial(file: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    file.hash(&mut hasher);
    hasher.finish() | 1
}
