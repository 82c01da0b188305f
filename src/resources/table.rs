//! The table of behaviours of built-in types: one row and one file per type that is more than plain. Which types are
//! served, in which versions and with which shapes, the generated facts say.

use super::{
    Behaviour, admissionregistration, apiextensions, apiregistration, apiserverinternal, apps, autoscaling, batch,
    certificates, coordination, core, discovery, flowcontrol, networking, node, policy, rbac, resource, scheduling,
    storage, storagemigration,
};

/// The behaviour of a kind, in all its versions.
pub struct Row {
    pub group: &'static str,
    pub kind: &'static str,
    pub behaviour: &'static dyn Behaviour,
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const FLOW_CONTROL: &str = "flowcontrol.apiserver.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const STORAGE: &str = "storage.k8s.io";

/// In the order of groups, then kinds. A kind without a row is `Plain`.
pub static BUILT_IN: &[Row] = &[
    row("", "ComponentStatus", &core::component_status::ComponentStatus),
    row("", "ConfigMap", &core::config_map::ConfigMap),
    row("", "Endpoints", &core::endpoints::Endpoints),
    row("", "Event", &core::event::CoreEvent),
    row("", "LimitRange", &core::limit_range::LimitRange),
    row("", "Namespace", &core::namespace::Namespace),
    row("", "Node", &core::node::Node),
    row("", "PersistentVolume", &core::volume::PersistentVolume),
    row("", "PersistentVolumeClaim", &core::volume_claim::PersistentVolumeClaim),
    row("", "Pod", &core::pod::Pod),
    row("", "PodTemplate", &core::template::PodTemplate),
    row("", "ReplicationController", &core::replication_controller::ReplicationController),
    row("", "ResourceQuota", &core::resource_quota::ResourceQuota),
    row("", "Secret", &core::secret::Secret),
    row("", "Service", &core::service::Service),
    row("", "ServiceAccount", &core::service_account::ServiceAccount),
    row(ADMISSION, "MutatingAdmissionPolicy", &admissionregistration::policy::MutatingAdmissionPolicy),
    row(
        ADMISSION,
        "MutatingAdmissionPolicyBinding",
        &admissionregistration::policy_binding::MutatingAdmissionPolicyBinding,
    ),
    row(ADMISSION, "MutatingWebhookConfiguration", &admissionregistration::webhook::MutatingWebhookConfiguration),
    row(ADMISSION, "ValidatingAdmissionPolicy", &admissionregistration::policy::ValidatingAdmissionPolicy),
    row(
        ADMISSION,
        "ValidatingAdmissionPolicyBinding",
        &admissionregistration::policy_binding::ValidatingAdmissionPolicyBinding,
    ),
    row(ADMISSION, "ValidatingWebhookConfiguration", &admissionregistration::webhook::ValidatingWebhookConfiguration),
    row("apiextensions.k8s.io", "CustomResourceDefinition", &apiextensions::definition::CustomResourceDefinition),
    row("apiregistration.k8s.io", "APIService", &apiregistration::api_service::ApiService),
    row("apps", "ControllerRevision", &apps::controller_revision::ControllerRevision),
    row("apps", "DaemonSet", &apps::daemon_set::DaemonSet),
    row("apps", "Deployment", &apps::deployment::Deployment),
    row("apps", "ReplicaSet", &apps::replica_set::ReplicaSet),
    row("apps", "StatefulSet", &apps::stateful_set::StatefulSet),
    row("autoscaling", "HorizontalPodAutoscaler", &autoscaling::pod_autoscaler::HorizontalPodAutoscaler),
    row("batch", "CronJob", &batch::cron_job::CronJob),
    row("batch", "Job", &batch::job::Job),
    row(CERTIFICATES, "CertificateSigningRequest", &certificates::request::CertificateSigningRequest),
    row(CERTIFICATES, "ClusterTrustBundle", &certificates::trust_bundle::ClusterTrustBundle),
    row(CERTIFICATES, "PodCertificateRequest", &certificates::pod_request::PodCertificateRequest),
    row("coordination.k8s.io", "Lease", &coordination::lease::Lease),
    row("coordination.k8s.io", "LeaseCandidate", &coordination::lease_candidate::LeaseCandidate),
    row("discovery.k8s.io", "EndpointSlice", &discovery::endpoint_slice::EndpointSlice),
    row("events.k8s.io", "Event", &core::event::EventsEvent),
    row(FLOW_CONTROL, "FlowSchema", &flowcontrol::flow_schema::FlowSchema),
    row(FLOW_CONTROL, "PriorityLevelConfiguration", &flowcontrol::priority_level::PriorityLevelConfiguration),
    row("internal.apiserver.k8s.io", "StorageVersion", &apiserverinternal::storage_version::StorageVersion),
    row(NETWORKING, "IPAddress", &networking::ip_address::IpAddress),
    row(NETWORKING, "Ingress", &networking::ingress::Ingress),
    row(NETWORKING, "IngressClass", &networking::ingress_class::IngressClass),
    row(NETWORKING, "NetworkPolicy", &networking::network_policy::NetworkPolicy),
    row(NETWORKING, "ServiceCIDR", &networking::service_cidr::ServiceCidr),
    row("node.k8s.io", "RuntimeClass", &node::runtime_class::RuntimeClass),
    row("policy", "PodDisruptionBudget", &policy::disruption_budget::PodDisruptionBudget),
    row(RBAC, "ClusterRole", &rbac::role::ClusterRole),
    row(RBAC, "ClusterRoleBinding", &rbac::binding::ClusterRoleBinding),
    row(RBAC, "Role", &rbac::role::Role),
    row(RBAC, "RoleBinding", &rbac::binding::RoleBinding),
    row("resource.k8s.io", "DeviceClass", &resource::device_class::DeviceClass),
    row("resource.k8s.io", "DeviceTaintRule", &resource::taint_rule::DeviceTaintRule),
    row("resource.k8s.io", "ResourceClaim", &resource::claim::ResourceClaim),
    row("resource.k8s.io", "ResourceClaimTemplate", &resource::claim::ResourceClaimTemplate),
    row("resource.k8s.io", "ResourceSlice", &resource::slice::ResourceSlice),
    row("scheduling.k8s.io", "PriorityClass", &scheduling::priority_class::PriorityClass),
    row(STORAGE, "CSIDriver", &storage::driver::CsiDriver),
    row(STORAGE, "CSINode", &storage::driver_node::CsiNode),
    row(STORAGE, "CSIStorageCapacity", &storage::capacity::CsiStorageCapacity),
    row(STORAGE, "StorageClass", &storage::class::StorageClass),
    row(STORAGE, "VolumeAttachment", &storage::attachment::VolumeAttachment),
    row(STORAGE, "VolumeAttributesClass", &storage::attributes_class::VolumeAttributesClass),
    row("storagemigration.k8s.io", "StorageVersionMigration", &storagemigration::migration::StorageVersionMigration),
];

const fn row(group: &'static str, kind: &'static str, behaviour: &'static dyn Behaviour) -> Row {
    Row { group, kind, behaviour }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};
    use serde_json::{Map, Value, json};

