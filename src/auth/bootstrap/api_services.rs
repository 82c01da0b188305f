//! An APIService for each group and version of our own, as kube-aggregator registers them (its `autoregister`), with
//! upstream's priorities.

use serde_json::{Value, json};

use crate::api::Object;

const LABEL: &str = "kube-aggregator.kubernetes.io/automanaged";

/// The priority of a group and of a version in it (Kubernetes `pkg/controlplane/apiserver/aggregator.go`).
const PRIORITIES: &[(&str, &str, u32, u32)] = &[
    ("", "v1", 18000, 1),
    ("events.k8s.io", "v1", 17750, 15),
    ("events.k8s.io", "v1beta1", 17750, 5),
    ("authentication.k8s.io", "v1", 17700, 15),
    ("authentication.k8s.io", "v1beta1", 17700, 9),
    ("authentication.k8s.io", "v1alpha1", 17700, 1),
    ("authorization.k8s.io", "v1", 17600, 15),
    ("certificates.k8s.io", "v1", 17300, 15),
    ("certificates.k8s.io", "v1beta1", 17300, 9),
    ("certificates.k8s.io", "v1alpha1", 17300, 1),
    ("rbac.authorization.k8s.io", "v1", 17000, 15),
    ("apiextensions.k8s.io", "v1", 16700, 15),
    ("admissionregistration.k8s.io", "v1", 16700, 15),
    ("admissionregistration.k8s.io", "v1beta1", 16700, 12),
    ("admissionregistration.k8s.io", "v1alpha1", 16700, 9),
    ("coordination.k8s.io", "v1", 16500, 15),
    ("coordination.k8s.io", "v1beta1", 16500, 13),
    ("coordination.k8s.io", "v1alpha2", 16500, 12),
    ("discovery.k8s.io", "v1", 16200, 15),
    ("discovery.k8s.io", "v1beta1", 16200, 12),
    ("flowcontrol.apiserver.k8s.io", "v1", 16100, 21),
    ("flowcontrol.apiserver.k8s.io", "v1beta3", 16100, 18),
    ("flowcontrol.apiserver.k8s.io", "v1beta2", 16100, 15),
    ("flowcontrol.apiserver.k8s.io", "v1beta1", 16100, 12),
    ("flowcontrol.apiserver.k8s.io", "v1alpha1", 16100, 9),
    ("internal.apiserver.k8s.io", "v1alpha1", 16000, 9),
    ("storagemigration.k8s.io", "v1", 15800, 15),
    ("storagemigration.k8s.io", "v1beta1", 15800, 9),
    ("apps", "v1", 17800, 15),
    ("autoscaling", "v1", 17500, 15),
    ("autoscaling", "v2", 17500, 30),
    ("autoscaling", "v2beta1", 17500, 9),
    ("autoscaling", "v2beta2", 17500, 1),
    ("batch", "v1", 17400, 15),
    ("batch", "v1beta1", 17400, 9),
    ("batch", "v2alpha1", 17400, 9),
    ("networking.k8s.io", "v1", 17200, 15),
    ("networking.k8s.io", "v1beta1", 17200, 9),
    ("policy", "v1", 17100, 15),
    ("policy", "v1beta1", 17100, 9),
    ("storage.k8s.io", "v1", 16800, 15),
    ("storage.k8s.io", "v1beta1", 16800, 9),
    ("storage.k8s.io", "v1alpha1", 16800, 1),
    ("scheduling.k8s.io", "v1", 16600, 15),
    ("scheduling.k8s.io", "v1beta1", 16600, 9),
    ("scheduling.k8s.io", "v1alpha3", 16600, 3),
    ("node.k8s.io", "v1", 16300, 15),
    ("node.k8s.io", "v1beta1", 16300, 9),
    ("resource.k8s.io", "v1", 16200, 21),
    ("resource.k8s.io", "v1beta2", 16200, 15),
    ("resource.k8s.io", "v1beta1", 16200, 9),
    ("resource.k8s.io", "v1alpha3", 16200, 1),
    ("lifecycle.k8s.io", "v1alpha1", 15700, 1),
];

/// The APIServices of groups and versions; upstream makes none where it knows no priority, and neither do we.
pub(super) fn of(group_versions: &[(String, String)]) -> Vec<Value> {
    let service = |(group, version): &(String, String)| {
        let known = PRIORITIES.iter().find(|(g, v, ..)| g == group && v == version)?;
        let mut spec = json!({ "version": version, "groupPriorityMinimum": known.2, "versionPriority": known.3 });
        if !group.is_empty() {
            spec["group"] = json!(group);
        }
        Some(json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": { "name": format!("{version}.{group}"), "labels": { LABEL: "onstart" } },
            "spec": spec,
        }))
    };
    group_versions.iter().filter_map(service).collect()
}

/// One that is managed is made as it should be; others are the user's.
pub(super) fn reconciled(wished: &Object, present: &Object) -> Option<Object> {
    if present.text_at(&["metadata", "labels", LABEL]).is_empty() {
        return None;
    }
    let same = ["group", "version", "groupPriorityMinimum", "versionPriority", "service"]
        .iter()
        .all(|field| wished.get(&["spec", field]) == present.get(&["spec", field]));
    if same { None } else { super::replaced(wished, present, &["spec"]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::facts::Facts;

    #[test]
    fn every_group_and_version_that_can_be_served_has_a_priority() {
        let facts = Facts::load();
        for group in facts.groups.iter().filter(|group| group.name != "apiregistration.k8s.io") {
            for version in &group.versions {
                let pair = [(group.name.to_owned(), version.name.to_owned())];
                assert_eq!(of(&pair).len(), 1, "{pair:?}");
            }
        }
    }

    #[test]
    fn what_the_user_took_over_is_left_alone() {
        let object = |value: Value| Object::from_value(value).unwrap();
        let wished = of(&[("apps".to_owned(), "v1".to_owned())]).remove(0);
        let mut present = wished.clone();
        present["spec"]["versionPriority"] = json!(1);
        assert_eq!(reconciled(&object(wished.clone()), &object(present.clone())), Some(object(wished.clone())));
        present["metadata"]["labels"] = json!({});
        assert_eq!(reconciled(&object(wished), &object(present)), None);
    }
}
