//! `NamespaceLifecycle`: nothing is created where there is no namespace or where it is going away, and the three
//! namespaces of the system stay (apiserver `pkg/admission/plugin/namespace/lifecycle`).

use super::{Answer, Attributes, Context, Operation, Plugin};
use crate::api::status::Cause;
use crate::api::{GroupResource, Result, Status};
use crate::resources::Kind;

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) struct NamespaceLifecycle;

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, operation: Operation, kind: &Kind, _: &str) -> bool {
        match operation {
            Operation::Create => kind.namespaced,
            Operation::Delete => kind.resource == "namespaces" && kind.gvk.group.is_empty(),
            Operation::Update | Operation::Connect => false,
        }
    }

    fn admit<'a>(&'a self, ctx: &'a Context, attributes: &'a mut Attributes<'_>) -> Answer<'a> {
        Answer::Ready(check(ctx, attributes))
    }
}

fn check(ctx: &Context, attributes: &Attributes<'_>) -> Result<()> {
    let namespaces = || GroupResource { group: "".into(), resource: "namespaces".into() };
    if attributes.operation == Operation::Delete {
        let name = attributes.target.name.as_str();
        return match IMMORTAL.contains(&name) {
            true => Err(Status::forbidden(&namespaces(), name, "this namespace may not be deleted")),
            false => Ok(()),
        };
    }
    // Whoever asks what he may in a namespace must not learn whether it is there.
    if attributes.target.namespace.is_empty() || attributes.about("authorization.k8s.io", "localsubjectaccessreviews") {
        return Ok(());
    }
    let namespace = attributes.target.namespace.as_str();
    let snapshot = ctx.store.snapshot();
    let found = snapshot.find("namespaces", "", namespace);
    let stored = found.ok_or_else(|| Status::not_found(&namespaces(), namespace))?;
    let terminating = stored.facts.field("status.phase").is_some_and(|phase| **phase == *"Terminating");
    if !terminating && !stored.facts.deleting {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    Err(attributes.forbidden(why).with_cause(Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    }))
}
