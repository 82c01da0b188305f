//! Pod.

use serde_json::{Value, json};

use super::app_armor;
use super::pod_cells::{self, pod_cells};
use super::pod_prepare::{prepare_ephemeral_containers, prepare_pod, prepare_resize, prepare_status};
use super::pod_template::{default_pod_only, default_pod_spec, default_pod_status};
use super::pod_validation::{
    validate_ephemeral_containers_update, validate_pod, validate_pod_resize, validate_pod_status_update,
    validate_pod_update,
};
use super::pod_warnings::pod_warnings;
use crate::api::Object;
use crate::api::field::Errors;
use crate::api::request::DeleteOptions;
use crate::resources::tree::{keep, list, text};
use crate::resources::{Behaviour, Kind, Moment, Part, SelectableField};

pub(in crate::resources) struct Pod;

const FIELDS: &[SelectableField] = &[
    SelectableField { name: "spec.nodeName", read: node_name, indexed: true },
    SelectableField { name: "spec.restartPolicy", read: |p| spec_text(p, "restartPolicy"), indexed: false },
    SelectableField { name: "spec.schedulerName", read: |p| spec_text(p, "schedulerName"), indexed: false },
    SelectableField { name: "spec.serviceAccountName", read: |p| spec_text(p, "serviceAccountName"), indexed: false },
    SelectableField { name: "spec.hostNetwork", read: host_network, indexed: false },
    SelectableField { name: "status.phase", read: |p| status_text(p, "phase"), indexed: false },
    SelectableField { name: "status.podIP", read: pod_ip, indexed: false },
    // Accepted since v1.16, yet without a value of its own.
    SelectableField { name: "status.podIPs", read: |_| String::new(), indexed: false },
    SelectableField { name: "status.nominatedNodeName", read: |p| status_text(p, "nominatedNodeName"), indexed: false },
    SelectableField { name: "spec.host", read: node_name, indexed: false },
];

impl Behaviour for Pod {
    fn default(&self, _: &Kind, object: &mut Object) {
        let spec = object.object_at(&["spec"]);
        default_pod_only(spec);
        default_pod_spec(spec);
        default_pod_status(object.object_at(&["status"]));
    }

    fn warnings_as_sent(&self, object: &Object) -> Vec<String> {
        app_armor::warnings(object)
    }

    fn prepare_create(&self, _: &Kind, object: &mut Object, moment: &Moment) {
        prepare_pod(object, moment);
        app_armor::fill(object);
    }

    fn prepare_update(&self, _: &Kind, new: &mut Object, old: &Object) {
        // Clients that do not know the field drop it; resources of a pod as a whole cannot be taken away.
        if new.get(&["spec", "resources"]).is_none() {
            keep(new, old, &["spec", "resources"]);
        }
    }

    fn generation(&self) -> bool {
        true
    }

    fn fields(&self) -> &'static [SelectableField] {
        FIELDS
    }

    fn validated_by_hand(&self) -> bool {
        true
    }

    fn validate(&self, _: &Kind, object: &Object) -> Errors {
        validate_pod(object)
    }

    fn validate_update(&self, _: &Kind, new: &Object, old: &Object) -> Errors {
        validate_pod_update(new, old)
    }

    fn warnings(&self, object: &Object, old: Option<&Object>) -> Vec<String> {
        pod_warnings(object, old)
    }

    fn part(&self, subresource: &str) -> Option<Part> {
        Some(match subresource {
            "status" => Part { prepare: prepare_status, validate: validate_pod_status_update },
            "ephemeralcontainers" => {
                Part { prepare: prepare_ephemeral_containers, validate: validate_ephemeral_containers_update }
            }
            "resize" => Part { prepare: prepare_resize, validate: validate_pod_resize },
            _ => return None,
        })
    }

    fn returns_deleted(&self, _: &str) -> bool {
        true
    }

    fn grace_period(&self, object: &Object, options: &DeleteOptions) -> Option<i64> {
        let wished = options.grace_period_seconds.or(object.int_at(&["spec", "terminationGracePeriodSeconds"]));
        let terminated = matches!(object.text_at(&["status", "phase"]), "Failed" | "Succeeded");
        let period = if terminated || node_name(object).is_empty() { 0 } else { wished.unwrap_or(0) };
        Some(if period < 0 { 1 } else { period })
    }

    fn status_resets(&self) -> &'static [&'static str] {
        &["metadata.deletionTimestamp", "metadata.ownerReferences", "spec"]
    }

    fn row_conditions(&self, object: &Object) -> Vec<Value> {
        let phase = object.text_at(&["status", "phase"]);
        let message = match phase {
            "Succeeded" => "The pod has completed successfully.",
            "Failed" => "The pod failed.",
            _ => return Vec::new(),
        };
        vec![json!({ "type": "Completed", "status": "True", "reason": phase, "message": message })]
    }

    fn printed(&self) -> &'static [&'static str] {
        pod_cells::PRINTED
    }

    fn cells(&self, object: &Object, moment: &Moment) -> Option<Vec<Value>> {
        Some(pod_cells(object, moment))
    }
}

fn node_name(pod: &Object) -> String {
    spec_text(pod, "nodeName")
}

fn spec_text(pod: &Object, key: &str) -> String {
    pod.text_at(&["spec", key]).to_owned()
}

fn status_text(pod: &Object, key: &str) -> String {
    pod.text_at(&["status", key]).to_owned()
}

fn host_network(pod: &Object) -> String {
    (pod.get(&["spec", "hostNetwork"]) == Some(&json!(true))).to_string()
}

/// The first of `status.podIPs`.
pub(super) fn pod_ip(pod: &Object) -> String {
    list(pod, &["status", "podIPs"]).next().map(|ip| text(ip, "ip").to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_grace(pod: Value, asked: Option<i64>, expected: i64) {
        let pod = Object::from_value(pod).unwrap();
        let options = DeleteOptions { grace_period_seconds: asked, ..DeleteOptions::default() };
        assert_eq!(Pod.grace_period(&pod, &options), Some(expected));
    }

    #[test]
    fn a_pod_that_runs_is_given_its_grace_period() {
        let running =
            json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Running"}});
        check_grace(running.clone(), None, 30);
        check_grace(running.clone(), Some(5), 5);
        check_grace(running.clone(), Some(0), 0);
        check_grace(running, Some(-7), 1);
        check_grace(json!({"spec": {"terminationGracePeriodSeconds": 30}}), Some(9), 0);
        check_grace(
            json!({"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Failed"}}),
            None,
            0,
        );
    }
}
