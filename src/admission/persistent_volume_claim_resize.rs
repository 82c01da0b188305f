//! `PersistentVolumeClaimResize`: a claim grows only when it is bound and its class can grow volumes.

use serde_json::Value;

use super::pod_resources::quantity;
use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::{Object, Result};
use crate::resources::Kind;

pub(super) struct PersistentVolumeClaimResize;

impl Plugin for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Update
            && subresource.is_empty()
            && kind.resource == "persistentvolumeclaims"
            && kind.gvk.group.is_empty()
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(check(ctx, attributes))
    }
}

fn check(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let (Some(new), Some(old)) = (attributes.object.as_deref(), attributes.old) else { return Ok(()) };
    let size = |claim: &Object| claim.get(&["spec", "resources", "requests", "storage"]).and_then(quantity);
    if size(new) <= size(old) {
        return Ok(());
    }
    if old.text_at(&["status", "phase"]) != "Bound" {
        return Err(attributes.forbidden("Only bound persistent volume claims can be expanded"));
    }
    if grows(ctx, class(new), class(old)) {
        return Ok(());
    }
    Err(attributes.forbidden(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    ))
}

fn class(claim: &Object) -> &str {
    let of_old = claim.annotation("volume.beta.kubernetes.io/storage-class");
    of_old.unwrap_or_else(|| claim.text_at(&["spec", "storageClassName"]))
}

fn grows(ctx: &Context, new: &str, old: &str) -> bool {
    if new.is_empty() || new != old {
        return false;
    }
    let snapshot = ctx.store.snapshot();
    let class = snapshot.find("storageclasses.storage.k8s.io", "", new);
    let class = class.and_then(|stored| Object::from_json(&stored.body.json).ok());
    class.is_some_and(|class| class.get(&["allowVolumeExpansion"]) == Some(&Value::Bool(true)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    #[tokio::test]
    async fn only_bound_claims_of_a_class_that_grows_may_grow() {
        let trial = Trial::new().await;
        let class = json!({ "metadata": { "name": "fast" }, "allowVolumeExpansion": true });
        put(&trial.context.store, "storageclasses.storage.k8s.io", class).await;
        let claim = |class: &str, size: &str, phase: &str| {
            json!({
                "metadata": { "namespace": "web", "name": "c" }, "status": { "phase": phase },
                "spec": { "storageClassName": class, "resources": { "requests": { "storage": size } } },
            })
        };
        let check = async |class: &str, phase: &str, why: Option<&str>| {
            let objects = (claim(class, "1Gi", phase), claim(class, "2Gi", phase));
            let refused = trial.update(&PersistentVolumeClaimResize, "persistentvolumeclaims", objects).await.err();
            let message = why.map(|why| format!("persistentvolumeclaims \"c\" is forbidden: {why}"));
            assert_eq!(refused.map(|status| status.message().to_owned()), message);
        };
        check("fast", "Bound", None).await;
        check("fast", "Pending", Some("Only bound persistent volume claims can be expanded")).await;
        let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
                   support resize";
        check("slow", "Bound", Some(why)).await;
    }
}
