//! The nodes with what is on them, kept up to date change by change, assumed pods included.

use std::collections::HashMap;
use std::sync::Arc;

use super::node::Node;
use super::pod::{HostPort, Pod};
use super::resources::Resources;

/// All nodes. Indexes of nodes are stable until a node goes.
#[derive(Default)]
pub(super) struct Snapshot {
    nodes: Vec<NodeInfo>,
    by_name: HashMap<Box<str>, usize>,
    /// Where each pod is, by uid; an assumed one is not yet seen there.
    placed: HashMap<Box<str>, Placed>,
    /// How many of the nodes are there.
    count: usize,
    /// Pods that ask for something of pods beside them; while there are none, nobody looks.
    pub affine: usize,
}

/// A node with what is on it.
#[derive(Clone, Default)]
pub(super) struct NodeInfo {
    name: Box<str>,
    /// `None`: pods are there and the node is not (any more).
    pub node: Option<Arc<Node>>,
    pub requested: Resources,
    pub assumed_milli_cpu: i64,
    pub assumed_memory: i64,
    pub ports: Vec<HostPort>,
    by_uid: HashMap<Box<str>, Arc<Pod>>,
}

struct Placed {
    node: Box<str>,
    assumed: bool,
}

impl Snapshot {
    /// The nodes that are there, from an index on and round.
    pub(super) fn present_from(&self, start: usize) -> impl Iterator<Item = (usize, &NodeInfo, &Arc<Node>)> {
        let count = self.nodes.len().max(1);
        (0..self.nodes.len()).map(move |step| (start + step) % count).filter_map(|index| {
            let info = &self.nodes[index];
            info.node.as_ref().map(|node| (index, info, node))
        })
    }

    /// The nodes that are there.
    pub(super) fn present(&self) -> impl Iterator<Item = (usize, &NodeInfo, &Arc<Node>)> {
        self.present_from(0)
    }

    /// How many nodes are there.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A node by index.
    pub(super) fn at(&self, index: usize) -> &NodeInfo {
        &self.nodes[index]
    }

    /// A node by name.
    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn put_node(&mut self, node: &Arc<Node>) {
        let info = self.info(&node.metadata.name);
        let is_new = info.node.replace(Arc::clone(node)).is_none();
        self.count += usize::from(is_new);
    }

    pub(super) fn remove_node(&mut self, name: &str) {
        let Some(index) = self.index_of(name) else { return };
        let was_there = self.nodes[index].node.take().is_some();
        self.count -= usize::from(was_there);
        if self.nodes[index].by_uid.is_empty() {
            self.nodes.swap_remove(index);
            self.by_name.remove(name);
            if let Some(moved) = self.nodes.get(index) {
                self.by_name.insert(moved.name.clone(), index);
            }
        }
    }

    /// A pod is on a node, or, assumed, about to be.
    pub(super) fn place(&mut self, pod: &Arc<Pod>, node: &str, assumed: bool) {
        self.take_away(&pod.metadata.uid);
        self.affine += usize::from(is_affine(pod));
        self.info(node).add(pod);
        self.placed.insert(pod.metadata.uid.as_str().into(), Placed { node: node.into(), assumed });
    }

    /// A pod is no longer on a node. Gives whether it was.
    pub(super) fn take_away(&mut self, uid: &str) -> bool {
        let Some(placed) = self.placed.remove(uid) else { return false };
        let Some(index) = self.index_of(&placed.node) else { return false };
        if let Some(pod) = self.nodes[index].remove(uid) {
            self.affine -= usize::from(is_affine(&pod));
        }
        true
    }

    /// Whether a pod is assumed on a node and not yet seen there.
    pub(super) fn assumed(&self, uid: &str) -> bool {
        self.placed.get(uid).is_some_and(|placed| placed.assumed)
    }

    fn info(&mut self, name: &str) -> &mut NodeInfo {
        let index = match self.index_of(name) {
            Some(index) => index,
            None => {
                self.nodes.push(NodeInfo { name: name.into(), ..NodeInfo::default() });
                self.by_name.insert(name.into(), self.nodes.len() - 1);
                self.nodes.len() - 1
            }
        };
        &mut self.nodes[index]
    }
}

impl NodeInfo {
    /// The pods that are there, in no order.
    pub(super) fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.by_uid.values()
    }

    /// How many pods are there.
    pub(super) fn pod_count(&self) -> usize {
        self.by_uid.len()
    }

    /// A pod comes.
    pub(super) fn add(&mut self, pod: &Arc<Pod>) {
        self.requested.add(&pod.requests.asked);
        self.assumed_milli_cpu += pod.requests.assumed_milli_cpu;
        self.assumed_memory += pod.requests.assumed_memory;
        self.ports.extend(pod.host_ports.iter().cloned());
        self.by_uid.insert(pod.metadata.uid.as_str().into(), Arc::clone(pod));
    }

    /// A pod goes.
    pub(super) fn remove(&mut self, uid: &str) -> Option<Arc<Pod>> {
        let pod = self.by_uid.remove(uid)?;
        self.requested.subtract(&pod.requests.asked);
        self.assumed_milli_cpu -= pod.requests.assumed_milli_cpu;
        self.assumed_memory -= pod.requests.assumed_memory;
        for port in &pod.host_ports {
            if let Some(at) = self.ports.iter().position(|taken| taken == port) {
                self.ports.swap_remove(at);
            }
        }
        Some(pod)
    }
}

/// Whether a pod asks for something of the pods beside it.
fn is_affine(pod: &Pod) -> bool {
    pod.affinity
        .as_ref()
        .is_some_and(|affinity| affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, cpu: &str) -> Arc<Pod> {
        let containers = json!([{"resources": {"requests": {"cpu": cpu}}, "ports": [{"hostPort": 80}]}]);
        let pod = json!({"metadata": {"name": uid, "uid": uid}, "spec": {"nodeName": "n", "containers": containers}});
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing_behind() {
        let mut snapshot = Snapshot::default();
        snapshot.place(&pod("a", "1"), "n", true);
        snapshot.place(&pod("a", "1"), "n", false);
        snapshot.place(&pod("b", "500m"), "n", false);
        let index = snapshot.index_of("n").unwrap();
        assert_eq!(snapshot.at(index).requested.milli_cpu, 1500);
        assert_eq!(snapshot.at(index).ports.len(), 2);
        assert!(snapshot.take_away("a"));
        assert!(snapshot.take_away("b"));
        assert!(!snapshot.take_away("b"));
        let info = snapshot.at(index);
        assert_eq!((info.requested.clone(), info.ports.len(), info.pod_count()), (Resources::default(), 0, 0));
    }
}
