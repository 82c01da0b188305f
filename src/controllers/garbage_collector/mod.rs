//! `garbage-collector-controller`: deletes objects whose owners are gone, owners whose dependents go first, and frees
//! dependents that are to outlive their owner. Watches the metadata of every resource that can be deleted; `graph`
//! knows who owns whom, `plan` decides.

mod graph;
mod plan;

use std::sync::Arc;

use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Controller;
use super::context::Context;
use super::discovery::{Served, each_change, served_at_last};
use super::following::Following;
use crate::api::Uid;
use crate::client::{
    DeleteOptions, Error, Meta, Outcome, OwnerReference, Patch, Preconditions, Queue, Resource, encode, work,
};
use graph::{Graph, Members};
use plan::{Action, FOREGROUND, ORPHAN, Owner, plan};

pub(super) const GARBAGE_COLLECTOR: Controller = Controller {
    name: "garbage-collector-controller",
    alias: "garbagecollector",
    account: "generic-garbage-collector",
    source: "generic-garbage-collector",
    run: |ctx| run(ctx).boxed(),
};

/// Objects that are worked on at once.
const WORKERS: usize = 20;

/// What is to be looked at, by uid.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    /// Is it to go?
    Object(Uid),
    /// Are its dependents to go?
    DependentsOf(Uid),
}

/// An object as it is now.
#[derive(Deserialize)]
struct Live {
    metadata: Meta,
}

/// Why an object is looked at once more.
#[derive(thiserror::Error, Debug)]
enum Failure {
    #[error(transparent)]
    Client(#[from] Error),
    #[error("an owner is a {0} of {1}, which nobody serves")]
    UnknownKind(String, String),
}

struct Collector {
    ctx: Context,
    graph: Arc<Graph>,
    queue: Arc<Queue<Key>>,
    following: Following<Members>,
}

async fn run(ctx: Context) {
    let queue = ctx.queue();
    let graph = Arc::new(Graph::default());
    let (known, changed) = (Arc::clone(&graph), Arc::clone(&queue));
    let following = Following::new(ctx.clone(), move |resource| {
        let queue = Arc::clone(&changed);
        Members::new(Arc::clone(&known), resource, move |key| queue.add(key))
    });
    let this = Collector { queue: Arc::clone(&queue), graph, following, ctx };
    // What is not known yet would look as if it were gone; a live look would find it, at a price.
    let first = served_at_last(&this.ctx).await;
    Box::pin(this.adapt(first)).await;
    let adapts = each_change(&this.ctx, |served| Box::pin(this.adapt(served)));
    let reconciles = work(queue, WORKERS, "garbage-collector-controller", |key| reconcile(&this, key));
    futures::future::join(adapts, reconciles).await;
}

impl Collector {
    /// Watches what is served and can be deleted, and ends the watches of what is no longer served.
    async fn adapt(&self, served: Vec<Served>) {
        let wanted = served
            .into_iter()
            .filter(|served| served.allows(&["list", "watch", "delete"]) && served.resource.plural != "events")
            .map(|served| served.resource);
        for resource in self.following.set(wanted.collect()).await {
            self.graph.remove(&resource);
        }
    }

