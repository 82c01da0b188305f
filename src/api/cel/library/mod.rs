//! The functions that expressions can call, one file per family. Each looks at the values' types itself, because with
//! dynamic values the checker leaves several signatures.

mod addresses;
mod authorize;
mod convert;
pub(super) mod formats;
pub(super) mod lists;
pub(super) mod maps;
mod operators;
mod optional;
mod quantities;
pub(super) mod regex;
pub(super) mod semver;
mod string_format;
mod strings;
mod times;
pub(super) mod urls;

pub use regex::check_pattern;
pub(super) use string_format::{Directive, directives, refusal as string_format_refusal};

use super::error::Error;
use super::value::Value;

type Run = for<'a> fn(&str, &[Value<'a>]) -> Result<Value<'a>, Error>;

/// How to run a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Implementation {
    run: Run,
    /// What is said of values that the function does not take.
    refusal: Refusal,
}

/// How upstream says that no signature takes the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// `no such overload`.
    Plain,
    /// With the function and the types of the values.
    Signature,
}

impl Implementation {
    /// Calls the function under the name by which it was called.
    pub(super) fn call<'a>(&self, function: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
        let result = (self.run)(function, args);
        match result {
            Err(error) if error == Error::refused() => {
                if self.refusal == Refusal::Plain {
                    return Err(Error::no_such_overload());
                }
                let types: Vec<&str> = args.iter().map(Value::type_name).collect();
                Err(Error::new(format!("no such overload: {function}({})", types.join(", "))))
            }
            result => result,
        }
    }
}

/// The functions by name: each family with its names and whether its refusals name the types.
const FAMILIES: [(&[&str], Run, Refusal); 14] = [
    (operators::NAMES, operators::run, Refusal::Plain),
    (convert::NAMES, convert::run, Refusal::Signature),
    (strings::NAMES, strings::run, Refusal::Signature),
    (lists::NAMES, lists::run, Refusal::Signature),
    (maps::NAMES, maps::run, Refusal::Signature),
    (optional::NAMES, optional::run, Refusal::Signature),
    (times::NAMES, times::run, Refusal::Signature),
    (regex::NAMES, regex::run, Refusal::Signature),
    (urls::NAMES, urls::run, Refusal::Signature),
    (quantities::NAMES, quantities::run, Refusal::Signature),
    (addresses::NAMES, addresses::run, Refusal::Signature),
    (semver::NAMES, semver::run, Refusal::Signature),
    (formats::NAMES, formats::run, Refusal::Signature),
    (authorize::NAMES, authorize::run, Refusal::Signature),
];

/// Functions that stand for several families and are told apart by the first value.
const SHARED: [&str; 9] = [
    "string",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "ip",
    "indexOf",
    "lastIndexOf",
    "jsonpatch.escapeKey",
    "reverse",
];

/// The function of that name.
pub(super) fn find(name: &str) -> Option<Implementation> {
    if SHARED.contains(&name) {
        return Some(Implementation { run: shared, refusal: Refusal::Signature });
    }
    let (_, run, refusal) = FAMILIES.iter().find(|(names, ..)| names.contains(&name))?;
    Some(Implementation { run: *run, refusal: *refusal })
}

fn shared<'a>(name: &str, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match (name, args.first()) {
        ("string", Some(Value::Ip(_) | Value::Cidr(_))) | ("ip", _) => addresses::run(name, args),
        ("string", _) => convert::run(name, args),
        ("indexOf" | "lastIndexOf", Some(Value::List(_))) | ("reverse", _) => lists::run(name, args),
        ("indexOf" | "lastIndexOf" | "jsonpatch.escapeKey", _) => strings::run(name, args),
        (_, Some(Value::Semver(_))) => semver::run(name, args),
        _ => quantities::run(name, args),
    }
}

/// A size or an index as a value.
fn int<'a>(value: usize) -> Value<'a> {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}
