//! PodDisruptionBudget.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, Path};
use crate::api::labels::validate_label_selector;
use crate::api::validation::names::path_segment_object_name;
use crate::resources::amount;
use crate::resources::check::{choice, invalid_as, nonnegatives};
use crate::resources::conditions::validate_conditions;
use crate::resources::part::STATUS;
use crate::resources::print::{age, int, plain};
use crate::resources::tree::{Tree, child, is_set};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct PodDisruptionBudget;

impl Behaviour for PodDisruptionBudget {
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn generation(&self) -> bool {
        true
    }

    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        path_segment_object_name(name, prefix)
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = Errors::new();
        let empty = Tree::new();
        let (spec, path) = (child(object.root(), "spec").unwrap_or(&empty), Path::new("spec"));
        let limits = ["minAvailable", "maxUnavailable"];
        if limits.iter().all(|key| is_set(spec, key)) {
            let detail = "minAvailable and maxUnavailable cannot be both set";
            errors.push(invalid_as(&path, spec.clone(), "io.k8s.api.policy.v1.PodDisruptionBudgetSpec", detail));
        }
        for key in limits {
            if let Some(value) = spec.get(key).filter(|value| !value.is_null()) {
                amount::positive(&mut errors, value, &path.child(key));
                amount::at_most_all(&mut errors, value, &path.child(key));
            }
        }
        if let Some(selector) = spec.get("selector").filter(|selector| !selector.is_null()) {
            errors.extend(validate_label_selector(selector, &path.child("selector")));
        }
        if let Some(policy) = spec.get("unhealthyPodEvictionPolicy").and_then(Value::as_str) {
            choice(&mut errors, policy, &path.child("unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"]);
        }
        errors
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validate_status, ..STATUS })
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

fn validate_status(new: &Object, _: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (status, path) = (child(new.root(), "status").unwrap_or(&empty), Path::new("status"));
    validate_conditions(&mut errors, status, &path.child("conditions"));
    let numbers = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
    nonnegatives(&mut errors, status, &numbers, &path);
    errors
}
