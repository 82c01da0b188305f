//! `taint-eviction-controller`: deletes pods from nodes whose `NoExecute` taints they do not tolerate, or no longer
//! (Kubernetes `pkg/controller/tainteviction`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::{Taint, Toleration};
use parking_lot::Mutex;
use serde_json::json;

use super::Controller;
use super::context::Context;
use super::node_lifecycle::Node;
use super::pod::Pod;
use crate::client::{
    Cache, DeleteOptions, Delta, Error, EventText, ObjectName, Outcome, Patch, Resource, encode, toleration_of, work,
};

pub(super) const TAINT_EVICTION: Controller = Controller {
    name: "taint-eviction-controller",
    alias: "",
    account: "node-controller",
    source: "taint-eviction-controller",
    run: |ctx| run(ctx).boxed(),
};

const WORKERS: usize = 8;

/// How long a pod may stay where it is.
#[derive(Debug, PartialEq, Eq)]
enum Stay {
    Forever,
    For(Duration),
}

struct Evictions {
    ctx: Context,
    nodes: Arc<Cache<Node>>,
    pods: Arc<Cache<Pod>>,
    /// Since when the end of each pod's stay is counted, by the monotonic clock; held for single steps.
    counted_since: Mutex<HashMap<ObjectName, Duration>>,
}

async fn run(ctx: Context) {
    let nodes = ctx.cache::<Node>().await;
    let pods = ctx.cache::<Pod>().await;
    let queue = ctx.queue();
    let (changed, all) = (Arc::clone(&queue), Arc::clone(&pods));
    nodes.subscribe(move |delta| {
        let node = match delta {
            Delta::Updated { old, new } if no_execute(old).eq(no_execute(new)) => return,
            Delta::Added(node) if no_execute(node).next().is_none() => return,
            Delta::Added(node) | Delta::Updated { new: node, .. } | Delta::Deleted(node) => node,
        };
        for pod in all.indexed(&node.metadata.name) {
            changed.add(pod.metadata.object_name());
        }
    });
    let changed = Arc::clone(&queue);
    pods.subscribe(move |delta| match delta {
        Delta::Updated { old, new }
            if old.spec.node_name == new.spec.node_name && old.spec.tolerations == new.spec.tolerations => {}
        Delta::Added(pod) | Delta::Updated { new: pod, .. } | Delta::Deleted(pod) => {
            if !pod.spec.node_name.is_empty() {
                changed.add(pod.metadata.object_name());
            }
        }
    });
    let this = Evictions { ctx, nodes, pods, counted_since: Mutex::default() };
    work(queue, WORKERS, TAINT_EVICTION.name, |name| reconcile(&this, name)).await;
}

fn no_execute(node: &Node) -> impl Iterator<Item = &Taint> {
    node.spec.taints.iter().filter(|taint| taint.effect == "NoExecute")
}

async fn reconcile(this: &Evictions, name: ObjectName) -> Result<Outcome, Error> {
    let Some(pod) = this.pods.get(&name.namespace, &name.name) else {
        this.counted_since.lock().remove(&name);
        return Ok(Outcome::Done);
    };
    let node = this.nodes.get("", &pod.spec.node_name);
    let taints: Vec<_> = node.iter().flat_map(|node| no_execute(node)).collect();
    let stay = stay(&pod.spec.tolerations, &taints);
    let now = this.ctx.clock.monotonic();
    match stay {
        _ if pod.metadata.deleting() => {
            this.counted_since.lock().remove(&name);
        }
        Stay::Forever => {
            if this.counted_since.lock().remove(&name).is_some() {
                record(&this.ctx, &pod, "Cancelling deletion of Pod");
            }
        }
        Stay::For(stay) => {
            let since = *this.counted_since.lock().entry(name.clone()).or_insert(now);
            let left = (since + stay).saturating_sub(now);
            if !left.is_zero() {
                return Ok(Outcome::Again(left));
            }
            record(&this.ctx, &pod, "Marking for deletion Pod");
            evict(&this.ctx, &pod).await?;
            this.counted_since.lock().remove(&name);
        }
    }
    Ok(Outcome::Done)
}

/// How long the tolerations of a pod let it stay on a node with these taints: the shortest that counts, nothing when
/// one taint is not tolerated at all.
fn stay(tolerations: &[Toleration], taints: &[&Taint]) -> Stay {
    let mut shortest = Stay::Forever;
    for taint in taints {
        let Some(toleration) = toleration_of(tolerations, taint) else { return Stay::For(Duration::ZERO) };
        let Some(seconds) = toleration.toleration_seconds else { continue };
        let this = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        shortest = match shortest {
            Stay::For(other) if other <= this => Stay::For(other),
            Stay::For(_) | Stay::Forever => Stay::For(this),
        };
    }
    shortest
}

fn record(ctx: &Context, pod: &Pod, what: &str) {
    let meta = &pod.metadata;
    ctx.record(pod, EventText::normal("TaintManagerEviction", format!("{what} {}/{}", meta.namespace, meta.name)));
}

async fn evict(ctx: &Context, pod: &Pod) -> Result<(), Error> {
    let meta = &pod.metadata;
    let target = Resource::PODS.at(&meta.namespace, &meta.name);
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint", "observedGeneration": meta.generation,
        "lastTransitionTime": ctx.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    let patch = json!({"metadata": {"uid": meta.uid}, "status": {"conditions": [condition]}});
    let gone = |error: &Error| error.not_found() || error.conflict();
    match ctx.client.patch(target.sub("status"), Patch::Strategic, encode(&patch)).await {
        Err(error) if gone(&error) => return Ok(()),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    match ctx.client.delete(target, &DeleteOptions::of_uid(&meta.uid)).await {
        Err(error) if !gone(&error) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str) -> Taint {
        Taint { key: key.to_owned(), effect: "NoExecute".to_owned(), ..Taint::default() }
    }

    fn toleration(key: &str, seconds: Option<i64>) -> Toleration {
        Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            toleration_seconds: seconds,
            ..Toleration::default()
        }
    }

    #[track_caller]
    fn check(tolerations: &[Toleration], taints: &[&str], expected: Stay) {
        let taints: Vec<_> = taints.iter().map(|key| taint(key)).collect();
        assert_eq!(stay(tolerations, &taints.iter().collect::<Vec<_>>()), expected);
    }

    #[test]
    fn a_pod_stays_as_long_as_its_shortest_toleration_of_a_present_taint() {
        let tolerations = [toleration("a", Some(300)), toleration("b", Some(60)), toleration("c", None)];
        check(&tolerations, &[], Stay::Forever);
        check(&tolerations, &["c"], Stay::Forever);
        check(&tolerations, &["a", "c"], Stay::For(Duration::from_secs(300)));
        check(&tolerations, &["a", "b", "c"], Stay::For(Duration::from_secs(60)));
    }

    #[test]
    fn a_pod_goes_at_once_where_one_taint_is_not_tolerated_or_for_no_time() {
        check(&[toleration("a", None)], &["a", "b"], Stay::For(Duration::ZERO));
        check(&[toleration("a", Some(-1))], &["a"], Stay::For(Duration::ZERO));
    }
}
