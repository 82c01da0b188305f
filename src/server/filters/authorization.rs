//! May the user do it: one question to the authorizer, and upstream's words when the answer is no.

use std::sync::Arc;

use crate::api::Status;
use crate::api::request::User;
use crate::auth::authorize::refusal;
use crate::auth::{Attributes, Decision, Denied};
use crate::server::Server;
use crate::server::filters::RequestInfo;
use crate::server::metrics::Authorized;

/// Why a request goes no further.
pub(super) enum Refusal {
    Forbidden(Status),
    /// Nobody could tell.
    Failed(String),
}

/// Asks for a request.
///
/// # Errors
/// Unless the authorizer allows it.
pub(super) async fn authorize(server: &Server, info: &RequestInfo, user: &Arc<User>) -> Result<(), Refusal> {
    let attributes = attributes(info, user);
    let began = server.parts().clock.monotonic();
    let decision = server.parts().authorizer.authorize(&attributes).await;
    let how = match &decision {
        Decision::Allow { .. } => Authorized::Allowed,
        Decision::Deny { .. } => Authorized::Denied,
        Decision::NoOpinion { .. } => Authorized::NoOpinion,
        Decision::Failed { .. } => Authorized::Error,
    };
    let took = server.parts().clock.monotonic().saturating_sub(began);
    server.metrics().attempts.authorized(how, took);
    decision.allowed().map_err(|Denied { reason, error }| match error {
        Some(error) => Refusal::Failed(error),
        None => Refusal::Forbidden(refusal(&attributes, &reason)),
    })
}

/// A request as authorization sees it.
pub(in crate::server) fn attributes(info: &RequestInfo, user: &Arc<User>) -> Attributes {
    Attributes {
        user: Arc::clone(user),
        verb: info.verb.clone(),
        resource_request: info.resource_request,
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        path: info.path.clone(),
        field_selector: info.field_selector.clone(),
        label_selector: info.label_selector.clone(),
    }
}
