//! `persistentvolumeclaim-protection-controller` and its likes for volumes and classes of volume attributes: what is to
//! go keeps its finalizer until nothing uses it any more. Admission sets the finalizers; what came without gets them here.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Controller;
use super::context::{Context, Shared};
use super::pod::Pod;
use crate::client::{Cache, Cached, Delta, Error, Meta, ObjectName, Outcome, Query, Resource, encode, work};

pub(super) const CLAIM_PROTECTION: Controller = Controller {
    name: "persistentvolumeclaim-protection-controller",
    alias: "pvc-protection",
    account: "pvc-protection-controller",
    source: "pvc-protection-controller",
    run: |ctx| run_claims(ctx).boxed(),
};

pub(super) const VOLUME_PROTECTION: Controller = Controller {
    name: "persistentvolume-protection-controller",
    alias: "pv-protection",
    account: "pv-protection-controller",
    source: "pv-protection-controller",
    run: |ctx| run::<Volume>(ctx).boxed(),
};

pub(super) const ATTRIBUTES_CLASS_PROTECTION: Controller = Controller {
    name: "volumeattributesclass-protection-controller",
    alias: "",
    account: "volumeattributesclass-protection-controller",
    source: "volumeattributesclass-protection-controller",
    run: |ctx| run::<AttributesClass>(ctx).boxed(),
};

const WORKERS: usize = 4;
/// How soon what is still used is looked at again where nobody tells that its last user has gone.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A type whose objects are protected.
trait Protected: Shared {
    const FINALIZER: &'static str;

    /// Whether anything uses an object; asked of the server, for a cache may not know of a user yet.
    fn used<'a>(ctx: &'a Context, object: &'a Self) -> BoxFuture<'a, Result<bool, Error>>;
}

/// Whether there is something to do: to take the finalizer of what is to go, or to give one to what has none.
fn pending<T: Protected>(meta: &Meta) -> bool {
    meta.deleting() == meta.finalizers.iter().any(|name| name == T::FINALIZER)
}

#[derive(Deserialize, Debug)]
struct Claim {
    metadata: Meta,
}

#[derive(Deserialize, Debug)]
struct Volume {
    metadata: Meta,
    #[serde(default)]
    status: VolumeStatus,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default)]
struct VolumeStatus {
    phase: String,
}

#[derive(Deserialize, Debug)]
struct AttributesClass {
    metadata: Meta,
}

/// What is held is what there is something to do about, so the caches are small.
impl Cached for Claim {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn wanted(&self) -> bool {
        pending::<Self>(&self.metadata)
    }
}

impl Cached for Volume {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn wanted(&self) -> bool {
        pending::<Self>(&self.metadata)
    }
}

impl Cached for AttributesClass {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn wanted(&self) -> bool {
        pending::<Self>(&self.metadata)
    }
}

impl Shared for Claim {
    const RESOURCE: &'static Resource = Resource::PERSISTENT_VOLUME_CLAIMS;
}

impl Shared for Volume {
    const RESOURCE: &'static Resource = Resource::PERSISTENT_VOLUMES;
}

impl Shared for AttributesClass {
    const RESOURCE: &'static Resource = Resource::VOLUME_ATTRIBUTES_CLASSES;
}

impl Protected for Claim {
    const FINALIZER: &'static str = "kubernetes.io/pvc-protection";

    fn used<'a>(ctx: &'a Context, claim: &'a Self) -> BoxFuture<'a, Result<bool, Error>> {
        async move {
            let pods = Resource::PODS.at(&claim.metadata.namespace, "");
            let pods = ctx.client.list::<User>(pods, &Query::default()).await?;
            Ok(pods.items.iter().any(|pod| pod.uses(&claim.metadata)))
        }
        .boxed()
    }
}

impl Protected for Volume {
    const FINALIZER: &'static str = "kubernetes.io/pv-protection";

    fn used<'a>(_: &'a Context, volume: &'a Self) -> BoxFuture<'a, Result<bool, Error>> {
        async move { Ok(volume.status.phase == "Bound") }.boxed()
    }
}

impl Protected for AttributesClass {
    const FINALIZER: &'static str = "kubernetes.io/vac-protection";

