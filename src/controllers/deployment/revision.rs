//! Revisions: numbering ReplicaSets, carrying annotations between them and the Deployment, making the new set, rolling
//! back.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::plan::{Change, Draft, has_progress_deadline};
use super::scale::{DESIRED, MAX, replicas_annotations};
use super::{rolling, status};
use crate::client::{EventText, Resource};
use crate::controllers::replica_set::ReplicaSet;
use crate::controllers::template::{HASH_LABEL, equal_ignoring_hash, hash, with_hash, without_hash};

/// The number of a revision, on ReplicaSets and on the Deployment.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// Earlier numbers of a set that was rolled back to.
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The wish to roll back, as the removed `extensions/v1beta1` field is carried.
pub(super) const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";
/// Characters of the history of numbers.
const HISTORY_CHARACTERS_MAX: usize = 2000;
const NAME_BYTES_MAX: usize = 253;

/// The revision of a set; 0 when it has none.
pub(super) fn number(set: &ReplicaSet) -> i64 {
    set.metadata.annotation(REVISION).unwrap_or(0)
}

/// Plans the new set, sized by what the rollout allows now.
pub(super) fn create(draft: &mut Draft<'_>) {
    let deployment = draft.deployment;
    let (meta, spec) = (&deployment.metadata, &deployment.spec);
    let template = without_hash(&spec.template);
    let hash = hash(&template, draft.status.collision_count);
    let room = NAME_BYTES_MAX - hash.len() - 1;
    let name = format!("{}-{hash}", &meta.name[..meta.name.len().min(room)]);
    let template = with_hash(&spec.template, &hash);
    let mut selector = json!(spec.selector);
    selector["matchLabels"][HASH_LABEL] = json!(hash);
    let replicas = rolling::new_size(deployment, draft.sizes().total(), 0);
    let next = next_number(draft).to_string();
    let mut annotations = carried(&meta.annotations);
    annotations.insert(REVISION.to_owned(), next.clone());
    annotations.extend(replicas_annotations(deployment));
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name, "namespace": meta.namespace, "labels": template["metadata"]["labels"],
            "annotations": annotations, "ownerReferences": [meta.as_controller(Resource::DEPLOYMENTS)],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    });
    if spec.min_ready_seconds != 0 {
        set["spec"]["minReadySeconds"] = json!(spec.min_ready_seconds);
    }
    let event = (replicas > 0)
        .then(|| EventText::normal("ScalingReplicaSet", format!("Scaled up replica set {name} from 0 to {replicas}")));
    draft.changes.push(Change::Create { set: Box::new(set), event });
    draft.annotations.insert(REVISION.to_owned(), next);
    if has_progress_deadline(deployment) {
        let message = format!("Created new replica set \"{name}\"");
        status::progress(&mut draft.status, ("True", "NewReplicaSetCreated", &message), draft.now);
    }
}

/// A patch that gives the new set the highest number and the Deployment's annotations; `None` when it has them.
pub(super) fn annotate(draft: &Draft<'_>, new: &ReplicaSet) -> Option<Value> {
    let deployment = draft.deployment;
    let present = &new.metadata.annotations;
    let mut wished = carried(&deployment.metadata.annotations);
    let (next, number) = (next_number(draft), number(new));
    if number < next {
        wished.insert(REVISION.to_owned(), next.to_string());
        if let Some(old) = present.get(REVISION) {
            let history = with_number(present.get(HISTORY).map_or("", String::as_str), old);
            wished.insert(HISTORY.to_owned(), history);
        }
    }
    wished.retain(|key, value| present.get(key) != Some(value));
    let mut patch = json!({});
    if !wished.is_empty() {
        patch["metadata"]["annotations"] = json!(wished);
    }
    if new.spec.min_ready_seconds != deployment.spec.min_ready_seconds {
        patch["spec"]["minReadySeconds"] = json!(deployment.spec.min_ready_seconds);
    }
    let differs = patch.as_object().is_some_and(|patch| !patch.is_empty());
    differs.then(|| {
        patch["metadata"]["resourceVersion"] = json!(new.metadata.resource_version);
        patch
    })
}

/// Plans the return to an earlier revision; 0 is the one before the last.
pub(super) fn roll_back(draft: &mut Draft<'_>, to: i64) {
    let to = if to == 0 { before_last(draft) } else { Some(to) };
    let mut annotations = draft.annotations.clone();
    annotations.remove(ROLLBACK_TO);
    let deployment = draft.deployment;
    let found = to.and_then(|to| draft.all().find(|set| number(set) == to).cloned());
    let warn = |reason, message: String| Change::Event(EventText::warning(reason, message));
    let Some(set) = found else {
        let message = if to.is_none() { "Unable to find last revision." } else { NO_SUCH_REVISION };
        draft.changes.push(warn("DeploymentRollbackRevisionNotFound", message.to_owned()));
        draft.changes.push(Change::RollBack { template: None, annotations });
        return;
    };
    let name = &deployment.metadata.name;
    if equal_ignoring_hash(&deployment.spec.template, &set.spec.template) {
        let message = format!("The rollback revision contains the same template as current deployment \"{name}\"");
        draft.changes.push(warn("DeploymentRollbackTemplateUnchanged", message));
        draft.changes.push(Change::RollBack { template: None, annotations });
        return;
    }
    annotations.retain(|key, _| !is_carried(key));
    annotations.extend(carried(&set.metadata.annotations));
    let template = Some(without_hash(&set.spec.template));
    draft.changes.push(Change::RollBack { template, annotations });
    let message = format!("Rolled back deployment \"{name}\" to revision {}", number(&set));
    draft.changes.push(Change::Event(EventText::normal("DeploymentRollback", message)));
}

const NO_SUCH_REVISION: &str = "Unable to find the revision to rollback to.";

fn before_last(draft: &Draft<'_>) -> Option<i64> {
    let mut numbers: Vec<_> = draft.all().map(|set: &Arc<ReplicaSet>| number(set)).collect();
    numbers.sort_unstable();
    numbers.iter().rev().nth(1).copied().filter(|number| *number != 0)
}

fn next_number(draft: &Draft<'_>) -> i64 {
    draft.old.iter().map(|set| number(set)).max().unwrap_or(0) + 1
}

/// The annotations that pass between a Deployment and its sets.
fn carried(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    annotations.iter().filter(|(key, _)| is_carried(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn is_carried(key: &str) -> bool {
    let kept = [LAST_APPLIED, REVISION, HISTORY, DESIRED, MAX, ROLLBACK_TO];
    !kept.contains(&key)
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A history with one more number; the first ones go when it becomes too long.
fn with_number(history: &str, number: &str) -> String {
    let mut numbers: Vec<_> = history.split(',').filter(|number| !number.is_empty()).collect();
    numbers.push(number);
    while numbers.len() > 1 && numbers.join(",").len() > HISTORY_CHARACTERS_MAX {
        numbers.remove(0);
    }
    numbers.join(",")
}
