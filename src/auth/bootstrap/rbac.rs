//! How the policy that a cluster starts with meets what is there: missing rules, subjects and labels are added,
//! nothing is taken away, and what says `autoupdate: "false"` is left alone (component-helpers
//! `auth/rbac/reconciliation`).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::Object;
use crate::auth::PolicyRule;
use crate::auth::authorize::rbac::uncovered;

pub(super) const GROUP: &str = "rbac.authorization.k8s.io";
const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

/// A role with what it misses; `None`: it misses nothing or wants nothing.
pub(super) fn role(wished: &Object, present: &Object) -> Option<Object> {
    if present.annotation(AUTO_UPDATE) == Some("false") {
        return None;
    }
    let mut next = with_metadata(wished, present);
    let missing = uncovered(&rules(present), &rules(wished));
    if !missing.is_empty() {
        let added = missing.into_iter().filter_map(|rule| serde_json::to_value(rule).ok());
        next.set(&["rules"], list(present, &["rules"]).iter().cloned().chain(added).collect::<Vec<_>>());
    }
    const SELECTORS: [&str; 2] = ["aggregationRule", "clusterRoleSelectors"];
    let aggregated = |role: &Object| role.get(&["aggregationRule"]).is_some_and(|rule| !rule.is_null());
    if aggregated(present) && !aggregated(wished) {
        next.remove(&["aggregationRule"]);
    }
    let has = list(present, &SELECTORS);
    let more: Vec<_> = list(wished, &SELECTORS).iter().filter(|selector| !has.contains(selector)).cloned().collect();
    if !more.is_empty() {
        next.set(&SELECTORS, has.iter().cloned().chain(more).collect::<Vec<_>>());
    }
    (next != *present).then_some(next)
}

/// A binding with the subjects that it misses.
pub(super) fn binding(wished: &Object, present: &Object) -> Option<Object> {
    if present.annotation(AUTO_UPDATE) == Some("false") {
        return None;
    }
    if another_role(wished, present) {
        return Some(wished.clone());
    }
    let mut next = with_metadata(wished, present);
    let has = list(present, &["subjects"]);
    let same = |a: &Value, b: &Value| ["kind", "name", "namespace"].iter().all(|f| text(a, f) == text(b, f));
    let missing = list(wished, &["subjects"]).iter().filter(|wish| !has.iter().any(|has| same(has, wish)));
    let missing: Vec<_> = missing.cloned().collect();
    if !missing.is_empty() {
        next.set(&["subjects"], has.iter().cloned().chain(missing).collect::<Vec<_>>());
    }
    (next != *present).then_some(next)
}

/// Whether a binding refers to another role than it should.
pub(super) fn another_role(wished: &Object, present: &Object) -> bool {
    let role = |object: &Object, field| object.text_at(&["roleRef", field]).to_owned();
    ["apiGroup", "kind", "name"].iter().any(|field| role(wished, field) != role(present, field))
}

fn with_metadata(wished: &Object, present: &Object) -> Object {
    let mut next = present.clone();
    for field in ["labels", "annotations"] {
        let path = ["metadata", field];
        let mut merged = wished.get(&path).and_then(Value::as_object).cloned().unwrap_or_default();
        merged.extend(present.get(&path).and_then(Value::as_object).cloned().unwrap_or_default());
        if !merged.is_empty() {
            next.set(&path, json!(merged));
        }
    }
    next
}

fn rules(role: &Object) -> Vec<PolicyRule> {
    list(role, &["rules"]).iter().filter_map(|rule| PolicyRule::deserialize(rule).ok()).collect()
}

fn list<'a>(object: &'a Object, path: &[&str]) -> &'a [Value] {
    object.get(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::bootstrap::{must_be_made_again, reconciled};

    fn role_of(auto: &str, rules: Value) -> Object {
        Object::from_value(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": "r", "annotations": { AUTO_UPDATE: auto } }, "rules": rules,
        }))
        .unwrap()
    }

    fn rule(verbs: &[&str]) -> Value {
        json!({ "verbs": verbs, "apiGroups": [""], "resources": ["pods"] })
    }

    #[test]
    fn missing_rules_are_added_to_the_users_own() {
        let present = role_of("true", json!([rule(&["get", "delete"])]));
        let wished = role_of("true", json!([rule(&["get", "list"])]));
        let next = reconciled(&wished, Some(&present)).unwrap();
        assert_eq!(next.get(&["rules"]), Some(&json!([rule(&["get", "delete"]), rule(&["list"])])));
        assert_eq!(reconciled(&wished, Some(&next)), None);
    }

    #[test]
    fn a_role_that_the_user_took_over_is_left_alone() {
        let present = role_of("false", json!([]));
        assert_eq!(reconciled(&role_of("true", json!([rule(&["get"])])), Some(&present)), None);
    }

    #[test]
    fn missing_subjects_are_added_and_a_changed_role_needs_a_new_binding() {
        let binding = |role: &str, subjects: Value| {
            Object::from_value(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": "b" },
                "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role }, "subjects": subjects,
            }))
            .unwrap()
        };
        let (ann, bob) = (json!({ "kind": "User", "name": "ann" }), json!({ "kind": "User", "name": "bob" }));
        let present = binding("r", json!([ann]));
        let next = reconciled(&binding("r", json!([bob])), Some(&present)).unwrap();
        assert_eq!(next.get(&["subjects"]), Some(&json!([ann, bob])));
        assert!(!must_be_made_again(&binding("r", json!([])), &present));
        assert!(must_be_made_again(&binding("s", json!([])), &present));
    }
}
