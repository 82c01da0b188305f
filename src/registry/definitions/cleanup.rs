//! The deletion of a definition: first its objects, then itself (apiextensions-apiserver `pkg/controller/finalizer`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{call, server_itself, write_status};
use crate::api::request::{DeleteOptions, ListOptions, Target};
use crate::api::{Object, Reason, Result, Status};
use crate::registry::{Call, Registry, persist};
use crate::resources::Kind;
use crate::resources::apiextensions::conditions::{self, Cleanup};
use crate::resources::custom::CLEANUP;

/// A cleanup on its way; gives the name of its definition.
pub(super) type Running = BoxFuture<'static, Arc<str>>;

/// Between looks at objects that take their time to go.
const POLL_MIN: Duration = Duration::from_millis(20);
const POLL_MAX: Duration = Duration::from_secs(5);
/// How long objects may take to go before that is told, and they are deleted again.
const CONFIRM_MAX: Duration = Duration::from_secs(60);
/// How often a status that others write too is tried.
const ATTEMPTS_MAX: usize = 8;

/// Deletes all objects of a definition and lets it go.
pub(super) fn run(registry: Arc<Registry>, name: Arc<str>, kind: Option<Arc<Kind>>) -> Running {
    async move {
        let mut pause = POLL_MIN;
        loop {
            match clean(&registry, &name, kind.as_ref()).await {
                Ok(()) => return name,
                Err(status) if status.reason() == Reason::NotFound => return name,
                Err(status) => {
                    tracing::warn!(%name, %status, "the objects of a definition could not be deleted");
                    registry.clock.sleep(pause).await;
                    pause = (pause * 2).min(POLL_MAX);
                }
            }
        }
    }
    .boxed()
}

async fn clean(registry: &Registry, name: &str, kind: Option<&Arc<Kind>>) -> Result<()> {
    tell(registry, name, Cleanup::Running).await?;
    let Some(kind) = kind else { return tell(registry, name, Cleanup::NeverServed).await };
    if let Err(status) = delete_all(registry, kind).await {
        tell(registry, name, Cleanup::Failed(status.message())).await?;
        return Err(status);
    }
    let mut pause = POLL_MIN;
    let start = registry.clock.monotonic();
    while !namespaces(registry, kind).is_empty() {
        if registry.clock.monotonic().saturating_sub(start) >= CONFIRM_MAX {
            tell(registry, name, Cleanup::Unconfirmed).await?;
            return Err(Status::internal("its objects are still there"));
        }
        registry.clock.sleep(pause).await;
        pause = (pause * 2).min(POLL_MAX);
    }
    tell(registry, name, Cleanup::Done).await
}

/// Writes how far it is; at the end the finalizer goes with it.
async fn tell(registry: &Registry, name: &str, cleanup: Cleanup<'_>) -> Result<()> {
    let mut attempts = 0;
    loop {
        let call = call(registry, name, "status")?;
        let stored = registry.find(&call)?;
        let definition = persist::tree(&call.kind, &stored)?;
        let mut next = conditions::terminating(&definition, cleanup, &registry.moment());
        if matches!(cleanup, Cleanup::NeverServed | Cleanup::Done) {
            let rest: Vec<String> = next.finalizers().filter(|f| *f != CLEANUP).map(str::to_owned).collect();
            set_finalizers(&mut next, rest);
        }
        attempts += 1;
        match write_status(registry, &call, next).await {
            Err(status) if status.reason() == Reason::Conflict && attempts < ATTEMPTS_MAX => {}
            Err(status) if status.reason() == Reason::NotFound => return Ok(()),
            written => return written.map(|_| ()),
        }
    }
}

fn set_finalizers(object: &mut Object, finalizers: Vec<String>) {
    if finalizers.is_empty() {
        object.remove(&["metadata", "finalizers"]);
    } else {
        object.set(&["metadata", "finalizers"], finalizers);
    }
}

/// The namespaces in which there still are objects; that without a name stands for the whole cluster.
fn namespaces(registry: &Registry, kind: &Kind) -> BTreeSet<Arc<str>> {
    let snapshot = registry.store.snapshot();
    snapshot.list(&kind.collection, None, None).map(|stored| stored.key.namespace.clone()).collect()
}

async fn delete_all(registry: &Registry, kind: &Arc<Kind>) -> Result<()> {
    for namespace in namespaces(registry, kind) {
        let target = Target {
            group: kind.gvk.group.to_string(),
            version: kind.gvk.version.to_string(),
            resource: kind.resource.to_string(),
            subresource: String::new(),
            namespace: namespace.to_string(),
            name: String::new(),
        };
        let call = Call::new(server_itself(), target, kind.clone());
        registry.delete_collection(&call, &ListOptions::default(), &DeleteOptions::default()).await?;
    }
    Ok(())
}
