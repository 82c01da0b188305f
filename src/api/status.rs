//! `Status`: every error of the API, made here and nowhere else, with upstream's codes, reasons and messages
//! (apimachinery `pkg/api/errors`).

use std::fmt;

use serde_json::{Map, Value, json};

use super::field::{FieldError, go_quote};
use super::names::{GroupKind, GroupResource};

/// What an operation of the API gives.
pub type Result<T> = std::result::Result<T, Status>;

/// A failure as the client sees it. Boxed inside: an error costs a pointer where there is none.
#[derive(Clone, PartialEq)]
pub struct Status(Box<Failure>);

#[derive(Clone, PartialEq, Debug)]
struct Failure {
    code: u16,
    reason: Reason,
    /// A reason of a webhook's own, in place of `reason`. Empty: there is none.
    free_reason: String,
    message: String,
    details: Option<Details>,
    /// `metadata.continue`: where an inconsistent rest of a list begins. Empty: not given.
    continue_token: String,
}

/// `details` of a `Status`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Details {
    pub group: String,
    /// The resource for most errors, the kind for `Invalid`.
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    /// Whole seconds; also sent as `Retry-After`. 0: not given.
    pub retry_after_seconds: u32,
}

/// One cause: upstream's `reason`, `message` and `field`, each left out when empty.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

/// The machine-readable reason. `Other` is for texts that upstream leaves free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    Unknown,
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    ServerTimeout,
    StoreReadError,
    Timeout,
    TooManyRequests,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    InternalError,
    Expired,
    ServiceUnavailable,
}

impl Reason {
    /// From its text; free texts that upstream does not know are `Unknown`.
    pub fn of(text: &str) -> Self {
        let all = [
            Self::Unauthorized,
            Self::Forbidden,
            Self::NotFound,
            Self::AlreadyExists,
            Self::Conflict,
            Self::Gone,
            Self::Invalid,
            Self::ServerTimeout,
            Self::StoreReadError,
            Self::Timeout,
            Self::TooManyRequests,
            Self::BadRequest,
            Self::MethodNotAllowed,
            Self::NotAcceptable,
            Self::RequestEntityTooLarge,
            Self::UnsupportedMediaType,
            Self::InternalError,
            Self::Expired,
            Self::ServiceUnavailable,
        ];
        all.into_iter().find(|reason| reason.as_str() == text).unwrap_or(Self::Unknown)
    }

    /// As it stands in JSON; empty for `Unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::Invalid => "Invalid",
            Self::ServerTimeout => "ServerTimeout",
            Self::StoreReadError => "StorageReadError",
            Self::Timeout => "Timeout",
            Self::TooManyRequests => "TooManyRequests",
            Self::BadRequest => "BadRequest",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::InternalError => "InternalError",
            Self::Expired => "Expired",
            Self::ServiceUnavailable => "ServiceUnavailable",
        }
    }
}

/// The message of a conflict on resourceVersion (apiserver `pkg/registry/generic/registry`).
pub const OBJECT_WAS_MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

