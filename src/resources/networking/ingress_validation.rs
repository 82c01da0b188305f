//! Validation of Ingresses, in upstream's order and words.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::ip::parse_ip;
use crate::api::validation::names::{
    self, dns1123_label, dns1123_subdomain, path_segment_name, port_name, port_number,
};
use crate::resources::check::{address, messages};
use crate::resources::tree::{Tree, child, count, int, is_set, items, text, texts};

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const NOT_AN_ADDRESS: &str = "must be a DNS name, not an IP address";
/// Sorted, as messages list them.
const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];

/// A new Ingress.
pub(super) fn validate(object: &Object) -> Errors {
    let mut errors = spec(object);
    let class = object.get(&["spec", "ingressClassName"]).and_then(Value::as_str);
    if let (Some(noted), Some(class)) = (object.annotation(CLASS_ANNOTATION), class)
        && noted != class
    {
        let annotations = Path::new("annotations");
        let detail = "must match `ingressClassName` when both are specified";
        errors.push(FieldError::invalid(&annotations.child(CLASS_ANNOTATION), noted, detail));
    }
    errors
}

/// A changed Ingress.
pub(super) fn validate_update(new: &Object) -> Errors {
    spec(new)
}

/// The status that a controller writes.
pub(super) fn validate_status(new: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    let balancer = |object: &Object| object.get(&["status", "loadBalancer"]).and_then(Value::as_object).cloned();
    let (new, old) = (balancer(new).unwrap_or_default(), balancer(old).unwrap_or_default());
    let known: Vec<&str> = items(&old, "ingress").map(|point| text(point, "ip")).collect();
    let path = Path::new("status.loadBalancer");
    let list = path.child("ingress");
    for (i, point) in items(&new, "ingress").enumerate() {
        let at = list.index(i);
        let (ip, host) = (text(point, "ip"), text(point, "hostname"));
        if !ip.is_empty() {
            address(&mut errors, ip, &at.child("ip"), &known);
        }
        if !host.is_empty() {
            messages(&mut errors, &at.child("hostname"), host, dns1123_subdomain(host));
            if parse_ip(host).is_some() {
                errors.push(FieldError::invalid(&at.child("hostname"), host, NOT_AN_ADDRESS));
            }
        }
    }
    errors
}

fn spec(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(object.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    if count(spec, "rules") == 0 && !is_set(spec, "defaultBackend") {
        let given = spec.get("rules").cloned().unwrap_or(Value::Null);
        errors.push(FieldError::invalid(&path, given, "either `defaultBackend` or `rules` must be specified"));
    }
    if let Some(backend) = child(spec, "defaultBackend") {
        validate_backend(&mut errors, backend, &path.child("defaultBackend"));
    }
    let rules = path.child("rules");
    for (i, rule) in items(spec, "rules").enumerate() {
        validate_rule(&mut errors, rule, &rules.index(i));
    }
    let list = path.child("tls");
    for (i, entry) in items(spec, "tls").enumerate() {
        let at = list.index(i);
        let hosts = at.child("hosts");
        for (i, host) in texts(entry, "hosts").enumerate() {
            host_name(&mut errors, host, &hosts.index(i));
        }
        let secret = text(entry, "secretName");
        if !secret.is_empty() {
            messages(&mut errors, &at.child("secretName"), secret, dns1123_subdomain(secret));
        }
    }
    if let Some(class) = spec.get("ingressClassName").and_then(Value::as_str) {
        messages(&mut errors, &path.child("ingressClassName"), class, dns1123_subdomain(class));
    }
    errors
}

fn host_name(errors: &mut Errors, host: &str, path: &Path<'_>) {
    let wrong = if host.contains('*') { names::wildcard_dns1123_subdomain(host) } else { dns1123_subdomain(host) };
    messages(errors, path, host, wrong);
}

fn validate_rule(errors: &mut Errors, rule: &Tree, path: &Path<'_>) {
    let host = text(rule, "host");
    if !host.is_empty() {
        let at = path.child("host");
        if parse_ip(host).is_some() {
            errors.push(FieldError::invalid(&at, host, NOT_AN_ADDRESS));
        }
        host_name(errors, host, &at);
    }
    let Some(http) = child(rule, "http") else { return };
    let at = path.child("http");
    let list = at.child("paths");
    if count(http, "paths") == 0 {
        errors.push(FieldError::required(&list, ""));
    }
    for (i, entry) in items(http, "paths").enumerate() {
        validate_path(errors, entry, &list.index(i));
    }
}

fn validate_path(errors: &mut Errors, entry: &Tree, path: &Path<'_>) {
    let Some(kind) = entry.get("pathType").and_then(Value::as_str) else {
        return errors.push(FieldError::required(&path.child("pathType"), "pathType must be specified"));
    };
    let (given, at) = (text(entry, "path"), path.child("path"));
    let mut refuse = |detail: String| errors.push(FieldError::invalid(&at, given, detail));
    let relative = !given.starts_with('/');
    match kind {
        "Exact" | "Prefix" => {
            if relative {
                refuse("must be an absolute path".to_owned());
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|part| given.contains(**part)) {
                refuse(format!("must not contain '{part}'"));
            }
            for end in ["/..", "/."].iter().filter(|end| given.ends_with(**end)) {
                refuse(format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" if relative && !given.is_empty() => refuse("must be an absolute path".to_owned()),
        "ImplementationSpecific" => {}
        other => errors.push(FieldError::not_supported(&path.child("pathType"), other, &PATH_TYPES)),
    }
    let empty = Tree::new();
    validate_backend(errors, child(entry, "backend").unwrap_or(&empty), &path.child("backend"));
}

fn validate_backend(errors: &mut Errors, backend: &Tree, path: &Path<'_>) {
    match (child(backend, "resource"), child(backend, "service")) {
        (Some(_), Some(_)) => {
            errors.push(FieldError::invalid(path, "", "cannot set both resource and service backends"));
        }
        (Some(resource), None) => reference(errors, resource, &path.child("resource")),
        (None, Some(service)) => validate_service(errors, service, path),
        (None, None) => errors.push(FieldError::invalid(path, "", "resource or service backend is required")),
    }
}

fn validate_service(errors: &mut Errors, service: &Tree, path: &Path<'_>) {
    let at = path.child("service");
    let name = text(service, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&at.child("name"), ""));
    } else {
        messages(errors, &at.child("name"), name, dns1123_label(name));
    }
    let empty = Tree::new();
    let port = child(service, "port").unwrap_or(&empty);
    let at = at.child("port");
    match (text(port, "name"), int(port, "number").unwrap_or(0)) {
        ("", 0) => errors.push(FieldError::required(path, "port name or number is required")),
        ("", number) => messages(errors, &at.child("number"), number, port_number(number)),
        (name, 0) => messages(errors, &at.child("name"), name, port_name(name)),
        (_, _) => errors.push(FieldError::invalid(path, "", "cannot set both port name & port number")),
    }
}

/// A reference to an object of any kind.
pub(super) fn reference(errors: &mut Errors, reference: &Tree, path: &Path<'_>) {
    if let Some(group) = reference.get("apiGroup").and_then(Value::as_str) {
        messages(errors, &path.child("apiGroup"), group, dns1123_subdomain(group));
    }
    for key in ["kind", "name"] {
        let value = text(reference, key);
        if value.is_empty() {
            errors.push(FieldError::required(&path.child(key), ""));
        } else {
            messages(errors, &path.child(key), json!(value), path_segment_name(value));
        }
    }
}
