//! The condition `Ready` of the ServiceCIDR `kubernetes` (Kubernetes `pkg/controlplane/controller/defaultservicecidr`).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::Upkeep;
use crate::base::Clock;
use crate::client::{Cache, Cached, Client, Error, Meta, ObjectName, Outcome, Resource, encode};

const MANAGER: &str = "kubernetes-service-cidr-controller";
const NAME: &str = "kubernetes";

#[derive(Deserialize, Debug)]
struct ServiceRange {
    metadata: Meta,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Debug)]
struct Condition {
    r#type: String,
    status: String,
}

impl Cached for ServiceRange {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

#[derive(Clone)]
struct Keeper {
    client: Client,
    clock: Arc<dyn Clock>,
    ranges: Arc<Cache<ServiceRange>>,
}

pub(super) async fn start(upkeep: &Upkeep) {
    let ranges = upkeep.cache::<ServiceRange>(Resource::SERVICE_RANGES).await;
    let queue = upkeep.queue_of(&ranges);
    let keeper = Keeper { client: upkeep.client.clone(), clock: Arc::clone(&upkeep.clock), ranges };
    upkeep.keep(queue, vec![ObjectName::new("", NAME)], move |name| reconcile(keeper.clone(), name)).await;
}

async fn reconcile(keeper: Keeper, name: ObjectName) -> Result<Outcome, Error> {
    let range = keeper.ranges.get("", NAME).filter(|range| &*name.name == NAME && !range.metadata.deleting());
    let Some(range) = range else { return Ok(Outcome::Done) };
    if range.status.conditions.iter().any(|condition| condition.r#type == "Ready" && condition.status == "True") {
        return Ok(Outcome::Done);
    }
    let now = keeper.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let body = json!({
        "apiVersion": Resource::SERVICE_RANGES.api_version(), "kind": "ServiceCIDR", "metadata": { "name": NAME },
        "status": { "conditions": [{
            "type": "Ready", "status": "True", "message": "Kubernetes default Service CIDR is ready",
            "lastTransitionTime": now,
        }] },
    });
    let target = Resource::SERVICE_RANGES.at("", NAME).sub("status");
    match keeper.client.apply(target, MANAGER, encode(&body)).await {
        Err(error) if !(error.not_found() || error.conflict()) => Err(error),
        Ok(_) | Err(_) => Ok(Outcome::Done),
    }
}
