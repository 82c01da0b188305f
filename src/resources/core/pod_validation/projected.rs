//! Volumes that are put together from several sources.

use std::collections::HashSet;

use serde_json::Value;

use super::mounts::not_reserved;
use super::volumes::{downward_file, key_to_path};
use super::{security, signers};
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::validate_label_selector;
use crate::resources::certificates::signer_name;
use crate::resources::check::{choice, invalid_as};
use crate::resources::go_print::LABEL_SELECTOR;
use crate::resources::tree::{Tree, child, int, is_set, items, text};

const DOUBLED: &str = "conflicting duplicate paths";
const KEY_TYPES: [&str; 6] = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
const BUNDLE: &str = "io.k8s.api.core.v1.ClusterTrustBundleProjection";
const CERTIFICATE_SECONDS_MIN: i64 = 3600;
const CERTIFICATE_SECONDS_MAX: i64 = 91 * 24 * 60 * 60;
/// Of signers that the project itself keeps.
const OWN_SECONDS_MAX: i64 = 24 * 60 * 60;
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;

/// `sources` of a projected volume.
pub(super) fn sources<'a>(errors: &mut Errors, volume: &'a Tree, path: &Path<'_>) {
    let list = path.child("sources");
    let mut seen: HashSet<&'a str> = HashSet::new();
    for (i, source) in items(volume, "sources").enumerate() {
        let at = list.index(i);
        let mut number = 0;
        for key in ["secret", "configMap"] {
            let Some(given) = child(source, key) else { continue };
            number += 1;
            keys(errors, given, &mut seen, (&at.child(key), path));
        }
        if let Some(given) = child(source, "downwardAPI") {
            number += 1;
            for file in items(given, "items") {
                downward_file(errors, file, &at.child("downwardAPI"));
                unique(errors, text(file, "path"), (text(file, "path"), &mut seen), path);
            }
        }
        if let Some(given) = child(source, "serviceAccountToken") {
            number += 1;
            token(errors, given, &at.child("serviceAccountToken"), path);
        }
        if let Some(given) = child(source, "clusterTrustBundle") {
            number += 1;
            trust_bundle(errors, given, &at.child("clusterTrustBundle"));
            let file = text(given, "path");
            if !seen.insert(file) {
                errors.push(FieldError::invalid(path, file, DOUBLED));
            }
        }
        if let Some(given) = child(source, "podCertificate") {
            number += 1;
            certificate(errors, given, &mut seen, (&at.child("podCertificate"), path));
        }
        if number > 1 {
            errors.push(FieldError::forbidden(&at, "may not specify more than 1 volume type per source"));
        }
    }
}

/// A file that no other source makes; `value` is what the error shows.
fn unique<'a>(errors: &mut Errors, file: &'a str, (value, seen): (&str, &mut HashSet<&'a str>), path: &Path<'_>) {
    if !file.is_empty() && !seen.insert(file) {
        errors.push(FieldError::invalid(path, value, DOUBLED));
    }
}

fn keys<'a>(errors: &mut Errors, given: &'a Tree, seen: &mut HashSet<&'a str>, (at, path): (&Path<'_>, &Path<'_>)) {
    if text(given, "name").is_empty() {
        errors.push(FieldError::required(&at.child("name"), ""));
    }
    let list = at.child("items");
    for (i, item) in items(given, "items").enumerate() {
        key_to_path(errors, item, &list.index(i));
        unique(errors, text(item, "path"), (text(given, "name"), seen), path);
    }
}

fn token(errors: &mut Errors, given: &Tree, at: &Path<'_>, path: &Path<'_>) {
    let seconds_path = at.child("expirationSeconds");
    match int(given, "expirationSeconds") {
        None => errors.push(FieldError::required(&seconds_path, "")),
        Some(seconds) if seconds < TOKEN_SECONDS_MIN => {
            let detail = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(&seconds_path, seconds, detail));
        }
        Some(seconds) if seconds > TOKEN_SECONDS_MAX => {
            let detail = "may not specify a duration larger than 2^32 seconds";
            errors.push(FieldError::invalid(&seconds_path, seconds, detail));
        }
        Some(_) => {}
    }
    match text(given, "path") {
        "" => errors.push(FieldError::required(&path.child("path"), "")),
        file => not_reserved(errors, file, &path.child("path")),
    }
    security::id(errors, int(given, "user"), &at.child("user"));
}

fn trust_bundle(errors: &mut Errors, given: &Tree, at: &Path<'_>) {
    let selector = given.get("labelSelector").filter(|s| !s.is_null());
    match (given.get("name").and_then(Value::as_str), given.get("signerName").and_then(Value::as_str)) {
        (Some(_), Some(_)) => {
            let value = Value::Object(given.clone());
            errors.push(invalid_as(at, value, BUNDLE, "only one of name and signerName may be used"));
        }
        (Some(name), None) => {
            if name.is_empty() {
                errors.push(FieldError::required(&at.child("name"), "must be a valid object name"));
            }
            signers::bundle_name(errors, name, &at.child("name"));
            if let Some(selector) = selector {
                let detail = "labelSelector must be unset if name is specified";
                errors.push(invalid_as(&at.child("labelSelector"), selector.clone(), LABEL_SELECTOR, detail));
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                errors.push(FieldError::required(&at.child("signerName"), "must be a valid signer name"));
            }
            signer_name::validate(errors, signer, &at.child("signerName"));
            if let Some(selector) = selector {
                errors.extend(validate_label_selector(selector, &at.child("labelSelector")));
            }
        }
        (None, None) => errors.push(FieldError::required(at, "either name or signerName must be specified")),
    }
    if text(given, "path").is_empty() {
        errors.push(FieldError::required(&at.child("path"), ""));
    }
    security::id(errors, int(given, "user"), &at.child("user"));
    not_reserved(errors, text(given, "path"), &at.child("path"));
}

fn certificate<'a>(
    errors: &mut Errors,
    given: &'a Tree,
    seen: &mut HashSet<&'a str>,
    (at, path): (&Path<'_>, &Path<'_>),
) {
    let signer = text(given, "signerName");
    signer_name::validate(errors, signer, &at.child("signerName"));
    if let Some(annotations) = child(given, "userAnnotations") {
        signers::user_annotations(errors, annotations, &at.child("userAnnotations"));
    }
    security::id(errors, int(given, "user"), &at.child("user"));
    choice(errors, text(given, "keyType"), &at.child("keyType"), &KEY_TYPES);
    let seconds_max = if signers::is_of_kubernetes(signer) { OWN_SECONDS_MAX } else { CERTIFICATE_SECONDS_MAX };
    if let Some(seconds) = int(given, "maxExpirationSeconds") {
        let mut refuse = |detail: String| {
            errors.push(FieldError::invalid(&at.child("maxExpirationSeconds"), seconds, detail));
        };
        if seconds < CERTIFICATE_SECONDS_MIN {
            refuse(format!("if provided, maxExpirationSeconds must be >= {CERTIFICATE_SECONDS_MIN}"));
        }
        if seconds > seconds_max {
            refuse(format!("if provided, maxExpirationSeconds must be <= {seconds_max}"));
        }
    }
    let files = ["credentialBundlePath", "keyPath", "certificateChainPath"];
    for key in files.into_iter().filter(|key| !text(given, key).is_empty()) {
        not_reserved(errors, text(given, key), &at.child(key));
        unique(errors, text(given, key), (text(given, key), seen), path);
    }
    if !files.iter().any(|key| is_set(given, key) && !text(given, key).is_empty()) {
        let detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        errors.push(FieldError::required(at, detail));
    }
}
