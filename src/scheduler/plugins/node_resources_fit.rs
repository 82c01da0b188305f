//! `NodeResourcesFit`: a pod goes where there is room, and rather where more is left (least allocated).

use std::borrow::Cow;

use super::{Normalize, Plugin, Score};
use crate::scheduler::cycle::{SCORE_MAX, Unfit};
use crate::scheduler::node::Node;
use crate::scheduler::pod::Pod;
use crate::scheduler::snapshot::NodeInfo;

pub(super) const NODE_RESOURCES_FIT: Plugin = Plugin {
    name: "NodeResourcesFit",
    filter: Some(|pod, _, info, node| filter(pod, info, node)),
    score: Some(Score {
        score: |pod, _, info, node| {
            let left = |taken: i64, all: i64| if all == 0 || taken > all { 0 } else { (all - taken) * SCORE_MAX / all };
            let cpu = info.assumed_milli_cpu + pod.requests.assumed_milli_cpu;
            let memory = info.assumed_memory + pod.requests.assumed_memory;
            i64::midpoint(left(cpu, node.allocatable.milli_cpu), left(memory, node.allocatable.memory))
        },
        normalize: Normalize::Not,
        weight: 1,
    }),
};

fn filter(pod: &Pod, info: &NodeInfo, node: &Node) -> Result<(), Unfit> {
    let (asked, taken, all) = (&pod.requests.asked, &info.requested, &node.allocatable);
    let mut reasons: Vec<Cow<'static, str>> = Vec::new();
    let mut resolvable = true;
    if i64::try_from(info.pod_count()).unwrap_or(i64::MAX) + 1 > node.pods_max {
        reasons.push("Too many pods".into());
    }
    let mut check = |name: &str, asked: i64, taken: i64, all: i64| {
        if asked > 0 && asked > all - taken {
            reasons.push(format!("Insufficient {name}").into());
            resolvable &= asked <= all;
        }
    };
    check("cpu", asked.milli_cpu, taken.milli_cpu, all.milli_cpu);
    check("memory", asked.memory, taken.memory, all.memory);
    check("ephemeral-storage", asked.ephemeral_storage, taken.ephemeral_storage, all.ephemeral_storage);
    for (name, amount) in &asked.other {
        let of = |resources: &crate::scheduler::resources::Resources| resources.other.get(name).copied().unwrap_or(0);
        check(name, *amount, of(taken), of(all));
    }
    if reasons.is_empty() { Ok(()) } else { Err(Unfit { reasons, resolvable }) }
}
