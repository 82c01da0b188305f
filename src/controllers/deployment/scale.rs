//! Sizes of ReplicaSets: scaling one, all in proportion, and what the strategy allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::Deployment;
use super::plan::{Change, Draft, older};
use crate::client::EventText;
use crate::controllers::int_or_percent::{Round, scaled};
use crate::controllers::replica_set::ReplicaSet;

/// On a set: the size of the Deployment when the set was last sized.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// On a set: that size with the surge.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// Sums over sets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    wished: i32,
    pub available: i32,
}

impl Sizes {
    pub(super) fn of<'a>(sets: impl Iterator<Item = &'a Arc<ReplicaSet>>) -> Self {
        sets.fold(Self::default(), |sizes, set| Self {
            wished: sizes.wished + set.spec.replicas,
            available: sizes.available + set.status.available_replicas.unwrap_or(0),
        })
    }

    /// The pods that the sets ask for.
    pub(super) fn total(self) -> i32 {
        self.wished
    }
}

/// How many pods may be there beyond the wished ones.
pub(super) fn surge_max(deployment: &Deployment) -> i32 {
    fenceposts(deployment).0
}

/// How many of the wished pods may be unavailable.
pub(super) fn unavailable_max(deployment: &Deployment) -> i32 {
    let replicas = deployment.spec.replicas;
    if replicas == 0 { 0 } else { fenceposts(deployment).1.min(replicas) }
}

fn fenceposts(deployment: &Deployment) -> (i32, i32) {
    let strategy = &deployment.spec.strategy;
    if strategy.type_.as_deref() == Some("Recreate") {
        return (0, 0);
    }
    let rolling = strategy.rolling_update.as_ref();
    let replicas = deployment.spec.replicas;
    let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref());
    let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
    let surge = surge.map_or(0, |value| scaled(value, replicas, Round::Up));
    let unavailable = unavailable.map_or(0, |value| scaled(value, replicas, Round::Down));
    // Both rounded to zero would stop the rollout for good.
    if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
}

/// The annotations that say for which size of the Deployment a set was sized.
pub(super) fn replicas_annotations(deployment: &Deployment) -> BTreeMap<String, String> {
    let desired = deployment.spec.replicas;
    BTreeMap::from([
        (DESIRED.to_owned(), desired.to_string()),
        (MAX.to_owned(), (desired + surge_max(deployment)).to_string()),
    ])
}

/// Whether the Deployment was scaled since its sets were sized.
pub(super) fn is_scaled(draft: &Draft<'_>) -> bool {
    let active = draft.all().filter(|set| set.spec.replicas > 0);
    active.filter_map(|set| desired(set)).any(|desired| desired != draft.deployment.spec.replicas)
}

fn desired(set: &ReplicaSet) -> Option<i32> {
    set.metadata.annotation(DESIRED).filter(|desired| *desired >= 0)
}

/// Plans another size for a set. Gives whether its size changes.
pub(super) fn resize(draft: &mut Draft<'_>, set: &ReplicaSet, size: i32) -> bool {
    if set.spec.replicas == size {
        return false;
    }
    let direction = if set.spec.replicas < size { "up" } else { "down" };
    let (name, from) = (&set.metadata.name, set.spec.replicas);
    let message = format!("Scaled {direction} replica set {name} from {from} to {size}");
    push(draft, set, size, Some(EventText::normal("ScalingReplicaSet", message)));
    true
}

/// Plans a size for a set, and its annotations even when the size stays.
fn resize_and_annotate(draft: &mut Draft<'_>, set: &ReplicaSet, size: i32) {
    if !resize(draft, set, size) {
        let wished = replicas_annotations(draft.deployment);
        if wished.iter().any(|(key, value)| set.metadata.annotations.get(key) != Some(value)) {
            push(draft, set, size, None);
        }
    }
}

fn push(draft: &mut Draft<'_>, set: &ReplicaSet, size: i32, event: Option<EventText>) {
    let annotations = replicas_annotations(draft.deployment);
    let metadata = json!({"resourceVersion": set.metadata.resource_version, "annotations": annotations});
    let patch = json!({"metadata": metadata, "spec": {"replicas": size}});
    draft.changes.push(Change::Patch { set: set.metadata.name.clone(), patch, event });
}

/// Sizes the sets of a Deployment that was scaled or is paused: the only active one fully, several in proportion.
pub(super) fn scale(draft: &mut Draft<'_>) {
    if draft.has_set_changes() {
        return;
    }
    let replicas = draft.deployment.spec.replicas;
    let active: Vec<_> = draft.all().filter(|set| set.spec.replicas > 0).cloned().collect();
    if active.len() <= 1 {
        let newest = || draft.new.clone().or_else(|| draft.old.last().cloned());
        if let Some(set) = active.first().cloned().or_else(newest) {
            resize(draft, &set, replicas);
        }
        return;
    }
    if draft.new.as_ref().is_some_and(|new| is_saturated(draft.deployment, new)) {
        for set in draft.old.clone() {
            resize(draft, &set, 0);
        }
        return;
    }
    if draft.deployment.spec.strategy.type_.as_deref() != Some("Recreate") {
        for (set, size) in proportions(draft.deployment, active) {
            resize_and_annotate(draft, &set, size);
        }
    }
}

fn is_saturated(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let replicas = deployment.spec.replicas;
    set.spec.replicas == replicas
        && desired(set) == Some(replicas)
        && set.status.available_replicas.unwrap_or(0) == replicas
}

/// New sizes of active sets, the larger ones first.
fn proportions(deployment: &Deployment, mut active: Vec<Arc<ReplicaSet>>) -> Vec<(Arc<ReplicaSet>, i32)> {
    let replicas = deployment.spec.replicas;
    let allowed = if replicas > 0 { replicas + surge_max(deployment) } else { 0 };
    let to_add = allowed - Sizes::of(active.iter()).total();
    // Of sets of one size the newer ones grow first and the older ones shrink first.
    active.sort_by(|a, b| {
        let by_age = if to_add > 0 { older(b, a) } else { older(a, b) };
        b.spec.replicas.cmp(&a.spec.replicas).then(by_age)
    });
    let mut added = 0;
    let mut sizes: Vec<_> = active
        .into_iter()
        .map(|set| {
            let share = share(deployment, &set, to_add - added);
            added += share;
            let size = set.spec.replicas + share;
            (set, size)
        })
        .collect();
    if let Some((_, largest)) = sizes.first_mut() {
        *largest = (*largest + to_add - added).max(0);
    }
    sizes
}

/// How much a set grows or shrinks, at most by what is left.
fn share(deployment: &Deployment, set: &ReplicaSet, left: i32) -> i32 {
    if left == 0 {
        return 0;
    }
    let (size, replicas) = (set.spec.replicas, deployment.spec.replicas);
    let fraction = if replicas == 0 {
        -size
    } else {
        let before = set.metadata.annotation::<i32>(MAX).filter(|max| *max > 0);
        match before.unwrap_or_else(|| deployment.status.replicas.unwrap_or(0)) {
            0 => 0,
            before => {
                let exact = f64::from(size) * f64::from(replicas + surge_max(deployment)) / f64::from(before);
                #[expect(clippy::cast_possible_truncation, reason = "sizes are far below the limits of i32")]
                let rounded = exact.round() as i32;
                rounded - size
            }
        }
    };
    if left > 0 { fraction.min(left) } else { fraction.max(left) }
}
