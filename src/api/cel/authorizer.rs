//! The authorizer as expressions see it: a chain of calls describes a request, the last asks whether it is allowed.

use std::fmt;

use super::value::Value;

/// Who answers whether a request is allowed. Asked while an expression runs, so it must not wait; who would have to
/// answers with an error, and sees to it that the expression is run again.
pub trait Authorizer: Send + Sync {
    /// Decides on a request.
    fn authorize(&self, request: &Request) -> Decision;
}

/// What an expression asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Request {
    /// The path of a request that is none for a resource.
    pub path: Option<String>,
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    pub field_selector: String,
    pub label_selector: String,
    /// Namespace and name of the account to ask for; the user of the request when absent.
    pub service_account: Option<(String, String)>,
}

/// What the authorizer answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    pub reason: String,
    pub error: Option<String>,
}

/// How far the description of a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Authorizer,
    Path,
    Group,
    Resource,
    Decision,
}

/// A request that is being described, or its decision.
#[derive(Clone)]
pub struct Check<'a> {
    authorizer: &'a dyn Authorizer,
    pub(super) step: Step,
    pub(super) request: Request,
    pub(super) decision: Decision,
}

impl fmt::Debug for Check<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?})", self.type_name(), self.request)
    }
}

impl<'a> Check<'a> {
    /// The value of the variable `authorizer`.
    pub fn authorizer(authorizer: &'a dyn Authorizer) -> Value<'a> {
        Self::value(authorizer, Step::Authorizer, Request::default())
    }

    /// The value of the variable `authorizer.requestResource`: the resource of the request itself.
    pub fn request_resource(authorizer: &'a dyn Authorizer, request: Request) -> Value<'a> {
        Self::value(authorizer, Step::Resource, request)
    }

    fn value(authorizer: &'a dyn Authorizer, step: Step, request: Request) -> Value<'a> {
        Value::Authorization(std::sync::Arc::new(Self { authorizer, step, request, decision: Decision::default() }))
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self.step {
            Step::Authorizer => "kubernetes.authorization.Authorizer",
            Step::Path => "kubernetes.authorization.PathCheck",
            Step::Group => "kubernetes.authorization.GroupCheck",
            Step::Resource => "kubernetes.authorization.ResourceCheck",
            Step::Decision => "kubernetes.authorization.Decision",
        }
    }

    pub(super) fn decide(&self, verb: &str) -> Self {
        let request = Request { verb: verb.to_owned(), ..self.request.clone() };
        let decision = self.authorizer.authorize(&request);
        Self { authorizer: self.authorizer, step: Step::Decision, request, decision }
    }
}
