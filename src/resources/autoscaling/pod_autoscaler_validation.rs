//! Validation of HorizontalPodAutoscalers, in upstream's order and words.

use serde_json::Value;

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::quantity::Quantity;
use crate::api::validation::names::path_segment_name;
use crate::resources::check::{choice, dns_label, messages, nonnegative, nonnegatives};
use crate::resources::core::resource_names::container_name;
use crate::resources::tree::{Tree, child, count, int, is_set, items, text};

const WINDOW_SECONDS_MAX: i64 = 3600;
const PERIOD_SECONDS_MAX: i64 = 1800;
/// Sorted, as messages list them.
const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
/// In the order in which upstream looks at them, each with its type.
const SOURCES: [(&str, &str); 5] = [
    ("object", "Object"),
    ("external", "External"),
    ("pods", "Pods"),
    ("resource", "Resource"),
    ("containerResource", "ContainerResource"),
];

/// An autoscaler, new or changed.
pub(super) fn validate(object: &Object, old: Option<&Object>) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(object.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    let (least, most) = (int(spec, "minReplicas"), int(spec, "maxReplicas").unwrap_or(0));
    let from_zero = old.is_some_and(|old| old.int_at(&["spec", "minReplicas"]) == Some(0));
    let bound = i64::from(!from_zero && !SCALES_TO_ZERO);
    if let Some(least) = least.filter(|least| *least < bound) {
        let detail = format!("must be greater than or equal to {bound}");
        errors.push(FieldError::invalid(&path.child("minReplicas"), least, detail));
    }
    let at = path.child("maxReplicas");
    if most == 0 {
        errors.push(FieldError::required(&at, "must be set and greater than 0"));
    } else if most < 0 {
        errors.push(FieldError::invalid(&at, most, "must be greater than or equal to 1"));
    }
    if least.is_some_and(|least| most < least) {
        errors.push(FieldError::invalid(&at, most, "must be greater than or equal to `minReplicas`"));
    }
    let target = child(spec, "scaleTargetRef").unwrap_or(&empty);
    reference(&mut errors, target, &path.child("scaleTargetRef"));
    target_version(&mut errors, target, old, &path.child("scaleTargetRef"));
    let before = old.and_then(|old| child(old.root(), "spec"));
    metrics(&mut errors, (spec, before), least, &path.child("metrics"));
    if let Some(behavior) = child(spec, "behavior") {
        let at = path.child("behavior");
        for key in ["scaleUp", "scaleDown"] {
            if let Some(rules) = child(behavior, key) {
                scaling_rules(&mut errors, rules, &at.child(key));
            }
        }
    }
    errors
}

/// Gate `HPAScaleToZero`.
const SCALES_TO_ZERO: bool = true;

/// The status that the controller writes.
pub(super) fn validate_status(new: &Object, _: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (status, path) = (child(new.root(), "status").unwrap_or(&empty), Path::new("status"));
    let list = path.child("conditions");
    for (i, condition) in items(status, "conditions").enumerate() {
        nonnegative(&mut errors, condition, "observedGeneration", &list.index(i));
    }
    nonnegatives(&mut errors, status, &["currentReplicas", "desiredReplicas"], &path);
    errors
}

