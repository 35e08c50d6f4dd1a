//! How the two sides of a TLS connection know each other: what a kubeconfig says of certificates.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_rustls::ConfigBuilderExt as _;
use kube::Config;
use kube::config::AuthInfo;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};
use secrecy::{ExposeSecret as _, SecretString};

/// As the kubeconfig says. `certificate` and its key, both PEM, go before its own.
pub(super) fn client_config(
    config: &Config,
    certificate: Option<&(String, SecretString)>,
) -> Result<ClientConfig, String> {
    let builder = trusting(config)?;
    let own = own_identity(&config.auth_info)?;
    let identity = match (certificate, &own) {
        (Some((chain, key)), _) => Some((chain.as_bytes(), key.expose_secret().as_bytes())),
        (None, Some((chain, key))) => Some((chain.as_slice(), key.as_slice())),
        (None, None) => None,
    };
    let mut tls = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let (chain, key) = parsed(chain, key)?;
            let unusable = |error| format!("the client certificate and its key cannot be used: {error}");
            builder.with_client_auth_cert(chain, key).map_err(unusable)?
        }
    };
    if config.accept_invalid_certs {
        tls.dangerous().set_certificate_verifier(Arc::new(Anybody));
    }
    Ok(tls)
}

fn trusting(config: &Config) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let builder = ClientConfig::builder();
    if config.accept_invalid_certs || config.cluster_url.scheme_str() == Some("http") && config.proxy_url.is_none() {
        // Nobody's certificate is looked at: this host need not trust anybody.
        return Ok(builder.with_root_certificates(RootCertStore::empty()));
    }
    let Some(authorities) = &config.root_cert else {
        let unreadable = |error| {
            format!(
                "the certificates that this host trusts cannot be read: {error}; install the package ca-certificates, or \
                 name the authority in the kubeconfig (certificate-authority)"
            )
        };
        return builder.with_native_roots().map_err(unreadable);
    };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        let unusable = |error| format!("its certificate-authority cannot be used: {error}");
        roots.add(CertificateDer::from_slice(authority)).map_err(unusable)?;
    }
    Ok(builder.with_root_certificates(roots))
}

/// A client certificate and its key, both PEM.
type Identity = (Vec<u8>, Vec<u8>);

/// That of the user: in the kubeconfig itself, or in files that it names.
fn own_identity(user: &AuthInfo) -> Result<Option<Identity>, String> {
    let key = user.client_key_data.as_ref().map(|key| key.expose_secret());
    let chain = pem("client-certificate", user.client_certificate_data.as_deref(), user.client_certificate.as_deref())?;
    let key = pem("client-key", key, user.client_key.as_deref())?;
    match (chain, key) {
        (Some(chain), Some(key)) => Ok(Some((chain, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err("it has a client-certificate, but no client-key".to_owned()),
        (None, Some(_)) => Err("it has a client-key, but no client-certificate".to_owned()),
    }
}

fn pem(what: &str, data: Option<&str>, file: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    if let Some(data) = data {
        let decoded = STANDARD.decode(data.trim());
        return decoded.map(Some).map_err(|error| format!("its {what}-data is no base64: {error}"));
    }
    let Some(file) = file else { return Ok(None) };
    std::fs::read(file).map(Some).map_err(|error| format!("its {what} {file} cannot be read: {error}"))
}

fn parsed(chain: &[u8], key: &[u8]) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|error| format!("its client certificate is no PEM: {error}"))?;
    if chain.is_empty() {
        return Err("its client certificate is missing in what should hold it".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key);
    Ok((chain, key.map_err(|error| format!("its client key is no PEM of a private key: {error}"))?))
}

/// `insecure-skip-tls-verify`: whoever answers is taken for the server.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        // Also those that ring cannot verify: nothing is verified.
        let others = [SignatureScheme::ECDSA_NISTP521_SHA512, SignatureScheme::ED448];
        let known = rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes();
        known.into_iter().chain(others).collect()
    }
}
