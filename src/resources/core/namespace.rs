//! Namespace: `spec.finalizers` hold its deletion and are written through the part `finalize` alone.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::validation::metadata::finalizer_name;
use crate::api::validation::names::label_name;
use crate::resources::part::{STATUS, keep_status};
use crate::resources::print::age;
use crate::resources::tree::{child, fill_zero, keep, texts};
use crate::resources::{Behaviour, Kind, Moment, Part, SelectableField};

pub(in crate::resources) struct Namespace;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const FINALIZER: &str = "kubernetes";
const FIELDS: &[SelectableField] =
    &[SelectableField { name: "status.phase", read: |n| n.text_at(&["status", "phase"]).to_owned(), indexed: false }];

impl Behaviour for Namespace {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        label_name(name, prefix)
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        label_with_name(object);
        fill_zero(object.object_at(&["status"]), "phase", "Active");
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        // A generated name was not known when defaults were set.
        label_with_name(object);
        object.set(&["status"], json!({"phase": "Active"}));
        let mut finalizers = object.get(&["spec", "finalizers"]).and_then(Value::as_array).cloned().unwrap_or_default();
        if !finalizers.iter().any(|f| f == FINALIZER) {
            finalizers.push(json!(FINALIZER));
        }
        object.set(&["spec", "finalizers"], finalizers);
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        label_with_name(new);
        keep(new, old, &["spec", "finalizers"]);
        keep_status(new, old);
    }

    fn deleted_by_uid(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = Errors::new();
        let path = Path::new("spec");
        let path = path.child("finalizers");
        finalizers(object).for_each(|name| finalizer(&mut errors, name, &path));
        errors
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        match subresource {
            "status" => Some(Part { validate: validate_status, ..STATUS }),
            "finalize" => Some(Part { prepare: |new, old, _| keep_status(new, old), validate: validate_finalize }),
            _ => None,
        }
    }

    fn held(&self, object: &Object) -> bool {
        object.get(&["spec", "finalizers"]).and_then(Value::as_array).is_some_and(|f| !f.is_empty())
    }

    fn mark_deleting(&self, object: &mut Object) {
        object.set(&["status", "phase"], "Terminating");
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(object.text_at(&["status", "phase"])), json!(age(object, moment))])
    }
}

fn label_with_name(object: &mut Object) {
    let name = object.name().to_owned();
    if !name.is_empty() {
        object.set(&["metadata", "labels", NAME_LABEL], name);
    }
}

fn finalizers(object: &Object) -> impl Iterator<Item = &str> {
    child(object.root(), "spec").into_iter().flat_map(|spec| texts(spec, "finalizers"))
}

fn finalizer(errors: &mut Errors, name: &str, path: &Path<'_>) {
    finalizer_name(name, path, errors);
    let standard = matches!(name, FINALIZER | "orphan" | "foregroundDeletion");
    if !name.contains('/') && !standard {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(FieldError::invalid(path, name, detail));
    }
}

fn validate_finalize(new: &Object, _: &Object) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let path = path.child("finalizers");
    for (i, name) in finalizers(new).enumerate() {
        finalizer(&mut errors, name, &path.index(i));
    }
    errors
}

fn validate_status(new: &Object, _: &Object) -> Errors {
    let phase = new.text_at(&["status", "phase"]);
    let (expected, detail) = if new.deleting() {
        ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
    } else {
        ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
    };
    if phase == expected {
        return Errors::new();
    }
    // The path has a capital letter there.
    let path = Path::new("status");
    vec![FieldError::invalid(&path.child("Phase"), phase, detail)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::check::testing::check_errors;

    #[test]
    fn finalizers_are_standard_or_qualified() {
        let namespace = Object::from_value(json!({"spec": {"finalizers": ["kubernetes", "a.b/c", "x"]}})).unwrap();
        check_errors(
            &validate_finalize(&namespace, &namespace),
            &[
                "spec.finalizers[2]: Invalid value: \"x\": name is neither a standard finalizer name nor is it fully qualified",
            ],
        );
    }

    #[test]
    fn the_phase_follows_the_deletion() {
        let namespace = Object::from_value(json!({"status": {"phase": "Terminating"}})).unwrap();
        check_errors(
            &validate_status(&namespace, &namespace),
            &["status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"],
        );
    }
}
