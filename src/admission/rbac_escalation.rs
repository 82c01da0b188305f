//! Nobody grants what he does not hold, unless he may `escalate` roles or `bind` the role. Upstream does this in the
//! storage of the RBAC kinds (Kubernetes `pkg/registry/rbac/*/policybased`), so that no flag switches it off.

use serde::Deserialize;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::{Object, Result, Status};
use crate::auth::authorize::SUPERUSERS;
use crate::auth::authorize::rbac::{PolicyRule, RoleRef, confirm_no_escalation, full_authority};
use crate::auth::{self, Decision};
use crate::resources::Kind;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) struct RbacEscalation;

impl Plugin for RbacEscalation {
    fn name(&self) -> &'static str {
        "RbacEscalation"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let kinds = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"];
        let writes = matches!(operation, Operation::Create | Operation::Update);
        writes && subresource.is_empty() && kind.gvk.group == GROUP && kinds.contains(&&*kind.resource)
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Later(Box::pin(check(ctx, attributes)))
    }
}

async fn check(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let Some(object) = attributes.object.as_deref() else { return Ok(()) };
    if attributes.user.in_group(SUPERUSERS) || attributes.old.is_some_and(|old| same_but_for_deletion(object, old)) {
        return Ok(());
    }
    if attributes.kind.resource.ends_with("roles") {
        role(ctx, attributes, object).await
    } else {
        binding(ctx, attributes, object).await
    }
}

async fn role(ctx: &Context, attributes: &Attributes<'_>, role: &Object) -> Result<()> {
    let named = (&*attributes.kind.resource, attributes.target.name.as_str());
    if allowed(ctx, attributes, "escalate", named).await {
        return Ok(());
    }
    let held = ctx.authorizer.rules(attributes.user, &attributes.target.namespace);
    let forbidden = |why: &str| Status::forbidden(&attributes.kind.group_resource(), role.name(), why);
    confirm_no_escalation(attributes.user, &held, &rules(role)).map_err(|why| forbidden(&why))?;
    let aggregates = |role: &Object| {
        let selectors = role.get(&["aggregationRule", "clusterRoleSelectors"]).and_then(|list| list.as_array());
        selectors.is_some_and(|list| !list.is_empty())
    };
    if aggregates(role) || attributes.old.is_some_and(aggregates) {
        confirm_no_escalation(attributes.user, &held, &full_authority())
            .map_err(|_| forbidden("must have cluster-admin privileges to use the aggregationRule"))?;
    }
    Ok(())
}

async fn binding(ctx: &Context, attributes: &Attributes<'_>, binding: &Object) -> Result<()> {
    let reference = binding.get(&["roleRef"]).cloned().unwrap_or_default();
    let reference = RoleRef::deserialize(reference).unwrap_or_default();
    let (resource, home) = match reference.kind.as_str() {
        "ClusterRole" => ("clusterroles", ""),
        "Role" => ("roles", attributes.target.namespace.as_str()),
        // Validation refuses it.
        _ => return Ok(()),
    };
    if allowed(ctx, attributes, "bind", (resource, &reference.name)).await {
        return Ok(());
    }
    let snapshot = ctx.store.snapshot();
    let stored = snapshot.find(&format!("{resource}.{GROUP}"), home, &reference.name);
    let role = stored.and_then(|stored| Object::from_json(&stored.body.json).ok()).ok_or_else(|| {
        // Upstream names the resource of the request, not that of the role.
        Status::not_found(&attributes.kind.group_resource(), &reference.name)
    })?;
    let held = ctx.authorizer.rules(attributes.user, &attributes.target.namespace);
    confirm_no_escalation(attributes.user, &held, &rules(&role))
        .map_err(|why| Status::forbidden(&attributes.kind.group_resource(), binding.name(), &why))
}

