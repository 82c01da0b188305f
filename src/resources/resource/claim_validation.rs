//! Validation of what ResourceClaims and templates of them ask for, in upstream's order and words. What is declared is
//! not repeated: how many items lists have, and that they are different.

use super::device::{Age, CONFIGS_MAX, configuration, selectors, tolerations};
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::check::{dns_label, dns_subdomain};
use crate::resources::tree::{Tree, child, count, int, is_set, items, text, texts};

pub(super) const REQUESTS_MAX: usize = 32;
const CONSTRAINTS_MAX: usize = 32;
const ALTERNATIVES_MAX: usize = 8;

/// The spec of a claim.
pub(super) fn validate_spec(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    let empty = Tree::new();
    let devices = child(spec, "devices").unwrap_or(&empty);
    let path = path.child("devices");
    let list = path.child("requests");
    if count(devices, "requests") <= REQUESTS_MAX {
        for (i, request) in items(devices, "requests").enumerate() {
            validate_request(errors, request, &list.index(i));
        }
    }
    let list = path.child("constraints");
    if count(devices, "constraints") <= CONSTRAINTS_MAX {
        for (i, constraint) in items(devices, "constraints").enumerate() {
            validate_constraint(errors, constraint, devices, &list.index(i));
        }
    }
    let list = path.child("config");
    if count(devices, "config") <= CONFIGS_MAX {
        for (i, config) in items(devices, "config").enumerate() {
            let at = list.index(i);
            references(errors, config, devices, &at);
            configuration(errors, config, &at, Age::New);
        }
    }
}

fn validate_request(errors: &mut Errors, request: &Tree, path: &Path<'_>) {
    dns_label(errors, text(request, "name"), &path.child("name"));
    let alternatives = count(request, "firstAvailable");
    match (child(request, "exactly"), alternatives) {
        (None, 0) => {
            errors.push(FieldError::required(path, "exactly one of `exactly` or `firstAvailable` is required"));
        }
        (Some(_), 1..) => {
            let detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set";
            errors.push(FieldError::invalid(path, serde_json::Value::Null, detail));
        }
        (Some(exactly), 0) => {
            let at = path.child("exactly");
            let class = text(exactly, "deviceClassName");
            if class.is_empty() {
                errors.push(FieldError::required(&at.child("deviceClassName"), ""));
            } else {
                dns_subdomain(errors, class, &at.child("deviceClassName"));
            }
            amounts(errors, exactly, &at);
        }
        (None, _) if alternatives <= ALTERNATIVES_MAX => {
            let list = path.child("firstAvailable");
            for (i, alternative) in items(request, "firstAvailable").enumerate() {
                let at = list.index(i);
                dns_label(errors, text(alternative, "name"), &at.child("name"));
                amounts(errors, alternative, &at);
            }
        }
        (None, _) => {}
    }
}

/// What a request and an alternative of one have in common.
fn amounts(errors: &mut Errors, request: &Tree, path: &Path<'_>) {
    selectors(errors, request, path, Age::New);
    let (number, at) = (int(request, "count").unwrap_or(0), path.child("count"));
    match text(request, "allocationMode") {
        "All" if number != 0 => {
            errors.push(FieldError::invalid(&at, number, "must not be specified when allocationMode is 'All'"));
        }
        "ExactCount" if number <= 0 => errors.push(FieldError::invalid(&at, number, "must be greater than zero")),
        _ => {}
    }
    tolerations(errors, request, path);
}

fn validate_constraint(errors: &mut Errors, constraint: &Tree, devices: &Tree, path: &Path<'_>) {
    references(errors, constraint, devices, path);
    if !is_set(constraint, "matchAttribute") && !is_set(constraint, "distinctAttribute") {
        // Upstream says this of none at all.
        let detail =
            "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set";
        errors.push(FieldError::required(path, detail));
    }
}

/// The names of requests in a list.
pub(super) fn references(errors: &mut Errors, holder: &Tree, devices: &Tree, path: &Path<'_>) {
    let list = path.child("requests");
    if count(holder, "requests") <= REQUESTS_MAX {
        for (i, name) in texts(holder, "requests").enumerate() {
            reference(errors, name, devices, &list.index(i));
        }
    }
}

/// The name of a request, or of one of its alternatives behind a slash.
pub(super) fn reference(errors: &mut Errors, name: &str, devices: &Tree, path: &Path<'_>) {
    const DETAIL: &str =
        "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
    let parts: Vec<&str> = name.split('/').collect();
    let known = match parts[..] {
        [request] => items(devices, "requests").any(|of| text(of, "name") == request),
        [request, alternative] => items(devices, "requests").any(|of| {
            text(of, "name") == request && items(of, "firstAvailable").any(|of| text(of, "name") == alternative)
        }),
        _ => return errors.push(FieldError::invalid(path, name, DETAIL)),
    };
    parts.iter().for_each(|part| dns_label(errors, part, path));
    if !known {
        errors.push(FieldError::invalid(path, name, DETAIL));
    }
}
