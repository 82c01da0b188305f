//! One step of a field path as field ownership writes it: a field by name, a list item by keys or by value, an index.
//! The order of steps is the order in which upstream writes `fieldsV1`.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde_json::{Number, Value};

use crate::api::field::go_quote;

/// A step. Names and texts are borrowed from the object or the document that the step was read from.
#[derive(Clone, Debug)]
pub enum Element<'a> {
    /// A field of a struct or an entry of a map.
    Field(Cow<'a, str>),
    /// An item of a list with keys: the keys it has, sorted by name.
    Key(Vec<(Cow<'a, str>, Scalar<'a>)>),
    /// An item of a set.
    Value(Scalar<'a>),
    /// An item of another list.
    Index(i64),
}

/// A value inside a step. Whole numbers and fractions compare as numbers.
#[derive(Clone, Debug)]
pub enum Scalar<'a> {
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bool(bool),
    /// A list or a map; occurs in hand-written documents only.
    Other(Box<Value>),
    Null,
}

/// Why a text is not a step.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    #[error("key must be 2 characters long:")]
    Short,
    #[error("missing colon: {0}")]
    Colon(String),
    #[error("{0}")]
    Value(String),
}

impl<'a> Scalar<'a> {
    /// A view of a JSON value.
    pub fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => Self::of_number(number),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Array(_) | Value::Object(_) => Self::Other(Box::new(value.clone())),
        }
    }

    fn of_number(number: &Number) -> Self {
        number.as_i64().map_or_else(|| Self::Float(number.as_f64().unwrap_or(f64::NAN)), Self::Int)
    }

    fn owned(value: Value) -> Scalar<'static> {
        match value {
            Value::Null => Scalar::Null,
            Value::Bool(flag) => Scalar::Bool(flag),
            Value::Number(number) => Scalar::of_number(&number),
            Value::String(text) => Scalar::Text(Cow::Owned(text)),
            other @ (Value::Array(_) | Value::Object(_)) => Scalar::Other(Box::new(other)),
        }
    }

    /// The same without borrowing.
    pub fn into_owned(self) -> Scalar<'static> {
        match self {
            Self::Int(n) => Scalar::Int(n),
            Self::Float(n) => Scalar::Float(n),
            Self::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
            Self::Bool(flag) => Scalar::Bool(flag),
            Self::Other(value) => Scalar::Other(value),
            Self::Null => Scalar::Null,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Int(_) | Self::Float(_) => 0,
            Self::Text(_) => 1,
            Self::Bool(_) => 2,
            Self::Other(value) if value.is_array() => 3,
            Self::Other(_) => 4,
            Self::Null => 5,
        }
    }

    /// Appends the JSON form, escaped as Go's encoder does by default.
    fn write_json(&self, out: &mut String) {
        match self {
            Self::Int(n) => out.push_str(&n.to_string()),
            Self::Float(n) => out.push_str(&go_float(*n)),
            Self::Text(text) => write_text(text, out),
            Self::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Other(value) => write_escaped(&value.to_string(), out),
            Self::Null => out.push_str("null"),
        }
    }
}

impl Ord for Scalar<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Int(a), Self::Float(b)) => (*a as f64).total_cmp(b),
            (Self::Float(a), Self::Int(b)) => a.total_cmp(&(*b as f64)),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Other(a), Self::Other(b)) if self.rank() == other.rank() => compare_values(a, b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Scalar<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scalar<'_> {}

/// The order of lists and maps: item by item, entry by entry in key order.
fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.iter().map(Scalar::of).cmp(b.iter().map(Scalar::of)),
        (Value::Object(a), Value::Object(b)) => {
            a.iter().map(|(k, v)| (k, Scalar::of(v))).cmp(b.iter().map(|(k, v)| (k, Scalar::of(v))))
        }
        _ => Scalar::of(a).cmp(&Scalar::of(b)),
    }
}

impl<'a> Element<'a> {
    /// A field by name.
    pub fn field(name: &'a str) -> Self {
        Self::Field(Cow::Borrowed(name))
    }

