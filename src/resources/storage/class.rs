//! StorageClass.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::{age, flag, text_or};
use crate::resources::tree::fill;
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct StorageClass;

impl Behaviour for StorageClass {
    fn default(&self, _: &Kind, object: &mut Object) {
        fill(object.root_mut(), "reclaimPolicy", "Delete");
        fill(object.root_mut(), "volumeBindingMode", "Immediate");
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![
            json!(object.name()),
            json!(object.text_at(&["provisioner"])),
            json!(text_or(object, &["reclaimPolicy"], "Delete")),
            json!(text_or(object, &["volumeBindingMode"], "Immediate")),
            json!(flag(object, &["allowVolumeExpansion"], false)),
            json!(age(object, moment)),
        ])
    }
}
