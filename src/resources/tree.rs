//! Reading and completing JSON trees, as defaulting and preparing need it: absent, null and empty count as unset where
//! the Go field would be the zero value.

use serde_json::{Map, Value};

use crate::api::Object;

/// A JSON object.
pub(super) type Tree = Map<String, Value>;

/// Whether a field is there and not null: a Go pointer that is not nil.
pub(super) fn is_set(tree: &Tree, key: &str) -> bool {
    tree.get(key).is_some_and(|v| !v.is_null())
}

/// Whether a Go field of this value would be its zero value.
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// A text field; `""` when unset.
pub(super) fn text<'a>(tree: &'a Tree, key: &str) -> &'a str {
    tree.get(key).and_then(Value::as_str).unwrap_or("")
}

/// An integer field.
pub(super) fn int(tree: &Tree, key: &str) -> Option<i64> {
    tree.get(key).and_then(Value::as_i64)
}

/// Sets a pointer field that is nil.
pub(super) fn fill(tree: &mut Tree, key: &str, value: impl Into<Value>) {
    if !is_set(tree, key) {
        tree.insert(key.to_owned(), value.into());
    }
}

/// Sets a value field that has its zero value.
pub(super) fn fill_zero(tree: &mut Tree, key: &str, value: impl Into<Value>) {
    if tree.get(key).is_none_or(is_zero) {
        tree.insert(key.to_owned(), value.into());
    }
}

/// The object in a field, made when it is not there.
pub(super) fn ensure<'a>(tree: &'a mut Tree, key: &str) -> &'a mut Tree {
    let slot = tree.entry(key.to_owned()).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Tree::new());
    }
    slot.as_object_mut().expect("it was made an object above")
}

/// The object in a field.
pub(super) fn child_mut<'a>(tree: &'a mut Tree, key: &str) -> Option<&'a mut Tree> {
    tree.get_mut(key)?.as_object_mut()
}

/// The object in a field.
pub(super) fn child<'a>(tree: &'a Tree, key: &str) -> Option<&'a Tree> {
    tree.get(key)?.as_object()
}

/// The objects of a list.
pub(super) fn items_mut<'a>(tree: &'a mut Tree, key: &str) -> impl Iterator<Item = &'a mut Tree> {
    tree.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// The objects of a list.
pub(super) fn items<'a>(tree: &'a Tree, key: &str) -> impl Iterator<Item = &'a Tree> {
    tree.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// The texts of a list.
pub(super) fn texts<'a>(tree: &'a Tree, key: &str) -> impl Iterator<Item = &'a str> {
    tree.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The number of items of a list.
pub(super) fn count(tree: &Tree, key: &str) -> usize {
    tree.get(key).and_then(Value::as_array).map_or(0, Vec::len)
}

/// The objects of a list by path of keys.
pub(super) fn list<'a>(object: &'a Object, path: &[&str]) -> impl Iterator<Item = &'a Tree> {
    object.get(path).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// Makes a field as it is in another object.
pub(super) fn keep(new: &mut Object, old: &Object, path: &[&str]) {
    match old.get(path) {
        // It is so already, as a rule, and a comparison costs less than a copy.
        Some(value) if new.get(path) == Some(value) => {}
        Some(value) => new.set(path, value.clone()),
        None => drop(new.remove(path)),
    }
}

/// What upstream's `ResetObjectMetaForStatus` takes back.
pub(super) fn keep_metadata(new: &mut Object, old: &Object) {
    for key in ["deletionTimestamp", "generation", "selfLink", "labels", "annotations", "finalizers", "ownerReferences"]
    {
        keep(new, old, &["metadata", key]);
    }
}

/// Copies the entries of a map that another one lacks.
pub(super) fn complete(into: &mut Tree, from: &Tree) {
    for (key, value) in from {
        if !into.contains_key(key) {
            into.insert(key.clone(), value.clone());
        }
    }
}
