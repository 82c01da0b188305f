//! `node-lifecycle-controller`: notices nodes that no longer report, and taints nodes by their conditions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Controller;
use super::context::{Context, Shared};
use super::pod::Pod;
use crate::client::{
    Cache, Cached, Error, EventText, Meta, ObjectName, Outcome, Patch, Resource, Selection, Time, encode, work,
};

pub(super) const NODE_LIFECYCLE: Controller = Controller {
    name: "node-lifecycle-controller",
    alias: "nodelifecycle",
    account: "node-controller",
    source: "node-controller",
    run: |ctx| run(ctx).boxed(),
};

const WORKERS: usize = 8;
/// A node that has not reported for so long is unknown (upstream's `--node-monitor-grace-period`).
const GRACE: Duration = Duration::from_secs(50);
const LEASES_NAMESPACE: &str = "kube-node-lease";

/// A node, as controllers see it.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct Node {
    pub metadata: Meta,
    #[serde(default)]
    pub spec: NodeSpec,
    #[serde(default)]
    pub status: NodeStatus,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default)]
pub(super) struct NodeSpec {
    pub unschedulable: bool,
    pub taints: Vec<Taint>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default)]
pub(super) struct NodeStatus {
    pub conditions: Vec<NodeCondition>,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NodeCondition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub last_heartbeat_time: Option<Time>,
}

impl Cached for Node {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Node {
    const RESOURCE: &'static Resource = Resource::NODES;
}

/// The lease of a node.
#[derive(Deserialize, Debug)]
struct NodeLease {
    metadata: Meta,
}

impl Cached for NodeLease {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for NodeLease {
    const RESOURCE: &'static Resource = Resource::LEASES;

    fn selection() -> Selection {
        Selection { namespace: LEASES_NAMESPACE.to_owned(), ..Selection::default() }
    }
}

struct Nodes {
    ctx: Context,
    nodes: Arc<Cache<Node>>,
    pods: Arc<Cache<Pod>>,
    /// When each node was last seen to report, by our own clock; held for single steps.
    heard: Arc<Mutex<HashMap<String, Duration>>>,
}

async fn run(ctx: Context) {
    let nodes = ctx.cache::<Node>().await;
    let leases = ctx.cache::<NodeLease>().await;
    let pods = ctx.cache::<Pod>().await;
    let queue = ctx.queue_of(&nodes);
    let heard: Arc<Mutex<HashMap<String, Duration>>> = Arc::default();
    let (hear, clock) = (Arc::clone(&heard), Arc::clone(&ctx.clock));
    leases.subscribe(move |delta| {
        hear.lock().insert(delta.object().metadata.name.clone(), clock.monotonic());
    });
    let (hear, clock) = (Arc::clone(&heard), Arc::clone(&ctx.clock));
    nodes.subscribe(move |delta| {
        use crate::client::Delta;
        let beats = |node: &Node| {
            node.status.conditions.iter().filter_map(|c| c.last_heartbeat_time.clone()).max_by_key(|t| t.0)
        };
        match delta {
            Delta::Updated { old, new } if beats(old) == beats(new) => {}
            Delta::Deleted(node) => {
                hear.lock().remove(&node.metadata.name);
            }
            Delta::Added(node) | Delta::Updated { new: node, .. } => {
                hear.lock().insert(node.metadata.name.clone(), clock.monotonic());
            }
        }
    });
    let this = Nodes { ctx, nodes, pods, heard };
    work(queue, WORKERS, "node-lifecycle-controller", |name| reconcile(&this, name)).await;
}

async fn reconcile(this: &Nodes, name: ObjectName) -> Result<Outcome, Error> {
    let Some(node) = this.nodes.get("", &name.name) else { return Ok(Outcome::Done) };
    let ctx = &this.ctx;
    let clock = ctx.clock.monotonic();
    let heard = *this.heard.lock().entry(node.metadata.name.clone()).or_insert(clock);
    let silent = clock.saturating_sub(heard);
    let now = ctx.clock.now();
    if silent >= GRACE && ready(&node) != "Unknown" {
        let patch = json!({"status": {"conditions": unknown_conditions(&node, now)}});
        let target = Resource::NODES.at("", &name.name).sub("status");
        let written = ctx.client.patch(target, Patch::Strategic, encode(&patch)).await?;
        this.nodes.reached(written.revision, &*ctx.clock).await;
        return Ok(Outcome::Again(Duration::ZERO));
    }
    let wished = plan_taints(&node, now);
    if wished != node.spec.taints {
        let patch = json!({
            "metadata": {"resourceVersion": node.metadata.resource_version}, "spec": {"taints": wished},
        });
        let written = ctx.client.patch(Resource::NODES.at("", &name.name), Patch::Merge, encode(&patch)).await?;
        this.nodes.reached(written.revision, &*ctx.clock).await;
    }
    if ready(&node) != "True" {
        mark_pods(this, &node, now).await?;
        return Ok(if silent >= GRACE { Outcome::Done } else { Outcome::Again(GRACE.saturating_sub(silent)) });
    }
    Ok(Outcome::Again(GRACE.saturating_sub(silent)))
}

fn ready(node: &Node) -> &str {
    status_of(node, "Ready").unwrap_or("Unknown")
}

fn status_of<'a>(node: &'a Node, kind: &str) -> Option<&'a str> {
    node.status.conditions.iter().find(|condition| condition.kind == kind).map(|condition| condition.status.as_str())
}

