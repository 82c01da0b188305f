//! `ResourceQuota`: what a namespace uses stays within its quotas (apiserver `pkg/admission/plugin/resourcequota`).
//! The new sums are written in the same transaction as the object, so that no two writes can use the same rest.

use super::companion::Companion;
use super::pod_resources::{Amounts, add, amounts};
use super::quota::{check_named, in_scopes, is_terminating, matching_names, usage};
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::{GroupResource, Object, Result, Status};
use crate::resources::Kind;
use crate::storage::{Change, Expect, Stored, Write};

pub(super) struct ResourceQuota;

impl Plugin for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        if !kind.namespaced || kind.resource == "events" {
            return false;
        }
        match (operation, &*kind.gvk.group, &*kind.resource, subresource) {
            (Operation::Create, _, _, "") | (Operation::Update, "", "pods", "resize") => true,
            (Operation::Update, "", "pods" | "services" | "persistentvolumeclaims", "") => true,
            (Operation::Create | Operation::Update | Operation::Delete | Operation::Connect, _, _, _) => false,
        }
    }

    fn accompanies(&self, ctx: &Context, _: &Kind, namespace: &str) -> bool {
        ctx.store.snapshot().list("resourcequotas", Some(namespace), None).next().is_some()
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(check(ctx, attributes))
    }
}

fn check(ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
    let snapshot = ctx.store.snapshot();
    let namespace = attributes.target.namespace.as_str();
    let quotas: Vec<_> = snapshot.list("resourcequotas", Some(namespace), None).cloned().collect();
    let Some(object) = attributes.object.as_deref() else { return Ok(()) };
    if namespace.is_empty() || quotas.is_empty() {
        return Ok(());
    }
    let resource = attributes.kind.group_resource();
    let pods = attributes.about("", "pods");
    let same_scope = attributes.old.is_some_and(|old| is_terminating(old) == is_terminating(object));
    if pods && attributes.operation == Operation::Update && attributes.target.subresource.is_empty() && same_scope {
        return Ok(());
    }
    let now = ctx.clock.now();
    let after = usage(&resource, object, now);
    let negative: Vec<_> = after.iter().filter(|(_, amount)| amount.is_negative()).map(|(n, _)| n.as_str()).collect();
    let before = attributes.old.map(|old| usage(&resource, old, now));
    let served = ctx.catalog.served();
    let Some(kind) = served.find("", "v1", "resourcequotas") else { return Ok(()) };
    let companion = Companion { kind, subresource: "status", now };
    let mut companions = Vec::new();
    for stored in quotas {
        let quota = Object::from_json(&stored.body.json).map_err(Status::internal)?;
        let Some(counted) = counted(attributes, &resource, &quota)? else { continue };
        if !negative.is_empty() {
            let names = negative.join(",");
            return Err(attributes.forbidden(format!("quota usage is negative for resource(s): {names}")));
        }
        let charged_before = attributes.old.is_some_and(|old| in_scopes(&resource, &quota, old));
        let delta = match &before {
            Some(before) if charged_before => difference(&after, before),
            Some(_) | None => after.clone(),
        };
        let delta: Amounts = delta.into_iter().filter(|(name, d)| counted.contains(name) && !d.is_zero()).collect();
        if delta.is_empty() {
            continue;
        }
        let used = charge(&quota, &delta).map_err(|why| attributes.forbidden(why))?;
        companions.push(write(&stored, (&quota, &used), &companion));
    }
    attributes.companions.extend(companions);
    Ok(())
}

/// The names of a quota that the object counts towards; `None`: the quota is not about it.
fn counted(attributes: &Attributes<'_>, resource: &GroupResource, quota: &Object) -> Result<Option<Vec<String>>> {
    let Some(object) = attributes.object.as_deref() else { return Ok(None) };
    let hard = quota.get(&["status", "hard"]).and_then(|hard| hard.as_object());
    let names = matching_names(resource, hard.into_iter().flatten().map(|(name, _)| name.as_str()));
    if names.is_empty() || !in_scopes(resource, quota, object) {
        return Ok(None);
    }
    let name = quota.name();
    if attributes.about("", "pods") {
        check_named(object, &names).map_err(|why| attributes.forbidden(format!("failed quota: {name}: {why}")))?;
    }
    let used = amounts(quota.get(&["status", "used"]));
    if !names.iter().all(|name| used.contains_key(*name)) {
        let names = names.into_iter().collect::<Vec<_>>().join(",");
        return Err(attributes.forbidden(format!("status unknown for quota: {name}, resources: {names}")));
    }
    Ok(Some(names.into_iter().map(str::to_owned).collect()))
}

/// What an update adds; what it gives back is counted by the controller.
fn difference(after: &Amounts, before: &Amounts) -> Amounts {
    let less = |(name, amount): (&String, &crate::api::quantity::Quantity)| {
        let mut rest = amount.clone();
        if let Some(before) = before.get(name) {
            rest -= before;
        }
        (!rest.is_negative()).then(|| (name.clone(), rest))
    };
    after.iter().filter_map(less).collect()
}

