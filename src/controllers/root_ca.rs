//! `root-ca-certificate-publisher-controller`: every namespace has the authority's certificate in a ConfigMap.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use serde::Deserialize;
use serde_json::json;

use super::Controller;
use super::context::{Context, Shared};
use super::namespace::Namespace;
use crate::client::{Cache, Cached, Error, Meta, ObjectName, Outcome, Resource, Selection, encode, work};

pub(super) const ROOT_CA: Controller = Controller {
    name: "root-ca-certificate-publisher-controller",
    alias: "root-ca-cert-publisher",
    account: "root-ca-cert-publisher",
    source: "root-ca-cert-publisher",
    run: |ctx| run(ctx).boxed(),
};

const WORKERS: usize = 8;
const NAME: &str = "kube-root-ca.crt";
const FILE: &str = "ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
    endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
    distributions of Kubernetes clusters.";

/// The ConfigMap of a namespace.
#[derive(Deserialize, Debug)]
struct Published {
    metadata: Meta,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl Cached for Published {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for Published {
    const RESOURCE: &'static Resource = Resource::CONFIG_MAPS;

    fn selection() -> Selection {
        Selection { field_selector: format!("metadata.name={NAME}"), ..Selection::default() }
    }
}

async fn run(ctx: Context) {
    if ctx.root_ca().is_empty() {
        return;
    }
    let namespaces = ctx.cache::<Namespace>().await;
    let published = ctx.cache::<Published>().await;
    let queue = ctx.queue_of(&namespaces);
    let changed = Arc::clone(&queue);
    published.subscribe(move |delta| changed.add(ObjectName::new("", &delta.object().metadata.namespace)));
    let caches = (&*namespaces, &*published);
    work(queue, WORKERS, "root-ca-certificate-publisher-controller", |name| reconcile(&ctx, caches, name)).await;
}

async fn reconcile(
    ctx: &Context,
    (namespaces, published): (&Cache<Namespace>, &Cache<Published>),
    name: ObjectName,
) -> Result<Outcome, Error> {
    let terminating = namespaces.get("", &name.name).is_none_or(|namespace| namespace.status.phase == "Terminating");
    if terminating {
        return Ok(Outcome::Done);
    }
    let data = BTreeMap::from([(FILE.to_owned(), ctx.root_ca().to_owned())]);
    let present = published.get(&name.name, NAME);
    let annotations = json!({"kubernetes.io/description": DESCRIPTION});
    let mut map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": NAME, "namespace": &*name.name, "annotations": annotations},
    });
    let result = match present {
        Some(present) if present.data == data => return Ok(Outcome::Done),
        Some(present) => {
            map["metadata"] = json!(present.metadata);
            map["metadata"]["annotations"] = annotations;
            ctx.client.update(Resource::CONFIG_MAPS.at(&name.name, NAME), encode(&map)).await
        }
        None => ctx.client.create(Resource::CONFIG_MAPS.at(&name.name, ""), encode(&map)).await,
    };
    match result {
        Err(error) if !(error.already_exists() || error.namespace_terminating() || error.not_found()) => Err(error),
        Ok(_) | Err(_) => Ok(Outcome::Done),
    }
}
