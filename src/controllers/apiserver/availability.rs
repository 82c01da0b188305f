//! The condition `Available` of APIServices that another server serves: whether its Service is there, has the port and
//! has endpoints (kube-aggregator `pkg/controllers/status/remote`). Whether that server answers is not asked here, so
//! that one with endpoints has no condition. Few APIServices are of others, so nothing is kept of Services: they are
//! read when an APIService changes and again after a while.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Upkeep;
use crate::base::Clock;
use crate::client::{Cache, Cached, Client, Error, Meta, ObjectName, Outcome, Query, Resource};

/// How soon is looked again at what is not there yet, and at what is.
const MISSING: Outcome = Outcome::Again(Duration::from_secs(2));
const PRESENT: Outcome = Outcome::Again(Duration::from_secs(30));
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

#[derive(Deserialize, Debug)]
struct ApiService {
    metadata: Meta,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Debug)]
struct Spec {
    service: Option<Reference>,
}

#[derive(Deserialize, Debug)]
struct Reference {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    port: i64,
}

#[derive(Deserialize, Serialize, Debug, Default)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Clone, Deserialize, Serialize, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
struct Condition {
    r#type: String,
    status: String,
    last_transition_time: Option<String>,
    reason: String,
    message: String,
}

impl Cached for ApiService {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

#[derive(Deserialize, Debug)]
struct Service {
    spec: ServiceSpec,
}

#[derive(Deserialize, Debug)]
#[serde(default)]
struct ServiceSpec {
    r#type: String,
    ports: Vec<Port>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default)]
struct Port {
    name: Option<String>,
    port: Option<i64>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default)]
struct Slice {
    endpoints: Option<Vec<Endpoint>>,
    ports: Option<Vec<Port>>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default)]
struct Endpoint {
    conditions: Readiness,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default)]
struct Readiness {
    ready: Option<bool>,
}

impl Default for ServiceSpec {
    fn default() -> Self {
        Self { r#type: "ClusterIP".to_owned(), ports: Vec::new() }
    }
}

/// What an APIService lacks to be available.
struct Lack {
    reason: &'static str,
    message: String,
}

#[derive(Clone)]
struct Keeper {
    client: Client,
    clock: Arc<dyn Clock>,
    services: Arc<Cache<ApiService>>,
}

pub(super) async fn start(upkeep: &Upkeep) {
    let services = upkeep.cache::<ApiService>(Resource::API_SERVICES).await;
    let queue = upkeep.queue_of(&services);
    let foreign = services.all().into_iter().filter(|service| service.spec.service.is_some());
    let all = foreign.map(|service| service.metadata.object_name()).collect();
    let keeper = Keeper { client: upkeep.client.clone(), clock: Arc::clone(&upkeep.clock), services };
    upkeep.keep(queue, all, move |name| reconcile(keeper.clone(), name)).await;
}

async fn reconcile(keeper: Keeper, name: ObjectName) -> Result<Outcome, Error> {
    let Some(service) = keeper.services.get("", &name.name) else { return Ok(Outcome::Done) };
    let Some(reference) = &service.spec.service else { return Ok(Outcome::Done) };
    let Some(lack) = lack(&keeper.client, reference).await? else { return Ok(PRESENT) };
    let present = service.status.conditions.iter().find(|condition| condition.r#type == "Available");
    let same = present.filter(|condition| condition.status == "False");
    if same.is_some_and(|condition| condition.reason == lack.reason && condition.message == lack.message) {
        return Ok(MISSING);
    }
    let now = keeper.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let since = same.and_then(|condition| condition.last_transition_time.clone()).unwrap_or(now);
    let condition = Condition {
        r#type: "Available".to_owned(),
        status: "False".to_owned(),
        last_transition_time: Some(since),
        reason: lack.reason.to_owned(),
        message: lack.message,
    };
    let others = service.status.conditions.iter().filter(|condition| condition.r#type != "Available").cloned();
    let status = Status { conditions: others.chain([condition]).collect() };
    match keeper.client.update_status(Resource::API_SERVICES, &service.metadata, &status).await {
        Err(error) if !(error.not_found() || error.conflict()) => Err(error),
        Ok(_) | Err(_) => Ok(MISSING),
    }
}

async fn lack(client: &Client, reference: &Reference) -> Result<Option<Lack>, Error> {
    let Reference { namespace, name, port } = reference;
    let at = format!("service/{name} in {namespace:?}");
    let service = match client.get::<Service>(Resource::SERVICES.at(namespace, name)).await {
        Ok(service) => service,
        Err(error) if error.not_found() => {
            return Ok(Some(Lack { reason: "ServiceNotFound", message: format!("{at} is not present") }));
        }
        Err(error) => return Err(error),
    };
    if service.spec.r#type != "ClusterIP" {
        return Ok(None);
    }
    let Some(found) = service.spec.ports.iter().find(|found| found.port == Some(*port)) else {
        return Ok(Some(Lack { reason: "ServicePortError", message: format!("{at} is not listening on port {port}") }));
    };
    let query = Query::default().with("labelSelector", format!("{SERVICE_NAME_LABEL}={name}"));
    let slices = client.list::<Slice>(Resource::ENDPOINT_SLICES.at(namespace, ""), &query).await?.items;
    if slices.is_empty() {
        return Ok(Some(Lack { reason: "EndpointsNotFound", message: format!("cannot find endpointslices for {at}") }));
    }
    let port_name = found.name.as_deref().unwrap_or("");
    if slices.iter().any(|slice| has_endpoint(slice, port_name)) {
        return Ok(None);
    }
    let message = format!("endpointslices for {at} have no addresses with port name {port_name:?}");
    Ok(Some(Lack { reason: "MissingEndpoints", message }))
}

fn has_endpoint(slice: &Slice, port_name: &str) -> bool {
    let ready = |endpoint: &Endpoint| endpoint.conditions.ready != Some(false);
    let fits = |port: &Port| port.name.as_deref() == Some(port_name) && port.port.is_some();
    slice.endpoints.iter().flatten().any(ready) && slice.ports.iter().flatten().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(slice: serde_json::Value, port_name: &str, expected: bool) {
        let slice: Slice = serde_json::from_value(slice).unwrap();
        assert_eq!(has_endpoint(&slice, port_name), expected, "{slice:?}");
    }

    #[test]
    fn a_slice_counts_with_a_ready_endpoint_and_the_port() {
        use serde_json::json;
        let ports = json!([{ "name": "https", "port": 443 }]);
        check(json!({ "endpoints": [{ "conditions": { "ready": true } }], "ports": ports }), "https", true);
        check(json!({ "endpoints": [{ "conditions": {} }], "ports": ports }), "https", true);
        check(json!({ "endpoints": [{ "conditions": { "ready": false } }], "ports": ports }), "https", false);
        check(json!({ "endpoints": [{ "conditions": {} }], "ports": ports }), "http", false);
        check(json!({ "endpoints": null, "ports": null }), "", false);
    }
}
