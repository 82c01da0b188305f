//! Addresses: a range of pod addresses for each node, its own address, and which pod has which.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

/// 10.128.0.0/9 is shared out to the nodes.
const PODS_BASE: u32 = u32::from_be_bytes([10, 128, 0, 0]);
const PODS_BITS: u32 = 23;
/// No node has more than 4,094 pod addresses.
const NODE_BITS_MAX: u32 = 12;
/// Nodes are at 172.18.0.2 and following.
const NODES_BASE: u32 = u32::from_be_bytes([172, 18, 0, 2]);

/// The pod addresses of all nodes.
#[derive(Debug)]
pub(super) struct Addresses {
    bits: u32,
    used: HashSet<u32>,
    by_pod: HashMap<Box<str>, u32>,
    /// Of each node, the address given out last.
    last: Vec<u32>,
}

/// The address of a node.
pub(super) fn node_address(node: usize) -> Ipv4Addr {
    Ipv4Addr::from(NODES_BASE.saturating_add(u32::try_from(node).unwrap_or(u32::MAX)))
}

/// The address that a host stands for when it is one of so many simulated nodes, or a pod of one.
pub(super) fn simulated(host: &str, (prefix, nodes): (&str, u32)) -> Option<Ipv4Addr> {
    if let Some(number) = host.strip_prefix(prefix).and_then(|number| number.parse::<u32>().ok()) {
        return (1..=nodes).contains(&number).then(|| Ipv4Addr::from(NODES_BASE + (number - 1)));
    }
    let address: Ipv4Addr = host.parse().ok()?;
    let bits = u32::from(address);
    let is_pod = nodes > 0 && bits >> PODS_BITS == PODS_BASE >> PODS_BITS;
    let is_node = bits.checked_sub(NODES_BASE).is_some_and(|number| number < nodes);
    (is_pod || is_node).then_some(address)
}

impl Addresses {
    /// For so many nodes.
    pub(super) fn new(nodes: usize) -> Self {
        let share = nodes.max(1).next_power_of_two().ilog2();
        let bits = PODS_BITS.saturating_sub(share).clamp(2, NODE_BITS_MAX);
        Self { bits, used: HashSet::new(), by_pod: HashMap::new(), last: vec![0; nodes] }
    }

    /// How many pods a node has addresses for.
    pub(super) fn per_node(&self) -> u32 {
        (1 << self.bits) - 2
    }

    /// The range of a node.
    pub(super) fn range(&self, node: usize) -> String {
        format!("{}/{}", Ipv4Addr::from(self.start(node)), 32 - self.bits)
    }

    /// The address of a pod; a free one of the node when it has none yet. `None` when the node has none left.
    pub(super) fn take(&mut self, node: usize, uid: &str) -> Option<Ipv4Addr> {
        if let Some(address) = self.by_pod.get(uid) {
            return Some(Ipv4Addr::from(*address));
        }
        let (start, size) = (self.start(node), self.per_node());
        let last = self.last.get(node).copied()?;
        let host = (0..size).map(|step| (last + step) % size + 1).find(|host| !self.used.contains(&(start + host)))?;
        self.last[node] = host;
        self.used.insert(start + host);
        self.by_pod.insert(uid.into(), start + host);
        Some(Ipv4Addr::from(start + host))
    }

    /// A pod was seen with an address.
    pub(super) fn note(&mut self, uid: &str, address: &str) {
        let address = address.parse::<Ipv4Addr>().map(u32::from);
        if let Ok(address) = address
            && address >= PODS_BASE
            && !self.by_pod.contains_key(uid)
        {
            self.used.insert(address);
            self.by_pod.insert(uid.into(), address);
        }
    }

    /// A pod is gone or has ended.
    pub(super) fn give_back(&mut self, uid: &str) {
        if let Some(address) = self.by_pod.remove(uid) {
            self.used.remove(&address);
        }
    }

    fn start(&self, node: usize) -> u32 {
        PODS_BASE.wrapping_add(u32::try_from(node).unwrap_or(u32::MAX) << self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_simulated_nodes_and_their_pods_are_known() {
        let known = |host: &str| simulated(host, ("node-", 2)).map(|address| address.to_string());
        assert_eq!(known("node-2").as_deref(), Some("172.18.0.3"));
        assert_eq!(known("172.18.0.2").as_deref(), Some("172.18.0.2"));
        assert_eq!(known("10.200.0.1").as_deref(), Some("10.200.0.1"));
        for host in ["node-3", "node-0", "172.18.0.4", "10.1.0.1", "11.0.0.1", "example.com", "::1"] {
            assert_eq!(known(host), None, "{host}");
        }
        assert_eq!(simulated("10.200.0.1", ("node-", 0)), None);
    }

    #[test]
    fn every_pod_of_a_node_gets_an_address_of_its_own_until_none_is_left() {
        let mut addresses = Addresses::new(2_000_000);
        assert_eq!(addresses.per_node(), 2);
        let first = addresses.take(1, "a").unwrap();
        assert_eq!(addresses.take(1, "a"), Some(first));
        assert_ne!(addresses.take(1, "b"), Some(first));
        assert_eq!(addresses.take(1, "c"), None);
        addresses.give_back("a");
        assert_eq!(addresses.take(1, "c"), Some(first));
    }

    #[test]
    fn an_address_seen_on_a_pod_is_not_given_to_another() {
        let mut addresses = Addresses::new(3);
        addresses.note("old", "10.128.16.1");
        assert_eq!(addresses.range(1), "10.128.16.0/20");
        assert_eq!(addresses.take(1, "new").unwrap().to_string(), "10.128.16.2");
        assert_eq!(addresses.take(1, "old").unwrap().to_string(), "10.128.16.1");
    }
}
