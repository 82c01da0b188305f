//! One scheduling cycle: which node is best for a pod, or why none is. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::node::Node;
use super::plugins::{Normalize, PLUGINS, Prepared};
use super::pod::Pod;
use super::snapshot::{NodeInfo, Snapshot};

/// Nodes that are always looked at, however many there are.
const FEASIBLE_MIN: usize = 100;
/// The highest score of a plugin.
pub(super) const SCORE_MAX: i64 = 100;

/// Why a node does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub reasons: Vec<Cow<'static, str>>,
    /// Whether other pods leaving the node could help.
    pub resolvable: bool,
}

impl Unfit {
    /// Other pods leaving could help.
    pub(super) fn now(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reasons: vec![reason.into()], resolvable: true }
    }

    /// Nothing but a change of the node or the pod helps.
    pub(super) fn anyway(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reasons: vec![reason.into()], resolvable: false }
    }
}

/// How a cycle ended.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The index of the best node.
    Node(usize),
    /// Why each node does not do, by index.
    None(Vec<(usize, Unfit)>),
}

/// Finds the best node. `start` is where the search begins, and is moved on, so that in a big cluster, of which only a
/// part is looked at, every node gets its turn.
pub(super) fn schedule(
    pod: &Pod,
    snapshot: &Snapshot,
    start: &mut usize,
    pick: impl FnOnce(usize) -> usize,
) -> Verdict {
    let prepared = Prepared::new(pod, snapshot);
    let wanted = feasible_wanted(snapshot.count());
    let mut feasible: Vec<(usize, &NodeInfo, &Arc<Node>)> = Vec::new();
    let mut unfit = Vec::new();
    let mut seen = 0;
    for (index, info, node) in snapshot.present_from(*start) {
        seen += 1;
        match fits(pod, &prepared, info, node) {
            Ok(()) => feasible.push((index, info, node)),
            Err(why) => unfit.push((index, why)),
        }
        if feasible.len() >= wanted {
            break;
        }
    }
    *start = (*start + seen) % snapshot.count().max(1);
    match feasible.as_slice() {
        [] => Verdict::None(unfit),
        [(index, ..)] => Verdict::Node(*index),
        _ => Verdict::Node(best(pod, &prepared, &feasible, pick)),
    }
}

/// Whether a node does, by all filters in order; the first that refuses decides.
pub(super) fn fits(pod: &Pod, prepared: &Prepared, info: &NodeInfo, node: &Node) -> Result<(), Unfit> {
    PLUGINS.iter().filter_map(|plugin| plugin.filter).try_for_each(|filter| filter(pod, prepared, info, node))
}

/// What kube-scheduler says when no node does (`FitError`).
pub(super) fn message(count: usize, unfit: &[(usize, Unfit)]) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in unfit.iter().flat_map(|(_, why)| &why.reasons) {
        *reasons.entry(reason).or_default() += 1;
    }
    let mut told: Vec<_> = reasons.into_iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect();
    told.sort();
    if told.is_empty() {
        return format!("0/{count} nodes are available:");
    }
    format!("0/{count} nodes are available: {}.", told.join(", "))
}

/// How many feasible nodes are enough (`numFeasibleNodesToFind`).
fn feasible_wanted(nodes: usize) -> usize {
    if nodes < FEASIBLE_MIN {
        return nodes;
    }
    let percent = 50_usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(FEASIBLE_MIN)
}

fn best(
    pod: &Pod,
    prepared: &Prepared,
    feasible: &[(usize, &NodeInfo, &Arc<Node>)],
    pick: impl FnOnce(usize) -> usize,
) -> usize {
    let mut totals = vec![0_i64; feasible.len()];
    for plugin in PLUGINS {
        let Some(score) = plugin.score else { continue };
        let mut scores: Vec<_> = feasible.iter().map(|(_, info, node)| score.of(pod, prepared, info, node)).collect();
        normalize(&mut scores, score.normalize);
        for (total, score_of_node) in totals.iter_mut().zip(scores) {
            *total += score_of_node * score.weight;
        }
    }
    let highest = totals.iter().copied().max().unwrap_or(0);
    let tied: Vec<_> = totals.iter().zip(feasible).filter(|(total, _)| **total == highest).collect();
    tied[pick(tied.len())].1.0
}

