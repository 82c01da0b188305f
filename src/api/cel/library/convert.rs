//! Conversions between types.

use std::borrow::Cow;
use std::sync::Arc;

use super::super::error::Error;
use super::super::number::{double_of_int, double_of_uint, int_of_double, shortest, uint_of_double};
use super::super::time::{Timestamp, duration_seconds};
use super::super::value::Value;
use crate::api::time::GoDuration;

pub(super) const NAMES: &[&str] = &["bool", "bytes", "double", "duration", "dyn", "int", "timestamp", "type", "uint"];

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [value] = args else { return Err(Error::refused()) };
    match name {
        "dyn" => Ok(value.clone()),
        "type" => Ok(Value::Type(Arc::from(value.type_name()))),
        "bool" => to_bool(value),
        "bytes" => match value {
            Value::Bytes(_) => Ok(value.clone()),
            Value::String(text) => Ok(Value::Bytes(text.as_bytes().into())),
            _ => Err(Error::refused()),
        },
        "double" => to_double(value),
        "int" => to_int(value),
        "uint" => to_uint(value),
        "string" => to_string(value),
        "duration" => match value {
            Value::Duration(_) => Ok(value.clone()),
            Value::String(text) => match GoDuration::parse(text) {
                Ok(GoDuration(nanos)) => Ok(Value::Duration(nanos)),
                Err(_) => Err(mismatch("string", "google.protobuf.Duration")),
            },
            _ => Err(Error::refused()),
        },
        _ => to_timestamp(value),
    }
}

fn mismatch(from: &str, to: &str) -> Error {
    Error::new(format!("type conversion error from '{from}' to '{to}'"))
}

fn to_bool<'a>(value: &Value<'a>) -> Result<Value<'a>, Error> {
    match value {
        Value::Bool(_) => Ok(value.clone()),
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => Err(mismatch("string", "bool")),
        },
        _ => Err(Error::refused()),
    }
}

/// Whether underscores stand between digits only.
fn separated(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let mut places = bytes.iter().enumerate().filter(|(_, b)| **b == b'_').map(|(at, _)| at).peekable();
    places.peek().is_some() && places.all(|at| digit(at.checked_sub(1)) && digit(Some(at + 1)))
}

/// `1.8p-3`: hexadecimal digits and a power of two.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, power) = text.split_once('p')?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let power: i32 = power.parse().ok()?;
    let digits = format!("{whole}{fraction}");
    let value = u64::from_str_radix(&digits, 16).ok().filter(|_| digits.len() <= 13)?;
    let shift = i32::try_from(fraction.len()).ok()? * 4;
    Some(double_of_uint(value) * 2f64.powi(power.checked_sub(shift)?)).filter(|value| value.is_finite())
}

/// A number as Go's `ParseFloat` reads it.
fn float(text: &str) -> Option<f64> {
    let plain = text.strip_prefix(['+', '-']).unwrap_or(text);
    let word = plain.to_ascii_lowercase();
    if matches!(word.as_str(), "nan") && plain.len() == text.len() {
        return Some(f64::NAN);
    }
    if matches!(word.as_str(), "inf" | "infinity") {
        return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if !plain.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if let Some(hex) = word.strip_prefix("0x") {
        return hexadecimal(hex).map(|value| if text.starts_with('-') { -value } else { value });
    }
    let text = if separated(plain) { Cow::Owned(text.replace('_', "")) } else { Cow::Borrowed(text) };
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

fn to_double<'a>(value: &Value<'a>) -> Result<Value<'a>, Error> {
    match value {
        Value::Double(_) => Ok(value.clone()),
        Value::Int(value) => Ok(Value::Double(double_of_int(*value))),
        Value::Uint(value) => Ok(Value::Double(double_of_uint(*value))),
        Value::String(text) => float(text).map(Value::Double).ok_or_else(|| mismatch("string", "double")),
        _ => Err(Error::refused()),
    }
}

fn decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn to_int<'a>(value: &Value<'a>) -> Result<Value<'a>, Error> {
    match value {
        Value::Int(_) => Ok(value.clone()),
        Value::Uint(value) => i64::try_from(*value).map(Value::Int).map_err(|_| Error::overflow()),
        Value::Double(value) => int_of_double(*value).map(Value::Int),
        Value::Duration(value) => Ok(Value::Int(*value)),
        Value::Timestamp(time) => Ok(Value::Int(time.seconds)),
        Value::String(text) => {
            let parsed = text.parse().ok().filter(|_| decimal(text));
            parsed.map(Value::Int).ok_or_else(|| mismatch("string", "int"))
        }
        _ => Err(Error::refused()),
    }
}

fn to_uint<'a>(value: &Value<'a>) -> Result<Value<'a>, Error> {
    match value {
        Value::Uint(_) => Ok(value.clone()),
        Value::Int(value) => u64::try_from(*value).map(Value::Uint).map_err(|_| Error::unsigned_overflow()),
        Value::Double(value) => uint_of_double(*value).map(Value::Uint),
        Value::String(text) => {
            let parsed = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
            parsed.map(Value::Uint).ok_or_else(|| mismatch("string", "uint"))
        }
        _ => Err(Error::refused()),
    }
}

pub(super) fn to_string<'a>(value: &Value<'a>) -> Result<Value<'a>, Error> {
    Ok(match value {
        Value::String(_) => value.clone(),
        Value::Bool(_) | Value::Int(_) | Value::Uint(_) => Value::text(value.to_string()),
        Value::Double(value) => Value::text(shortest(*value)),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::text(text),
            Err(_) => return Err(Error::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        Value::Timestamp(time) => Value::text(time.rfc3339()),
        Value::Duration(nanos) => Value::text(duration_seconds(*nanos)),
        _ => return Err(Error::refused()),
    })
}

fn to_timestamp<'a>(value: &Value<'a>) -> Result<Value<'a>, Error> {
    match value {
        Value::Timestamp(_) => Ok(value.clone()),
        Value::Int(seconds) => Timestamp::new(*seconds, 0).map(Value::Timestamp),
        Value::String(text) => match Timestamp::parse(text) {
            Some(time) if time.in_range() => Ok(Value::Timestamp(time)),
            Some(_) => Err(Error::timestamp_overflow()),
            None => Err(mismatch("string", "google.protobuf.Timestamp")),
        },
        _ => Err(Error::refused()),
    }
}
