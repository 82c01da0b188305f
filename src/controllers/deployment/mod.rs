//! `deployment-controller`: rolls a Deployment's template out over ReplicaSets. `plan` decides, this file reads and
//! writes; `rolling`, `scale`, `revision` and `status` are the parts of the decision.

mod plan;
mod revision;
mod rolling;
mod scale;
mod status;

use std::sync::Arc;

use futures::FutureExt;
use k8s_openapi::api::apps::v1::{DeploymentStatus, DeploymentStrategy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Controller;
use super::context::{Context, Shared};
use super::pod::Pod;
use super::pod_control::{adopt, release};
use super::replica_set::ReplicaSet;
use crate::client::{
    Cache, Cached, DeleteOptions, Delta, Error, EventText, Meta, ObjectName, Outcome, Patch, Queue, Resource, encode,
    selects, work,
};
use plan::{Change, Plan, plan};

pub(super) const DEPLOYMENT: Controller = Controller {
    name: "deployment-controller",
    alias: "deployment",
    account: "deployment-controller",
    source: "deployment-controller",
    run: |ctx| run(ctx).boxed(),
};

/// Deployments that are worked on at once.
const WORKERS: usize = 16;

/// A Deployment, as its controller sees it.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct Deployment {
    pub metadata: Meta,
    pub spec: DeploymentSpec,
    #[serde(default)]
    pub status: DeploymentStatus,
}

#[derive(Deserialize, Debug, Clone)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeploymentSpec {
    #[serde(default = "one")]
    pub replicas: i32,
    #[serde(default)]
    pub min_ready_seconds: i32,
    #[serde(default)]
    pub paused: bool,
    pub progress_deadline_seconds: Option<i32>,
    pub revision_history_limit: Option<i32>,
    pub selector: LabelSelector,
    #[serde(default)]
    pub strategy: DeploymentStrategy,
    #[serde(default)]
    pub template: Value,
}

fn one() -> i32 {
    1
}

impl Cached for Deployment {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Deployment {
    const RESOURCE: &'static Resource = Resource::DEPLOYMENTS;
}

struct Deployments {
    ctx: Context,
    deployments: Arc<Cache<Deployment>>,
    sets: Arc<Cache<ReplicaSet>>,
    pods: Arc<Cache<Pod>>,
}

async fn run(ctx: Context) {
    let deployments = ctx.cache::<Deployment>().await;
    let sets = ctx.cache::<ReplicaSet>().await;
    let pods = ctx.cache::<Pod>().await;
    let queue = ctx.queue_of(&deployments);
    let (changed, all) = (Arc::clone(&queue), Arc::clone(&deployments));
    sets.subscribe(move |delta| wake_by_set(&changed, &all, delta));
    let (changed, all, owners) = (Arc::clone(&queue), Arc::clone(&deployments), Arc::clone(&sets));
    pods.subscribe(move |delta| {
        if let Delta::Deleted(pod) = delta {
            wake_by_pod(&changed, (&all, &owners), pod);
        }
    });
    let this = Deployments { ctx, deployments, sets, pods };
    work(queue, WORKERS, "deployment-controller", |name| reconcile(&this, name)).await;
}

fn wake_by_set(queue: &Queue<ObjectName>, deployments: &Cache<Deployment>, delta: &Delta<'_, ReplicaSet>) {
    let set = &delta.object().metadata;
    match set.controller() {
        Some(owner) if owner.kind == "Deployment" => queue.add(ObjectName::new(&set.namespace, &owner.name)),
        Some(_) => {}
        None => {
            for deployment in deployments.in_namespace(&set.namespace) {
                if selects(&deployment.spec.selector, &set.labels) {
                    queue.add(deployment.metadata.object_name());
                }
            }
        }
    }
    if let Delta::Updated { old, .. } = delta
        && let Some(owner) = old.metadata.controller()
        && set.controller() != Some(owner)
    {
        queue.add(ObjectName::new(&set.namespace, &owner.name));
    }
}

/// A Recreate rollout goes on when the last old pod is gone.
fn wake_by_pod(queue: &Queue<ObjectName>, caches: (&Cache<Deployment>, &Cache<ReplicaSet>), pod: &Pod) {
    let (deployments, sets) = caches;
    let meta = &pod.metadata;
    let set = meta.controller().and_then(|owner| sets.get(&meta.namespace, &owner.name));
    let Some(owner) = set.as_ref().and_then(|set| set.metadata.controller()) else { return };
    let deployment = deployments.get(&meta.namespace, &owner.name);
    if deployment.is_some_and(|d| d.spec.strategy.type_.as_deref() == Some("Recreate")) {
        queue.add(ObjectName::new(&meta.namespace, &owner.name));
    }
}

async fn reconcile(this: &Deployments, name: ObjectName) -> Result<Outcome, Error> {
    let Some(deployment) = this.deployments.get(&name.namespace, &name.name) else { return Ok(Outcome::Done) };
    let (sets, claimed) = this.claim(&deployment).await?;
    if claimed > 0 {
        this.sets.reached(claimed, &*this.ctx.clock).await;
        return Ok(Outcome::Again(std::time::Duration::ZERO));
    }
    let old_pods_run = |new: Option<&str>| {
        let old = sets.iter().filter(|set| Some(set.metadata.uid.as_str()) != new);
        old.flat_map(|set| this.pods.owned_by(&set.metadata.uid)).any(|pod| !pod.finished())
    };
    let Plan { changes, outcome } = plan(&deployment, &sets, &old_pods_run, this.ctx.clock.now());
    for change in changes {
        this.apply(&deployment, change).await?;
    }
    Ok(outcome)
}

impl Deployments {
    /// The ReplicaSets of a Deployment, and the revision of the last change of hands (0 for none).
    async fn claim(&self, deployment: &Deployment) -> Result<(Vec<Arc<ReplicaSet>>, u64), Error> {
        let meta = &deployment.metadata;
        let selected = |set: &Arc<ReplicaSet>| selects(&deployment.spec.selector, &set.metadata.labels);
        let mut revision = 0;
        let mut owned = Vec::new();
        for set in self.sets.in_namespace(&meta.namespace) {
            match set.metadata.controller() {
                Some(owner) if owner.uid != meta.uid => {}
                Some(_) if selected(&set) => owned.push(set),
                Some(_) if !meta.deleting() => {
                    revision = revision.max(release(&self.ctx.client, &*set, &meta.uid).await?);
                }
                None if !meta.deleting() && !set.metadata.deleting() && selected(&set) => {
                    let owner = meta.as_controller(Resource::DEPLOYMENTS);
                    revision = revision.max(adopt(&self.ctx.client, &*set, &owner).await?);
                }
                Some(_) | None => {}
            }
        }
        Ok((owned, revision))
    }

