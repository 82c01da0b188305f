//! What a client may not set of a pod: on creation, and through each of its parts.

use serde_json::{Value, json};

use super::pod_level::default_pod_level;
use super::quality::quality_of_service;
use crate::api::Object;
use crate::resources::Moment;
use crate::resources::part::{keep_rest, keep_status};
use crate::resources::tree::{
    Tree, child, child_mut, ensure, fill_zero, items, items_mut, keep, keep_metadata, text, texts,
};

/// A pod as it is created: Pending, with its quality of service, nothing else in the status.
pub(super) fn prepare_pod(pod: &mut Object, moment: &Moment) {
    let labels = child(pod.root(), "metadata").and_then(|m| child(m, "labels")).cloned().unwrap_or_default();
    let spec = pod.object_at(&["spec"]);
    select_own_labels(spec, &labels);
    default_pod_level(spec);
    let mut status = json!({"phase": "Pending", "qosClass": quality_of_service(spec)});
    if items(spec, "schedulingGates").next().is_some() {
        status["conditions"] = json!([{
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": null,
            "lastTransitionTime": moment.seconds(),
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
    }
    pod.set(&["status"], status);
}

/// `matchLabelKeys` and `mismatchLabelKeys` become requirements with the pod's own values.
fn select_own_labels(spec: &mut Tree, labels: &Tree) {
    if let Some(affinity) = child_mut(spec, "affinity") {
        for kind in ["podAffinity", "podAntiAffinity"] {
            let Some(affinity) = child_mut(affinity, kind) else { continue };
            for weighted in items_mut(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
                if let Some(term) = child_mut(weighted, "podAffinityTerm") {
                    add_requirements(term, labels);
                }
            }
            for term in items_mut(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
                add_requirements(term, labels);
            }
        }
    }
    for constraint in items_mut(spec, "topologySpreadConstraints") {
        add_requirements(constraint, labels);
    }
}

fn add_requirements(term: &mut Tree, labels: &Tree) {
    let mut requirements = Vec::new();
    for (keys, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in texts(term, keys) {
            if let Some(value) = labels.get(key) {
                requirements.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    if requirements.is_empty() {
        return;
    }
    // A selector that is not there selects nothing and stays so.
    let Some(selector) = child_mut(term, "labelSelector") else { return };
    let list = selector.entry("matchExpressions").or_insert(Value::Null);
    match list {
        Value::Array(list) => list.extend(requirements),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            *list = Value::Array(requirements);
        }
    }
}

/// The status, as a kubelet writes it. What old kubelets do not know or drop by mistake stays.
pub(super) fn prepare_status(new: &mut Object, old: &Object, _: &Moment) {
    keep_rest(new, old);
    keep(new, old, &["metadata", "deletionTimestamp"]);
    keep(new, old, &["metadata", "ownerReferences"]);
    let Some(before) = child(old.root(), "status") else { return };
    let status = new.object_at(&["status"]);
    for key in ["qosClass", "observedGeneration"] {
        if let Some(value) = before.get(key) {
            fill_zero(status, key, value.clone());
        }
    }
    for key in ["resourceClaimStatuses", "extendedResourceClaimStatus", "nodeAllocatableResourceClaimStatuses"] {
        if let (None, Some(value)) = (status.get(key), before.get(key)) {
            status.insert(key.to_owned(), value.clone());
        }
    }
    keep_observed_generations(status, before);
}

/// A condition without `observedGeneration` keeps that of the old condition of its type; types may come repeatedly.
fn keep_observed_generations(status: &mut Tree, before: &Tree) {
    let mut seen: Vec<String> = Vec::new();
    for condition in items_mut(status, "conditions") {
        let kind = text(condition, "type").to_owned();
        let nth = seen.iter().filter(|s| **s == kind).count();
        let old = items(before, "conditions").filter(|c| text(c, "type") == kind).nth(nth);
        if let Some(generation) = old.and_then(|c| c.get("observedGeneration")) {
            fill_zero(condition, "observedGeneration", generation.clone());
        }
        seen.push(kind);
    }
}

/// Only `spec.ephemeralContainers` changes.
pub(super) fn prepare_ephemeral_containers(new: &mut Object, old: &Object, _: &Moment) {
    let containers = new.remove(&["spec", "ephemeralContainers"]);
    keep(new, old, &["spec"]);
    keep_status(new, old);
    keep_metadata(new, old);
    match containers {
        Some(containers) => new.set(&["spec", "ephemeralContainers"], containers),
        None => drop(new.remove(&["spec", "ephemeralContainers"])),
    }
    count_change(new, old);
}

/// Only resources and resize policies change. Where containers come, go or change their names everything stays as the
/// client sent it, so that validation can refuse it.
pub(super) fn prepare_resize(new: &mut Object, old: &Object, _: &Moment) {
    let (Some(new_spec), Some(old_spec)) = (child(new.root(), "spec"), child(old.root(), "spec")) else { return };
    let lists = ["containers", "initContainers"];
    if lists.iter().any(|list| items(new_spec, list).count() != items(old_spec, list).count()) {
        return;
    }
    let mut spec = old_spec.clone();
    for list in lists {
        if let Some(containers) = resized(new_spec, old_spec, list) {
            spec.insert(list.to_owned(), containers);
        }
    }
    if let Some(resources) = new_spec.get("resources").or(old_spec.get("resources")) {
        spec.insert("resources".to_owned(), resources.clone());
    }
    default_pod_level(&mut spec);
    new.set(&["spec"], Value::Object(spec));
    keep_status(new, old);
    keep_metadata(new, old);
    count_change(new, old);
}

fn count_change(new: &mut Object, old: &Object) {
    if new.get(&["spec"]) != old.get(&["spec"]) {
        new.set(&["metadata", "generation"], old.generation() + 1);
    }
}

/// The old containers with the new resources, or the new ones when their names differ.
fn resized(new: &Tree, old: &Tree, list: &str) -> Option<Value> {
    let mut containers = old.get(list)?.clone();
    for (container, wished) in containers.as_array_mut()?.iter_mut().zip(items(new, list)) {
        let Some(container) = container.as_object_mut() else { continue };
        if text(container, "name") != text(wished, "name") {
            return new.get(list).cloned();
        }
        for key in ["resources", "resizePolicy"] {
            match wished.get(key) {
                Some(value) => container.insert(key.to_owned(), value.clone()),
                None => container.remove(key),
            };
        }
        ensure(container, "resources");
    }
    Some(containers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        Object::from_value(value).unwrap()
    }

    #[test]
    fn a_new_pod_is_pending_whatever_the_client_says() {
        let mut pod =
            object(json!({"spec": {"containers": [{}]}, "status": {"phase": "Running", "podIP": "10.0.0.1"}}));
        prepare_pod(&mut pod, &Moment { now: "2026-01-01T00:00:00Z".parse().unwrap() });
        assert_eq!(pod.get(&["status"]), Some(&json!({"phase": "Pending", "qosClass": "BestEffort"})));
    }

    #[test]
    fn a_gated_pod_says_that_it_is_not_scheduled() {
        let mut pod = object(json!({"spec": {"schedulingGates": [{"name": "x"}]}}));
        prepare_pod(&mut pod, &Moment { now: "2026-01-01T00:00:00.5Z".parse().unwrap() });
        let condition = pod.get(&["status", "conditions"]).unwrap()[0].clone();
        assert_eq!(
            (&condition["reason"], &condition["lastTransitionTime"]),
            (&json!("SchedulingGated"), &json!("2026-01-01T00:00:00Z"))
        );
    }

    #[test]
    fn label_keys_become_requirements() {
        let constraint = json!({"matchLabelKeys": ["a", "none"], "labelSelector": {"matchLabels": {"x": "y"}}});
        let mut pod =
            object(json!({"metadata": {"labels": {"a": "1"}}, "spec": {"topologySpreadConstraints": [constraint]}}));
        prepare_pod(&mut pod, &Moment { now: jiff::Timestamp::UNIX_EPOCH });
        let selector = &pod.get(&["spec", "topologySpreadConstraints"]).unwrap()[0]["labelSelector"];
        assert_eq!(selector["matchExpressions"], json!([{"key": "a", "operator": "In", "values": ["1"]}]));
    }

    #[test]
    fn a_status_write_keeps_what_old_kubelets_drop() {
        let old = object(json!({"metadata": {"ownerReferences": [1]}, "spec": {"nodeName": "n"},
            "status": {"qosClass": "Burstable", "conditions": [{"type": "Ready", "observedGeneration": 3}]}}));
        let mut new = object(
            json!({"metadata": {}, "spec": {}, "status": {"phase": "Running", "conditions": [{"type": "Ready"}]}}),
        );
        prepare_status(&mut new, &old, &Moment { now: jiff::Timestamp::UNIX_EPOCH });
        assert_eq!(new.text_at(&["status", "qosClass"]), "Burstable");
        assert_eq!(new.text_at(&["spec", "nodeName"]), "n");
        assert_eq!(new.get(&["status", "conditions"]).unwrap()[0]["observedGeneration"], json!(3));
        assert!(new.get(&["metadata", "ownerReferences"]).is_some());
    }

    #[test]
    fn a_resize_takes_resources_and_nothing_else() {
        let old =
            object(json!({"spec": {"nodeName": "n", "containers": [{"name": "a", "image": "x:1", "resources": {}}]}}));
        let mut new = object(
            json!({"spec": {"nodeName": "m", "containers": [{"name": "a", "image": "x:2", "resources": {"limits": {"cpu": "1"}}}]}}),
        );
        prepare_resize(&mut new, &old, &Moment { now: jiff::Timestamp::UNIX_EPOCH });
        let container = json!({"name": "a", "image": "x:1", "resources": {"limits": {"cpu": "1"}}});
        assert_eq!(new.get(&["spec"]), Some(&json!({"nodeName": "n", "containers": [container]})));
    }
}
