//! Optional values.

use super::super::error::Error;
use super::super::value::Value;

pub(super) const NAMES: &[&str] = &[
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "optional.unwrap",
    "unwrapOpt",
    "hasValue",
    "value",
    "first",
    "last",
];

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match (name, args) {
        ("optional.none", []) => Ok(Value::Optional(None)),
        ("optional.of", [value]) => Ok(Value::some(value.clone())),
        ("optional.ofNonZeroValue", [value]) if value.is_zero() => Ok(Value::Optional(None)),
        ("optional.ofNonZeroValue", [value]) => Ok(Value::some(value.clone())),
        ("hasValue", [Value::Optional(value)]) => Ok(Value::Bool(value.is_some())),
        ("value", [Value::Optional(Some(value))]) => Ok((**value).clone()),
        ("value", [Value::Optional(None)]) => Err(Error::new("optional.none() dereference")),
        ("optional.unwrap" | "unwrapOpt", [Value::List(list)]) => {
            let mut present = Vec::new();
            for value in list.values()? {
                match value {
                    Value::Optional(Some(value)) => present.push((*value).clone()),
                    Value::Optional(None) => {}
                    value => return Err(Error::new(format!("value {value} is not optional"))),
                }
            }
            Ok(Value::list(present))
        }
        ("first" | "last", [Value::List(list)]) => {
            if list.is_empty() {
                return Ok(Value::Optional(None));
            }
            list.get(if name == "first" { 0 } else { list.len() - 1 }).map(Value::some)
        }
        _ => Err(Error::refused()),
    }
}
