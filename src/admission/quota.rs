//! What objects cost in a resource quota, and which quotas they belong to (Kubernetes `pkg/quota/v1/evaluator/core`).
//! Pure; the plugin `ResourceQuota` and the controller that counts anew use the same.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use super::pod_resources::{Amounts, Side, add, amounts, of_pod, quantity};
use crate::api::quantity::{Format, Quantity};
use crate::api::{GroupResource, Object};

const CLASS_SUFFIX: &str = ".storageclass.storage.k8s.io/";
const CLAIMS: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
/// Resources that containers must name when a quota counts them; a mistake of old that stays.
const MUST_BE_NAMED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// The name under which objects of a resource are counted: `count/deployments.apps`.
pub fn count_name(resource: &GroupResource) -> String {
    format!("count/{resource}")
}

/// What an object costs.
pub fn usage(resource: &GroupResource, object: &Object, now: Timestamp) -> Amounts {
    let mut usage = Amounts::from([(count_name(resource), one())]);
    match (&*resource.group, &*resource.resource) {
        ("", "pods") => pod_usage(object, now, &mut usage),
        ("", "services") => service_usage(object, &mut usage),
        ("", "persistentvolumeclaims") => claim_usage(object, &mut usage),
        ("", name @ ("configmaps" | "resourcequotas" | "replicationcontrollers" | "secrets")) => {
            usage.insert(name.to_owned(), one());
        }
        _ => {}
    }
    usage
}

/// Of the names that a quota limits, those that objects of the resource count towards.
pub fn matching_names<'a>(resource: &GroupResource, names: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let count = count_name(resource);
    let matches = |name: &&str| {
        **name == count
            || match (&*resource.group, &*resource.resource) {
                ("", "pods") => is_pod_name(name),
                ("", "services") => ["services", "services.nodeports", "services.loadbalancers"].contains(name),
                ("", "persistentvolumeclaims") => {
                    let plain = name.split_once(CLASS_SUFFIX).map_or(*name, |(_, plain)| plain);
                    CLAIMS.contains(&plain)
                }
                ("", alias @ ("configmaps" | "resourcequotas" | "replicationcontrollers" | "secrets")) => {
                    **name == *alias
                }
                _ => false,
            }
    };
    names.filter(matches).collect()
}

fn is_pod_name(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "pods",
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
    ];
    let extended = name
        .strip_prefix("requests.")
        .is_some_and(|rest| !is_native(name) || rest.starts_with("deviceclass.resource.kubernetes.io/"));
    NAMES.contains(&name) || name.starts_with("hugepages-") || name.starts_with("requests.hugepages-") || extended
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether an object is in all scopes of a quota.
pub fn in_scopes(resource: &GroupResource, quota: &Object, object: &Object) -> bool {
    let scopes = quota.get(&["spec", "scopes"]).and_then(Value::as_array).into_iter().flatten();
    let plain = scopes.filter_map(Value::as_str).all(|scope| in_scope(resource, object, (scope, "Exists", &[])));
    let selector = quota.get(&["spec", "scopeSelector", "matchExpressions"]).and_then(Value::as_array);
    let selected = selector.into_iter().flatten().all(|expression| {
        let text = |field: &str| expression.get(field).and_then(Value::as_str).unwrap_or("");
        let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
        let values: Vec<_> = values.filter_map(Value::as_str).collect();
        in_scope(resource, object, (text("scopeName"), text("operator"), &values))
    });
    plain && selected
}