impl Status {
    /// Any failure; for answers that have no constructor of their own.
    pub fn new(code: u16, reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Failure {
            code,
            reason,
            free_reason: String::new(),
            message: message.into(),
            details: None,
            continue_token: String::new(),
        }))
    }

    /// With details in place of those there were.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.0.details = Some(details);
        self
    }

    /// With a token that gives the rest of a list.
    #[must_use]
    pub fn with_continue(mut self, token: String) -> Self {
        self.0.continue_token = token;
        self
    }

    /// With a reason that a server outside gave, whatever it says.
    #[must_use]
    pub fn with_free_reason(mut self, text: &str) -> Self {
        self.0.reason = Reason::of(text);
        self.0.free_reason = if self.0.reason == Reason::Unknown { text.to_owned() } else { String::new() };
        self
    }

    /// With words before the message.
    #[must_use]
    pub fn with_message_prefix(mut self, prefix: &str) -> Self {
        self.0.message.insert_str(0, prefix);
        self
    }

    /// With one more cause.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.0.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// 404: `pods "x" not found`.
    pub fn not_found(resource: &GroupResource, name: &str) -> Self {
        Self::about(404, Reason::NotFound, resource, name, format!("{resource} {} not found", go_quote(name)))
    }

    /// 409: `pods "x" already exists`.
    pub fn already_exists(resource: &GroupResource, name: &str) -> Self {
        Self::about(409, Reason::AlreadyExists, resource, name, format!("{resource} {} already exists", go_quote(name)))
    }

    /// 409: `Operation cannot be fulfilled on pods "x": why`.
    pub fn conflict(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {}: {why}", go_quote(name));
        Self::about(409, Reason::Conflict, resource, name, message)
    }

    /// 409 of server-side apply; the causes name managers and fields.
    pub fn apply_conflict(causes: Vec<Cause>, message: impl Into<String>) -> Self {
        Self::new(409, Reason::Conflict, message).with_details(Details { causes, ..Details::default() })
    }

    /// 403: `pods "x" is forbidden: why`.
    pub fn forbidden(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = if resource.resource.is_empty() && resource.group.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {} is forbidden: {why}", go_quote(name))
        };
        Self::about(403, Reason::Forbidden, resource, name, message)
    }

    /// 422: `Deployment.apps "x" is invalid: …` with one cause for each error. Equal messages are told once.
    pub fn invalid(kind: &GroupKind, name: &str, errors: &[FieldError]) -> Self {
        let mut texts: Vec<String> = Vec::with_capacity(errors.len());
        for error in errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let name_told = go_quote(name);
        let message = match texts.as_slice() {
            [] => format!("{kind} {name_told} is invalid"),
            [one] => format!("{kind} {name_told} is invalid: {one}"),
            many => format!("{kind} {name_told} is invalid: [{}]", many.join(", ")),
        };
        let causes = errors.iter().map(|e| Cause {
            reason: e.kind.reason().to_owned(),
            message: e.body(),
            field: e.field.clone(),
        });
        Self::new(422, Reason::Invalid, message).with_details(Details {
            group: kind.group.clone().into_owned(),
            kind: kind.kind.clone().into_owned(),
            name: name.to_owned(),
            causes: causes.collect(),
            ..Details::default()
        })
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, Reason::BadRequest, message)
    }

    /// 401: `Unauthorized`.
    pub fn unauthorized() -> Self {
        Self::new(401, Reason::Unauthorized, "Unauthorized")
    }

    /// 410, reason `Expired`: the resourceVersion or continue token is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, Reason::Expired, message)
    }

    /// 405: `patch is not supported on resources of kind "pods"`.
    pub fn method_not_supported(resource: &GroupResource, action: &str) -> Self {
        let message = format!("{action} is not supported on resources of kind \"{resource}\"");
        Self::about(405, Reason::MethodNotAllowed, resource, "", message)
    }

    /// 405 without details: `the server does not allow this method on the requested resource`.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, Reason::MethodNotAllowed, message).with_details(Details::default())
    }

    /// 404 for a path that is no resource: `the server could not find the requested resource`.
    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(404, Reason::NotFound, message).with_details(Details::default())
    }

    /// 406 with the types that would do.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::new(406, Reason::NotAcceptable, message)
    }

    /// 415 with the types that would do.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, Reason::UnsupportedMediaType, message)
    }

    /// 413: `Request entity too large: limit is N`.
    pub fn too_large(message: &str) -> Self {
        Self::new(413, Reason::RequestEntityTooLarge, format!("Request entity too large: {message}"))
    }

    /// 429 with `Retry-After`.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(429, Reason::TooManyRequests, message)
            .with_details(Details { retry_after_seconds, ..Details::default() })
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, Reason::ServiceUnavailable, message)
    }

    /// 504: `Timeout: why`.
    pub fn timeout(why: &str, retry_after_seconds: u32) -> Self {
        Self::new(504, Reason::Timeout, format!("Timeout: {why}"))
            .with_details(Details { retry_after_seconds, ..Details::default() })
    }

    /// 504 with cause `ResourceVersionTooLarge` (apiserver `pkg/storage/errors.go`).
    pub fn resource_version_too_large(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self::timeout(&message, 1).with_cause(Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        })
    }

    /// 500: `Internal error occurred: why`.
    pub fn internal(why: impl fmt::Display) -> Self {
        let cause = Cause { message: why.to_string(), ..Cause::default() };
        Self::new(500, Reason::InternalError, format!("Internal error occurred: {why}")).with_cause(cause)
    }

    fn about(code: u16, reason: Reason, resource: &GroupResource, name: &str, message: String) -> Self {
        Self::new(code, reason, message).with_details(Details {
            group: resource.group.clone().into_owned(),
            kind: resource.resource.clone().into_owned(),
            name: name.to_owned(),
            ..Details::default()
        })
    }

    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        self.0.code
    }

    /// The reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The details, where there are some.
    pub fn details(&self) -> Option<&Details> {
        self.0.details.as_ref()
    }

    /// The wire form: `v1` `Status`, `status: Failure`.
    pub fn to_value(&self) -> Value {
        let mut root = Map::new();
        root.insert("kind".to_owned(), json!("Status"));
        root.insert("apiVersion".to_owned(), json!("v1"));
        let mut metadata = Map::new();
        put(&mut metadata, "continue", &self.0.continue_token);
        root.insert("metadata".to_owned(), Value::Object(metadata));
        root.insert("status".to_owned(), json!("Failure"));
        put(&mut root, "message", &self.0.message);
        let free = &self.0.free_reason;
        put(&mut root, "reason", if free.is_empty() { self.0.reason.as_str() } else { free });
        if let Some(details) = &self.0.details {
            root.insert("details".to_owned(), details.to_value());
        }
        root.insert("code".to_owned(), json!(self.0.code));
        Value::Object(root)
    }
}

impl Details {
    /// The wire form; empty fields are left out.
    pub fn to_value(&self) -> Value {
        let mut out = Map::new();
        put(&mut out, "name", &self.name);
        put(&mut out, "group", &self.group);
        put(&mut out, "kind", &self.kind);
        put(&mut out, "uid", &self.uid);
        if !self.causes.is_empty() {
            out.insert("causes".to_owned(), self.causes.iter().map(Cause::to_value).collect());
        }
        if self.retry_after_seconds > 0 {
            out.insert("retryAfterSeconds".to_owned(), json!(self.retry_after_seconds));
        }
        Value::Object(out)
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        put(&mut out, "reason", &self.reason);
        put(&mut out, "message", &self.message);
        put(&mut out, "field", &self.field);
        Value::Object(out)
    }
}

fn put(out: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        out.insert(key.to_owned(), Value::String(text.to_owned()));
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Status {}
