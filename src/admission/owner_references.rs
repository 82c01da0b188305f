//! `OwnerReferencesPermissionEnforcement`: who hangs an object on another must be able to delete it, and who makes it
//! block the deletion of its owner must be able to set the owner's finalizers (K `plugin/pkg/admission/gc`).

use serde_json::Value;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::{GroupVersionKind, Object, Result};
use crate::auth::{self, Denied};
use crate::resources::Kind;

pub(super) struct OwnerReferencesPermissionEnforcement;

impl Plugin for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let of_nodes = kind.gvk.group.is_empty() && kind.resource == "pods" && subresource == "status";
        matches!(operation, Operation::Create | Operation::Update) && !of_nodes
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Later(Box::pin(check(ctx, attributes)))
    }
}

async fn check(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let new: Vec<&Value> = attributes.object.as_deref().into_iter().flat_map(owners).collect();
    let old: Vec<&Value> = attributes.old.into_iter().flat_map(owners).collect();
    if new == old {
        return Ok(());
    }
    let target = attributes.target;
    let asked = auth::Attributes {
        user: attributes.user.clone().into(),
        verb: "update".to_owned(),
        resource_request: true,
        ..auth::Attributes::default()
    };
    if attributes.operation != Operation::Create {
        let delete = auth::Attributes {
            verb: "delete".to_owned(),
            group: target.group.clone(),
            version: target.version.clone(),
            resource: target.resource.clone(),
            subresource: target.subresource.clone(),
            namespace: attributes.namespace().to_owned(),
            name: attributes.object_name().to_owned(),
            ..asked.clone()
        };
        if let Err(reason) = allowed(ctx, &delete).await {
            let why = format!("cannot set an ownerRef on a resource you can't delete: {reason}");
            return Err(attributes.forbidden(why));
        }
    }
    let finalizers = auth::Attributes { version: "*".to_owned(), subresource: "finalizers".to_owned(), ..asked };
    let any = || "*".to_owned();
    let anything = auth::Attributes { group: any(), resource: any(), name: any(), ..finalizers.clone() };
    let blocking: Vec<&Value> = new.into_iter().filter(|owner| blocks(owner) && !blocked(&old, owner)).collect();
    if blocking.is_empty() || allowed(ctx, &anything).await.is_ok() {
        return Ok(());
    }
    for owner in blocking {
        let asked = of_owner(ctx, attributes, (owner, &finalizers))?;
        if let Err(reason) = allowed(ctx, &asked).await {
            let why = format!(
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: \
                 {reason}"
            );
            return Err(attributes.forbidden(why));
        }
    }
    Ok(())
}

/// The right to set the finalizers of an owner.
fn of_owner(
    ctx: &Context,
    attributes: &Attributes<'_>,
    (owner, asked): (&Value, &auth::Attributes),
) -> Result<auth::Attributes> {
    let text = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let gvk = GroupVersionKind::parse(api_version, kind);
    let served = ctx.catalog.served();
    let Some(found) = served.find_kind(&gvk.group, &gvk.version, &gvk.kind) else {
        let (quoted, group) = (crate::api::field::go_quote(kind), gvk.api_version());
        let quoted_group = crate::api::field::go_quote(&group);
        return Err(attributes.forbidden(format!(
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {api_version} \
             Kind {kind}: no matches for kind {quoted} in version {quoted_group}"
        )));
    };
    Ok(auth::Attributes {
        group: found.gvk.group.to_string(),
        version: found.gvk.version.to_string(),
        resource: found.resource.to_string(),
        namespace: if found.namespaced { attributes.namespace().to_owned() } else { String::new() },
        name: text("name").to_owned(),
        ..asked.clone()
    })
}

async fn allowed(ctx: &Context, asked: &auth::Attributes) -> std::result::Result<(), String> {
    let denied = |Denied { reason, error }| format!("{reason}, {}", error.as_deref().unwrap_or("<nil>"));
    ctx.authorizer.authorize(asked).await.allowed().map_err(denied)
}

fn owners(object: &Object) -> impl Iterator<Item = &Value> {
    object.get(&["metadata", "ownerReferences"]).and_then(Value::as_array).into_iter().flatten()
}

fn blocks(owner: &Value) -> bool {
    owner.get("blockOwnerDeletion") == Some(&Value::Bool(true))
}

fn blocked(old: &[&Value], owner: &Value) -> bool {
    old.iter().any(|known| known.get("uid") == owner.get("uid") && blocks(known))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;

    fn map(owners: Value) -> Value {
        json!({ "metadata": { "name": "m", "namespace": "n", "ownerReferences": owners } })
    }

    #[tokio::test]
    async fn an_owner_is_not_blocked_by_who_may_not_set_its_finalizers() {
        let mut trial = Trial::new().await;
        let owner = |blocks: bool| json!([{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "blockOwnerDeletion": blocks }]);
        let plugin = OwnerReferencesPermissionEnforcement;
        assert!(trial.validate(&plugin, "configmaps", map(owner(false))).await.is_ok());
        let refused = trial.validate(&plugin, "configmaps", map(owner(true))).await.unwrap_err();
        let message = "configmaps \"m\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a \
                       resource you can't set finalizers on: , <nil>";
        assert_eq!(refused.message(), message);
        let refused = trial.update(&plugin, "configmaps", (map(json!([])), map(owner(false)))).await.unwrap_err();
        let message = "configmaps \"m\" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>";
        assert_eq!(refused.message(), message);
        trial.user.groups.push("system:masters".to_owned());
        assert!(trial.validate(&plugin, "configmaps", map(owner(true))).await.is_ok());
    }
}
