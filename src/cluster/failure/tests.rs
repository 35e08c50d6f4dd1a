use kube::core::Status;
use serde_json::json;

use super::*;

fn status(code: u16, message: &str) -> Failure {
    of_status(&Status::failure(message, "Whatever").with_code(code))
}

fn wrapped(error: impl StdError + Send + Sync + 'static) -> kube::Error {
    kube::Error::Service(Box::new(io::Error::other(error)))
}

fn reason(error: &kube::Error) -> &'static str {
    let failure = Failure::from(error);
    let Failure::Unreachable { reason, .. } = failure else { panic!("{failure:?} is not a failure of the path") };
    reason
}

/// The sentences are those of k8s.io/apiserver v0.36: pkg/admission/plugin/webhook/errors/statuserror.go and
/// pkg/admission/plugin/webhook/mutating/dispatcher.go.
#[test]
fn a_denial_and_a_webhook_that_is_away_are_told_apart() {
    let denied = r#"admission webhook "ippool.metallb.io" denied the request: CIDR overlaps"#;
    for code in [400, 403, 422, 500] {
        assert_eq!(status(code, denied).into_write_error(), WriteError::Invalid(denied.to_owned()), "{code}");
    }
    let away = r#"Internal error occurred: failed calling webhook "ippool.metallb.io": failed to call webhook: Post "https://metallb-webhook": dial tcp: connection refused"#;
    assert_eq!(status(500, away).into_write_error(), WriteError::Webhook(away.to_owned()));
}

#[test]
fn every_status_code_has_its_meaning() {
    let busy = WriteError::Busy { message: "m".to_owned(), retry_after: None };
    for (code, meaning) in [
        (400, WriteError::Invalid("m".to_owned())),
        (403, WriteError::Forbidden("m".to_owned())),
        (404, WriteError::NotFound),
        (405, WriteError::Invalid("m".to_owned())),
        (409, WriteError::Conflict),
        (413, WriteError::Invalid("m".to_owned())),
        (422, WriteError::Invalid("m".to_owned())),
        (429, busy.clone()),
        (500, busy.clone()),
        (503, busy.clone()),
        (504, busy),
    ] {
        assert_eq!(status(code, "m").into_write_error(), meaning, "{code}");
    }
    assert!(matches!(status(401, "m").into_write_error(), WriteError::Unauthorized(_)));
}

#[test]
fn retry_after_is_taken_from_the_status() {
    let status: Status = serde_json::from_value(json!({
        "code": 429, "status": "Failure", "message": "slow down", "reason": "TooManyRequests",
        "details": {"retryAfterSeconds": 7}
    }))
    .unwrap();
    assert_eq!(
        of_status(&status).into_write_error(),
        WriteError::Busy { message: "slow down".to_owned(), retry_after: Some(Duration::from_secs(7)) }
    );
}

#[test]
fn tls_errors_say_which() {
    for (error, expected) in [
        (CertificateError::UnknownIssuer, "UnknownCertificateAuthority"),
        (CertificateError::NotValidForName, "CertificateNameMismatch"),
        (CertificateError::Expired, "CertificateExpired"),
        (CertificateError::NotValidYet, "CertificateNotValidYet"),
        (CertificateError::BadSignature, "CertificateInvalid"),
    ] {
        assert_eq!(reason(&wrapped(TlsError::InvalidCertificate(error))), expected);
    }
    let alert = wrapped(TlsError::AlertReceived(AlertDescription::CertificateExpired));
    assert_eq!(reason(&alert), "ClientCertificateRefused");
}

#[test]
fn errors_of_the_path_say_which() {
    for (kind, expected) in [
        (io::ErrorKind::ConnectionRefused, "ConnectionRefused"),
        (io::ErrorKind::NetworkUnreachable, "NoRoute"),
        (io::ErrorKind::TimedOut, TIMED_OUT),
        (io::ErrorKind::ConnectionReset, "ConnectionReset"),
    ] {
        assert_eq!(reason(&wrapped(io::Error::from(kind))), expected);
    }
    assert_eq!(reason(&wrapped(io::Error::other("something new"))), "ConnectionLost");
    let lookup = io::Error::other("failed to lookup address information: Name or service not known");
    assert_eq!(reason(&wrapped(lookup)), "NameNotResolved");
}

#[test]
fn a_page_of_html_is_cut_short_at_a_character() {
    let failure = status(502, &"ä".repeat(2 * LONGEST_MESSAGE));
    assert_eq!(failure.message().chars().count(), LONGEST_MESSAGE + 1);
}

#[test]
fn a_cause_is_not_repeated() {
    let error = io::Error::other(io::Error::other("the end of it"));
    assert_eq!(chain(&error), "the end of it");
}

/// What is wrong with an exec plugin while the client is in use.
#[test]
fn credentials_that_cannot_be_renewed_are_no_failure_of_the_path() {
    let failure = Failure::from(&wrapped(Unauthenticated("its exec plugin login failed".to_owned())));
    let text = "the kubeconfig gives no credentials: its exec plugin login failed";
    assert_eq!(failure, Failure::Unauthorized(text.to_owned()));
}
