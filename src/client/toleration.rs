//! Which taints a toleration tolerates, as the scheduler and the controllers that evict ask.

use k8s_openapi::api::core::v1::{Taint, Toleration};

/// Whether one of the tolerations tolerates a taint.
pub fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    toleration_of(tolerations, taint).is_some()
}

/// The first of the tolerations that tolerates a taint (`ToleratesTaint` of `k8s.io/component-helpers`).
pub fn toleration_of<'a>(tolerations: &'a [Toleration], taint: &Taint) -> Option<&'a Toleration> {
    tolerations.iter().find(|toleration| {
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
