//! `TaintNodesByCondition`: a new node is not ready until its controller says so.

use serde_json::{Value, json};

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::resources::Kind;

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(super) struct TaintNodesByCondition;

impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Create
            && subresource.is_empty()
            && kind.resource == "nodes"
            && kind.gvk.group.is_empty()
    }

    fn admit<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        if let Some(node) = attributes.object.as_deref_mut() {
            let slot = node.object_at(&["spec"]).entry("taints").or_insert(Value::Null);
            if !slot.is_array() {
                *slot = json!([]);
            }
            if let Some(taints) = slot.as_array_mut()
                && !taints.iter().any(|taint| taint["key"] == NOT_READY && taint["effect"] == "NoSchedule")
            {
                taints.push(json!({ "key": NOT_READY, "effect": "NoSchedule" }));
            }
        }
        Answer::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::trial::Trial;

    #[tokio::test]
    async fn a_new_node_is_tainted_once() {
        let trial = Trial::new().await;
        let node = json!({ "metadata": { "name": "n" } });
        let node = trial.admit(&TaintNodesByCondition, "nodes", node).await.unwrap();
        let taints = json!([{ "key": NOT_READY, "effect": "NoSchedule" }]);
        assert_eq!(node.get(&["spec", "taints"]), Some(&taints));
        let again = trial.admit(&TaintNodesByCondition, "nodes", node.into_value()).await.unwrap();
        assert_eq!(again.get(&["spec", "taints"]), Some(&taints));
    }
}
