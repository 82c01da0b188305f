//! DeviceTaintRule.

use serde_json::{Value, json};

use super::device::{device_name, driver_name, pool_name, taint};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::conditions::validate_conditions;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::{age, since};
use crate::resources::tree::{Tree, child, count};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct DeviceTaintRule;

const TIME_ADDED: [&str; 3] = ["spec", "taint", "timeAdded"];

impl Behaviour for DeviceTaintRule {
    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, moment: &Moment) {
        object.remove(&["status"]);
        if object.get(&TIME_ADDED).is_none() {
            object.set(&TIME_ADDED, moment.seconds());
        }
    }

    /// The time is that of the effect.
    fn stamp_change(&self, new: &mut Object, old: &Object, moment: &Moment) {
        const EFFECT: [&str; 3] = ["spec", "taint", "effect"];
        let effect_alone = new.text_at(&EFFECT) != old.text_at(&EFFECT) && new.get(&TIME_ADDED) == old.get(&TIME_ADDED);
        if effect_alone || new.get(&TIME_ADDED).is_none() {
            new.set(&TIME_ADDED, moment.seconds());
        }
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn generation(&self) -> bool {
        true
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validate_status, ..STATUS_ALONE })
    }

    fn returns_deleted(&self, version: &str) -> bool {
        version != "v1"
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let taint = |key: &str| json!(object.text_at(&["spec", "taint", key]));
        let added = match object.text_at(&TIME_ADDED) {
            "" => String::new(),
            time => since(time, moment),
        };
        Some(vec![
            json!(object.name()),
            taint("key"),
            taint("value"),
            taint("effect"),
            json!(added),
            json!(age(object, moment)),
        ])
    }
}

const CONDITIONS_MAX: usize = 8;

fn validate(rule: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (spec, path) = (child(rule.root(), "spec").unwrap_or(&empty), Path::new("spec"));
    if let Some(selector) = child(spec, "deviceSelector") {
        let at = path.child("deviceSelector");
        let of = |key: &str| selector.get(key).and_then(Value::as_str);
        of("driver").into_iter().for_each(|name| driver_name(&mut errors, name, &at.child("driver")));
        of("pool").into_iter().for_each(|name| pool_name(&mut errors, name, &at.child("pool")));
        of("device").into_iter().for_each(|name| device_name(&mut errors, name, &at.child("device")));
    }
    taint(&mut errors, child(spec, "taint").unwrap_or(&empty), &path.child("taint"));
    errors
}

fn validate_status(new: &Object, _: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (status, path) = (child(new.root(), "status").unwrap_or(&empty), Path::new("status"));
    let at = path.child("conditions");
    validate_conditions(&mut errors, status, &at);
    if count(status, "conditions") > CONDITIONS_MAX {
        errors.push(FieldError::too_many(&at, count(status, "conditions"), CONDITIONS_MAX));
    }
    errors
}
