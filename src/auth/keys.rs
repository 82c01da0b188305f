//! The keys that sign and verify ServiceAccount tokens: ECDSA P-256 or P-384 and RSA, read from PEM as openssl and
//! kubeadm write them. A key's id is derived from its public half as upstream does (`pkg/serviceaccount/jwt.go`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use rcgen::PublicKeyData;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Error;

/// A key that signs tokens, with its public half.
pub struct SigningKey {
    encoding: EncodingKey,
    public: VerifyingKey,
}

/// A key that verifies tokens.
#[derive(Clone)]
pub struct VerifyingKey {
    /// `kid` of token headers and of the key set.
    pub id: String,
    pub algorithm: Algorithm,
    decoding: DecodingKey,
    parameters: Parameters,
    spki: Vec<u8>,
}

/// The numbers of a public key, in base64url.
#[derive(Clone)]
enum Parameters {
    Ec { x: String, y: String },
    Rsa { n: String, e: String },
}

/// A public key as a member of a JSON Web Key Set, in the order in which go-jose writes it.
#[derive(Serialize, Debug, PartialEq, Eq)]
pub struct Jwk {
    #[serde(rename = "use")]
    usage: &'static str,
    kty: &'static str,
    kid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<&'static str>,
    alg: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
}

impl SigningKey {
    /// A new ECDSA P-256 key and its PKCS#8 PEM text.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> Result<(Self, String), Error> {
        let pair = rcgen::KeyPair::generate().map_err(Error::Certificate)?;
        let pem = pair.serialize_pem();
        Ok((Self::from_pem(pem.as_bytes())?, pem))
    }

    /// The first private key in a PEM text: PKCS#8, `EC PRIVATE KEY` or `RSA PRIVATE KEY`.
    ///
    /// # Errors
    /// When there is none, or of a kind that tokens are not signed with.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        sections(pem).find_map(|(kind, der)| private_key(kind, &der)).unwrap_or(Err(Error::NoKey))
    }

    /// The public half.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// The signature over a message, in base64url.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&self, message: &[u8]) -> Result<String, Error> {
        jsonwebtoken::crypto::sign(message, &self.encoding, self.public.algorithm).map_err(Error::Token)
    }
}

impl VerifyingKey {
    /// All keys in a PEM text, public or private; of private keys the public half, as upstream takes
    /// `--service-account-key-file`.
    ///
    /// # Errors
    /// When there is no key, or one of a kind that tokens are not signed with.
    pub fn all_from_pem(pem: &[u8]) -> Result<Vec<Self>, Error> {
        let keys = sections(pem).filter_map(|(kind, der)| match kind {
            SectionKind::PublicKey => Some(from_spki(&der)),
            SectionKind::Certificate => Some(from_certificate(&der)),
            _ => private_key(kind, &der).map(|key| key.map(|k| k.public)),
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(Error::NoKey) } else { Ok(keys) }
    }

    /// Whether this key made the signature (base64url) over the message.
    pub fn verifies(&self, signature: &str, message: &[u8]) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, self.algorithm).unwrap_or(false)
    }

    /// `ES256`, `ES384` or `RS256`.
    pub fn algorithm_name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::ES384 => "ES384",
            Algorithm::RS256 => "RS256",
            _ => "ES256",
        }
    }

    /// The key as a member of a JSON Web Key Set.
    pub fn jwk(&self) -> Jwk {
        let alg = self.algorithm_name();
        let plain =
            Jwk { usage: "sig", kty: "", kid: self.id.clone(), crv: None, alg, x: None, y: None, n: None, e: None };
        match self.parameters.clone() {
            Parameters::Ec { x, y } => {
                let crv = Some(if alg == "ES384" { "P-384" } else { "P-256" });
                Jwk { kty: "EC", crv, x: Some(x), y: Some(y), ..plain }
            }
            Parameters::Rsa { n, e } => Jwk { kty: "RSA", n: Some(n), e: Some(e), ..plain },
        }
    }

    /// As `PUBLIC KEY` PEM.
    pub fn to_pem(&self) -> String {
        let body = base64::engine::general_purpose::STANDARD.encode(&self.spki);
        let mut out = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        for line in body.as_bytes().chunks(64) {
            out.push_str(std::str::from_utf8(line).unwrap_or_default());
            out.push('\n');
        }
        out.push_str("-----END PUBLIC KEY-----\n");
        out
    }
}

/// The first private key in a PEM text as PKCS#8, whatever it is wrapped in.
pub(super) fn to_pkcs8(pem: &[u8]) -> Option<Vec<u8>> {
    sections(pem).find_map(|(kind, der)| match kind {
        SectionKind::PrivateKey => Some(der),
        SectionKind::EcPrivateKey => sec1_to_pkcs8(&der),
        SectionKind::RsaPrivateKey => {
            let algorithm = write(SEQUENCE, &[write(OBJECT_ID, &[OID_RSA]), write::<&[u8]>(NULL, &[])]);
            Some(write(SEQUENCE, &[write(INTEGER, &[&[0]]), algorithm, write(OCTET_STRING, &[&der])]))
        }
        _ => None,
    })
}

