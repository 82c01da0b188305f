//! Field paths and field errors, as upstream's `apimachinery/pkg/util/validation/field` prints them.

use std::fmt;

use serde_json::Value;

/// The path of a field: `spec.containers[0].ports[name=x]`. Cheap to make while walking, printed only on error.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Child(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// The empty path; its children print without a leading dot.
    pub const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    /// A path that starts with a name.
    pub fn new(name: &'a str) -> Self {
        Self { parent: None, step: Step::Child(name) }
    }

    /// A field of the struct here.
    pub fn child(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Child(name) }
    }

    /// An item of the list here.
    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// An entry of the map here.
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Child(name) if self.parent.is_none_or(|p| matches!(p.step, Step::Root)) => f.write_str(name),
            Step::Child(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// The kinds of field errors; each is a cause reason of a `Status` and the first words of the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    NotFound,
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TooFew,
    TooShort,
    Internal,
    TypeInvalid,
    /// As `Invalid`, of a value that is too large to be told.
    InvalidWhole,
}

impl ErrorKind {
    /// The cause's `reason`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid | Self::InvalidWhole => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::TooShort => "FieldValueTooShort",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid | Self::InvalidWhole => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::TooShort => "Too short",
            Self::Internal => "Internal error",
        }
    }
}

/// Stands for a value that is not printed; no text of a request contains it.
const OMITTED: &str = "\0omitted";
/// Comes before a value that is printed as it is.
const WRITTEN: &str = "\0written";

/// One thing that is wrong with an object.
#[derive(Clone, PartialEq, Debug)]
pub struct FieldError {
    pub kind: ErrorKind,
    /// The printed path.
    pub field: String,
    /// What was given; printed for the kinds that print it.
    pub value: Value,
    pub detail: String,
    pub shown: Shown,
}

/// How the value of an error is printed.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Shown {
    /// As the tree says it.
    #[default]
    Tree,
    /// Not at all (upstream's `OmitValueType`).
    Nothing,
    /// As Go prints the field at the path: what is unset as its zero value, structures as under `As`.
    Field,
    /// As Go prints the type of this definition name, or a list of it: in the order of its fields, of types of the server's own with
    /// Go's names. Who has the table of types makes a `Text` of it.
    As(&'static str),
    Text(String),
    /// Not at all; the detail ends with what differs between two values of a type. Who has the table of types puts it
    /// there.
    Difference(Box<Difference>),
}

/// Two values of the type of a definition name; with `/embedded` behind it, of the struct that is embedded in it.
#[derive(Clone, PartialEq, Debug)]
pub struct Difference {
    pub of: &'static str,
    pub from: Value,
    pub to: Value,
}

/// All that is wrong, in upstream's order.
pub type Errors = Vec<FieldError>;

