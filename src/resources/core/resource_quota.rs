//! ResourceQuota.

use serde_json::{Value, json};

use super::resource_list::{amount, round};
use super::resource_quota_validation as validation;
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::part::STATUS;
use crate::resources::print::age;
use crate::resources::tree::{Tree, child, child_mut};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct ResourceQuota;

impl Behaviour for ResourceQuota {
    fn default(&self, _: &Kind, object: &mut Object) {
        round(object.object_at(&["spec"]), &["hard"]);
        if let Some(status) = child_mut(object.root_mut(), "status") {
            round(status, &["hard", "used"]);
        }
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validation::validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validation::validate_update(new, old)
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let hard = object.get(&["spec", "hard"]).and_then(Value::as_object);
        match (hard, old) {
            (Some(hard), None) => requests_over_limits(hard),
            (Some(_) | None, _) => Vec::new(),
        }
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validation::validate_status, ..STATUS })
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        let status = child(object.root(), "status");
        let (hard, used) = (status.and_then(|s| child(s, "hard")), status.and_then(|s| child(s, "used")));
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for name in hard.into_iter().flat_map(|h| h.keys()) {
            let entry = format!("{name}: {}/{}", amount(used, name), amount(hard, name));
            if name.starts_with("limits.") { &mut limits } else { &mut requests }.push(entry);
        }
        Some(vec![
            json!(object.name()),
            json!(requests.join(", ")),
            json!(limits.join(", ")),
            json!(age(object, moment)),
        ])
    }
}

fn requests_over_limits(hard: &Tree) -> Vec<String> {
    let warning = |resource: &str| {
        let mut request = format!("requests.{resource}");
        if !hard.contains_key(&request) && matches!(resource, "cpu" | "memory") {
            resource.clone_into(&mut request);
        }
        let limit = format!("limits.{resource}");
        let both = hard.contains_key(&request) && hard.contains_key(&limit);
        let (asked, allowed) = (amount(Some(hard), &request), amount(Some(hard), &limit));
        (both && asked > allowed)
            .then(|| format!("ResourceQuota {request} ({asked}) should be less than {limit} ({allowed})"))
    };
    ["cpu", "memory", "storage", "ephemeral-storage"].into_iter().filter_map(warning).collect()
}