fn sections(pem: &[u8]) -> impl Iterator<Item = (SectionKind, Vec<u8>)> + '_ {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).filter_map(Result::ok)
}

/// `None`: the section is no private key.
fn private_key(kind: SectionKind, der: &[u8]) -> Option<Result<SigningKey, Error>> {
    match kind {
        SectionKind::RsaPrivateKey => Some(rsa_from_pkcs1(der)),
        SectionKind::EcPrivateKey => Some(ec_from_sec1(der)),
        SectionKind::PrivateKey => Some(from_pkcs8(der)),
        _ => None,
    }
}

fn from_pkcs8(der: &[u8]) -> Result<SigningKey, Error> {
    let parts = || {
        let (_, body, _) = read(der)?;
        let (_, _version, rest) = read(body)?;
        let (_, algorithm, rest) = read(rest)?;
        let (_, key, _) = read(rest)?;
        let (_, oid, _) = read(algorithm)?;
        Some((oid, key))
    };
    match parts() {
        Some((oid, key)) if oid == OID_RSA => rsa_from_pkcs1(key),
        Some((oid, _)) if oid == OID_EC => ec_from_pkcs8(der),
        _ => Err(Error::KeyKind),
    }
}

fn rsa_from_pkcs1(der: &[u8]) -> Result<SigningKey, Error> {
    let parts = || {
        let (_, body, _) = read(der)?;
        let (_, _version, rest) = read(body)?;
        let (_, modulus, rest) = read(rest)?;
        let (_, exponent, _) = read(rest)?;
        Some((modulus, exponent))
    };
    let (modulus, exponent) = parts().ok_or(Error::KeyKind)?;
    Ok(SigningKey { encoding: EncodingKey::from_rsa_der(der), public: rsa_public(modulus, exponent) })
}

fn ec_from_pkcs8(der: &[u8]) -> Result<SigningKey, Error> {
    let pkcs8 = PrivatePkcs8KeyDer::from(der);
    let curves =
        [(&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256), (&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::ES384)];
    for (curve, algorithm) in curves {
        if let Ok(pair) = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, curve) {
            let public = ec_public(pair.public_key_raw(), pair.subject_public_key_info(), algorithm)?;
            return Ok(SigningKey { encoding: EncodingKey::from_ec_der(der), public });
        }
    }
    Err(Error::KeyKind)
}

/// `EC PRIVATE KEY`, as `openssl ecparam -genkey` writes it: wrapped into PKCS#8 with the curve that it names.
fn ec_from_sec1(der: &[u8]) -> Result<SigningKey, Error> {
    ec_from_pkcs8(&sec1_to_pkcs8(der).ok_or(Error::KeyKind)?)
}

fn sec1_to_pkcs8(der: &[u8]) -> Option<Vec<u8>> {
    let (_, body, _) = read(der)?;
    let (_, _version, rest) = read(body)?;
    let (_, _secret, rest) = read(rest)?;
    let (tag, parameters, _) = read(rest)?;
    let (_, curve, _) = (tag == 0xa0).then(|| read(parameters)).flatten()?;
    let algorithm = write(SEQUENCE, &[write(OBJECT_ID, &[OID_EC]), write(OBJECT_ID, &[curve])]);
    Some(write(SEQUENCE, &[write(INTEGER, &[&[0]]), algorithm, write(OCTET_STRING, &[der])]))
}

fn from_certificate(der: &[u8]) -> Result<VerifyingKey, Error> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).map_err(|_| Error::KeyKind)?;
    from_spki(certificate.public_key().raw)
}

fn from_spki(der: &[u8]) -> Result<VerifyingKey, Error> {
    let parts = || {
        let (_, body, _) = read(der)?;
        let (_, algorithm, rest) = read(body)?;
        let (_, bits, _) = read(rest)?;
        let (_, oid, parameters) = read(algorithm)?;
        Some((oid, parameters, bits.get(1..)?))
    };
    let (oid, parameters, key) = parts().ok_or(Error::KeyKind)?;
    if oid == OID_RSA {
        let numbers = || {
            let (_, body, _) = read(key)?;
            let (_, modulus, rest) = read(body)?;
            let (_, exponent, _) = read(rest)?;
            Some((modulus, exponent))
        };
        let (modulus, exponent) = numbers().ok_or(Error::KeyKind)?;
        return Ok(rsa_public(modulus, exponent));
    }
    let curve = read(parameters).map(|(_, curve, _)| curve);
    match curve {
        Some(OID_P256) if oid == OID_EC => ec_public(key, der.to_vec(), Algorithm::ES256),
        Some(OID_P384) if oid == OID_EC => ec_public(key, der.to_vec(), Algorithm::ES384),
        _ => Err(Error::KeyKind),
    }
}

