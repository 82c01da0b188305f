//! CustomResourceDefinition, as an object like any other; what it defines is made in `resources::custom`.

use serde_json::{Value, json};

use super::conditions::{Cleanup, terminating};
use super::validation;
use crate::api::Object;
use crate::api::field::Errors;
use crate::api::schema::structural::check::{Props, any, child, flag, text as text_of};
use crate::api::schema::structural::unrecognised;
use crate::api::validation::names;
use crate::resources::custom::{CLEANUP, columns};
use crate::resources::part::keep_rest;
use crate::resources::tree::{child_mut, ensure, fill, fill_zero, items, keep, list, text, texts};
use crate::resources::{Behaviour, Column, Kind, Moment, Part};

pub(in crate::resources) struct CustomResourceDefinition;

/// A write of the status may change metadata too.
const STATUS: Part = Part { prepare: |new, old, _| keep_rest(new, old), validate: |new, _| validation::status(new) };

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

    fn deleted_by_uid(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validation::create(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validation::update(new, old)
    }

    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        names::subdomain_name(name, prefix)
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        let known = old.map(formats).unwrap_or_default();
        let fresh = formats(object).into_iter().filter(|format| !known.contains(format));
        let mut out: Vec<String> =
            fresh.map(|format| format!("unrecognized format {}", crate::api::field::go_quote(&format))).collect();
        let known = old.map(set_items).unwrap_or_default();
        out.extend(set_items(object).into_iter().filter(|warning| !known.contains(warning)));
        out
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        (subresource == "status").then_some(STATUS)
    }

    fn columns(&self) -> Vec<Column> {
        let column = |name: &'static str, kind: &'static str, description: &'static str, priority| Column {
            name: name.into(),
            kind: kind.into(),
            format: if name == "Name" { "name" } else { "" }.into(),
            description: description.into(),
            priority,
        };
        vec![
            column("Name", "string", columns::NAME, 0),
            column("Scope", "string", "Cluster/Namespaced", 0),
            column("Versions", "string", "Served versions", 0),
            column("Created At", "date", columns::CREATED, 0),
            column("Group", "string", "API group", 1),
            column("Kind", "string", "CustomResource kind", 1),
            column("ShortNames", "string", "Short names", 1),
            column("Established", "boolean", "Established status", 1),
        ]
    }

    fn cells(&self, object: &Object, _: &Moment) -> Option<Vec<Value>> {
        let served = list(object, &["spec", "versions"]).filter(|version| flag(version, "served"));
        let label = |version: &Props| {
            let storage = if flag(version, "storage") { "(storage)" } else { "" };
            format!("{}{storage}", text(version, "name"))
        };
        let mut versions: Vec<String> = served.map(label).collect();
        versions.sort();
        let empty = Props::new();
        let names = object.get(&["spec", "names"]).and_then(Value::as_object).unwrap_or(&empty);
        Some(vec![
            json!(object.name()),
            json!(object.text_at(&["spec", "scope"])),
            json!(versions.join(",")),
            json!(object.text_at(&["metadata", "creationTimestamp"])),
            json!(object.text_at(&["spec", "group"])),
            json!(text(names, "kind")),
            json!(texts(names, "shortNames").collect::<Vec<_>>().join(",")),
            json!(super::conditions::is_true(object, "Established")),
        ])
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn deletion_finalizer(&self) -> Option<&'static str> {
        Some(CLEANUP)
    }

    fn mark_deleting(&self, object: &mut Object) {
        let begun = object.finalizers().any(|name| name == CLEANUP);
        let told = object.get(&["status", "conditions"]).and_then(Value::as_array);
        if begun
            && !told.into_iter().flatten().any(|condition| condition["type"] == "Terminating")
            && let Ok(now) = object.text_at(&["metadata", "deletionTimestamp"]).parse()
        {
            *object = terminating(object, Cleanup::Pending, &Moment { now });
        }
    }
}

/// Formats of the schemas that are not enforced.
fn formats(object: &Object) -> Vec<String> {
    let found = std::cell::RefCell::new(Vec::new());
    for (_, props) in validation::schemas(object) {
        any(props, &|of| {
            if unrecognised(text_of(of, "type"), text_of(of, "format")) {
                found.borrow_mut().push(text_of(of, "format").to_owned());
            }
            false
        });
    }
    found.into_inner()
}

/// Warnings of sets whose items are no scalars.
fn set_items(object: &Object) -> Vec<String> {
    let found = std::cell::RefCell::new(std::collections::BTreeSet::new());
    for (_, props) in validation::schemas(object) {
        any(props, &|of| {
            let item = child(of, "items").map_or("", |items| text_of(items, "type"));
            if text_of(of, "x-kubernetes-list-type") == "set" && matches!(item, "object" | "array") {
                found.borrow_mut().insert(format!(
                    "x-kubernetes-list-type: set for items of type \"{item}\" is not supported by server-side apply \
                     or CEL validation rules"
                ));
            }
            false
        });
    }
    found.into_inner().into_iter().collect()
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
