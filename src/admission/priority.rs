//! `Priority`: the name of a priority class becomes a number in the pod (Kubernetes `plugin/pkg/admission/priority`).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::{Object, Result};
use crate::resources::Kind;
use crate::storage::{Snapshot, Stored};

const CLASSES: &str = "priorityclasses.scheduling.k8s.io";

pub(super) struct Priority;

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let writes = matches!(operation, Operation::Create | Operation::Update);
        let at = (&*kind.gvk.group, &*kind.resource);
        let kinds = [("", "pods"), ("scheduling.k8s.io", "priorityclasses")];
        let group = operation == Operation::Create && gate_of_group(kind).is_some();
        subresource.is_empty() && (group || (writes && kinds.contains(&at)))
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(match (attributes.about("", "pods"), gate_of_group(attributes.kind)) {
            (true, _) => pod(ctx, attributes),
            (_, Some(gate)) if attributes.kind.gates.enabled(gate) => group(ctx, attributes),
            _ => Ok(()),
        })
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        let classes = attributes.about("scheduling.k8s.io", "priorityclasses");
        Answer::Ready(if classes { only_one_default(ctx, attributes) } else { Ok(()) })
    }
}

/// The gate on which the priority of a group of pods hangs.
fn gate_of_group(kind: &Kind) -> Option<&'static str> {
    match (&*kind.gvk.group, &*kind.resource) {
        ("scheduling.k8s.io", "podgroups") => Some("GenericWorkload"),
        ("scheduling.k8s.io", "compositepodgroups") => Some("CompositePodGroup"),
        _ => None,
    }
}

/// The class of a name, or the default one where there is no name.
fn class_of(snapshot: &Snapshot, name: &str) -> std::result::Result<Option<Object>, String> {
    if name.is_empty() {
        return Ok(default_class(snapshot));
    }
    let found = snapshot.find(CLASSES, "", name).and_then(|stored| Object::from_json(&stored.body.json).ok());
    found.map(Some).ok_or_else(|| format!("no PriorityClass with name {name} was found"))
}

/// A new group of pods, or a group of such.
fn group(ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
    let Some(group) = attributes.object.as_deref() else { return Ok(()) };
    let class = class_of(&ctx.store.snapshot(), group.text_at(&["spec", "priorityClassName"]));
    let class = class.map_err(|why| attributes.forbidden(why))?;
    let priority = class.as_ref().and_then(|class| class.int_at(&["value"])).unwrap_or(0);
    let what = if &*attributes.kind.resource == "podgroups" { "pod group" } else { "composite pod group" };
    if let Some(given) = group.int_at(&["spec", "priority"]).filter(|given| *given != priority) {
        return Err(attributes.forbidden(format!(
            "priority set in the {what} ({given}) must match the priority computed ({priority}) based on the priority \
             class set in the spec"
        )));
    }
    let policy = match &class {
        Some(class) => class.text_at(&["preemptionPolicy"]),
        None => "PreemptLowerPriority",
    };
    let policy = if attributes.kind.gates.enabled("PodGroupPreemptionPolicy") { policy } else { "" };
    let given = group.text_at(&["spec", "preemptionPolicy"]);
    if !policy.is_empty() && !given.is_empty() && given != policy {
        return Err(attributes.forbidden(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in {what} spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        )));
    }
    let Some(group) = attributes.object.as_deref_mut() else { return Ok(()) };
    group.set(&["spec", "priority"], priority);
    if let Some(class) = &class {
        group.set(&["spec", "priorityClassName"], class.name());
    }
    if !policy.is_empty() {
        group.set(&["spec", "preemptionPolicy"], policy);
    }
    Ok(())
}

