//! `disruption-controller`: says in the status of each PodDisruptionBudget how many of its pods may be evicted
//! (Kubernetes `pkg/controller/disruption`), and takes back the mark of pods whose announced disruption did not come.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Controller;
use super::context::{Context, Shared};
use super::deployment::Deployment;
use super::discovery::{Served, served};
use super::int_or_percent::{Round, scaled};
use super::pod::Pod;
use super::replica_set::ReplicaSet;
use crate::client::{
    Cache, Cached, Delta, Error, EventText, Meta, ObjectName, Outcome, OwnerReference, Patch, Resource, Time, encode,
    selects, work,
};

pub(super) const DISRUPTION: Controller = Controller {
    name: "disruption-controller",
    alias: "disruption",
    account: "disruption-controller",
    source: "controllermanager",
    run: |ctx| run(ctx).boxed(),
};

const WORKERS: usize = 4;
/// How long an eviction that was granted may take until its pod is seen to be deleted; after that it is not expected.
const DELETION_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a pod may be marked as about to be disrupted without being deleted.
const STALE_AFTER: Duration = Duration::from_secs(120);
/// News of many pods at once are counted once.
const GATHER: Duration = Duration::from_millis(20);

#[derive(Deserialize, Debug)]
struct Budget {
    metadata: Meta,
    #[serde(default)]
    spec: BudgetSpec,
    #[serde(default)]
    status: BudgetStatus,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct BudgetSpec {
    min_available: Option<IntOrString>,
    max_unavailable: Option<IntOrString>,
    selector: Option<LabelSelector>,
}

#[derive(Deserialize, Serialize, Debug, Default, Clone, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct BudgetStatus {
    observed_generation: i64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    disrupted_pods: BTreeMap<String, Time>,
    disruptions_allowed: i32,
    current_healthy: i32,
    desired_healthy: i32,
    expected_pods: i32,
    conditions: Vec<Condition>,
}

