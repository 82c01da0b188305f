//! Validation of FlowSchemas, in upstream's order and words.

use serde_json::Value;

use super::priority_level_validation::{differs, fixed_spec};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, Shown};
use crate::api::validation::names::{dns1123_label, dns1123_subdomain};
use crate::resources::check::messages;
use crate::resources::tree::{Tree, child, count, int, is_set, items, text, texts};

const SPEC: &str = "io.k8s.api.flowcontrol.v1.FlowSchemaSpec";
const PRECEDENCE_MAX: i64 = 10_000;
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
/// Kinds of subjects with the fields that say more of them.
const SUBJECTS: [(&str, &str); 3] = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];

/// A FlowSchema, new or changed.
pub(super) fn validate(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(object.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    precedence(&mut errors, object.name(), int(spec, "matchingPrecedence").unwrap_or(0), &path);
    if let Some(method) = child(spec, "distinguisherMethod") {
        let at = path.child("distinguisherMethod");
        if !["ByNamespace", "ByUser"].contains(&text(method, "type")) {
            let error = FieldError::not_supported(&at.child("type"), method.clone(), &["ByNamespace", "ByUser"]);
            errors.push(error.shown(Shown::As("io.k8s.api.flowcontrol.v1.FlowDistinguisherMethod")));
        }
    }
    let level = child(spec, "priorityLevelConfiguration").map_or("", |level| text(level, "name"));
    let at = path.child("priorityLevelConfiguration");
    if level.is_empty() {
        errors.push(FieldError::required(&at.child("name"), "must reference a priority level"));
    } else {
        messages(&mut errors, &at.child("name"), level, dns1123_subdomain(level));
    }
    let rules = path.child("rules");
    for (i, rule) in items(spec, "rules").enumerate() {
        validate_rule(&mut errors, rule, &rules.index(i));
    }
    if let Some(fixed) = fixed_spec("FlowSchema", object.name()).filter(|fixed| differs(spec, fixed)) {
        drop(fixed);
        let detail = format!("spec of '{}' must equal the fixed value", object.name());
        errors.push(FieldError::invalid(&path, spec.clone(), detail).shown(Shown::As(SPEC)));
    }
    errors.extend(conditions(object));
    errors
}

/// The conditions of a status: each type once.
pub(super) fn conditions(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let status = child(object.root(), "status").unwrap_or(&empty);
    let path = Path::new("status");
    let list = path.child("conditions");
    let mut seen: Vec<&str> = Vec::new();
    for (i, condition) in items(status, "conditions").enumerate() {
        let at = list.index(i);
        let kind = text(condition, "type");
        if seen.contains(&kind) {
            errors.push(FieldError::duplicate(&at.child("type"), kind));
        }
        seen.push(kind);
        if kind.is_empty() {
            errors.push(FieldError::required(&at.child("type"), ""));
        }
    }
    errors
}

fn precedence(errors: &mut Errors, name: &str, value: i64, path: &Path<'_>) {
    let at = path.child("matchingPrecedence");
    let faults = [
        (value <= 0, "must be a positive value".to_owned()),
        (value > PRECEDENCE_MAX, format!("must not be greater than {PRECEDENCE_MAX}")),
        (value == 1 && name != "exempt", "only the schema named 'exempt' may have matchingPrecedence 1".to_owned()),
    ];
    for (_, detail) in faults.into_iter().filter(|(holds, _)| *holds) {
        errors.push(FieldError::invalid(&at, value, detail));
    }
}

fn validate_rule(errors: &mut Errors, rule: &Tree, path: &Path<'_>) {
    let subjects = path.child("subjects");
    if count(rule, "subjects") == 0 {
        errors.push(FieldError::required(&subjects, "subjects must contain at least one value"));
    }
    for (i, subject) in items(rule, "subjects").enumerate() {
        validate_subject(errors, subject, &subjects.index(i));
    }
    if count(rule, "resourceRules") == 0 && count(rule, "nonResourceRules") == 0 {
        let detail = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path, detail));
    }
    let list = path.child("resourceRules");
    for (i, rule) in items(rule, "resourceRules").enumerate() {
        resource_rule(errors, rule, &list.index(i));
    }
    let list = path.child("nonResourceRules");
    for (i, rule) in items(rule, "nonResourceRules").enumerate() {
        non_resource_rule(errors, rule, &list.index(i));
    }
}

