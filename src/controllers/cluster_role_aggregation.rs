//! `clusterrole-aggregation-controller`: gathers the rules of selected ClusterRoles in those that ask for it.

use std::sync::Arc;

use futures::FutureExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Controller;
use super::context::{Context, Shared};
use crate::client::{Cache, Cached, Error, Meta, ObjectName, Outcome, Resource, encode, selects, work};

pub(super) const CLUSTER_ROLE_AGGREGATION: Controller = Controller {
    name: "clusterrole-aggregation-controller",
    alias: "clusterrole-aggregation",
    account: "clusterrole-aggregation-controller",
    source: "clusterrole-aggregation-controller",
    run: |ctx| run(ctx).boxed(),
};

const WORKERS: usize = 4;

#[derive(Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
struct ClusterRole {
    metadata: Meta,
    #[serde(default)]
    rules: Option<Vec<Value>>,
    #[serde(default)]
    aggregation_rule: Option<AggregationRule>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(default, rename_all = "camelCase")]
struct AggregationRule {
    cluster_role_selectors: Vec<LabelSelector>,
}

impl Cached for ClusterRole {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl Shared for ClusterRole {
    const RESOURCE: &'static Resource = Resource::CLUSTER_ROLES;
}

async fn run(ctx: Context) {
    let roles = ctx.cache::<ClusterRole>().await;
    let queue = ctx.queue();
    let (changed, all) = (Arc::clone(&queue), Arc::clone(&roles));
    for role in roles.all() {
        queue.add(role.metadata.object_name());
    }
    roles.subscribe(move |delta| {
        // Any role may be part of any other; there are few that gather.
        changed.add(delta.object().metadata.object_name());
        for role in all.all() {
            if role.aggregation_rule.is_some() {
                changed.add(role.metadata.object_name());
            }
        }
    });
    work(queue, WORKERS, "clusterrole-aggregation-controller", |name| reconcile(&ctx, &roles, name)).await;
}

async fn reconcile(ctx: &Context, roles: &Cache<ClusterRole>, name: ObjectName) -> Result<Outcome, Error> {
    let Some(role) = roles.get("", &name.name) else { return Ok(Outcome::Done) };
    let Some(rules) = gathered(&role, roles.all()) else { return Ok(Outcome::Done) };
    let target = Resource::CLUSTER_ROLES.at("", &name.name);
    let mut whole: Value = ctx.client.get(target).await?;
    whole["rules"] = json!(rules);
    let written = ctx.client.update(target, encode(&whole)).await?;
    roles.reached(written.revision, &*ctx.clock).await;
    Ok(Outcome::Done)
}

/// The rules that a role should have; `None` when it has them or gathers none.
fn gathered(role: &ClusterRole, mut all: Vec<Arc<ClusterRole>>) -> Option<Vec<Value>> {
    let aggregation = role.aggregation_rule.as_ref()?;
    all.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut rules: Vec<Value> = Vec::new();
    for selector in &aggregation.cluster_role_selectors {
        let selected = all
            .iter()
            .filter(|other| other.metadata.name != role.metadata.name && selects(selector, &other.metadata.labels));
        for rule in selected.flat_map(|other| other.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    (role.rules.as_deref().unwrap_or_default() != rules).then_some(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, labels: &Value, rules: &Value, selector: &Value) -> Arc<ClusterRole> {
        let aggregation = if selector.is_null() { Value::Null } else { json!({"clusterRoleSelectors": [selector]}) };
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "labels": labels}, "rules": rules, "aggregationRule": aggregation,
            }))
            .unwrap(),
        )
    }

    #[test]
    fn rules_of_selected_roles_are_gathered_by_name_each_once() {
        let to = json!({"to": "x"});
        let gathering = role("all", &to, &Value::Null, &json!({"matchLabels": {"to": "x"}}));
        let parts = vec![
            role("b", &to, &json!([{"verbs": ["list"]}, {"verbs": ["get"]}]), &Value::Null),
            role("a", &to, &json!([{"verbs": ["get"]}]), &Value::Null),
            role("c", &json!({}), &json!([{"verbs": ["delete"]}]), &Value::Null),
            Arc::clone(&gathering),
        ];
        let rules = gathered(&gathering, parts.clone()).unwrap();
        assert_eq!(json!(rules), json!([{"verbs": ["get"]}, {"verbs": ["list"]}]));
        let done = role("all", &to, &json!(rules), &json!({"matchLabels": {"to": "x"}}));
        assert_eq!(gathered(&done, parts), None);
    }
}
