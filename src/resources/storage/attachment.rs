//! VolumeAttachment.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::{age, flag};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct VolumeAttachment;

impl Behaviour for VolumeAttachment {
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
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
        Some(vec![
            json!(object.name()),
            json!(object.text_at(&["spec", "attacher"])),
            json!(object.text_at(&["spec", "source", "persistentVolumeName"])),
            json!(object.text_at(&["spec", "nodeName"])),
            json!(flag(object, &["status", "attached"], false)),
            json!(age(object, moment)),
        ])
    }
}
