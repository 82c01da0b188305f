//! `pods/eviction`: deletes a pod if its disruption budget allows (K `pkg/registry/core/pod/storage/eviction.go`).

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Action, Order, success};
use crate::api::field::{FieldError, Path};
use crate::api::labels::Selector;
use crate::api::request::{DeleteOptions, Propagation, Target, WriteOptions};
use crate::api::status::{Cause, Details};
use crate::api::{GroupKind, GroupResource, GroupVersionKind, Object, Reason, Result, Status};
use crate::registry::delete::check_preconditions;
use crate::registry::ownership::Owner;
use crate::registry::{Call, Registry, metadata, persist};
use crate::resources::Kind;
use crate::storage::Stored;

const EVICTION: GroupVersionKind = GroupVersionKind::of("policy", "v1", "Eviction");

/// Upstream's bound on pods whose eviction the disruption controller has not seen yet.
const DISRUPTED_PODS_MAX: usize = 2000;

/// The manager of what the server writes.
const SERVER: &str = "kube-apiserver";

const VIOLATES: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

pub(super) struct Evict;

impl Action for Evict {
    fn payload(&self) -> Option<GroupVersionKind> {
        Some(EVICTION)
    }

    fn older_payloads(&self) -> &'static [&'static str] {
        &["policy/v1beta1"]
    }

    fn run<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Object>> {
        Box::pin(evict(order))
    }
}

async fn evict(mut order: Order<'_>) -> Result<Object> {
    let (registry, call) = (order.registry, order.call);
    if order.object.name() != call.target.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    check_options(&order.object)?;
    let mut delete = delete_options(&order.object);
    delete.dry_run |= order.dry_run;
    order.dry_run = delete.dry_run;
    order.admit_finally().await?;

    let target = Target { subresource: String::new(), ..call.target.clone() };
    let pod_call = Call::new(call.user.clone(), target, call.kind.clone());
    let stored = registry.find(&pod_call)?;
    let pod = persist::tree(&call.kind, &stored)?;
    check_preconditions(&pod_call.kind, &pod, &delete)?;
    let terminal = matches!(pod.text_at(&["status", "phase"]), "Succeeded" | "Failed") || pod.deleting();
    if !terminal && pod.text_at(&["status", "phase"]) != "Pending" {
        spend_budget(registry, call, &pod, delete.dry_run).await?;
    }
    if !terminal && !delete.dry_run {
        let now = metadata::seconds(registry.moment().now);
        registry.rewrite(&pod_call, false, &|pod| mark_disrupted(pod, &now)).await?;
        // The mark is a write of our own: a precondition on the revision before it was checked against the budget.
        delete.preconditions.resource_version = None;
    }
    registry.delete(&pod_call, &delete).await?;
    Ok(success())
}

