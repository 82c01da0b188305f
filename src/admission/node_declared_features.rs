//! `NodeDeclaredFeatureValidator`: a pod that runs is changed only in ways that its node says it has, and a slice
//! offers what a node allocates only where the nodes say so (K `plugin/pkg/admission/nodedeclaredfeatures`,
//! component-helpers `nodedeclaredfeatures`).

use serde_json::{Map, Value};

use super::pod_resources::{Side, amounts};
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::field::go_quote;
use crate::api::labels::{Operator, Requirement};
use crate::api::quantity::Quantity;
use crate::api::{Object, Result, Status};
use crate::resources::Kind;

const SLICES: &str = "DRANodeAllocatableResources";

/// Whether a pod is changed so, of what it was.
type Change = fn(&Object, &Object) -> bool;

/// What a change of a pod may ask of its node, in order of the names.
const CHANGES: [(&str, Change); 3] = [
    ("InPlacePodLevelResourcesVerticalScaling", resizes_whole),
    ("InPlacePodVerticalScalingInitContainers", resizes_first_steps),
    ("InPlacePodVerticalScalingMemoryBackedVolumes", resizes_volumes),
];

pub(super) struct NodeDeclaredFeatureValidator {
    /// The gate `DRANodeAllocatableResources`.
    pub(super) checks_slices: bool,
}

impl Plugin for NodeDeclaredFeatureValidator {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatureValidator"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        match (&*kind.gvk.group, &*kind.resource) {
            ("", "pods") => operation == Operation::Update && matches!(subresource, "" | "resize"),
            ("resource.k8s.io", "resourceslices") => {
                self.checks_slices && matches!(operation, Operation::Create | Operation::Update)
            }
            _ => false,
        }
    }

    fn admit<'a>(&'a self, _: &'a Context, _: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Absent
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(match &*attributes.kind.resource {
            "pods" => pod(ctx, attributes),
            _ => slice(ctx, attributes),
        })
    }
}

fn pod(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let (Some(new), Some(old)) = (attributes.object.as_deref(), attributes.old) else { return Ok(()) };
    let name = new.text_at(&["spec", "nodeName"]);
    if name.is_empty() || new.generation() == old.generation() {
        return Ok(());
    }
    let asked: Vec<&str> = CHANGES.iter().filter(|(_, asks)| asks(old, new)).map(|(feature, _)| *feature).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let node = node(ctx, name)?;
    let node = node.ok_or_else(|| attributes.forbidden(format!("node {} not found", go_quote(name))))?;
    let lacking: Vec<&str> = asked.into_iter().filter(|feature| !declares(&node, feature)).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let (lacking, name) = (lacking.join(", "), go_quote(name));
    Err(attributes.forbidden(format!("pod update requires features {lacking} which are not available on node {name}")))
}

fn node(ctx: &Context, name: &str) -> Result<Option<Object>> {
    let stored = ctx.store.snapshot().find("nodes", "", name).map(|stored| Object::from_json(&stored.body.json));
    stored.transpose().map_err(Status::internal)
}

fn declares(node: &Object, feature: &str) -> bool {
    let declared = node.get(&["status", "declaredFeatures"]).and_then(Value::as_array);
    declared.into_iter().flatten().any(|declared| declared == feature)
}

/// The amounts for the pod as a whole.
fn resizes_whole(old: &Object, new: &Object) -> bool {
    let whole = |pod: &Object| pod.get(&["spec", "resources"]).cloned().filter(|resources| !resources.is_null());
    match (whole(old), whole(new)) {
        (None, None) => false,
        (Some(old), Some(new)) => !same_resources(Some(&old), Some(&new)),
        (Some(_), None) | (None, Some(_)) => true,
    }
}

/// Containers that end before the others begin.
fn resizes_first_steps(old: &Object, new: &Object) -> bool {
    let steps = |pod: &Object| pod.get(&["spec", "initContainers"]).and_then(Value::as_array).cloned();
    let (old, new) = (steps(old).unwrap_or_default(), steps(new).unwrap_or_default());
    let ends = |container: &Value| container.get("restartPolicy").and_then(Value::as_str) != Some("Always");
    let resized =
        |(old, new): (&Value, &Value)| ends(old) && !same_resources(old.get("resources"), new.get("resources"));
    old.iter().zip(&new).any(resized)
}

