//! The condition `Dangling` of FlowSchemas: whether the priority level is there that they name (apiserver
//! `pkg/util/flowcontrol/apf_controller.go`).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::Upkeep;
use crate::base::Clock;
use crate::client::{Cache, Cached, Client, Error, Meta, ObjectName, Outcome, Resource, encode};

const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

#[derive(Deserialize, Debug)]
struct FlowSchema {
    metadata: Meta,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
struct Spec {
    priority_level_configuration: Reference,
}

#[derive(Deserialize, Debug)]
struct Reference {
    name: String,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Debug, Default, PartialEq)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

#[derive(Deserialize, Debug)]
struct PriorityLevel {
    metadata: Meta,
}

impl Cached for FlowSchema {
    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn index_key(&self) -> &str {
        &self.spec.priority_level_configuration.name
    }
}

impl Cached for PriorityLevel {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

#[derive(Clone)]
struct Keeper {
    client: Client,
    clock: Arc<dyn Clock>,
    schemas: Arc<Cache<FlowSchema>>,
    levels: Arc<Cache<PriorityLevel>>,
}

pub(super) async fn start(upkeep: &Upkeep) {
    let schemas = upkeep.cache::<FlowSchema>(Resource::FLOW_SCHEMAS).await;
    let levels = upkeep.cache::<PriorityLevel>(Resource::PRIORITY_LEVELS).await;
    let queue = upkeep.queue_of(&schemas);
    let (changed, naming) = (Arc::clone(&queue), Arc::clone(&schemas));
    levels.subscribe(move |delta| {
        let level = &delta.object().metadata.name;
        let those = naming.all().into_iter().filter(|schema| schema.index_key() == level);
        those.for_each(|schema| changed.add(schema.metadata.object_name()));
    });
    let all = schemas.all().iter().map(|schema| schema.metadata.object_name()).collect();
    let keeper = Keeper { client: upkeep.client.clone(), clock: Arc::clone(&upkeep.clock), schemas, levels };
    upkeep.keep(queue, all, move |name| reconcile(keeper.clone(), name)).await;
}

async fn reconcile(keeper: Keeper, name: ObjectName) -> Result<Outcome, Error> {
    let Some(schema) = keeper.schemas.get("", &name.name) else { return Ok(Outcome::Done) };
    let level = &schema.spec.priority_level_configuration.name;
    let wished = condition(level, keeper.levels.get("", level).is_some());
    let present = schema.status.conditions.iter().find(|condition| condition.r#type == wished.r#type);
    if present == Some(&wished) {
        return Ok(Outcome::Done);
    }
    let now = keeper.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let body = json!({
        "apiVersion": Resource::FLOW_SCHEMAS.api_version(), "kind": "FlowSchema",
        "metadata": { "name": &*name.name, "uid": schema.metadata.uid },
        "status": { "conditions": [{
            "type": wished.r#type, "status": wished.status, "reason": wished.reason, "message": wished.message,
            "lastTransitionTime": now,
        }] },
    });
    let target = Resource::FLOW_SCHEMAS.at("", &name.name).sub("status");
    match keeper.client.apply(target, MANAGER, encode(&body)).await {
        Err(error) if !(error.not_found() || error.conflict()) => Err(error),
        Ok(_) | Err(_) => Ok(Outcome::Done),
    }
}

fn condition(level: &str, found: bool) -> Condition {
    let head = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, end) =
        if found { ("False", "Found", "and it exists") } else { ("True", "NotFound", "but there is no such object") };
    Condition {
        r#type: "Dangling".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: format!("{head} {end}"),
    }
}
