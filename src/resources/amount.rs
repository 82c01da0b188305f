//! Numbers that may also be percentages (`intstr.IntOrString`), as the validations of workloads read them.

use serde_json::Value;

use super::check::messages;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::percent;

/// A number that is not negative, or a percentage.
pub(super) fn positive(errors: &mut Errors, value: &Value, path: &Path<'_>) {
    match value {
        Value::String(text) => messages(errors, path, text.as_str(), percent(text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            if let Some(number) = value.as_i64().filter(|number| *number < 0) {
                errors.push(FieldError::invalid(path, number, "must be greater than or equal to 0"));
            }
        }
    }
}

/// A percentage is of at most all.
pub(super) fn at_most_all(errors: &mut Errors, value: &Value, path: &Path<'_>) {
    if value.is_string() && of(value) > 100 {
        errors.push(FieldError::invalid(path, value.clone(), "must not be greater than 100%"));
    }
}

/// The number, or that of the percentage; 0 for anything else.
pub(super) fn of(value: &Value) -> i64 {
    match value {
        Value::String(text) if percent(text).is_empty() => text.trim_end_matches('%').parse().unwrap_or(0),
        Value::String(text) => text.parse().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.as_i64().unwrap_or(0)
        }
    }
}
