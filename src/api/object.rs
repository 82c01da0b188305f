//! `Object`: a Kubernetes object as a tree, the form it has on its way through a write. Everywhere else an object is
//! final JSON bytes (`storage::Stored`).

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::codec::json;
use super::names::GroupVersionKind;

/// A JSON object with Kubernetes metadata. Readers give `""` or `None` for what is absent or of a wrong type;
/// whether the shape is right is the decoder's matter (`schema`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    root: Map<String, Value>,
}

impl Object {
    /// From a tree; the value itself when it is not a JSON object.
    ///
    /// # Errors
    /// The value as it came.
    pub fn from_value(value: Value) -> Result<Self, Value> {
        match value {
            Value::Object(root) => Ok(Self { root }),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err(other)
            }
        }
    }

    /// From final JSON bytes of our own making.
    ///
    /// # Errors
    /// When the bytes are not a JSON object, or nest more deeply than there is room for on the stack.
    pub fn from_json(bytes: &[u8]) -> serde_json::Result<Self> {
        let root = serde_json::from_slice(bytes).or_else(|error| match json::tree(bytes) {
            Ok(Value::Object(root)) => Ok(root),
            Ok(_) | Err(_) => Err(error),
        })?;
        Ok(Self { root })
    }

    /// From the bytes of a stored object of a built-in type that is about to be changed: the sets of fields that are
    /// owned stay texts, which `apply` knows and `apply::spell_out` makes trees of.
    ///
    /// # Errors
    /// As `from_json`.
    pub fn from_stored(bytes: &[u8]) -> serde_json::Result<Self> {
        json::read_stored(bytes).map(|root| Self { root }).or_else(|_| Self::from_json(bytes))
    }

    /// The whole tree.
    pub fn root(&self) -> &Map<String, Value> {
        &self.root
    }

    /// The whole tree, for changing.
    pub fn root_mut(&mut self) -> &mut Map<String, Value> {
        &mut self.root
    }

    /// The tree as a value.
    pub fn into_value(self) -> Value {
        Value::Object(self.root)
    }

    /// `apiVersion` and `kind`.
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::parse(self.text("apiVersion"), self.text("kind"))
    }

    /// Sets `apiVersion` and `kind`.
    pub fn set_gvk(&mut self, gvk: &GroupVersionKind) {
        self.root.insert("apiVersion".to_owned(), Value::String(gvk.api_version()));
        self.root.insert("kind".to_owned(), Value::String(gvk.kind.clone().into_owned()));
    }

    /// A value by path of object keys.
    pub fn get(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.root.get(*first)?, |value, key| value.get(key))
    }

    /// A text by path of object keys; `""` when absent.
    pub fn text_at(&self, path: &[&str]) -> &str {
        self.get(path).and_then(Value::as_str).unwrap_or("")
    }

    /// An integer by path of object keys.
    pub fn int_at(&self, path: &[&str]) -> Option<i64> {
        self.get(path).and_then(Value::as_i64)
    }

    /// The object at a path of keys, made empty where it is absent, null or something else.
    pub fn object_at(&mut self, path: &[&str]) -> &mut Map<String, Value> {
        let mut at = &mut self.root;
        for key in path {
            let slot = at.entry((*key).to_owned()).or_insert(Value::Null);
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            at = slot.as_object_mut().expect("it was made an object above");
        }
        at
    }

    /// Sets a value at a path of keys, making the objects on the way.
    pub fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        if let Some((last, parents)) = path.split_last() {
            self.object_at(parents).insert((*last).to_owned(), value.into());
        }
    }

    /// Removes and returns the value at a path of keys.
    pub fn remove(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        let mut at = &mut self.root;
        for key in parents {
            at = at.get_mut(*key)?.as_object_mut()?;
        }
        at.remove(*last)
    }

    /// A typed view, taken where the fields are used.
    ///
    /// # Errors
    /// When the tree does not have the shape; it has, once it went through decoding.
    pub fn typed<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        T::deserialize(serde::de::value::MapDeserializer::new(self.root.iter().map(|(k, v)| (k.as_str(), v))))
    }

    fn text(&self, key: &str) -> &str {
        self.root.get(key).and_then(Value::as_str).unwrap_or("")
    }
}

/// `metadata`.
impl Object {
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.text_at(&["metadata", "name"])
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> &str {
        self.text_at(&["metadata", "namespace"])
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        self.text_at(&["metadata", "uid"])
    }

    /// `metadata.resourceVersion` as text.
    pub fn resource_version(&self) -> &str {
        self.text_at(&["metadata", "resourceVersion"])
    }

    /// `metadata.generation`, 0 when absent.
    pub fn generation(&self) -> i64 {
        self.int_at(&["metadata", "generation"]).unwrap_or(0)
    }

    /// Whether `metadata.deletionTimestamp` is set.
    pub fn deleting(&self) -> bool {
        self.get(&["metadata", "deletionTimestamp"]).is_some_and(|v| !v.is_null())
    }

    /// `metadata.finalizers`.
    pub fn finalizers(&self) -> impl Iterator<Item = &str> {
        let list = self.get(&["metadata", "finalizers"]).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }

    /// `metadata.labels` in key order.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text_map(&["metadata", "labels"])
    }

    /// `metadata.annotations` in key order.
    pub fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text_map(&["metadata", "annotations"])
    }

    /// One annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.get(&["metadata", "annotations", key]).and_then(Value::as_str)
    }

    /// The entries of a map of texts by path, in key order.
    pub fn text_map(&self, path: &[&str]) -> impl Iterator<Item = (&str, &str)> {
        let map = self.get(path).and_then(Value::as_object);
        map.into_iter().flatten().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
    }
}
