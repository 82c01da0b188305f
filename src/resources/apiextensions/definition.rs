//! CustomResourceDefinition, as an object like any other; what it defines is not made here.

use serde_json::{Value, json};

use crate::api::Object;
use crate::resources::part::STATUS;
use crate::resources::tree::{child_mut, ensure, fill, fill_zero, items, keep, text};
use crate::resources::{Behaviour, Kind, Moment, Part};

pub(in crate::resources) struct CustomResourceDefinition;

impl Behaviour for CustomResourceDefinition {
    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        let names = ensure(spec, "names");
        let kind = text(names, "kind").to_owned();
        if !kind.is_empty() {
            fill_zero(names, "singular", kind.to_lowercase());
            fill_zero(names, "listKind", format!("{kind}List"));
        }
        fill(spec, "conversion", json!({"strategy": "None"}));
        let config = child_mut(spec, "conversion").and_then(|c| child_mut(c, "webhook"));
        let service = config.and_then(|w| child_mut(w, "clientConfig")).and_then(|c| child_mut(c, "service"));
        if let Some(service) = service {
            fill(service, "port", 443);
        }
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, _: &Moment) {
        object.remove(&["status"]);
        note_stored_version(object);
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        keep(new, old, &["status"]);
        note_stored_version(new);
    }

    fn generation(&self) -> bool {
        true
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS)
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

/// Remembers in the status every version in which objects were ever stored.
fn note_stored_version(object: &mut Object) {
    let versions = object.get(&["spec"]).and_then(Value::as_object).into_iter().flat_map(|s| items(s, "versions"));
    let stored = versions.filter(|v| v.get("storage").and_then(Value::as_bool) == Some(true));
    let Some(name) = stored.map(|v| text(v, "name").to_owned()).next() else { return };
    let status = object.object_at(&["status"]);
    let mut known = status.get("storedVersions").and_then(Value::as_array).cloned().unwrap_or_default();
    if !known.iter().any(|v| v == name.as_str()) {
        known.push(Value::String(name));
        status.insert("storedVersions".to_owned(), Value::Array(known));
    }
}