fn named(errors: &mut Errors, tree: &Tree, key: &str, (path, required): (&Path<'_>, &str)) {
    let value = text(tree, key);
    if value.is_empty() {
        errors.push(FieldError::required(&path.child(key), required));
    } else {
        messages(errors, &path.child(key), value, path_segment_name(value));
    }
}

fn reference(errors: &mut Errors, reference: &Tree, path: &Path<'_>) {
    named(errors, reference, "kind", (path, ""));
    named(errors, reference, "name", (path, ""));
}

fn version_fault(reference: &Tree) -> Option<String> {
    let version = text(reference, "apiVersion");
    (version.matches('/').count() > 1).then(|| format!("unexpected GroupVersion string: {version}"))
}

/// What is scaled is of a group, if it is not of the one kind of the core group that scales. A version that was there
/// already is taken as it is.
fn target_version(errors: &mut Errors, target: &Tree, old: Option<&Object>, path: &Path<'_>) {
    let (version, kind) = (text(target, "apiVersion"), text(target, "kind"));
    let known = |key: &str| old.map(|old| old.text_at(&["spec", "scaleTargetRef", key]));
    if known("apiVersion") == Some(version) && known("kind") == Some(kind) {
        return;
    }
    let grouped = version.split_once('/').is_some_and(|(group, _)| !group.is_empty());
    let groupless = || "apiVersion must specify API group".to_owned();
    let fault = version_fault(target).or_else(|| (!grouped && kind != "ReplicationController").then(groupless));
    if let Some(detail) = fault {
        errors.push(FieldError::invalid(&path.child("apiVersion"), version, detail));
    }
}

fn metrics(errors: &mut Errors, (spec, old): (&Tree, Option<&Tree>), least: Option<i64>, path: &Path<'_>) {
    let described =
        |metric: &Tree| child(metric, "object").and_then(|object| child(object, "describedObject")).cloned();
    let of_object = |metric: &&Tree| text(metric, "type") == "Object";
    let wrong_before = old.is_some_and(|old| {
        items(old, "metrics").filter(of_object).filter_map(described).any(|object| version_fault(&object).is_some())
    });
    for (i, metric) in items(spec, "metrics").enumerate() {
        validate_metric(errors, metric, &path.index(i));
        if let (Some(object), false) = (described(metric), wrong_before)
            && let Some(detail) = version_fault(&object)
        {
            let at = path.index(i);
            let at = at.child("object");
            let at = at.child("describedObject");
            errors.push(FieldError::invalid(&at.child("apiVersion"), text(&object, "apiVersion"), detail));
        }
    }
    let outside = |metric: &Tree| matches!(text(metric, "type"), "Object" | "External");
    if least == Some(0) && !items(spec, "metrics").any(outside) {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(path, detail));
    }
}

fn validate_metric(errors: &mut Errors, metric: &Tree, path: &Path<'_>) {
    let kind = text(metric, "type");
    let at = path.child("type");
    if kind.is_empty() {
        errors.push(FieldError::required(&at, "must specify a metric source type"));
    }
    choice(errors, kind, &at, &TYPES);
    let present: Vec<&str> = SOURCES.iter().map(|(key, _)| *key).filter(|key| is_set(metric, key)).collect();
    if let Some(first) = present.first() {
        let empty = Tree::new();
        source(errors, first, child(metric, first).unwrap_or(&empty), &path.child(first));
    }
    let expected = SOURCES.iter().find(|(_, name)| *name == kind).map(|(key, _)| *key);
    match expected {
        None => choice(errors, kind, &at, &TYPES),
        Some(key) if !is_set(metric, key) => {
            let detail = "must populate information for the given metric source";
            errors.push(FieldError::required(&path.child(key), detail));
        }
        Some(_) => {}
    }
    if present.len() != 1 {
        for key in present.iter().filter(|key| Some(**key) != expected) {
            errors.push(FieldError::forbidden(&path.child(key), "must populate the given metric source only"));
        }
    }
}

fn source(errors: &mut Errors, key: &str, given: &Tree, path: &Path<'_>) {
    let empty = Tree::new();
    if key == "object" {
        reference(errors, child(given, "describedObject").unwrap_or(&empty), &path.child("describedObject"));
    }
    match key {
        "resource" | "containerResource" => resource_names(errors, key, given, path),
        _ => {
            let metric = child(given, "metric").unwrap_or(&empty);
            named(errors, metric, "name", (&path.child("metric"), "must specify a metric name"));
        }
    }
    let target = child(given, "target").unwrap_or(&empty);
    let at = path.child("target");
    validate_target(errors, target, &at);
    let set = |name: &str| is_set(target, name);
    let mut required = |name: &str, detail: &str| errors.push(FieldError::required(&at.child(name), detail));
    match key {
        "object" if !set("value") && !set("averageValue") => {
            required("averageValue", "must set either a target value or averageValue");
        }
        "external" if !set("value") && !set("averageValue") => {
            required("averageValue", "must set either a target value for metric or a per-pod target");
        }
        "external" if set("value") && set("averageValue") => {
            let detail = "may not set both a target value for metric and a per-pod target";
            errors.push(FieldError::forbidden(&at.child("value"), detail));
        }
        "pods" if !set("averageValue") => required("averageValue", "must specify a positive target averageValue"),
        "resource" | "containerResource" if !set("averageUtilization") && !set("averageValue") => {
            required("averageUtilization", "must set either a target raw value or a target utilization");
        }
        "resource" | "containerResource" if set("averageUtilization") && set("averageValue") => {
            let detail = "may not set both a target raw value and a target utilization";
            errors.push(FieldError::forbidden(&at.child("averageValue"), detail));
        }
        _ => {}
    }
}