    use super::super::facts::Facts;
    use super::super::{Kind, Moment, RuntimeConfig, built_in};
    use super::*;
    use crate::api::Object;
    use crate::api::codec::json::{Layout, Sieve, encode};
    use crate::api::schema::{Shape, Table};

    fn every_kind() -> super::super::Served {
        let everything = RuntimeConfig { switches: vec![("api/all".to_owned(), true)], ..RuntimeConfig::default() };
        built_in(&Facts::load(), &everything)
    }

    fn minimal(kind: &Kind) -> Object {
        let spec =
            json!({"containers": [{"name": "a", "image": "b"}], "template": {"spec": {"containers": [{"name": "a"}]}}});
        let mut object = Object::from_value(json!({"metadata": {"name": "x", "uid": "u"}, "spec": spec})).unwrap();
        object.set_gvk(&kind.gvk);
        object
    }

    #[test]
    fn every_row_is_of_a_kind_that_can_be_served_and_rows_are_sorted() {
        let facts = Facts::load();
        let known: HashSet<(&str, &str)> = facts.kinds.iter().map(|k| (&*k.gvk.group, &*k.gvk.kind)).collect();
        let strange: Vec<_> = BUILT_IN.iter().filter(|r| !known.contains(&(r.group, r.kind))).map(|r| r.kind).collect();
        assert_eq!(strange, Vec::<&str>::new());
        assert!(BUILT_IN.is_sorted_by_key(|row| (row.group, row.kind)), "rows are out of order");
    }

