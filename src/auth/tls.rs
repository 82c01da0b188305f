//! TLS as the server speaks it: the serving certificate, which may be renewed while connections are open, and the
//! wish for a client certificate that is verified only later, by authentication, so that a bad one gives 401 and not
//! a broken handshake (as kube-apiserver's `RequestClientCert`).

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::x509::X509Version;

use super::Error;

/// The cryptography of the whole process, named instead of installed, so that servers share no global state.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The serving certificate of the moment.
#[derive(Debug)]
pub(super) struct Serving {
    certificate: ArcSwap<CertifiedKey>,
}

impl Serving {
    pub(super) fn new(certificate: CertifiedKey) -> Self {
        Self { certificate: ArcSwap::from_pointee(certificate) }
    }

    /// New handshakes get this one.
    pub(super) fn replace(&self, certificate: CertifiedKey) {
        self.certificate.store(Arc::new(certificate));
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certificate.load_full())
    }
}

/// The configuration for a listener.
pub(super) fn server_config(serving: Arc<Serving>) -> Result<ServerConfig, Error> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(Error::Tls)?
        .with_client_cert_verifier(Arc::new(AnyCertificate { algorithms }))
        .with_cert_resolver(serving);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A certificate of the form before extensions, as `openssl x509 -req` makes them, which only Go reads by itself.
fn of_version_one<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    (certificate.version() == X509Version::V1).then_some(certificate)
}

fn bad_signature() -> rustls::Error {
    rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature)
}

/// Asks for a client certificate, checks only that the client holds its key.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let Some(old) = of_version_one(certificate) else {
            return verify_tls12_signature(message, certificate, signed, &self.algorithms);
        };
        let (_, algorithms) =
            self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme).ok_or_else(bad_signature)?;
        let key = &old.public_key().subject_public_key.data;
        let holds = algorithms.iter().any(|a| a.verify_signature(key, message, signed.signature()).is_ok());
        if holds { Ok(HandshakeSignatureValid::assertion()) } else { Err(bad_signature()) }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match of_version_one(certificate) {
            None => verify_tls13_signature(message, certificate, signed, &self.algorithms),
            Some(old) => {
                let key = SubjectPublicKeyInfoDer::from(old.public_key().raw);
                verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
            }
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
