//! What the scheduler sees of a pod: its constraints, with its requests already summed up.

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use serde::Deserialize;

use super::NAME;
use super::resources::{Asked, Part, Quantities, Requests, Role};
use crate::client::{Cached, Meta, exact};

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(from = "Whole")]
pub(super) struct Pod {
    pub metadata: Meta,
    pub node_name: String,
    /// This scheduler is to find its place.
    pub ours: bool,
    pub priority: i32,
    pub preempts: bool,
    /// This, tolerations and spread: of pods that have no place yet.
    pub node_selector: Box<[(String, String)]>,
    pub affinity: Option<Box<Affinity>>,
    pub tolerations: Vec<Toleration>,
    pub spread: Vec<TopologySpreadConstraint>,
    pub gated: bool,
    pub host_ports: Vec<HostPort>,
    pub requests: Requests,
    /// It has ended.
    pub over: bool,
    pub nominated_node: String,
    /// The message of a PodScheduled condition that is false.
    pub unscheduled_message: String,
}

/// A port of the node that a pod takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct HostPort {
    pub ip: String,
    pub protocol: String,
    pub port: i32,
}

#[derive(Deserialize)]
struct Whole {
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    node_name: String,
    scheduler_name: String,
    priority: i32,
    preemption_policy: String,
    node_selector: std::collections::BTreeMap<String, String>,
    affinity: Option<Box<Affinity>>,
    #[serde(deserialize_with = "exact")]
    tolerations: Vec<Toleration>,
    #[serde(deserialize_with = "exact")]
    topology_spread_constraints: Vec<TopologySpreadConstraint>,
    scheduling_gates: Vec<serde::de::IgnoredAny>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    resources: Asked,
    overhead: Quantities,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Container {
    resources: Asked,
    restart_policy: String,
    ports: Vec<Port>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Port {
    #[serde(rename = "hostIP")]
    host_ip: String,
    host_port: i32,
    protocol: String,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    phase: String,
    nominated_node_name: String,
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    message: String,
}

impl From<Whole> for Pod {
    fn from(whole: Whole) -> Self {
        let Whole { metadata, spec, status } = whole;
        let init = spec.init_containers.iter().map(|container| {
            let role = if container.restart_policy == "Always" { Role::Sidecar } else { Role::Init };
            (container, role)
        });
        let all: Vec<_> = init.chain(spec.containers.iter().map(|container| (container, Role::Main))).collect();
        let parts: Vec<_> =
            all.iter().map(|(container, role)| Part { asked: &container.resources.requests, role: *role }).collect();
        let requests = Requests::sum(&parts, &spec.resources.requests, &spec.overhead);
        let runs_on = |role: &Role| *role != Role::Init;
        let ports = all.iter().filter(|(_, role)| runs_on(role)).flat_map(|(container, _)| &container.ports);
        let host_ports = ports
            .filter(|port| port.host_port > 0)
            .map(|port| HostPort {
                ip: if port.host_ip.is_empty() { "0.0.0.0".to_owned() } else { port.host_ip.clone() },
                protocol: if port.protocol.is_empty() { "TCP".to_owned() } else { port.protocol.clone() },
                port: port.host_port,
            })
            .collect();
        // What a pod asks of its place counts until it has one.
        let waits = spec.node_name.is_empty();
        let unscheduled = status.conditions.into_iter().find(|c| c.kind == "PodScheduled" && c.status == "False");
        Self {
            node_name: spec.node_name,
            ours: spec.scheduler_name == NAME,
            priority: spec.priority,
            preempts: spec.preemption_policy != "Never",
            node_selector: if waits { spec.node_selector.into_iter().collect() } else { Box::default() },
            affinity: spec.affinity,
            tolerations: if waits { spec.tolerations } else { Vec::new() },
            spread: if waits { spec.topology_spread_constraints } else { Vec::new() },
            gated: !spec.scheduling_gates.is_empty(),
            host_ports,
            requests,
            over: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
            nominated_node: status.nominated_node_name,
            unscheduled_message: unscheduled.map(|condition| condition.message).unwrap_or_default(),
            metadata: Meta { owner_references: Vec::new(), ..metadata.with_annotations(&[]) },
        }
    }
}

impl Cached for Pod {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn wanted(&self) -> bool {
        self.waits() || self.occupies()
    }
}

impl Pod {
    /// Whether the pod waits for this scheduler.
    pub(super) fn waits(&self) -> bool {
        self.node_name.is_empty() && self.ours && !self.gated && !self.over && !self.metadata.deleting()
    }

    /// Whether the pod takes room on a node.
    pub(super) fn occupies(&self) -> bool {
        !self.node_name.is_empty() && !self.over
    }
}