    #[test]
    fn defaults_set_twice_are_defaults_set_once() {
        for kind in every_kind().kinds() {
            let mut once = minimal(kind);
            kind.behaviour.default(kind, &mut once);
            let mut twice = once.clone();
            kind.behaviour.default(kind, &mut twice);
            assert_eq!(once, twice, "{}", kind.gvk);
        }
    }

    #[test]
    fn a_row_has_a_cell_for_each_column() {
        let moment = Moment { now: jiff::Timestamp::UNIX_EPOCH };
        for kind in every_kind().kinds() {
            let mut object = minimal(kind);
            kind.behaviour.default(kind, &mut object);
            if let Some(cells) = kind.behaviour.cells(&object, &moment) {
                // Upstream prints the age of an IPAddress without a column for it.
                let extra = usize::from(&*kind.gvk.kind == "IPAddress");
                assert_eq!(cells.len(), kind.columns.len() + extra, "{}: {cells:?}", kind.gvk);
            }
        }
    }

    /// Values of a shape: what a row may print, now this, now that.
    fn some(table: &Table, shape: &Shape, (dice, depth): (&mut StdRng, usize)) -> Value {
        const WORDS: [&str; 16] = [
            "True",
            "False",
            "Always",
            "Running",
            "Completed",
            "Succeeded",
            "Failed",
            "Ready",
            "Initialized",
            "NodeLost",
            "PodScheduled",
            "SchedulingGated",
            "PodInitializing",
            "a",
            "b",
            "",
        ];
        match shape {
            Shape::Bool => json!(dice.random_bool(0.5)),
            Shape::Int32 | Shape::Int64 | Shape::IntOrString => json!(dice.random_range(0..3)),
            Shape::Time => json!(["2026-01-01T00:00:00Z", "2026-01-01T00:09:00Z"][dice.random_range(0..2)]),
            Shape::Struct(id) => {
                let mut object = Map::new();
                for field in &table.get(*id).fields {
                    if depth < 7 && dice.random_bool(0.6) {
                        object.insert(field.name.to_string(), some(table, &field.shape, (&mut *dice, depth + 1)));
                    }
                }
                Value::Object(object)
            }
            Shape::List(list) => {
                (0..dice.random_range(0..3)).map(|_| some(table, &list.item, (&mut *dice, depth + 1))).collect()
            }
            Shape::Map(of) => json!({"a": some(table, &of.value, (&mut *dice, depth + 1))}),
            Shape::Quantity => json!("1"),
            _ => json!(WORDS[dice.random_range(0..WORDS.len())]),
        }
    }

    #[test]
    fn a_row_needs_no_more_of_an_object_than_is_told() {
        let moment = Moment { now: "2026-01-01T00:10:00Z".parse().unwrap() };
        let mut dice = StdRng::seed_from_u64(1);
        let mut seen = 0;
        for kind in every_kind().kinds().filter(|kind| !kind.behaviour.printed().is_empty()) {
            let sieve = Sieve::of(kind.behaviour.printed());
            let mut rows = HashSet::new();
            for _ in 0..2000 {
                let whole = some(&kind.types, &Shape::Struct(kind.type_id), (&mut dice, 0));
                let part = sieve.tree(&encode(&whole, Layout::Sorted)).unwrap();
                let [whole, part] = [whole, part].map(|value| {
                    let object = Object::from_value(value).unwrap();
                    (kind.behaviour.cells(&object, &moment), kind.behaviour.row_conditions(&object))
                });
                rows.insert(format!("{:?}", whole.0));
                assert_eq!(part, whole, "{}", kind.gvk);
            }
            assert!(rows.len() > 100, "{}: only {} rows differ", kind.gvk, rows.len());
            seen += 1;
        }
        assert!(seen > 0);
    }
}
