//! `pod-garbage-collector-controller`: removes pods of nodes that are gone, pods that were never scheduled and are to
//! go, and the oldest of too many that have ended.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use serde_json::json;

use super::Controller;
use super::context::Context;
use super::node_lifecycle::Node;
use super::pod::Pod;
use crate::client::{Cache, DeleteOptions, Delta, Error, ObjectName, Outcome, Patch, Resource, encode, work};

pub(super) const POD_GARBAGE_COLLECTOR: Controller = Controller {
    name: "pod-garbage-collector-controller",
    alias: "podgc",
    account: "pod-garbage-collector",
    source: "pod-garbage-collector",
    run: |ctx| run(ctx).boxed(),
};

const WORKERS: usize = 16;
/// How long a node must be gone before its pods are removed; it may be on its way.
const QUARANTINE: Duration = Duration::from_secs(40);
/// Ended pods beyond this number are removed, oldest first (upstream's `--terminated-pod-gc-threshold`).
const ENDED_MAX: usize = 12_500;
/// How soon after a pod ended they are counted.
const COUNT_AFTER: Duration = Duration::from_secs(20);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    Pod(ObjectName),
    PodsOf(Arc<str>),
    Ended,
}

async fn run(ctx: Context) {
    let nodes = ctx.cache::<Node>().await;
    let pods = ctx.cache::<Pod>().await;
    let queue = ctx.queue();
    let changed = Arc::clone(&queue);
    nodes.subscribe(move |delta| {
        if let Delta::Deleted(node) = delta {
            changed.add_after(Key::PodsOf(node.metadata.name.as_str().into()), QUARANTINE);
        }
    });
    let (changed, all) = (Arc::clone(&queue), Arc::clone(&nodes));
    pods.subscribe(move |delta| {
        if matches!(delta, Delta::Deleted(_)) {
            return;
        }
        let pod = delta.object();
        let node = &pod.spec.node_name;
        if pod.metadata.deleting() && node.is_empty() {
            changed.add(Key::Pod(pod.metadata.object_name()));
        } else if !node.is_empty() && all.get("", node).is_none() {
            changed.add_after(Key::PodsOf(node.as_str().into()), QUARANTINE);
        } else if pod.finished() {
            changed.add_after(Key::Ended, COUNT_AFTER);
        }
    });
    work(queue, WORKERS, "pod-garbage-collector-controller", |key| reconcile(&ctx, (&nodes, &pods), key)).await;
}

async fn reconcile(ctx: &Context, (nodes, pods): (&Cache<Node>, &Cache<Pod>), key: Key) -> Result<Outcome, Error> {
    match key {
        Key::Pod(name) => {
            let pod = pods.get(&name.namespace, &name.name);
            if let Some(pod) = pod.filter(|pod| pod.metadata.deleting() && pod.spec.node_name.is_empty()) {
                remove(ctx, &pod, None).await?;
            }
        }
        Key::PodsOf(node) => {
            let gone = match ctx.client.get::<Node>(Resource::NODES.at("", &node)).await {
                Ok(_) => false,
                Err(error) if error.not_found() => true,
                Err(error) => return Err(error),
            };
            if gone && nodes.get("", &node).is_none() {
                for pod in pods.indexed(&node) {
                    remove(ctx, &pod, Some("PodGC: node no longer exists")).await?;
                }
            }
        }
        Key::Ended => {
            for pod in surplus(pods.all()) {
                remove(ctx, &pod, None).await?;
            }
        }
    }
    Ok(Outcome::Done)
}

/// The oldest ended pods beyond the number that is kept.
fn surplus(pods: Vec<Arc<Pod>>) -> Vec<Arc<Pod>> {
    let mut ended: Vec<_> = pods.into_iter().filter(|pod| pod.finished()).collect();
    ended.sort_by_key(|pod| pod.metadata.created_second());
    let surplus = ended.len().saturating_sub(ENDED_MAX);
    ended.truncate(surplus);
    ended
}

/// Removes a pod at once. A pod that had not ended is told to have failed, and why.
async fn remove(ctx: &Context, pod: &Pod, why: Option<&str>) -> Result<(), Error> {
    let meta = &pod.metadata;
    let target = Resource::PODS.at(&meta.namespace, &meta.name);
    if let Some(why) = why.filter(|_| !pod.finished()) {
        let condition = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC", "message": why,
            "observedGeneration": meta.generation,
            "lastTransitionTime": ctx.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
        let patch = json!({"metadata": {"uid": meta.uid}, "status": {"phase": "Failed", "conditions": [condition]}});
        match ctx.client.patch(target.sub("status"), Patch::Strategic, encode(&patch)).await {
            Err(error) if !(error.not_found() || error.conflict()) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::of_uid(&meta.uid) };
    match ctx.client.delete(target, &options).await {
        Err(error) if !(error.not_found() || error.conflict()) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
