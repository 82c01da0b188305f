//! ControllerRevision.

use serde_json::{Value, json};

use crate::api::Object;
use crate::api::names::GroupVersionKind;
use crate::resources::print::{age, int, or_none};
use crate::resources::tree::{list, text};
use crate::resources::{Behaviour, Moment};

pub(in crate::resources) struct ControllerRevision;

impl Behaviour for ControllerRevision {
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