    /// Reads a step as it stands in `fieldsV1`; `None` for a kind of step that this version does not know, which
    /// readers skip.
    ///
    /// # Errors
    /// When the text is not a step.
    pub fn parse(text: &'a str) -> Result<Option<Self>, Malformed> {
        let mut chars = text.bytes();
        let (Some(kind), Some(colon)) = (chars.next(), chars.next()) else { return Err(Malformed::Short) };
        if colon != b':' {
            return Err(Malformed::Colon(text.to_owned()));
        }
        let rest = &text[2..];
        match kind {
            b'f' => Ok(Some(Self::field(rest))),
            b'k' => Ok(Some(Self::Key(parse_keys(rest)?))),
            b'v' => parse_json(rest).map(|value| Some(Self::Value(Scalar::owned(value)))),
            b'i' => {
                let index = rest.parse().map_err(|_| Malformed::Value(format!("invalid index {}", go_quote(rest))))?;
                Ok(Some(Self::Index(index)))
            }
            _ => Ok(None),
        }
    }

    /// Appends the step as it stands in `fieldsV1`, not yet quoted as a JSON text.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Field(name) => {
                out.push_str("f:");
                out.push_str(name);
            }
            Self::Key(keys) => {
                out.push_str("k:{");
                for (at, (name, value)) in keys.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
            Self::Value(value) => {
                out.push_str("v:");
                value.write_json(out);
            }
            Self::Index(index) => {
                out.push_str("i:");
                out.push_str(&index.to_string());
            }
        }
    }

    /// The same without borrowing.
    pub fn into_owned(self) -> Element<'static> {
        match self {
            Self::Field(name) => Element::Field(Cow::Owned(name.into_owned())),
            Self::Key(keys) => Element::Key(
                keys.into_iter().map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned())).collect(),
            ),
            Self::Value(value) => Element::Value(value.into_owned()),
            Self::Index(index) => Element::Index(index),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

impl Ord for Element<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => a.cmp(b),
            (Self::Value(a), Self::Value(b)) => a.cmp(b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Element<'_> {}

impl fmt::Display for Element<'_> {
    /// As conflicts name it: `.spec`, `[name="x"]`, `[="x"]`, `[3]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                f.write_str("[")?;
                for (at, (name, value)) in keys.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    write!(f, "{comma}{name}={value}")?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => n.fmt(f),
            Self::Float(n) => f.write_str(&go_float(*n)),
            Self::Text(text) => f.write_str(&go_quote(text)),
            Self::Bool(flag) => flag.fmt(f),
            Self::Other(value) => value.fmt(f),
            Self::Null => f.write_str("null"),
        }
    }
}

fn parse_json(text: &str) -> Result<Value, Malformed> {
    serde_json::from_str(text).map_err(|error| Malformed::Value(error.to_string()))
}

fn parse_keys<'a>(text: &'a str) -> Result<Vec<(Cow<'a, str>, Scalar<'a>)>, Malformed> {
    if let Some(key) = plain_key(text) {
        return Ok(vec![key]);
    }
    match parse_json(text)? {
        Value::Object(keys) => {
            Ok(keys.into_iter().map(|(name, value)| (Cow::Owned(name), Scalar::owned(value))).collect())
        }
        Value::Null => Ok(Vec::new()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Malformed::Value("expect { or n".to_owned()))
        }
    }
}

/// The commonest form, `{"name":"x"}` without escapes, read without copying.
fn plain_key(text: &str) -> Option<(Cow<'_, str>, Scalar<'_>)> {
    let inner = text.strip_prefix("{\"")?.strip_suffix("\"}")?;
    let (name, value) = inner.split_once("\":\"")?;
    let plain = |part: &str| part.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
    (plain(name) && plain(value)).then_some((Cow::Borrowed(name), Scalar::Text(Cow::Borrowed(value))))
}

/// A text in quotes as Go's JSON encoder writes it.
fn write_text(text: &str, out: &mut String) {
    if text.bytes().all(|b| b >= 0x20 && !matches!(b, b'"' | b'\\' | b'<' | b'>' | b'&' | 0x7f..)) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        write_escaped(&Value::String(text.to_owned()).to_string(), out);
    }
}

/// Appends JSON with the characters escaped that Go's encoder escapes for the sake of HTML and JavaScript.
pub(super) fn write_escaped(json: &str, out: &mut String) {
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
}

/// A fraction as Go prints it: whole numbers without a point.
fn go_float(n: f64) -> String {
    if n.fract() == 0.0 && n.abs() < 1e15 {
        format!("{n:.0}")
    } else {
        Number::from_f64(n).map_or("null".to_owned(), |n| n.to_string())
    }
}
