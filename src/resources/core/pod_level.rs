//! Resources of a pod as a whole: what is left open follows from its containers (since v1.37 after admission, so that
//! injected containers count).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::quantity::Quantity;
use crate::resources::tree::{Tree, child, ensure, items, text};

type Amounts = BTreeMap<String, Quantity>;

/// Completes `spec.resources` where the pod has any.
pub(super) fn default_pod_level(spec: &mut Tree) {
    let given = |list: &str| child(spec, "resources").and_then(|r| child(r, list)).is_some_and(|l| !l.is_empty());
    if !given("requests") && !given("limits") {
        return;
    }
    let (requests, limits) = (summed(spec, "requests"), summed(spec, "limits"));
    let everywhere: Vec<String> = limits.keys().filter(|name| limited_everywhere(spec, name)).cloned().collect();
    let resources = ensure(spec, "resources");
    default_huge_pages(resources, &limits);
    default_requests(resources, &requests);
    default_limits(resources, &limits, &everywhere);
}

/// Huge pages are never overcommitted: their limit is that of the containers.
fn default_huge_pages(resources: &mut Tree, limits: &Amounts) {
    let requested = child(resources, "requests").cloned().unwrap_or_default();
    for (name, amount) in limits.iter().filter(|(name, _)| huge(name) && !requested.contains_key(*name)) {
        set(resources, "limits", name, amount);
    }
}

/// Requests are those of the containers, then the pod's own limits.
fn default_requests(resources: &mut Tree, requests: &Amounts) {
    for (name, amount) in requests.iter().filter(|(name, _)| supported(name) && !huge(name)) {
        set(resources, "requests", name, amount);
    }
    let limits = child(resources, "limits").cloned().unwrap_or_default();
    for (name, value) in limits.into_iter().filter(|(name, _)| supported(name)) {
        ensure(resources, "requests").entry(name).or_insert(value);
    }
}

/// Limits are those of the containers when all have one, and at least the pod's request.
fn default_limits(resources: &mut Tree, limits: &Amounts, everywhere: &[String]) {
    let requests = child(resources, "requests").cloned().unwrap_or_default();
    for name in everywhere.iter().filter(|name| supported(name)) {
        let Some(request) = requests.get(name).and_then(quantity) else { continue };
        let Some(limit) = limits.get(name) else { continue };
        set(resources, "limits", name, if request > *limit { &request } else { limit });
    }
}

fn set(resources: &mut Tree, list: &str, name: &str, amount: &Quantity) {
    ensure(resources, list).entry(name.to_owned()).or_insert_with(|| Value::String(amount.to_string()));
}

fn huge(name: &str) -> bool {
    name.starts_with("hugepages-")
}

fn supported(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || huge(name)
}

fn limited_everywhere(spec: &Tree, name: &str) -> bool {
    let all = ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| items(spec, list));
    all.map(|c| child(c, "resources").and_then(|r| child(r, "limits"))).all(|l| l.is_some_and(|l| l.contains_key(name)))
}

/// What the containers of a pod need at once: those that run for good, or an init container beside those that were
/// started before it, whichever is more.
fn summed(spec: &Tree, list: &str) -> Amounts {
    let mut total = Amounts::new();
    for container in items(spec, "containers") {
        add(&mut total, &amounts(container, list));
    }
    let (mut restartable, mut most) = (Amounts::new(), Amounts::new());
    for container in items(spec, "initContainers") {
        let own = amounts(container, list);
        if text(container, "restartPolicy") == "Always" {
            add(&mut total, &own);
            add(&mut restartable, &own);
            at_least(&mut most, &restartable);
        } else {
            let mut together = own;
            add(&mut together, &restartable);
            at_least(&mut most, &together);
        }
    }
    at_least(&mut total, &most);
    total
}

fn amounts(container: &Tree, list: &str) -> Amounts {
    let list = child(container, "resources").and_then(|r| child(r, list)).into_iter().flatten();
    list.filter_map(|(name, value)| Some((name.clone(), quantity(value)?))).collect()
}

fn quantity(value: &Value) -> Option<Quantity> {
    value.as_str().and_then(|text| Quantity::parse(text).ok())
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match total.get_mut(name) {
            Some(sum) => *sum += amount,
            None => drop(total.insert(name.clone(), amount.clone())),
        }
    }
}

fn at_least(total: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        if total.get(name).is_none_or(|present| present < amount) {
            total.insert(name.clone(), amount.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_resources(spec: Value, expected: Value) {
        let Value::Object(mut spec) = spec else { panic!("not an object") };
        default_pod_level(&mut spec);
        let once = spec.clone();
        default_pod_level(&mut spec);
        assert_eq!(once, spec, "defaulting is not idempotent");
        assert_eq!(spec.get("resources"), Some(&expected));
    }

    #[test]
    fn requests_follow_from_containers_and_limits() {
        let containers =
            json!([{"resources": {"requests": {"cpu": "500m"}}}, {"resources": {"requests": {"cpu": "1"}}}]);
        check_resources(
            json!({"resources": {"limits": {"cpu": "4", "memory": "1Gi"}}, "containers": containers}),
            json!({"limits": {"cpu": "4", "memory": "1Gi"}, "requests": {"cpu": "1500m", "memory": "1Gi"}}),
        );
    }

    #[test]
    fn limits_follow_when_every_container_has_one() {
        let limited = json!({"resources": {"limits": {"cpu": "1"}}});
        check_resources(
            json!({"resources": {"requests": {"cpu": "3"}}, "containers": [limited, limited]}),
            json!({"requests": {"cpu": "3"}, "limits": {"cpu": "3"}}),
        );
        check_resources(
            json!({"resources": {"requests": {"cpu": "1"}}, "containers": [limited, {}]}),
            json!({"requests": {"cpu": "1"}}),
        );
    }

    #[test]
    fn an_init_container_counts_beside_what_was_started_before_it() {
        let of = |cpu: &str| json!({"requests": {"cpu": cpu}});
        let init = json!([{"restartPolicy": "Always", "resources": of("1")}, {"resources": of("5")}]);
        check_resources(
            json!({"resources": {"limits": {"cpu": "9"}}, "initContainers": init, "containers": [{"resources": of("2")}]}),
            json!({"limits": {"cpu": "9"}, "requests": {"cpu": "6"}}),
        );
    }
}
