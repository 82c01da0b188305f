//! ResourceClaim and ResourceClaimTemplate.

use serde_json::{Value, json};

use super::claim_status_validation::{drop_released, validate as validate_status};
use super::claim_validation::validate_spec;
use crate::api::Object;
use crate::api::field::{Errors, Path};
use crate::api::validation::metadata;
use crate::resources::check::immutable_as;
use crate::resources::part::keep_rest_and_metadata;
use crate::resources::print::age;
use crate::resources::tree::{Tree, child, child_mut, fill_zero, items_mut, list, text};
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

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = Errors::new();
        let empty = Tree::new();
        validate_spec(&mut errors, child(object.root(), "spec").unwrap_or(&empty), &Path::new("spec"));
        errors
    }

    /// That the spec stays is declared.
    fn validate_update(&self, _: &Kind, _: &Object, _: &Object) -> Errors {
        Errors::new()
    }

    fn admin_access(&self, new: &Object, old: Option<&Object>) -> Option<String> {
        match old {
            None => asked_access(new, &["spec", "devices", "requests"]),
            Some(old) if granted_access(old).is_none() => granted_access(new),
            Some(_) => None,
        }
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { prepare: prepare_status, validate: validate_status })
    }

    fn returns_deleted(&self, _: &str) -> bool {
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

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_template(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = validate_template(new);
        immutable_as(&mut errors, (new.get(&["spec"]), old.get(&["spec"])), TEMPLATE, &Path::new("spec"));
        errors
    }

    fn admin_access(&self, new: &Object, old: Option<&Object>) -> Option<String> {
        if old.is_none() { asked_access(new, &["spec", "spec", "devices", "requests"]) } else { None }
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(age(object, moment))])
    }
}

const TEMPLATE: &str = "io.k8s.api.resource.v1.ResourceClaimTemplateSpec";

fn validate_template(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let Some(template) = child(object.root(), "spec") else { return errors };
    let path = Path::new("spec");
    if let Some(given) = child(template, "metadata") {
        metadata::template(given, &path.child("metadata"), &mut errors);
    }
    let empty = Tree::new();
    validate_spec(&mut errors, child(template, "spec").unwrap_or(&empty), &path.child("spec"));
    errors
}

/// The first request for access as an administrator. Upstream names the field so for claims and templates alike.
fn asked_access(object: &Object, requests: &[&str]) -> Option<String> {
    let asks = |request: &Tree| child(request, "exactly").is_some_and(|exactly| flag(exactly, "adminAccess"));
    let asking = list(object, requests).position(asks)?;
    Some(format!("spec.devices.requests[{asking}].adminAccess"))
}

/// The first device that was allocated with access as an administrator.
fn granted_access(claim: &Object) -> Option<String> {
    let results = ["status", "allocation", "devices", "results"];
    let granted = list(claim, &results).position(|result| flag(result, "adminAccess"))?;
    Some(format!("{}[{granted}].adminAccess", results.join(".")))
}

fn flag(tree: &Tree, key: &str) -> bool {
    tree.get(key) == Some(&Value::Bool(true))
}

fn prepare_status(new: &mut Object, old: &Object, _: &Moment) {
    keep_rest_and_metadata(new, old);
    drop_released(new, old);
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
