//! PodDisruptionBudget.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::part::STATUS;
use crate::resources::print::{age, int, plain};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct PodDisruptionBudget;

impl Behaviour for PodDisruptionBudget {
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn generation(&self) -> bool {
        true
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS)
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let limit = |key: &str| plain(object.get(&["spec", key])).unwrap_or_else(|| "N/A".to_owned());
        Some(vec![
            json!(object.name()),
            json!(limit("minAvailable")),
            json!(limit("maxUnavailable")),
            json!(int(object, &["status", "disruptionsAllowed"])),
            json!(age(object, moment)),
        ])
    }
}
