//! ResourceSlice.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::age;
use crate::resources::{Behaviour, Moment, SelectableField};

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
