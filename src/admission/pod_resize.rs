//! `PodResizeValidator`: a pod that runs gets other resources only as far as its node has them.

use serde_json::Value;

use super::pod_resources::{Amounts, Side, add, amounts, of_pod};
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::field::go_quote;
use crate::api::quantity::Quantity;
use crate::api::status::Cause;
use crate::api::{Object, Result, Status};
use crate::resources::Kind;

const SYSTEM: &str = "kubernetes.io/os";

pub(super) struct PodResizeValidator;

impl Plugin for PodResizeValidator {
    fn name(&self) -> &'static str {
        "PodResizeValidator"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Update
            && subresource == "resize"
            && kind.resource == "pods"
            && kind.gvk.group.is_empty()
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(check(ctx, attributes))
    }
}

fn check(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let (Some(new), Some(old)) = (attributes.object.as_deref(), attributes.old) else { return Ok(()) };
    let name = new.text_at(&["spec", "nodeName"]);
    if name.is_empty() || new.generation() == old.generation() {
        return Ok(());
    }
    let node = ctx.store.snapshot().find("nodes", "", name).map(|stored| Object::from_json(&stored.body.json));
    let Some(node) = node.transpose().map_err(Status::internal)? else {
        return Err(attributes.forbidden(format!("node {} not found", go_quote(name))));
    };
    let refuse = |why: String, reason: &str| {
        let cause = Cause { reason: reason.to_owned(), message: String::new(), field: String::new() };
        Err(attributes.forbidden(why).with_cause(cause))
    };
    let system = node.get(&["metadata", "labels"]).and_then(|labels| labels.get(SYSTEM)).and_then(Value::as_str);
    if let Some(system) = system.filter(|system| *system != "linux") {
        let (name, system) = (go_quote(name), go_quote(system));
        let why = format!("pod resize is only supported on linux nodes, node {name} is {system}");
        return refuse(why, "UnsupportedPlatform");
    }
    match lacking(new, &amounts(node.get(&["status", "allocatable"]))) {
        lacking if lacking.is_empty() => Ok(()),
        lacking => {
            let why = format!("node didn't have enough allocatable resources: {}", lacking.join("; "));
            refuse(why, "NodeCapacity")
        }
    }
}

/// What the pod asks for beyond what a node has for pods.
fn lacking(pod: &Object, allocatable: &Amounts) -> Vec<String> {
    let mut asked = of_pod(pod, Side::Requests);
    add(&mut asked, &amounts(pod.get(&["spec", "overhead"])));
    let mut lacking = Vec::new();
    for name in ["cpu", "memory"] {
        let number = |amount: &Quantity| if name == "cpu" { amount.milli_value() } else { amount.value() };
        let zero = Quantity::default();
        let (asked, has) = (asked.get(name).unwrap_or(&zero), allocatable.get(name).unwrap_or(&zero));
        if asked > has {
            lacking.push(format!("{name}, requested: {}, allocatable: {}", number(asked), number(has)));
        }
    }
    lacking
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    #[tokio::test]
    async fn a_pod_grows_no_further_than_its_node() {
        let trial = Trial::new().await;
        let allocatable = json!({ "cpu": "2", "memory": "1Gi" });
        let node = json!({ "metadata": { "name": "n" }, "status": { "allocatable": allocatable } });
        put(&trial.context.store, "nodes", node).await;
        let labels = json!({ "kubernetes.io/os": "windows" });
        put(&trial.context.store, "nodes", json!({ "metadata": { "name": "w", "labels": labels } })).await;
        let pod = |node: &str, generation: i64, cpu: &str| -> Value {
            let containers = json!([{ "name": "c", "resources": { "requests": { "cpu": cpu } } }]);
            json!({
                "metadata": { "namespace": "web", "name": "p", "generation": generation },
                "spec": { "nodeName": node, "containers": containers },
            })
        };
        let check = async |node: &str, cpu: &str, why: Option<&str>| {
            let objects = (pod(node, 1, "1"), pod(node, 2, cpu));
            let refused = trial.update(&PodResizeValidator, "pods/resize", objects).await.err();
            let message = why.map(|why| format!("pods \"p\" is forbidden: {why}"));
            assert_eq!(refused.map(|status| status.message().to_owned()), message);
        };
        check("n", "2", None).await;
        check("", "9", None).await;
        let lacks = "node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000";
        check("n", "3", Some(lacks)).await;
        check("gone", "1", Some("node \"gone\" not found")).await;
        check("w", "1", Some("pod resize is only supported on linux nodes, node \"w\" is \"windows\"")).await;
    }
}
