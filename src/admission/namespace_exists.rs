//! `NamespaceExists`: nothing is written where there is no namespace (K `plugin/pkg/admission/namespace/exists`).

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::{GroupResource, Status};
use crate::resources::Kind;

pub(super) struct NamespaceExists;

impl Plugin for NamespaceExists {
    fn name(&self) -> &'static str {
        "NamespaceExists"
    }

    fn handles(&self, operation: Operation, kind: &Kind, _: &str) -> bool {
        operation != Operation::Connect && kind.namespaced
    }

    fn validate<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        let namespace = attributes.namespace();
        let there = namespace.is_empty() || ctx.store.snapshot().find("namespaces", "", namespace).is_some();
        let resource = GroupResource { group: "".into(), resource: "namespaces".into() };
        let missing = || Status::not_found(&resource, namespace);
        Answer::Ready(if there { Ok(()) } else { Err(missing()) })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    #[tokio::test]
    async fn an_object_needs_its_namespace() {
        let trial = Trial::new().await;
        put(&trial.context.store, "namespaces", json!({ "metadata": { "name": "n" } })).await;
        let map = |namespace: &str| json!({ "metadata": { "name": "a", "namespace": namespace } });
        assert!(trial.validate(&NamespaceExists, "configmaps", map("n")).await.is_ok());
        let refused = trial.validate(&NamespaceExists, "configmaps", map("none")).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (404, "namespaces \"none\" not found"));
    }
}
