//! Defaults that schemas declare (apiextensions-apiserver `schema/defaulting`).

use serde_json::{Map, Value};

use super::Schema;

/// What defaults may add to one object. Far more than can be stored, so whoever writes an object that gets all of it is
/// refused; without a bound a list of a million empty items would be a million times its items' default.
const ADDED_BYTES_MAX: usize = 16 << 20;

/// What a value takes in memory beside its text.
const VALUE_BYTES: usize = 32;

/// Gives declared fields that are absent, or null where they may not be, their defaults, at every depth. Stops when they
/// are more than an object can hold.
pub fn fill(entries: &mut Map<String, Value>, schema: &Schema) {
    Filling { bytes_left: ADDED_BYTES_MAX }.fields(entries, schema);
}

struct Filling {
    bytes_left: usize,
}

impl Filling {
    fn fields(&mut self, entries: &mut Map<String, Value>, schema: &Schema) {
        for (name, of) in &schema.properties {
            if let Some(default) = &of.default
                && entries.get(&**name).is_none_or(|value| value.is_null() && !of.nullable)
                && self.take(default)
            {
                entries.insert(name.to_string(), (**default).clone());
            }
        }
        for (name, value) in entries.iter_mut() {
            if let Some(of) = schema.property(name) {
                self.inside(value, of);
            } else if let Some(of) = schema.additional_schema() {
                self.replace_null(value, of);
                self.inside(value, of);
            }
        }
    }

    fn inside(&mut self, value: &mut Value, schema: &Schema) {
        match value {
            Value::Object(entries) => self.fields(entries, schema),
            Value::Array(items) => {
                let Some(of) = schema.items.as_deref() else { return };
                for item in items {
                    self.replace_null(item, of);
                    self.inside(item, of);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn replace_null(&mut self, value: &mut Value, schema: &Schema) {
        if value.is_null()
            && !schema.nullable
            && let Some(default) = &schema.default
            && self.take(default)
        {
            *value = (**default).clone();
        }
    }

    /// Whether there is room for another copy of a default.
    fn take(&mut self, default: &Value) -> bool {
        let wanted = bytes(default);
        let fits = wanted <= self.bytes_left;
        self.bytes_left -= if fits { wanted } else { 0 };
        fits
    }
}

fn bytes(value: &Value) -> usize {
    VALUE_BYTES
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(bytes).sum(),
            Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + bytes(value)).sum(),
        }
}
