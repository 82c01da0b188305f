//! An APIService for each served group and version of custom resources; deleted, it comes back (Kubernetes
//! `pkg/controlplane/controller/crdregistration`, kube-aggregator's `autoregister`). Those of built-in groups are
//! written once at start, as upstream does.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::Upkeep;
use crate::client::{Cache, Cached, Client, DeleteOptions, Error, Meta, ObjectName, Outcome, Resource, encode};

const LABEL: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Custom groups stand behind all others, their versions beside each other.
const GROUP_PRIORITY: i64 = 1000;
const VERSION_PRIORITY: i64 = 100;

#[derive(Deserialize, Debug)]
struct Definition {
    metadata: Meta,
    spec: Spec,
}

#[derive(Deserialize, Debug)]
struct Spec {
    group: String,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize, Debug)]
struct Version {
    name: String,
    served: bool,
}

#[derive(Deserialize, Debug)]
struct ApiService {
    metadata: Meta,
}

impl Cached for Definition {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn index_key(&self) -> &str {
        &self.spec.group
    }
}

impl Cached for ApiService {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

#[derive(Clone)]
struct Keeper {
    client: Client,
    definitions: Arc<Cache<Definition>>,
    services: Arc<Cache<ApiService>>,
}

pub(super) async fn start(upkeep: &Upkeep) {
    let definitions = upkeep.cache::<Definition>(Resource::CUSTOM_RESOURCE_DEFINITIONS).await;
    let services = upkeep.cache::<ApiService>(Resource::API_SERVICES).await;
    let queue = upkeep.queue_of(&services);
    let changed = Arc::clone(&queue);
    definitions.subscribe(move |delta| {
        for version in &delta.object().spec.versions {
            changed.add(ObjectName::new("", &format!("{}.{}", version.name, delta.object().spec.group)));
        }
    });
    let all = definitions.all();
    let all = all.iter().flat_map(|d| d.spec.versions.iter().map(|v| format!("{}.{}", v.name, d.spec.group)));
    let all: BTreeSet<String> = all.collect();
    let all = all.iter().map(|name| ObjectName::new("", name)).collect();
    let keeper = Keeper { client: upkeep.client.clone(), definitions, services };
    upkeep.keep(queue, all, move |name| reconcile(keeper.clone(), name)).await;
}

async fn reconcile(keeper: Keeper, name: ObjectName) -> Result<Outcome, Error> {
    let Some((version, group)) = name.name.split_once('.') else { return Ok(Outcome::Done) };
    let serves =
        |d: &Arc<Definition>| !d.metadata.deleting() && d.spec.versions.iter().any(|v| v.served && v.name == version);
    let wanted = keeper.definitions.indexed(group).iter().any(serves);
    let present = keeper.services.get("", &name.name);
    let result = match present {
        None if wanted => {
            let body = json!({
                "apiVersion": Resource::API_SERVICES.api_version(), "kind": "APIService",
                "metadata": { "name": &*name.name, "labels": { LABEL: "true" } },
                "spec": {
                    "group": group, "version": version,
                    "groupPriorityMinimum": GROUP_PRIORITY, "versionPriority": VERSION_PRIORITY,
                },
            });
            keeper.client.create(Resource::API_SERVICES.all(), encode(&body)).await
        }
        Some(present) if !wanted && present.metadata.labels.get(LABEL).is_some_and(|value| value == "true") => {
            let options = DeleteOptions::of_uid(&present.metadata.uid);
            keeper.client.delete(Resource::API_SERVICES.at("", &name.name), &options).await
        }
        None | Some(_) => return Ok(Outcome::Done),
    };
    match result {
        Err(error) if !(error.not_found() || error.conflict() || error.already_exists()) => Err(error),
        Ok(_) | Err(_) => Ok(Outcome::Done),
    }
}
