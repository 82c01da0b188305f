//! What may change of the resources of a running pod (in place, `resize`).

use serde_json::Value;

use super::{metadata_and_spec_changes, sub};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path};
use crate::resources::core::quality::quality_of_service;
use crate::resources::tree::{Tree, child, count, items, text};

const MIRROR: &str = "kubernetes.io/config.mirror";
const LISTS: [&str; 2] = ["initContainers", "containers"];
const MUTABLE: [&str; 2] = ["cpu", "memory"];

/// Containers that get other resources.
pub(in crate::resources) fn validate_pod_resize(new: &Object, old: &Object) -> Errors {
    if old.annotation(MIRROR).is_some() {
        return vec![FieldError::forbidden(&Path::ROOT, "static pods cannot be resized")];
    }
    if old.text_at(&["spec", "os", "name"]) == "windows" {
        return vec![FieldError::forbidden(&Path::ROOT, "windows pods cannot be resized")];
    }
    let mut errors = Errors::new();
    metadata_and_spec_changes(&mut errors, new, old);
    let (now, before, path) = (sub(new.root(), "spec"), sub(old.root(), "spec"), Path::new("spec"));
    let quality = old.text_at(&["status", "qosClass"]);
    let was = if quality.is_empty() { quality_of_service(before) } else { quality };
    if was != quality_of_service(now) {
        let detail = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(&path, new.text_at(&["status", "qosClass"]), detail));
    }
    pod_level(&mut errors, now, before, &path);
    if reordered(&mut errors, now, before, &path) {
        return errors;
    }
    for list in LISTS {
        let at = path.child(list);
        for (i, (now, before)) in items(now, list).zip(items(before, list)).enumerate() {
            let at = at.index(i);
            container(&mut errors, (now, before), &at.child("resources"));
        }
    }
    only_amounts(&mut errors, now, before, &path);
    errors
}

/// Amounts of the pod as a whole do not go, and are of what may be resized.
fn pod_level(errors: &mut Errors, now: &Tree, before: &Tree, path: &Path<'_>) {
    let set = |spec: &Tree| ["requests", "limits"].iter().any(|list| !sub(sub(spec, "resources"), list).is_empty());
    if !set(now) && !set(before) {
        return;
    }
    let at = path.child("resources");
    for list in ["requests", "limits"] {
        let (new, old) = (sub(sub(now, "resources"), list), sub(sub(before, "resources"), list));
        if old.keys().any(|name| !new.contains_key(name)) {
            let detail = format!("pod-level resource {list} cannot be removed");
            errors.push(FieldError::forbidden(&at.child(list), detail));
        }
    }
    if without_amounts(sub(now, "resources")) != without_amounts(sub(before, "resources")) {
        errors.push(FieldError::forbidden(path, "only cpu and memory resources are mutable at pod-level"));
    }
}

/// Containers keep their number, names and order.
fn reordered(errors: &mut Errors, now: &Tree, before: &Tree, path: &Path<'_>) -> bool {
    let first = errors.len();
    for list in ["containers", "initContainers"] {
        if count(now, list) != count(before, list) {
            let at = path.child(list);
            errors.push(FieldError::forbidden(&at, format!("{list} may not be added or removed on resize")));
            continue;
        }
        let at = path.child(list);
        for (i, (now, before)) in items(now, list).zip(items(before, list)).enumerate() {
            if text(now, "name") != text(before, "name") {
                let detail = format!("{list} may not be renamed or reordered on resize");
                errors.push(FieldError::forbidden(&at.index(i).child("name"), detail));
            }
        }
    }
    errors.len() > first
}

fn container(errors: &mut Errors, (now, before): (&Tree, &Tree), path: &Path<'_>) {
    let list = |tree: &Tree, key: &str| sub(sub(tree, "resources"), key).clone();
    for key in ["requests", "limits"] {
        let (new, old) = (list(now, key), list(before, key));
        if old.keys().any(|name| !new.contains_key(name)) {
            let detail = format!("resource {key} cannot be removed");
            errors.push(FieldError::forbidden(&path.child(key), detail));
        }
    }
}

/// Without the amounts that may change.
fn without_amounts(resources: &Tree) -> Tree {
    let mut resources = resources.clone();
    for list in ["requests", "limits"] {
        if let Some(amounts) = resources.get_mut(list).and_then(Value::as_object_mut) {
            amounts.retain(|name, _| !MUTABLE.contains(&name.as_str()));
        }
        if child(&resources, list).is_none_or(Tree::is_empty) {
            resources.remove(list);
        }
    }
    resources
}

/// Nothing but the amounts of containers changes.
fn only_amounts(errors: &mut Errors, now: &Tree, before: &Tree, path: &Path<'_>) {
    let rest = |container: &Tree| {
        let mut container = container.clone();
        let resources = without_amounts(sub(&container, "resources"));
        container.insert("resources".to_owned(), Value::Object(resources));
        container
    };
    let pairs = |list: &'static str| items(now, list).zip(items(before, list)).enumerate();
    for _ in pairs("containers").filter(|(_, (new, old))| rest(new) != rest(old)) {
        errors.push(FieldError::forbidden(path, "only cpu and memory resources are mutable"));
    }
    let list = path.child("initContainers");
    for (i, (new, old)) in pairs("initContainers") {
        let restartable = text(new, "restartPolicy") == "Always";
        if rest(new) != rest(old) {
            let detail = "only cpu and memory resources for init or sidecar containers are mutable";
            errors.push(FieldError::forbidden(&list.index(i), detail));
        }
        let restarts = || items(new, "resizePolicy").any(|p| text(p, "restartPolicy") == "RestartContainer");
        if new != old && !restartable && restarts() {
            let detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
            errors.push(FieldError::forbidden(&list.index(i), detail));
        }
    }
}
