//! Making, deleting, adopting and releasing pods for whoever owns them: many at once, but slowly at first, so that an
//! owner whose pods are refused does not flood the server.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use serde_json::json;

use super::context::{Context, Shared};
use super::pod::Pod;
use super::template;
use crate::client::{DeleteOptions, Error, EventText, OwnerReference, Patch, Resource, encode};

/// Pods that are made or deleted at once for one owner.
const WRITES_MAX: usize = 64;
/// The longest prefix of a generated name; a longer one is used as it is cut by the server.
const NAME_BYTES_MAX: usize = 253;

/// What came of making pods.
pub(super) struct Created {
    /// The highest resourceVersion written.
    pub revision: u64,
    pub error: Option<Error>,
}

/// Makes `count` pods of a template: one, then two, four, eight … at once, until one is refused.
pub(super) async fn create_pods<T: Shared>(
    ctx: &Context,
    owner: &T,
    template: &serde_json::Value,
    count: usize,
) -> Created {
    let meta = owner.meta();
    let name = format!("{}-", meta.name);
    let name = if name.len() > NAME_BYTES_MAX { meta.name.clone() } else { name };
    let body = encode(&template::pod_body(template, &name, &meta.as_controller(T::RESOURCE)));
    let mut created = Created { revision: 0, error: None };
    let (mut left, mut batch) = (count, 1);
    while left > 0 {
        let now = batch.min(left);
        let creates: Vec<_> = (0..now).map(|_| create_pod(ctx, owner, body.clone())).collect();
        let mut results = stream::iter(creates).buffer_unordered(WRITES_MAX);
        while let Some(result) = results.next().await {
            match result {
                Ok(revision) => created.revision = created.revision.max(revision),
                Err(error) if error.namespace_terminating() => {}
                Err(error) => created.error = Some(error),
            }
        }
        if created.error.is_some() {
            break;
        }
        left -= now;
        batch *= 2;
    }
    created
}

async fn create_pod<T: Shared>(ctx: &Context, owner: &T, body: Bytes) -> Result<u64, Error> {
    let result = Box::pin(ctx.client.create(Resource::PODS.at(&owner.meta().namespace, ""), body)).await;
    match &result {
        Ok(pod) => ctx.record(owner, EventText::normal("SuccessfulCreate", format!("Created pod: {}", pod.name))),
        Err(error) if error.namespace_terminating() => {}
        Err(error) => ctx.record(owner, EventText::warning("FailedCreate", format!("Error creating: {error}"))),
    }
    result.map(|pod| pod.revision)
}

/// Deletes pods; one that is gone counts as deleted. Gives the highest resourceVersion written.
pub(super) async fn delete_pods<T: Shared>(ctx: &Context, owner: &T, pods: &[Arc<Pod>]) -> Created {
    let deletes: Vec<_> = pods.iter().map(|pod| delete_pod(ctx, owner, pod)).collect();
    let mut deletes = stream::iter(deletes).buffer_unordered(WRITES_MAX);
    let mut deleted = Created { revision: 0, error: None };
    while let Some(result) = deletes.next().await {
        match result {
            Ok(revision) => deleted.revision = deleted.revision.max(revision),
            Err(error) => deleted.error = Some(error),
        }
    }
    deleted
}

async fn delete_pod<T: Shared>(ctx: &Context, owner: &T, pod: &Pod) -> Result<u64, Error> {
    let meta = &pod.metadata;
    let target = Resource::PODS.at(&meta.namespace, &meta.name);
    match Box::pin(ctx.client.delete(target, &DeleteOptions::of_uid(&meta.uid))).await {
        Ok(written) => {
            ctx.record(owner, EventText::normal("SuccessfulDelete", format!("Deleted pod: {}", meta.name)));
            Ok(written.revision)
        }
        Err(error) if error.not_found() || error.conflict() => Ok(0),
        Err(error) => {
            ctx.record(owner, EventText::warning("FailedDelete", format!("Error deleting: {error}")));
            Err(error)
        }
    }
}

/// Makes an object without a controller one's own.
///
/// # Errors
/// When the object is another one meanwhile, or the server refuses.
pub(super) async fn adopt<T: Shared>(
    client: &crate::client::Client,
    object: &T,
    owner: &OwnerReference,
) -> Result<u64, Error> {
    let meta = object.meta();
    let patch = json!({"metadata": {"uid": meta.uid, "ownerReferences": [owner]}});
    let target = T::RESOURCE.at(&meta.namespace, &meta.name);
    Ok(client.patch(target, Patch::Strategic, encode(&patch)).await?.revision)
}

/// Gives up an object that is no longer selected.
///
/// # Errors
/// When the server refuses; an object that is gone is given up.
pub(super) async fn release<T: Shared>(
    client: &crate::client::Client,
    object: &T,
    owner_uid: &str,
) -> Result<u64, Error> {
    let meta = object.meta();
    let owners = json!([{"$patch": "delete", "uid": owner_uid}]);
    let patch = json!({"metadata": {"uid": meta.uid, "ownerReferences": owners}});
    let target = T::RESOURCE.at(&meta.namespace, &meta.name);
    match client.patch(target, Patch::Strategic, encode(&patch)).await {
        Ok(written) => Ok(written.revision),
        Err(error) if error.not_found() || error.code() == 422 => Ok(0),
        Err(error) => Err(error),
    }
}