fn resource_names(errors: &mut Errors, key: &str, given: &Tree, path: &Path<'_>) {
    let name = text(given, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "must specify a resource name"));
    } else if key == "containerResource" {
        container_name(errors, name, &path.child("name"));
    }
    if key == "containerResource" {
        match text(given, "container") {
            "" => errors.push(FieldError::required(&path.child("container"), "must specify a container")),
            container => dns_label(errors, container, &path.child("container")),
        }
    }
}

fn validate_target(errors: &mut Errors, target: &Tree, path: &Path<'_>) {
    let kind = text(target, "type");
    let at = path.child("type");
    if kind.is_empty() {
        errors.push(FieldError::required(&at, "must specify a metric target type"));
    }
    if !["Utilization", "Value", "AverageValue"].contains(&kind) {
        errors.push(FieldError::invalid(&at, kind, "must be either Utilization, Value, or AverageValue"));
    }
    for key in ["value", "averageValue"] {
        let amount: Option<Quantity> = target.get(key).and_then(Value::as_str).and_then(|text| text.parse().ok());
        if let Some(amount) = amount.filter(|amount| *amount <= Quantity::ZERO) {
            errors.push(FieldError::invalid(&path.child(key), amount.to_string(), "must be positive"));
        }
    }
    if let Some(share) = int(target, "averageUtilization").filter(|share| *share < 1) {
        errors.push(FieldError::invalid(&path.child("averageUtilization"), share, "must be greater than 0"));
    }
}

fn scaling_rules(errors: &mut Errors, rules: &Tree, path: &Path<'_>) {
    const WINDOW: &str = "stabilizationWindowSeconds";
    if let Some(window) = int(rules, WINDOW) {
        if window < 0 {
            errors.push(FieldError::invalid(&path.child(WINDOW), window, "must be greater than or equal to zero"));
        }
        if window > WINDOW_SECONDS_MAX {
            let detail = format!("must be less than or equal to {WINDOW_SECONDS_MAX}");
            errors.push(FieldError::invalid(&path.child(WINDOW), window, detail));
        }
    }
    if is_set(rules, "selectPolicy") {
        choice(errors, text(rules, "selectPolicy"), &path.child("selectPolicy"), &["Disabled", "Max", "Min"]);
    }
    let list = path.child("policies");
    if count(rules, "policies") == 0 {
        errors.push(FieldError::required(&list, "must specify at least one Policy"));
    }
    for (i, policy) in items(rules, "policies").enumerate() {
        scaling_policy(errors, policy, &list.index(i));
    }
    let tolerance: Option<Quantity> = rules.get("tolerance").and_then(Value::as_str).and_then(|t| t.parse().ok());
    if let Some(tolerance) = tolerance.filter(Quantity::is_negative) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("tolerance"), tolerance.to_string(), detail));
    }
}

fn scaling_policy(errors: &mut Errors, policy: &Tree, path: &Path<'_>) {
    choice(errors, text(policy, "type"), &path.child("type"), &["Percent", "Pods"]);
    for key in ["value", "periodSeconds"] {
        let number = int(policy, key).unwrap_or(0);
        if number <= 0 {
            errors.push(FieldError::invalid(&path.child(key), number, "must be greater than zero"));
        }
    }
    if let Some(period) = int(policy, "periodSeconds").filter(|period| *period > PERIOD_SECONDS_MAX) {
        let detail = format!("must be less than or equal to {PERIOD_SECONDS_MAX}");
        errors.push(FieldError::invalid(&path.child("periodSeconds"), period, detail));
    }
}
