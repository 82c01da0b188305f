//! The objects that every cluster starts with: RBAC policy, flow schemas and priority levels. They are parsed when
//! asked for, which is once in the life of a database and at each reconciliation of it.

use crate::api::Object;

/// Cluster roles, their bindings, then roles and bindings of namespaces, in the order in which upstream makes them.
pub fn bootstrap_rbac() -> Vec<Object> {
    parse(include_str!("rbac.txt"))
}

/// Priority levels, then flow schemas; the mandatory ones (`exempt`, `catch-all`) first among each.
pub fn bootstrap_flow_control() -> Vec<Object> {
    parse(include_str!("flow.txt"))
}

fn parse(text: &str) -> Vec<Object> {
    let start = text.find("\n{").unwrap_or(text.len()); // after the comments
    let objects = serde_json::Deserializer::from_str(&text[start..]).into_iter();
    let object = |value: serde_json::Result<serde_json::Value>| value.ok().and_then(|v| Object::from_value(v).ok());
    objects.map(|value| object(value).expect(super::WELL_FORMED)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::*;

    #[test]
    fn every_object_is_of_a_served_kind() {
        let facts = Facts::load();
        for object in bootstrap_rbac().iter().chain(&bootstrap_flow_control()) {
            assert!(facts.kinds.iter().any(|k| k.gvk == object.gvk() && k.served_by_default), "{:?}", object.gvk());
        }
    }

    #[test]
    fn the_roles_that_people_are_given_are_there() {
        let all = bootstrap_rbac();
        for name in ["cluster-admin", "admin", "edit", "view", "system:node", "system:controller:deployment-controller"]
        {
            assert!(all.iter().any(|o| o.name() == name && o.gvk().kind == "ClusterRole"), "{name}");
        }
        assert!(all.iter().any(|o| o.gvk().kind == "RoleBinding" && o.namespace() == "kube-system"));
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
