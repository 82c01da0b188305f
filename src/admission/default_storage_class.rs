//! `DefaultStorageClass`: a claim that names no class gets the default one, the newest if there are several.

use serde_json::Value;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::Object;
use crate::resources::Kind;

const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
const DEFAULT_BETA: &str = "storageclass.beta.kubernetes.io/is-default-class";
const CLASS_BETA: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) struct DefaultStorageClass;

impl Plugin for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Create
            && subresource.is_empty()
            && kind.resource == "persistentvolumeclaims"
            && kind.gvk.group.is_empty()
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        if let Some(claim) = attributes.object.as_deref_mut()
            && claim.annotation(CLASS_BETA).is_none()
            && claim.get(&["spec", "storageClassName"]).is_none_or(Value::is_null)
            && let Some(class) = default_class(ctx)
        {
            claim.set(&["spec", "storageClassName"], class);
        }
        Answer::Ready(Ok(()))
    }
}

fn default_class(ctx: &Context) -> Option<String> {
    let snapshot = ctx.store.snapshot();
    let classes = snapshot.list("storageclasses.storage.k8s.io", None, None);
    let classes = classes.filter_map(|stored| Object::from_json(&stored.body.json).ok());
    let is_default = |class: &Object| [DEFAULT, DEFAULT_BETA].iter().any(|key| class.annotation(key) == Some("true"));
    let newest_first = |a: &Object, b: &Object| {
        let created = |class: &Object| class.text_at(&["metadata", "creationTimestamp"]).to_owned();
        created(b).cmp(&created(a)).then_with(|| a.name().cmp(b.name()))
    };
    classes.filter(is_default).min_by(newest_first).map(|class| class.name().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    #[tokio::test]
    async fn the_newest_default_class_is_taken_unless_one_is_named() {
        let trial = Trial::new().await;
        let claim = || json!({ "metadata": { "namespace": "web", "name": "c" }, "spec": {} });
        let class = async |claim: Value| {
            let claim = trial.admit(&DefaultStorageClass, "persistentvolumeclaims", claim).await.unwrap();
            claim.get(&["spec", "storageClassName"]).cloned()
        };
        assert_eq!(class(claim()).await, None);
        for (name, created) in [("old", "2026-01-01T00:00:00Z"), ("new", "2026-02-01T00:00:00Z")] {
            let annotations = json!({ DEFAULT: "true" });
            let object =
                json!({ "metadata": { "name": name, "creationTimestamp": created, "annotations": annotations } });
            put(&trial.context.store, "storageclasses.storage.k8s.io", object).await;
        }
        assert_eq!(class(claim()).await, Some(json!("new")));
        assert_eq!(class(json!({ "spec": { "storageClassName": "" } })).await, Some(json!("")));
    }
}
