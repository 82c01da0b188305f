//! Validation of rules that choose requests, and of the selectors beside them, in upstream's order and words. Webhooks
//! and policies have them alike.

use serde_json::Value;

use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::validate_label_selector;
use crate::api::validation::names::path_segment_name;
use crate::resources::check::{choice, messages};
use crate::resources::tree::{Tree, count, is_set, items, text, texts};

/// Sorted, as messages list them.
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const MUTABLE: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
pub(super) const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];

/// `matchConstraints` or `matchResources`.
pub(super) fn validate_match(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    if is_set(given, "matchPolicy") {
        choice(errors, text(given, "matchPolicy"), &path.child("matchPolicy"), &MATCH_POLICIES);
    } else {
        errors.push(FieldError::required(&path.child("matchPolicy"), ""));
    }
    for key in ["namespaceSelector", "objectSelector"] {
        match given.get(key).filter(|selector| !selector.is_null()) {
            Some(selector) => errors.extend(validate_label_selector(selector, &path.child(key))),
            None => errors.push(FieldError::required(&path.child(key), "")),
        }
    }
    for key in ["resourceRules", "excludeResourceRules"] {
        let list = path.child(key);
        for (i, rule) in items(given, key).enumerate() {
            let at = list.index(i);
            resource_names(errors, rule, &at.child("resourceNames"));
            validate_rule(errors, rule, &at);
        }
    }
}

/// Nothing can be changed in what is deleted.
pub(super) fn mutable_operations(errors: &mut Errors, given: &Tree, path: &Path<'_>) {
    let rules = path.child("resourceRules");
    for operation in items(given, "resourceRules").flat_map(|rule| texts(rule, "operations")) {
        choice(errors, operation, &rules.child("operations"), &MUTABLE);
    }
}

fn resource_names(errors: &mut Errors, rule: &Tree, path: &Path<'_>) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, name) in texts(rule, "resourceNames").enumerate() {
        messages(errors, &path.index(i), name, path_segment_name(name));
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(&path.index(i), name));
        }
        seen.push(name);
    }
}

/// A rule with its operations.
pub(super) fn validate_rule(errors: &mut Errors, rule: &Tree, path: &Path<'_>) {
    let operations = path.child("operations");
    if count(rule, "operations") == 0 {
        errors.push(FieldError::required(&operations, ""));
    }
    alone(errors, rule, ("operations", "operations"), path);
    for (i, operation) in texts(rule, "operations").enumerate() {
        choice(errors, operation, &operations.index(i), &OPERATIONS);
    }
    for (key, words) in [("apiGroups", "API groups"), ("apiVersions", "API versions")] {
        if count(rule, key) == 0 {
            errors.push(FieldError::required(&path.child(key), ""));
        }
        alone(errors, rule, (key, words), path);
    }
    let versions = path.child("apiVersions");
    for (i, _) in texts(rule, "apiVersions").enumerate().filter(|(_, version)| version.is_empty()) {
        errors.push(FieldError::required(&versions.index(i), ""));
    }
    resources(errors, rule, &path.child("resources"));
    if is_set(rule, "scope") {
        choice(errors, text(rule, "scope"), &path.child("scope"), &SCOPES);
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

/// Resources and subresources; no star may say what another entry says as well.
fn resources(errors: &mut Errors, rule: &Tree, path: &Path<'_>) {
    let given: Vec<&str> = texts(rule, "resources").collect();
    if given.is_empty() {
        errors.push(FieldError::required(path, ""));
    }
    let (mut all_of, mut everywhere): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut plain = false;
    for (i, entry) in given.iter().enumerate() {
        if entry.is_empty() {
            errors.push(FieldError::required(&path.index(i), ""));
            continue;
        }
        let Some((resource, sub)) = entry.split_once('/') else {
            plain = *entry != "*";
            continue;
        };
        if all_of.contains(&resource) {
            let detail = format!("if '{resource}/*' is present, must not specify {entry}");
            errors.push(FieldError::invalid(&path.index(i), *entry, detail));
        }
        if everywhere.contains(&sub) {
            let detail = format!("if '*/{sub}' is present, must not specify {entry}");
            errors.push(FieldError::invalid(&path.index(i), *entry, detail));
        }
        if sub == "*" {
            all_of.push(resource);
        }
        if resource == "*" {
            everywhere.push(sub);
        }
    }
    let mut refuse = |detail: &str| errors.push(FieldError::invalid(path, Value::from(given.clone()), detail));
    if given.len() > 1 && given.contains(&"*/*") {
        refuse("if '*/*' is present, must not specify other resources");
    }
    if plain && given.contains(&"*") {
        refuse("if '*' is present, must not specify other resources without subresources");
    }
}
