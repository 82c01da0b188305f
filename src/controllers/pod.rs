//! What controllers see of a pod, and the questions that several of them ask of it.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Toleration;
use serde::{Deserialize, Deserializer};

use super::context::Shared;
use crate::client::{Cached, Meta, Resource, Time, exact};

/// What a pod says of how dear its deletion is.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A pod, as controllers see it.
#[derive(Deserialize, Debug, Default, Clone)]
pub(super) struct Pod {
    #[serde(deserialize_with = "lean")]
    pub metadata: Meta,
    #[serde(default)]
    pub spec: PodSpec,
    #[serde(default)]
    pub status: PodStatus,
}

#[derive(Deserialize, Debug, Default, Clone)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub node_name: String,
    pub restart_policy: String,
    pub hostname: String,
    pub subdomain: String,
    /// These are the same in most pods of a workload, and held once.
    #[serde(deserialize_with = "shared")]
    pub containers: Arc<[Container]>,
    #[serde(deserialize_with = "shared")]
    pub init_containers: Arc<[Container]>,
    #[serde(deserialize_with = "shared")]
    pub tolerations: Arc<[Toleration]>,
    pub scheduling_gates: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Debug, Default, Clone, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Container {
    pub name: String,
    pub restart_policy: String,
    #[serde(deserialize_with = "exact")]
    pub ports: Vec<ContainerPort>,
}

#[derive(Deserialize, Debug, Default, Clone, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerPort {
    pub name: String,
    pub container_port: i32,
    pub protocol: String,
}

#[derive(Deserialize, Debug, Default, Clone)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodStatus {
    pub phase: String,
    pub reason: String,
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    #[serde(rename = "podIPs", deserialize_with = "exact")]
    pub pod_ips: Vec<PodIp>,
    #[serde(rename = "hostIP")]
    pub host_ip: String,
    #[serde(deserialize_with = "exact")]
    pub conditions: Vec<PodCondition>,
    #[serde(deserialize_with = "exact")]
    pub container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize, Debug, Default, Clone)]
#[serde(default)]
pub(super) struct PodIp {
    pub ip: String,
}

#[derive(Deserialize, Debug, Default, Clone)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodCondition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub reason: String,
    pub last_transition_time: Option<Time>,
}

#[derive(Deserialize, Debug, Default, Clone)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub restart_count: i32,
}

fn shared<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Arc<[T]>, D::Error> {
    Vec::deserialize(deserializer).map(Arc::from)
}

/// Takes the other's if it is the same.
fn share<T: PartialEq>(own: &mut Arc<[T]>, other: &Arc<[T]>) {
    if own == other {
        *own = Arc::clone(other);
    }
}

fn lean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Meta, D::Error> {
    Meta::deserialize(deserializer).map(|meta| meta.with_annotations(&[DELETION_COST]))
}

impl Cached for Pod {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn index_key(&self) -> &str {
        &self.spec.node_name
    }

    fn resemble(&mut self, other: &Self) {
        share(&mut self.spec.containers, &other.spec.containers);
        share(&mut self.spec.init_containers, &other.spec.init_containers);
        share(&mut self.spec.tolerations, &other.spec.tolerations);
    }
}

impl Shared for Pod {
    const RESOURCE: &'static Resource = Resource::PODS;
}

impl Pod {
    /// The condition of a type.
    pub(super) fn condition(&self, kind: &str) -> Option<&PodCondition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Whether the pod has ended.
    pub(super) fn finished(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Whether the pod has not ended and is not being deleted.
    pub(super) fn active(&self) -> bool {
        !self.finished() && !self.metadata.deleting()
    }

    /// Whether the pod is being deleted and has not ended.
    pub(super) fn terminating(&self) -> bool {
        !self.finished() && self.metadata.deleting()
    }

    /// Since when the pod is ready, in seconds since 1970; `None` when it is not.
    pub(super) fn ready_since(&self) -> Option<i64> {
        let ready = self.condition("Ready").filter(|condition| condition.status == "True")?;
        Some(ready.last_transition_time.as_ref().map_or(0, |time| time.0.as_second()))
    }

    /// Whether the pod is ready.
    pub(super) fn ready(&self) -> bool {
        self.ready_since().is_some()
    }

    /// Whether the pod has been ready for so many seconds.
    pub(super) fn available(&self, min_ready_seconds: i32, now: Timestamp) -> bool {
        self.ready_since()
            .is_some_and(|since| min_ready_seconds == 0 || since + i64::from(min_ready_seconds) <= now.as_second())
    }

    fn restarts_max(&self) -> i32 {
        self.status.container_statuses.iter().map(|status| status.restart_count).max().unwrap_or(0)
    }

    fn deletion_cost(&self) -> i32 {
        self.metadata.annotation(DELETION_COST).unwrap_or(0)
    }
}

/// Which of two pods to delete first (`ActivePodsWithRanks`); `ranks` are the numbers of related pods on their nodes.
pub(super) fn deletion_order(a: (&Pod, usize), b: (&Pod, usize), now: Timestamp) -> Ordering {
    let (a, a_rank) = a;
    let (b, b_rank) = b;
    let phase = |pod: &Pod| match pod.status.phase.as_str() {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    let by_age = |a: i64, b: i64| {
        // Ages are compared by their powers of two, so that not always the newest goes (1.22).
        let rank = |at: i64| (now.as_second() - at).max(1).ilog2();
        rank(a).cmp(&rank(b))
    };
    let assigned = |pod: &Pod| !pod.spec.node_name.is_empty();
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| a.ready().cmp(&b.ready()))
        .then_with(|| a.deletion_cost().cmp(&b.deletion_cost()))
        .then_with(|| b_rank.cmp(&a_rank))
        .then_with(|| match (a.ready_since(), b.ready_since()) {
            (Some(a_since), Some(b_since)) if a_since != b_since => by_age(a_since, b_since),
            _ => Ordering::Equal,
        })
        .then_with(|| b.restarts_max().cmp(&a.restarts_max()))
        .then_with(|| by_age(a.metadata.created_second(), b.metadata.created_second()))
        .then_with(|| a.metadata.uid.cmp(&b.metadata.uid))
}
