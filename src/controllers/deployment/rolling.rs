//! The two strategies: RollingUpdate moves pods from old sets to the new one within the limits, Recreate ends the old
//! pods first.

use std::sync::Arc;

use super::Deployment;
use super::plan::Draft;
use super::revision;
use super::scale::{Sizes, resize, surge_max, unavailable_max};
use crate::controllers::replica_set::ReplicaSet;

/// The size that the new set may have now, when all sets together ask for `total` pods and it for `present`.
pub(super) fn new_size(deployment: &Deployment, total: i32, present: i32) -> i32 {
    let replicas = deployment.spec.replicas;
    if deployment.spec.strategy.type_.as_deref() == Some("Recreate") {
        return replicas;
    }
    let room = replicas + surge_max(deployment) - total;
    if room <= 0 { present } else { present + room.min(replicas - present) }
}

/// Plans the next step of a rolling update.
pub(super) fn roll(draft: &mut Draft<'_>) {
    draft.sync_new_set();
    let Some(new) = draft.new.clone() else { return revision::create(draft) };
    if draft.has_set_changes() {
        return;
    }
    let (replicas, total) = (draft.deployment.spec.replicas, draft.sizes().total());
    let size =
        if new.spec.replicas > replicas { replicas } else { new_size(draft.deployment, total, new.spec.replicas) };
    if resize(draft, &new, size) || shrink_old(draft, &new) {
        return;
    }
    if is_complete(draft) {
        draft.clean_up();
    }
}

/// Plans the next step of a recreation.
pub(super) fn recreate(draft: &mut Draft<'_>, old_pods_run: &dyn Fn(Option<&str>) -> bool) {
    draft.sync_new_set();
    if draft.has_set_changes() {
        return;
    }
    let mut scaled = false;
    for set in draft.old.clone() {
        scaled |= resize(draft, &set, 0);
    }
    let new = draft.new.clone();
    let old_replicas: i32 = draft.old.iter().map(|set| set.status.replicas).sum();
    if scaled || old_replicas > 0 || old_pods_run(new.as_ref().map(|new| new.metadata.uid.as_str())) {
        return;
    }
    let Some(new) = new else { return revision::create(draft) };
    let replicas = draft.deployment.spec.replicas;
    if !resize(draft, &new, replicas) && is_complete(draft) {
        draft.clean_up();
    }
}

/// Whether the last written status says that all is rolled out.
fn is_complete(draft: &Draft<'_>) -> bool {
    super::status::is_complete(draft.deployment, &draft.deployment.status)
}

/// Shrinks old sets, first by their unavailable pods, then as far as enough pods stay available. Pods of the new set
/// that are not available count against it, so that a bad template does not take the good pods down.
fn shrink_old(draft: &mut Draft<'_>, new: &ReplicaSet) -> bool {
    let old: Vec<_> = draft.old.iter().filter(|set| set.spec.replicas > 0).cloned().collect();
    if old.is_empty() {
        return false;
    }
    let available_min = draft.deployment.spec.replicas - unavailable_max(draft.deployment);
    let new_unavailable = new.spec.replicas - new.status.available_replicas.unwrap_or(0);
    let surplus = draft.sizes().total() - available_min - new_unavailable;
    if surplus <= 0 {
        return false;
    }
    let sizes = shrunk(&old, surplus, Sizes::of(draft.all()).available - available_min);
    let mut scaled = false;
    for (set, size) in old.iter().zip(sizes) {
        scaled |= resize(draft, set, size);
    }
    scaled
}

/// New sizes of old sets, oldest first: at most `unhealthy_max` unavailable pods go, and `available_max` available ones.
fn shrunk(old: &[Arc<ReplicaSet>], unhealthy_max: i32, available_max: i32) -> Vec<i32> {
    let mut left = unhealthy_max;
    let mut sizes: Vec<i32> = old
        .iter()
        .map(|set| {
            let unhealthy = set.spec.replicas - set.status.available_replicas.unwrap_or(0);
            let gone = unhealthy.clamp(0, left.max(0));
            left -= gone;
            set.spec.replicas - gone
        })
        .collect();
    let mut left = available_max.max(0);
    for size in &mut sizes {
        let gone = left.min(*size);
        left -= gone;
        *size -= gone;
    }
    sizes
}
