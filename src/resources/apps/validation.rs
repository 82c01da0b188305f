//! Validation that the workloads have in common: the selector, the template it must fit, the numbers of a status.

use serde_json::Value;

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::{Selector, validate_label_selector};
use crate::resources::check::{invalid_as, nonnegative};
use crate::resources::core::pod_validation::validate_pod_template;
use crate::resources::go_print::LABEL_SELECTOR;
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
                errors.push(invalid_as(&at, value.clone(), LABEL_SELECTOR, "empty selector is invalid for deployment"));
            }
        }
    }
    let parsed = Selector::from_label_selector(given).ok();
    if parsed.is_none() {
        let value = given.cloned().unwrap_or(Value::Null);
        errors.push(invalid_as(&at, value, LABEL_SELECTOR, "invalid label selector"));
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
    if !selector.is_empty() {
        labels_selected(errors, template, selector, path);
    }
    errors.extend(validate_pod_template(template, path));
    runs_forever(errors, template, owner, path);
}

/// The template has the labels that the owner selects.
pub(in crate::resources) fn labels_selected(
    errors: &mut Errors,
    template: &Tree,
    selector: &Selector,
    path: &Path<'_>,
) {
    let given = child(template, "metadata").and_then(|m| m.get("labels")).cloned().unwrap_or(Value::Null);
    let none = Tree::new();
    if !selector.matches(given.as_object().unwrap_or(&none)) {
        let metadata = path.child("metadata");
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(&metadata.child("labels"), given, detail));
    }
}

/// The template of pods that are always started again.
pub(super) fn runs_forever(errors: &mut Errors, template: &Tree, owner: &str, path: &Path<'_>) {
    let empty = Tree::new();
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
    status_numbers_of(status, numbers, parts, "readyReplicas")
}

/// The same, with the name by which the message calls `readyReplicas`.
pub(super) fn status_numbers_of(status: &Tree, numbers: &[&str], parts: &[&str], ready: &str) -> Errors {
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
        let detail = format!("cannot be greater than {ready}");
        errors.push(FieldError::invalid(&path.child("availableReplicas"), number("availableReplicas"), detail));
    }
    errors
}

/// The spec of an object; empty when it has none.
pub(super) fn spec(object: &Object) -> Tree {
    child(object.root(), "spec").cloned().unwrap_or_default()
}

/// A count of collisions that an update may not lower.
pub(super) fn collisions(errors: &mut Errors, new: &Object, old: &Object) {
    const PATH: [&str; 2] = ["status", "collisionCount"];
    let Some(before) = old.int_at(&PATH) else { return };
    let now = new.int_at(&PATH).unwrap_or(0);
    if now < before {
        errors.push(FieldError::invalid(&Path::new("status.collisionCount"), now, "cannot be decremented"));
    }
}