fn check_options(eviction: &Object) -> Result<()> {
    let policy = eviction.text_at(&["deleteOptions", "propagationPolicy"]);
    let mut errors = Vec::new();
    if !matches!(policy, "" | "Orphan" | "Background" | "Foreground") {
        let known = ["Foreground", "Background", "Orphan", "nil"];
        errors.push(FieldError::not_supported(&Path::new("propagationPolicy"), policy, &known));
    }
    let dry_run = eviction.get(&["deleteOptions", "dryRun"]).and_then(Value::as_array);
    if let Some(given) = dry_run.filter(|given| given.iter().any(|stage| stage != "All")) {
        errors.push(FieldError::not_supported(&Path::new("dryRun"), given.clone(), &["All"]));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let kind = GroupKind { group: "meta.k8s.io".into(), kind: "DeleteOptions".into() };
    Err(Status::invalid(&kind, "", &errors))
}

fn delete_options(eviction: &Object) -> DeleteOptions {
    let text = |path: &[&str]| Some(eviction.text_at(path).to_owned()).filter(|t| !t.is_empty());
    let mut options = DeleteOptions {
        grace_period_seconds: eviction.int_at(&["deleteOptions", "gracePeriodSeconds"]),
        propagation: match eviction.text_at(&["deleteOptions", "propagationPolicy"]) {
            "Orphan" => Some(Propagation::Orphan),
            "Background" => Some(Propagation::Background),
            "Foreground" => Some(Propagation::Foreground),
            _ => None,
        },
        ..DeleteOptions::default()
    };
    options.preconditions.uid = text(&["deleteOptions", "preconditions", "uid"]);
    options.preconditions.resource_version = text(&["deleteOptions", "preconditions", "resourceVersion"]);
    options.dry_run = eviction.get(&["deleteOptions", "dryRun"]).is_some_and(|v| *v != Value::Null && *v != json!([]));
    options
}

/// Takes one disruption from the pod's budget, or says why there is none.
async fn spend_budget(registry: &Registry, call: &Call, pod: &Object, dry_run: bool) -> Result<()> {
    let served = registry.catalog().served();
    let Some(kind) = served.find("policy", "v1", "poddisruptionbudgets").cloned() else { return Ok(()) };
    let budgets = budgets_of(registry, &kind, pod)?;
    let budget = match budgets.as_slice() {
        [] => return Ok(()),
        [one] => one,
        _ => {
            let message =
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(Status::new(500, Reason::Unknown, message));
        }
    };
    if !ready(pod) && unhealthy_may_go(budget) {
        return Ok(());
    }
    let target = Target {
        group: "policy".to_owned(),
        version: "v1".to_owned(),
        resource: "poddisruptionbudgets".to_owned(),
        subresource: "status".to_owned(),
        namespace: pod.namespace().to_owned(),
        name: budget.name().to_owned(),
    };
    let budget_call = Call::new(call.user.clone(), target, kind);
    let moment = registry.moment();
    let now = metadata::seconds(moment.now);
    // It is the server's own client that writes the budget.
    let options = WriteOptions { field_manager: SERVER.to_owned(), ..WriteOptions::default() };
    let owner = Owner { call: &budget_call, options: &options, moment, served: &served };
    let spend = |budget: &mut Object| {
        let before = budget.clone();
        decrement(budget, pod.name(), &now)?;
        owner.own(Some(&before), budget);
        Ok(())
    };
    registry.rewrite(&budget_call, dry_run, &spend).await.map(|_| ())
}

fn budgets_of(registry: &Registry, kind: &Kind, pod: &Object) -> Result<Vec<Object>> {
    let snapshot = registry.store().snapshot();
    let budgets: Vec<Arc<Stored>> = snapshot.list(&kind.collection, Some(pod.namespace()), None).cloned().collect();
    let empty = serde_json::Map::new();
    let labels = pod.get(&["metadata", "labels"]).and_then(Value::as_object).unwrap_or(&empty);
    let mut found = Vec::new();
    for stored in budgets {
        let budget = persist::tree(kind, &stored)?;
        let selector = Selector::from_label_selector(budget.get(&["spec", "selector"]));
        if selector.is_ok_and(|s| s.matches(labels)) {
            found.push(budget);
        }
    }
    Ok(found)
}

fn ready(pod: &Object) -> bool {
    let conditions = pod.get(&["status", "conditions"]).and_then(Value::as_array);
    conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn unhealthy_may_go(budget: &Object) -> bool {
    let desired = budget.int_at(&["status", "desiredHealthy"]).unwrap_or(0);
    let current = budget.int_at(&["status", "currentHealthy"]).unwrap_or(0);
    budget.text_at(&["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow" || (current >= desired && desired > 0)
}

fn budget_cause(message: String) -> Cause {
    Cause { reason: "DisruptionBudget".to_owned(), message, field: String::new() }
}

fn decrement(budget: &mut Object, pod: &str, now: &str) -> Result<()> {
    let name = budget.name().to_owned();
    if budget.int_at(&["status", "observedGeneration"]).unwrap_or(0) < budget.generation() {
        let cause = budget_cause(format!("The disruption budget {name} is still being processed by the server."));
        return Err(Status::too_many_requests(VIOLATES, 10).with_cause(cause));
    }
    let allowed = budget.int_at(&["status", "disruptionsAllowed"]).unwrap_or(0);
    let disrupted = budget.get(&["status", "disruptedPods"]).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    let refused = if allowed < 0 {
        Some("pdb disruptions allowed is negative")
    } else if disrupted > DISRUPTED_PODS_MAX {
        Some("DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    } else {
        None
    };
    if let Some(why) = refused {
        let resource = GroupResource { group: "policy".into(), resource: "poddisruptionbudget".into() };
        let cause = budget_cause(format!("The disruption budget {name} does not allow evicting pods currently: {why}"));
        return Err(Status::forbidden(&resource, &name, why).with_cause(cause));
    }
    if allowed == 0 {
        let status = Status::new(429, Reason::TooManyRequests, VIOLATES).with_details(Details::default());
        return Err(status.with_cause(budget_cause(none_allowed(budget, &name))));
    }
    budget.set(&["status", "disruptionsAllowed"], allowed - 1);
    budget.set(&["status", "disruptedPods", pod], now);
    Ok(())
}

fn none_allowed(budget: &Object, name: &str) -> String {
    let desired = budget.int_at(&["status", "desiredHealthy"]).unwrap_or(0);
    let current = budget.int_at(&["status", "currentHealthy"]).unwrap_or(0);
    let conditions = budget.get(&["status", "conditions"]).and_then(Value::as_array);
    let condition = conditions.into_iter().flatten().find(|c| c["type"] == "DisruptionAllowed");
    let text = |key: &str| condition.and_then(|c| c.get(key)).and_then(Value::as_str).unwrap_or("");
    let told = text("status") == "False" && !text("message").is_empty();
    let head = format!("The disruption budget {name}");
    if told && text("reason") == "SyncFailed" {
        format!("{head} does not allow evicting pods currently because it failed sync: {}", text("message"))
    } else if current <= desired {
        format!("{head} needs {desired} healthy pods and has {current} currently")
    } else if told {
        format!("{head} does not allow evicting pods currently ({}): {}", text("reason"), text("message"))
    } else {
        format!("{head} does not allow evicting pods currently")
    }
}

/// The condition that tells why the pod goes.
fn mark_disrupted(pod: &mut Object, now: &str) -> Result<()> {
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now,
    });
    let conditions = pod.object_at(&["status"]).entry("conditions").or_insert_with(|| json!([]));
    if let Some(list) = conditions.as_array_mut() {
        list.retain(|c| c["type"] != "DisruptionTarget");
        list.push(condition);
    }
    Ok(())
}
