//! `NodeName`: a pod that names a node goes nowhere else.

use super::Plugin;
use crate::scheduler::cycle::Unfit;

pub(super) const NODE_NAME: Plugin = Plugin {
    name: "NodeName",
    filter: Some(|pod, _, _, node| {
        if pod.node_name.is_empty() || pod.node_name == node.metadata.name {
            Ok(())
        } else {
            Err(Unfit::anyway("node(s) didn't match the requested node name"))
        }
    }),
    score: None,
};