fn ec_public(point: &[u8], spki: Vec<u8>, algorithm: Algorithm) -> Result<VerifyingKey, Error> {
    let half = (point.len().saturating_sub(1)) / 2;
    if point.first() != Some(&4) || half == 0 {
        return Err(Error::KeyKind);
    }
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..=half]), URL_SAFE_NO_PAD.encode(&point[1 + half..]));
    let parameters = Parameters::Ec { x, y };
    Ok(VerifyingKey { id: key_id(&spki), algorithm, decoding: DecodingKey::from_ec_der(point), parameters, spki })
}

fn rsa_public(modulus: &[u8], exponent: &[u8]) -> VerifyingKey {
    let plain = |number: &[u8]| number.iter().copied().skip_while(|b| *b == 0).collect::<Vec<u8>>();
    let key = write(SEQUENCE, &[write(INTEGER, &[modulus]), write(INTEGER, &[exponent])]);
    let algorithm = write(SEQUENCE, &[write(OBJECT_ID, &[OID_RSA]), write::<&[u8]>(NULL, &[])]);
    let spki = write(SEQUENCE, &[algorithm, write(BIT_STRING, &[&[0][..], &key[..]])]);
    let (n, e) = (plain(modulus), plain(exponent));
    VerifyingKey {
        id: key_id(&spki),
        algorithm: Algorithm::RS256,
        decoding: DecodingKey::from_rsa_raw_components(&n, &e),
        parameters: Parameters::Rsa { n: URL_SAFE_NO_PAD.encode(n), e: URL_SAFE_NO_PAD.encode(e) },
        spki,
    }
}

fn key_id(spki: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(spki))
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_ID: u8 = 0x06;

const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

/// One DER element: its tag, its content and what follows it.
fn read(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (bytes, rest) = rest.split_at(count);
        (bytes.iter().fold(0, |length, b| (length << 8) | usize::from(*b)), rest)
    };
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

/// One DER element with the parts as its content.
fn write<P: AsRef<[u8]>>(tag: u8, parts: &[P]) -> Vec<u8> {
    let length: usize = parts.iter().map(|p| p.as_ref().len()).sum();
    let mut out = vec![tag];
    if let Ok(short) = u8::try_from(length)
        && short < 0x80
    {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let bytes = &bytes[bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len() - 1)..];
        out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(8));
        out.extend_from_slice(bytes);
    }
    parts.iter().for_each(|p| out.extend_from_slice(p.as_ref()));
    out
}

/// The public key (DER) that a certificate in PEM speaks of.
pub(super) fn certified_key(pem: &str) -> Option<Vec<u8>> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
    Some(certificate.public_key().raw.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC1: &str = include_str!("testdata/ec.pem");
    const PKCS1: &str = include_str!("testdata/rsa.pem");
    const PKCS1_PUBLIC: &str = include_str!("testdata/rsa.pub");
    const PKCS8_384: &str = include_str!("testdata/ec384.pem");
    const EC_PUBLIC: &str = include_str!("testdata/ec.pub");

    #[track_caller]
    fn check_signs_and_verifies(private: &str, algorithm: &str) -> VerifyingKey {
        let key = SigningKey::from_pem(private.as_bytes()).unwrap();
        let signature = key.sign(b"a.b").unwrap();
        assert!(key.public().verifies(&signature, b"a.b"));
        assert!(!key.public().verifies(&signature, b"a.c"));
        assert_eq!(key.public().algorithm_name(), algorithm);
        let again = VerifyingKey::all_from_pem(key.public().to_pem().as_bytes()).unwrap().remove(0);
        assert_eq!(again.id, key.public().id);
        assert!(again.verifies(&signature, b"a.b"));
        again
    }

    #[test]
    fn keys_of_every_kind_and_wrapping_sign_and_verify() {
        let ec = check_signs_and_verifies(SEC1, "ES256");
        assert_eq!(VerifyingKey::all_from_pem(EC_PUBLIC.as_bytes()).unwrap()[0].id, ec.id);
        // openssl pkey -pubin -in ec.pub -outform DER | openssl dgst -sha256 -binary | base64, with - for + and _ for /.
        assert_eq!(ec.id, "K6xU-OYqJpkWNAvYC5Q_yFHk5OfTm6XgldI0koj36vI");
        let rsa = check_signs_and_verifies(PKCS1, "RS256");
        assert_eq!(VerifyingKey::all_from_pem(PKCS1_PUBLIC.as_bytes()).unwrap()[0].id, rsa.id);
        check_signs_and_verifies(PKCS8_384, "ES384");
        let (_, pem) = SigningKey::generate().unwrap();
        check_signs_and_verifies(&pem, "ES256");
    }

    #[test]
    fn a_text_without_a_key_is_refused() {
        assert!(matches!(SigningKey::from_pem(b"nothing"), Err(Error::NoKey)));
        assert!(matches!(VerifyingKey::all_from_pem(b""), Err(Error::NoKey)));
        let cut = SEC1.replace("M", "N");
        assert!(SigningKey::from_pem(cut.as_bytes()).is_err());
    }
}
