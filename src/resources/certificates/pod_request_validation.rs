//! Validation of PodCertificateRequests, in upstream's order and words. That a certificate begins now is not looked at:
//! there is no clock here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

use super::signer_name;
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::api::validation::names::{dns1123_subdomain, qualified_name};
use crate::resources::check::{invalid_as, messages};
use crate::resources::conditions::validate_conditions;
use crate::resources::tree::{Tree, child, int, list, text};

const UID_BYTES_MAX: usize = 128;
const STUB_BYTES_MAX: usize = 10 << 10;
const CHAIN_BYTES_MAX: usize = 100 << 10;
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
const HOUR_SECONDS: i64 = 60 * 60;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;
const REFRESH_MARGIN: SignedDuration = SignedDuration::from_mins(10);
const OUTCOMES: [&str; 3] = ["Issued", "Denied", "Failed"];
const RSA_BITS: [usize; 2] = [3072, 4096];
/// P-256, P-384 and P-521.
const CURVES: [&str; 3] = ["1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35"];
/// The internal type has the fields of an older version, too.
const SPEC: &str = "io.k8s.api.certificates.v1beta1.PodCertificateRequestSpec";

/// A new request.
pub(super) fn validate(request: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(request.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    let signer = text(spec, "signerName");
    signer_name::validate(&mut errors, signer, &path.child("signerName"));
    if let Some(notes) = child(spec, "unverifiedUserAnnotations") {
        user_annotations(&mut errors, notes, &path.child("unverifiedUserAnnotations"));
    }
    for (name, uid) in [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")] {
        let given = text(spec, name);
        messages(&mut errors, &path.child(name), given, dns1123_subdomain(given));
        let given = text(spec, uid);
        if given.is_empty() {
            errors.push(FieldError::invalid(&path.child(uid), "", "must not be empty"));
        }
        if given.len() > UID_BYTES_MAX {
            errors.push(FieldError::too_long(&path.child(uid), UID_BYTES_MAX));
        }
    }
    let at = path.child("maxExpirationSeconds");
    let Some(seconds) = int(spec, "maxExpirationSeconds") else {
        errors.push(FieldError::required(&at, "must be set"));
        return errors;
    };
    let host = signer.split('/').next().unwrap_or_default();
    let kubernetes = host == "kubernetes.io" || host.ends_with(".kubernetes.io");
    let most = if kubernetes { DAY_SECONDS } else { 91 * DAY_SECONDS };
    if !(HOUR_SECONDS..=most).contains(&seconds) {
        errors.push(FieldError::invalid(&at, seconds, format!("must be in the range [{HOUR_SECONDS}, {most}]")));
    }
    let stub = text(spec, "stubPKCS10Request");
    if stub.is_empty() {
        let detail = "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set";
        errors.push(unshown(&path, detail));
    } else {
        errors.extend(stub_fault(stub, &path.child("stubPKCS10Request")));
    }
    errors
}

fn unshown(path: &Path<'_>, detail: &str) -> FieldError {
    FieldError::invalid(path, Value::Null, detail).shown(Shown::Nothing)
}

fn user_annotations(errors: &mut Errors, notes: &Tree, path: &Path<'_>) {
    let mut total = 0;
    for (key, value) in notes {
        total += key.len() + value.as_str().map_or(0, str::len);
        let key = key.to_lowercase();
        let wrong = qualified_name(&key);
        if key.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else if wrong.is_empty() && !key.contains('/') {
            let detail = "must be a domain-prefixed key (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, key, detail));
        } else {
            messages(errors, path, key.as_str(), wrong);
        }
    }
    if total > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_BYTES_MAX));
    }
}

