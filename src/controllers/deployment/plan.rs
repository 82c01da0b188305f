//! What is to be done for a Deployment, decided from its present state alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DeploymentStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use super::revision::{self, REVISION};
use super::scale::{self, Sizes};
use super::{Deployment, rolling, status};
use crate::client::{EventText, Outcome};
use crate::controllers::condition;
use crate::controllers::replica_set::ReplicaSet;
use crate::controllers::template::equal_ignoring_hash;

/// One write or event. They are made in order; the first that fails ends the reconcile.
#[derive(Debug)]
pub(super) enum Change {
    Create {
        set: Box<Value>,
        event: Option<EventText>,
    },
    Patch {
        set: String,
        patch: Value,
        event: Option<EventText>,
    },
    Delete {
        set: String,
        uid: String,
    },
    /// The status and, as upstream writes them together, the annotations.
    Status {
        status: Box<DeploymentStatus>,
        annotations: BTreeMap<String, String>,
    },
    /// A template and annotations of an older revision; without a template only the wish is taken off.
    RollBack {
        template: Option<Value>,
        annotations: BTreeMap<String, String>,
    },
    Event(EventText),
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    pub changes: Vec<Change>,
    pub outcome: Outcome,
}

/// A Deployment with its ReplicaSets, and what has been decided so far.
pub(super) struct Draft<'a> {
    pub deployment: &'a Deployment,
    /// The set of the present template.
    pub new: Option<Arc<ReplicaSet>>,
    /// All other sets, oldest first.
    pub old: Vec<Arc<ReplicaSet>>,
    /// The status as it is to be written.
    pub status: DeploymentStatus,
    /// The Deployment's annotations as they are to be written.
    pub annotations: BTreeMap<String, String>,
    pub changes: Vec<Change>,
    pub now: Timestamp,
}

/// Whether a rollout has a deadline.
pub(super) fn has_progress_deadline(deployment: &Deployment) -> bool {
    deployment.spec.progress_deadline_seconds.is_some_and(|seconds| seconds != i32::MAX)
}

/// Works out what is to be done. `old_pods_run` tells whether pods run that do not belong to the set with this uid.
pub(super) fn plan(
    deployment: &Deployment,
    sets: &[Arc<ReplicaSet>],
    old_pods_run: &dyn Fn(Option<&str>) -> bool,
    now: Timestamp,
) -> Plan {
    let mut draft = Draft::new(deployment, sets, now);
    if deployment.spec.selector == LabelSelector::default() {
        draft.refuse_empty_selector();
        return draft.finish();
    }
    if deployment.metadata.deleting() {
        draft.sync_new_set();
        status::count(&mut draft);
        return draft.finish();
    }
    status::note_pause(&mut draft);
    if deployment.spec.paused {
        draft.sync_new_set();
        scale::scale(&mut draft);
        if !deployment.metadata.annotations.contains_key(revision::ROLLBACK_TO) {
            draft.clean_up();
        }
        status::count(&mut draft);
    } else if let Some(to) = deployment.metadata.annotation::<i64>(revision::ROLLBACK_TO) {
        revision::roll_back(&mut draft, to);
        return draft.finish();
    } else if scale::is_scaled(&draft) {
        draft.sync_new_set();
        scale::scale(&mut draft);
        status::count(&mut draft);
    } else if deployment.spec.strategy.type_.as_deref() == Some("Recreate") {
        rolling::recreate(&mut draft, old_pods_run);
        status::sync(&mut draft);
    } else {
        rolling::roll(&mut draft);
        status::sync(&mut draft);
    }
    draft.finish()
}

impl<'a> Draft<'a> {
    fn new(deployment: &'a Deployment, sets: &[Arc<ReplicaSet>], now: Timestamp) -> Self {
        let mut sets = sets.to_vec();
        sets.sort_by(|a, b| older(a, b));
        let new = sets.iter().position(|set| equal_ignoring_hash(&set.spec.template, &deployment.spec.template));
        let new = new.map(|index| sets.remove(index));
        let (status, annotations) = (deployment.status.clone(), deployment.metadata.annotations.clone());
        Self { deployment, new, old: sets, status, annotations, changes: Vec::new(), now }
    }

    /// All sets, old ones first.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<ReplicaSet>> {
        self.old.iter().chain(&self.new)
    }

    /// The present sizes of all sets.
    pub(super) fn sizes(&self) -> Sizes {
        Sizes::of(self.all())
    }

    /// Brings annotations and minReadySeconds of the new set up to date.
    pub(super) fn sync_new_set(&mut self) {
        let Some(new) = self.new.clone() else { return };
        if let Some(patch) = revision::annotate(self, &new) {
            self.changes.push(Change::Patch { set: new.metadata.name.clone(), patch, event: None });
            return;
        }
        if let Some(number) = new.metadata.annotations.get(REVISION) {
            self.annotations.insert(REVISION.to_owned(), number.clone());
        }
        if has_progress_deadline(self.deployment) && condition::find(&self.status.conditions, "Progressing").is_none() {
            let message = format!("Found new replica set \"{}\"", new.metadata.name);
            status::progress(&mut self.status, ("True", "FoundNewReplicaSet", &message), self.now);
        }
    }

    /// Whether a write to a set is planned, so that its later state must be seen before the next step.
    pub(super) fn has_set_changes(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Create { .. } | Change::Patch { .. }))
    }

    /// Deletes old sets beyond the history limit.
    pub(super) fn clean_up(&mut self) {
        let Some(limit) = self.deployment.spec.revision_history_limit.filter(|limit| *limit != i32::MAX) else {
            return;
        };
        let mut old: Vec<_> = self.old.iter().filter(|set| !set.metadata.deleting()).cloned().collect();
        let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        old.sort_by(|a, b| revision::number(a).cmp(&revision::number(b)).then_with(|| older(a, b)));
        for set in old.into_iter().take(surplus) {
            let observed = set.status.observed_generation.unwrap_or(0) >= set.metadata.generation;
            if set.spec.replicas == 0 && set.status.replicas == 0 && observed {
                let meta = &set.metadata;
                self.changes.push(Change::Delete { set: meta.name.clone(), uid: meta.uid.clone() });
            }
        }
    }

    fn refuse_empty_selector(&mut self) {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        self.changes.push(Change::Event(EventText::warning("SelectingAll", message)));
        let generation = self.deployment.metadata.generation;
        if self.status.observed_generation.unwrap_or(0) < generation {
            self.status.observed_generation = Some(generation);
        }
    }

    fn finish(mut self) -> Plan {
        if self.status != self.deployment.status || self.annotations != self.deployment.metadata.annotations {
            let rolls_back = self.changes.iter().any(|change| matches!(change, Change::RollBack { .. }));
            if !rolls_back {
                self.changes.push(Change::Status { status: Box::new(self.status), annotations: self.annotations });
            }
            return Plan { changes: self.changes, outcome: Outcome::Done };
        }
        let outcome = status::deadline(self.deployment, self.now).map_or(Outcome::Done, |left: Duration| {
            // One second more, because times are written in whole seconds.
            Outcome::Again(left + Duration::from_secs(1))
        });
        Plan { changes: self.changes, outcome }
    }
}

/// By time of creation, then by name.
pub(super) fn older(a: &ReplicaSet, b: &ReplicaSet) -> std::cmp::Ordering {
    let (a, b) = (&a.metadata, &b.metadata);
    a.created_second().cmp(&b.created_second()).then_with(|| a.name.cmp(&b.name))
}
