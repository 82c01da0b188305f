//! ResourceSlice.

use serde_json::{Value, json};

use super::slice_validation::validate;
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::print::age;
use crate::resources::{Behaviour, Kind, Moment, SelectableField};

pub(in crate::resources) struct ResourceSlice;

const FIELDS: &[SelectableField] = &[
    SelectableField { name: "spec.nodeName", read: |s| s.text_at(&["spec", "nodeName"]).to_owned(), indexed: false },
    SelectableField { name: "spec.driver", read: |s| s.text_at(&["spec", "driver"]).to_owned(), indexed: false },
    SelectableField {
        name: "spec.pool.name",
        read: |s| s.text_at(&["spec", "pool", "name"]).to_owned(),
        indexed: false,
    },
];

impl Behaviour for ResourceSlice {
    fn generation(&self) -> bool {
        true
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object, None)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate(new, Some(old))
    }

    /// Counts a change also when it is of a field that is taken away for its gate (v1.37).
    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        if new.get(&["spec"]) != old.get(&["spec"]) {
            new.set(&["metadata", "generation"], old.generation() + 1);
        }
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![
            json!(object.name()),
            json!(object.text_at(&["spec", "nodeName"])),
            json!(object.text_at(&["spec", "driver"])),
            json!(object.text_at(&["spec", "pool", "name"])),
            json!(age(object, moment)),
        ])
    }
}
