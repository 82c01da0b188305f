//! DeviceTaintRule.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::{age, since};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct DeviceTaintRule;

const TIME_ADDED: [&str; 3] = ["spec", "taint", "timeAdded"];

impl Behaviour for DeviceTaintRule {
    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, moment: &Moment) {
        object.remove(&["status"]);
        if object.get(&TIME_ADDED).is_none() {
            object.set(&TIME_ADDED, moment.seconds());
        }
    }

    fn generation(&self) -> bool {
        true
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS_ALONE)
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let taint = |key: &str| json!(object.text_at(&["spec", "taint", key]));
        let added = match object.text_at(&TIME_ADDED) {
            "" => String::new(),
            time => since(time, moment),
        };
        Some(vec![
            json!(object.name()),
            taint("key"),
            taint("value"),
            taint("effect"),
            json!(added),
            json!(age(object, moment)),
        ])
    }
}
