//! `PodTopologySpread`: pods of a kind are spread over zones, nodes or whatever the constraints name.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{Normalize, Plugin, Score, node_affinity};
use crate::client::selects;
use crate::client::tolerates;
use crate::scheduler::cycle::Unfit;
use crate::scheduler::node::Node;
use crate::scheduler::pod::Pod;
use crate::scheduler::snapshot::{NodeInfo, Snapshot};

pub(super) const POD_TOPOLOGY_SPREAD: Plugin = Plugin {
    name: "PodTopologySpread",
    filter: Some(|_, prepared, _, node| prepared.spread.filter(node)),
    score: Some(Score {
        score: |_, prepared, _, node| prepared.spread.crowd(node),
        normalize: Normalize::FewerIsBetter,
        weight: 2,
    }),
};

/// The constraints of a pod, each with the numbers of matching pods by topology.
#[derive(Default)]
pub(super) struct Counts {
    hard: Vec<Constraint>,
    soft: Vec<Constraint>,
}

struct Constraint {
    key: String,
    max_skew: i64,
    min_domains: usize,
    counts: HashMap<String, i64>,
    /// Whether the pod itself is counted where it goes.
    counts_itself: bool,
}

impl Counts {
    pub(super) fn new(pod: &Pod, snapshot: &Snapshot) -> Self {
        let mut counts = Self::default();
        for constraint in &pod.spread {
            let hard = constraint.when_unsatisfiable != "ScheduleAnyway";
            let counted = Constraint::new(constraint, pod, snapshot);
            if hard { counts.hard.push(counted) } else { counts.soft.push(counted) }
        }
        counts
    }

    fn filter(&self, node: &Node) -> Result<(), Unfit> {
        for constraint in &self.hard {
            let Some(domain) = node.metadata.labels.get(&constraint.key) else {
                return Err(Unfit::anyway(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                ));
            };
            let here = constraint.counts.get(domain).copied().unwrap_or(0) + i64::from(constraint.counts_itself);
            let enough = constraint.counts.len() >= constraint.min_domains;
            let least = if enough { constraint.counts.values().copied().min().unwrap_or(0) } else { 0 };
            if here - least > constraint.max_skew {
                return Err(Unfit::now("node(s) didn't match pod topology spread constraints"));
            }
        }
        Ok(())
    }

    /// How many matching pods are where a node is; fewer is better.
    fn crowd(&self, node: &Node) -> i64 {
        let of = |constraint: &Constraint| {
            let domain = node.metadata.labels.get(&constraint.key)?;
            Some(constraint.counts.get(domain).copied().unwrap_or(0) + constraint.max_skew - 1)
        };
        self.soft.iter().filter_map(of).sum()
    }
}

impl Constraint {
    fn new(constraint: &TopologySpreadConstraint, pod: &Pod, snapshot: &Snapshot) -> Self {
        let key = constraint.topology_key.clone();
        let selector = selector(constraint, pod);
        let mut counts = HashMap::new();
        for (_, info, node) in snapshot.present() {
            let Some(domain) = node.metadata.labels.get(&key) else { continue };
            if is_counted(constraint, pod, node) {
                *counts.entry(domain.to_owned()).or_default() += matching(info, pod, &selector);
            }
        }
        Self {
            max_skew: i64::from(constraint.max_skew),
            min_domains: constraint.min_domains.and_then(|domains| usize::try_from(domains).ok()).unwrap_or(1),
            counts_itself: selects(&selector, &pod.metadata.labels),
            counts,
            key,
        }
    }
}

/// The selector with the pod's own values of `matchLabelKeys`. None at all selects nothing.
fn selector(constraint: &TopologySpreadConstraint, pod: &Pod) -> LabelSelector {
    let mut selector = constraint.label_selector.clone().unwrap_or_else(|| LabelSelector {
        match_expressions: Some(vec![
            k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement::default(),
        ]),
        match_labels: None,
    });
    for key in constraint.match_label_keys.iter().flatten() {
        if let Some(value) = pod.metadata.labels.get(key) {
            selector.match_labels.get_or_insert_default().insert(key.clone(), value.to_owned());
        }
    }
    selector
}

fn is_counted(constraint: &TopologySpreadConstraint, pod: &Pod, node: &Node) -> bool {
    let affinity = constraint.node_affinity_policy.as_deref() == Some("Ignore") || node_affinity::accepts(pod, node);
    let taints = constraint.node_taints_policy.as_deref() != Some("Honor")
        || node.taints.iter().all(|taint| taint.effect == "PreferNoSchedule" || tolerates(&pod.tolerations, taint));
    affinity && taints
}

fn matching(info: &NodeInfo, pod: &Pod, selector: &LabelSelector) -> i64 {
    let same = |other: &&std::sync::Arc<Pod>| {
        other.metadata.namespace == pod.metadata.namespace
            && !other.metadata.deleting()
            && selects(selector, &other.metadata.labels)
    };
    i64::try_from(info.pods().filter(same).count()).unwrap_or(i64::MAX)
}
