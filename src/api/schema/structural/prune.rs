//! Drops what a schema does not have, and nulls where none may be (apiextensions-apiserver `schema/pruning`,
//! `schema/defaulting/prunenulls.go`).

use serde_json::{Map, Value};

use super::{Additional, Schema};

/// What whole objects have without declaring it.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Drops the fields of a whole object that its schema does not have; gives their paths, sorted. The fields of
/// `metadata` are left alone.
pub fn prune(object: &mut Map<String, Value>, schema: &Schema) -> Vec<String> {
    let mut walk = Walk { unknown: Vec::new(), path: String::new() };
    if schema.preserve_unknown {
        walk.skip_entries(object, schema, true);
    } else {
        walk.entries(object, Some(schema), true);
    }
    walk.unknown.sort();
    walk.unknown
}

/// Drops what a value inside an object has and its schema does not.
pub fn prune_value(value: &mut Value, schema: &Schema) {
    Walk { unknown: Vec::new(), path: String::new() }.value(value, Some(schema));
}

struct Walk {
    unknown: Vec<String>,
    path: String,
}

impl Walk {
    fn below(&mut self, step: &str, index: Option<usize>, walk: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        if let Some(index) = index {
            self.path.push_str(&format!("[{index}]"));
        } else {
            if before > 0 {
                self.path.push('.');
            }
            self.path.push_str(step);
        }
        walk(self);
        self.path.truncate(before);
    }

    fn record(&mut self, name: &str) {
        self.below(name, None, |walk| {
            let path = walk.path.clone();
            walk.unknown.push(path);
        });
    }

    fn value(&mut self, value: &mut Value, schema: Option<&Schema>) {
        if let Some(schema) = schema.filter(|schema| schema.preserve_unknown) {
            self.skip(value, schema);
            return;
        }
        match value {
            Value::Object(entries) => self.entries(entries, schema, false),
            Value::Array(items) => {
                let of = schema.and_then(|schema| schema.items.as_deref());
                for (index, item) in items.iter_mut().enumerate() {
                    self.below("", Some(index), |walk| walk.value(item, of));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn entries(&mut self, entries: &mut Map<String, Value>, schema: Option<&Schema>, root: bool) {
        let Some(schema) = schema else {
            for name in entries.keys() {
                self.record(name);
            }
            entries.clear();
            return;
        };
        entries.retain(|name, value| {
            let meta = META.contains(&name.as_str());
            if meta && (root || schema.embedded) {
                return true;
            }
            let (known, of) = match (schema.property(name), &schema.additional) {
                (Some(of), _) => (true, Some(of)),
                (None, Additional::Of(of)) => (true, Some(&**of)),
                (None, Additional::Allowed(_)) => (true, None),
                (None, Additional::Absent) => (false, None),
            };
            if known {
                self.below(name, None, |walk| walk.value(value, of));
            } else if !meta || !self.path.is_empty() {
                self.record(name);
            }
            known
        });
    }

    /// Below `x-kubernetes-preserve-unknown-fields` only what is declared is looked into.
    fn skip(&mut self, value: &mut Value, schema: &Schema) {
        match value {
            Value::Object(entries) => self.skip_entries(entries, schema, false),
            Value::Array(items) => {
                let Some(of) = schema.items.as_deref() else { return };
                for (index, item) in items.iter_mut().enumerate() {
                    self.below("", Some(index), |walk| walk.skip(item, of));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn skip_entries(&mut self, entries: &mut Map<String, Value>, schema: &Schema, root: bool) {
        for (name, value) in entries.iter_mut() {
            if META.contains(&name.as_str()) && (root || schema.embedded) {
                continue;
            }
            match (schema.property(name), &schema.additional) {
                (Some(of), _) => self.below(name, None, |walk| walk.value(value, Some(of))),
                (None, Additional::Of(of)) => self.below(name, None, |walk| walk.value(value, Some(of))),
                (None, Additional::Allowed(_)) => self.below(name, None, |walk| walk.value(value, None)),
                (None, Additional::Absent) => {}
            }
        }
    }
}

/// Drops nulls of declared fields that are neither nullable nor have a default.
pub fn prune_nulls(entries: &mut Map<String, Value>, schema: Option<&Schema>) {
    entries.retain(|name, value| {
        let of = schema.and_then(|schema| schema.property(name).or_else(|| schema.additional_schema()));
        if value.is_null() && of.is_some_and(|of| !of.nullable && of.default.is_none()) {
            return false;
        }
        nulls_inside(value, of);
        true
    });
}

fn nulls_inside(value: &mut Value, schema: Option<&Schema>) {
    match value {
        Value::Object(entries) => prune_nulls(entries, schema),
        Value::Array(items) => {
            let of = schema.and_then(|schema| schema.items.as_deref());
            items.iter_mut().for_each(|item| nulls_inside(item, of));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
