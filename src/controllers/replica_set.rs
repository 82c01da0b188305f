//! `replicaset-controller`: keeps as many pods of a template as a ReplicaSet asks for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use serde_json::Value;

use super::condition;
use super::context::{Context, Shared};
use super::pod::{Pod, deletion_order};
use super::pod_control::{adopt, create_pods, delete_pods, release};
use super::{Controller, template};
use crate::client::{Cache, Cached, Delta, Error, Meta, ObjectName, Outcome, Queue, Resource, Time, selects, work};

pub(super) const REPLICA_SET: Controller = Controller {
    name: "replicaset-controller",
    alias: "replicaset",
    account: "replicaset-controller",
    source: "replicaset-controller",
    run: |ctx| run(ctx).boxed(),
};

/// ReplicaSets that are worked on at once.
const WORKERS: usize = 16;
/// How long changes of running pods are gathered before their set is looked at.
const SETTLE: Duration = Duration::from_millis(20);
/// Pods that one reconcile makes or deletes.
const BURST: usize = 500;

/// A ReplicaSet, as controllers see it.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct ReplicaSet {
    pub metadata: Meta,
    pub spec: ReplicaSetSpec,
    #[serde(default)]
    pub status: ReplicaSetStatus,
}

#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplicaSetSpec {
    #[serde(default = "one")]
    pub replicas: i32,
    #[serde(default)]
    pub min_ready_seconds: i32,
    pub selector: LabelSelector,
    #[serde(default)]
    pub template: Value,
}

fn one() -> i32 {
    1
}

