//! Preemption: which pods of lower priority must go so that a pod fits. Pure; victims are deleted by `run`.

use std::cmp::Reverse;
use std::sync::Arc;

use super::cycle::{self, Unfit};
use super::plugins::Prepared;
use super::pod::Pod;
use super::snapshot::Snapshot;

/// A node on which a pod fits once its victims are gone.
#[derive(Debug)]
pub(super) struct Candidate {
    pub node: usize,
    pub victims: Vec<Arc<Pod>>,
}

/// The node that costs least: the lowest highest priority, then the lowest sum of priorities, then the fewest victims.
/// Otherwise what kube-scheduler adds to its message.
pub(super) fn preempt(pod: &Pod, snapshot: &Snapshot, unfit: &[(usize, Unfit)]) -> Result<Candidate, String> {
    if !pod.preempts {
        return Err("not eligible due to preemptionPolicy=Never.".to_owned());
    }
    let prepared = Prepared::new(pod, snapshot);
    let mut candidates = Vec::new();
    let mut helpless = Vec::new();
    for (node, why) in unfit {
        let found = if why.resolvable { victims(pod, &prepared, snapshot, *node) } else { Err(NOT_HELPFUL) };
        match found {
            Ok(victims) => candidates.push(Candidate { node: *node, victims }),
            Err(reason) => helpless.push((*node, Unfit::anyway(reason))),
        }
    }
    let cost = |candidate: &Candidate| {
        let priorities = candidate.victims.iter().map(|victim| victim.priority);
        let sum: i64 = priorities.clone().map(i64::from).sum();
        (priorities.max(), sum, candidate.victims.len())
    };
    candidates.into_iter().min_by_key(cost).ok_or_else(|| cycle::message(snapshot.count(), &helpless))
}

const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

/// The fewest pods of lower priority on a node that must go.
fn victims(pod: &Pod, prepared: &Prepared, snapshot: &Snapshot, index: usize) -> Result<Vec<Arc<Pod>>, &'static str> {
    let mut info = snapshot.at(index).clone();
    let Some(node) = info.node.clone() else { return Err(NOT_HELPFUL) };
    let mut lower: Vec<_> = info.pods().filter(|other| other.priority < pod.priority).cloned().collect();
    if lower.is_empty() {
        return Err(NO_VICTIMS);
    }
    for other in &lower {
        info.remove(&other.metadata.uid);
    }
    if let Err(why) = cycle::fits(pod, prepared, &info, &node) {
        return Err(if why.resolvable { NO_VICTIMS } else { NOT_HELPFUL });
    }
    // The most important ones are spared first, as long as the pod still fits.
    lower.sort_by_key(|other| (Reverse(other.priority), other.metadata.created_second()));
    let mut victims = Vec::new();
    for other in lower {
        info.add(&other);
        if cycle::fits(pod, prepared, &info, &node).is_err() {
            info.remove(&other.metadata.uid);
            victims.push(other);
        }
    }
    Ok(victims)
}
