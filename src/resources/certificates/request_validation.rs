//! Validation of CertificateSigningRequests, in upstream's order and words. What an object has already, an update may
//! keep.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use super::signer_name;
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, go_quote};
use crate::resources::check::choice;
use crate::resources::tree::{Tree, int, list, text, texts};

const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";
const EXPIRATION_SECONDS_MIN: i64 = 600;
const DECISIONS: [&str; 2] = ["Approved", "Denied"];
const OUTCOMES: [&str; 3] = ["Approved", "Denied", "Failed"];
/// Sorted, as messages list them.
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// Which part of a request is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Main,
    Status,
    Approval,
}

/// A new request.
pub(super) fn validate(request: &Object) -> Errors {
    checked(request, None)
}

/// A changed request: decisions and the certificate are written through parts of their own, and never taken back.
pub(super) fn validate_update((new, old): (&Object, &Object), written: Written) -> Errors {
    let mut errors = checked(new, Some(old));
    let status = Path::new("status");
    let path = status.child("conditions");
    for kind in OUTCOMES {
        if of_type(new, kind).len() < of_type(old, kind).len() {
            let detail = format!("updates may not remove a condition of type {}", go_quote(kind));
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    for kind in DECISIONS.into_iter().filter(|_| written != Written::Approval) {
        let (now, before) = (of_type(new, kind), of_type(old, kind));
        let how = match now.len().cmp(&before.len()) {
            std::cmp::Ordering::Greater => "add",
            std::cmp::Ordering::Equal if now != before => "modify",
            std::cmp::Ordering::Equal | std::cmp::Ordering::Less => continue,
        };
        let detail = format!("updates may not {how} a condition of type {}", go_quote(kind));
        errors.push(FieldError::forbidden(&path, detail));
    }
    let before = certificate(old);
    if certificate(new) != before {
        let at = status.child("certificate");
        if written != Written::Status {
            errors.push(FieldError::forbidden(&at, "updates may not set certificate content"));
        } else if !before.is_empty() {
            errors.push(FieldError::forbidden(&at, "updates may not modify existing certificate content"));
        }
    }
    let decided = |request: &Object| DECISIONS.map(|kind| !of_type(request, kind).is_empty());
    if decided(new) == [true; 2] && decided(old) != [true; 2] {
        let [approved, denied] = DECISIONS.map(|kind| format!("conditions[{{\"type\": {}}}]", go_quote(kind)));
        let detail = format!("must specify at most one of: `{approved}`, `{denied}`");
        errors.push(FieldError::invalid(&path, format!("{{{approved}, {denied}}}"), detail));
    }
    errors
}

fn of_type<'a>(request: &'a Object, kind: &str) -> Vec<&'a Tree> {
    list(request, &["status", "conditions"]).filter(|condition| text(condition, "type") == kind).collect()
}

fn certificate(request: &Object) -> &str {
    request.text_at(&["status", "certificate"])
}

fn usages(request: &Object) -> Vec<&str> {
    request.get(&["spec"]).and_then(Value::as_object).into_iter().flat_map(|spec| texts(spec, "usages")).collect()
}

fn repeats(values: &[&str]) -> bool {
    values.iter().enumerate().any(|(i, value)| values[..i].contains(value))
}