impl Cached for ReplicaSet {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for ReplicaSet {
    const RESOURCE: &'static Resource = Resource::REPLICA_SETS;
}

struct ReplicaSets {
    ctx: Context,
    sets: Arc<Cache<ReplicaSet>>,
    pods: Arc<Cache<Pod>>,
}

async fn run(ctx: Context) {
    let sets = ctx.cache::<ReplicaSet>().await;
    let pods = ctx.cache::<Pod>().await;
    let queue = ctx.queue_of(&sets);
    let (changed, all) = (Arc::clone(&queue), Arc::clone(&sets));
    pods.subscribe(move |delta| wake(&changed, &all, delta));
    let this = ReplicaSets { ctx, sets, pods };
    work(queue, WORKERS, "replicaset-controller", |name| reconcile(&this, name)).await;
}

/// Wakes the owner of a pod that changed, and, for a pod without one, the sets that select it.
fn wake(queue: &Queue<ObjectName>, sets: &Cache<ReplicaSet>, delta: &Delta<'_, Pod>) {
    let wake_owner = |pod: &Pod| {
        let owner = pod.metadata.controller().filter(|owner| owner.kind == "ReplicaSet");
        if let Some(owner) = owner {
            queue.add(ObjectName::new(&pod.metadata.namespace, &owner.name));
        }
    };
    let pod = delta.object();
    match (delta, pod.metadata.controller()) {
        // News of many pods at once are taken together: each look walks all pods of the set.
        (Delta::Updated { .. }, Some(owner)) if owner.kind == "ReplicaSet" && pod.active() => {
            queue.add_after(ObjectName::new(&pod.metadata.namespace, &owner.name), SETTLE);
        }
        _ => wake_owner(pod),
    }
    if let Delta::Updated { old, .. } = delta
        && old.metadata.owner_references != pod.metadata.owner_references
    {
        wake_owner(old);
    }
    if pod.metadata.controller().is_none() && !pod.metadata.deleting() {
        for set in sets.in_namespace(&pod.metadata.namespace) {
            if selects(&set.spec.selector, &pod.metadata.labels) {
                queue.add(set.metadata.object_name());
            }
        }
    }
}

async fn reconcile(this: &ReplicaSets, name: ObjectName) -> Result<Outcome, Error> {
    let ctx = &this.ctx;
    let Some(set) = this.sets.get(&name.namespace, &name.name) else { return Ok(Outcome::Done) };
    let claims = claim(&set, this.pods.owned_by(&set.metadata.uid), || this.pods.in_namespace(&name.namespace));
    if !claims.adopt.is_empty() || !claims.release.is_empty() {
        let revision = apply_claims(ctx, &set, &claims).await?;
        this.pods.reached(revision, &*ctx.clock).await;
        return Ok(Outcome::Again(Duration::ZERO));
    }
    let now = ctx.clock.now();
    let wished = plan(&set, &claims.owned, |pods| this.ranks(&set, pods), now);
    let done = if wished.create > 0 {
        create_pods(ctx, &*set, &set.spec.template, wished.create).await
    } else {
        delete_pods(ctx, &*set, &wished.delete).await
    };
    let mut status = wished.status;
    note_failure(&mut status, &set, done.error.as_ref().map(ToString::to_string), now);
    let written = write_status(ctx, &set, status).await;
    if done.revision > 0 {
        this.pods.reached(done.revision, &*ctx.clock).await;
    }
    if let Some(revision) = written? {
        this.sets.reached(revision, &*ctx.clock).await;
    }
    done.error.map_or(Ok(wished.outcome), Err)
}

impl ReplicaSets {
    /// For each pod, how many active pods of sets with the same owner are on its node.
    fn ranks(&self, set: &ReplicaSet, pods: &[Arc<Pod>]) -> Vec<usize> {
        let related = match set.metadata.controller() {
            Some(owner) => self.sets.owned_by(&owner.uid),
            None => self.sets.get(&set.metadata.namespace, &set.metadata.name).into_iter().collect(),
        };
        let mut by_node: HashMap<String, usize> = HashMap::new();
        for pod in related.iter().flat_map(|set| self.pods.owned_by(&set.metadata.uid)).filter(|pod| pod.active()) {
            *by_node.entry(pod.spec.node_name.clone()).or_default() += 1;
        }
        pods.iter().map(|pod| by_node.get(&pod.spec.node_name).copied().unwrap_or(0)).collect()
    }
}

/// Which pods are the set's, and which change hands.
struct Claims {
    owned: Vec<Arc<Pod>>,
    adopt: Vec<Arc<Pod>>,
    release: Vec<Arc<Pod>>,
}

fn claim(set: &ReplicaSet, of_owner: Vec<Arc<Pod>>, in_namespace: impl FnOnce() -> Vec<Arc<Pod>>) -> Claims {
    let selected = |pod: &Arc<Pod>| selects(&set.spec.selector, &pod.metadata.labels);
    let ours = |pod: &Arc<Pod>| pod.metadata.controller().is_some_and(|owner| owner.uid == set.metadata.uid);
    let (owned, lost): (Vec<_>, Vec<_>) = of_owner.into_iter().filter(ours).partition(selected);
    if set.metadata.deleting() {
        return Claims { owned, adopt: Vec::new(), release: Vec::new() };
    }
    let release = lost.into_iter().filter(|pod| pod.active()).collect();
    let orphan = |pod: &Arc<Pod>| pod.metadata.controller().is_none() && pod.active() && selected(pod);
    // Looking for orphans walks the whole namespace; it is left out while there are pods enough.
    let lacks = owned.iter().filter(|pod| pod.active()).count() != usize::try_from(set.spec.replicas).unwrap_or(0);
    let adopt = if lacks { in_namespace().into_iter().filter(orphan).collect() } else { Vec::new() };
    Claims { owned, adopt, release }
}

async fn apply_claims(ctx: &Context, set: &ReplicaSet, claims: &Claims) -> Result<u64, Error> {
    let owner = set.metadata.as_controller(Resource::REPLICA_SETS);
    let mut revision = 0;
    for pod in &claims.adopt {
        match adopt(&ctx.client, &**pod, &owner).await {
            Ok(written) => revision = revision.max(written),
            Err(error) if error.not_found() => {}
            Err(error) => return Err(error),
        }
    }
    for pod in &claims.release {
        revision = revision.max(release(&ctx.client, &**pod, &set.metadata.uid).await?);
    }
    Ok(revision)
}

/// What is to be done for a set.
struct Plan {
    create: usize,
    delete: Vec<Arc<Pod>>,
    status: ReplicaSetStatus,
    outcome: Outcome,
}

fn plan(set: &ReplicaSet, pods: &[Arc<Pod>], ranks: impl FnOnce(&[Arc<Pod>]) -> Vec<usize>, now: Timestamp) -> Plan {
    let active: Vec<_> = pods.iter().filter(|pod| pod.active()).cloned().collect();
    let wished = usize::try_from(set.spec.replicas).unwrap_or(0);
    let status = status(set, pods, &active, now);
    let outcome = next_look(set, &active, now);
    let mut plan = Plan { create: 0, delete: Vec::new(), status, outcome };
    if set.metadata.deleting() {
        return plan;
    }
    plan.create = wished.saturating_sub(active.len()).min(BURST);
    let surplus = active.len().saturating_sub(wished).min(BURST);
    if surplus > 0 {
        let ranks = ranks(&active);
        let mut ranked: Vec<_> = active.into_iter().zip(ranks).collect();
        ranked.sort_by(|a, b| deletion_order((&a.0, a.1), (&b.0, b.1), now));
        plan.delete = ranked.into_iter().take(surplus).map(|(pod, _)| pod).collect();
    }
    plan
}

fn status(set: &ReplicaSet, pods: &[Arc<Pod>], active: &[Arc<Pod>], now: Timestamp) -> ReplicaSetStatus {
    let labelled = |pod: &&Arc<Pod>| {
        template::labels(&set.spec.template)
            .all(|(key, value)| pod.metadata.labels.get(key).is_some_and(|present| present == value))
    };
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let omitted_when_zero = |number: usize| (number > 0).then(|| count(number));
    let available = |pod: &&Arc<Pod>| pod.available(set.spec.min_ready_seconds, now);
    ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: omitted_when_zero(active.iter().filter(labelled).count()),
        ready_replicas: omitted_when_zero(active.iter().filter(|pod| pod.ready()).count()),
        available_replicas: omitted_when_zero(active.iter().filter(available).count()),
        terminating_replicas: Some(count(pods.iter().filter(|pod| pod.terminating()).count())),
        observed_generation: Some(set.metadata.generation),
        conditions: set.status.conditions.clone(),
    }
}

