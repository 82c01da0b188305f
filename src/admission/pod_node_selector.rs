//! `PodNodeSelector`: the pods of a namespace go to the nodes that its annotation selects (K
//! `plugin/pkg/admission/podnodeselector`, without a file of configuration).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::status::Reason;
use crate::api::validation::names;
use crate::api::{GroupResource, Object, Result, Status};
use crate::resources::Kind;

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";

pub(super) struct PodNodeSelector;

impl Plugin for PodNodeSelector {
    fn name(&self) -> &'static str {
        "PodNodeSelector"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Create && subresource.is_empty() && kind.resource == "pods" && kind.gvk.group.is_empty()
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(merge(ctx, attributes))
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        let checked = selector(ctx, attributes).and_then(|wanted| check(attributes, &wanted));
        Answer::Ready(checked)
    }
}

fn merge(ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
    let wanted = selector(ctx, attributes)?;
    check(attributes, &wanted)?;
    if let Some(pod) = attributes.object.as_deref_mut() {
        for (key, value) in wanted {
            pod.set(&["spec", "nodeSelector", &key], value);
        }
    }
    Ok(())
}

/// What the namespace of the pod selects.
fn selector(ctx: &Context, attributes: &Attributes<'_>) -> Result<BTreeMap<String, String>> {
    let namespace = attributes.namespace();
    let resource = GroupResource { group: "".into(), resource: "namespaces".into() };
    let snapshot = ctx.store.snapshot();
    let stored = snapshot.find("namespaces", "", namespace).ok_or_else(|| Status::not_found(&resource, namespace))?;
    let namespace = Object::from_json(&stored.body.json).map_err(Status::internal)?;
    parse(namespace.annotation(ANNOTATION).unwrap_or_default()).map_err(|why| Status::new(500, Reason::Unknown, why))
}

/// `a=b,c=d`.
fn parse(text: &str) -> std::result::Result<BTreeMap<String, String>, String> {
    let mut out = BTreeMap::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let sides: Vec<&str> = part.split('=').collect();
        let [key, value] = sides[..] else { return Err(format!("invalid selector: [{}]", sides.join(" "))) };
        let (key, value) = (key.trim(), value.trim());
        let problems = [names::qualified_name(key), names::label_value(value)].concat();
        if !problems.is_empty() {
            return Err(format!("invalid label: {}", problems.join("; ")));
        }
        out.insert(key.to_owned(), value.to_owned());
    }
    Ok(out)
}

fn check(attributes: &Attributes<'_>, wanted: &BTreeMap<String, String>) -> Result<()> {
    let Some(pod) = attributes.object.as_deref() else { return Ok(()) };
    let own = pod.get(&["spec", "nodeSelector"]).and_then(Value::as_object);
    let conflicts = own
        .into_iter()
        .flatten()
        .any(|(key, value)| wanted.get(key).is_some_and(|wanted| value.as_str() != Some(wanted)));
    let why = "pod node label selector conflicts with its namespace node label selector";
    if conflicts { Err(Status::forbidden(&attributes.kind.group_resource(), pod.name(), why)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    #[tokio::test]
    async fn a_pod_goes_where_its_namespace_selects() {
        let trial = Trial::new().await;
        let namespace = json!({ "metadata": { "name": "n", "annotations": { ANNOTATION: "env=test, zone=a" } } });
        put(&trial.context.store, "namespaces", namespace).await;
        let pod = |selector: Value| json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": { "nodeSelector": selector } });
        let merged = trial.admit(&PodNodeSelector, "pods", pod(json!({ "x": "y" }))).await.unwrap();
        let expected = json!({ "env": "test", "x": "y", "zone": "a" });
        assert_eq!(merged.get(&["spec", "nodeSelector"]), Some(&expected));
        let refused = trial.admit(&PodNodeSelector, "pods", pod(json!({ "env": "prod" }))).await.unwrap_err();
        let message =
            "pods \"p\" is forbidden: pod node label selector conflicts with its namespace node label selector";
        assert_eq!(refused.message(), message);
    }
}
