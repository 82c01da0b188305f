//! DeviceClass.

use serde_json::{Value, json};

use super::device::{Age, CONFIGS_MAX, configuration, selectors};
use crate::api::Object;
use crate::api::field::{Errors, Path};
use crate::resources::print::age;
use crate::resources::tree::{Tree, child, count, items};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct DeviceClass;

impl Behaviour for DeviceClass {
    fn generation(&self) -> bool {
        true
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object, None)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate(new, Some(old))
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(age(object, moment))])
    }
}

/// Selectors and configurations that are as they were are not looked at as closely.
fn validate(class: &Object, old: Option<&Object>) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(class.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    let age = |key: &str| {
        let same = old.is_some_and(|old| old.get(&["spec", key]) == spec.get(key));
        if same { Age::Stored } else { Age::New }
    };
    selectors(&mut errors, spec, &path, age("selectors"));
    let list = path.child("config");
    if count(spec, "config") <= CONFIGS_MAX {
        for (i, config) in items(spec, "config").enumerate() {
            configuration(&mut errors, config, &list.index(i), age("config"));
        }
    }
    errors
}