fn stub_fault(stub: &str, path: &Path<'_>) -> Option<FieldError> {
    let der = BASE64.decode(stub).unwrap_or_default();
    if der.len() > STUB_BYTES_MAX {
        return Some(FieldError::too_long(path, STUB_BYTES_MAX));
    }
    let Ok(([], request)) = X509CertificationRequest::from_der(&der) else {
        return Some(unshown(path, "must be a valid PKCS#10 CSR"));
    };
    let key = &request.certification_request_info.subject_pki;
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if !RSA_BITS.contains(&rsa.key_size()) => {
            let shown = format!("{}-bit modulus", rsa.key_size());
            return Some(FieldError::invalid(path, shown, "RSA keys must have modulus size 3072 or 4096"));
        }
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref().and_then(|of| of.as_oid().ok()).map(|oid| oid.to_id_string());
            if !curve.is_some_and(|curve| CURVES.contains(&curve.as_str())) {
                let detail = "elliptic public keys must use curve P256, P384, or P521";
                return Some(FieldError::invalid(path, "curve P-224", detail));
            }
        }
        Ok(PublicKey::RSA(_) | PublicKey::Unknown(_)) => {}
        Ok(_) | Err(_) => {
            let detail = "unknown public key type; supported types are Ed25519, ECDSA, and RSA";
            return Some(unshown(path, detail));
        }
    }
    request.verify_signature().err().map(|_| unshown(path, "invalid signature"))
}

/// A changed request: nothing of the spec changes.
pub(super) fn validate_update(new: &Object, old: &Object) -> Errors {
    if new.get(&["spec"]) == old.get(&["spec"]) {
        return Errors::new();
    }
    let given = new.get(&["spec"]).cloned().unwrap_or(Value::Null);
    vec![invalid_as(&Path::new("spec"), given, SPEC, "field is immutable")]
}

/// What a signer writes: one outcome, once.
pub(super) fn validate_status(new: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (status, path) = (child(new.root(), "status").unwrap_or(&empty), Path::new("status"));
    let at = path.child("conditions");
    outcomes(&mut errors, new, &at);
    validate_conditions(&mut errors, status, &at);
    if !errors.is_empty() {
        return errors;
    }
    let before = child(old.root(), "status").unwrap_or(&empty);
    let same = |one: &Tree, other: &Tree| {
        one.keys().chain(other.keys()).all(|key| {
            let of = |tree: &Tree| tree.get(key).filter(|value| !crate::resources::tree::is_zero(value)).cloned();
            of(one) == of(other)
        })
    };
    let mut refuse = |detail: &str| errors.push(unshown(&path, detail));
    match (outcome(old), outcome(new)) {
        (Some(_), _) if !same(status, before) => {
            refuse("immutable after PodCertificateRequest is issued, denied, or failed");
        }
        (None, Some("Issued")) => errors.extend(issued(status, new)),
        (None, Some(_)) => {
            let alone: Tree =
                status.iter().filter(|(key, _)| *key == "conditions").map(|(k, v)| (k.clone(), v.clone())).collect();
            if !same(status, &alone) {
                refuse("non-condition status fields must be empty when denying or failing the PodCertificateRequest");
            }
        }
        (None, None) if !same(status, before) => {
            refuse("status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"");
        }
        (_, _) => {}
    }
    errors
}

fn outcome(request: &Object) -> Option<&'static str> {
    let has = |kind: &str| {
        list(request, &["status", "conditions"]).any(|c| text(c, "type") == kind && text(c, "status") == "True")
    };
    // An issued request that is also denied counts as denied on the way there.
    ["Denied", "Failed", "Issued"].into_iter().find(|kind| has(kind))
}

/// Upstream writes the index as if it were a field.
fn outcomes(errors: &mut Errors, request: &Object, path: &Path<'_>) {
    let mut known = 0;
    for (i, condition) in list(request, &["status", "conditions"]).enumerate() {
        let index = format!("[{i}]");
        let at = path.child(&index);
        let kind = text(condition, "type");
        if !OUTCOMES.contains(&kind) {
            errors.push(FieldError::not_supported(&at.child("type"), kind, &OUTCOMES));
            continue;
        }
        known += 1;
        if known > 1 {
            let detail = "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"";
            errors.push(FieldError::invalid(&at.child("type"), kind, detail));
        }
        if text(condition, "status") != "True" {
            errors.push(FieldError::not_supported(&at.child("status"), text(condition, "status"), &["True"]));
        }
    }
}

