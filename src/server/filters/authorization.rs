//! May the user do it: one question to the authorizer, and upstream's words when the answer is no.

use crate::api::names::GroupResource;
use crate::api::request::User;
use crate::api::{Result, Status};
use crate::auth::{Attributes, Decision};
use crate::server::Server;
use crate::server::filters::RequestInfo;

/// Asks for a request.
///
/// # Errors
/// 403 unless the authorizer allows it.
pub(super) async fn authorize(server: &Server, info: &RequestInfo, user: &User) -> Result<()> {
    let attributes = attributes(info, user);
    match server.parts().authorizer.authorize(&attributes).await {
        Decision::Allow { .. } => Ok(()),
        Decision::Deny { reason } | Decision::NoOpinion { reason } => Err(forbidden(&attributes, &reason)),
    }
}

fn attributes(info: &RequestInfo, user: &User) -> Attributes {
    Attributes {
        user: user.clone(),
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

/// 403: `pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "y"`.
pub(crate) fn forbidden(attributes: &Attributes, reason: &str) -> Status {
    let quote = crate::api::field::go_quote;
    let (user, verb) = (quote(&attributes.user.name), &attributes.verb);
    let message = if attributes.resource_request {
        let resource = match attributes.subresource.as_str() {
            "" => attributes.resource.clone(),
            subresource => format!("{}/{subresource}", attributes.resource),
        };
        let place = match attributes.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {}", quote(namespace)),
        };
        let (resource, group) = (quote(&resource), quote(&attributes.group));
        format!("User {user} cannot {verb} resource {resource} in API group {group} {place}")
    } else {
        format!("User {user} cannot {verb} path {}", quote(&attributes.path))
    };
    // Upstream keeps errors from looking like HTML.
    let message = message.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let why = if reason.is_empty() { message } else { format!("{message}: {reason}") };
    let resource =
        GroupResource { group: attributes.group.clone().into(), resource: attributes.resource.clone().into() };
    Status::forbidden(&resource, &attributes.name, &why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_read_as_upstream_words_them() {
        let user = User { name: "alice".to_owned(), ..User::default() };
        let list = Attributes {
            user: user.clone(),
            verb: "list".to_owned(),
            resource_request: true,
            resource: "pods".to_owned(),
            namespace: "y".to_owned(),
            ..Attributes::default()
        };
        assert_eq!(
            forbidden(&list, "").message(),
            r#"pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "y""#
        );
        let path = Attributes { user, verb: "get".to_owned(), path: "/metrics".to_owned(), ..Attributes::default() };
        assert_eq!(forbidden(&path, "").message(), r#"forbidden: User "alice" cannot get path "/metrics""#);
    }
}