/// Volumes that are kept in memory; none is added or removed, which is refused elsewhere.
fn resizes_volumes(old: &Object, new: &Object) -> bool {
    let volumes = |pod: &Object| pod.get(&["spec", "volumes"]).and_then(Value::as_array).cloned().unwrap_or_default();
    let (old, new) = (volumes(old), volumes(new));
    let limit = |volume: &Value| {
        let text = volume.pointer("/emptyDir/sizeLimit")?.as_str()?.to_owned();
        Quantity::parse(&text).ok()
    };
    let resized = |(old, new): (&Value, &Value)| {
        let in_memory = new.pointer("/emptyDir/medium").is_some_and(|medium| medium == "Memory");
        let limits = limit(old).zip(limit(new));
        in_memory && old.get("name") == new.get("name") && limits.is_some_and(|(old, new)| old != new)
    };
    old.len() == new.len() && old.iter().zip(&new).any(resized)
}

fn same_resources(old: Option<&Value>, new: Option<&Value>) -> bool {
    let of = |resources: Option<&Value>, side: Side| amounts(resources.and_then(|all| all.get(side.field())));
    let claims = |resources: Option<&Value>| resources.and_then(|all| all.get("claims")).cloned();
    let same = |side: Side| of(old, side) == of(new, side);
    same(Side::Requests) && same(Side::Limits) && claims(old) == claims(new)
}

