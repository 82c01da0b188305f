//! Where a pod wants to run: near nodes, near other pods or away from them.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::sub;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::validate_label_selector;
use crate::api::validation::metadata::label_key;
use crate::api::validation::names;
use crate::resources::check::{dns_label, dns_subdomain, messages};
use crate::resources::tree::{Tree, child, count, int, is_set, items, text, texts};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const BAD_OPERATOR: &str = "not a valid selector operator";

/// `affinity` of a spec.
pub(super) fn validate(errors: &mut Errors, affinity: &Tree, path: &Path<'_>) {
    nodes(errors, sub(affinity, "nodeAffinity"), &path.child("nodeAffinity"));
    for key in ["podAffinity", "podAntiAffinity"] {
        pods(errors, sub(affinity, key), &path.child(key));
    }
}

fn nodes(errors: &mut Errors, affinity: &Tree, path: &Path<'_>) {
    if let Some(selector) = child(affinity, REQUIRED) {
        validate_node_selector(errors, selector, &path.child(REQUIRED));
    }
    let list = path.child(PREFERRED);
    for (i, preferred) in items(affinity, PREFERRED).enumerate() {
        let at = list.index(i);
        weight(errors, preferred, &at);
        // Values are not checked: a preference that can never be met has always been accepted.
        node_term(errors, sub(preferred, "preference"), false, &at.child("preference"));
    }
}

/// Terms of which a node must fit one.
pub(in crate::resources) fn validate_node_selector(errors: &mut Errors, selector: &Tree, path: &Path<'_>) {
    let list = path.child("nodeSelectorTerms");
    if count(selector, "nodeSelectorTerms") == 0 {
        errors.push(FieldError::required(&list, "must have at least one node selector term"));
    }
    for (i, term) in items(selector, "nodeSelectorTerms").enumerate() {
        node_term(errors, term, true, &list.index(i));
    }
}

fn weight(errors: &mut Errors, term: &Tree, path: &Path<'_>) {
    let weight = int(term, "weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(&path.child("weight"), weight, "must be in the range 1-100"));
    }
}

fn node_term(errors: &mut Errors, term: &Tree, check_values: bool, path: &Path<'_>) {
    let list = path.child("matchExpressions");
    for (i, requirement) in items(term, "matchExpressions").enumerate() {
        node_requirement(errors, requirement, check_values, &list.index(i));
    }
    let list = path.child("matchFields");
    for (i, requirement) in items(term, "matchFields").enumerate() {
        node_field(errors, requirement, &list.index(i));
    }
}

fn node_requirement(errors: &mut Errors, requirement: &Tree, check_values: bool, path: &Path<'_>) {
    let (operator, number, values) =
        (text(requirement, "operator"), count(requirement, "values"), path.child("values"));
    match operator {
        "In" | "NotIn" if number == 0 => {
            errors.push(FieldError::required(&values, "must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if number > 0 => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&values, detail));
        }
        "Gt" | "Lt" if number != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(&values, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        _ => errors.push(FieldError::invalid(&path.child("operator"), operator, BAD_OPERATOR)),
    }
    label_key(text(requirement, "key"), &path.child("key"), errors);
    if check_values {
        for (i, value) in texts(requirement, "values").enumerate() {
            messages(errors, &values.index(i), value, names::label_value(value));
        }
    }
}

fn node_field(errors: &mut Errors, requirement: &Tree, path: &Path<'_>) {
    let (operator, key, values) = (text(requirement, "operator"), text(requirement, "key"), path.child("values"));
    match operator {
        "In" | "NotIn" if count(requirement, "values") != 1 => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(&values, detail));
        }
        "In" | "NotIn" => {}
        _ => errors.push(FieldError::invalid(&path.child("operator"), operator, BAD_OPERATOR)),
    }
    if key != "metadata.name" {
        errors.push(FieldError::invalid(&path.child("key"), key, "not a valid field selector key"));
        return;
    }
    for (i, value) in texts(requirement, "values").enumerate() {
        dns_subdomain(errors, value, &values.index(i));
    }
}

fn pods(errors: &mut Errors, affinity: &Tree, path: &Path<'_>) {
    let list = path.child(REQUIRED);
    for (i, term) in items(affinity, REQUIRED).enumerate() {
        pod_term(errors, term, &list.index(i));
    }
    let list = path.child(PREFERRED);
    for (i, preferred) in items(affinity, PREFERRED).enumerate() {
        let at = list.index(i);
        weight(errors, preferred, &at);
        pod_term(errors, sub(preferred, "podAffinityTerm"), &at.child("podAffinityTerm"));
    }
}

fn pod_term(errors: &mut Errors, term: &Tree, path: &Path<'_>) {
    for key in ["labelSelector", "namespaceSelector"] {
        if let Some(selector) = term.get(key).filter(|s| !s.is_null()) {
            errors.extend(validate_label_selector(selector, &path.child(key)));
        }
    }
    for namespace in texts(term, "namespaces") {
        dns_label(errors, namespace, &path.child("namespace"));
    }
    label_keys(errors, term, path);
    let (key, at) = (text(term, "topologyKey"), path.child("topologyKey"));
    if key.is_empty() {
        errors.push(FieldError::required(&at, "can not be empty"));
    }
    label_key(key, &at, errors);
}

/// `matchLabelKeys` and `mismatchLabelKeys`, which are already part of the selector when these rules run.
pub(super) fn label_keys(errors: &mut Errors, term: &Tree, path: &Path<'_>) {
    for list in ["matchLabelKeys", "mismatchLabelKeys"] {
        let at = path.child(list);
        if count(term, list) > 0 && !is_set(term, "labelSelector") {
            errors.push(FieldError::forbidden(&at, "must not be specified when labelSelector is not set"));
            continue;
        }
        for (i, key) in texts(term, list).enumerate() {
            label_key(key, &at.index(i), errors);
        }
    }
    let wanted: HashMap<&str, usize> = texts(term, "matchLabelKeys").enumerate().map(|(i, key)| (key, i)).collect();
    let selector = sub(term, "labelSelector");
    let mut seen: HashSet<&str> = sub(selector, "matchLabels").keys().map(String::as_str).collect();
    for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
        if !seen.insert(key)
            && let Some(i) = wanted.get(key)
        {
            let detail = "exists in both matchLabelKeys and labelSelector";
            errors.push(FieldError::invalid(&path.index(*i), key, detail));
        }
    }
    let unwanted: HashSet<&str> = texts(term, "mismatchLabelKeys").collect();
    let at = path.child("matchLabelKeys");
    for (i, key) in texts(term, "matchLabelKeys").enumerate().filter(|(_, key)| unwanted.contains(key)) {
        let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
        errors.push(FieldError::invalid(&at.index(i), key, detail));
    }
}