fn validate_subject(errors: &mut Errors, subject: &Tree, path: &Path<'_>) {
    let kind = text(subject, "kind");
    let Some((_, own)) = SUBJECTS.iter().find(|(name, _)| *name == kind) else {
        return errors.push(FieldError::not_supported(&path.child("kind"), kind, &["Group", "ServiceAccount", "User"]));
    };
    let at = path.child(own);
    match child(subject, own) {
        None => errors.push(FieldError::required(&at, format!("{own} is required when subject kind is '{kind}'"))),
        Some(named) => {
            let name = text(named, "name");
            if name.is_empty() {
                errors.push(FieldError::required(&at.child("name"), ""));
            } else if *own == "serviceAccount" && name != "*" {
                messages(errors, &at.child("name"), name, dns1123_subdomain(name));
            }
            let namespace = text(named, "namespace");
            if *own == "serviceAccount" && namespace.is_empty() {
                errors.push(FieldError::required(&at.child("namespace"), "must specify namespace for service account"));
            } else if *own == "serviceAccount" {
                messages(errors, &at.child("namespace"), namespace, dns1123_label(namespace));
            }
        }
    }
    for (other, field) in SUBJECTS.iter().filter(|(other, field)| *other != kind && is_set(subject, field)) {
        let detail = format!("{field} is forbidden when subject kind is not '{other}'");
        errors.push(FieldError::forbidden(&path.child(field), detail));
    }
}

fn verbs(errors: &mut Errors, rule: &Tree, path: &Path<'_>) {
    let at = path.child("verbs");
    let given: Vec<&str> = texts(rule, "verbs").collect();
    if given.is_empty() {
        errors.push(FieldError::required(&at, "verbs must contain at least one value"));
    } else if given.contains(&"*") {
        alone(errors, rule, ("verbs", "verbs"), path);
    } else if given.iter().any(|verb| !VERBS.contains(verb)) {
        errors.push(FieldError::not_supported(&at, Value::from(given), &VERBS));
    }
}

/// A star stands alone.
fn alone(errors: &mut Errors, rule: &Tree, (key, words): (&str, &str), path: &Path<'_>) {
    if count(rule, key) > 1 && texts(rule, key).any(|text| text == "*") {
        let given: Vec<&str> = texts(rule, key).collect();
        let detail = format!("if '*' is present, must not specify other {words}");
        errors.push(FieldError::invalid(&path.child(key), Value::from(given), detail));
    }
}

fn resource_rule(errors: &mut Errors, rule: &Tree, path: &Path<'_>) {
    verbs(errors, rule, path);
    for (key, words, one) in [("apiGroups", "api groups", "api group"), ("resources", "resources", "resource")] {
        if count(rule, key) == 0 {
            let detail = format!("resource rules must supply at least one {one}");
            errors.push(FieldError::required(&path.child(key), detail));
        }
        alone(errors, rule, (key, words), path);
    }
    let at = path.child("namespaces");
    if count(rule, "namespaces") == 0 && rule.get("clusterScope") != Some(&Value::Bool(true)) {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(FieldError::required(&at, detail));
    } else if texts(rule, "namespaces").any(|name| name == "*") {
        alone(errors, rule, ("namespaces", "namespaces"), path);
    } else {
        for (i, name) in texts(rule, "namespaces").enumerate() {
            let wrong = dns1123_label(name);
            let say = |message| format!("each member of this list must be '*' or a DNS-1123 label; {message}");
            messages(errors, &at.index(i), name, wrong.into_iter().map(say).collect());
        }
    }
}

fn non_resource_rule(errors: &mut Errors, rule: &Tree, path: &Path<'_>) {
    verbs(errors, rule, path);
    const KEY: &str = "nonResourceURLs";
    let at = path.child(KEY);
    if count(rule, KEY) == 0 {
        errors.push(FieldError::required(&at, "nonResourceURLs must contain at least one value"));
    } else if texts(rule, KEY).any(|url| url == "*") {
        alone(errors, rule, (KEY, "non-resource URLs"), path);
    } else {
        for (i, url) in texts(rule, KEY).enumerate() {
            errors.extend(url_fault(url).map(|detail| FieldError::invalid(&at.index(i), url, detail)));
        }
    }
}

fn url_fault(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !url.starts_with('/') => Some("must start with slash"),
        _ if url.contains(' ') => Some("must not contain white-space"),
        _ if url.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || stars == 1 && !url.ends_with("/*") => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}
