//! `NodeAffinity`: node selector and node affinity, required and preferred.

use k8s_openapi::api::core::v1::{NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm};

use super::{Normalize, Plugin, Score};
use crate::scheduler::cycle::Unfit;
use crate::scheduler::node::Node;
use crate::scheduler::pod::Pod;

pub(super) const NODE_AFFINITY: Plugin = Plugin {
    name: "NodeAffinity",
    filter: Some(|pod, _, _, node| {
        if accepts(pod, node) {
            Ok(())
        } else {
            Err(Unfit::anyway("node(s) didn't match Pod's node affinity/selector"))
        }
    }),
    score: Some(Score {
        score: |pod, _, _, node| {
            let preferred = affinity(pod).and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
            let chosen = preferred.into_iter().flatten().filter(|term| matches_term(&term.preference, node));
            chosen.map(|term| i64::from(term.weight)).sum()
        },
        normalize: Normalize::ByHighest,
        weight: 2,
    }),
};

/// Whether selector and required affinity of a pod accept a node.
pub(super) fn accepts(pod: &Pod, node: &Node) -> bool {
    let labels = &node.metadata.labels;
    let selected = pod.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value.as_str()));
    let required = affinity(pod).and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| matches_term(term, node)))
}

fn affinity(pod: &Pod) -> Option<&NodeAffinity> {
    pod.affinity.as_ref()?.node_affinity.as_ref()
}

/// An empty term matches nothing.
fn matches_term(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = |key: &str| (key == "metadata.name").then_some(node.metadata.name.as_str());
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|requirement| matches(requirement, node.metadata.labels.get(&requirement.key)))
        && fields.iter().all(|requirement| matches(requirement, name(&requirement.key)))
}

fn matches(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let listed = |value: &str| requirement.values.iter().flatten().any(|wanted| wanted == value);
    let compared = |than: fn(i64, i64) -> bool| {
        let wanted = requirement.values.iter().flatten().next().and_then(|text| text.parse().ok());
        let present = value.and_then(|text| text.parse().ok());
        present.zip(wanted).is_some_and(|(present, wanted)| than(present, wanted))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(|present, wanted| present > wanted),
        "Lt" => compared(|present, wanted| present < wanted),
        _ => false,
    }
}
