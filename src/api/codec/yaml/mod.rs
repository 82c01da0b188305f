//! YAML in and out, as `sigs.k8s.io/yaml` reads and writes it: YAML 1.1 booleans and octal numbers, whole floats as
//! integers, keys of any scalar as text; sorted keys, two spaces, Go's quoting and line wrapping.

mod emit;
mod faults;
mod reader;
mod resolve;

use serde::de::DeserializeSeed;
use serde_json::{Number, Value};
use serde_saphyr::Options;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::json::{self, Step, Tree, Twice};
use super::{Decoded, Error};
use crate::base::room;

pub use emit::encode;

/// The most nodes that a document may have with its aliases expanded; a body of three megabytes has fewer unless it
/// is made to hurt.
const NODES_MAX: usize = 2_000_000;
const ALIASES_MAX: usize = 50_000;
/// The deepest nesting that is read on any stack: without optimisation the reader takes some 20 KiB for each level.
const SHALLOW_MAX: usize = if cfg!(debug_assertions) { 32 } else { room::SHALLOW_MAX };

/// Reads the first document of a YAML text. Duplicate keys are reported with their lines, in the words of upstream's
/// reader (`line 7: key "a" already set in map`); the last one wins.
///
/// # Errors
/// When the text is no YAML, is nested too deeply or expands to too much.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Error> {
    let text = &*reader::read(bytes)?;
    if text.trim().is_empty() {
        return Ok(Decoded { value: Value::Null, duplicates: Vec::new() });
    }
    match read(text, SHALLOW_MAX) {
        Err(Refused::TooDeep) if room::may_nest_deeply() => read(text, json::DEPTH_MAX),
        outcome => outcome,
    }
    .map_err(|refused| match refused {
        Refused::TooDeep => Error::new(format!("yaml: exceeded max depth of {}", json::DEPTH_MAX)),
        Refused::Other(error) => error,
    })
}

enum Refused {
    TooDeep,
    Other(Error),
}

fn read(text: &str, depth_max: usize) -> Result<Decoded, Refused> {
    let mut found = Vec::new();
    let mut tree = None;
    let outcome = serde_saphyr::with_deserializer_from_str_with_options(text, options(depth_max), |source| {
        tree = Some(Tree { found: &mut found, twice: Twice::Replaces }.deserialize(source)?);
        Ok(())
    });
    match (outcome, tree) {
        (Ok(()), Some(value)) => finished(text, value, found),
        // Upstream reads the first document and does not look at what follows.
        (Err(serde_saphyr::Error::MultipleDocuments { .. }), Some(value)) => finished(text, value, found),
        (Err(error), _) if is_too_deep(&error) => return Err(Refused::TooDeep),
        (Err(error), _) => Err(Error::new(faults::message(text, &error))),
        (Ok(()), None) => Ok(Decoded { value: Value::Null, duplicates: Vec::new() }),
    }
    .map_err(Refused::Other)
}

fn is_too_deep(error: &serde_saphyr::Error) -> bool {
    let is_depth = |breach: &BudgetBreach| matches!(breach, BudgetBreach::Depth { .. });
    match error {
        serde_saphyr::Error::Budget { breach, .. } => is_depth(breach),
        // The scanner looks ahead and has bounds of its own; what it says has no variant to ask for.
        other => other.to_string().contains("recursion limit exceeded"),
    }
}

fn options(depth_max: usize) -> Options {
    serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        legacy_octal_numbers: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: depth_max,
            flow_nesting_limit: depth_max,
            max_nodes: NODES_MAX,
            max_events: NODES_MAX * 2,
            max_aliases: ALIASES_MAX,
        },
    }
}

/// What was read, as JSON can have it.
fn finished(text: &str, value: Value, mut found: Vec<Vec<Step>>) -> Result<Decoded, Error> {
    if let Some(fault) = json::odd_key_fault(&value) {
        return Err(Error::new(fault));
    }
    for step in found.iter_mut().flatten() {
        if let Step::Line(line, _) = step {
            *line = faults::value_line(text, *line);
        }
    }
    Ok(json::decoded(whole_floats(value)?, &found))
}

/// Makes integers of floats without a fraction, as they come out of the JSON that upstream makes of YAML.
fn whole_floats(mut value: Value) -> Result<Value, Error> {
    fn walk(value: &mut Value) -> Result<(), Error> {
        match value {
            Value::Number(number) if number.is_f64() => {
                let float = number.as_f64().unwrap_or_default();
                if let Some(integer) = whole(float) {
                    *number = integer;
                }
                Ok(())
            }
            Value::Array(items) => items.iter_mut().try_for_each(walk),
            Value::Object(map) => map.values_mut().try_for_each(walk),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }
    walk(&mut value)?;
    Ok(value)
}

#[expect(clippy::cast_possible_truncation, reason = "bounded by the range of i64")]
fn whole(float: f64) -> Option<Number> {
    (float.fract() == 0.0 && float.abs() < 9.2e18).then(|| Number::from(float as i64))
}

#[cfg(test)]
mod tests;
