//! Arithmetic, order and equality of values, and how numbers are written.

use std::cmp::Ordering;

use super::error::Error;
use super::structural;
use super::value::{Key, List, Map, Value};

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;

/// A whole number as a double; beyond 53 bits the nearest.
#[expect(clippy::cast_precision_loss, reason = "upstream converts so")]
pub(super) fn double_of_int(value: i64) -> f64 {
    value as f64
}

/// The same for numbers without a sign.
#[expect(clippy::cast_precision_loss, reason = "upstream converts so")]
pub(super) fn double_of_uint(value: u64) -> f64 {
    value as f64
}

/// The whole part of a double.
#[expect(clippy::cast_possible_truncation, reason = "the guard keeps what fits")]
pub(super) fn int_of_double(value: f64) -> Result<i64, Error> {
    if value.abs() < TWO_TO_63 { Ok(value as i64) } else { Err(Error::overflow()) }
}

/// The whole part of a double that is not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the guard keeps what fits")]
pub(super) fn uint_of_double(value: f64) -> Result<u64, Error> {
    if (0.0..TWO_TO_64).contains(&value) { Ok(value as u64) } else { Err(Error::unsigned_overflow()) }
}

fn compare_doubles(one: f64, other: f64) -> Ordering {
    one.partial_cmp(&other).unwrap_or(Ordering::Equal)
}

fn compare_double_int(one: f64, other: i64) -> Ordering {
    if one < -TWO_TO_63 {
        Ordering::Less
    } else if one > TWO_TO_63 {
        Ordering::Greater
    } else {
        compare_doubles(one, double_of_int(other))
    }
}

fn compare_double_uint(one: f64, other: u64) -> Ordering {
    if one < 0.0 {
        Ordering::Less
    } else if one > TWO_TO_64 {
        Ordering::Greater
    } else {
        compare_doubles(one, double_of_uint(other))
    }
}

/// The order of two values, where they have one.
pub(super) fn compare(one: &Value<'_>, other: &Value<'_>) -> Result<Ordering, Error> {
    if [one, other].iter().any(|value| matches!(value, Value::Double(double) if double.is_nan()))
        && is_number(one)
        && is_number(other)
    {
        return Err(Error::new("NaN values cannot be ordered"));
    }
    Ok(match (one, other) {
        (Value::Int(one), Value::Int(other)) => one.cmp(other),
        (Value::Uint(one), Value::Uint(other)) => one.cmp(other),
        (Value::Double(one), Value::Double(other)) => compare_doubles(*one, *other),
        (Value::Int(one), Value::Uint(other)) => i128::from(*one).cmp(&i128::from(*other)),
        (Value::Uint(one), Value::Int(other)) => i128::from(*one).cmp(&i128::from(*other)),
        (Value::Double(one), Value::Int(other)) => compare_double_int(*one, *other),
        (Value::Int(one), Value::Double(other)) => compare_double_int(*other, *one).reverse(),
        (Value::Double(one), Value::Uint(other)) => compare_double_uint(*one, *other),
        (Value::Uint(one), Value::Double(other)) => compare_double_uint(*other, *one).reverse(),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        (Value::String(one), Value::String(other)) => one.as_bytes().cmp(other.as_bytes()),
        (Value::Bytes(one), Value::Bytes(other)) => one.cmp(other),
        (Value::Timestamp(one), Value::Timestamp(other)) => one.instant().cmp(&other.instant()),
        (Value::Duration(one), Value::Duration(other)) => one.cmp(other),
        _ => return Err(Error::no_such_overload()),
    })
}

fn is_number(value: &Value<'_>) -> bool {
    matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_))
}

/// Whether two values are equal. Values of different types are not, numbers aside.
pub(super) fn equal(one: &Value<'_>, other: &Value<'_>) -> Result<bool, Error> {
    Ok(match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        _ if is_number(one) && is_number(other) => compare(one, other).is_ok_and(Ordering::is_eq),
        (Value::Bool(_), Value::Bool(_))
        | (Value::String(_), Value::String(_))
        | (Value::Bytes(_), Value::Bytes(_))
        | (Value::Timestamp(_), Value::Timestamp(_))
        | (Value::Duration(_), Value::Duration(_)) => compare(one, other)?.is_eq(),
        (Value::List(List::Json { items, schema: Some(schema) }), _) => {
            return structural::lists_equal(items, schema, other);
        }
        (Value::Map(Map::Json { map, schema: Some(schema) }), _) => {
            return structural::maps_equal(map, schema, other);
        }
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len()
                && (0..one.len()).all(|at| match (one.get(at), other.get(at)) {
                    (Ok(one), Ok(other)) => equal(&one, &other).unwrap_or(true),
                    _ => true,
                })
        }
        (Value::Map(one), Value::Map(other)) => one.len() == other.len() && entries_equal(one, other)?,
        (Value::Type(one), Value::Type(other)) => one == other,
        (Value::Optional(Some(one)), Value::Optional(Some(other))) => return equal(one, other),
        (Value::Optional(one), Value::Optional(other)) => one.is_none() && other.is_none(),
        (Value::Quantity(one), Value::Quantity(other)) => one.cmp(other).is_eq(),
        (Value::Url(one), Value::Url(other)) => one.to_string() == other.to_string(),
        (Value::Ip(one), Value::Ip(other)) => one == other,
        (Value::Cidr(one), Value::Cidr(other)) => one.address == other.address && one.prefix == other.prefix,
        (Value::Semver(one), Value::Semver(other)) => one.cmp(other).is_eq(),
        (Value::Format(one), Value::Format(other)) => one.name == other.name,
        (Value::Struct(one), Value::Struct(other)) => {
            one.type_name == other.type_name
                && one.fields.len() == other.fields.len()
                && one
                    .fields
                    .iter()
                    .zip(&other.fields)
                    .all(|((name, one), (other_name, other))| name == other_name && equal(one, other).unwrap_or(false))
        }
        (Value::Opaque(one), Value::Opaque(other)) => one == other,
        // The libraries' own types do not compare with others, and those of the authorizer not at all.
        (
            Value::Quantity(_)
            | Value::Url(_)
            | Value::Ip(_)
            | Value::Cidr(_)
            | Value::Semver(_)
            | Value::Format(_)
            | Value::Authorization(_),
            _,
        ) => return Err(Error::no_such_overload()),
        _ => false,
    })
}