fn in_scope(resource: &GroupResource, object: &Object, (scope, operator, values): (&str, &str, &[&str])) -> bool {
    let named = |name: &str| match operator {
        "Exists" => !name.is_empty(),
        "DoesNotExist" => name.is_empty(),
        "In" => values.contains(&name) && !name.is_empty(),
        "NotIn" => name.is_empty() || !values.contains(&name),
        _ => false,
    };
    match (&*resource.group, &*resource.resource, scope) {
        ("", "pods", "Terminating") => is_terminating(object),
        ("", "pods", "NotTerminating") => !is_terminating(object),
        ("", "pods", "BestEffort") => is_best_effort(object),
        ("", "pods", "NotBestEffort") => !is_best_effort(object),
        ("", "pods", "PriorityClass") => named(object.text_at(&["spec", "priorityClassName"])),
        ("", "pods", "CrossNamespacePodAffinity") => crosses_namespaces(object),
        ("", "persistentvolumeclaims", "VolumeAttributesClass") => {
            let wished = object.text_at(&["spec", "volumeAttributesClassName"]);
            let present = object.text_at(&["status", "currentVolumeAttributesClassName"]);
            named(wished) || (!present.is_empty() && named(present))
        }
        _ => false,
    }
}

/// Whether a pod ends by itself: it has an active deadline.
pub fn is_terminating(pod: &Object) -> bool {
    pod.int_at(&["spec", "activeDeadlineSeconds"]).is_some_and(|seconds| seconds >= 0)
}

fn containers<'a>(pod: &'a Object, lists: &'a [&str]) -> impl Iterator<Item = &'a Value> {
    lists.iter().filter_map(|list| pod.get(&["spec", list])).filter_map(Value::as_array).flatten()
}

fn is_best_effort(pod: &Object) -> bool {
    let whole = pod.get(&["spec", "resources"]);
    let own = containers(pod, &["containers", "initContainers"]).map(|container| container.get("resources"));
    let lists = own.chain([whole]).flatten().flat_map(|r| [r.get("requests"), r.get("limits")]);
    !lists.flatten().any(|list| {
        ["cpu", "memory"].iter().filter_map(|name| list.get(name)).filter_map(quantity).any(|amount| !amount.is_zero())
    })
}

