//! `ExtendedResourceToleration`: a pod that asks for an extended resource bears the taint of its nodes (K
//! `plugin/pkg/admission/extendedresourcetoleration`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::Object;
use crate::api::validation::names::qualified_name;
use crate::resources::Kind;

pub(super) struct ExtendedResourceToleration;

impl Plugin for ExtendedResourceToleration {
    fn name(&self) -> &'static str {
        "ExtendedResourceToleration"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let writes = matches!(operation, Operation::Create | Operation::Update);
        writes && subresource.is_empty() && kind.resource == "pods" && kind.gvk.group.is_empty()
    }

    fn admit<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        if let Some(pod) = attributes.object.as_deref_mut() {
            for resource in extended(pod) {
                tolerate(pod, &resource);
            }
        }
        Answer::Ready(Ok(()))
    }
}

/// The extended resources that containers ask for, in order.
fn extended(pod: &Object) -> BTreeSet<String> {
    let list = |field| pod.get(&["spec", field]).and_then(Value::as_array).into_iter().flatten();
    let containers = list("containers").chain(list("initContainers"));
    let requests = containers.filter_map(|container| container.pointer("/resources/requests")?.as_object());
    requests.flat_map(|requests| requests.keys()).filter(|name| is_extended(name)).cloned().collect()
}

fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.") && qualified_name(&format!("requests.{name}")).is_empty()
}

/// Adds the toleration unless an equal one is there; one that differs only in its seconds is replaced.
fn tolerate(pod: &mut Object, resource: &str) {
    let own = json!({ "key": resource, "operator": "Exists", "effect": "NoSchedule" });
    let slot = pod.object_at(&["spec"]).entry("tolerations").or_insert_with(|| json!([]));
    if !slot.is_array() {
        *slot = json!([]);
    }
    let Some(tolerations) = slot.as_array_mut() else { return };
    let text = |toleration: &Value, field: &str| toleration.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
    let same = |toleration: &Value| {
        ["key", "operator", "value", "effect"].iter().all(|field| text(toleration, field) == text(&own, field))
    };
    match tolerations.iter_mut().find(|toleration| same(toleration)) {
        Some(present) => *present = own,
        None => tolerations.push(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::trial::Trial;

    #[tokio::test]
    async fn a_pod_bears_the_taints_of_what_it_asks_for() {
        let pod = json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": { "containers": [{ "name": "c",
            "resources": { "requests": { "cpu": "1", "example.com/gpu": "1", "kubernetes.io/x": "1" } } }] } });
        let trial = Trial::new().await;
        let pod = trial.admit(&ExtendedResourceToleration, "pods", pod).await.unwrap();
        let own = json!([{ "key": "example.com/gpu", "operator": "Exists", "effect": "NoSchedule" }]);
        assert_eq!(pod.get(&["spec", "tolerations"]), Some(&own));
        let again = trial.admit(&ExtendedResourceToleration, "pods", pod.into_value()).await.unwrap();
        assert_eq!(again.get(&["spec", "tolerations"]), Some(&own));
    }
}
