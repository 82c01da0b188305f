//! CSINode.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::age;
use crate::resources::tree::list;
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct CsiNode;

impl Behaviour for CsiNode {
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        crate::resources::part::keep_status(new, old);
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS_ALONE)
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let drivers = list(object, &["spec", "drivers"]).count();
        Some(vec![json!(object.name()), json!(drivers), json!(age(object, moment))])
    }
}