fn crosses_namespaces(pod: &Object) -> bool {
    let crosses = |term: &Value| {
        let listed = term.get("namespaces").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        listed || term.get("namespaceSelector").is_some_and(|selector| !selector.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|affinity| {
        let list =
            |field| pod.get(&["spec", "affinity", affinity, field]).and_then(Value::as_array).into_iter().flatten();
        list("requiredDuringSchedulingIgnoredDuringExecution").any(crosses)
            || list("preferredDuringSchedulingIgnoredDuringExecution")
                .filter_map(|weighted| weighted.get("podAffinityTerm"))
                .any(crosses)
    })
}

/// What a pod's containers must name because a quota counts it.
///
/// # Errors
/// Upstream's text with what is missing where.
pub fn check_named(pod: &Object, counted: &BTreeSet<&str>) -> Result<(), String> {
    let whole = pod.get(&["spec", "resources"]).and_then(Value::as_object);
    if whole.is_some_and(|resources| resources.values().any(|list| list.as_object().is_some_and(|l| !l.is_empty()))) {
        return Ok(());
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in containers(pod, &["containers", "initContainers"]) {
        let list = |side: Side| amounts(container.get("resources").and_then(|r| r.get(side.field())));
        let own = compute_usage(&list(Side::Requests), &list(Side::Limits));
        let name = container.get("name").and_then(Value::as_str).unwrap_or("");
        for required in MUST_BE_NAMED.iter().filter(|name| counted.contains(**name)) {
            if !own.contains_key(*required) {
                missing.entry(required).or_default().insert(name);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(",");
    let texts: Vec<_> = missing.into_iter().map(|(what, names)| format!("{what} for: {}", list(names))).collect();
    Err(format!("must specify {}", texts.join("; ")))
}

fn one() -> Quantity {
    Quantity::new(1, Format::Decimal)
}

fn pod_usage(pod: &Object, now: Timestamp, usage: &mut Amounts) {
    if !is_charged(pod, now) {
        return;
    }
    let (mut requests, mut limits) = (of_pod(pod, Side::Requests), of_pod(pod, Side::Limits));
    let overhead = amounts(pod.get(&["spec", "overhead"]));
    add(&mut requests, &overhead);
    let limited = overhead.into_iter().filter(|(name, _)| limits.get(name).is_some_and(|limit| !limit.is_zero()));
    let limited: Amounts = limited.collect();
    add(&mut limits, &limited);
    usage.insert("pods".to_owned(), one());
    usage.extend(compute_usage(&requests, &limits));
}

/// A pod that has ended, or that should have long been gone, costs nothing but its place.
fn is_charged(pod: &Object, now: Timestamp) -> bool {
    if ["Failed", "Succeeded"].contains(&pod.text_at(&["status", "phase"])) {
        return false;
    }
    let grace = pod.int_at(&["metadata", "deletionGracePeriodSeconds"]);
    let deleted = pod.text_at(&["metadata", "deletionTimestamp"]).parse::<Timestamp>();
    match (grace, deleted) {
        (Some(grace), Ok(deleted)) => now.as_second() <= deleted.as_second().saturating_add(grace),
        (None, _) | (_, Err(_)) => true,
    }
}

fn compute_usage(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::new();
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(request) = requests.get(name) {
            usage.insert(name.to_owned(), request.clone());
            usage.insert(format!("requests.{name}"), request.clone());
        }
        if let Some(limit) = limits.get(name) {
            usage.insert(format!("limits.{name}"), limit.clone());
        }
    }
    for (name, request) in requests {
        if name.starts_with("hugepages-") {
            usage.insert(name.clone(), request.clone());
            usage.insert(format!("requests.{name}"), request.clone());
        } else if !is_native(name) || name.starts_with("deviceclass.resource.kubernetes.io/") {
            usage.insert(format!("requests.{name}"), request.clone());
        }
    }
    usage
}

fn service_usage(service: &Object, usage: &mut Amounts) {
    let ports = service.get(&["spec", "ports"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let with_node_port = || ports.iter().filter(|port| port.get("nodePort").and_then(Value::as_i64).unwrap_or(0) != 0);
    let (node_ports, balancers) = match service.text_at(&["spec", "type"]) {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" => {
            let suppressed = service.get(&["spec", "allocateLoadBalancerNodePorts"]) == Some(&Value::Bool(false));
            (if suppressed { with_node_port().count() } else { ports.len() }, 1)
        }
        _ => (0, 0),
    };
    let count = |number: usize| Quantity::new(i64::try_from(number).unwrap_or(i64::MAX), Format::Decimal);
    usage.insert("services".to_owned(), one());
    usage.insert("services.nodeports".to_owned(), count(node_ports));
    usage.insert("services.loadbalancers".to_owned(), count(balancers));
}

fn claim_usage(claim: &Object, usage: &mut Amounts) {
    let class = claim.annotation("volume.beta.kubernetes.io/storage-class");
    let class = class.unwrap_or_else(|| claim.text_at(&["spec", "storageClassName"]));
    let mut put = |name: &str, amount: Quantity| {
        if !class.is_empty() {
            usage.insert(format!("{class}{CLASS_SUFFIX}{name}"), amount.clone());
        }
        usage.insert(name.to_owned(), amount);
    };
    put(CLAIMS[0], one());
    let requested = claim.get(&["spec", "resources", "requests", "storage"]).and_then(quantity);
    let allocated = claim.get(&["status", "allocatedResources", "storage"]).and_then(quantity);
    if let Some(requested) = requested {
        let largest = allocated.into_iter().fold(requested, Ord::max);
        // Whole bytes are counted.
        let whole = Quantity::new(largest.value(), largest.format());
        put(CLAIMS[1], if whole == largest { largest } else { whole });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(name: &str) -> GroupResource {
        let (resource, group) = name.split_once('.').unwrap_or((name, ""));
        GroupResource { group: group.to_owned().into(), resource: resource.to_owned().into() }
    }

    #[track_caller]
    fn check(name: &str, object: Value, expected: &str) {
        let now = "2026-11-21T00:00:00Z".parse().unwrap();
        let usage = usage(&resource(name), &Object::from_value(object).unwrap(), now);
        let usage: Vec<_> = usage.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
        assert_eq!(usage.join(" "), expected);
    }

    #[test]
    fn pods_cost_what_they_request_and_may_use_until_they_end() {
        let spec = json!({ "containers": [{ "resources": {
            "requests": { "cpu": "1", "nvidia.com/gpu": "2", "hugepages-2Mi": "4Mi" }, "limits": { "memory": "1Gi" },
        } }] });
        let all = "count/pods=1 cpu=1 hugepages-2Mi=4Mi limits.memory=1Gi pods=1 requests.cpu=1 \
                   requests.hugepages-2Mi=4Mi requests.nvidia.com/gpu=2";
        check("pods", json!({ "spec": spec }), all);
        check("pods", json!({ "spec": spec, "status": { "phase": "Succeeded" } }), "count/pods=1");
        let metadata = |deleted: &str| json!({ "deletionTimestamp": deleted, "deletionGracePeriodSeconds": 30 });
        check("pods", json!({ "spec": spec, "metadata": metadata("2026-11-20T23:59:00Z") }), "count/pods=1");
        check("pods", json!({ "spec": spec, "metadata": metadata("2026-11-20T23:59:40Z") }), all);
    }

    #[test]
    fn services_claims_and_others_cost_their_number() {
        let service = json!({ "spec": { "type": "LoadBalancer", "ports": [{}, {}] } });
        check("services", service, "count/services=1 services=1 services.loadbalancers=1 services.nodeports=2");
        let claim =
            json!({ "spec": { "storageClassName": "fast", "resources": { "requests": { "storage": "1Gi" } } } });
        let expected = "count/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/persistentvolumeclaims=1 \
                        fast.storageclass.storage.k8s.io/requests.storage=1Gi persistentvolumeclaims=1 \
                        requests.storage=1Gi";
        check("persistentvolumeclaims", claim, expected);
        check("secrets", json!({}), "count/secrets=1 secrets=1");
        check("deployments.apps", json!({}), "count/deployments.apps=1");
    }

    #[test]
    fn names_belong_to_the_resource_that_they_count() {
        let names = [
            "pods",
            "cpu",
            "requests.nvidia.com/gpu",
            "count/pods",
            "services",
            "fast.storageclass.storage.k8s.io/requests.storage",
        ];
        let matching = |name: &str| matching_names(&resource(name), names.into_iter()).into_iter().collect::<Vec<_>>();
        assert_eq!(matching("pods"), ["count/pods", "cpu", "pods", "requests.nvidia.com/gpu"]);
        assert_eq!(matching("services"), ["services"]);
        assert_eq!(matching("persistentvolumeclaims"), [names[5]]);
    }

    #[test]
    fn scopes_choose_pods() {
        let pod = |spec: Value| Object::from_value(json!({ "spec": spec })).unwrap();
        let quota = |spec: Value| Object::from_value(json!({ "spec": spec })).unwrap();
        let check = |scopes: Value, spec: Value, expected: bool| {
            assert_eq!(in_scopes(&resource("pods"), &quota(scopes), &pod(spec)), expected);
        };
        check(json!({ "scopes": ["BestEffort"] }), json!({ "containers": [{}] }), true);
        let request = json!({ "containers": [{ "resources": { "requests": { "cpu": "1" } } }] });
        check(json!({ "scopes": ["BestEffort"] }), request.clone(), false);
        check(json!({ "scopes": ["NotBestEffort", "NotTerminating"] }), request, true);
        check(json!({ "scopes": ["Terminating"] }), json!({ "activeDeadlineSeconds": 5 }), true);
        let classes = json!({ "scopeSelector": { "matchExpressions": [{ "scopeName": "PriorityClass", "operator": "In", "values": ["high"] }] } });
        check(classes.clone(), json!({ "priorityClassName": "high" }), true);
        check(classes, json!({ "priorityClassName": "low" }), false);
    }
}
