//! `garbage-collector-controller`: deletes objects whose owners are gone, owners whose dependents go first, and frees
//! dependents that are to outlive their owner. Watches the metadata of every resource that can be deleted; `graph`
//! knows who owns whom, `plan` decides.

mod graph;
mod plan;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Controller;
use super::context::{Context, Shared};
use super::discovery::served;
use crate::base::{Shutdown, Tasks};
use crate::client::{
    Cache, Cached, DeleteOptions, Error, Meta, Outcome, OwnerReference, Patch, Preconditions, Queue, Resource,
    Selection, encode, follow, work,
};
use graph::{Graph, Object};
use plan::{Action, FOREGROUND, ORPHAN, Owner, plan};

pub(super) const GARBAGE_COLLECTOR: Controller = Controller {
    name: "garbage-collector-controller",
    alias: "garbagecollector",
    account: "generic-garbage-collector",
    run: |ctx| run(ctx).boxed(),
};

/// Objects that are worked on at once.
const WORKERS: usize = 20;
/// How long after a change of the served types the watches are adapted, so that discovery has followed.
const ADAPT_AFTER: Duration = Duration::from_millis(500);
const ADAPT_RETRY: Duration = Duration::from_secs(5);

/// What is to be looked at, by uid.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    /// Is it to go?
    Object(Arc<str>),
    /// Are its dependents to go?
    DependentsOf(Arc<str>),
}

/// A definition of custom resources; its changes change what is served.
#[derive(Deserialize, Debug)]
struct Definition {
    metadata: Meta,
}

impl Cached for Definition {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Definition {
    const RESOURCE: &'static Resource = Resource::CUSTOM_RESOURCE_DEFINITIONS;

    fn selection() -> Selection {
        Selection { metadata_only: true, ..Selection::default() }
    }
}

struct Collector {
    ctx: Context,
    graph: Arc<Graph>,
    queue: Arc<Queue<Key>>,
    /// The end of each watch that runs, by resource; held for single steps.
    watches: Mutex<HashMap<Resource, Shutdown>>,
}

async fn run(ctx: Context) {
    let queue = ctx.queue();
    let this = Arc::new(Collector {
        queue: Arc::clone(&queue),
        graph: Arc::new(Graph::default()),
        watches: Mutex::default(),
        ctx: ctx.clone(),
    });
    let adapt = Queue::<()>::new(Arc::clone(&ctx.clock));
    while let Err(error) = Box::pin(this.adapt()).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "garbage collector does not know what is served");
        ctx.clock.sleep(ADAPT_RETRY).await;
    }
    let definitions = ctx.cache::<Definition>();
    let (changed, adapting) = (Arc::clone(&adapt), Arc::clone(&this));
    let adapter = async move {
        let definitions = definitions.await;
        let wakes = Arc::clone(&changed);
        definitions.subscribe(move |_| wakes.add_after((), ADAPT_AFTER));
        work(changed, 1, "garbage-collector-controller", |()| {
            let this = Arc::clone(&adapting);
            async move { Box::pin(this.adapt()).await.map(|()| Outcome::Done) }
        })
        .await;
    };
    let reconciles = work(queue, WORKERS, "garbage-collector-controller", |key| reconcile(&this, key));
    futures::future::join(adapter, reconciles).await;
}

impl Collector {
    /// Watches what is served and not watched, and ends the watches of what is no longer served.
    async fn adapt(&self) -> Result<(), Error> {
        let wanted: Vec<_> = served(&self.ctx.client)
            .await?
            .into_iter()
            .filter(|served| served.allows(&["list", "watch", "delete"]) && served.resource.plural != "events")
            .map(|served| served.resource)
            .collect();
        let mut fresh = Vec::new();
        {
            let mut watches = self.watches.lock();
            watches.retain(|resource, end| {
                let kept = wanted.contains(resource);
                if !kept {
                    end.begin();
                    self.graph.remove(resource);
                }
                kept
            });
            for resource in wanted {
                if !watches.contains_key(&resource) {
                    let end = self.ctx.tasks.shutdown().child();
                    watches.insert(resource.clone(), end.clone());
                    fresh.push(self.watch(resource, end));
                }
            }
        }
        // What is not known yet would look as if it were gone; a live look would find it, at a price.
        for cache in fresh {
            let limit = self.ctx.clock.sleep(ADAPT_RETRY);
            tokio::select! {
                () = cache.synced() => {}
                () = limit => {}
            }
        }
        Ok(())
    }

