//! LimitRange: limits of containers complete each other.

use serde_json::Value;

use super::limit_range_validation::validate;
use super::resource_list::round;
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::tree::{Tree, child, complete, ensure, items_mut, text};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct LimitRange;

impl Behaviour for LimitRange {
    fn default(&self, _: &Kind, object: &mut Object) {
        for item in items_mut(object.object_at(&["spec"]), "limits") {
            if text(item, "type") == "Container" {
                default_container_item(item);
            }
            round(item, &["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"]);
        }
    }

    /// One without a name gets a number.
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        if object.name().is_empty() {
            let name = object.uid().to_owned();
            object.set(&["metadata", "name"], name);
        }
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn create_on_update(&self) -> bool {
        true
    }
}

/// The limit follows from the maximum, the request from the limit, then from the minimum.
fn default_container_item(item: &mut Tree) {
    let copy = |item: &Tree, key: &str| child(item, key).cloned().unwrap_or_default();
    let (max, min) = (copy(item, "max"), copy(item, "min"));
    complete(ensure(item, "default"), &max);
    let limits = copy(item, "default");
    let requests = ensure(item, "defaultRequest");
    complete(requests, &limits);
    complete(requests, &min);
    for key in ["default", "defaultRequest"] {
        if item.get(key).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
            item.remove(key);
        }
    }
}
