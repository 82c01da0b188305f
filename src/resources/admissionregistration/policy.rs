//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy.

use serde_json::{Value, json};

use super::match_resources::{default_match, name_warnings, static_name};
use super::policy_validation::{validate_mutating, validate_status, validate_validating};
use crate::api::Object;
use crate::api::field::Errors;
use crate::resources::part::STATUS_ALONE;
use crate::resources::print::age;
use crate::resources::tree::{child_mut, fill, list};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct ValidatingAdmissionPolicy;

pub(in crate::resources) struct MutatingAdmissionPolicy;

impl Behaviour for ValidatingAdmissionPolicy {
    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        default_policy(object);
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
        let mut errors = validate_validating(object, None);
        static_name(&mut errors, object);
        errors
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_validating(new, Some(old))
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        name_warnings(object.name())
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validate_status, ..STATUS_ALONE })
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(policy_cells(object, "validations", moment))
    }
}

impl Behaviour for MutatingAdmissionPolicy {
    fn default(&self, _: &Kind, object: &mut Object) {
        default_policy(object);
    }

    fn generation(&self) -> bool {
        true
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = validate_mutating(object, None);
        static_name(&mut errors, object);
        errors
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_mutating(new, Some(old))
    }

    fn warnings(&self, object: &Object, _: Option<&Object>) -> Vec<String> {
        name_warnings(object.name())
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(policy_cells(object, "mutations", moment))
    }
}

fn default_policy(object: &mut Object) {
    let spec = object.object_at(&["spec"]);
    fill(spec, "failurePolicy", "Fail");
    if let Some(constraints) = child_mut(spec, "matchConstraints") {
        default_match(constraints);
    }
}

fn policy_cells(object: &Object, rules: &str, moment: &Moment) -> Vec<Value> {
    let of = |key: &str| object.text_at(&["spec", "paramKind", key]);
    let kind = match object.get(&["spec", "paramKind"]) {
        Some(_) => format!("{}/{}", of("apiVersion"), of("kind")),
        None => "<unset>".to_owned(),
    };
    let rules = list(object, &["spec", rules]).count();
    vec![json!(object.name()), json!(rules), json!(kind), json!(age(object, moment))]
}
