//! `NodeResourcesBalancedAllocation`: a pod goes rather where processor and memory are used alike.

use super::{Normalize, Plugin, Score};
use crate::scheduler::cycle::SCORE_MAX;

pub(super) const NODE_RESOURCES_BALANCED_ALLOCATION: Plugin = Plugin {
    name: "NodeResourcesBalancedAllocation",
    filter: None,
    score: Some(Score {
        score: |pod, _, info, node| {
            let asked = &pod.requests.asked;
            // A pod that asks for nothing changes no balance (1.35).
            if asked.milli_cpu == 0 && asked.memory == 0 {
                return 0;
            }
            let of =
                |cpu: i64, memory: i64| balance((cpu, node.allocatable.milli_cpu), (memory, node.allocatable.memory));
            let taken = &info.requested;
            let after = of(taken.milli_cpu + asked.milli_cpu, taken.memory + asked.memory);
            SCORE_MAX / 2 + (SCORE_MAX / 2 + after - of(taken.milli_cpu, taken.memory)) / 2
        },
        normalize: Normalize::Not,
        weight: 1,
    }),
};

/// 100 when both are used to the same part, 50 when one is full and the other unused.
fn balance(cpu: (i64, i64), memory: (i64, i64)) -> i64 {
    #[expect(clippy::cast_precision_loss, reason = "only a ratio is needed")]
    let part = |(taken, all): (i64, i64)| if all == 0 { 0.0 } else { (taken as f64 / all as f64).min(1.0) };
    #[expect(clippy::cast_possible_truncation, reason = "between 50 and 100")]
    let score = ((1.0 - (part(cpu) - part(memory)).abs() / 2.0) * 100.0) as i64;
    score
}
