//! Merging the `ApplyConfiguration` of a mutating admission policy: as an apply merges, but owned by nobody (apiserver
//! `pkg/admission/plugin/policy/mutating/patch/smd.go`).

use serde_json::Value;

use super::merge::merge_objects;
use super::types::{Form, Root, Type};
use super::validate::{Duplicates, validate};
use crate::api::object::Object;

/// The object with a configuration merged in. It is not defaulted.
///
/// # Errors
/// In upstream's words for what does not fit the type and for values that are owned as a whole.
pub fn configure(root: Root<'_>, live: &Object, config: &Object) -> Result<Object, String> {
    let of = root.top();
    validate(config.root(), of, Duplicates::Refuse)
        .map_err(|why| format!("failed to convert patch object to typed object: {why}"))?;
    let mut found = Vec::new();
    atomics(&Value::Object(config.root().clone()), of, &mut String::new(), &mut found);
    if !found.is_empty() {
        let found = found.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {found}"));
    }
    validate(live.root(), of, Duplicates::Allow)
        .map_err(|why| format!("failed to convert original object to typed object: {why}"))?;
    let merged = merge_objects(live.root(), config.root(), of);
    Ok(Object::from_value(Value::Object(merged)).unwrap_or_default())
}

/// The paths of values that are owned as a whole.
fn atomics(value: &Value, of: Type<'_>, path: &mut String, found: &mut Vec<String>) {
    let length = path.len();
    match (of.form(value), value) {
        (Form::Map(map), Value::Object(entries)) => {
            if map.atomic {
                found.push(path.clone());
            }
            for (name, value) in entries.iter().filter(|(name, _)| map.declares(name)) {
                let Some(of) = map.entry(name) else { continue };
                path.push_str(&format!(".{name}"));
                atomics(value, of, path, found);
                path.truncate(length);
            }
        }
        (Form::List(list), Value::Array(items)) => {
            if list.is_atomic() {
                found.push(path.clone());
            }
            for (at, item) in items.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                atomics(item, list.item, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}
