//! `TaintToleration`: a pod goes only where it tolerates the taints, and rather where it needs to tolerate less.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use super::{Normalize, Plugin, Score};
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

/// Whether one of the tolerations tolerates a taint.
pub(in crate::scheduler) fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let effect = given(&toleration.effect).is_none_or(|effect| effect == taint.effect);
        let key = given(&toleration.key).is_none_or(|key| key == taint.key);
        let value = || toleration.value.as_deref().unwrap_or("");
        let of_taint = taint.value.as_deref().unwrap_or("");
        let matches = match given(&toleration.operator).as_deref() {
            Some("Exists") => true,
            Some("Lt") => compare(of_taint, value()).is_some_and(std::cmp::Ordering::is_lt),
            Some("Gt") => compare(of_taint, value()).is_some_and(std::cmp::Ordering::is_gt),
            Some(_) | None => value() == of_taint && given(&toleration.key).is_some(),
        };
        effect && key && matches
    })
}

fn compare(a: &str, b: &str) -> Option<std::cmp::Ordering> {
    Some(a.parse::<i64>().ok()?.cmp(&b.parse::<i64>().ok()?))
}