/// The new sums.
///
/// # Errors
/// Upstream's text when one would exceed the limit.
fn charge(quota: &Object, delta: &Amounts) -> std::result::Result<Amounts, String> {
    let hard = amounts(quota.get(&["status", "hard"]));
    let used = amounts(quota.get(&["status", "used"]));
    let mut next = used.clone();
    add(&mut next, delta);
    let exceeds = |name: &&String| next.get(*name).zip(hard.get(*name)).is_some_and(|(next, hard)| next > hard);
    let exceeded: Vec<_> = delta.keys().filter(exceeds).collect();
    if exceeded.is_empty() {
        return Ok(next);
    }
    let print = |amounts: &Amounts| {
        let parts = exceeded.iter().filter_map(|name| Some(format!("{name}={}", amounts.get(*name)?)));
        parts.collect::<Vec<_>>().join(",")
    };
    let (name, requested, used, limited) = (quota.name(), print(delta), print(&used), print(&hard));
    Err(format!("exceeded quota: {name}, requested: {requested}, used: {used}, limited: {limited}"))
}

/// The stored quota with other sums.
fn write(stored: &Stored, (quota, used): (&Object, &Amounts), companion: &Companion<'_>) -> Write {
    let sums: serde_json::Map<_, _> =
        used.iter().map(|(name, amount)| (name.clone(), amount.to_string().into())).collect();
    let mut next = quota.clone();
    next.set(&["status", "used"], sums);
    let body = companion.body(Some(quota), next);
    Write {
        key: stored.key.clone(),
        expect: Expect::At(stored.revision),
        change: Change::Put { body, facts: stored.facts.clone() },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    async fn trial(hard: Value, used: Value) -> Trial {
        let trial = Trial::new().await;
        let quota = json!({
            "metadata": { "namespace": "web", "name": "q" }, "spec": { "hard": hard },
            "status": { "hard": hard, "used": used },
        });
        put(&trial.context.store, "resourcequotas", quota).await;
        trial
    }

    fn pod(resources: Value) -> Value {
        let container = json!({ "name": "a", "resources": resources });
        json!({ "metadata": { "namespace": "web", "name": "p" }, "spec": { "containers": [container] } })
    }

    async fn used(trial: &Trial) -> Value {
        let snapshot = trial.context.store.snapshot();
        let stored = snapshot.find("resourcequotas", "web", "q").unwrap();
        Object::from_json(&stored.body.json).unwrap().get(&["status", "used"]).unwrap().clone()
    }

    #[tokio::test]
    async fn a_write_within_the_quota_brings_the_new_sums_along() {
        let hard = json!({ "pods": "2", "requests.cpu": "1" });
        let trial = trial(hard, json!({ "pods": "1", "requests.cpu": "200m" })).await;
        let given = pod(json!({ "requests": { "cpu": "800m" } }));
        let companions = trial.validate(&ResourceQuota, "pods", given.clone()).await.unwrap();
        assert_eq!(companions.len(), 1);
        trial.context.store.commit(companions.clone()).await.unwrap();
        assert_eq!(used(&trial).await, json!({ "pods": "2", "requests.cpu": "1" }));
        assert!(trial.context.store.commit(companions).await.is_err(), "the same rest cannot be used twice");
        let refused = trial.validate(&ResourceQuota, "pods", given).await.unwrap_err();
        let message = "pods \"p\" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=800m, used: \
                       pods=2,requests.cpu=1, limited: pods=2,requests.cpu=1";
        assert_eq!(refused.message(), message);
    }

    #[tokio::test]
    async fn what_a_quota_counts_must_be_named_and_known() {
        let trial = trial(json!({ "limits.memory": "1Gi", "cpu": "1" }), json!({ "cpu": "0" })).await;
        let check = async |resources: Value, why: &str| {
            let refused = trial.validate(&ResourceQuota, "pods", pod(resources)).await.unwrap_err();
            assert_eq!(refused.message(), format!("pods \"p\" is forbidden: {why}"));
        };
        check(json!({}), "failed quota: q: must specify cpu for: a; limits.memory for: a").await;
        let named = json!({ "requests": { "cpu": "1" }, "limits": { "memory": "1Gi" } });
        check(named, "status unknown for quota: q, resources: cpu,limits.memory").await;
    }

    #[tokio::test]
    async fn objects_that_no_quota_counts_cost_nothing() {
        let trial = trial(json!({ "pods": "0" }), json!({ "pods": "0" })).await;
        let secret = json!({ "metadata": { "namespace": "web", "name": "s" } });
        assert!(trial.validate(&ResourceQuota, "secrets", secret).await.unwrap().is_empty());
        let elsewhere = json!({ "metadata": { "namespace": "db", "name": "p" }, "spec": {} });
        assert!(trial.validate(&ResourceQuota, "pods", elsewhere).await.unwrap().is_empty());
    }
}