    fn watch(&self, resource: Resource, end: Shutdown) -> Arc<Cache<Object>> {
        let cache = Cache::<Object>::new(resource.clone());
        self.graph.add(Arc::clone(&cache));
        let (graph, queue) = (Arc::clone(&self.graph), Arc::clone(&self.queue));
        cache.subscribe(move |delta| graph.note(&resource, delta, |key| queue.add(key)));
        let selection = Selection { metadata_only: true, ..Selection::default() };
        let follow = follow(Arc::clone(&cache), self.ctx.client.clone(), selection, Arc::clone(&self.ctx.clock));
        let tasks: &Tasks = &self.ctx.tasks;
        tasks.spawn("garbage collector cache", async move {
            tokio::select! {
                () = follow => {}
                () = end.wait() => {}
            }
        });
        cache
    }

    /// The present state of an object; `None` when it is gone or another one has its name.
    async fn live(&self, resource: &Resource, object: &Meta) -> Result<Option<Meta>, Error> {
        match self.ctx.client.get_metadata::<Object>(resource.at(&object.namespace, &object.name)).await {
            Ok(live) if live.meta().uid == object.uid => Ok(Some(live.meta().clone())),
            Ok(_) => Ok(None),
            Err(error) if error.not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How the owner that a reference names is.
    async fn owner(&self, dependent: &Meta, reference: &OwnerReference) -> Result<Owner, Error> {
        if let Some((_, owner)) = self.graph.get(&reference.uid) {
            let meta = owner.meta();
            // An owner in another namespace is no owner.
            if !meta.namespace.is_empty() && meta.namespace != dependent.namespace {
                return Ok(Owner::Absent);
            }
            return Ok(Owner::of(meta));
        }
        let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
        let Some(resource) = self.graph.resource_of(group, &reference.kind) else { return Ok(Owner::Unknown) };
        let namespace = if resource.namespaced { dependent.namespace.clone() } else { String::new() };
        let sought = Meta { name: reference.name.clone(), uid: reference.uid.clone(), namespace, ..Meta::default() };
        if resource.namespaced && dependent.namespace.is_empty() {
            return Ok(Owner::Unknown);
        }
        Ok(self.live(&resource, &sought).await?.map_or(Owner::Absent, |meta| Owner::of(&meta)))
    }
}

async fn reconcile(this: &Collector, key: Key) -> Result<Outcome, Error> {
    match key {
        Key::DependentsOf(uid) => {
            for (_, dependent) in this.graph.dependents(&uid) {
                this.queue.add(Key::Object(dependent.meta().uid.as_str().into()));
            }
            Ok(Outcome::Done)
        }
        Key::Object(uid) => Box::pin(collect(this, &uid)).await,
    }
}

async fn collect(this: &Collector, uid: &str) -> Result<Outcome, Error> {
    let Some((resource, object)) = this.graph.get(uid) else { return Ok(Outcome::Done) };
    let Some(meta) = this.live(&resource, object.meta()).await? else { return Ok(Outcome::Done) };
    let mut owners = Vec::new();
    for reference in &meta.owner_references {
        owners.push((reference.clone(), this.owner(&meta, reference).await?));
    }
    let dependents = this.graph.dependents(uid);
    match plan(&meta, &owners, &dependents.iter().map(|(_, object)| object.meta()).collect::<Vec<_>>()) {
        Action::Nothing => {}
        Action::Unfinalize(finalizer) => remove_finalizer(this, &resource, &meta, finalizer).await?,
        Action::Await => this.queue.add(Key::DependentsOf(uid.into())),
        Action::Orphan => {
            for (resource, dependent) in &dependents {
                drop_owners(this, resource, dependent.meta(), &[uid.to_owned()]).await?;
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