    fn used<'a>(ctx: &'a Context, class: &'a Self) -> BoxFuture<'a, Result<bool, Error>> {
        async move {
            for resource in [Resource::PERSISTENT_VOLUME_CLAIMS, Resource::PERSISTENT_VOLUMES] {
                let all = ctx.client.list::<Value>(resource.at("", ""), &Query::default()).await?;
                if all.items.iter().any(|object| names_class(object, &class.metadata.name)) {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        .boxed()
    }
}

/// Whether a claim or volume has a class, is to have it, or had it last.
fn names_class(object: &Value, class: &str) -> bool {
    [
        "/spec/volumeAttributesClassName",
        "/status/currentVolumeAttributesClassName",
        "/status/modifyVolumeStatus/targetVolumeAttributesClassName",
    ]
    .iter()
    .any(|at| object.pointer(at).and_then(Value::as_str) == Some(class))
}

/// A pod as a user of claims.
#[derive(Deserialize, Debug)]
struct User {
    metadata: Meta,
    #[serde(default)]
    spec: UserSpec,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct UserSpec {
    node_name: String,
    volumes: Vec<UserVolume>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct UserVolume {
    name: String,
    persistent_volume_claim: Option<ClaimSource>,
    ephemeral: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct ClaimSource {
    claim_name: String,
}

impl User {
    /// Pods that no node has cannot start with a claim that is to go; of its own claims a pod that the node has
    /// finished with lets go.
    fn uses(&self, claim: &Meta) -> bool {
        let finished = self.metadata.deleting() && self.metadata.deletion_grace_period_seconds == Some(0);
        let owned = || claim.owner_references.iter().any(|owner| owner.uid == self.metadata.uid);
        let own = |volume: &UserVolume| {
            volume.ephemeral.is_some()
                && claim.name == format!("{}-{}", self.metadata.name, volume.name)
                && !finished
                && owned()
        };
        let named = |volume: &UserVolume| {
            volume.persistent_volume_claim.as_ref().is_some_and(|source| source.claim_name == claim.name)
        };
        !self.spec.node_name.is_empty() && self.spec.volumes.iter().any(|volume| named(volume) || own(volume))
    }
}

async fn run<T: Protected>(ctx: Context) {
    let objects = ctx.cache::<T>().await;
    let queue = ctx.queue_of(&objects);
    objects.all().iter().for_each(|object| queue.add(object.meta().object_name()));
    work(queue, WORKERS, "storage protection", |name| reconcile(&ctx, &objects, name)).await;
}

async fn run_claims(ctx: Context) {
    let claims = ctx.cache::<Claim>().await;
    let pods = ctx.cache::<Pod>().await;
    let queue = ctx.queue_of(&claims);
    claims.all().iter().for_each(|claim| queue.add(claim.metadata.object_name()));
    let (changed, waiting) = (Arc::clone(&queue), Arc::clone(&claims));
    pods.subscribe(move |delta| {
        let pod = delta.object();
        let lets_go = matches!(delta, Delta::Deleted(_)) || pod.finished() || pod.spec.node_name.is_empty();
        for claim in waiting.all().iter().filter(|_| lets_go) {
            if claim.metadata.namespace == pod.metadata.namespace {
                changed.add(claim.metadata.object_name());
            }
        }
    });
    work(queue, WORKERS, "storage protection", |name| reconcile(&ctx, &claims, name)).await;
}

async fn reconcile<T: Protected>(ctx: &Context, objects: &Cache<T>, name: ObjectName) -> Result<Outcome, Error> {
    let Some(object) = objects.get(&name.namespace, &name.name) else { return Ok(Outcome::Done) };
    let meta = object.meta();
    if meta.deleting() && T::used(ctx, &object).await? {
        return Ok(Outcome::Again(LOOK_AGAIN));
    }
    let target = T::RESOURCE.at(&name.namespace, &name.name);
    let mut whole: Value = match ctx.client.get(target).await {
        Err(error) if error.not_found() => return Ok(Outcome::Done),
        other => other?,
    };
    if whole["metadata"]["uid"] != meta.uid.as_str() {
        return Ok(Outcome::Done);
    }
    let mut finalizers: Vec<Value> = whole["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    finalizers.retain(|name| name != T::FINALIZER);
    if whole["metadata"]["deletionTimestamp"].is_null() {
        finalizers.push(json!(T::FINALIZER));
    }
    whole["metadata"]["finalizers"] = json!(finalizers);
    match ctx.client.update(target, encode(&whole)).await {
        Err(error) if error.not_found() => Ok(Outcome::Done),
        other => other.map(|_| Outcome::Done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(value: Value) -> Meta {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_to_go_with_a_finalizer_or_stays_without_is_looked_at() {
        let now = "2026-01-01T00:00:00Z";
        let finalizers = json!([Claim::FINALIZER]);
        let pending = |value: Value| pending::<Claim>(&meta(value));
        assert!(pending(json!({"name": "a"})));
        assert!(!pending(json!({"name": "a", "finalizers": finalizers})));
        assert!(pending(json!({"name": "a", "finalizers": finalizers, "deletionTimestamp": now})));
        assert!(!pending(json!({"name": "a", "finalizers": ["x/y"], "deletionTimestamp": now})));
    }

    #[test]
    fn a_claim_is_used_by_pods_that_have_a_node() {
        let pod = |node: &str, volume: Value| -> User {
            serde_json::from_value(json!({"metadata": {"name": "p", "uid": "u"},
                "spec": {"nodeName": node, "volumes": [volume]}}))
            .unwrap()
        };
        let named = json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}});
        let claim = meta(json!({"name": "c"}));
        assert!(pod("n", named.clone()).uses(&claim));
        assert!(!pod("", named).uses(&claim));
        let own = json!({"name": "v", "ephemeral": {}});
        let owner = json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}]);
        assert!(pod("n", own.clone()).uses(&meta(json!({"name": "p-v", "ownerReferences": owner}))));
        assert!(!pod("n", own).uses(&meta(json!({"name": "p-v"}))));
    }

    #[test]
    fn a_class_is_used_by_claims_and_volumes_that_name_it() {
        assert!(names_class(&json!({"status": {"currentVolumeAttributesClassName": "gold"}}), "gold"));
        assert!(!names_class(&json!({"spec": {"volumeAttributesClassName": "gold"}}), "silver"));
    }
}
