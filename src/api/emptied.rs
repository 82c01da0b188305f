//! The lists and maps that a body says are empty. Go tells them from those that are not there, and errors print them as
//! `[]` and `{}` instead of `null`; in the tree of a type both are left out.

use std::collections::HashMap;

use serde_json::Value;

use super::field::Path;

/// How many places are kept; a body with more has them printed as absent.
const PLACES_MAX: usize = 1000;

/// Empty lists and maps by the printed paths of their fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Emptied {
    places: HashMap<String, &'static str>,
}

impl Emptied {
    /// What is empty in a tree.
    pub fn of(tree: &Value) -> Self {
        let mut found = Self::default();
        found.collect(tree, &Path::ROOT);
        found
    }

    /// The text of what stood at a place, `[]` or `{}`, if it was empty.
    pub fn at(&self, path: &str) -> Option<&'static str> {
        self.places.get(path).copied()
    }

    fn collect(&mut self, value: &Value, path: &Path<'_>) {
        match value {
            Value::Array(items) if items.is_empty() => self.add(path, "[]"),
            Value::Object(fields) if fields.is_empty() => self.add(path, "{}"),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| self.collect(item, &path.index(index)));
            }
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| self.collect(value, &path.child(name)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn add(&mut self, path: &Path<'_>, text: &'static str) {
        if self.places.len() < PLACES_MAX {
            self.places.insert(path.to_string(), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn empty_lists_and_maps_are_found_where_they_stand() {
        let found = Emptied::of(&json!({"spec": {"a": [{"b": []}, {}], "c": {}, "d": [1], "e": null}}));
        assert_eq!(found.at("spec.a[0].b"), Some("[]"));
        assert_eq!((found.at("spec.a[1]"), found.at("spec.c")), (Some("{}"), Some("{}")));
        assert_eq!((found.at("spec.d"), found.at("spec.e"), found.at("spec")), (None, None, None));
    }
}
