//! ResourceSlice.

use serde_json::{Value, json};

use super::slice_validation::validate;
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::print::age;
use crate::resources::tree::{fill, items_mut};
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

    fn prepare_create(&self, _: &Kind, object: &mut Object, moment: &Moment) {
        stamp_taints(object, moment);
    }

    fn stamp_change(&self, new: &mut Object, _: &Object, moment: &Moment) {
        stamp_taints(new, moment);
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn unselectable(&self, kind: &Kind, field: &str) -> String {
        format!("field label not supported for {}: {field}", kind.gvk)
    }

    fn returns_deleted(&self, _: &str) -> bool {
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

/// Taints of devices say since when they are.
fn stamp_taints(slice: &mut Object, moment: &Moment) {
    let spec = slice.root_mut().get_mut("spec").and_then(Value::as_object_mut);
    let taints = spec.into_iter().flat_map(|spec| items_mut(spec, "devices"));
    taints.flat_map(|device| items_mut(device, "taints")).for_each(|taint| fill(taint, "timeAdded", moment.seconds()));
}
