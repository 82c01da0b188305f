//! The values of CEL. JSON trees are looked at where they lie; everything else is shared and cheap to clone.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value as Json;

use super::authorizer;
use super::error::Error;
use super::library::formats::NamedFormat;
use super::library::semver::Semver;
use super::library::urls::Url;
use super::schema::Schema;
use super::structural;
use super::time::Timestamp;
use crate::api::Quantity;
use crate::api::validation::ip::Cidr;

/// The value of an expression or of a part of one.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    Timestamp(Timestamp),
    /// In nanoseconds.
    Duration(i64),
    List(List<'a>),
    Map(Map<'a>),
    /// A type by its name.
    Type(Arc<str>),
    Optional(Option<Arc<Value<'a>>>),
    Quantity(Arc<Quantity>),
    Url(Arc<Url>),
    Ip(IpAddr),
    Cidr(Cidr),
    Semver(Arc<Semver>),
    Format(&'static NamedFormat),
    /// What an authorizer is asked, and its answer.
    Authorization(Arc<authorizer::Check<'a>>),
    /// An object that an expression constructs.
    Struct(Arc<Struct<'a>>),
    /// Data under `x-kubernetes-preserve-unknown-fields` without a type: it can be compared and nothing else.
    Opaque(&'a Json),
}

/// A text that is borrowed from the data or shared.
#[derive(Clone)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A list of values or of JSON that becomes values when it is looked at.
#[derive(Clone, Debug)]
pub enum List<'a> {
    Values(Arc<Vec<Value<'a>>>),
    Json { items: &'a [Json], schema: Option<&'a Schema> },
}

/// A map of values, or a JSON object.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    Values(Arc<Entries<'a>>),
    Json { map: &'a serde_json::Map<String, Json>, schema: Option<&'a Schema> },
}

/// The entries of a map by what makes a key, with the key as it came.
pub(super) type Entries<'a> = BTreeMap<Key, (Value<'a>, Value<'a>)>;

/// What makes a key: numbers of different types that are equal are one key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Bool(bool),
    Int(i128),
    /// The bits of a double that is no whole number.
    Double(u64),
    String(Arc<str>),
}

/// An object with a named type and fields.
#[derive(Clone, Debug)]
pub struct Struct<'a> {
    pub type_name: Arc<str>,
    pub fields: BTreeMap<String, Value<'a>>,
}

impl<'a> Value<'a> {
    /// A text of one's own.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    /// A list of values.
    pub fn list(values: Vec<Value<'a>>) -> Self {
        Self::List(List::Values(Arc::new(values)))
    }

    /// Some value that may be absent.
    pub fn some(value: Value<'a>) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// JSON as it comes, without a schema.
    pub fn from_json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Self::Int(value),
                (None, Some(value)) => Self::Uint(value),
                (None, None) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::String(Text::Borrowed(text)),
            Json::Array(items) => Self::List(List::Json { items, schema: None }),
            Json::Object(map) => Self::Map(Map::Json { map, schema: None }),
        }
    }

    /// JSON seen through a schema. What does not agree with the schema is an error where it is used.
    ///
    /// # Errors
    /// When the data is not what the schema says.
    pub fn from_schema(json: &'a Json, schema: &'a Schema) -> Result<Self, Error> {
        structural::value(json, schema)
    }

    /// The name of the value's type, as `type(x)` gives it.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Type(_) => "type",
            Self::Optional(_) => super::types::OPTIONAL,
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(_) => "net.CIDR",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Authorization(check) => check.type_name(),
            Self::Struct(of) => &of.type_name,
            Self::Opaque(_) => "unknown",
        }
    }

    /// The number of characters, bytes, elements or entries; 1 for what has no size. Costs are counted in it.
    pub(super) fn cost_size(&self) -> u64 {
        match self {
            Self::Optional(Some(value)) => value.cost_size(),
            Self::Ip(ip) => {
                if ip.is_ipv4() {
                    4
                } else {
                    16
                }
            }
            Self::Cidr(cidr) => u64::from(cidr.prefix).div_ceil(8),
            _ => self.size().unwrap_or(1),
        }
    }

    /// The number of characters, bytes, elements or entries.
    pub(super) fn size(&self) -> Option<u64> {
        let size = match self {
            Self::String(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            _ => return None,
        };
        u64::try_from(size).ok()
    }

    /// Whether the value is what an absent field would have.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Int(value) | Self::Duration(value) => *value == 0,
            Self::Uint(value) => *value == 0,
            Self::Double(value) => *value == 0.0,
            Self::String(_) | Self::Bytes(_) | Self::List(_) | Self::Map(_) => self.size() == Some(0),
            Self::Timestamp(time) => *time == Timestamp::ZERO,
            _ => false,
        }
    }
}

