//! Fields of a Service that belong together: what clients may leave out because an older write set it, and what a
//! change of type takes away.

use serde_json::{Value, json};

use super::service::{externally_accessible, node_ports};
use crate::resources::tree::{Tree, fill_zero, int, is_zero, items, items_mut, text, texts};

/// `clusterIP` is the first of `clusterIPs`; clients that know only the former mean both.
pub(super) fn plural_addresses(spec: &mut Tree, old: Option<&Tree>) {
    let address = text(spec, "clusterIP").to_owned();
    let Some(old) = old else {
        if !address.is_empty() {
            fill_zero(spec, "clusterIPs", json!([address]));
        }
        return;
    };
    let before = text(old, "clusterIP");
    if let (true, Some(addresses)) = (address == before, old.get("clusterIPs").filter(|a| !is_zero(a))) {
        fill_zero(spec, "clusterIPs", addresses.clone());
    }
    if address != before && texts(spec, "clusterIPs").eq(texts(old, "clusterIPs")) {
        if address.is_empty() && !before.is_empty() {
            // Only both together are the same as before; a cleared `clusterIP` alone clears the list with it.
            spec.remove("clusterIPs");
        } else {
            spec.insert("clusterIPs".to_owned(), json!([address]));
        }
    }
}

/// Carries over what was allocated and a client did not repeat.
pub(super) fn carry_allocated(spec: &mut Tree, old: &Tree) {
    if needs_address(old) && needs_address(spec) {
        for key in ["clusterIP", "clusterIPs"] {
            if let Some(value) = old.get(key).filter(|v| !is_zero(v)) {
                fill_zero(spec, key, value.clone());
            }
        }
    }
    if allocates_node_ports(old) && allocates_node_ports(spec) {
        carry_node_ports(spec, old);
    }
    if needs_health_check(old)
        && needs_health_check(spec)
        && let Some(port) = old.get("healthCheckNodePort")
    {
        fill_zero(spec, "healthCheckNodePort", port.clone());
    }
}

/// A port without a number on nodes gets back that of the old port of its name, unless another port took it.
fn carry_node_ports(spec: &mut Tree, old: &Tree) {
    let (used_before, used_now) = (node_ports(old), node_ports(spec));
    let taken = |number: i64| used_before.contains(&number) && used_now.contains(&number);
    for port in items_mut(spec, "ports") {
        let name = text(port, "name");
        let before = items(old, "ports").filter(|p| text(p, "name") == name).last().and_then(|p| int(p, "nodePort"));
        if let Some(number) = before.filter(|n| *n != 0 && !taken(*n)) {
            fill_zero(port, "nodePort", number);
        }
    }
}

/// Fills in `ipFamilyPolicy`; `ipFamilies` depend on the cluster and are settled where addresses are allocated.
pub(super) fn families(spec: &mut Tree, old: Option<&Tree>) {
    if !needs_address(spec) {
        return;
    }
    let selectorless = text(spec, "clusterIP") == "None" && spec.get("selector").is_none_or(is_zero);
    if spec.get("ipFamilyPolicy").is_none_or(Value::is_null) {
        let before = old.map_or("", |o| text(o, "ipFamilyPolicy"));
        let policy = match before {
            "" if selectorless => "RequireDualStack",
            "" => "SingleStack",
            before => before,
        }
        .to_owned();
        spec.insert("ipFamilyPolicy".to_owned(), Value::String(policy));
    }
}

/// A change of type takes fields away that only the old type has, if the client did not change them too.
pub(super) fn drop_by_type(spec: &mut Tree, old: &Tree) {
    let same = |spec: &Tree, key: &str| spec.get(key) == old.get(key);
    if needs_address(old) && !needs_address(spec) {
        if same(spec, "clusterIP") && same(spec, "clusterIPs") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        for key in ["ipFamilies", "ipFamilyPolicy"] {
            if same(spec, key) {
                spec.remove(key);
            }
        }
    }
    let used_before = node_ports(old);
    if has_node_ports(old) && !has_node_ports(spec) && node_ports(spec).iter().all(|p| used_before.contains(p)) {
        for port in items_mut(spec, "ports") {
            port.remove("nodePort");
        }
    }
    let balanced = |spec: &Tree| text(spec, "type") == "LoadBalancer";
    if needs_health_check(old) && !needs_health_check(spec) && same(spec, "healthCheckNodePort") {
        spec.remove("healthCheckNodePort");
    }
    if externally_accessible(old) && !externally_accessible(spec) && same(spec, "externalTrafficPolicy") {
        spec.remove("externalTrafficPolicy");
    }
    for key in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
        if balanced(old) && !balanced(spec) && same(spec, key) {
            spec.remove(key);
        }
    }
}

/// Whether a service of this type has addresses.
pub(super) fn needs_address(spec: &Tree) -> bool {
    text(spec, "type") != "ExternalName"
}

/// Whether a service of this type has ports on nodes.
fn has_node_ports(spec: &Tree) -> bool {
    matches!(text(spec, "type"), "NodePort" | "LoadBalancer")
}

/// Whether ports on nodes are allocated.
fn allocates_node_ports(spec: &Tree) -> bool {
    let wished = spec.get("allocateLoadBalancerNodePorts").and_then(Value::as_bool).unwrap_or(true);
    has_node_ports(spec) && (wished || text(spec, "type") == "NodePort")
}

/// Whether a load balancer must ask nodes for endpoints of their own.
pub(super) fn needs_health_check(spec: &Tree) -> bool {
    text(spec, "type") == "LoadBalancer" && text(spec, "externalTrafficPolicy") == "Local"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(value: Value) -> Tree {
        let Value::Object(tree) = value else { panic!("not an object") };
        tree
    }

    #[track_caller]
    fn check_update(old: Value, new: Value, expected: Value) {
        let (old, mut new) = (tree(old), tree(new));
        carry_allocated(&mut new, &old);
        plural_addresses(&mut new, Some(&old));
        drop_by_type(&mut new, &old);
        assert_eq!(Value::Object(new), expected);
    }

    #[test]
    fn what_was_allocated_is_carried_over() {
        let old = json!({"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80, "nodePort": 30000}]});
        check_update(old.clone(), json!({"type": "NodePort", "ports": [{"port": 80}]}), old);
    }

    #[test]
    fn a_type_that_needs_less_drops_what_it_does_not_need() {
        let old = json!({"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "externalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "nodePort": 30000}]});
        let new = json!({"type": "ClusterIP", "externalTrafficPolicy": "Cluster", "ports": [{"port": 80, "nodePort": 30000}]});
        let expected =
            json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]});
        check_update(old.clone(), new, expected);
        let external = json!({"type": "ExternalName", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]});
        check_update(old, external, json!({"type": "ExternalName"}));
    }

    #[track_caller]
    fn check_policy(spec: Value, policy: &str) {
        let mut spec = tree(spec);
        families(&mut spec, None);
        assert_eq!((text(&spec, "ipFamilyPolicy"), texts(&spec, "ipFamilies").count()), (policy, 0));
    }

    #[test]
    fn a_service_has_one_family_unless_nothing_is_selected_for_it() {
        check_policy(json!({"selector": {"a": "b"}}), "SingleStack");
        check_policy(json!({"clusterIP": "None", "clusterIPs": ["None"]}), "RequireDualStack");
        check_policy(json!({"clusterIP": "None", "selector": {"a": "b"}}), "SingleStack");
        check_policy(json!({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"]}), "SingleStack");
    }
}
