//! Operators: arithmetic, order, equality, membership and the functions of the standard library that go with them.

use std::cmp::Ordering;

use super::super::error::Error;
use super::super::number::{arithmetic, compare, contains, equal};
use super::super::value::Value;
use super::int;

pub(super) const NAMES: &[&str] = &[
    "_+_",
    "_-_",
    "_*_",
    "_/_",
    "_%_",
    "_<_",
    "_<=_",
    "_>_",
    "_>=_",
    "_==_",
    "_!=_",
    "!_",
    "-_",
    "@in",
    "in",
    "_in_",
    "@not_strictly_false",
    "__not_strictly_false__",
    "size",
    "startsWith",
    "endsWith",
    "contains",
];

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match args {
        [one] => unary(name, one),
        [one, other] => binary(name, one, other),
        _ => Err(Error::no_such_overload()),
    }
}

fn unary<'a>(name: &str, value: &Value<'a>) -> Result<Value<'a>, Error> {
    match (name, value) {
        ("!_", Value::Bool(value)) => Ok(Value::Bool(!value)),
        ("-_", Value::Int(value)) => value.checked_neg().map(Value::Int).ok_or_else(Error::overflow),
        ("-_", Value::Duration(value)) => value.checked_neg().map(Value::Duration).ok_or_else(Error::overflow),
        ("-_", Value::Double(value)) => Ok(Value::Double(-value)),
        ("@not_strictly_false" | "__not_strictly_false__", Value::Bool(value)) => Ok(Value::Bool(*value)),
        ("@not_strictly_false" | "__not_strictly_false__", _) => Ok(Value::Bool(true)),
        ("size", value) => match value.size() {
            Some(size) => Ok(int(usize::try_from(size).unwrap_or(usize::MAX))),
            None => Err(missing(name)),
        },
        _ => Err(missing(name)),
    }
}

/// What is said when the type of the first value has no such operation at all.
fn missing(name: &str) -> Error {
    Error::new(format!("no such overload: {name}"))
}

fn binary<'a>(name: &str, one: &Value<'a>, other: &Value<'a>) -> Result<Value<'a>, Error> {
    let is = |wanted: fn(Ordering) -> bool| {
        if !comparable(one) {
            return Err(missing(name));
        }
        compare(one, other).map(|order| Value::Bool(wanted(order)))
    };
    match name {
        "_==_" => equal(one, other).map(Value::Bool),
        // An error of the comparison makes the values unequal.
        "_!=_" => Ok(Value::Bool(!equal(one, other).unwrap_or(false))),
        "_<_" => is(Ordering::is_lt),
        "_<=_" => is(Ordering::is_le),
        "_>_" => is(Ordering::is_gt),
        "_>=_" => is(Ordering::is_ge),
        "@in" | "in" | "_in_" => contains(one, other).map(Value::Bool),
        "startsWith" | "endsWith" | "contains" => text(name, one, other),
        _ => {
            let op = name.chars().nth(1).unwrap_or('+');
            if !operable(op, one) {
                return Err(missing(name));
            }
            arithmetic(op, one, other)
        }
    }
}

fn comparable(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Bool(_)
            | Value::Int(_)
            | Value::Uint(_)
            | Value::Double(_)
            | Value::String(_)
            | Value::Bytes(_)
            | Value::Timestamp(_)
            | Value::Duration(_)
    )
}

fn operable(op: char, value: &Value<'_>) -> bool {
    match value {
        Value::Int(_) | Value::Uint(_) => true,
        Value::Double(_) => op != '%',
        Value::String(_) | Value::Bytes(_) | Value::List(_) => op == '+',
        Value::Timestamp(_) | Value::Duration(_) => matches!(op, '+' | '-'),
        _ => false,
    }
}

fn text<'a>(name: &str, one: &Value<'a>, other: &Value<'a>) -> Result<Value<'a>, Error> {
    let (Value::String(text), Value::String(part)) = (one, other) else { return Err(Error::no_such_overload()) };
    Ok(Value::Bool(match name {
        "startsWith" => text.starts_with(&**part),
        "endsWith" => text.ends_with(&**part),
        _ => text.contains(&**part),
    }))
}
