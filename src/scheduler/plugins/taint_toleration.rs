//! `TaintToleration`: a pod goes only where it tolerates the taints, and rather where it needs to tolerate less.

use k8s_openapi::api::core::v1::Taint;

use super::{Normalize, Plugin, Score};
use crate::client::tolerates;
use crate::scheduler::cycle::Unfit;

pub(super) const TAINT_TOLERATION: Plugin = Plugin {
    name: "TaintToleration",
    filter: Some(|pod, _, _, node| {
        let keeps_away = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
        let mut taints = node.taints.iter().filter(keeps_away);
        if taints.all(|taint| tolerates(&pod.tolerations, taint)) {
            return Ok(());
        }
        Err(Unfit::anyway("node(s) had untolerated taint(s)"))
    }),
    score: Some(Score {
        score: |pod, _, _, node| {
            let soft = node.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
            let disliked = soft.filter(|taint| !tolerates(&pod.tolerations, taint)).count();
            i64::try_from(disliked).unwrap_or(i64::MAX)
        },
        normalize: Normalize::FewerIsBetter,
        weight: 3,
    }),
};