async fn allowed(ctx: &Context, attributes: &Attributes<'_>, verb: &str, (resource, name): (&str, &str)) -> bool {
    let asked = auth::Attributes {
        user: attributes.user.clone().into(),
        verb: verb.to_owned(),
        resource_request: true,
        group: GROUP.to_owned(),
        version: "*".to_owned(),
        resource: resource.to_owned(),
        namespace: attributes.target.namespace.clone(),
        name: name.to_owned(),
        ..auth::Attributes::default()
    };
    matches!(ctx.authorizer.authorize(&asked).await, Decision::Allow { .. })
}

fn rules(role: &Object) -> Vec<PolicyRule> {
    let list = role.get(&["rules"]).and_then(|rules| rules.as_array()).cloned().unwrap_or_default();
    list.into_iter().filter_map(|rule| PolicyRule::deserialize(rule).ok()).collect()
}

/// Whether an update changes nothing but what the garbage collector needs to get rid of the object.
fn same_but_for_deletion(new: &Object, old: &Object) -> bool {
    let bare = |object: &Object| {
        let mut bare = object.clone();
        for field in ["ownerReferences", "finalizers", "managedFields"] {
            bare.remove(&["metadata", field]);
        }
        bare
    };
    bare(new) == bare(old)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::admission::trial::Trial;
    use crate::api::request::User;
    use crate::auth::fixture::put;

    const ROLES: &str = "clusterroles.rbac.authorization.k8s.io";

    async fn trial() -> Trial {
        let mut trial = Trial::new().await;
        trial.user = User { name: "bob".to_owned(), groups: vec!["dev".to_owned()], ..User::default() };
        for (name, rules) in [
            ("reader", json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }])),
            (
                "binder",
                json!([{ "apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["big"], "verbs": ["bind"] }]),
            ),
            ("big", json!([{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }])),
        ] {
            put(&trial.context.store, ROLES, json!({ "metadata": { "name": name }, "rules": rules })).await;
        }
        trial
    }

    async fn bind(trial: &Trial, role: &str) {
        let binding = json!({
            "metadata": { "name": role }, "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role },
            "subjects": [{ "kind": "User", "name": "bob" }],
        });
        put(&trial.context.store, "clusterrolebindings.rbac.authorization.k8s.io", binding).await;
    }

    fn role(rules: Value) -> Value {
        json!({ "metadata": { "name": "new" }, "rules": rules })
    }

    fn binding(role: &str) -> Value {
        json!({ "metadata": { "name": "new" }, "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role } })
    }

    #[tokio::test]
    async fn a_role_may_hold_what_its_maker_holds_and_no_more() {
        let trial = trial().await;
        bind(&trial, "reader").await;
        let get = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }]);
        trial.admit(&RbacEscalation, "clusterroles", role(get)).await.unwrap();
        let list = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] }]);
        let refused = trial.admit(&RbacEscalation, "clusterroles", role(list)).await.unwrap_err();
        let message = "clusterroles.rbac.authorization.k8s.io \"new\" is forbidden: user \"bob\" (groups=[\"dev\"]) is \
                       attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], \
                       Verbs:[\"list\"]}";
        assert_eq!(refused.message(), message);
    }

    #[tokio::test]
    async fn a_binding_needs_the_rules_or_the_right_to_bind() {
        let trial = trial().await;
        let resource = "clusterrolebindings";
        assert_eq!(trial.admit(&RbacEscalation, resource, binding("big")).await.unwrap_err().code(), 403);
        bind(&trial, "binder").await;
        trial.admit(&RbacEscalation, resource, binding("big")).await.unwrap();
        assert_eq!(trial.admit(&RbacEscalation, resource, binding("reader")).await.unwrap_err().code(), 403);
        let gone = trial.admit(&RbacEscalation, resource, binding("gone")).await.unwrap_err();
        assert_eq!(gone.message(), "clusterrolebindings.rbac.authorization.k8s.io \"gone\" not found");
    }

    #[tokio::test]
    async fn masters_grant_everything() {
        let mut trial = trial().await;
        trial.user.groups.push(SUPERUSERS.to_owned());
        trial.admit(&RbacEscalation, "clusterrolebindings", binding("big")).await.unwrap();
    }
}
