//! Signing what a certificate request asks for with the cluster's authority (Kubernetes
//! `pkg/controller/certificates/authority`): subject, names and key are the request's, all else the order's.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rcgen::{KeyPair, SigningKey as _};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, Tag, construct_der};

use super::pki::Authority;

/// How far a certificate begins in the past, for clients whose clocks are slow.
const BACKDATE_SECONDS: i64 = 300;
/// A shorter life does not end earlier for it.
const SHORT_SECONDS: i64 = 8 * 3600;
const SERIAL_BYTES: usize = 16;

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The request as it came, in DER.
    pub der: Vec<u8>,
    pub common_name: String,
    pub organizations: Vec<String>,
    /// The subject alternative names by kind; addresses are 4 or 16 bytes.
    pub names: Vec<String>,
    pub emails: Vec<String>,
    pub addresses: Vec<Vec<u8>>,
    pub uris: Vec<String>,
}

/// What a certificate is to be for, and for how long.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// As the API calls them: `client auth`, `digital signature` …
    pub usages: &'a [String],
    pub seconds: i64,
    pub now: Timestamp,
}

/// Signs with the cluster's authority; cheap to clone.
#[derive(Clone)]
pub struct CertificateSigner(pub(super) Arc<Authority>);

impl fmt::Debug for CertificateSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateSigner")
    }
}

impl CertificateRequest {
    /// Reads a request in PEM.
    ///
    /// # Errors
    /// Upstream's words, when it is none.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        const NOT_PEM: &str = "PEM block type must be CERTIFICATE REQUEST";
        let der = CertificateSigningRequestDer::from_pem_slice(pem).map_err(|_| NOT_PEM)?;
        let (_, parsed) =
            X509CertificationRequest::from_der(&der).map_err(|_| "x509: malformed certificate request")?;
        let info = &parsed.certification_request_info;
        let texts = |value: &str| value.to_owned();
        let mut request = Self {
            der: der.to_vec(),
            common_name: info
                .subject
                .iter_common_name()
                .last()
                .and_then(|n| n.as_str().ok())
                .map(texts)
                .unwrap_or_default(),
            organizations: info.subject.iter_organization().filter_map(|o| o.as_str().ok()).map(texts).collect(),
            ..Self::default()
        };
        let extensions = info.iter_attributes().filter_map(|attribute| match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(wished) => Some(&wished.extensions),
            _ => None,
        });
        for extension in extensions.flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
                names.general_names.iter().for_each(|name| request.add(name));
            }
        }
        Ok(request)
    }

    fn add(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => self.names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => self.emails.push((*name).to_owned()),
            GeneralName::URI(name) => self.uris.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => self.addresses.push(bytes.to_vec()),
            _ => {}
        }
    }

    /// The subject alternative names as an extension; nothing when there is none.
    fn names_der(&self) -> Option<Vec<u8>> {
        let texts = [(2, &self.names), (1, &self.emails)].into_iter().chain([(6, &self.uris)]);
        let texts = texts.flat_map(|(tag, all)| all.iter().map(move |text| (tag, text.as_bytes())));
        let all: Vec<_> = texts.chain(self.addresses.iter().map(|bytes| (7, &**bytes))).collect();
        let write = |writer: DERWriter<'_>| {
            writer.write_sequence(|writer| {
                for (tag, bytes) in &all {
                    writer.next().write_tagged_implicit(Tag::context(*tag), |writer| writer.write_bytes(bytes));
                }
            });
        };
        (!all.is_empty()).then(|| construct_der(write))
    }
}

