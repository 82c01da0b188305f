//! `DefaultIngressClass`: an ingress that names no class gets the default one, the newest if there are several.

use serde_json::Value;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::Object;
use crate::resources::Kind;

const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
const CLASS_OF_OLD: &str = "kubernetes.io/ingress.class";

pub(super) struct DefaultIngressClass;

impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        operation == Operation::Create
            && subresource.is_empty()
            && kind.resource == "ingresses"
            && kind.gvk.group == "networking.k8s.io"
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        if let Some(ingress) = attributes.object.as_deref_mut()
            && ingress.annotation(CLASS_OF_OLD).is_none()
            && ingress.get(&["spec", "ingressClassName"]).is_none_or(Value::is_null)
            && let Some(class) = default_class(ctx)
        {
            ingress.set(&["spec", "ingressClassName"], class);
        }
        Answer::Ready(Ok(()))
    }
}

fn default_class(ctx: &Context) -> Option<String> {
    let snapshot = ctx.store.snapshot();
    let classes = snapshot.list("ingressclasses.networking.k8s.io", None, None);
    let classes = classes.filter_map(|stored| Object::from_json(&stored.body.json).ok());
    let defaults = classes.filter(|class| class.annotation(DEFAULT) == Some("true"));
    let newest_first = |a: &Object, b: &Object| {
        let created = |class: &Object| class.text_at(&["metadata", "creationTimestamp"]).to_owned();
        created(b).cmp(&created(a)).then_with(|| a.name().cmp(b.name()))
    };
    defaults.min_by(newest_first).map(|class| class.name().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;
    use crate::auth::fixture::put;

    #[tokio::test]
    async fn the_default_class_is_taken_unless_one_is_named() {
        let trial = Trial::new().await;
        let annotations = json!({ DEFAULT: "true" });
        let class = json!({ "metadata": { "name": "nginx", "annotations": annotations } });
        put(&trial.context.store, "ingressclasses.networking.k8s.io", class).await;
        let check = async |ingress: Value, expected: Value| {
            let ingress = trial.admit(&DefaultIngressClass, "ingresses", ingress).await.unwrap();
            assert_eq!(ingress.get(&["spec", "ingressClassName"]).cloned().unwrap_or_default(), expected);
        };
        check(json!({ "metadata": {}, "spec": {} }), json!("nginx")).await;
        check(json!({ "metadata": {}, "spec": { "ingressClassName": "own" } }), json!("own")).await;
        check(json!({ "metadata": { "annotations": { CLASS_OF_OLD: "x" } }, "spec": {} }), Value::Null).await;
    }
}
