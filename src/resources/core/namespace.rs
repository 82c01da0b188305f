//! Namespace: `spec.finalizers` hold its deletion and are written through the part `finalize` alone.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::validation::names::label_name;
use crate::resources::part::{STATUS, anything, keep_status};
use crate::resources::print::age;
use crate::resources::tree::{fill_zero, keep};
use crate::resources::{Behaviour, Kind, Moment, Part, SelectableField};

pub(in crate::resources) struct Namespace;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const FINALIZER: &str = "kubernetes";
const FIELDS: &[SelectableField] = &[
    SelectableField { name: "status.phase", read: |n| n.text_at(&["status", "phase"]).to_owned(), indexed: false },
    SelectableField { name: "name", read: |n| n.name().to_owned(), indexed: false },
];

impl Behaviour for Namespace {
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

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        match subresource {
            "status" => Some(STATUS),
            "finalize" => Some(Part { prepare: |new, old, _| keep_status(new, old), validate: anything }),
            _ => None,
        }
    }

    fn held(&self, object: &Object) -> bool {
        object.get(&["spec", "finalizers"]).and_then(Value::as_array).is_some_and(|f| !f.is_empty())
    }

    fn mark_deleting(&self, object: &mut Object) {
        object.set(&["status", "phase"], "Terminating");
    }

    fn returns_deleted(&self) -> bool {
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