impl CertificateSigner {
    /// The certificate in PEM.
    ///
    /// # Errors
    /// Upstream's words, when the request's signature is wrong, a usage is unknown or the authority has expired.
    pub fn sign(&self, request: &CertificateRequest, order: &Order<'_>) -> Result<String, String> {
        let malformed = |_| "unable to parse certificate request: x509: malformed certificate request".to_owned();
        let (_, parsed) = X509CertificationRequest::from_der(&request.der).map_err(malformed)?;
        let wrong = |error| format!("unable to verify certificate request signature: {error}");
        parsed.verify_signature().map_err(wrong)?;
        let (_, authority) = x509_parser::parse_x509_certificate(&self.0.der).map_err(|error| error.to_string())?;
        let (from, until) = validity(order, authority.validity().not_after.timestamp())?;
        let key = self.0.issuer.key();
        let algorithm = algorithm(key)?;
        let info = &parsed.certification_request_info;
        let extensions = extensions(request, order.usages, (&authority, info.subject.as_raw()))?;
        let content = construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_tagged(Tag::context(0), |writer| writer.write_u8(2));
                writer.next().write_bigint_bytes(&rand::random::<[u8; SERIAL_BYTES]>(), true);
                writer.next().write_der(&algorithm);
                writer.next().write_der(authority.subject().as_raw());
                writer.next().write_sequence(|writer| {
                    write_time(writer.next(), from);
                    write_time(writer.next(), until);
                });
                writer.next().write_der(info.subject.as_raw());
                writer.next().write_der(info.subject_pki.raw);
                writer.next().write_tagged(Tag::context(3), |writer| {
                    writer.write_sequence(|writer| {
                        extensions.iter().for_each(|extension| writer.next().write_der(extension));
                    });
                });
            });
        });
        let signature = key.sign(&content).map_err(|error| format!("failed to sign certificate: {error}"))?;
        let der = construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(&content);
                writer.next().write_der(&algorithm);
                writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        });
        Ok(pem(&CertificateDer::from(der)))
    }
}

fn pem(der: &CertificateDer<'_>) -> String {
    const LINE: usize = 64;
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// From when until when, in seconds; `end` is the authority's own.
fn validity(order: &Order<'_>, end: i64) -> Result<(i64, i64), String> {
    let now = order.now.as_second();
    let from = now - BACKDATE_SECONDS;
    let until =
        if order.seconds < SHORT_SECONDS { now + order.seconds } else { now + order.seconds - BACKDATE_SECONDS };
    if now >= end {
        return Err(format!("refusing to sign a certificate that expired in the past: NotAfter={end}"));
    }
    Ok((from, until.min(end)))
}

fn write_time(writer: DERWriter<'_>, seconds: i64) {
    const UTC_TIME: u64 = 23;
    const GENERALIZED_TIME: u64 = 24;
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_zoned(TimeZone::UTC);
    let (tag, form) = match time.year() {
        1950..2050 => (UTC_TIME, "%y%m%d%H%M%SZ"),
        _ => (GENERALIZED_TIME, "%Y%m%d%H%M%SZ"),
    };
    let tag = Tag { tag_class: yasna::TagClass::Universal, tag_number: tag };
    writer.write_tagged_implicit(tag, |writer| writer.write_bytes(time.strftime(form).to_string().as_bytes()));
}

/// The identifier of the signature that a key makes.
fn algorithm(key: &KeyPair) -> Result<Vec<u8>, String> {
    let (oid, null): (&[u64], bool) = match key.algorithm() {
        kind if *kind == rcgen::PKCS_ECDSA_P256_SHA256 => (&[1, 2, 840, 10045, 4, 3, 2], false),
        kind if *kind == rcgen::PKCS_ECDSA_P384_SHA384 => (&[1, 2, 840, 10045, 4, 3, 3], false),
        kind if *kind == rcgen::PKCS_RSA_SHA256 => (&[1, 2, 840, 113_549, 1, 1, 11], true),
        kind if *kind == rcgen::PKCS_ED25519 => (&[1, 3, 101, 112], false),
        _ => return Err("failed to sign certificate: the authority's key is of an unknown kind".to_owned()),
    };
    Ok(construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
            if null {
                writer.next().write_null();
            }
        });
    }))
}

