//! `RuntimeClass`: the runtime class of a pod says what it costs beside its containers and where it can run
//! (Kubernetes `plugin/pkg/admission/runtimeclass`).

use serde_json::Value;

use super::pod_resources::amounts;
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::field::go_quote;
use crate::api::{Object, Result};
use crate::resources::Kind;

pub(super) struct RuntimeClass;

impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Create && subresource.is_empty() && kind.resource == "pods" && kind.gvk.group.is_empty()
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(admit(ctx, attributes))
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(validate(ctx, attributes))
    }
}

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

fn class(ctx: &Context, attributes: &Attributes<'_>) -> Result<Option<Object>> {
    let name = attributes.object.as_deref().map_or("", |pod| pod.text_at(&["spec", "runtimeClassName"]));
    if name.is_empty() {
        return Ok(None);
    }
    let snapshot = ctx.store.snapshot();
    let stored = snapshot.find("runtimeclasses.node.k8s.io", "", name);
    let class = stored.and_then(|stored| Object::from_json(&stored.body.json).ok());
    let missing = || attributes.forbidden(format!("pod rejected: RuntimeClass {} not found", go_quote(name)));
    class.map(Some).ok_or_else(missing)
}

fn overhead(class: &Object) -> Option<&Value> {
    class.get(&["overhead"]).filter(|overhead| overhead.is_object()).map(|o| o.get("podFixed").unwrap_or(&Value::Null))
}

fn admit(ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
    let Some(class) = class(ctx, attributes)? else { return Ok(()) };
    let Some(pod) = attributes.object.as_deref_mut() else { return Ok(()) };
    if let Some(fixed) = overhead(&class) {
        let own = amounts(pod.get(&["spec", "overhead"]));
        if !own.is_empty() && own != amounts(Some(fixed)) {
            return Err(attributes.forbidden(MISMATCH));
        }
        pod.set(&["spec", "overhead"], fixed.clone());
    }
    if class.get(&["scheduling"]).is_none_or(Value::is_null) {
        return Ok(());
    }
    for (key, value) in class.text_map(&["scheduling", "nodeSelector"]) {
        let path = ["spec", "nodeSelector", key];
        let own = pod.text_at(&path).to_owned();
        if pod.get(&path).is_some() && own != value {
            return Err(attributes.forbidden(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
            )));
        }
        pod.set(&path, value);
    }
    let list = |object: &Object, path: &[&str]| object.get(path).and_then(Value::as_array).cloned().unwrap_or_default();
    let own = list(pod, &["spec", "tolerations"]);
    let merged = merge(&own, &list(&class, &["scheduling", "tolerations"]));
    if merged != own {
        pod.set(&["spec", "tolerations"], merged);
    }
    Ok(())
}

fn validate(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let class = class(ctx, attributes)?;
    let own = attributes.object.as_deref().and_then(|pod| pod.get(&["spec", "overhead"]));
    match class.as_ref().and_then(overhead) {
        Some(fixed) if amounts(own) != amounts(Some(fixed)) => Err(attributes.forbidden(MISMATCH)),
        None if own.is_some_and(|own| !own.is_null()) => {
            Err(attributes
                .forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Both lists without what another toleration of them covers.
fn merge(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (index, toleration) in all.iter().enumerate() {
        let covered = merged.iter().any(|other| covers(other, toleration))
            || all[index + 1..].iter().any(|other| other != toleration && covers(other, toleration));
        if !covered {
            merged.push((*toleration).clone());
        }
    }
    merged
}

fn covers(wide: &Value, narrow: &Value) -> bool {
    if wide == narrow {
        return true;
    }
    let text = |toleration: &Value, field: &str| toleration.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
    let seconds = |toleration: &Value| toleration.get("tolerationSeconds").and_then(Value::as_i64);
    let operator = text(wide, "operator");
    if text(narrow, "key") != text(wide, "key") && (!text(wide, "key").is_empty() || operator != "Exists") {
        return false;
    }
    let effect = text(wide, "effect");
    if !effect.is_empty() && text(narrow, "effect") != effect {
        return false;
    }
    if effect == "NoExecute"
        && let Some(longest) = seconds(wide)
        && seconds(narrow).is_none_or(|own| own > longest)
    {
        return false;
    }
    match operator.as_str() {
        "Equal" | "" => text(narrow, "operator") == "Equal" && text(narrow, "value") == text(wide, "value"),
        "Exists" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    async fn trial() -> Trial {
        let trial = Trial::new().await;
        let class = json!({
            "metadata": { "name": "gvisor" }, "handler": "runsc", "overhead": { "podFixed": { "cpu": "100m" } },
            "scheduling": { "nodeSelector": { "sandbox": "yes" }, "tolerations": [{ "key": "sandbox", "operator": "Exists" }] },
        });
        put(&trial.context.store, "runtimeclasses.node.k8s.io", class).await;
        trial
    }

    #[tokio::test]
    async fn a_class_brings_overhead_selector_and_tolerations() {
        let own = json!([{ "key": "sandbox", "operator": "Exists", "effect": "NoSchedule" }, { "key": "x", "operator": "Exists" }]);
        let pod = json!({ "metadata": { "name": "p" }, "spec": { "runtimeClassName": "gvisor", "tolerations": own } });
        let pod = trial().await.admit(&RuntimeClass, "pods", pod).await.unwrap();
        assert_eq!(pod.get(&["spec", "overhead"]), Some(&json!({ "cpu": "100m" })));
        assert_eq!(pod.get(&["spec", "nodeSelector"]), Some(&json!({ "sandbox": "yes" })));
        let tolerations = json!([{ "key": "x", "operator": "Exists" }, { "key": "sandbox", "operator": "Exists" }]);
        assert_eq!(pod.get(&["spec", "tolerations"]), Some(&tolerations));
    }

    #[tokio::test]
    async fn what_does_not_fit_the_class_is_refused_in_upstreams_words() {
        let trial = trial().await;
        let check = async |spec: Value, why: &str| {
            let pod = json!({ "metadata": { "name": "p" }, "spec": spec });
            let refused = trial.admit(&RuntimeClass, "pods", pod).await.unwrap_err();
            assert_eq!(refused.message(), format!("pods \"p\" is forbidden: {why}"));
        };
        check(json!({ "runtimeClassName": "none" }), "pod rejected: RuntimeClass \"none\" not found").await;
        check(json!({ "runtimeClassName": "gvisor", "overhead": { "cpu": "1" } }), MISMATCH).await;
        let why = "conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes; pod.spec.nodeSelector[sandbox] = no";
        check(json!({ "runtimeClassName": "gvisor", "nodeSelector": { "sandbox": "no" } }), why).await;
        let alone = json!({ "metadata": { "name": "p" }, "spec": { "overhead": { "cpu": "1" } } });
        assert!(trial.validate(&RuntimeClass, "pods", alone).await.is_err());
    }
}