/// When the next ready pod becomes available.
fn next_look(set: &ReplicaSet, active: &[Arc<Pod>], now: Timestamp) -> Outcome {
    let wait = i64::from(set.spec.min_ready_seconds);
    let waiting = active.iter().filter(|pod| !pod.available(set.spec.min_ready_seconds, now));
    let next = waiting.filter_map(|pod| pod.ready_since()).map(|since| since + wait - now.as_second()).min();
    next.map_or(Outcome::Done, |left| Outcome::Again(Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1))))
}

fn note_failure(status: &mut ReplicaSetStatus, set: &ReplicaSet, error: Option<String>, now: Timestamp) {
    let present = condition::find(&status.conditions, "ReplicaFailure").is_some();
    match error {
        Some(message) if !present => {
            let reason = if status.replicas < set.spec.replicas { "FailedCreate" } else { "FailedDelete" };
            let failure = ReplicaSetCondition {
                type_: Some("ReplicaFailure".to_owned()),
                status: Some("True".to_owned()),
                reason: Some(reason.to_owned()),
                message: Some(message),
                last_transition_time: Some(Time::from(now)),
            };
            condition::set(&mut status.conditions, failure);
        }
        Some(_) => {}
        None => condition::remove(&mut status.conditions, "ReplicaFailure"),
    }
}

