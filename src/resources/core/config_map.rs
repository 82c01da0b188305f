//! ConfigMap.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::names::config_map_key;
use crate::resources::check::messages;
use crate::resources::print::age;
use crate::resources::tree::child;
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct ConfigMap;

/// The limit of all values together, of a ConfigMap and of a Secret.
pub(super) const DATA_BYTES_MAX: usize = 1024 * 1024;

impl Behaviour for ConfigMap {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = Errors::new();
        let mut total = 0;
        let binary = child(object.root(), "binaryData");
        for (field, encoded) in [("data", false), ("binaryData", true)] {
            let path = Path::new(field);
            for (key, value) in child(object.root(), field).into_iter().flatten() {
                let at = path.key(key);
                messages(&mut errors, &at, key.as_str(), config_map_key(key));
                if !encoded && binary.is_some_and(|b| b.contains_key(key)) {
                    errors.push(FieldError::invalid(&at, key.as_str(), "duplicate of key present in binaryData"));
                }
                let text = value.as_str().unwrap_or("");
                total += if encoded { decoded_bytes(text) } else { text.len() };
            }
        }
        if total > DATA_BYTES_MAX {
            errors.push(FieldError::too_long(&Path::new("[]"), DATA_BYTES_MAX));
        }
        errors
    }

    fn validate_update(&self, kind: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = Errors::new();
        sealed(&mut errors, (new, old), &["data", "binaryData"]);
        errors.extend(self.validate(kind, new));
        errors
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let keys = |field: &str| object.get(&[field]).and_then(Value::as_object).map_or(0, serde_json::Map::len);
        Some(vec![json!(object.name()), json!(keys("data") + keys("binaryData")), json!(age(object, moment))])
    }
}

/// The number of bytes that a base64 text stands for.
pub(super) fn decoded_bytes(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// What was declared immutable stays so, and so do the fields.
pub(super) fn sealed(errors: &mut Errors, (new, old): (&Object, &Object), fields: &[&str]) {
    const WHEN: &str = "field is immutable when `immutable` is set";
    let set = |o: &Object| o.get(&["immutable"]).and_then(Value::as_bool) == Some(true);
    if !set(old) {
        return;
    }
    if !set(new) {
        errors.push(FieldError::forbidden(&Path::new("immutable"), WHEN));
    }
    for field in fields {
        let data = |o: &'_ Object| child(o.root(), field).filter(|d| !d.is_empty()).cloned();
        if data(new) != data(old) {
            errors.push(FieldError::forbidden(&Path::new(field), WHEN));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::check::testing::check_errors;

    fn map(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn keys_are_names_of_files_and_of_one_kind() {
        let mut errors = Errors::new();
        let given = map(json!({"data": {"a": "1"}, "binaryData": {"a": "AA==", "b": "AAAA"}}));
        for (field, _) in given.root() {
            assert!(matches!(field.as_str(), "data" | "binaryData"));
        }
        sealed(&mut errors, (&given, &map(json!({}))), &["data"]);
        assert_eq!(errors, Errors::new());
        assert_eq!((decoded_bytes("AA=="), decoded_bytes("AAAA"), decoded_bytes("")), (1, 3, 0));
    }

    #[test]
    fn what_is_immutable_does_not_change() {
        let old = map(json!({"immutable": true, "data": {"a": "1"}}));
        let mut errors = Errors::new();
        sealed(&mut errors, (&map(json!({"data": {"a": "2"}})), &old), &["data", "binaryData"]);
        check_errors(
            &errors,
            &[
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ],
        );
    }
}
