//! Defaults that schemas declare (apiextensions-apiserver `schema/defaulting`).

use serde_json::{Map, Value};

use super::Schema;

/// Gives declared fields that are absent, or null where they may not be, their defaults, at every depth.
pub fn fill(entries: &mut Map<String, Value>, schema: &Schema) {
    for (name, of) in &schema.properties {
        if let Some(default) = &of.default
            && entries.get(&**name).is_none_or(|value| value.is_null() && !of.nullable)
        {
            entries.insert(name.to_string(), (**default).clone());
        }
    }
    for (name, value) in entries.iter_mut() {
        if let Some(of) = schema.property(name) {
            inside(value, of);
        } else if let Some(of) = schema.additional_schema() {
            replace_null(value, of);
            inside(value, of);
        }
    }
}

fn inside(value: &mut Value, schema: &Schema) {
    match value {
        Value::Object(entries) => fill(entries, schema),
        Value::Array(items) => {
            let Some(of) = schema.items.as_deref() else { return };
            for item in items {
                replace_null(item, of);
                inside(item, of);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn replace_null(value: &mut Value, schema: &Schema) {
    if value.is_null()
        && !schema.nullable
        && let Some(default) = &schema.default
    {
        *value = (**default).clone();
    }
}