/// All conditions of a node that fell silent.
fn unknown_conditions(node: &Node, now: Timestamp) -> Vec<Value> {
    let never = node.status.conditions.is_empty();
    let (reason, message) = if never {
        ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
    } else {
        ("NodeStatusUnknown", "Kubelet stopped posting node status.")
    };
    let at = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let kinds = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
    let kinds = kinds.into_iter().filter(|kind| status_of(node, kind) != Some("Unknown"));
    let condition = |kind| json!({"type": kind, "status": "Unknown", "reason": reason, "message": message, "lastTransitionTime": at});
    kinds.map(condition).collect()
}

/// The taints that conditions ask for, after those that others set.
fn plan_taints(node: &Node, now: Timestamp) -> Vec<Taint> {
    let is = |kind: &str, status: &str| status_of(node, kind) == Some(status);
    let unknown = ready(node) == "Unknown";
    let not_ready = is("Ready", "False");
    let rows = [
        ("node.kubernetes.io/not-ready", "NoSchedule", not_ready),
        ("node.kubernetes.io/unreachable", "NoSchedule", unknown),
        ("node.kubernetes.io/memory-pressure", "NoSchedule", is("MemoryPressure", "True")),
        ("node.kubernetes.io/disk-pressure", "NoSchedule", is("DiskPressure", "True")),
        ("node.kubernetes.io/pid-pressure", "NoSchedule", is("PIDPressure", "True")),
        ("node.kubernetes.io/network-unavailable", "NoSchedule", is("NetworkUnavailable", "True")),
        ("node.kubernetes.io/unschedulable", "NoSchedule", node.spec.unschedulable),
        ("node.kubernetes.io/not-ready", "NoExecute", not_ready),
        ("node.kubernetes.io/unreachable", "NoExecute", unknown),
    ];
    let row = |taint: &Taint| rows.iter().find(|(key, effect, _)| taint.key == *key && taint.effect == *effect);
    let mut taints: Vec<_> =
        node.spec.taints.iter().filter(|taint| row(taint).is_none_or(|(.., wished)| *wished)).cloned().collect();
    for (key, effect, wished) in rows {
        if wished && !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            taints.push(Taint {
                key: key.to_owned(),
                value: None,
                effect: effect.to_owned(),
                time_added: Some(Time::from(now)),
            });
        }
    }
    taints
}

/// Pods of a node that is not ready are not ready.
async fn mark_pods(this: &Nodes, node: &Node, now: Timestamp) -> Result<(), Error> {
    let ctx = &this.ctx;
    for pod in this.pods.indexed(&node.metadata.name).iter().filter(|pod| pod.ready()) {
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [{
            "type": "Ready", "status": "False", "observedGeneration": pod.metadata.generation,
            "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }]}});
        let target = Resource::PODS.at(&pod.metadata.namespace, &pod.metadata.name).sub("status");
        match ctx.client.patch(target, Patch::Strategic, encode(&patch)).await {
            Err(error) if !(error.not_found() || error.conflict()) => return Err(error),
            Ok(_) | Err(_) => ctx.record(&**pod, EventText::warning("NodeNotReady", "Node is not ready")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(ready: &str, taints: &Value) -> Node {
        let conditions = json!([{"type": "Ready", "status": ready}]);
        serde_json::from_value(json!({
            "metadata": {"name": "n"}, "spec": {"taints": taints}, "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    #[track_caller]
    fn check_taints(node: &Node, expected: &[&str]) {
        let taints = plan_taints(node, Timestamp::UNIX_EPOCH);
        let texts: Vec<_> = taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn taints_follow_the_conditions_and_those_of_others_stay() {
        let stale = json!([{"key": "mine", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]);
        check_taints(&node("True", &stale), &["mine:NoSchedule"]);
        check_taints(
            &node("Unknown", &json!([])),
            &["node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"],
        );
        let mut cordoned = node("True", &json!([]));
        cordoned.spec.unschedulable = true;
        check_taints(&cordoned, &["node.kubernetes.io/unschedulable:NoSchedule"]);
    }

    #[test]
    fn a_silent_node_is_unknown_in_all_its_conditions() {
        let conditions = unknown_conditions(&node("True", &json!([])), Timestamp::UNIX_EPOCH);
        assert_eq!(conditions.len(), 4);
        assert!(conditions.iter().all(|c| c["message"] == "Kubelet stopped posting node status."));
    }
}