const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];
const EXTENDED_USAGE: [u64; 4] = [2, 5, 29, 37];
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];
const AUTHORITY_KEY: [u64; 4] = [2, 5, 29, 35];
const ALTERNATIVE_NAMES: [u64; 4] = [2, 5, 29, 17];

/// The extensions of a leaf, in the order in which Go writes them.
fn extensions(
    request: &CertificateRequest,
    usages: &[String],
    (authority, subject): (&X509Certificate<'_>, &[u8]),
) -> Result<Vec<Vec<u8>>, String> {
    let (bits, extended) = split(usages)?;
    let mut all = Vec::new();
    if bits != 0 {
        all.push(extension(&KEY_USAGE, true, &key_usage(bits)));
    }
    if !extended.is_empty() {
        let value = construct_der(|writer| {
            writer.write_sequence(|writer| {
                extended.iter().for_each(|oid| writer.next().write_oid(&ObjectIdentifier::from_slice(oid)));
            });
        });
        all.push(extension(&EXTENDED_USAGE, false, &value));
    }
    all.push(extension(&BASIC_CONSTRAINTS, true, &construct_der(|writer| writer.write_sequence(|_| {}))));
    let keys = authority.iter_extensions().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0),
        _ => None,
    });
    all.extend(keys.take(1).map(|key| {
        let value = construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_tagged_implicit(Tag::context(0), |writer| writer.write_bytes(key));
            });
        });
        extension(&AUTHORITY_KEY, false, &value)
    }));
    // An empty sequence: the names are all that tells whose it is.
    const NO_SUBJECT: [u8; 2] = [0x30, 0];
    all.extend(request.names_der().map(|value| extension(&ALTERNATIVE_NAMES, subject == NO_SUBJECT, &value)));
    Ok(all)
}

fn extension(oid: &[u64], critical: bool, value: &[u8]) -> Vec<u8> {
    construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_oid(&ObjectIdentifier::from_slice(oid));
            if critical {
                writer.next().write_bool(true);
            }
            writer.next().write_bytes(value);
        });
    })
}

/// Bit 0 is the first of the string, which ends with the last that is set.
fn key_usage(bits: u16) -> Vec<u8> {
    let length = 16 - bits.leading_zeros() as usize;
    let bytes = bits.reverse_bits().to_be_bytes();
    construct_der(|writer| writer.write_bitvec_bytes(&bytes[..length.div_ceil(8)], length))
}

type Extended = Vec<&'static [u64]>;

