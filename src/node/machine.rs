//! The nodes themselves: registration, leases and heartbeats, spread over time so that thousands of nodes are an even,
//! small load.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::fleet::{Fleet, Node};
use crate::client::{Client, Error, EventText, Meta, Patch, Resource, encode};
use crate::resources::facts::VERSION;

/// What a kubelet of this version says of itself with the feature gates as they are by default.
const DECLARED_FEATURES: [&str; 4] = [
    "ExtendWebSocketsToKubelet",
    "InPlacePodLevelResourcesVerticalScaling",
    "InPlacePodVerticalScalingInitContainers",
    "RestartAllContainersOnContainerExits",
];
const LEASES_NAMESPACE: &str = "kube-node-lease";
/// How long a lease holds, and how often it is renewed, as a kubelet does.
const LEASE_SECONDS: i64 = 40;
const RENEW_INTERVAL: Duration = Duration::from_secs(10);
/// Beyond so many nodes leases are renewed less often, still in time.
const FLEET_BIG: usize = 200;
const RENEW_INTERVAL_BIG: Duration = Duration::from_secs(25);
/// Every so many renewals the node's status is written, too: about every five minutes.
const REPORT_INTERVAL: Duration = Duration::from_secs(300);
/// The least time between two rounds of writes.
const STEP_MIN: Duration = Duration::from_millis(100);
const WRITES_MAX: usize = 16;
const RETRY: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Registered {
    metadata: Meta,
}

/// Registers all nodes and keeps them alive until dropped.
pub(super) async fn keep_alive(fleet: Arc<Fleet>) {
    let registrations: Vec<_> = fleet.nodes.iter().map(|node| register_until_done(&fleet, node)).collect();
    stream::iter(registrations).buffer_unordered(WRITES_MAX).for_each(|()| async {}).await;
    let count = u32::try_from(fleet.nodes.len()).unwrap_or(u32::MAX);
    let interval = if fleet.nodes.len() > FLEET_BIG { RENEW_INTERVAL_BIG } else { RENEW_INTERVAL };
    let step = (interval / count).max(STEP_MIN);
    let per_step = (fleet.nodes.len() * usize::try_from(step.as_millis()).unwrap_or(1))
        .div_ceil(usize::try_from(interval.as_millis()).unwrap_or(1));
    let rounds_per_report = REPORT_INTERVAL.as_secs() / interval.as_secs();
    let mut round = 0;
    loop {
        round += 1;
        for nodes in fleet.nodes.chunks(per_step.max(1)) {
            fleet.clock.sleep(step).await;
            let beats: Vec<_> = nodes.iter().map(|node| beat(&fleet, node, round % rounds_per_report == 0)).collect();
            stream::iter(beats).buffer_unordered(WRITES_MAX).for_each(|()| async {}).await;
        }
    }
}

async fn register_until_done(fleet: &Fleet, node: &Node) {
    while let Err(error) = register(fleet, node).await {
        tracing::warn!(
            node = node.name,
            error = &error as &dyn std::error::Error,
            "node was not registered, trying again"
        );
        fleet.clock.sleep(RETRY).await;
    }
}

async fn register(fleet: &Fleet, node: &Node) -> Result<(), Error> {
    let now = fleet.clock.now();
    fleet.record(node, EventText::normal("Starting", "Starting kubelet."));
    match node.client.create(Resource::NODES.all(), encode(&node_object(fleet, node, now))).await {
        Ok(_) => {
            fleet.record(node, EventText::normal("NodeReady", format!("Node {} status is now: NodeReady", node.name)))
        }
        Err(error) if error.already_exists() => {
            let patch = json!({"status": node_status(fleet, node, now)});
            let target = Resource::NODES.at("", &node.name).sub("status");
            node.client.patch(target, Patch::Strategic, encode(&patch)).await?;
        }
        Err(error) => return Err(error),
    }
    renew(&node.client, &node.name, now).await
}

async fn beat(fleet: &Fleet, node: &Node, reports: bool) {
    let now = fleet.clock.now();
    let result = async {
        renew(&node.client, &node.name, now).await?;
        if reports {
            let patch = json!({"status": {"conditions": conditions(now)}});
            let target = Resource::NODES.at("", &node.name).sub("status");
            // The time of the last transition stays where it is.
            node.client.patch(target, Patch::Strategic, encode(&without_transitions(patch))).await?;
        }
        Ok::<_, Error>(())
    };
    match result.await {
        Err(error) if !error.not_found() => {
            tracing::warn!(node = node.name, error = &error as &dyn std::error::Error, "heartbeat was not written");
        }
        Ok(()) | Err(_) => {}
    }
}

fn without_transitions(mut patch: Value) -> Value {
    for condition in patch["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if let Some(condition) = condition.as_object_mut() {
            condition.remove("lastTransitionTime");
        }
    }
    patch
}

async fn renew(client: &Client, name: &str, now: Timestamp) -> Result<(), Error> {
    let renewed = now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": renewed});
    let target = Resource::LEASES.at(LEASES_NAMESPACE, name);
    match client.patch(target, Patch::Merge, encode(&json!({"spec": spec}))).await {
        Err(error) if error.not_found() => {}
        other => return other.map(drop),
    }
    let node: Registered = client.get(Resource::NODES.at("", name)).await?;
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.metadata.uid});
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASES_NAMESPACE, "ownerReferences": [owner]}, "spec": spec,
    });
    client.create(Resource::LEASES.at(LEASES_NAMESPACE, ""), encode(&lease)).await.map(drop)
}

fn node_object(fleet: &Fleet, node: &Node, now: Timestamp) -> Value {
    let name = &node.name;
    let labels = json!({
        "beta.kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name,
    });
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name, "labels": labels,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true", "node.alpha.kubernetes.io/ttl": "0"},
        },
        "spec": {
            "podCIDR": node.pod_range, "podCIDRs": [node.pod_range], "providerID": format!("coracle://{name}"),
        },
        "status": node_status(fleet, node, now),
    })
}

fn node_status(fleet: &Fleet, node: &Node, now: Timestamp) -> Value {
    let settings = &fleet.settings;
    let resources = json!({
        "cpu": settings.cpu, "memory": settings.memory, "pods": settings.pods_max.to_string(),
        "ephemeral-storage": "1Ti", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
    });
    json!({
        "capacity": resources, "allocatable": resources, "conditions": conditions(now),
        "addresses": [
            {"type": "InternalIP", "address": node.address}, {"type": "Hostname", "address": node.name},
        ],
        "declaredFeatures": DECLARED_FEATURES,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "kubeletVersion": VERSION,
            "kubeProxyVersion": "", "containerRuntimeVersion": "containerd://2.2.0",
            "osImage": "Coracle simulated node", "kernelVersion": "6.12.0",
            "machineID": machine_id(&node.name), "systemUUID": machine_id(&node.name), "bootID": machine_id(&node.name),
        },
    })
}

/// An id that a node keeps over restarts.
fn machine_id(name: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(name.as_bytes());
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn conditions(now: Timestamp) -> Value {
    let at = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": at, "lastTransitionTime": at,
        })
    };
    json!([
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ])
}