fn pod(ctx: &Context, attributes: &mut Attributes<'_>) -> Result<()> {
    let Some(pod) = attributes.object.as_deref_mut() else { return Ok(()) };
    if let Some(old) = attributes.old {
        // Whoever updates a pod need not repeat what was worked out when it was created.
        for field in ["priority", "preemptionPolicy"] {
            let path = ["spec", field];
            if let (None | Some(Value::Null), Some(before)) = (pod.get(&path), old.get(&path)) {
                pod.set(&path, before.clone());
            }
        }
        return Ok(());
    }
    let name = pod.text_at(&["spec", "priorityClassName"]).to_owned();
    let class = class_of(&ctx.store.snapshot(), &name);
    let class = class.map_err(|why| attributes.forbidden(why))?;
    let Some(pod) = attributes.object.as_deref_mut() else { return Ok(()) };
    let priority = class.as_ref().and_then(|class| class.int_at(&["value"])).unwrap_or(0);
    let policy = match &class {
        Some(class) => class.text_at(&["preemptionPolicy"]),
        None => "PreemptLowerPriority",
    };
    if let Some(class) = &class {
        pod.set(&["spec", "priorityClassName"], class.name());
    }
    let given = pod.int_at(&["spec", "priority"]);
    let given_policy = pod.get(&["spec", "preemptionPolicy"]).and_then(Value::as_str).map(str::to_owned);
    pod.set(&["spec", "priority"], priority);
    if let Some(given) = given.filter(|given| *given != priority) {
        return Err(attributes.forbidden(format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {priority} from the given PriorityClass name"
        )));
    }
    if policy.is_empty() {
        return Ok(());
    }
    pod.set(&["spec", "preemptionPolicy"], policy);
    if let Some(given_policy) = given_policy.filter(|given| given != policy) {
        return Err(attributes.forbidden(format!(
            "the string value of PreemptionPolicy ({given_policy}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        )));
    }
    Ok(())
}

/// What of a class tells whether it is the default one; read without a tree, because every new pod asks.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rank {
    #[serde(default)]
    global_default: bool,
    #[serde(default)]
    value: i64,
}

/// Only a class in whose text this stands can be the default one, so that most need not be read.
const DEFAULT: &str = "\"globalDefault\":true";

/// The default class; of several the one with the lowest value.
fn default_class(snapshot: &Snapshot) -> Option<Object> {
    let says = |stored: &&Arc<Stored>| str::from_utf8(&stored.body.json).is_ok_and(|text| text.contains(DEFAULT));
    let ranked = snapshot
        .list(CLASSES, None, None)
        .filter(says)
        .filter_map(|stored| Some((serde_json::from_slice::<Rank>(&stored.body.json).ok()?, stored)));
    let defaults = ranked.filter(|(rank, _)| rank.global_default);
    let (_, stored) = defaults.min_by_key(|(rank, _)| rank.value)?;
    Object::from_json(&stored.body.json).ok()
}

fn only_one_default(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let Some(class) = attributes.object.as_deref() else { return Ok(()) };
    if class.get(&["globalDefault"]) != Some(&Value::Bool(true)) {
        return Ok(());
    }
    match default_class(&ctx.store.snapshot()) {
        Some(present) if attributes.operation == Operation::Create || present.name() != class.name() => {
            let name = present.name();
            let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
            Err(attributes.forbidden(why))
        }
        Some(_) | None => Ok(()),
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
        let class = json!({ "metadata": { "name": "high" }, "value": 1000, "preemptionPolicy": "Never" });
        put(&trial.context.store, CLASSES, class).await;
        trial
    }

    #[tokio::test]
    async fn a_class_gives_its_value_and_policy() {
        let pod = json!({ "metadata": { "name": "p" }, "spec": { "priorityClassName": "high" } });
        let pod = trial().await.admit(&Priority, "pods", pod).await.unwrap();
        assert_eq!(pod.int_at(&["spec", "priority"]), Some(1000));
        assert_eq!(pod.text_at(&["spec", "preemptionPolicy"]), "Never");
    }

    #[tokio::test]
    async fn without_a_class_the_default_one_counts_or_zero() {
        let trial = trial().await;
        let pod = || json!({ "metadata": { "name": "p" }, "spec": {} });
        let plain = trial.admit(&Priority, "pods", pod()).await.unwrap();
        assert_eq!(plain.get(&["spec"]), Some(&json!({ "priority": 0, "preemptionPolicy": "PreemptLowerPriority" })));
        put(
            &trial.context.store,
            CLASSES,
            json!({ "metadata": { "name": "normal" }, "value": 7, "globalDefault": true }),
        )
        .await;
        let defaulted = trial.admit(&Priority, "pods", pod()).await.unwrap();
        assert_eq!(defaulted.get(&["spec"]), Some(&json!({ "priority": 7, "priorityClassName": "normal" })));
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_in_upstreams_words() {
        let trial = trial().await;
        let check = async |spec: Value, message: &str| {
            let pod = json!({ "metadata": { "name": "p" }, "spec": spec });
            assert_eq!(trial.admit(&Priority, "pods", pod).await.unwrap_err().message(), message);
        };
        let unknown = "pods \"p\" is forbidden: no PriorityClass with name low was found";
        check(json!({ "priorityClassName": "low" }), unknown).await;
        let number = "pods \"p\" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority \
                      admission controller computed 1000 from the given PriorityClass name";
        check(json!({ "priorityClassName": "high", "priority": 5 }), number).await;
    }
}
