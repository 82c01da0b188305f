//! Items of sets and of lists with keys are there once (apiextensions-apiserver `schema/listtype`).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{ListType, Schema};
use crate::api::field::{Errors, FieldError, Path};

/// Adds an error for each item that is there again.
pub fn validate_lists(entries: &Map<String, Value>, schema: &Schema, path: &Path<'_>, errors: &mut Errors) {
    for (name, value) in entries {
        if let Some(of) = schema.property(name) {
            inside(value, of, &path.child(name), errors);
        } else if let Some(of) = schema.additional_schema() {
            inside(value, of, &path.key(name), errors);
        }
    }
}

fn inside(value: &Value, schema: &Schema, path: &Path<'_>, errors: &mut Errors) {
    match value {
        Value::Object(entries) => validate_lists(entries, schema, path, errors),
        Value::Array(items) => {
            match &schema.list {
                Some(ListType::Set) => {
                    let again = repeated(items.iter().map(Value::to_string));
                    errors.extend(again.into_iter().map(|i| FieldError::duplicate(&path.index(i), items[i].clone())));
                }
                Some(ListType::Map(keys)) => keyed(items, keys, path, errors),
                Some(ListType::Atomic) | None => {}
            }
            if let Some(of) = schema.items.as_deref() {
                for (index, item) in items.iter().enumerate() {
                    inside(item, of, &path.index(index), errors);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn keyed(items: &[Value], keys: &[Box<str>], path: &Path<'_>, errors: &mut Errors) {
    let stranger = items.iter().position(|item| !item.is_object() && !item.is_null());
    if let Some(index) = stranger {
        let detail = "must be an object for an array of list-type map";
        errors.push(FieldError::invalid(&path.index(index), items[index].clone(), detail));
        return;
    }
    let key_of = |item: &Value| -> Value {
        let pairs = keys.iter().filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone())));
        Value::Object(pairs.collect())
    };
    let found: Vec<Value> = items.iter().map(key_of).collect();
    let again = repeated(found.iter().map(Value::to_string));
    errors.extend(again.into_iter().map(|index| FieldError::duplicate(&path.index(index), found[index].clone())));
}

/// The places of texts that came before, each text told once.
fn repeated(texts: impl Iterator<Item = String>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut out = Vec::new();
    for (index, text) in texts.enumerate() {
        let times = seen.entry(text).or_insert(0);
        *times += 1;
        if *times == 2 {
            out.push(index);
        }
    }
    out
}
