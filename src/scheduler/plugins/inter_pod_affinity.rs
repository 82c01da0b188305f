//! `InterPodAffinity`: a pod goes near some pods and away from others, and they may keep it away.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{PodAffinityTerm, WeightedPodAffinityTerm};

use super::{Normalize, Plugin, Score};
use crate::client::selects;
use crate::scheduler::cycle::Unfit;
use crate::scheduler::node::Node;
use crate::scheduler::pod::Pod;
use crate::scheduler::snapshot::Snapshot;

pub(super) const INTER_POD_AFFINITY: Plugin = Plugin {
    name: "InterPodAffinity",
    filter: Some(|_, prepared, _, node| prepared.affinity.filter(node)),
    score: Some(Score {
        score: |_, prepared, _, node| prepared.affinity.score(node),
        normalize: Normalize::ByRange,
        weight: 2,
    }),
};

/// Pods that matter, counted by topology.
#[derive(Default)]
pub(super) struct Counts {
    /// Of each required term, the places with a pod that matches.
    near: Vec<Places>,
    /// Of each required anti-term, the places with a pod that matches.
    away: Vec<Places>,
    /// Places from which pods that are there keep this one away, by topology key and value.
    kept_away: HashMap<(String, String), i64>,
    /// The pod matches its own terms, so the first of its kind may go anywhere.
    matches_itself: bool,
    preferred: HashMap<(String, String), i64>,
}

struct Places {
    key: String,
    values: HashMap<String, i64>,
}

impl Counts {
    pub(super) fn new(pod: &Pod, snapshot: &Snapshot) -> Self {
        let terms = Terms::of(pod);
        if snapshot.affine == 0 && terms.is_empty() {
            return Self::default();
        }
        let count = |terms: &[PodAffinityTerm]| terms.iter().map(|term| Places::new(term, pod, snapshot)).collect();
        let mut counts = Self { near: count(terms.near), away: count(terms.away), ..Self::default() };
        counts.matches_itself = terms.near.iter().all(|term| matches(term, pod, pod));
        for (_, info, node) in snapshot.present() {
            for other in info.pods() {
                counts.weigh(&terms, (pod, other), node);
            }
        }
        counts
    }

    fn weigh(&mut self, terms: &Terms<'_>, (pod, other): (&Pod, &Pod), node: &Node) {
        let place = |term: &PodAffinityTerm| {
            let key = term.topology_key.clone();
            let value = node.metadata.labels.get(&key)?.to_owned();
            Some((key, value))
        };
        for term in Terms::of(other).away {
            if matches(term, other, pod)
                && let Some(place) = place(term)
            {
                *self.kept_away.entry(place).or_default() += 1;
            }
        }
        for (list, sign) in [(terms.rather_near, 1), (terms.rather_away, -1)] {
            for weighted in list {
                let term = &weighted.pod_affinity_term;
                if matches(term, pod, other)
                    && let Some(place) = place(term)
                {
                    *self.preferred.entry(place).or_default() += sign * i64::from(weighted.weight);
                }
            }
        }
    }

    fn filter(&self, node: &Node) -> Result<(), Unfit> {
        let labels = &node.metadata.labels;
        let here = |places: &Places| labels.get(&places.key).is_some_and(|value| places.values.contains_key(value));
        if !self.near.iter().all(here) {
            let labelled = self.near.iter().all(|places| labels.contains_key(&places.key));
            let none_anywhere = self.near.iter().all(|places| places.values.is_empty());
            if !(labelled && none_anywhere && self.matches_itself) {
                return Err(Unfit::anyway("node(s) didn't match pod affinity rules"));
            }
        }
        if self.away.iter().any(here) {
            return Err(Unfit::now("node(s) didn't match pod anti-affinity rules"));
        }
        if self.kept_away.keys().any(|(key, value)| labels.get(key) == Some(value.as_str())) {
            return Err(Unfit::now("node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }

    fn score(&self, node: &Node) -> i64 {
        let here = |(key, value): &(String, String)| node.metadata.labels.get(key) == Some(value.as_str());
        self.preferred.iter().filter(|(place, _)| here(place)).map(|(_, weight)| weight).sum()
    }
}

impl Places {
    fn new(term: &PodAffinityTerm, pod: &Pod, snapshot: &Snapshot) -> Self {
        let key = term.topology_key.clone();
        let mut values = HashMap::new();
        for (_, info, node) in snapshot.present() {
            let Some(value) = node.metadata.labels.get(&key) else { continue };
            let count = info.pods().filter(|other| matches(term, pod, other)).count();
            if count > 0 {
                *values.entry(value.to_owned()).or_default() += i64::try_from(count).unwrap_or(i64::MAX);
            }
        }
        Self { key, values }
    }
}

/// The terms of a pod.
struct Terms<'a> {
    near: &'a [PodAffinityTerm],
    away: &'a [PodAffinityTerm],
    rather_near: &'a [WeightedPodAffinityTerm],
    rather_away: &'a [WeightedPodAffinityTerm],
}

impl<'a> Terms<'a> {
    fn of(pod: &'a Pod) -> Self {
        let affinity = pod.affinity.as_deref();
        let near = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
        let away = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        Self {
            near: near
                .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref())
                .unwrap_or_default(),
            away: away
                .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_deref())
                .unwrap_or_default(),
            rather_near: near
                .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref())
                .unwrap_or_default(),
            rather_away: away
                .and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_deref())
                .unwrap_or_default(),
        }
    }

    fn is_empty(&self) -> bool {
        self.near.is_empty() && self.away.is_empty() && self.rather_near.is_empty() && self.rather_away.is_empty()
    }
}

/// Whether a term of `owner` is about `other`. An empty namespace selector means all namespaces; one that selects by
/// labels of namespaces is taken to mean the owner's own.
fn matches(term: &PodAffinityTerm, owner: &Pod, other: &Pod) -> bool {
    let all = term.namespace_selector.as_ref().is_some_and(|selector| *selector == Default::default());
    let named = term.namespaces.as_deref().unwrap_or_default();
    let namespace = &other.metadata.namespace;
    let in_namespace = all || named.contains(namespace) || (named.is_empty() && *namespace == owner.metadata.namespace);
    let Some(selector) = &term.label_selector else { return false };
    let own = |key: &String| owner.metadata.labels.get(key);
    let same = |key: &String| own(key).is_none_or(|value| other.metadata.labels.get(key) == Some(value));
    in_namespace
        && selects(selector, &other.metadata.labels)
        && term.match_label_keys.iter().flatten().all(same)
        && term.mismatch_label_keys.iter().flatten().all(|key| {
            own(key).is_none_or(|value| other.metadata.labels.get(key).is_some_and(|present| present != value))
        })
}
