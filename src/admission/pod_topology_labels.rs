//! `PodTopologyLabels`: a pod gets the zone and region of its node, when it is made for one and when it is bound to one
//! (K `plugin/pkg/admission/podtopologylabels`).

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::resources::Kind;

const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub(super) struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Create
            && matches!(subresource, "" | "binding")
            && kind.gvk.group.is_empty()
            && kind.resource == "pods"
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        copy(ctx, attributes);
        Answer::Ready(Ok(()))
    }
}

fn copy(ctx: &Context, attributes: &mut Attributes<'_>) {
    let binds = attributes.target.subresource == "binding";
    let Some(object) = attributes.object.as_deref_mut() else { return };
    let node = match binds {
        true if object.text_at(&["target", "kind"]) != "Node" => return,
        true => object.text_at(&["target", "name"]),
        false => object.text_at(&["spec", "nodeName"]),
    };
    if node.is_empty() {
        return;
    }
    let snapshot = ctx.store.snapshot();
    let Some(node) = snapshot.find("nodes", "", node) else { return };
    for label in LABELS {
        if let Some(value) = node.facts.label(label) {
            object.set(&["metadata", "labels", label], &**value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    #[tokio::test]
    async fn a_pod_has_the_zone_of_its_node() {
        let trial = Trial::new().await;
        let node = json!({ "metadata": { "name": "n", "labels": { "topology.kubernetes.io/zone": "z", "a": "b" } } });
        put(&trial.context.store, "nodes", node).await;
        let pod = |node: &str| json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": { "nodeName": node } });
        let labels = async |node: &str| {
            let pod = trial.admit(&PodTopologyLabels, "pods", pod(node)).await.unwrap();
            pod.get(&["metadata", "labels"]).cloned()
        };
        assert_eq!(labels("n").await, Some(json!({ "topology.kubernetes.io/zone": "z" })));
        assert_eq!(labels("none").await, None);
        assert_eq!(labels("").await, None);
    }
}
