//! What the daemon serves by HTTP, as Prometheus and a load balancer read it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Asks a daemon that listens on a port of 127.0.0.1: the status of the answer, and its body.
pub(crate) fn http_get(port: u16, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((code.with_context(|| format!("{path}: {head}"))?, body.to_owned()))
}

/// Runs promtool in a directory; its output when it is content.
pub(crate) fn promtool(directory: &Path, arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(directory).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "promtool {arguments:?}: {said}\n{input}");
    Ok(said)
}

/// The samples of a scrape: values by name and labels, as they are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Reads /metrics.
    pub(crate) fn of(port: u16) -> Result<Self> {
        let (_, text) = http_get(port, "/metrics")?;
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').with_context(|| format!("no sample: {line}"))?;
            Ok((name.to_owned(), value.parse().with_context(|| format!("no number: {line}"))?))
        };
        Ok(Self(samples.map(sample).collect::<Result<_>>()?))
    }

    /// The value of a sample, if it is there.
    pub(crate) fn find(&self, sample: &str) -> Option<f64> {
        self.0.get(sample).copied()
    }

    /// The value of a sample.
    pub(crate) fn value(&self, sample: &str) -> Result<f64> {
        self.find(sample).with_context(|| format!("{sample} is not among {:#?}", self.0))
    }

    /// The sum of the samples whose name and labels begin so.
    pub(crate) fn sum(&self, start: &str) -> f64 {
        self.0.iter().filter(|(name, _)| name.starts_with(start)).map(|(_, value)| value).sum()
    }
}
