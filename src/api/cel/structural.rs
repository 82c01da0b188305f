//! JSON seen through a structural schema: which value it is, its fields, and the equality of its lists and maps.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Map as JsonMap, Value as Json};

use super::error::Error;
use super::escape::{escape, unescape};
use super::library::lists::ELEMENTS_MAX;
use super::number;
use super::schema::Schema;
use super::time::Timestamp;
use super::value::{List, Map, Text, Value};
use crate::api::field::go_quote;
use crate::api::time::GoDuration;

fn invalid<'a>(message: impl Into<String>) -> Result<Value<'a>, Error> {
    Err(Error::new(message.into()))
}

fn go_type(json: &Json) -> &'static str {
    match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_f64() => "float64",
        Json::Number(_) => "int64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

/// The value of JSON under a schema.
pub(super) fn value<'a>(json: &'a Json, schema: &'a Schema) -> Result<Value<'a>, Error> {
    if json.is_null() {
        return if schema.nullable {
            Ok(Value::Null)
        } else {
            invalid("invalid data, got null for schema with nullable=false")
        };
    }
    if schema.int_or_string {
        return match json {
            Json::String(text) => Ok(Value::String(Text::Borrowed(text))),
            Json::Number(number) if number.is_i64() => Ok(Value::Int(number.as_i64().unwrap_or(0))),
            _ => invalid("invalid data, expected XIntOrString value to be either a string or integer"),
        };
    }
    match (schema.kind.as_str(), json) {
        ("object", Json::Object(map)) => Ok(Value::Map(Map::Json { map, schema: Some(schema) })),
        ("object", _) => invalid("invalid data, expected a map for the provided schema with type=object"),
        ("array", Json::Array(_)) if schema.items.is_none() => {
            invalid("invalid array type, expected Items with a non-empty Schema")
        }
        ("array", Json::Array(items)) => Ok(Value::List(List::Json { items, schema: Some(schema) })),
        ("array", _) => invalid("invalid data, expected an array for the provided schema with type=array"),
        ("string", Json::String(text)) => string(text, &schema.format),
        ("string", _) => invalid(format!("invalid data, expected string, got {}", go_type(json))),
        ("number", Json::Number(number)) => Ok(Value::Double(number.as_f64().unwrap_or(f64::NAN))),
        ("number", _) => invalid(format!("invalid data, expected float, got {}", go_type(json))),
        ("integer", Json::Number(number)) if number.is_i64() => Ok(Value::Int(number.as_i64().unwrap_or(0))),
        ("integer", _) => invalid(format!("invalid data, expected int, got {}", go_type(json))),
        ("boolean", Json::Bool(value)) => Ok(Value::Bool(*value)),
        ("boolean", _) => invalid(format!("invalid data, expected bool, got {}", go_type(json))),
        _ if schema.preserve_unknown => Ok(Value::Opaque(json)),
        (kind, _) => invalid(format!(
            "invalid type, expected object, array, number, integer, boolean or string, or no type with \
             x-kubernetes-int-or-string or x-kubernetes-preserve-unknown-fields is true, got {kind}"
        )),
    }
}

fn string<'a>(text: &'a str, format: &str) -> Result<Value<'a>, Error> {
    match format {
        "duration" => match GoDuration::parse(text) {
            Ok(GoDuration(nanos)) => Ok(Value::Duration(nanos)),
            Err(_) => invalid(format!("Invalid duration {text}: unable to parse {} as duration", go_quote(text))),
        },
        "date" => match Timestamp::parse_date(text) {
            Some(time) => Ok(Value::Timestamp(time)),
            None => invalid(format!("Invalid date formatted string {text}: cannot parse it as a date")),
        },
        "date-time" => match Timestamp::parse(text) {
            Some(time) => Ok(Value::Timestamp(time)),
            None => invalid(format!("Invalid date-time formatted string {text}: cannot parse it as a date-time")),
        },
        "byte" => match base64::engine::general_purpose::URL_SAFE.decode(text) {
            Ok(bytes) => Ok(Value::Bytes(bytes.into())),
            Err(error) => invalid(format!("Invalid byte formatted string {text}: {error}")),
        },
        _ => Ok(Value::String(Text::Borrowed(text))),
    }
}

/// The schema of a property of an object, or of the values of a map.
fn property<'a>(schema: &'a Schema, name: &str) -> Option<&'a Schema> {
    match (&schema.properties, &schema.additional) {
        (Some(properties), _) => properties.get(name),
        (None, additional) => additional.as_deref(),
    }
}

/// The value of a field, under its escaped name, or of a key.
pub(super) fn field<'a>(
    map: &'a JsonMap<String, Json>,
    schema: &'a Schema,
    key: &str,
) -> Result<Option<Value<'a>>, Error> {
    let object = schema.properties.is_some();
    let name = if object { unescape(key) } else { Some(key.to_owned()) };
    let Some(name) = name else { return Ok(None) };
    match (map.get(&name), property(schema, &name)) {
        (Some(json), Some(of)) if !(object && json.is_null()) => value(json, of).map(Some),
        _ => Ok(None),
    }
}

