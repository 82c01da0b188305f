//! Tolerations of taints.

use serde_json::Value;

use crate::api::field::{Errors, FieldError, Path, go_quote};
use crate::api::validation::metadata::label_key;
use crate::api::validation::names;
use crate::resources::check::choice;
use crate::resources::tree::{Tree, is_set, items, text};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// `tolerations` of a spec.
pub(in crate::resources) fn validate(errors: &mut Errors, spec: &Tree, path: &Path<'_>) {
    for (i, toleration) in items(spec, "tolerations").enumerate() {
        one(errors, toleration, &path.index(i));
    }
}

/// What is wrong with tolerations that stand under a name in a file of configuration.
pub fn toleration_errors(tolerations: &[Value], name: &str) -> Errors {
    let mut errors = Errors::new();
    for (index, toleration) in tolerations.iter().enumerate() {
        if let Value::Object(toleration) = toleration {
            one(&mut errors, toleration, &Path::new(name).index(index));
        }
    }
    errors
}

fn one(errors: &mut Errors, toleration: &Tree, path: &Path<'_>) {
    let [key, operator, value, effect] = ["key", "operator", "value", "effect"].map(|key| text(toleration, key));
    let at = path.child("operator");
    if !key.is_empty() {
        label_key(key, &path.child("key"), errors);
    } else if operator != "Exists" {
        let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(&at, operator, detail));
    }
    if is_set(toleration, "tolerationSeconds") && effect != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(&path.child("effect"), effect, detail));
    }
    match operator {
        "" | "Equal" => {
            let faults = names::label_value(value);
            if !faults.is_empty() {
                errors.push(FieldError::invalid(&at, value, faults.join(";")));
            }
        }
        "Exists" if !value.is_empty() => {
            errors.push(FieldError::invalid(&at, value, "value must be empty when `operator` is 'Exists'"));
        }
        "Exists" => {}
        // Of the two, either the operator is refused or the value is checked: a feature gate decides.
        "Lt" | "Gt" => {
            errors.push(FieldError::not_supported(&at, operator, &["Equal", "Exists", "Lt", "Gt"]));
            compared(errors, value, &path.child("value"));
        }
        _ => choice(errors, operator, &at, &["Equal", "Exists"]),
    }
    if !effect.is_empty() {
        choice(errors, effect, &path.child("effect"), &EFFECTS);
    }
}

/// A value that is compared is a number.
fn compared(errors: &mut Errors, value: &str, path: &Path<'_>) {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let decimal = match digits.as_bytes() {
        b"0" => digits.len() == value.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !decimal {
        let detail = "must be a valid decimal integer in canonical form";
        errors.push(FieldError::invalid(path, value, detail));
    }
    if value.parse::<i64>().is_err() {
        let why = if decimal { "value out of range" } else { "invalid syntax" };
        let detail = format!("strconv.ParseInt: parsing {}: {why}", go_quote(value));
        errors.push(FieldError::invalid(path, value, detail));
    }
}
