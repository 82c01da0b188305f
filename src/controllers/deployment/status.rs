//! Status and conditions of a Deployment.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus};

use super::Deployment;
use super::plan::{Draft, has_progress_deadline};
use super::scale::{Sizes, unavailable_max};
use crate::client::Time;
use crate::controllers::condition;
use crate::controllers::replica_set::ReplicaSet;

const PROGRESSING: &str = "Progressing";

/// Sets the Progressing condition to `(status, reason, message)`.
pub(super) fn progress(status: &mut DeploymentStatus, text: (&str, &str, &str), now: Timestamp) {
    condition::set(&mut status.conditions, new_condition(PROGRESSING, text, now));
}

fn new_condition(kind: &str, (status, reason, message): (&str, &str, &str), now: Timestamp) -> DeploymentCondition {
    DeploymentCondition {
        type_: Some(kind.to_owned()),
        status: Some(status.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: Some(Time::from(now)),
        last_transition_time: Some(Time::from(now)),
    }
}

/// Tells in the Progressing condition that a rollout is paused or goes on.
pub(super) fn note_pause(draft: &mut Draft<'_>) {
    if !has_progress_deadline(draft.deployment) {
        return;
    }
    let reason = condition::find(&draft.status.conditions, PROGRESSING).and_then(|c| c.reason.as_deref());
    let text = match (draft.deployment.spec.paused, reason) {
        (_, Some("ProgressDeadlineExceeded")) | (true, Some("DeploymentPaused")) => return,
        (true, _) => ("Unknown", "DeploymentPaused", "Deployment is paused"),
        (false, Some("DeploymentPaused")) => ("Unknown", "DeploymentResumed", "Deployment is resumed"),
        (false, _) => return,
    };
    progress(&mut draft.status, text, draft.now);
}

/// Counts the pods of all sets, and sets the Available condition.
pub(super) fn count(draft: &mut Draft<'_>) {
    let deployment = draft.deployment;
    let omitted_when_zero = |number: i32| (number != 0).then_some(number);
    let sum = |of: fn(&ReplicaSet) -> i32| omitted_when_zero(draft.all().map(|set| of(set)).sum());
    let Sizes { available, .. } = draft.sizes();
    let mut status = DeploymentStatus {
        observed_generation: Some(deployment.metadata.generation),
        replicas: sum(|set| set.status.replicas),
        updated_replicas: omitted_when_zero(draft.new.as_ref().map_or(0, |set| set.status.replicas)),
        ready_replicas: sum(|set| set.status.ready_replicas.unwrap_or(0)),
        available_replicas: omitted_when_zero(available),
        unavailable_replicas: omitted_when_zero((draft.sizes().total() - available).max(0)),
        terminating_replicas: terminating(draft),
        collision_count: draft.status.collision_count,
        conditions: draft.status.conditions.take(),
    };
    let enough = available >= deployment.spec.replicas - unavailable_max(deployment);
    let text = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    condition::set(&mut status.conditions, new_condition("Available", text, draft.now));
    draft.status = status;
}

/// The terminating pods of all sets; unknown when a set that was looked at does not say.
fn terminating(draft: &Draft<'_>) -> Option<i32> {
    let counted = draft
        .all()
        .filter(|set| set.status.observed_generation.unwrap_or(0) != 0 || set.status.terminating_replicas.is_some());
    counted.map(|set| set.status.terminating_replicas).sum()
}

/// Counts, and estimates the progress of the rollout.
pub(super) fn sync(draft: &mut Draft<'_>) {
    count(draft);
    if has_progress_deadline(draft.deployment) {
        estimate_progress(draft);
    } else {
        condition::remove(&mut draft.status.conditions, PROGRESSING);
    }
    let failure = draft.new.iter().chain(&draft.old).find_map(|set| {
        condition::find(&set.status.conditions, "ReplicaFailure").map(|failure| DeploymentCondition {
            type_: failure.type_.clone(),
            status: failure.status.clone(),
            reason: failure.reason.clone(),
            message: failure.message.clone(),
            last_update_time: failure.last_transition_time.clone(),
            last_transition_time: failure.last_transition_time.clone(),
        })
    });
    match failure {
        Some(failure) => condition::set(&mut draft.status.conditions, failure),
        None => condition::remove(&mut draft.status.conditions, "ReplicaFailure"),
    }
}

fn estimate_progress(draft: &mut Draft<'_>) {
    let (deployment, now) = (draft.deployment, draft.now);
    let present = condition::find(&draft.status.conditions, PROGRESSING).cloned();
    let reason = present.as_ref().and_then(|c| c.reason.as_deref());
    let status = &mut draft.status;
    if status.replicas == status.updated_replicas && reason == Some("NewReplicaSetAvailable") {
        return;
    }
    let subject = match &draft.new {
        Some(new) => format!("ReplicaSet \"{}\"", new.metadata.name),
        None => format!("Deployment \"{}\"", deployment.metadata.name),
    };
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        progress(status, ("True", "NewReplicaSetAvailable", &message), now);
    } else if has_progressed(&deployment.status, status) {
        // The time of the last update moves with every step, though nothing else may change.
        let message = format!("{subject} is progressing.");
        let mut condition = new_condition(PROGRESSING, ("True", "ReplicaSetUpdated", &message), now);
        if let Some(present) = present.filter(|present| present.status.as_deref() == Some("True")) {
            condition.last_transition_time = present.last_transition_time;
        }
        condition::remove(&mut status.conditions, PROGRESSING);
        condition::set(&mut status.conditions, condition);
    } else if has_timed_out(deployment, present.as_ref(), now) {
        let message = format!("{subject} has timed out progressing.");
        progress(status, ("False", "ProgressDeadlineExceeded", &message), now);
    }
}