fn normalize(scores: &mut [i64], how: Normalize) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    let lowest = scores.iter().copied().min().unwrap_or(0);
    for score in scores {
        *score = match how {
            Normalize::Not => *score,
            Normalize::ByHighest if highest == 0 => 0,
            Normalize::ByHighest => *score * SCORE_MAX / highest,
            Normalize::FewerIsBetter if highest == 0 => SCORE_MAX,
            Normalize::FewerIsBetter => SCORE_MAX - *score * SCORE_MAX / highest,
            Normalize::ByRange if highest == lowest => 0,
            Normalize::ByRange => (*score - lowest) * SCORE_MAX / (highest - lowest),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::preemption::preempt;
    use serde_json::{Value, json};

    fn snapshot(nodes: &[Value]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for node in nodes {
            snapshot.put_node(&Arc::new(serde_json::from_value(node.clone()).unwrap()));
        }
        snapshot
    }

    fn node(name: &str, cpu: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}}})
    }

    fn pod(name: &str, cpu: &str, more: &Value) -> Arc<Pod> {
        let mut spec = json!({"containers": [{"resources": {"requests": {"cpu": cpu}}}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let metadata = json!({"name": name, "uid": name, "namespace": "a", "labels": {"app": "web"}});
        Arc::new(serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap())
    }

    /// The name of the chosen node, or kube-scheduler's message.
    fn scheduled(snapshot: &Snapshot, pod: &Pod) -> String {
        match schedule(pod, snapshot, &mut 0, |_| 0) {
            Verdict::Node(index) => snapshot.at(index).node.as_ref().unwrap().metadata.name.clone(),
            Verdict::None(unfit) => message(snapshot.count(), &unfit),
        }
    }

    #[track_caller]
    fn check(nodes: &[Value], more: &Value, expected: &str) {
        assert_eq!(scheduled(&snapshot(nodes), &pod("p", "1", more)), expected);
    }

    #[test]
    fn the_emptier_node_is_chosen() {
        let mut snapshot = snapshot(&[node("a", "4"), node("b", "4")]);
        snapshot.place(&pod("x", "1", &json!({})), "a", false);
        assert_eq!(scheduled(&snapshot, &pod("p", "1", &json!({}))), "b");
    }

    #[test]
    fn reasons_are_counted_as_kube_scheduler_counts_them() {
        let mut cordoned = node("c", "4");
        cordoned["spec"]["unschedulable"] = json!(true);
        let mut tainted = node("d", "4");
        tainted["spec"]["taints"] = json!([{"key": "k", "effect": "NoSchedule"}]);
        check(
            &[node("a", "500m"), node("b", "0"), cordoned, tainted],
            &json!({}),
            "0/4 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable, 2 Insufficient cpu.",
        );
    }

    #[test]
    fn selectors_affinity_and_names_narrow_the_choice() {
        let nodes = [node("a", "4"), node("b", "4")];
        check(&nodes, &json!({"nodeSelector": {"kubernetes.io/hostname": "b"}}), "b");
        let none = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.";
        check(&nodes, &json!({"nodeSelector": {"x": "y"}}), none);
        let term =
            json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["a"]}]});
        let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}});
        check(&nodes, &json!({"affinity": {"nodeAffinity": required}}), "b");
    }

    #[test]
    fn a_taken_port_sends_a_pod_elsewhere() {
        let ports = json!({"containers": [{"ports": [{"hostPort": 80}]}]});
        let mut snapshot = snapshot(&[node("a", "4"), node("b", "4")]);
        snapshot.place(&pod("x", "1", &ports), "b", false);
        assert_eq!(scheduled(&snapshot, &pod("p", "1", &ports)), "a");
    }

    #[test]
    fn constraints_spread_and_anti_affinity_separates() {
        let selector = json!({"matchLabels": {"app": "web"}});
        let spread = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}]});
        let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": selector});
        let apart =
            json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
        for more in [&spread, &apart] {
            let mut snapshot = snapshot(&[node("a", "40"), node("b", "4")]);
            snapshot.place(&pod("x", "0", more), "a", false);
            assert_eq!(scheduled(&snapshot, &pod("p", "1", more)), "b");
        }
        let mut snapshot = snapshot(&[node("a", "4")]);
        snapshot.place(&pod("x", "0", &apart), "a", false);
        let kept_away = "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.";
        assert_eq!(scheduled(&snapshot, &pod("p", "1", &json!({}))), kept_away);
    }

    #[test]
    fn the_cheapest_victims_go_and_no_more_than_needed() {
        let mut snapshot = snapshot(&[node("a", "2"), node("b", "2")]);
        for (name, node, priority) in [("a1", "a", 5), ("a2", "a", 1), ("b1", "b", 7), ("b2", "b", 7)] {
            snapshot.place(&pod(name, "1", &json!({"priority": priority})), node, false);
        }
        let asking = pod("p", "1", &json!({"priority": 10}));
        let Verdict::None(unfit) = schedule(&asking, &snapshot, &mut 0, |_| 0) else { panic!("no node has room") };
        let candidate = preempt(&asking, &snapshot, &unfit).unwrap();
        let victims: Vec<_> = candidate.victims.iter().map(|pod| pod.metadata.name.as_str()).collect();
        assert_eq!(victims, ["a2"]);
        let low = pod("q", "1", &json!({"priority": 0}));
        let none = "0/2 nodes are available: 2 No preemption victims found for incoming pod.";
        assert_eq!(preempt(&low, &snapshot, &unfit).unwrap_err(), none);
    }

    #[test]
    fn in_a_big_cluster_a_part_of_the_nodes_is_looked_at() {
        assert_eq!(
            (feasible_wanted(99), feasible_wanted(100), feasible_wanted(1000), feasible_wanted(5000)),
            (99, 100, 420, 500)
        );
    }
}