/// Writes the status where it differs; gives the new revision.
async fn write_status(ctx: &Context, set: &ReplicaSet, status: ReplicaSetStatus) -> Result<Option<u64>, Error> {
    if status == set.status {
        return Ok(None);
    }
    match ctx.client.update_status(Resource::REPLICA_SETS, &set.metadata, &status).await {
        Ok(written) => Ok(Some(written.revision)),
        Err(error) if error.not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn set(replicas: i32, min_ready_seconds: i32) -> ReplicaSet {
        serde_json::from_value(json!({
            "metadata": {"namespace": "a", "name": "web", "uid": "u", "generation": 2},
            "spec": {"replicas": replicas, "minReadySeconds": min_ready_seconds,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}}},
        }))
        .unwrap()
    }

    fn pod(name: &str, state: &str) -> Arc<Pod> {
        let phase = if state == "pending" { "Pending" } else { state };
        let phase = if state == "ready" { "Running" } else { phase };
        let ready = if state == "ready" { "True" } else { "False" };
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"namespace": "a", "name": name, "uid": name, "labels": {"app": "web"},
                    "ownerReferences": [{"uid": "u", "kind": "ReplicaSet", "name": "web", "controller": true}]},
                "spec": {"nodeName": if state == "pending" { "" } else { "n" }},
                "status": {"phase": phase, "conditions": [
                    {"type": "Ready", "status": ready, "lastTransitionTime": "1970-01-01T00:01:40Z"}]},
            }))
            .unwrap(),
        )
    }

    fn planned(set: &ReplicaSet, pods: &[Arc<Pod>]) -> Plan {
        plan(set, pods, |pods| vec![1; pods.len()], at(110))
    }

    #[test]
    fn missing_pods_are_made_and_finished_ones_replaced() {
        let plan = planned(&set(3, 0), &[pod("a", "ready"), pod("b", "Failed")]);
        assert_eq!(plan.create, 2);
        assert_eq!(plan.status.replicas, 1);
        assert_eq!(plan.status.ready_replicas, Some(1));
        assert_eq!(plan.status.observed_generation, Some(2));
    }

    #[test]
    fn of_too_many_pods_the_least_useful_goes_first() {
        let pods = [pod("a", "ready"), pod("b", "pending"), pod("c", "Running")];
        let plan = planned(&set(1, 0), &pods);
        let names: Vec<_> = plan.delete.iter().map(|pod| pod.metadata.name.as_str()).collect();
        assert_eq!(names, ["b", "c"]);
    }

    #[test]
    fn a_set_that_is_deleted_makes_no_pods() {
        let mut set = set(3, 0);
        set.metadata.deletion_timestamp = Some(Time::from(at(1)));
        assert_eq!(planned(&set, &[]).create, 0);
    }

    #[test]
    fn a_ready_pod_becomes_available_after_the_minimum() {
        let early = planned(&set(1, 30), &[pod("a", "ready")]);
        assert_eq!(early.status.available_replicas, None);
        assert_eq!(early.outcome, Outcome::Again(Duration::from_secs(20)));
        let late = plan(&set(1, 30), &[pod("a", "ready")], |_| Vec::new(), at(130));
        assert_eq!(late.status.available_replicas, Some(1));
        assert_eq!(late.outcome, Outcome::Done);
    }

    #[test]
    fn no_more_pods_are_made_at_once_than_the_burst() {
        assert_eq!(planned(&set(10_000, 0), &[]).create, BURST);
    }

    #[test]
    fn selected_orphans_are_adopted_and_pods_no_longer_selected_released() {
        let mut orphan = (*pod("orphan", "ready")).clone();
        orphan.metadata.owner_references.clear();
        let mut lost = (*pod("lost", "ready")).clone();
        lost.metadata.labels = crate::client::Labels::default();
        let claims = claim(&set(2, 0), vec![Arc::new(lost)], || vec![Arc::new(orphan)]);
        assert_eq!(claims.adopt[0].metadata.name, "orphan");
        assert_eq!(claims.release[0].metadata.name, "lost");
        assert!(claims.owned.is_empty());
    }

    #[test]
    fn a_failure_is_told_in_a_condition_until_it_is_gone() {
        let mut status = ReplicaSetStatus::default();
        note_failure(&mut status, &set(1, 0), Some("quota".to_owned()), at(0));
        let failure = condition::find(&status.conditions, "ReplicaFailure").unwrap();
        assert_eq!(failure.reason.as_deref(), Some("FailedCreate"));
        note_failure(&mut status, &set(1, 0), None, at(0));
        assert_eq!(status.conditions, None);
    }
}