    async fn apply(&self, deployment: &Deployment, change: Change) -> Result<(), Error> {
        let (client, clock) = (&self.ctx.client, &*self.ctx.clock);
        let meta = &deployment.metadata;
        match change {
            Change::Event(text) => self.ctx.record(deployment, text),
            Change::Create { set, event } => {
                self.create(deployment, &set).await?;
                if let Some(event) = event {
                    self.ctx.record(deployment, event);
                }
            }
            Change::Patch { set, patch, event } => {
                let target = Resource::REPLICA_SETS.at(&meta.namespace, &set);
                let written = client.patch(target, Patch::Merge, encode(&patch)).await?;
                if let Some(event) = event {
                    self.ctx.record(deployment, event);
                }
                self.sets.reached(written.revision, clock).await;
            }
            Change::Delete { set, uid } => {
                let target = Resource::REPLICA_SETS.at(&meta.namespace, &set);
                match client.delete(target, &DeleteOptions::of_uid(&uid)).await {
                    Err(error) if error.not_found() => {}
                    Err(error) => return Err(error),
                    Ok(written) => self.sets.reached(written.revision, clock).await,
                }
            }
            Change::Status { status, annotations } => {
                let mut meta = meta.clone();
                meta.annotations = annotations;
                let written = client.update_status(Resource::DEPLOYMENTS, &meta, &*status).await?;
                self.deployments.reached(written.revision, clock).await;
            }
            Change::RollBack { template, annotations } => {
                let target = Resource::DEPLOYMENTS.at(&meta.namespace, &meta.name);
                let mut whole: Value = client.get(target).await?;
                whole["metadata"]["resourceVersion"] = json!(meta.resource_version);
                whole["metadata"]["annotations"] = json!(annotations);
                if let Some(template) = template {
                    whole["spec"]["template"] = template;
                }
                let written = client.update(target, encode(&whole)).await?;
                self.deployments.reached(written.revision, clock).await;
            }
        }
        Ok(())
    }

    /// Creates the new ReplicaSet. When its name is taken by a set of another template, the collision is counted, so
    /// that the next attempt takes another name.
    async fn create(&self, deployment: &Deployment, set: &Value) -> Result<(), Error> {
        let (client, meta) = (&self.ctx.client, &deployment.metadata);
        let error = match client.create(Resource::REPLICA_SETS.at(&meta.namespace, ""), encode(set)).await {
            Ok(written) => {
                self.sets.reached(written.revision, &*self.ctx.clock).await;
                return Ok(());
            }
            Err(error) => error,
        };
        let name = set["metadata"]["name"].as_str().unwrap_or_default();
        let mut status = deployment.status.clone();
        if error.already_exists() {
            let taken = self.sets.get(&meta.namespace, name);
            if taken.is_some_and(|set| set.metadata.controller().is_none_or(|owner| owner.uid != meta.uid)) {
                status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
                client.update_status(Resource::DEPLOYMENTS, meta, &status).await?;
            }
        } else if !error.namespace_terminating() {
            let message = format!("Failed to create new replica set \"{name}\": {error}");
            if plan::has_progress_deadline(deployment) {
                let now = self.ctx.clock.now();
                status::progress(&mut status, ("False", "ReplicaSetCreateError", &message), now);
                if status != deployment.status {
                    client.update_status(Resource::DEPLOYMENTS, meta, &status).await?;
                }
            }
            self.ctx.record(deployment, EventText::warning("ReplicaSetCreateError", message));
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests;