    /// The present state of an object; `None` when it is gone or another one has its name.
    async fn live(&self, resource: &Resource, object: &Meta) -> Result<Option<Meta>, Error> {
        match self.ctx.client.get_metadata::<Live>(resource.at(&object.namespace, &object.name)).await {
            Ok(live) if live.metadata.uid == object.uid => Ok(Some(live.metadata)),
            Ok(_) => Ok(None),
            Err(error) if error.not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How the owner that a reference names is.
    ///
    /// # Errors
    /// Where nobody serves its kind: it may have been defined a moment ago, so that the question is asked again.
    async fn owner(&self, dependent: &Meta, reference: &OwnerReference) -> Result<Owner, Failure> {
        if let Some((namespace, owner)) = self.graph.owner(&reference.uid) {
            // An owner in another namespace is no owner.
            let elsewhere = !namespace.is_empty() && *namespace != *dependent.namespace;
            return Ok(if elsewhere { Owner::Absent } else { owner });
        }
        let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
        let unknown = || Failure::UnknownKind(reference.kind.clone(), reference.api_version.clone());
        let resource = self.graph.resource_of(group, &reference.kind).ok_or_else(unknown)?;
        let namespace = if resource.namespaced { dependent.namespace.clone() } else { String::new() };
        let sought = Meta { name: reference.name.clone(), uid: reference.uid.clone(), namespace, ..Meta::default() };
        if resource.namespaced && dependent.namespace.is_empty() {
            return Ok(Owner::Unknown);
        }
        Ok(self.live(&resource, &sought).await?.map_or(Owner::Absent, |meta| Owner::of(&meta)))
    }
}

async fn reconcile(this: &Collector, key: Key) -> Result<Outcome, Failure> {
    match key {
        Key::DependentsOf(uid) => {
            for dependent in this.graph.dependents(&uid) {
                this.queue.add(Key::Object(dependent));
            }
            Ok(Outcome::Done)
        }
        Key::Object(uid) => Box::pin(collect(this, &uid)).await,
    }
}

async fn collect(this: &Collector, uid: &Uid) -> Result<Outcome, Failure> {
    let Some((resource, known)) = this.graph.tied(uid) else { return Ok(Outcome::Done) };
    let Some(meta) = this.live(&resource, &known).await? else { return Ok(Outcome::Done) };
    let mut owners = Vec::new();
    for reference in &meta.owner_references {
        owners.push((reference.clone(), this.owner(&meta, reference).await?));
    }
    let dependents = this.graph.dependents(uid);
    let dependents: Vec<(Resource, Meta)> = dependents.iter().filter_map(|uid| this.graph.tied(uid)).collect();
    match plan(&meta, &owners, &dependents.iter().map(|(_, meta)| meta).collect::<Vec<_>>()) {
        Action::Nothing => {}
        Action::Unfinalize(finalizer) => remove_finalizer(this, &resource, &meta, finalizer).await?,
        Action::Await => this.queue.add(Key::DependentsOf(uid.clone())),
        Action::Orphan => {
            for (resource, dependent) in &dependents {
                drop_owners(this, resource, dependent, &[uid.to_string()]).await?;
            }
            remove_finalizer(this, &resource, &meta, ORPHAN).await?;
        }
        Action::DropOwners(uids) => drop_owners(this, &resource, &meta, &uids).await?,
        Action::Delete { policy, unblock } => {
            if unblock {
                unblock_owners(this, &resource, &meta).await?;
            }
            delete(this, &resource, &meta, policy).await?;
        }
    }
    Ok(Outcome::Done)
}

async fn delete(this: &Collector, resource: &Resource, meta: &Meta, policy: &'static str) -> Result<(), Error> {
    let preconditions = Preconditions { uid: Some(meta.uid.clone()), resource_version: None };
    let options = DeleteOptions {
        propagation_policy: Some(policy),
        preconditions: Some(preconditions),
        ..DeleteOptions::default()
    };
    ignore_gone(this.ctx.client.delete(resource.at(&meta.namespace, &meta.name), &options).await.map(drop))
}

async fn remove_finalizer(this: &Collector, resource: &Resource, meta: &Meta, finalizer: &str) -> Result<(), Error> {
    let kept: Vec<_> = meta.finalizers.iter().filter(|present| *present != finalizer).collect();
    patch(this, resource, meta, json!({"finalizers": kept})).await
}

async fn drop_owners(this: &Collector, resource: &Resource, meta: &Meta, uids: &[String]) -> Result<(), Error> {
    let Some(live) = this.live(resource, meta).await? else { return Ok(()) };
    let kept: Vec<_> = live.owner_references.iter().filter(|owner| !uids.contains(&owner.uid)).collect();
    if kept.len() == live.owner_references.len() {
        return Ok(());
    }
    patch(this, resource, &live, json!({"ownerReferences": kept})).await
}

/// A dependent that itself waits for its dependents must not block its owner, or a circle would never end.
async fn unblock_owners(this: &Collector, resource: &Resource, meta: &Meta) -> Result<(), Error> {
    let owners: Vec<_> = meta
        .owner_references
        .iter()
        .map(|owner| OwnerReference {
            block_owner_deletion: owner.block_owner_deletion.map(|_| false),
            ..owner.clone()
        })
        .collect();
    patch(this, resource, meta, json!({"ownerReferences": owners})).await
}

async fn patch(this: &Collector, resource: &Resource, meta: &Meta, mut metadata: Value) -> Result<(), Error> {
    metadata["uid"] = json!(meta.uid);
    metadata["resourceVersion"] = json!(meta.resource_version);
    let target = resource.at(&meta.namespace, &meta.name);
    let body = encode(&json!({"metadata": metadata}));
    match this.ctx.client.patch(target, Patch::Merge, body).await {
        Err(error) if error.not_found() => Ok(()),
        other => other.map(drop),
    }
}

/// What is gone, or is another object by now, needs no delete.
fn ignore_gone(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.not_found() || error.conflict() => Ok(()),
        other => other,
    }
}

/// The policy that the finalizers of an object ask for.
fn policy_of(meta: &Meta) -> &'static str {
    let has = |finalizer: &str| meta.finalizers.iter().any(|present| present == finalizer);
    if has(ORPHAN) {
        "Orphan"
    } else if has(FOREGROUND) {
        "Foreground"
    } else {
        "Background"
    }
}
