//! Role and ClusterRole.

use super::validation::{Reach, validate_aggregation, validate_rules};
use crate::api::Object;
use crate::api::field::Errors;
use crate::api::validation::names::path_segment_name;
use crate::resources::{Behaviour, Kind};

pub(in crate::resources) struct Role;

pub(in crate::resources) struct ClusterRole;

impl Behaviour for Role {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn name_errors(&self, name: &str, _: bool) -> Vec<String> {
        path_segment_name(name)
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_rules(object, Reach::Namespace)
    }

    fn create_on_update(&self) -> bool {
        true
    }
}

impl Behaviour for ClusterRole {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn name_errors(&self, name: &str, _: bool) -> Vec<String> {
        path_segment_name(name)
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = validate_rules(object, Reach::Cluster);
        errors.extend(validate_aggregation(object));
        errors
    }

    fn create_on_update(&self) -> bool {
        true
    }
}
