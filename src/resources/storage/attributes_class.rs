//! VolumeAttributesClass.

use serde_json::{Value, json};

use super::validation::{parameters, provisioner};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::print::age;
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct VolumeAttributesClass;

impl Behaviour for VolumeAttributesClass {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = Errors::new();
        if new.text_at(&["driverName"]) != old.text_at(&["driverName"]) {
            errors.push(FieldError::forbidden(&Path::new("driverName"), "updates to driverName are forbidden."));
        }
        if new.get(&["parameters"]) != old.get(&["parameters"]) {
            errors.push(FieldError::forbidden(&Path::new("parameters"), "updates to parameters are forbidden."));
        }
        errors.extend(validate(new));
        errors
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(object.text_at(&["driverName"])), json!(age(object, moment))])
    }
}

fn validate(class: &Object) -> Errors {
    let mut errors = Errors::new();
    provisioner(&mut errors, class, "driverName");
    let path = Path::new("parameters");
    parameters(&mut errors, class, &path);
    if class.get(&["parameters"]).and_then(Value::as_object).is_none_or(serde_json::Map::is_empty) {
        errors.push(FieldError::required(&path, "must contain at least one key/value pair"));
    }
    errors
}
