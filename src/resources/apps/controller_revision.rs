//! ControllerRevision.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::api::names::GroupVersionKind;
use crate::resources::check::{immutable, nonnegative};
use crate::resources::print::{age, int, or_none};
use crate::resources::tree::{list, text};
use crate::resources::{Behaviour, Kind, Moment};

pub(in crate::resources) struct ControllerRevision;

impl Behaviour for ControllerRevision {
    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        let mut errors = Errors::new();
        nonnegative(&mut errors, object.root(), "revision", &Path::ROOT);
        let path = Path::new("data");
        match object.root().get("data").filter(|data| !data.is_null()) {
            None => errors.push(FieldError::required(&path, "data is mandatory")),
            Some(Value::Object(_)) => {}
            Some(_) => errors.push(FieldError::required(&path, "data must be a valid JSON object")),
        }
        errors
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        let mut errors = Errors::new();
        nonnegative(&mut errors, new.root(), "revision", &Path::ROOT);
        immutable(&mut errors, new.root().get("data"), old.root().get("data"), &Path::new("data"));
        errors
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(vec![
            json!(object.name()),
            json!(or_none(&controller(object))),
            json!(int(object, &["revision"])),
            json!(age(object, moment)),
        ])
    }
}

/// `daemonset.apps/name` of the owner that manages the object.
fn controller(object: &Object) -> String {
    let mut owners = list(object, &["metadata", "ownerReferences"]);
    let Some(owner) = owners.find(|o| o.get("controller").and_then(Value::as_bool) == Some(true)) else {
        return String::new();
    };
    let kind = GroupVersionKind::parse(text(owner, "apiVersion"), text(owner, "kind")).group_kind();
    format!("{}/{}", kind.to_string().to_lowercase(), text(owner, "name"))
}
