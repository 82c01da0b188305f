//! CSIStorageCapacity.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::plain;
use crate::resources::{Behaviour, Moment};

pub(in crate::resources) struct CsiStorageCapacity;

impl Behaviour for CsiStorageCapacity {
    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, _: &Moment) -> Option<Vec<Value>> {
        Some(vec![
            json!(object.name()),
            json!(object.text_at(&["storageClassName"])),
            json!(plain(object.get(&["capacity"])).unwrap_or_else(|| "<unset>".to_owned())),
        ])
    }
}