fn issued(status: &Tree, request: &Object) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status");
    let at = path.child("certificateChain");
    let chain = text(status, "certificateChain");
    let refusal = |detail: &str| vec![FieldError::invalid(&at, chain, detail)];
    if chain.len() > CHAIN_BYTES_MAX {
        return vec![FieldError::too_long(&at, CHAIN_BYTES_MAX)];
    }
    let blocks: Vec<Pem> = Pem::iter_from_buffer(chain.as_bytes()).map_while(Result::ok).collect();
    let Some(first) = blocks.first() else {
        return refusal("issued certificate chain must contain at least one certificate");
    };
    if first.label != "CERTIFICATE" {
        return refusal("issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
    }
    let Ok((_, leaf)) = x509_parser::parse_x509_certificate(&first.contents) else {
        return refusal("leaf certificate does not parse as valid X.509");
    };
    names(&mut errors, &leaf, &at);
    let stub = BASE64.decode(request.text_at(&["spec", "stubPKCS10Request"])).unwrap_or_default();
    let wanted = X509CertificationRequest::from_der(&stub).ok();
    if wanted.is_some_and(|(_, of)| of.certification_request_info.subject_pki.raw != leaf.public_key().raw) {
        errors.extend(refusal("leaf certificate was not issued to the requested public key"));
        return errors;
    }
    times(&mut errors, (status, &leaf), request, &path);
    if !errors.is_empty() {
        return errors;
    }
    for block in &blocks[1..] {
        if block.label != "CERTIFICATE" {
            return refusal("issued certificate chain must consist entirely of CERTFICATE PEM blocks");
        }
        if x509_parser::parse_x509_certificate(&block.contents).is_err() {
            return refusal("intermediate certificate does not parse as valid X.509");
        }
    }
    errors
}

fn names(errors: &mut Errors, leaf: &X509Certificate<'_>, path: &Path<'_>) {
    let named = leaf.subject_alternative_name().ok().flatten();
    for name in named.into_iter().flat_map(|of| &of.value.general_names) {
        let GeneralName::DNSName(name) = name else { continue };
        let faults = [
            (name.is_empty(), "leaf certificate should not contain empty DNSName"),
            (name.contains(".."), "leaf certificate's DNSName should not contain '..'"),
            (
                name.starts_with('.') || name.ends_with('.'),
                "leaf certificate's DNSName should not start or end with '.'",
            ),
        ];
        for (_, detail) in faults.into_iter().filter(|(holds, _)| *holds) {
            errors.push(FieldError::invalid(path, *name, detail));
        }
    }
}

/// The times of the certificate, which the status repeats.
fn times(errors: &mut Errors, (status, leaf): (&Tree, &X509Certificate<'_>), request: &Object, path: &Path<'_>) {
    let of = |key: &str| text(status, key).parse::<Timestamp>().ok();
    let given = ["notBefore", "notAfter", "beginRefreshAt"].map(of);
    let consistent = "must be present and consistent with the issued certificate";
    let within = "must be present and in the range [notbefore+10min, notafter-10min]";
    for (key, detail) in [("notBefore", consistent), ("notAfter", consistent), ("beginRefreshAt", within)] {
        if of(key).is_none() {
            errors.push(FieldError::required(&path.child(key), detail));
        }
    }
    let [Some(begin), Some(end), Some(refresh)] = given else { return };
    let mut refuse = |key: &str, detail: String| {
        errors.push(FieldError::invalid(&path.child(key), text(status, key), detail));
    };
    let validity = leaf.validity();
    let lifetime = validity.not_after.timestamp() - validity.not_before.timestamp();
    let most = request.int_at(&["spec", "maxExpirationSeconds"]).unwrap_or(0);
    if begin.as_second() != validity.not_before.timestamp() {
        refuse("notBefore", "must be set to the NotBefore time encoded in the leaf certificate".to_owned());
    } else if end.as_second() != validity.not_after.timestamp() {
        refuse("notAfter", "must be set to the NotAfter time encoded in the leaf certificate".to_owned());
    } else if lifetime < HOUR_SECONDS || lifetime > most {
        let detail = match lifetime < HOUR_SECONDS {
            true => "leaf certificate lifetime must be >= 1 hour".to_owned(),
            false => format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})"),
        };
        let nanoseconds = lifetime.saturating_mul(1_000_000_000);
        errors.push(FieldError::invalid(&path.child("certificateChain"), nanoseconds, detail));
    } else if refresh < begin + REFRESH_MARGIN {
        refuse("beginRefreshAt", "must be at least 10 minutes after status.notBefore".to_owned());
    } else if refresh > end - REFRESH_MARGIN {
        refuse("beginRefreshAt", "must be at least 10 minutes before status.notAfter".to_owned());
    }
}