impl Cached for Budget {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Budget {
    const RESOURCE: &'static Resource = Resource::POD_DISRUPTION_BUDGETS;
}

impl Budget {
    fn selects(&self, pod: &Pod) -> bool {
        self.metadata.namespace == pod.metadata.namespace
            && self.spec.selector.as_ref().is_some_and(|selector| selects(selector, &pod.metadata.labels))
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    Budget(ObjectName),
    /// A pod that is marked as about to be disrupted.
    Marked(ObjectName),
}

struct Budgets {
    ctx: Context,
    budgets: Arc<Cache<Budget>>,
    pods: Arc<Cache<Pod>>,
    sets: Arc<Cache<ReplicaSet>>,
    deployments: Arc<Cache<Deployment>>,
}

async fn run(ctx: Context) {
    let budgets = ctx.cache::<Budget>().await;
    let pods = ctx.cache::<Pod>().await;
    let this = Budgets {
        sets: ctx.cache::<ReplicaSet>().await,
        deployments: ctx.cache::<Deployment>().await,
        budgets: Arc::clone(&budgets),
        pods: Arc::clone(&pods),
        ctx,
    };
    let queue = this.ctx.queue();
    let changed = Arc::clone(&queue);
    budgets.subscribe(move |delta| changed.add(Key::Budget(delta.object().metadata.object_name())));
    let (changed, all) = (Arc::clone(&queue), Arc::clone(&budgets));
    pods.subscribe(move |delta| {
        let pod = delta.object();
        if marked(pod).is_some() {
            changed.add(Key::Marked(pod.metadata.object_name()));
        }
        let before = match delta {
            Delta::Updated { old, .. } => Some(old),
            Delta::Added(_) | Delta::Deleted(_) => None,
        };
        for budget in all.in_namespace(&pod.metadata.namespace) {
            if budget.selects(pod) || before.is_some_and(|old| budget.selects(old)) {
                changed.add_after(Key::Budget(budget.metadata.object_name()), GATHER);
            }
        }
    });
    work(queue, WORKERS, DISRUPTION.name, |key| reconcile(&this, key)).await;
}

async fn reconcile(this: &Budgets, key: Key) -> Result<Outcome, Error> {
    match key {
        Key::Marked(name) => unmark(this, &name).await,
        Key::Budget(name) => {
            let Some(budget) = this.budgets.get(&name.namespace, &name.name) else { return Ok(Outcome::Done) };
            count(this, &budget).await
        }
    }
}

async fn count(this: &Budgets, budget: &Budget) -> Result<Outcome, Error> {
    let ctx = &this.ctx;
    let mut pods = this.pods.in_namespace(&budget.metadata.namespace);
    pods.retain(|pod| budget.selects(pod));
    if pods.is_empty() {
        ctx.record(budget, EventText::normal("NoPods", "No matching pods found"));
    }
    let now = ctx.clock.now();
    let mut status = budget.status.clone();
    let wished = match wished(this, budget, &pods).await {
        Ok(wished) => wished,
        Err(Uncounted::Failed(error)) => return Err(error),
        Err(Uncounted::Because(why)) => {
            let text = format!("Failed to calculate the number of expected pods: {why}");
            ctx.record(budget, EventText::warning("CalculateExpectedPodCountFailed", text));
            status.disruptions_allowed = 0;
            let generation = status.observed_generation;
            set_condition(&mut status.conditions, condition("SyncFailed", &why, generation, now));
            return write(this, budget, status).await.map(|()| Outcome::Done);
        }
    };
    let (disrupted, recheck) = still_expected(this, budget, &pods, now);
    status = plan(budget, &pods, (wished, disrupted), now);
    write(this, budget, status).await?;
    Ok(recheck.map_or(Outcome::Done, Outcome::Again))
}

async fn write(this: &Budgets, budget: &Budget, status: BudgetStatus) -> Result<(), Error> {
    if status != budget.status {
        let resource = Resource::POD_DISRUPTION_BUDGETS;
        let written = this.ctx.client.update_status(resource, &budget.metadata, &status).await?;
        this.budgets.reached(written.revision, &*this.ctx.clock).await;
    }
    Ok(())
}

/// How many pods there should be, and how many of them healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wished {
    expected: i32,
    healthy: i32,
}

/// Why the number of pods that there should be is not known.
enum Uncounted {
    Because(String),
    Failed(Error),
}

async fn wished(this: &Budgets, budget: &Budget, pods: &[Arc<Pod>]) -> Result<Wished, Uncounted> {
    match (&budget.spec.max_unavailable, &budget.spec.min_available) {
        (Some(unavailable), _) => {
            let expected = expected_scale(this, budget, pods).await?;
            Ok(Wished { expected, healthy: (expected - scaled(unavailable, expected, Round::Up)).max(0) })
        }
        (None, Some(IntOrString::Int(healthy))) => {
            Ok(Wished { expected: i32::try_from(pods.len()).unwrap_or(i32::MAX), healthy: *healthy })
        }
        (None, Some(percent @ IntOrString::String(_))) => {
            let expected = expected_scale(this, budget, pods).await?;
            Ok(Wished { expected, healthy: scaled(percent, expected, Round::Up) })
        }
        (None, None) => Ok(Wished { expected: 0, healthy: 0 }),
    }
}

/// The sum of the sizes of all that control the pods.
async fn expected_scale(this: &Budgets, budget: &Budget, pods: &[Arc<Pod>]) -> Result<i32, Uncounted> {
    let mut seen: HashSet<&str> = HashSet::new();
    // By uid: several sets of one Deployment have its size together.
    let mut sizes: HashMap<String, i32> = HashMap::new();
    let mut unmanaged = false;
    for pod in pods {
        let Some(owner) = pod.metadata.controller() else {
            unmanaged = true;
            continue;
        };
        if !seen.insert(&owner.uid) {
            continue;
        }
        match size_of(this, &pod.metadata.namespace, owner).await? {
            Some((uid, size)) => sizes.insert(uid, size),
            None => return Err(Uncounted::Because(format!("found no controllers for pod {:?}", pod.metadata.name))),
        };
    }
    if unmanaged {
        let selector = serde_json::to_string(&budget.spec.selector).unwrap_or_default();
        let text = format!(
            "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, \
             the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account \
             for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
        );
        this.ctx.record(budget, EventText::warning("UnmanagedPods", text));
    }
    Ok(sizes.values().sum())
}

/// The uid and the wished size of what controls a pod: of a ReplicaSet its Deployment, else whatever has a scale.
async fn size_of(this: &Budgets, namespace: &str, owner: &OwnerReference) -> Result<Option<(String, i32)>, Uncounted> {
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    let set = this.sets.get(namespace, &owner.name).filter(|set| set.metadata.uid == owner.uid);
    if let Some(set) = set.filter(|_| owner.kind == "ReplicaSet" && group == "apps") {
        let above = set.metadata.controller().filter(|above| above.kind == "Deployment");
        let Some(above) = above else { return Ok(Some((owner.uid.clone(), set.spec.replicas))) };
        let deployment = this.deployments.get(namespace, &above.name);
        let deployment = deployment.filter(|deployment| deployment.metadata.uid == above.uid);
        return Ok(deployment.map(|deployment| (above.uid.clone(), deployment.spec.replicas)));
    }
    #[derive(Deserialize)]
    struct Scale {
        metadata: Meta,
        #[serde(default)]
        spec: Size,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Size {
        replicas: i32,
    }
    let client = &this.ctx.client;
    let served = served(client).await.map_err(Uncounted::Failed)?;
    let is_owners = |one: &Served| one.resource.group == group && one.resource.kind == owner.kind;
    let Some(Served { resource, .. }) = served.into_iter().find(is_owners) else { return Ok(None) };
    let target = resource.at(namespace, &owner.name);
    match client.get::<Scale>(target.sub("scale")).await {
        Ok(scale) => Ok((scale.metadata.uid == owner.uid).then(|| (owner.uid.clone(), scale.spec.replicas))),
        Err(error) if !error.not_found() => Err(Uncounted::Failed(error)),
        Err(_) => match client.get_metadata::<Value>(target).await {
            Ok(_) => {
                let name = resource.group_resource();
                Err(Uncounted::Because(format!("{name} does not implement the scale subresource")))
            }
            Err(error) if error.not_found() => Ok(None),
            Err(error) => Err(Uncounted::Failed(error)),
        },
    }
}

/// The evictions that were granted and whose deletion is still to be seen, and when to look again.
fn still_expected(
    this: &Budgets,
    budget: &Budget,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> (BTreeMap<String, Time>, Option<Duration>) {
    let (mut kept, mut recheck) = (BTreeMap::new(), None);
    for pod in pods.iter().filter(|pod| !pod.metadata.deleting()) {
        let Some(granted) = budget.status.disrupted_pods.get(&pod.metadata.name) else { continue };
        let left = left_of(DELETION_TIMEOUT, granted, now);
        if left.is_zero() {
            let namespace = &budget.metadata.namespace;
            let text = format!("Pod was expected by PDB {namespace}/{namespace} to be deleted but it wasn't");
            this.ctx.record(&**pod, EventText::warning("NotDeleted", text));
        } else {
            recheck = Some(recheck.map_or(left, |other: Duration| other.min(left)));
            kept.insert(pod.metadata.name.clone(), granted.clone());
        }
    }
    (kept, recheck)
}

/// What is left of a time that began then; nothing when it is over.
fn left_of(whole: Duration, since: &Time, now: Timestamp) -> Duration {
    let passed = Duration::try_from(now.duration_since(since.0)).unwrap_or_default();
    whole.saturating_sub(passed)
}

/// The status of a budget.
fn plan(
    budget: &Budget,
    pods: &[Arc<Pod>],
    (wished, disrupted_pods): (Wished, BTreeMap<String, Time>),
    now: Timestamp,
) -> BudgetStatus {
    let healthy =
        |pod: &&Arc<Pod>| !pod.metadata.deleting() && !disrupted_pods.contains_key(&pod.metadata.name) && pod.ready();
    let current_healthy = i32::try_from(pods.iter().filter(healthy).count()).unwrap_or(i32::MAX);
    // A budget whose first pods are just appearing must not let them go.
    let disruptions_allowed =
        if wished.expected <= 0 { 0 } else { current_healthy.saturating_sub(wished.healthy).max(0) };
    let generation = budget.metadata.generation;
    let mut conditions = budget.status.conditions.clone();
    let reason = if disruptions_allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
    set_condition(&mut conditions, condition(reason, "", generation, now));
    BudgetStatus {
        observed_generation: generation,
        disrupted_pods,
        disruptions_allowed,
        current_healthy,
        desired_healthy: wished.healthy,
        expected_pods: wished.expected,
        conditions,
    }
}

fn condition(reason: &str, message: &str, generation: i64, now: Timestamp) -> Condition {
    let status = if reason == "SufficientPods" { "True" } else { "False" };
    Condition {
        type_: "DisruptionAllowed".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: Some(generation),
        last_transition_time: Time::from(now),
    }
}

/// Puts a condition in the place of the one of its type; the time of the transition stays while the status does
/// (apimachinery
/// `meta.SetStatusCondition`).
fn set_condition(conditions: &mut Vec<Condition>, mut condition: Condition) {
    match conditions.iter_mut().find(|present| present.type_ == condition.type_) {
        Some(present) => {
            if present.status == condition.status {
                condition.last_transition_time = present.last_transition_time.clone();
            }
            *present = condition;
        }
        None => conditions.push(condition),
    }
}

/// Since when a pod that is neither ended nor being deleted is marked as about to be disrupted. The marks of kubelets
/// stay: what they announce may take its time.
fn marked(pod: &Pod) -> Option<&Time> {
    let condition = pod.condition("DisruptionTarget").filter(|condition| condition.status == "True")?;
    let counts = pod.active() && condition.reason != "TerminationByKubelet";
    condition.last_transition_time.as_ref().filter(|_| counts)
}

async fn unmark(this: &Budgets, name: &ObjectName) -> Result<Outcome, Error> {
    let ctx = &this.ctx;
    let Some(pod) = this.pods.get(&name.namespace, &name.name) else { return Ok(Outcome::Done) };
    let Some(since) = marked(&pod) else { return Ok(Outcome::Done) };
    let now = ctx.clock.now();
    let left = left_of(STALE_AFTER, since, now);
    if !left.is_zero() {
        return Ok(Outcome::Again(left));
    }
    let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [{
        "type": "DisruptionTarget", "status": "False", "reason": null, "message": null,
        "observedGeneration": pod.metadata.generation,
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }]}});
    let target = Resource::PODS.at(&name.namespace, &name.name).sub("status");
    match ctx.client.patch(target, Patch::Strategic, encode(&patch)).await {
        Err(error) if !(error.not_found() || error.conflict()) => Err(error),
        Ok(_) | Err(_) => Ok(Outcome::Done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(spec: &Value, status: &Value) -> Budget {
        let metadata = json!({"name": "b", "namespace": "web", "generation": 2});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status})).unwrap()
    }

    fn pods(ready: &[bool]) -> Vec<Arc<Pod>> {
        let pod = |(number, ready): (usize, &bool)| {
            let condition = json!({"type": "Ready", "status": if *ready { "True" } else { "False" }});
            let pod = json!({"metadata": {"name": format!("p{number}")}, "status": {"conditions": [condition]}});
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        ready.iter().enumerate().map(pod).collect()
    }

    #[track_caller]
    fn check_allowed(ready: &[bool], wished: Wished, disrupted: &[&str], expected: i32) {
        let disrupted = disrupted.iter().map(|name| ((*name).to_owned(), Time::from(Timestamp::UNIX_EPOCH))).collect();
        let status = plan(&budget(&json!({}), &json!({})), &pods(ready), (wished, disrupted), Timestamp::UNIX_EPOCH);
        assert_eq!(status.disruptions_allowed, expected);
    }

    #[test]
    fn as_many_pods_may_go_as_are_healthy_beyond_the_wished_number() {
        let wished = Wished { expected: 3, healthy: 1 };
        check_allowed(&[true, true, true], wished, &[], 2);
        check_allowed(&[true, true, false], wished, &[], 1);
        check_allowed(&[true, true, true], wished, &["p0"], 1);
        check_allowed(&[false, false, false], wished, &[], 0);
        check_allowed(&[true], Wished { expected: 0, healthy: 0 }, &[], 0);
    }

    #[test]
    fn the_condition_keeps_the_time_of_its_transition_while_its_status_stays() {
        let before = json!({"conditions": [{"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed",
            "message": "x", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        let at = "2026-02-01T00:00:00Z".parse().unwrap();
        let after = |healthy| {
            let wished = Wished { expected: 1, healthy };
            let status = plan(&budget(&json!({}), &before), &pods(&[true]), (wished, BTreeMap::new()), at);
            (status.conditions[0].reason.clone(), status.conditions[0].last_transition_time.0 == at)
        };
        assert_eq!(after(1), ("InsufficientPods".to_owned(), false));
        assert_eq!(after(0), ("SufficientPods".to_owned(), true));
    }
}
