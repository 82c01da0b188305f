//! PriorityLevelConfiguration.

use serde_json::{Value, json};

use super::priority_level_validation::validate;
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::age;
use crate::resources::tree::{child_mut, fill, fill_zero};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct PriorityLevelConfiguration;

impl Behaviour for PriorityLevelConfiguration {
    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        if let Some(exempt) = child_mut(spec, "exempt") {
            fill(exempt, "nominalConcurrencyShares", 0);
            fill(exempt, "lendablePercent", 0);
        }
        let Some(limited) = child_mut(spec, "limited") else { return };
        fill(limited, "nominalConcurrencyShares", 30);
        fill(limited, "lendablePercent", 0);
        if let Some(queuing) = child_mut(limited, "limitResponse").and_then(|r| child_mut(r, "queuing")) {
            fill_zero(queuing, "handSize", 8);
            fill_zero(queuing, "queues", 64);
            fill_zero(queuing, "queueLengthLimit", 50);
        }
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
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
        (subresource == "status").then_some(Part { validate: |new, _| validate(new), ..STATUS_ALONE })
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let limited = |key: &str| object.get(&["spec", "limited", key]).cloned();
        let queuing = |key: &str| {
            let value = object.get(&["spec", "limited", "limitResponse", "queuing", key]);
            value.cloned().unwrap_or(json!("<none>"))
        };
        Some(vec![
            json!(object.name()),
            json!(object.text_at(&["spec", "type"])),
            limited("nominalConcurrencyShares").unwrap_or(json!("<none>")),
            queuing("queues"),
            queuing("handSize"),
            queuing("queueLengthLimit"),
            json!(age(object, moment)),
        ])
    }
}
