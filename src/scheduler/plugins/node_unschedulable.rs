//! `NodeUnschedulable`: no pod goes to a cordoned node, unless it tolerates that.

use super::Plugin;
use crate::client::tolerates;
use crate::scheduler::cycle::Unfit;
use k8s_openapi::api::core::v1::Taint;

pub(super) const NODE_UNSCHEDULABLE: Plugin = Plugin {
    name: "NodeUnschedulable",
    filter: Some(|pod, _, _, node| {
        if !node.unschedulable {
            return Ok(());
        }
        let taint = Taint {
            key: "node.kubernetes.io/unschedulable".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        if tolerates(&pod.tolerations, &taint) { Ok(()) } else { Err(Unfit::anyway("node(s) were unschedulable")) }
    }),
    score: None,
};
