//! One request as the expressions of policies see it: in the version that a policy asked for, with its namespace and the
//! authorizers.

use std::sync::Arc;

use serde_json::Value;

use crate::admission::expressions::Asking;
use crate::admission::{Attributes, Context, Invocation};
use crate::api::cel::{self, admission::Inputs};
use crate::api::{GroupResource, GroupVersionKind, Object, Result, Status};

/// What all policies of one request share.
pub(super) struct Stage {
    asking: Asking,
    resource: cel::Request,
    pub namespace: Option<Object>,
}

impl Stage {
    /// # Errors
    /// 404 when the namespace of the request is not there.
    pub(super) fn new(ctx: &Context, attributes: &Attributes<'_>) -> Result<Self> {
        Ok(Self {
            asking: Asking::new(&ctx.authorizer, attributes.user),
            resource: attributes.request_resource(),
            namespace: namespace(ctx, attributes)?,
        })
    }

    /// The outcome of expressions, when the authorizers have answered all that they ask.
    pub(super) async fn settled<T>(&self, evaluate: impl FnMut() -> T) -> T {
        self.asking.settled(evaluate).await
    }
}

/// The request in one version.
pub(super) struct Scene {
    pub kind: Arc<crate::resources::Kind>,
    pub object: Option<Object>,
    pub old: Option<Object>,
    /// Whether a policy changed the object.
    pub changed: bool,
    /// `request` of match conditions, which are told the resource of the request itself.
    condition_request: Value,
    request: Value,
}

impl Scene {
    /// # Errors
    /// Those of the webhook that converts between the versions.
    pub(super) async fn new(ctx: &Context, attributes: &Attributes<'_>, invocation: &Invocation) -> Result<Self> {
        let (object, old) = ctx.shown(attributes, &invocation.kind).await?;
        let request = Value::Object(attributes.request(invocation));
        let mut condition_request = request.clone();
        condition_request["resource"] = request["requestResource"].clone();
        Ok(Self { kind: invocation.kind.clone(), object, old, changed: false, condition_request, request })
    }

    /// What match conditions see.
    pub(super) fn conditions<'a>(&'a self, stage: &'a Stage, params: Option<&'a Object>) -> Inputs<'a> {
        Inputs { request: &self.condition_request, ..self.inputs(stage, params) }
    }

    /// What all other expressions see.
    pub(super) fn inputs<'a>(&'a self, stage: &'a Stage, params: Option<&'a Object>) -> Inputs<'a> {
        Inputs {
            object: self.object.as_ref(),
            old_object: self.old.as_ref(),
            params,
            request: &self.request,
            namespace: stage.namespace.as_ref(),
            authorizer: Some((&stage.asking, &stage.resource)),
        }
    }
}

/// `namespaceObject`: what upstream shows of the namespace of a request; of a namespace itself nothing.
fn namespace(ctx: &Context, attributes: &Attributes<'_>) -> Result<Option<Object>> {
    const NAMESPACE: GroupVersionKind = GroupVersionKind::of("", "v1", "Namespace");
    const HIDDEN: [&str; 3] = ["managedFields", "ownerReferences", "selfLink"];
    let name = attributes.namespace();
    if name.is_empty() || *attributes.kind.payload(&attributes.target.subresource) == NAMESPACE {
        return Ok(None);
    }
    let resource = GroupResource { group: "".into(), resource: "namespaces".into() };
    let snapshot = ctx.store.snapshot();
    let stored = snapshot.find("namespaces", "", name).ok_or_else(|| Status::not_found(&resource, name))?;
    let mut object = Object::from_json(&stored.body.json).map_err(Status::internal)?;
    object.root_mut().retain(|key, _| matches!(key.as_str(), "metadata" | "spec" | "status"));
    for hidden in HIDDEN {
        object.remove(&["metadata", hidden]);
    }
    Ok(Some(object))
}