/// For which nodes a device is.
enum Nodes<'a> {
    One(&'a str),
    Selected(&'a Value),
    All,
    None,
}

impl<'a> Nodes<'a> {
    fn of(holder: &'a Value) -> Self {
        let name = holder.get("nodeName").and_then(Value::as_str).unwrap_or_default();
        let selector = holder.get("nodeSelector").filter(|selector| selector.is_object());
        let all = holder.get("allNodes").and_then(Value::as_bool) == Some(true);
        match (name, selector, all) {
            ("", None, false) => Self::None,
            ("", None, true) => Self::All,
            ("", Some(selector), _) => Self::Selected(selector),
            (name, _, _) => Self::One(name),
        }
    }
}

fn slice(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let spec = attributes.object.as_deref().and_then(|slice| slice.get(&["spec"]));
    let Some(spec) = spec else { return Ok(()) };
    let each = spec.get("perDeviceNodeSelection").and_then(Value::as_bool) == Some(true);
    let allocates = |device: &&Value| {
        let amounts = device.get("nodeAllocatableResources").and_then(Value::as_object);
        amounts.is_some_and(|amounts| !amounts.is_empty())
    };
    for device in spec.get("devices").and_then(Value::as_array).into_iter().flatten().filter(allocates) {
        let name = go_quote(device.get("name").and_then(Value::as_str).unwrap_or_default());
        match Nodes::of(if each { device } else { spec }) {
            Nodes::None => {
                let why = "in ResourceSlice has NodeAllocatableResources but does not map to any nodes";
                return Err(attributes.forbidden(format!("device {name} {why}")));
            }
            Nodes::One(node_name) => {
                let missing = || format!("node {} not found for device {name}", go_quote(node_name));
                supports(attributes, &node(ctx, node_name)?.ok_or_else(|| attributes.forbidden(missing()))?)?;
            }
            Nodes::Selected(selector) => each_node(ctx, attributes, Some(selector))?,
            Nodes::All => each_node(ctx, attributes, None)?,
        }
    }
    Ok(())
}

fn each_node(ctx: &Context, attributes: &Attributes<'_>, selector: Option<&Value>) -> Result<()> {
    for stored in ctx.store.snapshot().list("nodes", None, None) {
        let node = Object::from_json(&stored.body.json).map_err(Status::internal)?;
        if selector.is_none_or(|selector| node_selector_matches(selector, &node)) {
            supports(attributes, &node)?;
        }
    }
    Ok(())
}

/// Whether one of the terms of a `NodeSelector` holds; one that says nothing does not.
fn node_selector_matches(selector: &Value, node: &Object) -> bool {
    let none = Map::new();
    let labels = node.get(&["metadata", "labels"]).and_then(Value::as_object).unwrap_or(&none);
    let fields = Map::from_iter([("metadata.name".to_owned(), Value::from(node.name()))]);
    let list = |term: &Value, key: &str| term.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    list(selector, "nodeSelectorTerms").iter().any(|term| {
        let (by_label, by_field) = (list(term, "matchExpressions"), list(term, "matchFields"));
        let said = !by_label.is_empty() || !by_field.is_empty();
        said && by_label.iter().all(|one| holds(one, labels)) && by_field.iter().all(|one| holds(one, &fields))
    })
}

fn holds(expression: &Value, labels: &Map<String, Value>) -> bool {
    let text = |key: &str| expression.get(key).and_then(Value::as_str).unwrap_or_default();
    let operator = match text("operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        // Validation lets no other pass.
        _ => return false,
    };
    let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
    let values = values.filter_map(|value| value.as_str().map(str::to_owned)).collect();
    Requirement { key: text("key").to_owned(), operator, values }.matches(labels)
}

fn supports(attributes: &Attributes<'_>, node: &Object) -> Result<()> {
    let why = || format!("node {} does not support {SLICES} feature", go_quote(node.name()));
    if declares(node, SLICES) { Ok(()) } else { Err(attributes.forbidden(why())) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    const PLUGIN: NodeDeclaredFeatureValidator = NodeDeclaredFeatureValidator { checks_slices: true };

    async fn trial() -> Trial {
        let trial = Trial::new().await;
        let node = |name: &str, features: Value| {
            let labels = json!({ "name": name });
            json!({ "metadata": { "name": name, "labels": labels }, "status": { "declaredFeatures": features } })
        };
        let all = json!([SLICES, "InPlacePodLevelResourcesVerticalScaling", "InPlacePodVerticalScalingInitContainers"]);
        put(&trial.context.store, "nodes", node("new", all)).await;
        put(&trial.context.store, "nodes", node("old", json!([]))).await;
        trial
    }

    #[tokio::test]
    async fn a_pod_is_resized_as_its_node_says_it_can() {
        let trial = trial().await;
        let check = async |node: &str, change: (Value, Value), why: Option<&str>| {
            let pod = |generation: i64, mut spec: Value| {
                spec["nodeName"] = node.into();
                json!({ "metadata": { "namespace": "web", "name": "p", "generation": generation }, "spec": spec })
            };
            let objects = (pod(1, change.0), pod(2, change.1));
            let refused = trial.update(&PLUGIN, "pods/resize", objects).await.err();
            let message = why.map(|why| format!("pods \"p\" is forbidden: {why}"));
            assert_eq!(refused.map(|status| status.message().to_owned()), message);
        };
        let whole = |cpu: &str| json!({ "resources": { "requests": { "cpu": cpu } } });
        let step = |cpu: &str, policy: &str| json!({ "initContainers": [{ "restartPolicy": policy, "resources": { "requests": { "cpu": cpu } } }] });
        let lacks =
            |feature: &str| format!("pod update requires features {feature} which are not available on node \"old\"");
        check("new", (whole("1"), whole("2")), None).await;
        check("old", (whole("1"), whole("1000m")), None).await;
        check("old", (whole("1"), whole("2")), Some(&lacks("InPlacePodLevelResourcesVerticalScaling"))).await;
        let feature = "InPlacePodVerticalScalingInitContainers";
        check("old", (step("1", ""), step("2", "")), Some(&lacks(feature))).await;
        check("old", (step("1", "Always"), step("2", "Always")), None).await;
        check("gone", (whole("1"), whole("2")), Some("node \"gone\" not found")).await;
        check("", (whole("1"), whole("2")), None).await;
    }

    #[tokio::test]
    async fn a_slice_that_a_node_allocates_from_needs_nodes_that_can() {
        let trial = trial().await;
        let check = async |nodes: Value, why: Option<&str>| {
            let mut spec = nodes;
            spec["devices"] = json!([{ "name": "d", "nodeAllocatableResources": { "cpu": {} } }]);
            let slice = json!({ "metadata": { "name": "s" }, "spec": spec });
            let refused = trial.validate(&PLUGIN, "resourceslices", slice).await.err();
            let message = why.map(|why| format!("resourceslices.resource.k8s.io \"s\" is forbidden: {why}"));
            assert_eq!(refused.map(|status| status.message().to_owned()), message);
        };
        let old = "node \"old\" does not support DRANodeAllocatableResources feature";
        let selected = |operator: &str, name: &str| {
            let expression = json!({ "key": "name", "operator": operator, "values": [name] });
            json!({ "nodeSelector": { "nodeSelectorTerms": [{ "matchExpressions": [expression] }] } })
        };
        check(json!({ "nodeName": "new" }), None).await;
        check(json!({ "nodeName": "old" }), Some(old)).await;
        check(json!({ "nodeName": "gone" }), Some("node \"gone\" not found for device \"d\"")).await;
        check(json!({ "allNodes": true }), Some(old)).await;
        check(selected("In", "new"), None).await;
        check(selected("NotIn", "new"), Some(old)).await;
        let nowhere = "device \"d\" in ResourceSlice has NodeAllocatableResources but does not map to any nodes";
        check(json!({}), Some(nowhere)).await;
        check(json!({ "perDeviceNodeSelection": true, "nodeName": "new" }), Some(nowhere)).await;
    }
}
