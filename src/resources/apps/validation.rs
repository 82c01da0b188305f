//! Validation that the workloads have in common: the selector, the template it must fit, the numbers of a status.

use serde_json::Value;

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::{Selector, validate_label_selector};
use crate::resources::check::nonnegative;
use crate::resources::core::pod_validation::validate_pod_template;
use crate::resources::tree::{Tree, child, int, is_set, is_zero, text};

/// A label selector that must be there and select something; `None` when it is not valid.
pub(super) fn selector(errors: &mut Errors, spec: &Tree, path: &Path<'_>) -> Option<Selector> {
    let at = path.child("selector");
    let given = spec.get("selector").filter(|s| !s.is_null());
    match given {
        None => errors.push(FieldError::required(&at, "")),
        Some(value) => {
            errors.extend(validate_label_selector(value, &at));
            let empty = |key: &str| value.get(key).is_none_or(is_zero);
            if empty("matchLabels") && empty("matchExpressions") {
                errors.push(FieldError::invalid(&at, value.clone(), "empty selector is invalid for deployment"));
            }
        }
    }
    let parsed = Selector::from_label_selector(given).ok();
    if parsed.is_none() {
        let value = given.cloned().unwrap_or(Value::Null);
        errors.push(FieldError::invalid(&at, value, "invalid label selector"));
    }
    parsed
}

/// The template of pods that run forever: it has the labels that the owner selects.
pub(in crate::resources) fn template(
    errors: &mut Errors,
    template: &Tree,
    (selector, owner): (&Selector, &str),
    path: &Path<'_>,
) {
    let empty = Tree::new();
    let labels = child(template, "metadata").and_then(|m| child(m, "labels")).unwrap_or(&empty);
    let metadata = path.child("metadata");
    if !selector.is_empty() && !selector.matches(labels) {
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(&metadata.child("labels"), Value::Object(labels.clone()), detail));
    }
    errors.extend(validate_pod_template(template, path));
    let spec = child(template, "spec").unwrap_or(&empty);
    let at = path.child("spec");
    let policy = text(spec, "restartPolicy");
    if policy != "Always" {
        errors.push(FieldError::not_supported(&at.child("restartPolicy"), policy, &["Always"]));
    }
    if is_set(spec, "activeDeadlineSeconds") {
        let detail = format!("activeDeadlineSeconds in {owner} is not Supported");
        errors.push(FieldError::forbidden(&at.child("activeDeadlineSeconds"), detail));
    }
}

/// Numbers of a status: none negative, and none of the last ones above `replicas`.
pub(in crate::resources) fn status_numbers(status: &Tree, numbers: &[&str], parts: &[&str]) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("status");
    for key in numbers {
        nonnegative(&mut errors, status, key, &path);
    }
    let number = |key: &str| int(status, key).unwrap_or(0);
    for key in parts.iter().filter(|key| number(key) > number("replicas")) {
        let detail = "cannot be greater than status.replicas";
        errors.push(FieldError::invalid(&path.child(key), number(key), detail));
    }
    if number("availableReplicas") > number("readyReplicas") {
        let detail = "cannot be greater than readyReplicas";
        errors.push(FieldError::invalid(&path.child("availableReplicas"), number("availableReplicas"), detail));
    }
    errors
}

/// The spec of an object; empty when it has none.
pub(super) fn spec(object: &Object) -> Tree {
    child(object.root(), "spec").cloned().unwrap_or_default()
}
