//! Lease.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::check::{choice, qualified_name};
use crate::resources::print::age;
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct Lease;

impl Behaviour for Lease {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_spec(object)
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![json!(object.name()), json!(object.text_at(&["spec", "holderIdentity"])), json!(age(object, moment))])
    }
}

fn validate_spec(object: &Object) -> Errors {
    let mut errors = Errors::new();
    let spec = Path::new("spec");
    if let Some(seconds) = object.int_at(&["spec", "leaseDurationSeconds"]).filter(|s| *s <= 0) {
        errors.push(FieldError::invalid(&spec.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
    }
    if let Some(count) = object.int_at(&["spec", "leaseTransitions"]).filter(|c| *c < 0) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&spec.child("leaseTransitions"), count, detail));
    }
    let strategy = object.get(&["spec", "strategy"]).and_then(Value::as_str);
    let at = spec.child("strategy");
    let at = at.child("strategy");
    match strategy {
        Some(strategy) if strategy.contains('/') => qualified_name(&mut errors, strategy, &at),
        Some(strategy) => choice(&mut errors, strategy, &at, &["OldestEmulationVersion"]),
        None => {}
    }
    if !object.text_at(&["spec", "preferredHolder"]).is_empty() && strategy.unwrap_or("").is_empty() {
        let detail = "may only be specified if `strategy` is defined";
        errors.push(FieldError::forbidden(&spec.child("preferredHolder"), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::check::testing::check_errors;

    #[test]
    fn durations_are_positive_and_transitions_not_negative() {
        let lease = json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}});
        check_errors(
            &validate_spec(&Object::from_value(lease).unwrap()),
            &[
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ],
        );
    }
}