fn entries_equal<'a>(one: &Map<'a>, other: &Map<'a>) -> Result<bool, Error> {
    for key in one.keys() {
        let (Some(value), Some(other_value)) = (one.find(&key)?, other.find(&key)?) else { return Ok(false) };
        // As in lists, an error of a comparison is not taken for a difference.
        if !equal(&value, &other_value).unwrap_or(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a value is in a list or a key of a map.
pub(super) fn contains<'a>(needle: &Value<'a>, hay: &Value<'a>) -> Result<bool, Error> {
    match hay {
        Value::List(list) => {
            let mut failed = None;
            for at in 0..list.len() {
                match list.get(at).and_then(|element| equal(&element, needle)) {
                    Ok(true) => return Ok(true),
                    Ok(false) => {}
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            match (failed, list) {
                (Some(error), List::Json { schema: Some(_), .. }) => Err(error),
                _ => Ok(false),
            }
        }
        Value::Map(Map::Values(entries)) => Ok(Key::of(needle).is_some_and(|key| entries.contains_key(&key))),
        Value::Map(map) => Ok(map.find(needle)?.is_some()),
        _ => Err(Error::no_such_overload()),
    }
}

/// `+ - * / %` on two numbers of one type, durations and timestamps, and `+` on what can be joined.
pub(super) fn arithmetic<'a>(op: char, one: &Value<'a>, other: &Value<'a>) -> Result<Value<'a>, Error> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => ints(op, *one, *other).map(Value::Int),
        (Value::Uint(one), Value::Uint(other)) => uints(op, *one, *other).map(Value::Uint),
        (Value::Double(one), Value::Double(other)) => match op {
            '+' => Ok(Value::Double(one + other)),
            '-' => Ok(Value::Double(one - other)),
            '*' => Ok(Value::Double(one * other)),
            '/' => Ok(Value::Double(one / other)),
            _ => Err(Error::no_such_overload()),
        },
        (Value::String(one), Value::String(other)) if op == '+' => {
            let mut joined = String::with_capacity(one.len() + other.len());
            joined.push_str(one);
            joined.push_str(other);
            Ok(Value::text(joined))
        }
        (Value::Bytes(one), Value::Bytes(other)) if op == '+' => Ok(Value::Bytes([&**one, &**other].concat().into())),
        (Value::List(one), Value::List(other)) if op == '+' => structural::concatenated(one, other),
        (Value::Duration(one), Value::Duration(other)) => match op {
            '+' => one.checked_add(*other),
            '-' => one.checked_sub(*other),
            _ => return Err(Error::no_such_overload()),
        }
        .map(Value::Duration)
        .ok_or_else(Error::overflow),
        (Value::Timestamp(time), Value::Duration(nanos)) if op == '+' => time.plus(*nanos).map(Value::Timestamp),
        (Value::Duration(nanos), Value::Timestamp(time)) if op == '+' => time.plus(*nanos).map(Value::Timestamp),
        (Value::Timestamp(time), Value::Duration(nanos)) if op == '-' => {
            let negated = nanos.checked_neg().ok_or_else(Error::overflow)?;
            time.plus(negated).map(Value::Timestamp)
        }
        (Value::Timestamp(one), Value::Timestamp(other)) if op == '-' => one.since(*other).map(Value::Duration),
        _ => Err(Error::no_such_overload()),
    }
}

fn ints(op: char, one: i64, other: i64) -> Result<i64, Error> {
    match op {
        '+' => one.checked_add(other),
        '-' => one.checked_sub(other),
        '*' => one.checked_mul(other),
        '/' if other == 0 => return Err(Error::new("division by zero")),
        '/' => one.checked_div(other),
        _ if other == 0 => return Err(Error::new("modulus by zero")),
        _ => one.checked_rem(other),
    }
    .ok_or_else(Error::overflow)
}

fn uints(op: char, one: u64, other: u64) -> Result<u64, Error> {
    match op {
        '+' => one.checked_add(other),
        '-' => one.checked_sub(other),
        '*' => one.checked_mul(other),
        '/' if other == 0 => return Err(Error::new("division by zero")),
        '/' => one.checked_div(other),
        _ if other == 0 => return Err(Error::new("modulus by zero")),
        _ => one.checked_rem(other),
    }
    .ok_or_else(Error::unsigned_overflow)
}

/// A double as Go writes it with `%g`: the fewest digits that read back as the same.
pub(super) fn shortest(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}
