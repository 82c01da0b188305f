//! `AlwaysPullImages`: nobody uses an image that only lies on a node because somebody else may pull it (K
//! `plugin/pkg/admission/alwayspullimages`).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::cel::admission::aggregate;
use crate::api::field::{FieldError, Path};
use crate::api::status::Reason;
use crate::api::{Object, Result, Status};
use crate::resources::Kind;

const ALWAYS: &str = "Always";
/// In the order in which upstream visits them.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub(super) struct AlwaysPullImages;

impl Plugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }

    fn handles(&self, operation: Operation, kind: &Kind, subresource: &str) -> bool {
        let writes = matches!(operation, Operation::Create | Operation::Update);
        writes && subresource.is_empty() && kind.resource == "pods" && kind.gvk.group.is_empty()
    }

    fn admit<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        let concerned = has_new_images(attributes);
        if let Some(pod) = attributes.object.as_deref_mut().filter(|_| concerned) {
            settle(pod);
        }
        Answer::Ready(Ok(()))
    }

    fn validate<'a>(&'a self, _: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(check(attributes))
    }
}

fn list<'a>(pod: &'a Object, field: &str) -> impl Iterator<Item = &'a Value> {
    pod.get(&["spec", field]).and_then(Value::as_array).into_iter().flatten()
}

fn images(pod: &Object) -> BTreeSet<&str> {
    let containers = CONTAINERS.into_iter().flat_map(|field| list(pod, field));
    containers.filter_map(|container| container.get("image")?.as_str()).collect()
}

fn has_new_images(attributes: &Attributes<'_>) -> bool {
    match (attributes.object.as_deref(), attributes.old) {
        (Some(pod), Some(old)) => !images(pod).is_subset(&images(old)),
        (pod, None) => pod.is_some(),
        (None, Some(_)) => false,
    }
}

fn settle(pod: &mut Object) {
    let spec = pod.object_at(&["spec"]);
    for field in CONTAINERS {
        for container in spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            container["imagePullPolicy"] = ALWAYS.into();
        }
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(image) = volume.get_mut("image").filter(|image| image.is_object()) {
            image["pullPolicy"] = ALWAYS.into();
        }
    }
}

fn check(attributes: &Attributes<'_>) -> Result<()> {
    let Some(pod) = attributes.object.as_deref().filter(|_| has_new_images(attributes)) else { return Ok(()) };
    let spec = Path::new("spec");
    let mut errors: Vec<Status> = Vec::new();
    let mut other = |path: &Path<'_>, policy: Option<&Value>| {
        let policy = policy.and_then(Value::as_str).unwrap_or_default();
        if policy != ALWAYS {
            errors.push(attributes.forbidden(FieldError::not_supported(path, policy, &[ALWAYS])));
        }
    };
    for field in CONTAINERS {
        let at = spec.child(field);
        for (index, container) in list(pod, field).enumerate() {
            other(&at.index(index).child("imagePullPolicy"), container.get("imagePullPolicy"));
        }
    }
    let at = spec.child("volumes");
    for (index, volume) in list(pod, "volumes").enumerate() {
        if let Some(image) = volume.get("image").filter(|image| image.is_object()) {
            other(&at.index(index).child("image").child("pullPolicy"), image.get("pullPolicy"));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    // Upstream answers with an aggregate, which is none of its own statuses.
    let messages: Vec<String> = errors.iter().map(|status| status.message().to_owned()).collect();
    Err(Status::new(500, Reason::Unknown, aggregate(&messages)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admission::trial::Trial;

    fn pod(policy: &str) -> Value {
        json!({ "metadata": { "name": "p", "namespace": "n" }, "spec": {
            "containers": [{ "name": "c", "image": "i", "imagePullPolicy": policy }],
            "volumes": [{ "name": "v", "image": { "reference": "r" } }] } })
    }

    #[tokio::test]
    async fn images_are_always_pulled() {
        let trial = Trial::new().await;
        let pod_of = trial.admit(&AlwaysPullImages, "pods", pod("Never")).await.unwrap();
        assert_eq!(pod_of.get(&["spec", "containers"]).unwrap()[0]["imagePullPolicy"], "Always");
        assert_eq!(pod_of.get(&["spec", "volumes"]).unwrap()[0]["image"]["pullPolicy"], "Always");
    }

    #[tokio::test]
    async fn what_is_changed_afterwards_is_refused() {
        let mut given = pod("Never");
        given["spec"]["volumes"] = json!([]);
        let refused = Trial::new().await.validate(&AlwaysPullImages, "pods", given).await.unwrap_err();
        let message = "pods \"p\" is forbidden: spec.containers[0].imagePullPolicy: Unsupported value: \"Never\": \
                       supported values: \"Always\"";
        assert_eq!(refused.message(), message);
    }
}
