//! Services that say which address asks them, on loopback: what they do well and what they do badly.

use std::time::Duration;

use dyn_prefix::record::Recorder;
use dyn_prefix::source::http::asker::Failure;
use dyn_prefix::source::http::{self, Settings, client};
use dyn_prefix::source::{Cut, SourceReport, SourceState};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Test;
use crate::answers::{Answer, Service};
use crate::certs::Authority;
use crate::lab::Reports;
use crate::support::Namespace;

pub(crate) const TESTS: &[Test] = &[
    ("http_an_address_is_followed_and_errors_change_nothing", followed),
    ("http_every_way_to_answer_badly", badly),
    ("http_redirections", redirections),
    ("http_a_certificate_that_nobody_here_trusts", untrusted),
];

const A: &str = "2001:db8:a:700::42";
const B: &str = "2001:db8:b:700::42";

fn block_on(test: impl AsyncFnOnce() + Send) {
    let host = Namespace::new("host");
    host.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(test());
    });
}

fn is(report: &SourceReport, prefix: &str, cut: Option<Cut>) -> bool {
    report.offers.iter().any(|offer| offer.prefix.to_string() == prefix && offer.cut == cut)
}

fn followed() {
    block_on(async || {
        let service = Service::start(Answer::body(&format!("{{\"ip\": \"{A}\"}}")));
        let url = service.url("/ip?token=secret");
        let (_held, settings) =
            watch::channel(Settings { url, interval: Duration::from_millis(100), prefix_length: 56 });
        let (sender, reports) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        tokio::spawn(http::run(settings, 1, None, sender, Recorder::default(), cancel.clone()));
        let mut probe = Reports::new(reports);
        let (a, b) = ("2001:db8:a:700::/56", "2001:db8:b:700::/56");
        let report = probe.until("A", |report| is(report, a, None)).await;
        assert_eq!((report.state, report.offers.len()), (SourceState::Receiving, 1));
        assert_eq!(service.requests()[0], "GET /ip?token=secret HTTP/1.1");

        service.say(Answer::Status("500 Internal Server Error", String::new()));
        let report = probe.until("it fails", |report| !report.notes.is_empty()).await;
        assert!(is(&report, a, None) && report.notes[0].contains("500 Internal Server Error"), "{report:#?}");
        assert!(!format!("{:?}", report.notes).contains("secret"), "{report:#?}");

        service.say(Answer::body(B));
        let limit = Duration::from_secs(20);
        let report = probe.within(limit, "B", |report| is(report, b, None)).await;
        assert!(is(&report, a, Some(Cut::Unlisted)) && report.notes.is_empty(), "{report:#?}");
        cancel.cancel();
    });
}

async fn ask(url: &str) -> Result<String, Failure> {
    client::ask(url, None).await.0.map(|address| address.to_string())
}

async fn why(url: &str) -> String {
    ask(url).await.expect_err("there is no answer that could be used").why
}

fn badly() {
    block_on(async || {
        let long = Service::start(Answer::body(&"x".repeat(17 * 1024)));
        let full = Service::start(Answer::body(&format!("{A}{}", " ".repeat(16 * 1024 - A.len()))));
        let silent = Service::start(Answer::Silence);
        let slow = Service::start(Answer::Drip);
        let half = Service::start(Answer::Half);
        let busy = Service::start(Answer::Status("429 Too Many Requests", "Retry-After: 77\r\n".to_owned()));
        let four = Service::start(Answer::body("192.0.2.7\n"));
        let (silent, slow) = (silent.url("/"), slow.url("/"));
        let waits = async { tokio::join!(why(&silent), why(&slow)) };
        let others = async {
            assert_eq!(ask(&full.url("/")).await, Ok(A.to_owned()), "as long as may be");
            let told = why(&long.url("/")).await;
            assert!(told.contains("longer than 16 KiB"), "{told}");
            let told = why(&half.url("/")).await;
            assert!(told.contains("broke off"), "{told}");
            let failure = ask(&busy.url("/")).await.expect_err("it is busy");
            assert_eq!(failure.why, "the server answered 429 Too Many Requests");
            assert_eq!(failure.retry_after, Some(Duration::from_secs(77)));
            let told = why(&four.url("/")).await;
            assert!(told.starts_with("the answer is the IPv4 address 192.0.2.7"), "{told}");
            let told = why(&format!("http://127.0.0.1:{}/", four.port())).await;
            assert!(told.contains("its host is the IPv4 address 127.0.0.1"), "{told}");
            let told = why("http://[::1]:1/").await;
            assert!(told.contains("Connection refused"), "{told}");
            let told = why("http://[2001:db8::1]/").await;
            assert!(told.contains("Network is unreachable"), "{told}");
            let told = why("http://nobody.invalid/").await;
            assert!(told.contains("the name nobody.invalid cannot be resolved"), "{told}");
        };
        let ((silent, slow), ()) = tokio::join!(waits, others);
        for told in [silent, slow] {
            assert_eq!(told, "there was no whole answer within 20 s");
        }
    });
}

fn redirections() {
    block_on(async || {
        let to = |url: &str| Answer::Status("302 Found", format!("Location: {url}\r\n"));
        let last = Service::start(Answer::body(A));
        let second = Service::start(to(&last.url("/v6")));
        let first = Service::start(to(&second.url("/")));
        let zeroth = Service::start(to(&first.url("/")));
        assert_eq!(ask(&first.url("/ip")).await, Ok(A.to_owned()));
        assert_eq!(last.requests(), ["GET /v6 HTTP/1.1"]);
        assert_eq!(why(&zeroth.url("/ip")).await, "it redirects more than 2 times");
        let circle = Service::start(to("/again"));
        assert_eq!(why(&circle.url("/ip")).await, "it redirects more than 2 times");
        assert_eq!(circle.requests(), ["GET /ip HTTP/1.1", "GET /again HTTP/1.1", "GET /again HTTP/1.1"]);
    });
}

fn untrusted() {
    block_on(async || {
        let dir = std::env::temp_dir().join(format!("dyn-prefix-http-{}", std::process::id()));
        let authority = Authority::create(&dir).expect("an authority");
        authority.sign_server(&[]).expect("a certificate");
        let service = Service::start_tls(Answer::body(A), &dir);
        let told = why(&service.url("/ip")).await;
        std::fs::remove_dir_all(&dir).expect("it can be removed");
        // A machine without any certificates trusts nobody, either.
        assert!(told.contains("invalid peer certificate") || told.contains("install ca-certificates"), "{told}");
        assert_eq!(service.requests(), Vec::<String>::new(), "nothing is asked of somebody else");
    });
}
