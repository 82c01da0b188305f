//! The plugins of the scheduler, one file each, with the extension points they have. The cycle knows only the table.

mod balanced_allocation;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod taint_toleration;
mod topology_spread;

use super::cycle::Unfit;
use super::node::Node;
use super::pod::Pod;
use super::snapshot::{NodeInfo, Snapshot};

/// A plugin. Scheduling gates and the order of the queue are the queue's own matter.
pub(super) struct Plugin {
    /// As upstream calls it.
    #[cfg_attr(not(test), expect(dead_code, reason = "names the row; read by the test of the table"))]
    pub name: &'static str,
    /// Whether a node does.
    pub filter: Option<Filter>,
    pub score: Option<Score>,
}

type Filter = fn(&Pod, &Prepared, &NodeInfo, &Node) -> Result<(), Unfit>;

/// How good a node is.
#[derive(Clone, Copy)]
pub(super) struct Score {
    score: fn(&Pod, &Prepared, &NodeInfo, &Node) -> i64,
    pub normalize: Normalize,
    pub weight: i64,
}

impl Score {
    pub(super) fn of(&self, pod: &Pod, prepared: &Prepared, info: &NodeInfo, node: &Node) -> i64 {
        (self.score)(pod, prepared, info, node)
    }
}

/// How scores of all nodes are brought to the range from 0 to 100.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Normalize {
    Not,
    ByHighest,
    FewerIsBetter,
    ByRange,
}

/// What plugins work out once for all nodes.
pub(super) struct Prepared {
    spread: topology_spread::Counts,
    affinity: inter_pod_affinity::Counts,
}

impl Prepared {
    pub(super) fn new(pod: &Pod, snapshot: &Snapshot) -> Self {
        Self {
            spread: topology_spread::Counts::new(pod, snapshot),
            affinity: inter_pod_affinity::Counts::new(pod, snapshot),
        }
    }
}

/// All plugins, filters in upstream's order.
pub(super) static PLUGINS: &[Plugin] = &[
    node_unschedulable::NODE_UNSCHEDULABLE,
    node_name::NODE_NAME,
    taint_toleration::TAINT_TOLERATION,
    node_affinity::NODE_AFFINITY,
    node_ports::NODE_PORTS,
    node_resources_fit::NODE_RESOURCES_FIT,
    topology_spread::POD_TOPOLOGY_SPREAD,
    inter_pod_affinity::INTER_POD_AFFINITY,
    balanced_allocation::NODE_RESOURCES_BALANCED_ALLOCATION,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plugin_has_a_name_of_its_own_and_something_to_say() {
        for (index, plugin) in PLUGINS.iter().enumerate() {
            assert!(PLUGINS[..index].iter().all(|other| other.name != plugin.name), "{}", plugin.name);
            assert!(plugin.filter.is_some() || plugin.score.is_some(), "{}", plugin.name);
        }
    }
}
