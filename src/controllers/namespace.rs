//! `namespace-controller`: empties namespaces that are being deleted, and lets them go.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Controller;
use super::context::{Context, Shared};
use super::discovery::{Served, served};
use super::pod::Pod;
use crate::client::{
    Cache, Cached, DeleteOptions, Delta, Error, Meta, ObjectName, Outcome, Query, Resource, Time, encode, work,
};

pub(super) const NAMESPACE: Controller = Controller {
    name: "namespace-controller",
    alias: "namespace",
    account: "namespace-controller",
    source: "namespace-controller",
    run: |ctx| run(ctx).boxed(),
};

/// Namespaces that are worked on at once.
const WORKERS: usize = 10;
/// How soon a namespace is looked at again while something is left in it.
const RETRY: Duration = Duration::from_secs(1);
const FINALIZER: &str = "kubernetes";
/// Objects whose finalizers are told; the count beyond is exact for resources, not for finalizers.
const TOLD_OBJECTS: usize = 500;

/// A namespace, as controllers see it.
#[derive(Deserialize, Debug, Clone)]
pub(super) struct Namespace {
    pub metadata: Meta,
    #[serde(default)]
    pub spec: NamespaceSpec,
    #[serde(default)]
    pub status: NamespaceStatus,
}

#[derive(Deserialize, Debug, Clone, Default)]
#[serde(default)]
pub(super) struct NamespaceSpec {
    pub finalizers: Vec<String>,
}

#[derive(Deserialize, Serialize, Debug, Clone, Default, PartialEq)]
#[serde(default)]
pub(super) struct NamespaceStatus {
    pub phase: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<NamespaceCondition>,
}

#[derive(Deserialize, Serialize, Debug, Clone, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct NamespaceCondition {
    #[serde(rename = "type")]
    pub kind: String,
    pub status: String,
    pub last_transition_time: Option<Time>,
    pub reason: String,
    pub message: String,
}

