//! PriorityClass.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::{age, flag, int};
use crate::resources::tree::fill;
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct PriorityClass;

impl Behaviour for PriorityClass {
    fn default(&self, _: &Kind, object: &mut Object) {
        fill(object.root_mut(), "preemptionPolicy", "PreemptLowerPriority");
    }

    /// Set once; no update raises it.
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.set(&["metadata", "generation"], 1);
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![
            json!(object.name()),
            json!(int(object, &["value"])),
            json!(flag(object, &["globalDefault"], false)),
            json!(age(object, moment)),
            json!(object.text_at(&["preemptionPolicy"])),
        ])
    }
}