impl<'a> List<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Json { items, .. } => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at an index that is less than the length.
    ///
    /// # Errors
    /// When the data is not what its schema says.
    pub fn get(&self, at: usize) -> Result<Value<'a>, Error> {
        match self {
            Self::Values(values) => Ok(values.get(at).cloned().unwrap_or(Value::Null)),
            Self::Json { items, schema: None } => Ok(items.get(at).map_or(Value::Null, Value::from_json)),
            Self::Json { items, schema: Some(schema) } => match (items.get(at), schema.items.as_deref()) {
                (Some(item), Some(schema)) => Value::from_schema(item, schema),
                _ => Ok(Value::Null),
            },
        }
    }

    /// All elements.
    ///
    /// # Errors
    /// When the data is not what its schema says.
    pub fn values(&self) -> Result<Vec<Value<'a>>, Error> {
        (0..self.len()).map(|at| self.get(at)).collect()
    }
}

impl<'a> Map<'a> {
    /// A map of entries of which keys are certainly allowed.
    pub fn of(entries: Entries<'a>) -> Self {
        Self::Values(Arc::new(entries))
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Values(entries) => entries.len(),
            Self::Json { map, .. } => map.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When the key cannot be one, or the data is not what its schema says.
    pub fn find(&self, key: &Value<'a>) -> Result<Option<Value<'a>>, Error> {
        match (self, key) {
            (Self::Values(entries), _) => {
                Ok(Key::of(key).and_then(|key| entries.get(&key)).map(|(_, value)| value.clone()))
            }
            (Self::Json { map, schema: None }, Value::String(key)) => Ok(map.get(&**key).map(Value::from_json)),
            (Self::Json { schema: None, .. }, _) => Ok(None),
            (Self::Json { map, schema: Some(schema) }, Value::String(key)) => structural::field(map, schema, key),
            (Self::Json { schema: Some(_), .. }, _) => Err(Error::no_such_overload()),
        }
    }

    /// All keys, as expressions see them.
    pub fn keys(&self) -> Vec<Value<'a>> {
        match self {
            Self::Values(entries) => entries.values().map(|(key, _)| key.clone()).collect(),
            Self::Json { map, schema: None } => {
                map.keys().map(|key| Value::String(Text::Borrowed(key.as_str()))).collect()
            }
            Self::Json { map, schema: Some(schema) } => structural::keys(map, schema),
        }
    }
}

impl Key {
    /// The key that a value makes, when it can be one.
    pub(super) fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(i128::from(*value)),
            Value::Uint(value) => Self::Int(i128::from(*value)),
            #[expect(clippy::cast_possible_truncation, reason = "the guard keeps whole numbers of 64 bits only")]
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 1.9e19 => Self::Int(*value as i128),
            Value::Double(value) => Self::Double(value.to_bits()),
            Value::String(Text::Shared(text)) => Self::String(text.clone()),
            Value::String(text) => Self::String((**text).into()),
            _ => return None,
        })
    }
}

/// The value as upstream's messages show it.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("0"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Uint(value) => write!(f, "{value}"),
            Self::Double(value) => f.write_str(&super::number::shortest(*value)),
            Self::String(text) => f.write_str(text),
            Self::Bytes(bytes) => {
                let shown: Vec<String> = bytes.iter().map(u8::to_string).collect();
                write!(f, "[{}]", shown.join(" "))
            }
            Self::Timestamp(time) => f.write_str(&time.go_string()),
            Self::Duration(nanos) => f.write_str(&super::time::go_duration(*nanos)),
            Self::List(list) => {
                let shown: Vec<String> = list.values().unwrap_or_default().iter().map(Self::to_string).collect();
                write!(f, "[{}]", shown.join(", "))
            }
            Self::Map(map) => {
                let shown = map.keys().into_iter().map(|key| {
                    let value = map.find(&key).ok().flatten().unwrap_or(Value::Null);
                    format!("{key}: {value}")
                });
                write!(f, "{{{}}}", shown.collect::<Vec<_>>().join(", "))
            }
            Self::Type(name) => f.write_str(name),
            Self::Optional(None) => f.write_str("optional.none()"),
            Self::Optional(Some(value)) => write!(f, "optional({value})"),
            Self::Quantity(quantity) => write!(f, "{quantity}"),
            Self::Url(url) => write!(f, "{url}"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Cidr(cidr) => write!(f, "{}/{}", cidr.address, cidr.prefix),
            Self::Semver(version) => write!(f, "{version}"),
            Self::Format(format) => f.write_str(format.name),
            Self::Authorization(_) | Self::Struct(_) | Self::Opaque(_) => f.write_str(self.type_name()),
        }
    }
}