impl Cached for Namespace {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Namespace {
    const RESOURCE: &'static Resource = Resource::NAMESPACES;
}

async fn run(ctx: Context) {
    let namespaces = ctx.cache::<Namespace>().await;
    let pods = ctx.cache::<Pod>().await;
    let queue = ctx.queue();
    let changed = Arc::clone(&queue);
    namespaces.subscribe(move |delta| {
        let meta = delta.object().meta();
        if meta.deleting() && !matches!(delta, Delta::Deleted(_)) {
            changed.add(meta.object_name());
        }
    });
    // Pods take their time to go; what else has finalizers is looked at again after a while.
    let (changed, all) = (Arc::clone(&queue), Arc::clone(&namespaces));
    pods.subscribe(move |delta| {
        if let Delta::Deleted(pod) = delta
            && let Some(namespace) = all.get("", &pod.metadata.namespace)
            && namespace.metadata.deleting()
        {
            changed.add_after(namespace.metadata.object_name(), Duration::from_millis(20));
        }
    });
    work(queue, WORKERS, "namespace-controller", |name| reconcile(&ctx, &namespaces, name)).await;
}

async fn reconcile(ctx: &Context, namespaces: &Cache<Namespace>, name: ObjectName) -> Result<Outcome, Error> {
    let Some(namespace) = namespaces.get("", &name.name) else { return Ok(Outcome::Done) };
    if !namespace.metadata.deleting() || !namespace.spec.finalizers.iter().any(|f| f == FINALIZER) {
        return Ok(Outcome::Done);
    }
    let all = served(&ctx.client).await?;
    let mut left = Left::default();
    for resource in all.iter().filter(|served| served.resource.namespaced && served.allows(&["list", "delete"])) {
        Box::pin(empty(ctx, &name.name, resource, &mut left)).await?;
    }
    let status = plan_status(&namespace.status, &left, ctx.clock.now());
    let mut meta = namespace.metadata.clone();
    if status != namespace.status {
        let written = ctx.client.update_status(Resource::NAMESPACES, &meta, &status).await;
        match written {
            Ok(written) => meta.resource_version = written.revision.to_string(),
            Err(error) if error.not_found() => return Ok(Outcome::Done),
            Err(error) => return Err(error),
        }
    }
    if !left.resources.is_empty() || !left.errors.is_empty() {
        return Ok(Outcome::Again(RETRY));
    }
    finalize(ctx, &namespace, &meta).await?;
    Ok(Outcome::Done)
}

/// What is left in a namespace.
#[derive(Default, Debug)]
struct Left {
    /// `(resource.group, count)`.
    resources: Vec<(String, usize)>,
    /// `(finalizer, count)`.
    finalizers: Vec<(String, usize)>,
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Meta,
}

/// Deletes all objects of a resource, and notes those that stay.
async fn empty(ctx: &Context, namespace: &str, served: &Served, left: &mut Left) -> Result<(), Error> {
    let collection = served.resource.at(namespace, "");
    let mut query = Query::default().with("limit", TOLD_OBJECTS.to_string());
    query.metadata_only = true;
    let present = match ctx.client.list::<Item>(collection, &query).await {
        Ok(page) => page.items,
        Err(error) if matches!(error.code(), 404 | 405) => return Ok(()),
        Err(error) => return Err(error),
    };
    if present.is_empty() {
        return Ok(());
    }
    let options = DeleteOptions { propagation_policy: Some("Background"), ..DeleteOptions::default() };
    if served.allows(&["deletecollection"]) {
        if let Err(error) = ctx.client.delete(collection, &options).await {
            left.errors.push(error.to_string());
        }
    } else {
        for item in &present {
            let target = served.resource.at(namespace, &item.metadata.name);
            match ctx.client.delete(target, &options).await {
                Err(error) if !error.not_found() => left.errors.push(error.to_string()),
                Ok(_) | Err(_) => {}
            }
        }
    }
    let page = ctx.client.list::<Item>(collection, &query).await?;
    if !page.items.is_empty() {
        let group = &served.resource.group;
        left.resources.push((format!("{}.{group}", served.resource.plural), page.items.len()));
        for finalizer in page.items.iter().flat_map(|item| &item.metadata.finalizers) {
            match left.finalizers.iter_mut().find(|(name, _)| name == finalizer) {
                Some((_, count)) => *count += 1,
                None => left.finalizers.push((finalizer.clone(), 1)),
            }
        }
    }
    Ok(())
}

/// The conditions in upstream's order, with its reasons and messages.
fn plan_status(present: &NamespaceStatus, left: &Left, now: Timestamp) -> NamespaceStatus {
    let told = |list: &[(String, usize)], what: &str| {
        let mut texts: Vec<_> =
            list.iter().map(|(name, count)| format!("{name} {what} {count} resource instances")).collect();
        texts.sort();
        texts.join(", ")
    };
    let content = (!left.errors.is_empty()).then(|| {
        let errors = left.errors.join(", ");
        format!("Failed to delete all resource types, {} remaining: {errors}", left.errors.len())
    });
    let remaining =
        (!left.resources.is_empty()).then(|| format!("Some resources are remaining: {}", told(&left.resources, "has")));
    let finalizers = (!left.finalizers.is_empty())
        .then(|| format!("Some content in the namespace has finalizers remaining: {}", told(&left.finalizers, "in")));
    let rows = [
        ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered", None),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
            None,
        ),
        (
            "NamespaceDeletionContentFailure",
            if content.is_some() { "ContentDeletionFailed" } else { "ContentDeleted" },
            "All content successfully deleted, may be waiting on finalization",
            content,
        ),
        (
            "NamespaceContentRemaining",
            if remaining.is_some() { "SomeResourcesRemain" } else { "ContentRemoved" },
            "All content successfully removed",
            remaining,
        ),
        (
            "NamespaceFinalizersRemaining",
            if finalizers.is_some() { "SomeFinalizersRemain" } else { "ContentHasNoFinalizers" },
            "All content-preserving finalizers finished",
            finalizers,
        ),
    ];
    let conditions = rows.into_iter().map(|(kind, reason, good, bad)| {
        let status = if bad.is_some() { "True" } else { "False" };
        let known = present.conditions.iter().find(|known| known.kind == kind && known.status == status);
        NamespaceCondition {
            kind: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: known.map_or(Some(Time::from(now)), |known| known.last_transition_time.clone()),
            reason: reason.to_owned(),
            message: bad.unwrap_or_else(|| good.to_owned()),
        }
    });
    NamespaceStatus { phase: "Terminating".to_owned(), conditions: conditions.collect() }
}

async fn finalize(ctx: &Context, namespace: &Namespace, meta: &Meta) -> Result<(), Error> {
    let kept: Vec<_> = namespace.spec.finalizers.iter().filter(|f| *f != FINALIZER).collect();
    let body: Value = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": meta, "spec": {"finalizers": kept},
    });
    match ctx.client.update(Resource::NAMESPACES.at("", &meta.name).sub("finalize"), encode(&body)).await {
        Err(error) if !error.not_found() => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_in_upstreams_words() {
        let left = Left {
            resources: vec![("pods.".to_owned(), 2), ("configmaps.".to_owned(), 1)],
            finalizers: vec![("x/y".to_owned(), 3)],
            errors: Vec::new(),
        };
        let now = Timestamp::UNIX_EPOCH;
        let status = plan_status(&NamespaceStatus::default(), &left, now);
        let message = |index: usize| status.conditions[index].message.as_str();
        assert_eq!(
            message(3),
            "Some resources are remaining: configmaps. has 1 resource instances, pods. has 2 resource instances"
        );
        assert_eq!(message(4), "Some content in the namespace has finalizers remaining: x/y in 3 resource instances");
        assert!(status.conditions[..3].iter().all(|condition| condition.status == "False"));
        let later = plan_status(&status, &Left::default(), Timestamp::from_second(9).unwrap());
        assert_eq!(later.conditions[0].last_transition_time, Some(Time::from(now)));
        assert_eq!(later.conditions[3].reason, "ContentRemoved");
    }
}
