//! What claims, classes and slices say of devices: names, selectors, configuration, tolerations and conditions, in
//! upstream's order and words. What is declared is not repeated.

use serde_json::Value;

use crate::api::cel::{self, Expressions, Program, Type};
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::{dns1123_subdomain, label_value, qualified_name};
use crate::resources::check::{dns_label, dns_subdomain, messages};
use crate::resources::tree::{Tree, child, count, items, text, texts};

pub(super) const SELECTORS_MAX: usize = 32;
pub(super) const CONFIGS_MAX: usize = 32;
pub(super) const CONFIGURATION_BYTES_MAX: usize = 10 << 10;
const EXPRESSION_BYTES_MAX: usize = 10 << 10;
const EXPRESSION_COST_MAX: u64 = 1_000_000;
const POOL_BYTES_MAX: usize = 253;
const DRIVER_BYTES_MAX: usize = 63;
const CONDITIONS_MAX: usize = 4;

/// Whether an object was stored with this before: then it is not looked at as closely.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    New,
    Stored,
}

/// The name of a driver.
pub(super) fn driver_name(errors: &mut Errors, name: &str, path: &Path<'_>) {
    if name.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    if name.len() > DRIVER_BYTES_MAX {
        errors.push(FieldError::too_long(path, DRIVER_BYTES_MAX));
    }
    messages(errors, path, name, dns1123_subdomain(&name.to_lowercase()));
}

/// The name of a pool: subdomains with slashes between them.
pub(super) fn pool_name(errors: &mut Errors, name: &str, path: &Path<'_>) {
    if name.is_empty() {
        return errors.push(FieldError::required(path, ""));
    }
    if name.len() > POOL_BYTES_MAX {
        errors.push(FieldError::too_long(path, POOL_BYTES_MAX));
    }
    name.split('/').for_each(|part| dns_subdomain(errors, part, path));
}

/// The name of a device.
pub(super) fn device_name(errors: &mut Errors, name: &str, path: &Path<'_>) {
    dns_label(errors, name, path);
}

/// The selectors of a request or class.
pub(super) fn selectors(errors: &mut Errors, holder: &Tree, path: &Path<'_>, age: Age) {
    let list = path.child("selectors");
    if count(holder, "selectors") > SELECTORS_MAX {
        return;
    }
    for (i, selector) in items(holder, "selectors").enumerate() {
        let at = list.index(i);
        let at = at.child("cel");
        match child(selector, "cel") {
            None => errors.push(FieldError::required(&at, "")),
            Some(given) if age == Age::New => expression(errors, text(given, "expression"), &at.child("expression")),
            Some(_) => {}
        }
    }
}

fn expression(errors: &mut Errors, expression: &str, path: &Path<'_>) {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return errors.push(FieldError::too_long(path, EXPRESSION_BYTES_MAX));
    }
    let program = match Program::compile(expression, &cel::device(Expressions::New)) {
        Ok(program) => program,
        Err(issues) => {
            return errors.push(FieldError::invalid(path, expression, format!("compilation failed: {issues}")));
        }
    };
    match program.result_type() {
        Type::Bool | Type::Any => {}
        other => {
            let detail = format!("must evaluate to bool or the unknown type, not {other}");
            return errors.push(FieldError::invalid(path, expression, detail));
        }
    }
    if program.estimate().max > EXPRESSION_COST_MAX {
        errors.push(FieldError::forbidden(path, "too complex, exceeds cost limit"));
    }
}

/// What is passed on to a driver. That the driver has a name, and which, is declared.
pub(super) fn configuration(errors: &mut Errors, holder: &Tree, path: &Path<'_>, age: Age) {
    let at = path.child("opaque");
    match child(holder, "opaque") {
        None => errors.push(FieldError::required(&at, "")),
        Some(opaque) => foreign(errors, opaque.get("parameters"), &at.child("parameters"), age),
    }
}

/// An object of anyone's shape.
pub(super) fn foreign(errors: &mut Errors, given: Option<&Value>, path: &Path<'_>, age: Age) {
    let Some(value) = given.filter(|value| !value.is_null()) else {
        return errors.push(FieldError::required(path, ""));
    };
    if age == Age::New && value.to_string().len() > CONFIGURATION_BYTES_MAX {
        errors.push(FieldError::too_long(path, CONFIGURATION_BYTES_MAX));
    } else if !value.is_object() {
        errors.push(FieldError::invalid(path, "<value omitted>", "must be a valid JSON object"));
    }
}

/// Tolerations of taints of devices.
pub(super) fn tolerations(errors: &mut Errors, holder: &Tree, path: &Path<'_>) {
    let list = path.child("tolerations");
    for (i, toleration) in items(holder, "tolerations").enumerate() {
        let value = text(toleration, "value");
        let at = list.index(i);
        let at = at.child("value");
        match text(toleration, "operator") {
            "Exists" if !value.is_empty() => {
                errors.push(FieldError::invalid(&at, value, "must be empty for operator `Exists`"));
            }
            "Equal" => messages(errors, &at, value, label_value(value)),
            _ => {}
        }
    }
}

/// A taint of a device.
pub(super) fn taint(errors: &mut Errors, taint: &Tree, path: &Path<'_>) {
    let (key, value) = (text(taint, "key"), text(taint, "value"));
    messages(errors, &path.child("key"), key, qualified_name(key));
    if !value.is_empty() {
        messages(errors, &path.child("value"), value, label_value(value));
    }
}

/// The conditions that must come before a pod is bound, and those that end the waiting for it.
pub(super) fn binding(errors: &mut Errors, holder: &Tree, path: &Path<'_>) {
    const KEYS: [&str; 2] = ["bindingConditions", "bindingFailureConditions"];
    let [good, bad] = KEYS.map(|key| texts(holder, key).collect::<Vec<_>>());
    for (key, names) in KEYS.into_iter().zip([&good, &bad]).filter(|(_, names)| names.len() <= CONDITIONS_MAX) {
        for (i, name) in names.iter().enumerate() {
            messages(errors, &path.child(key).index(i), *name, qualified_name(name));
        }
    }
    for (key, names) in KEYS.into_iter().zip([&good, &bad]) {
        let at = path.child(key);
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) {
                errors.push(FieldError::duplicate(&at.index(i), *name));
            }
            if key == KEYS[1] && good.contains(name) {
                let detail = "bindingFailureConditions must not overlap with bindingConditions";
                errors.push(FieldError::invalid(&at.index(i), *name, detail));
            }
        }
    }
    let mut missing = |key: &str, other: &str| {
        let detail = format!("{key} are required to use {other}");
        errors.push(FieldError::invalid(&path.child(key), Value::Null, detail));
    };
    match (good.is_empty(), bad.is_empty()) {
        (true, false) => missing(KEYS[0], KEYS[1]),
        (false, true) => missing(KEYS[1], KEYS[0]),
        (true, true) | (false, false) => {}
    }
}
