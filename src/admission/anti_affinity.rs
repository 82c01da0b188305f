//! `LimitPodHardAntiAffinityTopology`: no pod keeps others from more than a node (K
//! `plugin/pkg/admission/antiaffinity`).

use serde_json::Value;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::{Result, Status};
use crate::resources::Kind;

const HOSTNAME: &str = "kubernetes.io/hostname";
const REQUIRED: [&str; 4] = ["spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];

pub(super) struct LimitPodHardAntiAffinityTopology;

impl Plugin for LimitPodHardAntiAffinityTopology {
    fn name(&self) -> &'static str {
        "LimitPodHardAntiAffinityTopology"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let writes = matches!(operation, Operation::Create | Operation::Update);
        writes && subresource.is_empty() && kind.resource == "pods" && kind.gvk.group.is_empty()
    }

    fn validate<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(check(attributes))
    }
}

fn check(attributes: &Attributes<'_>) -> Result<()> {
    let Some(pod) = attributes.object.as_deref() else { return Ok(()) };
    let terms = pod.get(&REQUIRED).and_then(Value::as_array).into_iter().flatten();
    for term in terms {
        let key = term.get("topologyKey").and_then(Value::as_str).unwrap_or_default();
        if key != HOSTNAME {
            let why = format!(
                "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOSTNAME} is \
                 allowed"
            );
            return Err(Status::forbidden(&attributes.kind.group_resource(), pod.name(), &why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;

    #[tokio::test]
    async fn only_nodes_may_be_kept_free() {
        let pod = |key: &str| {
            json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": { "affinity": { "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [{ "topologyKey": key }] } } } })
        };
        let trial = Trial::new().await;
        let plugin = LimitPodHardAntiAffinityTopology;
        assert!(trial.validate(&plugin, "pods", pod(HOSTNAME)).await.is_ok());
        let refused = trial.validate(&plugin, "pods", pod("zone")).await.unwrap_err();
        let message = "pods \"p\" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone \
                       but only key kubernetes.io/hostname is allowed";
        assert_eq!(refused.message(), message);
    }
}
