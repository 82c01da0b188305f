//! ConfigMap.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::print::age;
use crate::resources::{Behaviour, Moment};

pub(in crate::resources) struct ConfigMap;

impl Behaviour for ConfigMap {
    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let keys = |field: &str| object.get(&[field]).and_then(Value::as_object).map_or(0, serde_json::Map::len);
        Some(vec![json!(object.name()), json!(keys("data") + keys("binaryData")), json!(age(object, moment))])
    }
}
