//! The encodings of objects on the wire and in the store: JSON, YAML, protobuf. A decoder gives a tree and what strict
//! callers complain about; whether the tree fits its type is told by `schema::decode`.

pub mod component;
pub mod json;
pub mod protobuf;
pub mod yaml;

use serde_json::Value;

use super::Status;

/// A decoded tree.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Decoded {
    pub value: Value,
    /// What stood twice in one object, in the order of the text: of JSON the paths, such as `spec.x`, of YAML whole
    /// sentences.
    pub duplicates: Vec<String>,
}

/// Why bytes could not be decoded; the message is upstream's.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error("{message}")]
pub struct Error {
    message: String,
}

impl Error {
    /// With upstream's message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// How many errors of strict decoding are reported at most, as upstream.
pub const STRICT_ERRORS_MAX: usize = 100;

/// `apiVersion` and `kind` of a request's tree, each empty when absent.
///
/// # Errors
/// When the tree is no object or one of them is no text.
pub fn interpret(value: &Value) -> Result<(&str, &str), Error> {
    let fail = |what: String| Error::new(format!("couldn't get version/kind; json parse error: {what}"));
    let kind_of = json::kind_of(value);
    let text = |key: &str| match value.get(key) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(other) => Err(fail(format!(
            "json: cannot unmarshal {} into Go struct field .{key} of type string",
            json::kind_of(other)
        ))),
    };
    match value {
        Value::Object(_) | Value::Null => {
            let (api_version, kind) = (text("apiVersion")?, text("kind")?);
            if api_version.matches('/').count() > 1 {
                return Err(Error::new(format!("unexpected GroupVersion string: {api_version}")));
            }
            Ok((api_version, kind))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Err(fail(format!(
            "json: cannot unmarshal {kind_of} into Go value of type struct {{ APIVersion string \
             \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
        ))),
    }
}

/// Upstream's words for a kind that it does not know; the place is that of its scheme's source.
pub fn not_registered(api_version: &str, kind: &str) -> String {
    format!("no kind \"{kind}\" is registered for version \"{api_version}\" in scheme \"pkg/runtime/scheme.go:111\"")
}

/// 400 for a body whose kind could not be told; `expected` is the kind that the path stands for.
pub fn unrecognized(expected: &str, error: &dyn std::fmt::Display, body: &[u8]) -> Status {
    let summary = summarize(body, 30);
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {expected}): {error} ({summary})"
    ))
}

/// 400 for a body of a known kind that does not fit its type.
pub fn cannot_be_handled(kind: &str, version: &str, expected: &str, error: &dyn std::fmt::Display) -> Status {
    Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {expected}: {error}"))
}

fn summarize(body: &[u8], bytes_max: usize) -> String {
    let head = &body[..body.len().min(bytes_max)];
    let text = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(head).into_owned(),
        Some(_) => head.iter().map(|b| format!("{b:02x}")).collect(),
    };
    if body.len() > bytes_max { format!("{text} ...") } else { text }
}
