//! `serviceaccount-controller`: every namespace has a ServiceAccount `default`.

use std::sync::Arc;

use futures::FutureExt;
use serde::Deserialize;
use serde_json::json;

use super::Controller;
use super::context::{Context, Shared};
use super::namespace::Namespace;
use crate::client::{Cache, Cached, Delta, Error, Meta, ObjectName, Outcome, Resource, Selection, encode, work};

pub(super) const SERVICE_ACCOUNT: Controller = Controller {
    name: "serviceaccount-controller",
    alias: "serviceaccount",
    account: "service-account-controller",
    source: "service-account-controller",
    run: |ctx| run(ctx).boxed(),
};

const WORKERS: usize = 8;
const NAME: &str = "default";

/// The `default` ServiceAccount of a namespace.
#[derive(Deserialize, Debug)]
struct DefaultAccount {
    metadata: Meta,
}

impl Cached for DefaultAccount {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for DefaultAccount {
    const RESOURCE: &'static Resource = Resource::SERVICE_ACCOUNTS;

    fn selection() -> Selection {
        Selection { field_selector: format!("metadata.name={NAME}"), ..Selection::default() }
    }
}

async fn run(ctx: Context) {
    let namespaces = ctx.cache::<Namespace>().await;
    let accounts = ctx.cache::<DefaultAccount>().await;
    let queue = ctx.queue_of(&namespaces);
    let changed = Arc::clone(&queue);
    accounts.subscribe(move |delta| {
        if let Delta::Deleted(account) = delta {
            changed.add(ObjectName::new("", &account.metadata.namespace));
        }
    });
    work(queue, WORKERS, "serviceaccount-controller", |name| reconcile(&ctx, (&namespaces, &accounts), name)).await;
}

async fn reconcile(
    ctx: &Context,
    (namespaces, accounts): (&Cache<Namespace>, &Cache<DefaultAccount>),
    name: ObjectName,
) -> Result<Outcome, Error> {
    let Some(namespace) = namespaces.get("", &name.name) else { return Ok(Outcome::Done) };
    if namespace.status.phase == "Terminating" || accounts.get(&name.name, NAME).is_some() {
        return Ok(Outcome::Done);
    }
    let metadata = json!({"name": NAME, "namespace": &*name.name});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata});
    match ctx.client.create(Resource::SERVICE_ACCOUNTS.at(&name.name, ""), encode(&account)).await {
        Err(error) if !(error.already_exists() || error.namespace_terminating() || error.not_found()) => Err(error),
        Ok(_) | Err(_) => Ok(Outcome::Done),
    }
}
