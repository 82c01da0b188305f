//! `PodNodeSelector`: the pods of a namespace go to the nodes that its annotation selects, or the configuration of the
//! cluster, which also says which nodes a namespace may ask for (K `plugin/pkg/admission/podnodeselector`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::configuration::tree;
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::status::Reason;
use crate::api::validation::names;
use crate::api::{GroupResource, Object, Result, Status};
use crate::resources::Kind;

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";

/// For namespaces that say nothing themselves.
const DEFAULT: &str = "clusterDefaultNodeSelector";

/// By `DEFAULT` and the names of namespaces.
#[derive(Default)]
pub(super) struct PodNodeSelector {
    selectors: BTreeMap<String, String>,
}

impl PodNodeSelector {
    /// As upstream does, it takes a configuration that it cannot understand for none.
    pub(super) fn new(configuration: Option<&[u8]>) -> Self {
        let read = configuration.and_then(|bytes| tree(bytes).ok()).unwrap_or_default();
        let entries = read.value.get("podNodeSelectorPluginConfig").and_then(Value::as_object).cloned();
        let texts =
            entries.into_iter().flatten().filter_map(|(name, selector)| Some((name, selector.as_str()?.to_owned())));
        Self { selectors: texts.collect() }
    }

    fn configured(&self, name: &str) -> Result<BTreeMap<String, String>> {
        parse(self.selectors.get(name).map_or("", String::as_str)).map_err(unreadable)
    }
}

impl Plugin for PodNodeSelector {
    fn name(&self) -> &'static str {
        "PodNodeSelector"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Create && subresource.is_empty() && kind.resource == "pods" && kind.gvk.group.is_empty()
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(self.merge(ctx, attributes))
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(self.check(ctx, attributes))
    }
}

impl PodNodeSelector {
    fn merge(&self, ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
        let wanted = self.selector(ctx, attributes)?;
        check(attributes, &wanted)?;
        if let Some(pod) = attributes.object.as_deref_mut() {
            for (key, value) in wanted {
                pod.set(&["spec", "nodeSelector", &key], value);
            }
        }
        self.check(ctx, attributes)
    }

    fn check(&self, ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
        check(attributes, &self.selector(ctx, attributes)?)?;
        let allowed = self.configured(attributes.namespace())?;
        let Some(pod) = attributes.object.as_deref() else { return Ok(()) };
        let own = pod.get(&["spec", "nodeSelector"]).and_then(Value::as_object);
        let foreign =
            own.into_iter().flatten().any(|(key, value)| value.as_str() != allowed.get(key).map(String::as_str));
        if allowed.is_empty() || !foreign {
            return Ok(());
        }
        let why = "pod node label selector labels conflict with its namespace whitelist";
        Err(Status::forbidden(&attributes.kind.group_resource(), pod.name(), why))
    }

    /// What the namespace of the pod selects.
    fn selector(&self, ctx: &Context, attributes: &Attributes<'_>) -> Result<BTreeMap<String, String>> {
        let namespace = attributes.namespace();
        let resource = GroupResource { group: "".into(), resource: "namespaces".into() };
        let snapshot = ctx.store.snapshot();
        let stored =
            snapshot.find("namespaces", "", namespace).ok_or_else(|| Status::not_found(&resource, namespace))?;
        let namespace = Object::from_json(&stored.body.json).map_err(Status::internal)?;
        match namespace.annotation(ANNOTATION) {
            Some(text) => parse(text).map_err(unreadable),
            None => self.configured(DEFAULT),
        }
    }
}

fn unreadable(why: String) -> Status {
    Status::new(500, Reason::Unknown, why)
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
        let merged = trial.admit(&PodNodeSelector::default(), "pods", pod(json!({ "x": "y" }))).await.unwrap();
        let expected = json!({ "env": "test", "x": "y", "zone": "a" });
        assert_eq!(merged.get(&["spec", "nodeSelector"]), Some(&expected));
        let refused =
            trial.admit(&PodNodeSelector::default(), "pods", pod(json!({ "env": "prod" }))).await.unwrap_err();
        let message =
            "pods \"p\" is forbidden: pod node label selector conflicts with its namespace node label selector";
        assert_eq!(refused.message(), message);
    }
}
