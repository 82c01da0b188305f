//! The parts of timestamps and durations.

use super::super::error::Error;
use super::super::value::Value;

pub(super) const NAMES: &[&str] = &[
    "getFullYear",
    "getMonth",
    "getDayOfYear",
    "getDayOfMonth",
    "getDate",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

pub(super) fn run<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let part = match args {
        [Value::Timestamp(time)] => time.part(name, None)?,
        [Value::Timestamp(time), Value::String(zone)] => time.part(name, Some(zone))?,
        [Value::Duration(nanos)] => match name {
            "getHours" => Some(nanos / 3_600_000_000_000),
            "getMinutes" => Some(nanos / 60_000_000_000),
            "getSeconds" => Some(nanos / 1_000_000_000),
            "getMilliseconds" => Some(nanos / 1_000_000),
            _ => None,
        },
        _ => None,
    };
    part.map(Value::Int).ok_or_else(Error::refused)
}
