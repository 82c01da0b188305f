//! RoleBinding and ClusterRoleBinding.

use serde_json::{Value, json};

use super::validation::{Reach, validate_binding, validate_binding_update};
use crate::api::Object;
use crate::api::field::Errors;
use crate::api::validation::names::path_segment_name;
use crate::resources::print::age;
use crate::resources::tree::{ensure, fill_zero, items_mut, list, text};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct RoleBinding;

pub(in crate::resources) struct ClusterRoleBinding;

pub(super) const GROUP: &str = "rbac.authorization.k8s.io";

impl Behaviour for RoleBinding {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn name_errors(&self, name: &str, _: bool) -> Vec<String> {
        path_segment_name(name)
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_binding(object, Reach::Namespace)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_binding_update(new, old, Reach::Namespace)
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        default_groups(object);
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(binding_cells(object, moment))
    }
}

impl Behaviour for ClusterRoleBinding {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn name_errors(&self, name: &str, _: bool) -> Vec<String> {
        path_segment_name(name)
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_binding(object, Reach::Cluster)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_binding_update(new, old, Reach::Cluster)
    }

    fn default(&self, _: &Kind, object: &mut Object) {
        default_groups(object);
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(binding_cells(object, moment))
    }
}

fn default_groups(object: &mut Object) {
    fill_zero(ensure(object.root_mut(), "roleRef"), "apiGroup", GROUP);
    for subject in items_mut(object.root_mut(), "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            fill_zero(subject, "apiGroup", GROUP);
        }
    }
}

/// Name, Role, Age, Users, Groups, ServiceAccounts.
fn binding_cells(object: &Object, moment: &Moment) -> Vec<Value> {
    let names = |kind: &str| {
        let subjects = list(object, &["subjects"]).filter(|s| text(s, "kind") == kind);
        let name = |subject| match kind {
            "ServiceAccount" => format!("{}/{}", text(subject, "namespace"), text(subject, "name")),
            _ => text(subject, "name").to_owned(),
        };
        json!(subjects.map(name).collect::<Vec<_>>().join(", "))
    };
    let role = |key: &str| object.text_at(&["roleRef", key]);
    vec![
        json!(object.name()),
        json!(format!("{}/{}", role("kind"), role("name"))),
        json!(age(object, moment)),
        names("User"),
        names("Group"),
        names("ServiceAccount"),
    ]
}
