//! What a node sees of a pod.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::client::{Cached, Labels, Meta, Time, exact};

#[derive(Deserialize, Debug, Clone)]
pub(super) struct Pod {
    #[serde(deserialize_with = "lean")]
    pub metadata: Meta,
    #[serde(default)]
    pub spec: PodSpec,
    #[serde(default)]
    pub status: PodStatus,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub node_name: String,
    pub host_network: bool,
    pub restart_policy: String,
    pub active_deadline_seconds: Option<i64>,
    #[serde(deserialize_with = "exact")]
    pub containers: Vec<Container>,
    #[serde(deserialize_with = "exact")]
    pub init_containers: Vec<Container>,
    pub readiness_gates: Vec<ReadinessGate>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ReadinessGate {
    pub condition_type: String,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Container {
    pub name: String,
    pub image: String,
    #[serde(deserialize_with = "exact")]
    pub command: Vec<String>,
    #[serde(deserialize_with = "exact")]
    pub args: Vec<String>,
    pub restart_policy: String,
    /// As JSON, which is a tenth of the tree.
    pub resources: Option<Box<RawValue>>,
    #[serde(deserialize_with = "exact")]
    pub volume_mounts: Vec<VolumeMount>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct VolumeMount {
    pub name: String,
    pub mount_path: String,
    pub read_only: bool,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodStatus {
    pub phase: String,
    pub observed_generation: i64,
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    pub start_time: Option<Time>,
    #[serde(deserialize_with = "exact")]
    pub conditions: Vec<Condition>,
    #[serde(deserialize_with = "exact")]
    pub container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub last_transition_time: Option<Time>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub name: String,
    #[serde(rename = "containerID")]
    pub container_id: String,
    pub restart_count: i32,
    pub state: ContainerState,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default)]
pub(super) struct ContainerState {
    pub running: Option<Running>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Running {
    pub started_at: Option<Time>,
}

fn lean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Meta, D::Error> {
    Meta::deserialize(deserializer).map(|meta| Meta { labels: Labels::default(), ..meta.with_annotations(&[]) })
}

impl Cached for Pod {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Pod {
    /// Whether the pod has ended.
    pub(super) fn finished(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// The condition of a type.
    pub(super) fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// What was last reported of a container.
    pub(super) fn container_status(&self, name: &str) -> Option<&ContainerStatus> {
        self.status.container_statuses.iter().find(|status| status.name == name)
    }

    /// Whether a Job owns the pod.
    pub(super) fn of_job(&self) -> bool {
        self.metadata.controller().is_some_and(|owner| owner.kind == "Job")
    }
}
