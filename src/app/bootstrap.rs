//! Writes what a cluster has from its first moment, through the registry like anyone, at every start, and keeps what
//! must never be missing.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use crate::api::request::{DeleteOptions, FieldValidation, Target, User, WriteOptions};
use crate::api::{Object, Reason, Result, Status};
use crate::auth::bootstrap;
use crate::base::Clock;
use crate::registry::{Call, Input, Registry};

/// How many objects are written at the same time; the store commits them in groups. More would be ready no sooner, and
/// what they all hold at once stays in the process.
const WRITES_AT_ONCE: usize = 64;

/// How often it is looked whether what is kept is there, and the lease of this server renewed (upstream's interval of
/// the controller of the service `kubernetes` and of the identity lease).
const KEEP_EVERY: Duration = Duration::from_secs(10);

/// The objects of those that are written at the start that are put right while the server runs, too.
pub(super) fn kept(wished: &[Object]) -> Vec<Object> {
    wished.iter().filter(|object| bootstrap::is_kept(object)).cloned().collect()
}

/// Keeps these objects: what a user removed or bent is put right. Works until dropped.
pub(super) async fn keep(registry: &Registry, mut wished: Vec<Object>, clock: Arc<dyn Clock>) {
    loop {
        clock.sleep(KEEP_EVERY).await;
        for object in &mut wished {
            bootstrap::renew(object, clock.now());
        }
        if let Err(status) = write(registry, wished.clone()).await {
            tracing::warn!(error = %status, "cannot keep what the cluster needs; trying again");
        }
    }
}

/// Writes what is missing or not as it must be. Namespaces come before what is in them, the rest in any order.
///
/// # Errors
/// The first refusal.
pub(super) async fn write(registry: &Registry, wished: Vec<Object>) -> Result<()> {
    let user = Arc::new(User {
        name: "system:apiserver".to_owned(),
        groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
        ..User::default()
    });
    let (namespaced, wide): (Vec<_>, Vec<_>) = wished.into_iter().partition(|object| !object.namespace().is_empty());
    let (namespaces, wide): (Vec<_>, Vec<_>) = wide.into_iter().partition(|object| object.gvk().kind == "Namespace");
    let settled = |objects: Vec<Object>| {
        stream::iter(objects)
            .map(|object| settle(registry, user.clone(), object))
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect::<()>()
    };
    let inside = async {
        settled(namespaces).await?;
        settled(namespaced).await
    };
    futures::try_join!(inside, settled(wide)).map(drop)
}

async fn settle(registry: &Registry, user: Arc<User>, wished: Object) -> Result<()> {
    let call = call(registry, user, &wished)?;
    let present = match registry.get(&call, None).await {
        Ok(crate::registry::Answer::Stored(stored)) => Some(registry.serve(&call.kind, &stored)?),
        Ok(crate::registry::Answer::Object(object)) => Some(object),
        Err(status) if status.reason() == Reason::NotFound => None,
        Err(status) => return Err(status),
    };
    if let Some(present) = &present
        && bootstrap::must_be_made_again(&wished, present)
    {
        registry.delete(&call, &DeleteOptions::default()).await?;
        return create(registry, &call, wished).await;
    }
    match (bootstrap::reconciled(&wished, present.as_ref()), present) {
        (None, _) => Ok(()),
        (Some(next), None) => create(registry, &call, next).await,
        (Some(next), Some(_)) => registry.update(&call, input(next), &options(&call)).await.map(|_| ()),
    }
}

async fn create(registry: &Registry, call: &Call, object: Object) -> Result<()> {
    let target = Target { name: String::new(), ..call.target.clone() };
    let call = Call::new(call.user.clone(), target, call.kind.clone());
    match registry.create(&call, input(object), &options(&call)).await {
        // Another server over the same store was quicker.
        Err(status) if status.reason() == Reason::AlreadyExists => Ok(()),
        written => written.map(|_| ()),
    }
}

fn call(registry: &Registry, user: Arc<User>, object: &Object) -> Result<Call> {
    let gvk = object.gvk();
    let served = registry.catalog().served();
    let kind = served.find_kind(&gvk.group, &gvk.version, &gvk.kind);
    let kind = kind.ok_or_else(|| Status::internal(format!("{gvk} is not served")))?.clone();
    let target = Target {
        group: gvk.group.into_owned(),
        version: gvk.version.into_owned(),
        resource: kind.resource.to_string(),
        subresource: String::new(),
        namespace: object.namespace().to_owned(),
        name: object.name().to_owned(),
    };
    Ok(Call::new(user, target, kind))
}

fn input(object: Object) -> Input {
    Input { value: object.into_value(), ..Input::default() }
}

fn options(call: &Call) -> WriteOptions {
    // Upstream makes the objects of priority and fairness under a name of their own.
    let manager = match call.target.group.as_str() {
        "flowcontrol.apiserver.k8s.io" => "api-priority-and-fairness-config-producer-v1",
        _ => "kube-apiserver",
    };
    WriteOptions {
        field_manager: manager.to_owned(),
        field_validation: FieldValidation::Ignore,
        ..WriteOptions::default()
    }
}