impl FieldError {
    /// `Required value: detail`.
    pub fn required(path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, path, Value::Null, detail)
    }

    /// `Invalid value: value: detail`.
    pub fn invalid(path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, value, detail)
    }

    /// With a path that is printed already.
    pub fn printed(kind: ErrorKind, field: String, (value, detail): (Value, String)) -> Self {
        Self { kind, field, value, detail, shown: Shown::Tree }
    }

    /// `Invalid value: JSON: detail`, the JSON as it stands.
    pub fn invalid_literal(path: &Path<'_>, json: String, detail: impl Into<String>) -> Self {
        Self::invalid(path, Value::Null, detail).shown(Shown::Text(json))
    }

    /// `Forbidden: detail`.
    pub fn forbidden(path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, path, Value::Null, detail)
    }

    /// `Duplicate value: value`.
    pub fn duplicate(path: &Path<'_>, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::Duplicate, path, value, "")
    }

    /// `Not found: value`.
    pub fn not_found(path: &Path<'_>, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::NotFound, path, value, "")
    }

    /// `Unsupported value: value: supported values: "a", "b"`. An empty list leaves the supported values out.
    pub fn not_supported(path: &Path<'_>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|s| go_quote(s)).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Self::new(ErrorKind::NotSupported, path, value, detail)
    }

    /// `Too long: may not be more than N bytes` (the value is not printed).
    pub fn too_long(path: &Path<'_>, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(ErrorKind::TooLong, path, Value::Null, format!("may not be more than {max} {unit}"))
    }

    /// `Too many: actual: must have at most N items`.
    pub fn too_many(path: &Path<'_>, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Self::new(ErrorKind::TooMany, path, actual, format!("must have at most {max} {unit}"))
    }

    /// Any kind, without the value that was given: it may be large.
    pub fn without_value(kind: ErrorKind, path: &Path<'_>, detail: impl Into<String>) -> Self {
        Self::new(kind, path, OMITTED, detail)
    }

    /// `Invalid value: …` with a value that is written already: a structure in the order of its Go type.
    pub fn invalid_written(path: &Path<'_>, value: &str, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, format!("{WRITTEN}{value}"), detail)
    }

    /// Any kind.
    pub fn new(kind: ErrorKind, path: &Path<'_>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self { kind, field: path.to_string(), value: value.into(), detail: detail.into(), shown: Shown::Tree }
    }

    /// The same with its value printed otherwise.
    pub fn shown(self, shown: Shown) -> Self {
        Self { shown, ..self }
    }

    /// The message without the field, as it stands in a cause.
    pub fn body(&self) -> String {
        let words = self.kind.words();
        let head = match self.kind {
            ErrorKind::Required
            | ErrorKind::Forbidden
            | ErrorKind::TooLong
            | ErrorKind::TooShort
            | ErrorKind::InvalidWhole
            | ErrorKind::Internal => words.to_owned(),
            _ if self.value == OMITTED => words.to_owned(),
            ErrorKind::NotFound
            | ErrorKind::Duplicate
            | ErrorKind::Invalid
            | ErrorKind::NotSupported
            | ErrorKind::TooMany
            | ErrorKind::TooFew
            | ErrorKind::TypeInvalid => match &self.shown {
                Shown::Nothing => words.to_owned(),
                Shown::Text(text) => format!("{words}: {text}"),
                Shown::Tree | Shown::Field | Shown::As(_) | Shown::Difference(_) => {
                    format!("{words}: {}", go_value(&self.value))
                }
            },
        };
        if self.detail.is_empty() { head } else { format!("{head}: {}", self.detail) }
    }
}

impl fmt::Display for FieldError {
    /// `spec.replicas: Invalid value: -1: must be greater than or equal to 0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// A value as upstream prints it in a field error: texts quoted, numbers and booleans plain, structures as JSON.
fn go_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.strip_prefix(WRITTEN).map_or_else(|| go_quote(text), str::to_owned),
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// What Go's `%T` prints of a decoded JSON value.
pub fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A text as Go's `%q` prints it.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_print_as_upstream_prints_them() {
        let spec = Path::new("spec");
        let containers = spec.child("containers");
        let first = containers.index(0);
        let env = first.child("env");
        assert_eq!(env.key("A.b").to_string(), "spec.containers[0].env[A.b]");
        assert_eq!(Path::ROOT.child("metadata").to_string(), "metadata");
    }

    #[test]
    fn errors_print_value_and_detail_by_kind() {
        let path = Path::new("spec");
        assert_eq!(FieldError::invalid(&path, "a\"b", "bad").to_string(), r#"spec: Invalid value: "a\"b": bad"#);
        assert_eq!(FieldError::required(&path, "").to_string(), "spec: Required value");
        let unsupported = FieldError::not_supported(&path, "x", &["A", "B"]);
        assert_eq!(unsupported.to_string(), r#"spec: Unsupported value: "x": supported values: "A", "B""#);
        assert_eq!(FieldError::too_many(&path, 9, 8).to_string(), "spec: Too many: 9: must have at most 8 items");
    }
}
