//! DeviceClass.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::age;
use crate::resources::{Behaviour, Moment};

pub(in crate::resources) struct DeviceClass;

impl Behaviour for DeviceClass {
    fn generation(&self) -> bool {
        true
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(age(object, moment))])
    }
}
