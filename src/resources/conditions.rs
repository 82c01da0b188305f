//! Validation of `metav1.Condition`s, as the kinds have them whose conditions are of that type.

use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::qualified_name;
use crate::resources::check::{choice, messages};
use crate::resources::tree::{Tree, int, items, text};

const REASON_BYTES_MAX: usize = 1 << 10;
const MESSAGE_BYTES_MAX: usize = 32 << 10;
const REASON_FAULT: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
                            alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' \
                            (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or \
                            'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// The conditions of a status.
pub(super) fn validate_conditions(errors: &mut Errors, status: &Tree, path: &Path<'_>) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, condition) in items(status, "conditions").enumerate() {
        let at = path.index(i);
        let kind = text(condition, "type");
        if seen.contains(&kind) {
            errors.push(FieldError::duplicate(&at, kind));
        }
        seen.push(kind);
        validate_condition(errors, condition, &at);
    }
}

fn validate_condition(errors: &mut Errors, condition: &Tree, path: &Path<'_>) {
    let of = |key: &str| text(condition, key);
    if of("type").is_empty() {
        errors.push(FieldError::required(&path.child("type"), "is required"));
    } else {
        messages(errors, &path.child("type"), of("type"), qualified_name(of("type")));
    }
    if of("status").is_empty() {
        errors.push(FieldError::required(&path.child("status"), ""));
    } else {
        choice(errors, of("status"), &path.child("status"), &["False", "True", "Unknown"]);
    }
    if let Some(generation) = int(condition, "observedGeneration").filter(|generation| *generation < 0) {
        let detail = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&path.child("observedGeneration"), generation, detail));
    }
    if of("lastTransitionTime").is_empty() {
        errors.push(FieldError::required(&path.child("lastTransitionTime"), ""));
    }
    let reason = of("reason");
    if reason.is_empty() {
        errors.push(FieldError::required(&path.child("reason"), ""));
    } else {
        if !is_reason(reason) {
            errors.push(FieldError::invalid(&path.child("reason"), reason, REASON_FAULT));
        }
        if reason.len() > REASON_BYTES_MAX {
            errors.push(FieldError::too_long(&path.child("reason"), REASON_BYTES_MAX));
        }
    }
    if of("message").len() > MESSAGE_BYTES_MAX {
        errors.push(FieldError::too_long(&path.child("message"), MESSAGE_BYTES_MAX));
    }
}

fn is_reason(reason: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b',' | b':');
    let bytes = reason.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|byte| inner(*byte))
        && bytes.last().is_some_and(|last| last.is_ascii_alphanumeric() || *last == b'_')
}
