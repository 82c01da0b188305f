//! ResourceClaim and ResourceClaimTemplate.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::age;
use crate::resources::tree::{Tree, child_mut, fill_zero, items_mut, list, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct ResourceClaim;

pub(in crate::resources) struct ResourceClaimTemplate;

impl Behaviour for ResourceClaim {
    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        default_claim_spec(object.object_at(&["spec"]));
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS_ALONE)
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(state(object)), json!(age(object, moment))])
    }
}

impl Behaviour for ResourceClaimTemplate {
    fn default(&self, _: &Kind, object: &mut Object) {
        default_claim_spec(object.object_at(&["spec", "spec"]));
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(age(object, moment))])
    }
}

fn default_claim_spec(spec: &mut Tree) {
    let Some(devices) = child_mut(spec, "devices") else { return };
    for request in items_mut(devices, "requests") {
        if let Some(exactly) = child_mut(request, "exactly") {
            default_request(exactly);
        }
        items_mut(request, "firstAvailable").for_each(default_request);
    }
}

fn default_request(request: &mut Tree) {
    fill_zero(request, "allocationMode", "ExactCount");
    if text(request, "allocationMode") == "ExactCount" {
        fill_zero(request, "count", 1);
    }
}

fn state(claim: &Object) -> String {
    let mut states = Vec::new();
    let allocated = claim.get(&["status", "allocation"]).is_some();
    if claim.deleting() {
        states.push("deleted");
    } else if !allocated {
        states.push("pending");
    }
    if allocated {
        states.push("allocated");
        if list(claim, &["status", "reservedFor"]).next().is_some() {
            states.push("reserved");
        }
    }
    states.join(",")
}
