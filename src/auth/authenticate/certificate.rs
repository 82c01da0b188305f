//! Client certificates: the common name is the user, the organizations are the groups (apiserver
//! `pkg/authentication/request/x509`).

use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;
use x509_parser::x509::X509Version;

use super::{CREDENTIAL_ID, Refused};
use crate::api::request::User;
use crate::auth::recent::Recent;
use crate::auth::{Error, tls};
use crate::base::Histogram;

/// How many verified chains are remembered; every connection shows the same chain with every request.
const CHAINS_MAX: usize = 1024;

/// Upstream's bounds of the seconds that a certificate is good yet, from none to a year.
const LEFT_SECONDS: [f64; 14] = [
    0.0,
    1800.0,
    3600.0,
    7200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
];

/// The subject attribute that carries a user's uid since 1.34.
const UID_ATTRIBUTE: &str = "1.3.6.1.4.1.57683.2";

/// A signature that nothing accepts any more but the reader of certificates.
const SHA1_WITH_RSA: &str = "1.2.840.113549.1.1.5";

/// Verifies client certificates and reads who they are.
pub(super) struct Certificates {
    verifier: Arc<dyn ClientCertVerifier>,
    authorities: Vec<CertificateDer<'static>>,
    /// By digest of the chain: who it is and when it ends.
    verified: Recent<[u8; 32], (Option<User>, Timestamp)>,
    /// For how many seconds the chain was good yet with each request; held for single steps.
    left: Mutex<Histogram>,
}

impl Certificates {
    /// Verifies against these authorities (PEM).
    ///
    /// # Errors
    /// When there is no authority or one is no certificate.
    pub(super) fn new(authorities: &str) -> Result<Self, Error> {
        let authorities = CertificateDer::pem_slice_iter(authorities.as_bytes()).collect::<Result<Vec<_>, _>>();
        let authorities = authorities.map_err(|_| Error::NoKey)?;
        let mut roots = RootCertStore::empty();
        for der in &authorities {
            roots.add(der.clone()).map_err(Error::Tls)?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider());
        let verifier = builder.build().map_err(|_| Error::NoKey)?;
        let (verified, left) = (Recent::new(CHAINS_MAX), Mutex::new(Histogram::new(&LEFT_SECONDS)));
        Ok(Self { verifier, authorities, verified, left })
    }

    pub(super) fn seconds_left(&self) -> Histogram {
        self.left.lock().clone()
    }

    pub(super) fn authenticate(&self, chain: &[Vec<u8>], now: Timestamp) -> Result<Option<User>, Refused> {
        let Some((leaf, rest)) = chain.split_first() else { return Ok(None) };
        let key = digest(chain);
        if let Some((user, until)) = self.verified.get(&key)
            && now < until
        {
            self.note(until, now);
            return Ok(user);
        }
        let (_, certificate) = x509_parser::parse_x509_certificate(leaf)
            .map_err(|error| Refused(format!("the client certificate cannot be read: {error}")))?;
        if !self.signed_as_of_old(&certificate, now) {
            let intermediates: Vec<_> = rest.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
            let moment = std::time::Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0));
            let (leaf, moment) = (CertificateDer::from(leaf.as_slice()), UnixTime::since_unix_epoch(moment));
            let verified = self.verifier.verify_client_cert(&leaf, &intermediates, moment);
            verified.map_err(|error| refused(&certificate, &error))?;
        }
        let user = user(&certificate, leaf)?;
        // An intermediate may end before the leaf; the chain is verified again when the first of them ends.
        let until = chain.iter().filter_map(|der| not_after(der)).min().unwrap_or(now);
        self.verified.put(key, (user.clone(), until));
        self.note(until, now);
        Ok(user)
    }

    /// Whether an authority has signed a certificate of the form before extensions, which the verifier does not read.
    /// Go asks nothing more of it than that both are good now.
    fn signed_as_of_old(&self, certificate: &X509Certificate<'_>, now: Timestamp) -> bool {
        let Ok(now) = ASN1Time::from_timestamp(now.as_second()) else { return false };
        let good = |certificate: &X509Certificate<'_>| certificate.validity().is_valid_at(now);
        let signs = |der: &CertificateDer<'_>| {
            let Ok((_, authority)) = x509_parser::parse_x509_certificate(der) else { return false };
            authority.subject().as_raw() == certificate.issuer().as_raw()
                && (authority.is_ca() || authority.version() == X509Version::V1)
                && good(&authority)
                && certificate.verify_signature(Some(authority.public_key())).is_ok()
        };
        let weak = certificate.signature_algorithm.algorithm.to_id_string() == SHA1_WITH_RSA;
        let one = certificate.version() == X509Version::V1;
        one && !weak && good(certificate) && self.authorities.iter().any(signs)
    }

    fn note(&self, until: Timestamp, now: Timestamp) {
        self.left.lock().observe(until.duration_since(now).as_secs_f64());
    }
}

fn digest(chain: &[Vec<u8>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for certificate in chain {
        hash.update((certificate.len() as u64).to_be_bytes());
        hash.update(certificate);
    }
    hash.finalize().into()
}

fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn refused(certificate: &X509Certificate<'_>, error: &rustls::Error) -> Refused {
    Refused(format!("verifying certificate SN={} failed: {error}", certificate.tbs_certificate.serial))
}

fn user(certificate: &X509Certificate<'_>, der: &[u8]) -> Result<Option<User>, Refused> {
    let subject = certificate.subject();
    let name = subject.iter_common_name().last().and_then(|cn| cn.as_str().ok()).unwrap_or("");
    if name.is_empty() {
        return Ok(None);
    }
    let groups = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned).collect();
    let attributes = subject.iter_attributes();
    let mut uids = attributes.filter(|attribute| attribute.attr_type().to_id_string() == UID_ATTRIBUTE);
    let uid = match (uids.next(), uids.next()) {
        (None, _) => "",
        (Some(uid), None) => uid.as_str().map_err(|_| Refused("unable to parse UID into a string".to_owned()))?,
        (Some(_), Some(_)) => return Err(Refused("expected 1 UID, but found multiple".to_owned())),
    };
    if uid.is_empty() && subject.iter_attributes().any(|a| a.attr_type().to_id_string() == UID_ATTRIBUTE) {
        return Err(Refused("UID cannot be an empty string".to_owned()));
    }
    let fingerprint: String = Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
    let extra = vec![(CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={fingerprint}")])];
    Ok(Some(User { name: name.to_owned(), uid: uid.to_owned(), groups, extra }))
}