/// Whether all pods are of the new template and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let all = |number: Option<i32>| number.unwrap_or(0) == deployment.spec.replicas;
    all(status.updated_replicas)
        && all(status.replicas)
        && all(status.available_replicas)
        && status.observed_generation.unwrap_or(0) >= deployment.metadata.generation
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let of = |number: Option<i32>| number.unwrap_or(0);
    let outdated = |status: &DeploymentStatus| of(status.replicas) - of(status.updated_replicas);
    of(new.updated_replicas) > of(old.updated_replicas)
        || outdated(new) < outdated(old)
        || of(new.ready_replicas) > of(old.ready_replicas)
        || of(new.available_replicas) > of(old.available_replicas)
}

fn has_timed_out(deployment: &Deployment, present: Option<&DeploymentCondition>, now: Timestamp) -> bool {
    let Some(present) = present else { return false };
    match present.reason.as_deref() {
        Some("NewReplicaSetAvailable") => false,
        Some("ProgressDeadlineExceeded") => true,
        _ => left(deployment, present, now) < 0,
    }
}

fn left(deployment: &Deployment, present: &DeploymentCondition, now: Timestamp) -> i64 {
    let updated = present.last_update_time.as_ref().map_or(0, |time| time.0.as_second());
    updated + i64::from(deployment.spec.progress_deadline_seconds.unwrap_or(i32::MAX)) - now.as_second()
}

/// How long until a rollout that does not move is out of time; `None` when there is nothing to wait for.
pub(super) fn deadline(deployment: &Deployment, now: Timestamp) -> Option<Duration> {
    let present = condition::find(&deployment.status.conditions, PROGRESSING)?;
    let waits = has_progress_deadline(deployment)
        && !is_complete(deployment, &deployment.status)
        && !deployment.spec.paused
        && present.reason.as_deref() != Some("ProgressDeadlineExceeded");
    waits.then(|| Duration::from_secs(u64::try_from(left(deployment, present, now)).unwrap_or(0)))
}
