//! StorageVersionMigration.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::names::GroupResource;
use crate::api::validation::names::{dns1035_label, dns1123_subdomain};
use crate::resources::check::invalid_as;
use crate::resources::conditions::validate_conditions;
use crate::resources::part::STATUS_ALONE;
use crate::resources::tree::{Tree, child, list, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct StorageVersionMigration;

impl Behaviour for StorageVersionMigration {
    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = validate(new);
        if new.get(&["spec"]) != old.get(&["spec"]) {
            let given = new.get(&["spec"]).cloned().unwrap_or(Value::Null);
            errors.push(invalid_as(&Path::new("spec"), given, SPEC, "field is immutable"));
        }
        errors
    }

    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata", "spec"]
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(Part { validate: validate_status, ..STATUS_ALONE })
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Object, _: &Moment) -> Option<Vec<Value>> {
        let of = |key: &str| object.text_at(&["spec", "resource", key]).to_owned();
        let resource = GroupResource { group: of("group").into(), resource: of("resource").into() };
        let holding = list(object, &["status", "conditions"]).filter(|c| text(c, "status") == "True");
        let state =
            holding.map(|c| text(c, "type")).filter(|t| matches!(*t, "Running" | "Failed" | "Succeeded")).last();
        Some(vec![json!(object.name()), json!(resource.to_string()), json!(state.unwrap_or("Unknown"))])
    }
}

const SPEC: &str = "io.k8s.api.storagemigration.v1.StorageVersionMigrationSpec";
const CONDITION: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Condition";

fn validate(migration: &Object) -> Errors {
    let mut errors = Errors::new();
    let spec = Path::new("spec");
    let path = spec.child("resource");
    let of = |key: &str| migration.text_at(&["spec", "resource", key]);
    let (resource, at) = (of("resource"), path.child("resource"));
    let wrong = dns1035_label(resource);
    if resource.is_empty() {
        errors.push(FieldError::required(&at, "resource is required to be set"));
    } else if !wrong.is_empty() {
        errors.push(FieldError::invalid(&at, resource, wrong.join(",")));
    }
    let wrong = dns1123_subdomain(of("group"));
    if !of("group").is_empty() && !wrong.is_empty() {
        errors.push(FieldError::invalid(&path.child("group"), of("group"), wrong.join(",")));
    }
    errors
}

fn validate_status(new: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    let empty = Tree::new();
    let (status, path) = (child(new.root(), "status").unwrap_or(&empty), Path::new("status"));
    let (revision, before) = (text(status, "resourceVersion"), old.text_at(&["status", "resourceVersion"]));
    let at = path.child("resourceVersion");
    if !revision.is_empty() && !is_revision(revision) {
        let detail = format!("resource version is not well formed: {revision}");
        errors.push(FieldError::invalid(&at, revision, detail));
    }
    let list = path.child("conditions");
    validate_conditions(&mut errors, status, &list);
    if !before.is_empty() && before != revision {
        errors.push(FieldError::invalid(&at, revision, "field is immutable"));
    }
    let mut refuse = |detail: &str| {
        let given = status.get("conditions").cloned().unwrap_or(Value::Null);
        errors.push(invalid_as(&list, given, CONDITION, detail));
    };
    if is_true(new, "Succeeded") && is_true(new, "Failed") {
        refuse("Both success and failed conditions cannot be true at the same time");
    }
    if is_true(old, "Succeeded") && !is_true(new, "Succeeded") {
        refuse("Success condition cannot be set to false once it is true");
    }
    if is_true(old, "Failed") && !is_true(new, "Failed") {
        refuse("Failed condition cannot be set to false once it is true");
    }
    errors
}

/// A number without leading zeros.
fn is_revision(text: &str) -> bool {
    !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_true(migration: &Object, kind: &str) -> bool {
    let condition = list(migration, &["status", "conditions"]).find(|condition| text(condition, "type") == kind);
    condition.is_some_and(|condition| text(condition, "status") == "True")
}