/// The keys of a map, or the escaped names of an object's known fields.
pub(super) fn keys<'a>(map: &'a JsonMap<String, Json>, schema: &'a Schema) -> Vec<Value<'a>> {
    let object = schema.properties.is_some();
    let known = map.keys().filter(|key| property(schema, key).is_some());
    known
        .map(|key| match escape(key).filter(|escaped| object && escaped != key) {
            Some(escaped) => Value::text(escaped),
            None => Value::String(Text::Borrowed(key)),
        })
        .collect()
}

/// Whether a list under a schema equals another value; sets and lists with keys do so in any order.
pub(super) fn lists_equal<'a>(items: &'a [Json], schema: &'a Schema, other: &Value<'a>) -> Result<bool, Error> {
    let Value::List(other) = other else { return Err(Error::no_such_overload()) };
    if items.len() != other.len() {
        return Ok(false);
    }
    let one = List::Json { items, schema: Some(schema) };
    if matches!(schema.list_type.as_str(), "set" | "map") {
        return equal_in_any_order(&one, other, schema);
    }
    for at in 0..one.len() {
        if !number::equal(&one.get(at)?, &other.get(at)?)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What identifies an element of a list with keys, or of a set.
fn identity(element: &Value<'_>, schema: &Schema) -> Result<String, Error> {
    match (schema.list_type.as_str(), element) {
        ("map", Value::Map(map)) => {
            let mut out = String::new();
            for key in &schema.list_keys {
                let escaped = escape(key).unwrap_or_else(|| key.clone());
                let value = map.find(&Value::text(escaped)).ok().flatten();
                out.push_str(&format!("{:?}\0", value.map(|value| value.to_string())));
            }
            Ok(out)
        }
        _ => Ok(format!("{} {element}", element.type_name())),
    }
}

fn equal_in_any_order<'a>(one: &List<'a>, other: &List<'a>, schema: &Schema) -> Result<bool, Error> {
    let mut by_identity = BTreeMap::new();
    for at in 0..one.len() {
        let element = one.get(at)?;
        by_identity.insert(identity(&element, schema)?, element);
    }
    let mut seen = BTreeMap::new();
    for at in 0..other.len() {
        let element = other.get(at)?;
        let key = identity(&element, schema)?;
        match by_identity.get(&key) {
            Some(own) if number::equal(own, &element)? => seen.insert(key, ()),
            _ => return Ok(false),
        };
    }
    Ok(seen.len() == by_identity.len())
}

/// Whether an object or map under a schema equals another value.
pub(super) fn maps_equal<'a>(
    map: &'a JsonMap<String, Json>,
    schema: &'a Schema,
    other: &Value<'a>,
) -> Result<bool, Error> {
    let Value::Map(other) = other else { return Err(Error::no_such_overload()) };
    if map.len() != other.len() {
        return Ok(false);
    }
    for (key, json) in map {
        if property(schema, key).is_none() {
            let Map::Json { map: other, .. } = other else { return Err(Error::no_such_overload()) };
            if other.get(key).is_some_and(|other| other != json) {
                return Ok(false);
            }
            continue;
        }
        let key = Value::String(Text::Borrowed(key));
        match (field(map, schema, &key.to_string())?, other.find(&key)?) {
            (Some(own), Some(other)) if number::equal(&own, &other)? => {}
            (None, None) => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Two lists one after the other. To a set only new elements are added; in a list with keys they replace.
///
/// # Errors
/// When they are longer than any budget lets be looked at: upstream makes no copy and counts none.
pub(super) fn concatenated<'a>(one: &List<'a>, other: &List<'a>) -> Result<Value<'a>, Error> {
    if one.len() + other.len() > ELEMENTS_MAX {
        return Err(Error::BudgetExceeded);
    }
    let mut values = one.values()?;
    let (List::Json { schema: Some(schema), .. }, true) = (one, has_identity(one)) else {
        values.extend(other.values()?);
        return Ok(Value::list(values));
    };
    let mut places = BTreeMap::new();
    for (at, value) in values.iter().enumerate() {
        places.insert(identity(value, schema)?, at);
    }
    for value in other.values()? {
        let key = identity(&value, schema)?;
        match places.get(&key) {
            Some(at) if schema.list_type == "map" => values[*at] = value,
            Some(_) => {}
            None => {
                places.insert(key, values.len());
                values.push(value);
            }
        }
    }
    Ok(Value::list(values))
}

fn has_identity(list: &List<'_>) -> bool {
    matches!(list, List::Json { schema: Some(schema), .. } if matches!(schema.list_type.as_str(), "set" | "map"))
}
