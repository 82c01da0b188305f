//! `DefaultTolerationSeconds`: a pod bears a node that is not ready or unreachable for five minutes.

use serde_json::{Value, json};

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::resources::Kind;

/// How long a pod bears a node, where nothing else is said.
const SECONDS: i64 = 300;
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// For how many seconds a pod bears nodes: `--default-not-ready-toleration-seconds`,
/// `--default-unreachable-toleration-seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultTolerationSeconds {
    pub not_ready: i64,
    pub unreachable: i64,
}

impl Default for DefaultTolerationSeconds {
    fn default() -> Self {
        Self { not_ready: SECONDS, unreachable: SECONDS }
    }
}

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let writes = matches!(operation, Operation::Create | Operation::Update);
        writes && subresource.is_empty() && kind.resource == "pods" && kind.gvk.group.is_empty()
    }

    fn admit<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        if let Some(pod) = attributes.object.as_deref_mut() {
            let spec = pod.object_at(&["spec"]);
            let slot = spec.entry("tolerations").or_insert(Value::Null);
            if !slot.is_array() {
                *slot = json!([]);
            }
            if let Some(tolerations) = slot.as_array_mut() {
                add_missing(tolerations, self);
            }
        }
        Answer::Ready(Ok(()))
    }
}

fn add_missing(tolerations: &mut Vec<Value>, times: &DefaultTolerationSeconds) {
    let text = |toleration: &Value, field: &str| toleration.get(field).and_then(Value::as_str).unwrap_or("").to_owned();
    let given = tolerations.len();
    for (taint, seconds) in [(NOT_READY, times.not_ready), (UNREACHABLE, times.unreachable)] {
        let tolerated = tolerations[..given].iter().any(|toleration| {
            let (key, effect) = (text(toleration, "key"), text(toleration, "effect"));
            (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if !tolerated {
            let own =
                json!({ "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds });
            tolerations.push(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::trial::Trial;

    #[tokio::test]
    async fn both_tolerations_are_added_where_none_is_given() {
        let trial = Trial::new().await;
        let pod = trial
            .admit(&DefaultTolerationSeconds::default(), "pods", json!({ "metadata": { "name": "p" } }))
            .await
            .unwrap();
        let keys: Vec<_> =
            pod.get(&["spec", "tolerations"]).unwrap().as_array().unwrap().iter().map(|t| t["key"].clone()).collect();
        assert_eq!(keys, [NOT_READY, UNREACHABLE]);
    }

    #[tokio::test]
    async fn a_given_toleration_stays_alone_for_its_taint() {
        let trial = Trial::new().await;
        let check = async |tolerations: Value, count: usize| {
            let pod = json!({ "metadata": { "name": "p" }, "spec": { "tolerations": tolerations } });
            let pod = trial.admit(&DefaultTolerationSeconds::default(), "pods", pod).await.unwrap();
            assert_eq!(pod.get(&["spec", "tolerations"]).unwrap().as_array().unwrap().len(), count);
        };
        check(json!([{ "operator": "Exists" }]), 1).await;
        check(json!([{ "key": NOT_READY, "operator": "Exists", "effect": "NoExecute" }]), 2).await;
        check(json!([{ "key": NOT_READY, "operator": "Exists", "effect": "NoSchedule" }]), 3).await;
    }
}
