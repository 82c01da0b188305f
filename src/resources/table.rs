//! The table of behaviours of built-in types: one row and one file per type that is more than plain. Which types are
//! served, in which versions and with which shapes, the generated facts say.

use super::{Behaviour, apps, core};

/// The behaviour of a kind, in all its versions.
pub struct Row {
    pub group: &'static str,
    pub kind: &'static str,
    pub behaviour: &'static dyn Behaviour,
}

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
    row("apps", "ControllerRevision", &apps::controller_revision::ControllerRevision),
    row("apps", "DaemonSet", &apps::daemon_set::DaemonSet),
    row("apps", "Deployment", &apps::deployment::Deployment),
    row("apps", "ReplicaSet", &apps::replica_set::ReplicaSet),
    row("apps", "StatefulSet", &apps::stateful_set::StatefulSet),
    row("events.k8s.io", "Event", &core::event::EventsEvent),
];

const fn row(group: &'static str, kind: &'static str, behaviour: &'static dyn Behaviour) -> Row {
    Row { group, kind, behaviour }
}
