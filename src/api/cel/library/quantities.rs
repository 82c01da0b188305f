//! Quantities.

use std::sync::Arc;

use super::super::error::Error;
use super::super::value::Value;
use crate::api::Quantity;
use crate::api::quantity::Format;

pub(super) const NAMES: &[&str] =
    &["quantity", "isQuantity", "sign", "asApproximateFloat", "asInteger", "isInteger", "add", "sub"];

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match (name, args) {
        ("quantity", [Value::String(text)]) => match Quantity::parse(text) {
            Ok(quantity) => Ok(Value::Quantity(Arc::new(quantity))),
            Err(error) => Err(Error::new(error.to_string())),
        },
        ("isQuantity", [Value::String(text)]) => Ok(Value::Bool(Quantity::parse(text).is_ok())),
        ("sign", [Value::Quantity(quantity)]) => Ok(Value::Int(if quantity.is_zero() {
            0
        } else if quantity.is_negative() {
            -1
        } else {
            1
        })),
        ("asApproximateFloat", [Value::Quantity(quantity)]) => Ok(Value::Double(quantity.as_f64())),
        ("isInteger", [Value::Quantity(quantity)]) => Ok(Value::Bool(quantity.as_i64().is_some())),
        ("asInteger", [Value::Quantity(quantity)]) => {
            quantity.as_i64().map(Value::Int).ok_or_else(|| Error::new("cannot convert value to integer"))
        }
        ("isGreaterThan", [Value::Quantity(one), Value::Quantity(other)]) => Ok(Value::Bool(one > other)),
        ("isLessThan", [Value::Quantity(one), Value::Quantity(other)]) => Ok(Value::Bool(one < other)),
        ("compareTo", [Value::Quantity(one), Value::Quantity(other)]) => Ok(Value::Int(one.cmp(other) as i64)),
        ("add" | "sub", [Value::Quantity(one), Value::Quantity(other)]) => Ok(combined(name, one, other)),
        ("add" | "sub", [Value::Quantity(one), Value::Int(other)]) => {
            Ok(combined(name, one, &Quantity::new(*other, Format::Exponent)))
        }
        _ => Err(Error::refused()),
    }
}

fn combined<'a>(name: &str, one: &Quantity, other: &Quantity) -> Value<'a> {
    let mut out = one.clone();
    if name == "add" {
        out += other;
    } else {
        out -= other;
    }
    Value::Quantity(Arc::new(out))
}
