//! `pods/binding` and the legacy `bindings`: gives a pod its node (K `pkg/registry/core/pod/storage/storage.go`
//! BindingREST).

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Action, Order, success};
use crate::api::field::{Errors, FieldError, Path};
use crate::api::labels::aggregate;
use crate::api::request::Target;
use crate::api::validation::names;
use crate::api::{GroupResource, GroupVersionKind, Object, Reason, Result, Status};
use crate::registry::Call;
use crate::registry::metadata;

const BINDING: GroupVersionKind = GroupVersionKind::of("", "v1", "Binding");

pub(super) struct PodBinding;
pub(super) struct LegacyBinding;

impl Action for PodBinding {
    fn payload(&self) -> Option<GroupVersionKind> {
        Some(BINDING)
    }

    fn keeps_system_fields(&self) -> bool {
        true
    }

    fn run<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Object>> {
        Box::pin(async move { bind(&order, order.call).await })
    }
}

impl Action for LegacyBinding {
    fn run<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Object>> {
        Box::pin(async move {
            let (registry, call) = (order.registry, order.call);
            let served = registry.catalog().served();
            let kind = served.find("", "v1", "pods").ok_or_else(Status::no_such_path)?.clone();
            let target = Target {
                resource: "pods".to_owned(),
                subresource: "binding".to_owned(),
                name: order.object.name().to_owned(),
                ..call.target.clone()
            };
            let pod = Call::new(call.user.clone(), target, kind);
            bind(&order, &pod).await
        })
    }
}

/// Binds the pod of a call.
async fn bind(order: &Order<'_>, call: &Call) -> Result<Object> {
    let binding = &order.object;
    if binding.name() != call.target.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let errors = validate(binding);
    if !errors.is_empty() {
        return Err(Status::new(500, Reason::Unknown, aggregate(&errors)));
    }
    if call.target.name.is_empty() {
        return Err(Status::bad_request("Name parameter required."));
    }
    order.admit_finally().await?;
    let now = order.registry.moment().now;
    let assigned = |pod: &mut Object| {
        assign(call, pod, binding)?;
        mark_scheduled(pod, now);
        Ok(())
    };
    order.registry.rewrite(call, order.dry_run, &assigned).await?;
    Ok(success())
}

fn validate(binding: &Object) -> Errors {
    let target = Path::new("target");
    let mut errors = Errors::new();
    let kind = binding.text_at(&["target", "kind"]);
    if !kind.is_empty() && kind != "Node" {
        errors.push(FieldError::not_supported(&target.child("kind"), kind, &["Node", "<empty>"]));
    }
    let name = binding.text_at(&["target", "name"]);
    let path = target.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(&path, ""));
    } else if kind.is_empty() || kind == "Node" {
        errors.extend(names::dns1123_subdomain(name).into_iter().map(|m| FieldError::invalid(&path, name, m)));
    }
    errors
}

/// The pod with its node, the binding's annotations and labels, and the condition that it is scheduled.
fn assign(call: &Call, pod: &mut Object, binding: &Object) -> Result<()> {
    let name = pod.name().to_owned();
    let conflict = |why: String| {
        let resource = GroupResource { group: "".into(), resource: "pods/binding".into() };
        Status::conflict(&resource, &call.target.name, &why)
    };
    for (what, wanted, has) in
        [("UID", binding.uid(), pod.uid()), ("ResourceVersion", binding.resource_version(), pod.resource_version())]
    {
        if !wanted.is_empty() && wanted != has {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/pods/{}/{name}, ResourceVersion: 0, \
                 AdditionalErrorMsg: Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {has}",
                call.target.namespace
            );
            return Err(Status::conflict(&call.kind.group_resource(), &call.target.name, &why));
        }
    }
    if pod.deleting() {
        return Err(conflict(format!("pod {name} is being deleted, cannot be assigned to a host")));
    }
    let node = pod.text_at(&["spec", "nodeName"]);
    if !node.is_empty() {
        return Err(conflict(format!("pod {name} is already assigned to node \"{node}\"")));
    }
    if pod.get(&["spec", "schedulingGates"]).and_then(Value::as_array).is_some_and(|gates| !gates.is_empty()) {
        return Err(conflict(format!("pod {name} has non-empty .spec.schedulingGates")));
    }
    pod.set(&["spec", "nodeName"], binding.text_at(&["target", "name"]));
    pod.remove(&["status", "nominatedNodeName"]);
    for field in ["annotations", "labels"] {
        for (key, value) in binding.text_map(&["metadata", field]) {
            pod.set(&["metadata", field, key], value);
        }
    }
    Ok(())
}

fn mark_scheduled(pod: &mut Object, now: jiff::Timestamp) {
    let now = metadata::seconds(now);
    let condition = json!({
        "type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now,
    });
    let status = pod.object_at(&["status"]);
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(list) = conditions.as_array_mut() else { return };
    match list.iter_mut().find(|c| c["type"] == "PodScheduled") {
        Some(present) if present["status"] == "True" => {}
        Some(present) => *present = condition,
        None => list.push(condition),
    }
}
