//! What may change of a pod.

use serde_json::{Value, json};

use super::env::quantity;
use super::{annotations, metadata_and_spec, status, sub, tolerations};
use crate::api::Object;
use crate::api::field::{Errors, FieldError, Path, go_quote};
use crate::resources::check::{forbidden_difference, invalid_as};
use crate::resources::tree::{Tree, child, child_mut, count, int, is_set, items, text};

const CHANGEABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                          `spec.tolerations` (only additions to existing tolerations),\
                          `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously \
                          negative)";
const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const EPHEMERAL: &str = "io.k8s.api.core.v1.EphemeralContainer";
const TERM: &str = "io.k8s.api.core.v1.NodeSelectorTerm";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A pod that a client changes.
pub(in crate::resources) fn validate_pod_update(new: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    metadata_and_spec_changes(&mut errors, new, old);
    let (now, before, path) = (sub(new.root(), "spec"), sub(old.root(), "spec"), Path::new("spec"));
    for list in ["containers", "initContainers"] {
        let at = path.child(list);
        if count(now, list) != count(before, list) {
            errors.push(FieldError::forbidden(&at, "pod updates may not add or remove containers"));
            return errors;
        }
        for (i, container) in items(now, list).enumerate() {
            let at = at.index(i);
            if text(container, "image").is_empty() {
                errors.push(FieldError::required(&at.child("image"), ""));
            }
            super::containers::image_unpadded(&mut errors, container, &at);
        }
    }
    if deadline(&mut errors, now, before, &path.child("activeDeadlineSeconds")) {
        return errors;
    }
    added_tolerations(&mut errors, now, before, &path.child("tolerations"));
    removed_gates(&mut errors, now, before, &path.child("schedulingGates"));
    if now == before {
        return errors;
    }
    let munged = munge(&mut errors, now, before, &path);
    if !same(&munged, before) {
        let detail = format!("pod updates may not change fields other than {CHANGEABLE}\n");
        errors.push(forbidden_difference(&path, detail, POD_SPEC, (before, &munged)));
    }
    errors
}

/// What all changes of a pod have in common.
pub(super) fn metadata_and_spec_changes(errors: &mut Errors, new: &Object, old: &Object) {
    metadata_and_spec(errors, new);
    annotation_changes(errors, new, old);
}

fn annotation_changes(errors: &mut Errors, new: &Object, old: &Object) {
    let of = |pod: &Object| sub(sub(pod.root(), "metadata"), "annotations").clone();
    let (now, metadata) = (of(new), Path::new("metadata"));
    let at = metadata.child("annotations");
    annotations::validate_update(errors, &now, &of(old), &at);
    annotations::validate(errors, &now, sub(new.root(), "spec"), &at);
}

/// The status that a kubelet writes.
pub(in crate::resources) fn validate_pod_status_update(new: &Object, old: &Object) -> Errors {
    let mut errors = Errors::new();
    annotation_changes(&mut errors, new, old);
    status::validate(&mut errors, new, old);
    errors
}

/// Containers that are added to a running pod.
pub(in crate::resources) fn validate_ephemeral_containers_update(new: &Object, old: &Object) -> Errors {
    if old.annotation(MIRROR).is_some() {
        return vec![FieldError::forbidden(&Path::ROOT, "static pods do not support ephemeral containers")];
    }
    let mut errors = Errors::new();
    metadata_and_spec_changes(&mut errors, new, old);
    let (now, before, spec) = (sub(new.root(), "spec"), sub(old.root(), "spec"), Path::new("spec"));
    let path = spec.child("ephemeralContainers");
    for container in items(before, "ephemeralContainers") {
        let name = text(container, "name");
        let quoted = go_quote(name);
        match items(now, "ephemeralContainers").filter(|c| text(c, "name") == name).last() {
            None => {
                let detail = format!("existing ephemeral containers {quoted} may not be removed\n");
                errors.push(FieldError::forbidden(&path, detail));
            }
            Some(other) if !same(other, container) => {
                let detail = format!("existing ephemeral containers {quoted} may not be changed\n");
                errors.push(forbidden_difference(&path, detail, EPHEMERAL, (container, other)));
            }
            Some(_) => {}
        }
    }
    errors
}

/// A deadline may come and come nearer. Whether the rest need not be looked at.
fn deadline(errors: &mut Errors, now: &Tree, before: &Tree, path: &Path<'_>) -> bool {
    const KEY: &str = "activeDeadlineSeconds";
    match (int(now, KEY), int(before, KEY)) {
        (Some(new), _) if !(0..=i64::from(i32::MAX)).contains(&new) => {
            let detail = format!("must be between 0 and {}, inclusive", i32::MAX);
            errors.push(FieldError::invalid(path, new, detail));
            true
        }
        (Some(new), Some(old)) if old < new => {
            errors.push(FieldError::invalid(path, new, "must be less than or equal to previous value"));
            true
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(path, Value::Null, detail));
            false
        }
        _ => false,
    }
}

fn added_tolerations(errors: &mut Errors, now: &Tree, before: &Tree, path: &Path<'_>) {
    const SECONDS: &str = "tolerationSeconds";
    let timeless = |toleration: &Tree| {
        let mut toleration = toleration.clone();
        toleration.remove(SECONDS);
        toleration
    };
    let now_all: Vec<Tree> = items(now, "tolerations").map(timeless).collect();
    if !items(before, "tolerations").map(timeless).all(|old| now_all.iter().any(|new| same(new, &old))) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        return errors.push(FieldError::forbidden(path, detail));
    }
    tolerations::validate(errors, now, path);
}

fn removed_gates(errors: &mut Errors, now: &Tree, before: &Tree, path: &Path<'_>) {
    let known: Vec<&str> = items(before, "schedulingGates").map(|gate| text(gate, "name")).collect();
    for (i, gate) in items(now, "schedulingGates").enumerate() {
        let name = text(gate, "name");
        if !known.contains(&name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(FieldError::forbidden(&path.index(i).child("name"), detail));
        }
    }
}

/// The new spec with everything as it was that may change.
fn munge(errors: &mut Errors, now: &Tree, before: &Tree, path: &Path<'_>) -> Tree {
    let mut munged = now.clone();
    for list in ["containers", "initContainers"] {
        let Some(containers) = munged.get_mut(list).and_then(Value::as_array_mut) else { continue };
        for (container, old) in containers.iter_mut().filter_map(Value::as_object_mut).zip(items(before, list)) {
            restore(container, old, "image");
        }
    }
    for key in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        restore(&mut munged, before, key);
    }
    let grace = |spec: &Tree| int(spec, "terminationGracePeriodSeconds");
    if grace(before).is_some_and(|seconds| seconds < 0) && grace(now) == Some(1) {
        restore(&mut munged, before, "terminationGracePeriodSeconds");
    }
    if count(before, "schedulingGates") > 0 {
        narrowed_selector(errors, now, before, &path.child("nodeSelector"));
        restore(&mut munged, before, "nodeSelector");
        munge_affinity(errors, &mut munged, before, &path.child("affinity"));
    }
    munged
}

fn restore(tree: &mut Tree, from: &Tree, key: &str) {
    match from.get(key) {
        Some(value) => tree.insert(key.to_owned(), value.clone()),
        None => tree.remove(key),
    };
}

/// A pod that waits at a gate may say more exactly on which nodes it runs.
fn narrowed_selector(errors: &mut Errors, now: &Tree, before: &Tree, path: &Path<'_>) {
    let selector = sub(now, "nodeSelector");
    if sub(before, "nodeSelector").iter().any(|(key, value)| selector.get(key) != Some(value)) {
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        let value = now.get("nodeSelector").cloned().unwrap_or(Value::Null);
        errors.push(FieldError::invalid(path, value, detail));
    }
}

/// The affinity to nodes becomes what it was, once its change is judged; what else changes of the affinity is left.
fn munge_affinity(errors: &mut Errors, munged: &mut Tree, before: &Tree, path: &Path<'_>) {
    const NODES: &str = "nodeAffinity";
    let nodes = |spec: &Tree| child(sub(spec, "affinity"), NODES).cloned();
    let (new, old) = (nodes(munged), nodes(before));
    if new.is_some() == old.is_some() && new.iter().zip(&old).all(|(new, old)| same(new, old)) {
        return;
    }
    if let Some(old) = &old {
        narrowed_terms(errors, new.as_ref(), old, &path.child(NODES));
    }
    let (only_nodes, was_there) = (
        ["podAffinity", "podAntiAffinity"].iter().all(|key| !is_set(sub(munged, "affinity"), key)),
        is_set(before, "affinity"),
    );
    match child_mut(munged, "affinity") {
        Some(_) if !was_there && only_nodes => drop(munged.remove("affinity")),
        Some(affinity) => restore(affinity, sub(before, "affinity"), NODES),
        None => drop(munged.insert("affinity".to_owned(), json!({NODES: old}))),
    }
}

/// Terms on nodes stay as many as they were, and only get more requirements.
fn narrowed_terms(errors: &mut Errors, new: Option<&Tree>, old: &Tree, path: &Path<'_>) {
    let required = path.child(REQUIRED);
    let at = required.child("nodeSelectorTerms");
    let list = |nodes: &Tree| sub(nodes, REQUIRED).get("nodeSelectorTerms").cloned().unwrap_or(Value::Null);
    let (new, old) = (new.map_or(Value::Null, list), list(old));
    let terms = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let (new_terms, old_terms) = (terms(&new), terms(&old));
    if !old_terms.is_empty() && old_terms.len() != new_terms.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return errors.push(invalid_as(&at, new, TERM, detail));
    }
    let empty = Tree::new();
    for (i, (new, old)) in new_terms.iter().zip(&old_terms).enumerate() {
        let (tree, old) = (new.as_object().unwrap_or(&empty), old.as_object().unwrap_or(&empty));
        if !only_adds(tree, old) {
            let detail = "only additions are allowed (no mutations or deletions)";
            errors.push(invalid_as(&at.index(i), new.clone(), TERM, detail));
        }
    }
}

fn only_adds(new: &Tree, old: &Tree) -> bool {
    let keys = ["matchExpressions", "matchFields"];
    if keys.iter().all(|key| count(old, key) == 0) {
        // A term without requirements selects nothing and must not begin to select.
        return keys.iter().all(|key| count(new, key) == 0);
    }
    keys.iter().all(|key| {
        let starts = items(old, key).zip(items(new, key)).all(|(old, new)| same(old, new));
        count(new, key) >= count(old, key) && starts
    })
}

/// Whether two trees in the form of their types mean the same: lists that are unset and empty are equal, amounts are
/// compared as amounts. What else is there although it is empty, a pointer of Go leads to.
fn same(a: &Tree, b: &Tree) -> bool {
    same_fields(a, b, false)
}

fn same_fields(a: &Tree, b: &Tree, amounts: bool) -> bool {
    let null = &Value::Null;
    let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
    keys.into_iter().all(|key| {
        let amounts = amounts || matches!(&**key, "limits" | "requests" | "overhead" | "sizeLimit" | "divisor");
        same_value((a.get(key).unwrap_or(null), b.get(key).unwrap_or(null)), amounts)
    })
}

fn same_value(pair: (&Value, &Value), amounts: bool) -> bool {
    match pair {
        (Value::Object(a), Value::Object(b)) => same_fields(a, b, amounts),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|p| same_value(p, amounts)),
        (a, b) if amounts && (a.is_string() || b.is_string()) => match (quantity(a), quantity(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a == b,
        },
        (Value::Null, Value::Array(items)) | (Value::Array(items), Value::Null) => items.is_empty(),
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::field::Shown;
    use crate::resources::check::testing::check_errors;

    fn pod(change: impl FnOnce(&mut Value)) -> Object {
        let mut pod = super::super::tests::pod();
        change(&mut pod);
        Object::from_value(pod).unwrap()
    }

    #[track_caller]
    fn check(before: impl FnOnce(&mut Value), after: impl FnOnce(&mut Value), expected: &[&str]) {
        check_errors(&validate_pod_update(&pod(after), &pod(before)), expected);
    }

    #[test]
    fn an_image_a_nearer_deadline_and_more_tolerations_may_come() {
        check(|_| {}, |p| p["spec"]["containers"][0]["image"] = json!("other"), &[]);
        check(|_| {}, |p| p["spec"]["activeDeadlineSeconds"] = json!(5), &[]);
        check(|_| {}, |p| p["spec"]["tolerations"] = json!([{"operator": "Exists"}]), &[]);
        check(
            |p| p["spec"]["activeDeadlineSeconds"] = json!(5),
            |p| p["spec"]["activeDeadlineSeconds"] = json!(6),
            &["spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous value"],
        );
        check(
            |p| p["spec"]["tolerations"] = json!([{"operator": "Exists"}]),
            |_| {},
            &["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
        );
    }

    #[test]
    fn the_rest_stays() {
        let errors = validate_pod_update(&pod(|p| p["spec"]["hostname"] = json!("h")), &pod(|_| {}));
        let text = errors[0].to_string();
        assert!(
            text.starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers"),
            "{text}"
        );
        let Shown::Difference(between) = &errors[0].shown else { panic!("{:?}", errors[0].shown) };
        assert_eq!((&between.from["hostname"], &between.to["hostname"]), (&Value::Null, &json!("h")));
        check(
            |_| {},
            |p| p["spec"]["containers"] = json!([p["spec"]["containers"][0], {"name": "b", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}]),
            &["spec.containers: Forbidden: pod updates may not add or remove containers"],
        );
    }

    #[test]
    fn unset_and_empty_and_equal_amounts_are_no_change() {
        check(
            |p| p["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1"}}),
            |p| {
                p["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "1000m"}});
                p["spec"]["hostAliases"] = json!([]);
            },
            &[],
        );
    }

    #[test]
    fn a_gated_pod_may_be_narrowed_but_not_widened() {
        let gated = |p: &mut Value| {
            p["spec"]["schedulingGates"] = json!([{"name": "g"}]);
            p["spec"]["nodeSelector"] = json!({"a": "b"});
        };
        check(gated, |p| p["spec"]["nodeSelector"] = json!({"a": "b", "c": "d"}), &[]);
        check(
            gated,
            |p| p["spec"]["nodeSelector"] = json!({"c": "d"}),
            &[
                "spec.nodeSelector: Invalid value: {\"c\":\"d\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)",
            ],
        );
        check(
            |_| {},
            |p| p["spec"]["schedulingGates"] = json!([{"name": "g"}]),
            &["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'"],
        );
    }

    #[test]
    fn debug_containers_come_and_stay() {
        let debug = |name: &str| json!([{"name": name, "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}]);
        let with = |name: &str| pod(|p| p["spec"]["ephemeralContainers"] = debug(name));
        check_errors(&validate_ephemeral_containers_update(&with("d"), &pod(|_| {})), &[]);
        check_errors(
            &validate_ephemeral_containers_update(&with("e"), &with("d")),
            &["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"d\" may not be removed\n"],
        );
    }
}
