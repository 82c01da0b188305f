//! What roles and bindings in a store allow.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::auth::fixture::{empty_store, put, remove};

const CLUSTER_ROLES: &str = COLLECTIONS[0];
const CLUSTER_BINDINGS: &str = COLLECTIONS[1];
const ROLES: &str = COLLECTIONS[2];
const BINDINGS: &str = COLLECTIONS[3];

fn role(namespace: &str, name: &str, rules: Value) -> Value {
    json!({ "metadata": { "namespace": namespace, "name": name }, "rules": rules })
}

fn binding(namespace: &str, name: &str, role: (&str, &str), subjects: Value) -> Value {
    json!({
        "metadata": { "namespace": namespace, "name": name }, "subjects": subjects,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1 },
    })
}

fn reads_pods() -> Value {
    json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"] }])
}

fn user(name: &str, groups: &[&str]) -> User {
    User { name: name.to_owned(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), ..User::default() }
}

fn ask(user: &User, verb: &str, namespace: &str) -> Attributes {
    Attributes {
        user: user.clone().into(),
        verb: verb.to_owned(),
        resource_request: true,
        resource: "pods".to_owned(),
        namespace: namespace.to_owned(),
        ..Attributes::default()
    }
}

#[track_caller]
fn check(rbac: &Rbac, asked: &Attributes, reason: Option<&str>) {
    let expected = match reason {
        Some(reason) => Decision::Allow { reason: format!("RBAC: allowed by {reason}") },
        None => Decision::NoOpinion { reason: String::new() },
    };
    assert_eq!(rbac.policies().decide(asked), expected);
}

#[tokio::test]
async fn bindings_grant_in_their_namespace_and_cluster_bindings_everywhere() {
    let store = empty_store().await;
    put(&store, CLUSTER_ROLES, role("", "view", reads_pods())).await;
    put(&store, ROLES, role("web", "read", reads_pods())).await;
    put(
        &store,
        CLUSTER_BINDINGS,
        binding("", "all", ("ClusterRole", "view"), json!([{ "kind": "Group", "name": "ops" }])),
    )
    .await;
    put(&store, BINDINGS, binding("web", "some", ("Role", "read"), json!([{ "kind": "User", "name": "bob" }]))).await;
    let subjects = json!([{ "kind": "ServiceAccount", "name": "bot" }, { "kind": "ServiceAccount", "name": "far", "namespace": "db" }]);
    put(&store, BINDINGS, binding("web", "bots", ("ClusterRole", "view"), subjects)).await;
    let rbac = Rbac::new(store);
    let everywhere = Some(r#"ClusterRoleBinding "all" of ClusterRole "view" to Group "ops""#);
    check(&rbac, &ask(&user("eve", &["ops"]), "get", ""), everywhere);
    check(&rbac, &ask(&user("eve", &["ops"]), "get", "db"), everywhere);
    check(&rbac, &ask(&user("eve", &["ops"]), "delete", "db"), None);
    check(&rbac, &ask(&user("bob", &[]), "get", "web"), Some(r#"RoleBinding "some/web" of Role "read" to User "bob""#));
    check(&rbac, &ask(&user("bob", &[]), "get", "db"), None);
    check(&rbac, &ask(&user("bob", &[]), "get", ""), None);
    let near = Some(r#"RoleBinding "bots/web" of ClusterRole "view" to ServiceAccount "bot/web""#);
    check(&rbac, &ask(&user("system:serviceaccount:web:bot", &[]), "list", "web"), near);
    let far = Some(r#"RoleBinding "bots/web" of ClusterRole "view" to ServiceAccount "far/db""#);
    check(&rbac, &ask(&user("system:serviceaccount:db:far", &[]), "list", "web"), far);
    check(&rbac, &ask(&user("system:serviceaccount:web:far", &[]), "list", "web"), None);
}

#[tokio::test]
async fn changes_of_roles_and_bindings_count_at_once() {
    let store = empty_store().await;
    let rbac = Rbac::new(store.clone());
    let bob = user("bob", &[]);
    check(&rbac, &ask(&bob, "get", "web"), None);
    put(&store, CLUSTER_BINDINGS, binding("", "b", ("ClusterRole", "r"), json!([{ "kind": "User", "name": "bob" }])))
        .await;
    let missing = r#"RBAC: clusterrole.rbac.authorization.k8s.io "r" not found"#.to_owned();
    assert_eq!(rbac.policies().decide(&ask(&bob, "get", "web")), Decision::NoOpinion { reason: missing });
    put(&store, CLUSTER_ROLES, role("", "r", reads_pods())).await;
    let reason = Some(r#"ClusterRoleBinding "b" of ClusterRole "r" to User "bob""#);
    check(&rbac, &ask(&bob, "get", "web"), reason);
    put(&store, CLUSTER_ROLES, role("", "r", json!(null))).await;
    check(&rbac, &ask(&bob, "get", "web"), None);
    put(&store, CLUSTER_ROLES, role("", "r", reads_pods())).await;
    check(&rbac, &ask(&bob, "get", "web"), reason);
    remove(&store, CLUSTER_BINDINGS, ("", "b")).await;
    check(&rbac, &ask(&bob, "get", "web"), None);
}

#[tokio::test]
async fn policies_are_compiled_once_while_nothing_changes() {
    let store = empty_store().await;
    put(&store, CLUSTER_ROLES, role("", "r", reads_pods())).await;
    let rbac = Rbac::new(store.clone());
    let first = rbac.policies();
    put(&store, "pods", json!({ "metadata": { "namespace": "web", "name": "p" } })).await;
    assert!(Arc::ptr_eq(&first, &rbac.policies()));
    put(&store, CLUSTER_ROLES, role("", "s", reads_pods())).await;
    assert!(!Arc::ptr_eq(&first, &rbac.policies()));
}

#[tokio::test]
async fn rules_of_a_user_are_those_of_all_his_bindings() {
    let store = empty_store().await;
    put(&store, ROLES, role("web", "read", reads_pods())).await;
    let subjects = json!([{ "kind": "User", "name": "bob" }]);
    put(&store, BINDINGS, binding("web", "a", ("Role", "read"), subjects.clone())).await;
    put(&store, BINDINGS, binding("web", "b", ("Role", "gone"), subjects)).await;
    let rbac = Rbac::new(store);
    let rules = rbac.rules(&user("bob", &[]), "web");
    assert_eq!(rules.rules.len(), 1);
    assert_eq!(rules.error, r#"role.rbac.authorization.k8s.io "gone" not found"#);
    assert_eq!(rbac.rules(&user("bob", &[]), "db"), Rules::default());
}
