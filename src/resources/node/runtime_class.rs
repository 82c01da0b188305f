//! RuntimeClass.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::core::resource_list::round;
use crate::resources::print::age;
use crate::resources::tree::child_mut;
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct RuntimeClass;

impl Behaviour for RuntimeClass {
    fn default(&self, _: &Kind, object: &mut Object) {
        if let Some(overhead) = child_mut(object.root_mut(), "overhead") {
            round(overhead, &["podFixed"]);
        }
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(object.text_at(&["handler"])), json!(age(object, moment))])
    }
}