/// The bits of the key usage and the extended usages, in upstream's order.
fn split(usages: &[String]) -> Result<(u16, Extended), String> {
    const BITS: [(&str, u16); 10] = [
        ("signing", 0),
        ("digital signature", 0),
        ("content commitment", 1),
        ("key encipherment", 2),
        ("data encipherment", 3),
        ("key agreement", 4),
        ("cert sign", 5),
        ("crl sign", 6),
        ("encipher only", 7),
        ("decipher only", 8),
    ];
    const PURPOSES: [(&str, &[u64]); 13] = [
        ("any", &[2, 5, 29, 37, 0]),
        ("server auth", &[1, 3, 6, 1, 5, 5, 7, 3, 1]),
        ("client auth", &[1, 3, 6, 1, 5, 5, 7, 3, 2]),
        ("code signing", &[1, 3, 6, 1, 5, 5, 7, 3, 3]),
        ("email protection", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
        ("s/mime", &[1, 3, 6, 1, 5, 5, 7, 3, 4]),
        ("ipsec end system", &[1, 3, 6, 1, 5, 5, 7, 3, 5]),
        ("ipsec tunnel", &[1, 3, 6, 1, 5, 5, 7, 3, 6]),
        ("ipsec user", &[1, 3, 6, 1, 5, 5, 7, 3, 7]),
        ("timestamping", &[1, 3, 6, 1, 5, 5, 7, 3, 8]),
        ("ocsp signing", &[1, 3, 6, 1, 5, 5, 7, 3, 9]),
        ("microsoft sgc", &[1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
        ("netscape sgc", &[2, 16, 840, 1, 113_730, 4, 1]),
    ];
    let unknown: Vec<_> = usages
        .iter()
        .filter(|usage| !BITS.iter().any(|(name, _)| name == usage) && !PURPOSES.iter().any(|(name, _)| name == usage))
        .map(|usage| format!("{usage:?}"))
        .collect();
    if !unknown.is_empty() {
        return Err(format!("unrecognized usage values: [{}]", unknown.join(" ")));
    }
    let has = |name: &&str| usages.iter().any(|usage| usage == name);
    let bits = BITS.iter().filter(|(name, _)| has(name)).fold(0, |bits, (_, bit)| bits | 1 << bit);
    let mut purposes: Extended = PURPOSES.iter().filter(|(name, _)| has(name)).map(|(_, oid)| *oid).collect();
    purposes.dedup();
    Ok((bits, purposes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Pki, PkiConfig};

    fn signed(usages: &[&str], seconds: i64) -> Result<Vec<u8>, String> {
        let now: Timestamp = "2026-05-05T05:05:05Z".parse().unwrap();
        let pki = Pki::open(PkiConfig::default(), now).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "jane");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "developers");
        let request = CertificateRequest::parse(params.serialize_request(&key).unwrap().pem().unwrap().as_bytes())?;
        assert_eq!((&*request.common_name, request.organizations.len(), request.names.len()), ("jane", 1, 1));
        let usages: Vec<_> = usages.iter().map(|&usage| usage.to_owned()).collect();
        let pem = pki.certificate_signer().sign(&request, &Order { usages: &usages, seconds, now })?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        let authority = CertificateDer::from_pem_slice(pki.authority().as_bytes()).unwrap();
        let (_, authority) = x509_parser::parse_x509_certificate(&authority).unwrap();
        certificate.verify_signature(Some(authority.public_key())).unwrap();
        assert_eq!(certificate.issuer(), authority.subject());
        assert_eq!(certificate.validity().not_before.timestamp(), now.as_second() - 300);
        Ok(der)
    }

    #[test]
    fn a_certificate_is_what_was_asked_for_and_ordered() {
        let der = signed(&["client auth", "digital signature", "key encipherment"], 86_400).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(certificate.subject().to_string(), "CN=jane, O=developers");
        let usage = certificate.key_usage().unwrap().unwrap().value;
        assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
        let extended = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(extended.client_auth && !extended.server_auth && !extended.any);
        let names = certificate.subject_alternative_name().unwrap().unwrap().value;
        assert_eq!(names.general_names, [GeneralName::DNSName("a.example")]);
        assert!(!certificate.is_ca());
        let life = certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp();
        assert_eq!(life, 86_400);
    }

    #[test]
    fn usages_that_nobody_knows_are_named() {
        let refused = signed(&["client auth", "flying", "diving"], 600).unwrap_err();
        assert_eq!(refused, "unrecognized usage values: [\"flying\" \"diving\"]");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let refused = CertificateRequest::parse(b"x").unwrap_err();
        assert_eq!(refused, "PEM block type must be CERTIFICATE REQUEST");
    }

    fn pem(der: &[u8]) -> Vec<u8> {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n").into_bytes()
    }

    proptest::proptest! {
        #[test]
        fn any_request_is_read_or_refused(der in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let _ = CertificateRequest::parse(&pem(&der));
        }

        #[test]
        fn a_spoilt_request_is_read_or_refused(place in 0_usize..200, byte in proptest::num::u8::ANY) {
            static DER: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
                let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
                params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
            });
            let mut der = DER.clone();
            let place = place % der.len();
            der[place] = byte;
            let _ = CertificateRequest::parse(&pem(&der));
        }
    }
}