fn checked(request: &Object, old: Option<&Object>) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    if let Some(fault) = request_fault(request.text_at(&["spec", "request"])) {
        let given = request.get(&["spec", "request"]).cloned().unwrap_or(Value::Null);
        errors.push(FieldError::invalid(&path.child("request"), given, fault));
    }
    validate_usages(&mut errors, request, old, &path.child("usages"));
    let signer = request.text_at(&["spec", "signerName"]);
    let was_legacy = old.is_some_and(|old| old.text_at(&["spec", "signerName"]) == LEGACY_SIGNER);
    let at = path.child("signerName");
    if signer == LEGACY_SIGNER && !was_legacy {
        errors.push(FieldError::invalid(&at, signer, "the legacy signerName is not allowed via this API version"));
    } else {
        signer_name::validate(&mut errors, signer, &at);
    }
    let seconds = request.get(&["spec"]).and_then(Value::as_object).and_then(|spec| int(spec, "expirationSeconds"));
    if let Some(seconds) = seconds.filter(|seconds| *seconds < EXPIRATION_SECONDS_MIN) {
        let detail = "may not specify a duration less than 600 seconds (10 minutes)";
        errors.push(FieldError::invalid(&path.child("expirationSeconds"), seconds, detail));
    }
    conditions(&mut errors, request, old);
    let same = old.is_some_and(|old| certificate(old) == certificate(request));
    let was_arbitrary = || old.is_some_and(|old| certificate_fault(certificate(old)).is_some());
    if let Some(fault) = certificate_fault(certificate(request)).filter(|_| !same && !was_arbitrary()) {
        let status = Path::new("status");
        errors.push(FieldError::invalid(&status.child("certificate"), "<certificate data>", fault));
    }
    errors
}

fn validate_usages(errors: &mut Errors, request: &Object, old: Option<&Object>, path: &Path<'_>) {
    let given = usages(request);
    let before = old.map(usages).unwrap_or_default();
    if given.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    if before.iter().all(|usage| USAGES.contains(usage)) {
        for (i, usage) in given.iter().enumerate() {
            choice(errors, usage, &path.index(i), &USAGES);
        }
    }
    if !repeats(&before) {
        for (i, usage) in given.iter().enumerate().filter(|(i, usage)| given[..*i].contains(usage)) {
            errors.push(FieldError::duplicate(&path.index(i), *usage));
        }
    }
}

fn conditions(errors: &mut Errors, request: &Object, old: Option<&Object>) {
    let status = Path::new("status");
    let path = status.child("conditions");
    let before: Vec<&str> =
        old.into_iter().flat_map(|old| list(old, &["status", "conditions"])).map(|c| text(c, "type")).collect();
    let mut seen: Vec<&str> = Vec::new();
    for (i, condition) in list(request, &["status", "conditions"]).enumerate() {
        let at = path.index(i);
        let (kind, value) = (text(condition, "type"), text(condition, "status"));
        if kind.is_empty() && !before.contains(&"") {
            errors.push(FieldError::required(&at.child("type"), ""));
        }
        if value.is_empty() {
            errors.push(FieldError::required(&at.child("status"), ""));
        } else if OUTCOMES.contains(&kind) {
            choice(errors, value, &at.child("status"), &["True"]);
        } else {
            choice(errors, value, &at.child("status"), &["False", "True", "Unknown"]);
        }
        if seen.contains(&kind) && !repeats(&before) {
            errors.push(FieldError::duplicate(&at.child("type"), kind));
        }
        seen.push(kind);
    }
}

/// The blocks of a text in base64.
fn blocks(encoded: &str) -> Vec<Pem> {
    let text = BASE64.decode(encoded).unwrap_or_default();
    Pem::iter_from_buffer(&text).map_while(Result::ok).collect()
}

fn request_fault(encoded: &str) -> Option<&'static str> {
    let blocks = blocks(encoded);
    let Some(block) = blocks.first().filter(|block| block.label == "CERTIFICATE REQUEST") else {
        return Some("PEM block type must be CERTIFICATE REQUEST");
    };
    match X509CertificationRequest::from_der(&block.contents) {
        Ok(([], request)) => request.verify_signature().err().map(|_| "crypto/rsa: verification error"),
        Ok(_) => Some("asn1: syntax error: trailing data"),
        Err(_) => Some("asn1: structure error: malformed certificate request"),
    }
}

fn certificate_fault(encoded: &str) -> Option<String> {
    if encoded.is_empty() {
        return None;
    }
    let blocks = blocks(encoded);
    if blocks.is_empty() {
        return Some("must contain at least one CERTIFICATE PEM block".to_owned());
    }
    blocks.iter().find_map(|block| {
        if block.label != "CERTIFICATE" {
            return Some(format!("only CERTIFICATE PEM blocks are allowed, found {}", go_quote(&block.label)));
        }
        x509_parser::parse_x509_certificate(&block.contents).err().map(|_| "x509: malformed certificate".to_owned())
    })
}
