//! The objects that every cluster starts with: RBAC policy, flow schemas and priority levels. They are parsed when
//! asked for, which is once in the life of a database and at each reconciliation of it.

use serde_json::{Map, Value};

use crate::api::Object;

/// Cluster roles, their bindings, then roles and bindings of namespaces, in the order in which upstream makes them, as
/// they are with the feature gates that are on.
pub fn bootstrap_rbac(enabled: impl Fn(&str) -> bool) -> Vec<Object> {
    let mut objects = parse(include_str!("rbac.txt"));
    objects.retain_mut(|object| holds(&enabled, object.root_mut()));
    for object in &mut objects {
        if let Some(Value::Array(rules)) = object.root_mut().get_mut("rules") {
            rules.retain_mut(|rule| rule.as_object_mut().is_none_or(|rule| holds(&enabled, rule)));
        }
    }
    objects
}

/// Whether the gates are as something wants them that hangs on them; takes out of it what it says of them.
fn holds(enabled: &impl Fn(&str) -> bool, of: &mut Map<String, Value>) -> bool {
    let when = of.remove("when").unwrap_or_default();
    let gates = when.as_array().into_iter().flatten().filter_map(Value::as_str);
    gates.into_iter().all(|gate| match gate.strip_prefix('!') {
        Some(gate) => !enabled(gate),
        None => enabled(gate),
    })
}

/// Priority levels, then flow schemas; the mandatory ones (`exempt`, `catch-all`) first among each.
pub fn bootstrap_flow_control() -> Vec<Object> {
    parse(include_str!("flow.txt"))
}

fn parse(text: &str) -> Vec<Object> {
    let start = text.find("\n{").unwrap_or(text.len()); // after the comments
    let objects = serde_json::Deserializer::from_str(&text[start..]).into_iter();
    let object = |value: serde_json::Result<Value>| value.ok().and_then(|v| Object::from_value(v).ok());
    objects.map(|value| object(value).expect(super::WELL_FORMED)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::*;

    #[test]
    fn every_object_is_of_a_served_kind() {
        let facts = Facts::load();
        for object in bootstrap_rbac(|_| true).iter().chain(&bootstrap_flow_control()) {
            assert!(facts.kinds.iter().any(|k| k.gvk == object.gvk() && k.served_by_default), "{:?}", object.gvk());
        }
    }

    #[test]
    fn the_roles_that_people_are_given_are_there() {
        let all = bootstrap_rbac(|_| true);
        for name in ["cluster-admin", "admin", "edit", "view", "system:node", "system:controller:deployment-controller"]
        {
            assert!(all.iter().any(|o| o.name() == name && o.gvk().kind == "ClusterRole"), "{name}");
        }
        assert!(all.iter().any(|o| o.gvk().kind == "RoleBinding" && o.namespace() == "kube-system"));
    }

    #[test]
    fn rules_follow_feature_gates() {
        let rules = |on: bool| {
            let all = bootstrap_rbac(|gate| on || gate != "ClusterTrustBundle");
            let node = all.iter().find(|o| o.name() == "system:node" && o.gvk().kind == "ClusterRole").unwrap();
            (all.len(), node.get(&["rules"]).and_then(Value::as_array).unwrap().clone())
        };
        let ((more, with), (less, without)) = (rules(true), rules(false));
        assert!(with.len() == without.len() + 1 && more > less);
        assert!(with.iter().all(|rule| rule.get("when").is_none()));
    }

    #[test]
    fn the_mandatory_levels_and_schemas_are_there() {
        let all = bootstrap_flow_control();
        for kind in ["PriorityLevelConfiguration", "FlowSchema"] {
            let names: Vec<_> = all.iter().filter(|o| o.gvk().kind == kind).map(|o| o.name().to_owned()).collect();
            assert!(names.contains(&"exempt".to_owned()) && names.contains(&"catch-all".to_owned()));
        }
    }
}
