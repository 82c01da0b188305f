//! `StorageObjectInUseProtection`: volumes, claims and classes of volume attributes keep what uses them from losing
//! them; each is created with a finalizer, which a controller takes away when nothing uses the object any more.

use serde_json::json;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::resources::Kind;

/// Group, resource and finalizer.
const PROTECTED: &[(&str, &str, &str)] = &[
    ("", "persistentvolumes", "kubernetes.io/pv-protection"),
    ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
    ("storage.k8s.io", "volumeattributesclasses", "kubernetes.io/vac-protection"),
];

pub(super) struct StorageObjectInUseProtection;

impl Plugin for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Create && subresource.is_empty() && finalizer(kind).is_some()
    }

    fn admit<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        let finalizer = finalizer(attributes.kind);
        if let (Some(object), Some(finalizer)) = (attributes.object.as_deref_mut(), finalizer) {
            let mut finalizers: Vec<String> = object.finalizers().map(str::to_owned).collect();
            if !finalizers.iter().any(|name| name == finalizer) {
                finalizers.push(finalizer.to_owned());
                object.set(&["metadata", "finalizers"], json!(finalizers));
            }
        }
        Answer::Ready(Ok(()))
    }
}

fn finalizer(kind: &Kind) -> Option<&'static str> {
    let row = PROTECTED.iter().find(|(group, resource, _)| kind.gvk.group == *group && kind.resource == *resource);
    row.map(|(_, _, finalizer)| *finalizer)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::admission::trial::Trial;

    #[tokio::test]
    async fn volumes_and_claims_are_created_with_a_finalizer_once() {
        let trial = Trial::new().await;
        let finalizers = async |resource: &str, object: Value| {
            let object = trial.admit(&StorageObjectInUseProtection, resource, object).await.unwrap();
            object.get(&["metadata", "finalizers"]).cloned()
        };
        let named = |finalizers: Value| json!({ "metadata": { "name": "a", "finalizers": finalizers } });
        let claim =
            finalizers("persistentvolumeclaims", json!({ "metadata": { "namespace": "web", "name": "a" } })).await;
        assert_eq!(claim, Some(json!(["kubernetes.io/pvc-protection"])));
        let volume = finalizers("persistentvolumes", named(json!(["a/b"]))).await;
        assert_eq!(volume, Some(json!(["a/b", "kubernetes.io/pv-protection"])));
        let twice = finalizers("persistentvolumes", named(json!(["kubernetes.io/pv-protection", "a/b"]))).await;
        assert_eq!(twice, Some(json!(["kubernetes.io/pv-protection", "a/b"])));
    }
}
