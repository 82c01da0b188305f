//! Simulated nodes: what a kubelet would write.
